//! Open files and directories as descriptors.

use super::volumes::Then;
use super::walk::{Walking, start};
use super::work::{Op, Work, pack};
use super::{Files, cached, submit, submit_quietly};
use crate::error::{Answer, Error};
use crate::ffi::constants::{KIND_DIRECTORY, KIND_FILE};
use crate::ffi::{Int, IntsPiece, Piece};
use crate::runtime::Runtime;
use crate::table::{Fd, Operations, cannot_park, cannot_read, cannot_shut_down, cannot_write};
use ::fs::{Cursor, FileId, Kind, OpenFlags};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// The offset of a write that goes to the end, see `worker::Work::Write`.
pub const APPEND: u64 = u64::MAX;

/// Names an open file for as long as it is open: a job may end after its descriptor was closed and
/// its place given to another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    key: u32,
    serial: u64,
}

/// What a descriptor stands for.
pub struct File {
    serial: u64,
    /// The file or directory of a volume; none for a directory that only leads to mount points.
    on: Option<(usize, FileId)>,
    /// Of a directory: what is mounted in it.
    names: Rc<[String]>,
    /// Writes go to the end.
    append: bool,
    /// Bytes, the cursor of a directory, or at its end the number of names given.
    position: u64,
    /// The volume's directory has been listed to its end.
    ended: bool,
}

static FILE: Operations = Operations {
    kind: KIND_FILE,
    read: cannot_read,
    write: cannot_write,
    ready: cannot_park,
    shutdown: cannot_shut_down,
    close,
};

static DIRECTORY: Operations = Operations {
    kind: KIND_DIRECTORY,
    read: cannot_read,
    write: cannot_write,
    ready: cannot_park,
    shutdown: cannot_shut_down,
    close,
};

fn close(rt: &mut Runtime, key: u32) {
    let Some(files) = rt.files.as_deref_mut() else {
        return;
    };
    if let Some(File {
        on: Some((volume, file)),
        ..
    }) = files.open.try_remove(key as usize)
    {
        submit_quietly(rt, volume, Work::Close(file));
    }
}

impl Files {
    /// Whether anything on a volume is open.
    pub fn has_open(&self, volume: usize) -> bool {
        let mut open = self.open.iter();
        open.any(|(_, file)| file.on.is_some_and(|(other, _)| other == volume))
    }

    /// Puts the current position into a job that works from it; called when the job begins.
    pub fn place(&mut self, work: Work, then: Then) -> Work {
        let (Then::Advance(place) | Then::Listed(place, _)) = then else {
            return work;
        };
        let file = self.open.get(place.key as usize);
        let Some(file) = file.filter(|file| file.serial == place.serial) else {
            return work;
        };
        match work {
            Work::Read(id, _, into) => Work::Read(id, file.position, into),
            Work::Write(id, offset, from) if offset != APPEND => {
                Work::Write(id, file.position, from)
            }
            // There is nothing more to be listed: a job that gives 0.
            Work::List(..) if file.ended => Work::Mount,
            Work::List(id, _, into, without) => Work::List(id, file.position, into, without),
            work => work,
        }
    }
}

/// Makes the descriptor of a file or directory that a volume has opened.
pub fn descriptor(
    rt: &mut Runtime,
    volume: usize,
    file: FileId,
    directory: Option<Vec<String>>,
    append: bool,
) -> Result<usize, Error> {
    let made = insert(rt, Some((volume, file)), append, directory);
    if made.is_err() {
        submit_quietly(rt, volume, Work::Close(file));
    }
    made
}

/// Makes the descriptor of a directory that has nothing but mount points.
pub fn insert_names(rt: &mut Runtime, names: Vec<String>) -> Result<usize, Error> {
    insert(rt, None, false, Some(names))
}

fn insert(
    rt: &mut Runtime,
    on: Option<(usize, FileId)>,
    append: bool,
    directory: Option<Vec<String>>,
) -> Result<usize, Error> {
    let files = rt.files.as_deref_mut().ok_or(Error::Closed)?;
    let serial = files.next_serial;
    files.next_serial += 1;
    let operations = if directory.is_some() {
        &DIRECTORY
    } else {
        &FILE
    };
    let file = File {
        serial,
        on,
        names: directory.unwrap_or_default().into(),
        append,
        position: 0,
        ended: on.is_none(),
    };
    let key = files.open.insert(file);
    match rt.table.insert(operations, key as u32) {
        Ok(fd) => Ok(fd.encode() as usize),
        Err(error) => {
            files.open.try_remove(key);
            Err(error)
        }
    }
}

fn file(rt: &mut Runtime, key: u32) -> Option<&mut File> {
    rt.files.as_deref_mut()?.open.get_mut(key as usize)
}

/// The file, if its descriptor is still open.
fn at(rt: &mut Runtime, place: Place) -> Option<&mut File> {
    file(rt, place.key).filter(|file| file.serial == place.serial)
}

/// Moves the position on, if the descriptor is still open.
pub fn advance(rt: &mut Runtime, place: Place, n: u64) {
    if let Some(file) = at(rt, place) {
        file.position = file.position.saturating_add(n);
    }
}

/// Sets the position, if the descriptor is still open.
pub fn set_position(rt: &mut Runtime, place: Place, position: u64) {
    if let Some(file) = at(rt, place) {
        file.position = position;
    }
}

/// Notes where a listing goes on.
pub fn set_cursor(rt: &mut Runtime, place: Place, next: Option<Cursor>) {
    if let Some(file) = at(rt, place) {
        file.position = next.unwrap_or(0);
        file.ended = next.is_none();
    }
}

/// Gives what is mounted in a directory, once the volume's own entries have been given.
pub fn list_mounted(rt: &mut Runtime, place: Place, into: Piece) -> Result<usize, Error> {
    let Some(file) = at(rt, place).filter(|file| file.ended) else {
        return Ok(0);
    };
    // SAFETY: the operation that the piece belongs to has not completed.
    let into = unsafe { into.as_mut_slice() };
    let mut packed = 0;
    let given = usize::try_from(file.position).unwrap_or(usize::MAX);
    for name in file.names.iter().skip(given) {
        let room = into.get_mut(packed..).unwrap_or_default();
        let Some(n) = pack(room, name, Kind::Directory) else {
            break;
        };
        packed += n;
        file.position += 1;
    }
    if packed == 0 && given < file.names.len() {
        return Err(Error::Invalid);
    }
    Ok(packed)
}

/// See `soil_fs_open`.
pub fn open(rt: &mut Runtime, path: &str, flags: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let bits = u32::try_from(flags).map_err(|_| Error::Invalid)?;
    let flags = OpenFlags::from_bits(bits).ok_or(Error::Invalid)?;
    if flags.contains(OpenFlags::DIRECTORY) {
        return Err(Error::Invalid.into());
    }
    let then = Then::Descriptor {
        directory: false,
        append: flags.contains(OpenFlags::APPEND),
    };
    // A new file takes no link's place (POSIX, `O_CREAT` with `O_EXCL`).
    let follow = !flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
    start(
        rt,
        token,
        then,
        Walking::new(path, follow, Op::Open(flags))?,
    )
}

/// See `soil_fs_directory`.
pub fn directory(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let then = Then::Descriptor {
        directory: true,
        append: false,
    };
    let flags = OpenFlags::READ | OpenFlags::DIRECTORY;
    start(rt, token, then, Walking::new(path, true, Op::Open(flags))?)
}

/// The volume, file and place of a descriptor of a file.
pub fn on_volume(rt: &mut Runtime, fd: Fd) -> Result<(usize, FileId, Place), Error> {
    let key = rt.table.key_of(fd, &FILE)?;
    let file = file(rt, key).ok_or(Error::Closed)?;
    let place = Place {
        key,
        serial: file.serial,
    };
    let (volume, id) = file.on.ok_or(Error::WrongKind)?;
    Ok((volume, id, place))
}

/// How a transfer uses the position: not at all, or from where it is.
fn placed(position: Int, place: Place) -> Result<(u64, Then), Error> {
    match position {
        -1 => Ok((0, Then::Advance(place))),
        position => Ok((
            u64::try_from(position).map_err(|_| Error::Invalid)?,
            Then::Answer,
        )),
    }
}

/// See `soil_file_read`.
pub fn read(rt: &mut Runtime, fd: Fd, into: Piece, position: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, place) = on_volume(rt, fd)?;
    let (offset, then) = placed(position, place)?;
    if let Some(n) = cached::read(rt, volume, (id, offset, into), then) {
        return Ok(n);
    }
    submit(rt, volume, token, Work::Read(id, offset, into), then)
}

/// See `soil_file_write`.
pub fn write(rt: &mut Runtime, fd: Fd, from: Piece, position: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, place) = on_volume(rt, fd)?;
    let (mut offset, then) = placed(position, place)?;
    if at(rt, place).is_some_and(|file| file.append) {
        offset = APPEND;
    }
    submit(rt, volume, token, Work::Write(id, offset, from), then)
}

/// See `soil_file_size`.
pub fn size(rt: &mut Runtime, fd: Fd, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    submit(rt, volume, token, Work::Size(id), Then::Answer)
}

/// See `soil_file_truncate`.
pub fn truncate(rt: &mut Runtime, fd: Fd, size: u64, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    submit(rt, volume, token, Work::Truncate(id, size), Then::Answer)
}

/// See `soil_file_sync`.
pub fn file_sync(rt: &mut Runtime, fd: Fd, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    submit(rt, volume, token, Work::SyncFile(id), Then::Answer)
}

/// See `soil_file_stat`.
pub fn file_stat(rt: &mut Runtime, fd: Fd, into: IntsPiece, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    submit(rt, volume, token, Work::StatFile(id), Then::Fill(into))
}

/// See `soil_file_contents`.
pub fn contents(rt: &mut Runtime, fd: Fd, into: IntsPiece, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    submit(rt, volume, token, Work::Contents(id), Then::Fill(into))
}

/// See `soil_file_seek`.
pub fn seek(rt: &mut Runtime, fd: Fd, offset: Int, whence: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, place) = on_volume(rt, fd)?;
    let file = at(rt, place).ok_or(Error::Closed)?;
    let base = match whence {
        0 => 0,
        1 => file.position,
        2 => {
            let then = Then::SeekEnd {
                place,
                offset: offset as i64,
            };
            return submit(rt, volume, token, Work::Size(id), then);
        }
        _ => return Err(Error::Invalid.into()),
    };
    file.position = moved(base, offset as i64)?;
    Ok(file.position as usize)
}

/// A position, moved; not before the start, nor beyond what OCaml can count.
pub fn moved(base: u64, offset: i64) -> Result<u64, Error> {
    let position = base.checked_add_signed(offset).ok_or(Error::Invalid)?;
    if position >> 62 == 0 {
        Ok(position)
    } else {
        Err(Error::Invalid)
    }
}

/// See `soil_directory_next`.
pub fn directory_next(rt: &mut Runtime, fd: Fd, into: Piece, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let key = rt.table.key_of(fd, &DIRECTORY)?;
    let file = file(rt, key).ok_or(Error::Closed)?;
    let place = Place {
        key,
        serial: file.serial,
    };
    match file.on {
        Some((volume, id)) => {
            let work = Work::List(id, 0, into, Rc::clone(&file.names));
            submit(rt, volume, token, work, Then::Listed(place, into))
        }
        None => list_mounted(rt, place, into).map_err(Into::into),
    }
}

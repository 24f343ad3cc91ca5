//! Calls on open files and directories.

use crate::files::engine::{at_once, submit, submit_detached};
use crate::files::mounted_volume::job::request::Request;
use crate::files::mounted_volume::job::{Output, Waiter};
use crate::files::open_files::{Offset, OpenFile, OpenId, moved};
use crate::types::{Int, IntsPiece, Piece};
use crate::{Operations, Runtime};
use ::fs::{Fallocate, FileId, Seek};
use alloc::rc::Rc;
use platform::error::{Answer, Error};
use reactor::table::{Fd, Kind, cannot_park};

/// Larger reads always become jobs, so that they can be cancelled, and other jobs can run.
const MAX_AT_ONCE: usize = 1 << 20;

/// Operations of a file descriptor.
pub static FILE: Operations = Operations::without_data(Kind::File, cannot_park, close);

/// Operations of a directory descriptor.
pub static DIRECTORY: Operations = Operations {
    kind: Kind::Directory,
    ..FILE
};

/// Closes the open file or directory of a descriptor.
fn close(rt: &mut Runtime, key: u32) {
    if let Some(OpenFile { on, .. }) = rt.resources.files.open.remove(key)
        && let Some((volume, file)) = on
    {
        submit_detached(rt, volume, Request::Close(file));
    }
}

/// Returns the volume, the file on it and the open file of a descriptor.
pub fn on_volume(rt: &mut Runtime, fd: Fd) -> Result<(usize, FileId, OpenId), Error> {
    let key = rt.table.key_of(fd, &FILE)?;
    let (open, file) = rt.resources.files.open.find(key)?;
    let (volume, id) = file.on.ok_or(Error::WrongKind)?;
    Ok((volume, id, open))
}

/// Returns where a transfer begins, and whether it moves the file's position; -1 selects the
/// position.
fn offset(position: Int, open: OpenId) -> Result<(Offset, Output), Error> {
    match position {
        -1 => Ok((Offset::Position(open), Output::Position(open))),
        position => {
            let position = u64::try_from(position).map_err(|_| Error::Invalid)?;
            Ok((Offset::At(position), Output::Number))
        }
    }
}

/// See `soil_file_read`. What is in memory is read here: no job, no completion, one copy.
pub fn read(rt: &mut Runtime, fd: Fd, into: Piece, position: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, open) = on_volume(rt, fd)?;
    let (offset, output) = offset(position, open)?;
    if into.len() <= MAX_AT_ONCE
        && let Some(ended) = at_once(rt, volume, Request::Read(id, offset, into), output)
    {
        return ended.or_else(|failure| rt.fail(failure));
    }
    let request = Request::Read(id, offset, into);
    submit(rt, volume, Waiter::Operation(token, output), request)
}

/// See `soil_file_write`.
pub fn write(rt: &mut Runtime, fd: Fd, from: Piece, position: Int, token: Int) -> Answer {
    let (_, _, open) = on_volume(rt, fd)?;
    let append = rt.resources.files.open.find(open.key)?.1.append;
    write_at(rt, fd, from, position, append, token)
}

/// Like [`write`], but the argument `append` replaces the descriptor's flag.
pub fn write_at(
    rt: &mut Runtime,
    fd: Fd,
    from: Piece,
    position: Int,
    append: bool,
    token: Int,
) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, open) = on_volume(rt, fd)?;
    let (offset, output) = offset(position, open)?;
    let offset = if append { Offset::End } else { offset };
    let request = Request::Write(id, offset, from);
    submit(rt, volume, Waiter::Operation(token, output), request)
}

/// Sets or clears append mode: whether every write goes to the end of the file.
pub fn set_append(rt: &mut Runtime, fd: Fd, append: bool) -> Answer {
    let (_, _, open) = on_volume(rt, fd)?;
    rt.resources.files.open.find(open.key)?.1.append = append;
    Ok(0)
}

/// Submits a request about the file of a descriptor.
fn ask(
    rt: &mut Runtime,
    fd: Fd,
    token: Int,
    output: Output,
    request: impl FnOnce(FileId) -> Request,
) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    submit(rt, volume, Waiter::Operation(token, output), request(id))
}

/// See `soil_file_size`.
pub fn size(rt: &mut Runtime, fd: Fd, token: Int) -> Answer {
    ask(rt, fd, token, Output::Number, Request::Size)
}

/// See `soil_file_truncate`.
pub fn truncate(rt: &mut Runtime, fd: Fd, size: u64, token: Int) -> Answer {
    ask(rt, fd, token, Output::Number, |id| {
        Request::Truncate(id, size)
    })
}

/// Modes of [`allocate`], by number.
const FORMS: [Fallocate; 4] = [
    Fallocate::Allocate,
    Fallocate::KeepSize,
    Fallocate::PunchHole,
    Fallocate::ZeroRange,
];

/// See `soil_file_allocate`.
pub fn allocate(rt: &mut Runtime, fd: Fd, how: Int, range: (Int, Int), token: Int) -> Answer {
    let form = usize::try_from(how).ok().and_then(|how| FORMS.get(how));
    let form = *form.ok_or(Error::Invalid)?;
    let position = u64::try_from(range.0).map_err(|_| Error::Invalid)?;
    let len = u64::try_from(range.1).map_err(|_| Error::Invalid)?;
    ask(rt, fd, token, Output::Number, |id| {
        Request::Allocate(id, form, position, len)
    })
}

/// See `soil_file_next`.
pub fn next(rt: &mut Runtime, fd: Fd, position: Int, hole: bool, token: Int) -> Answer {
    let position = u64::try_from(position).map_err(|_| Error::Invalid)?;
    let to = if hole { Seek::Hole } else { Seek::Data };
    ask(rt, fd, token, Output::Number, |id| {
        Request::Seek(id, to, position)
    })
}

/// See `soil_file_sync`.
pub fn file_sync(rt: &mut Runtime, fd: Fd, token: Int) -> Answer {
    ask(rt, fd, token, Output::Number, Request::SyncFile)
}

/// See `soil_file_stat`.
pub fn file_stat(rt: &mut Runtime, fd: Fd, into: IntsPiece, token: Int) -> Answer {
    ask(rt, fd, token, Output::Numbers(into), Request::StatFile)
}

/// See `soil_file_contents`.
pub fn contents(rt: &mut Runtime, fd: Fd, into: IntsPiece, token: Int) -> Answer {
    ask(rt, fd, token, Output::Numbers(into), Request::Contents)
}

/// See `soil_file_seek`.
pub fn seek(rt: &mut Runtime, fd: Fd, offset: Int, whence: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, open) = on_volume(rt, fd)?;
    let offset = offset as i64;
    let files = &mut rt.resources.files.open;
    let base = match whence {
        0 => 0,
        1 => files.position(open),
        2 => {
            let output = Output::End { file: open, offset };
            let waiter = Waiter::Operation(token, output);
            return submit(rt, volume, waiter, Request::Size(id));
        }
        _ => return Err(Error::Invalid.into()),
    };
    let position = moved(base, offset)?;
    files.set_position(open, position);
    Ok(position as usize)
}

/// See `soil_directory_next`.
pub fn directory_next(rt: &mut Runtime, fd: Fd, into: Piece, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let key = rt.table.key_of(fd, &DIRECTORY)?;
    let files = &mut rt.resources.files.open;
    let (open, file) = files.find(key)?;
    let Some((volume, id)) = file.on else {
        return Ok(files.list_mounted(open, into)?);
    };
    let request = Request::List(id, Offset::Position(open), into, Rc::clone(&file.names));
    let waiter = Waiter::Operation(token, Output::Entries(open, into));
    submit(rt, volume, waiter, request)
}

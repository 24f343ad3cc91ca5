//! The table of open files and directories: what their descriptors stand for.

use super::records::pack;
use crate::types::Piece;
use ::fs::{Cursor, FileId, Kind};
use alloc::rc::Rc;
use alloc::string::String;
use platform::error::Error;
use slab::Slab;

/// An open file or directory. The serial number tells it from a later one with the same key: a job
/// may end after its descriptor was closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpenId {
    /// The key in the table of open files.
    pub key: u32,
    /// No other open file ever has it.
    serial: u64,
}

/// Where a transfer or a listing begins.
#[derive(Clone, Copy)]
pub enum Offset {
    /// At this byte, or at this cursor of a directory.
    At(u64),
    /// At the position that the open file has when the job begins.
    Position(OpenId),
    /// At the end: a write appends.
    End,
}

/// How far an open file or directory has been read.
#[derive(Clone, Copy)]
pub enum Position {
    /// The next byte of a file, or the next cursor of a directory on its volume.
    At(u64),
    /// The volume's directory has been listed to its end, and so many names of what is mounted in
    /// it have been given.
    Mounted(usize),
}

/// The open file or directory of a descriptor.
pub struct OpenFile {
    serial: u64,
    /// The volume, and its file or directory; none for a directory that only leads to mount points.
    pub on: Option<(usize, FileId)>,
    /// Of a directory: what is mounted in it.
    pub names: Rc<[String]>,
    /// Writes go to the end.
    pub append: bool,
    position: Position,
}

/// All that are open.
pub struct OpenFiles {
    files: Slab<OpenFile>,
    next_serial: u64,
}

impl OpenFiles {
    /// None.
    pub const fn new() -> OpenFiles {
        OpenFiles {
            files: Slab::new(),
            next_serial: 0,
        }
    }

    /// Adds a file or directory of `on` a volume, or a directory that has nothing but mount points;
    /// its key.
    pub fn insert(
        &mut self,
        on: Option<(usize, FileId)>,
        names: Rc<[String]>,
        append: bool,
    ) -> u32 {
        let serial = self.next_serial;
        self.next_serial += 1;
        let key = self.files.insert(OpenFile {
            serial,
            on,
            names,
            append,
            position: match on {
                Some(_) => Position::At(0),
                None => Position::Mounted(0),
            },
        });
        key as u32
    }

    /// Whether anything on a volume is open.
    pub fn is_used(&self, volume: usize) -> bool {
        let mut files = self.files.iter();
        files.any(|(_, file)| file.on.is_some_and(|(other, _)| other == volume))
    }

    /// The file with this key, and its name for as long as it is open.
    pub fn find(&mut self, key: u32) -> Result<(OpenId, &mut OpenFile), Error> {
        let file = self.files.get_mut(key as usize).ok_or(Error::Closed)?;
        let serial = file.serial;
        Ok((OpenId { key, serial }, file))
    }

    /// The file, if it is still open.
    fn get(&mut self, id: OpenId) -> Option<&mut OpenFile> {
        let file = self.files.get_mut(id.key as usize);
        file.filter(|file| file.serial == id.serial)
    }

    /// Takes a file out of the table.
    pub fn remove(&mut self, key: u32) -> Option<OpenFile> {
        self.files.try_remove(key as usize)
    }

    /// The position of a file, in bytes.
    pub fn position(&mut self, id: OpenId) -> u64 {
        match self.get(id).map(|file| file.position) {
            Some(Position::At(position)) => position,
            Some(Position::Mounted(_)) | None => 0,
        }
    }

    /// Makes a position the offset that it is now, if the file is still open; called when the job
    /// begins.
    pub fn resolve(&mut self, offset: &mut Offset) {
        if let Offset::Position(id) = *offset
            && let Some(file) = self.get(id)
        {
            *offset = match file.position {
                Position::At(position) => Offset::At(position),
                Position::Mounted(_) => Offset::End,
            };
        }
    }

    /// Sets the position, if the file is still open.
    pub fn set_position(&mut self, id: OpenId, position: u64) {
        if let Some(file) = self.get(id) {
            file.position = Position::At(position);
        }
    }

    /// Notes where a listing continues: at a cursor of the volume's directory, or with what is
    /// mounted in it.
    pub fn set_cursor(&mut self, id: OpenId, next: Option<Cursor>) {
        if let Some(file) = self.get(id) {
            file.position = match (next, file.position) {
                (Some(cursor), _) => Position::At(cursor),
                (None, Position::At(_)) => Position::Mounted(0),
                (None, mounted) => mounted,
            };
        }
    }

    /// Packs what is mounted in a directory, once the volume's own entries have been listed; the
    /// bytes. The operation that the memory belongs to has not completed.
    pub fn list_mounted(&mut self, id: OpenId, into: Piece) -> Result<usize, Error> {
        let Some(file) = self.get(id) else {
            return Ok(0);
        };
        let Position::Mounted(given) = file.position else {
            return Ok(0);
        };
        // SAFETY: the operation that the piece belongs to has not completed.
        let into = unsafe { into.as_mut_slice() };
        let (mut packed, mut next) = (0, given);
        for name in file.names.iter().skip(given) {
            let room = into.get_mut(packed..).unwrap_or_default();
            let Some(n) = pack(room, name, Kind::Directory) else {
                break;
            };
            packed += n;
            next += 1;
        }
        file.position = Position::Mounted(next);
        if packed == 0 && given < file.names.len() {
            return Err(Error::Invalid);
        }
        Ok(packed)
    }
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

//! The table of open files and directories, which descriptors refer to.

use super::records::pack;
use crate::types::Piece;
use ::fs::{Cursor, FileId, Kind};
use alloc::rc::Rc;
use alloc::string::String;
use platform::error::Error;
use slab::Slab;

/// Identifies an open file or directory. The serial number distinguishes it from a later one with
/// the same key: a job may complete after its descriptor was closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpenId {
    /// Key in the table of open files.
    pub key: u32,
    /// Serial number, never reused.
    serial: u64,
}

/// Start of a transfer or a listing.
#[derive(Clone, Copy)]
pub enum Offset {
    /// At this byte of a file, or this cursor of a directory.
    At(u64),
    /// At the position of the open file when the job starts.
    Position(OpenId),
    /// At the end of the file: a write appends.
    End,
}

/// Read position of an open file or directory.
#[derive(Clone, Copy)]
pub enum Position {
    /// Next byte of a file, or next cursor of a directory on its volume.
    At(u64),
    /// After the last entry of the volume's directory, and after this number of the mount points in
    /// it.
    Mounted(usize),
}

/// The open file or directory of a descriptor.
pub struct OpenFile {
    serial: u64,
    /// The volume, and the file or directory on it; `None` for a directory that only leads to mount
    /// points.
    pub on: Option<(usize, FileId)>,
    /// Mount points in a directory.
    pub names: Rc<[String]>,
    /// Whether every write goes to the end of the file.
    pub append: bool,
    position: Position,
}

/// All open files and directories.
pub struct OpenFiles {
    files: Slab<OpenFile>,
    next_serial: u64,
}

impl OpenFiles {
    /// Creates an empty table.
    pub const fn new() -> OpenFiles {
        OpenFiles {
            files: Slab::new(),
            next_serial: 0,
        }
    }

    /// Adds a file or directory `on` a volume, or a directory that has nothing but mount points.
    /// Returns its key.
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

    /// Whether a volume has open files or directories.
    pub fn is_used(&self, volume: usize) -> bool {
        let mut files = self.files.iter();
        files.any(|(_, file)| file.on.is_some_and(|(other, _)| other == volume))
    }

    /// Returns the file with this key, and the identifier that it has while it is open.
    pub fn find(&mut self, key: u32) -> Result<(OpenId, &mut OpenFile), Error> {
        let file = self.files.get_mut(key as usize).ok_or(Error::Closed)?;
        let serial = file.serial;
        Ok((OpenId { key, serial }, file))
    }

    /// Returns the file, if it is still open.
    fn get(&mut self, id: OpenId) -> Option<&mut OpenFile> {
        let file = self.files.get_mut(id.key as usize);
        file.filter(|file| file.serial == id.serial)
    }

    /// Removes a file from the table.
    pub fn remove(&mut self, key: u32) -> Option<OpenFile> {
        self.files.try_remove(key as usize)
    }

    /// Returns the position of a file, in bytes.
    pub fn position(&mut self, id: OpenId) -> u64 {
        match self.get(id).map(|file| file.position) {
            Some(Position::At(position)) => position,
            Some(Position::Mounted(_)) | None => 0,
        }
    }

    /// Replaces `Position` by the file's current position, if the file is still open. Called when
    /// the job starts.
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

    /// Sets the position of a listing: a cursor of the volume's directory, or the mount points in
    /// it.
    pub fn set_cursor(&mut self, id: OpenId, next: Option<Cursor>) {
        if let Some(file) = self.get(id) {
            file.position = match (next, file.position) {
                (Some(cursor), _) => Position::At(cursor),
                (None, Position::At(_)) => Position::Mounted(0),
                (None, mounted) => mounted,
            };
        }
    }

    /// Packs the mount points in a directory, after the volume's own entries. Returns the length in
    /// bytes. The operation that owns the memory has not completed.
    pub fn list_mounted(&mut self, id: OpenId, into: Piece) -> Result<usize, Error> {
        let Some(file) = self.get(id) else {
            return Ok(0);
        };
        let Position::Mounted(given) = file.position else {
            return Ok(0);
        };
        // SAFETY: the operation that owns the piece has not completed.
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

/// Returns a position plus an offset; fails before the start, or beyond the range of OCaml's
/// integers.
pub fn moved(base: u64, offset: i64) -> Result<u64, Error> {
    let position = base.checked_add_signed(offset).ok_or(Error::Invalid)?;
    if position >> 62 == 0 {
        Ok(position)
    } else {
        Err(Error::Invalid)
    }
}

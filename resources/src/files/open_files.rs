//! The table of open files and directories: what their descriptors stand for.

use super::job::{OpenId, Output};
use super::request::{Request, pack};
use crate::Operations;
use crate::Runtime;
use crate::types::Piece;
use crate::types::constants::{KIND_DIRECTORY, KIND_FILE};
use ::fs::{Cursor, FileId, Kind};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use platform::error::Error;
use reactor::table::{cannot_park, cannot_read, cannot_shut_down, cannot_write};
use slab::Slab;

/// The offset of a write that goes to the end, see [`Request::Write`].
pub const APPEND: u64 = u64::MAX;

/// The open file or directory of a descriptor.
pub struct OpenFile {
    serial: u64,
    /// The volume, and its file or directory; none for a directory that only leads to mount points.
    pub on: Option<(usize, FileId)>,
    /// Of a directory: what is mounted in it.
    pub names: Rc<[String]>,
    /// Writes go to the end.
    pub append: bool,
    /// Bytes, the cursor of a directory, or at its end the number of names given.
    pub position: u64,
    /// The volume's directory has been listed to its end.
    ended: bool,
}

/// The operations of a file's descriptor.
pub static FILE: Operations = Operations {
    kind: KIND_FILE,
    read: cannot_read,
    write: cannot_write,
    ready: cannot_park,
    shutdown: cannot_shut_down,
    close: super::close,
};

/// Those of a directory's.
pub static DIRECTORY: Operations = Operations {
    kind: KIND_DIRECTORY,
    ..FILE
};

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
    pub fn get(&mut self, id: OpenId) -> Option<&mut OpenFile> {
        let file = self.files.get_mut(id.key as usize);
        file.filter(|file| file.serial == id.serial)
    }

    /// Takes a file out of the table.
    pub fn remove(&mut self, key: u32) -> Option<OpenFile> {
        self.files.try_remove(key as usize)
    }

    /// Puts the file's position into a request that begins there; called when its job starts.
    pub fn positioned(&mut self, request: Request, output: Output) -> Request {
        let (Output::Position(id) | Output::Entries(id, _)) = output else {
            return request;
        };
        let Some(file) = self.get(id) else {
            return request;
        };
        match request {
            Request::Read(id, _, into) => Request::Read(id, file.position, into),
            Request::Write(id, offset, from) if offset != APPEND => {
                Request::Write(id, file.position, from)
            }
            // There is nothing more to be listed: a job that gives 0.
            Request::List(..) if file.ended => Request::Mount,
            Request::List(id, _, into, without) => Request::List(id, file.position, into, without),
            request => request,
        }
    }

    /// Moves the position on, if the file is still open.
    pub fn advance(&mut self, id: OpenId, n: u64) {
        if let Some(file) = self.get(id) {
            file.position = file.position.saturating_add(n);
        }
    }

    /// Sets the position, if the file is still open.
    pub fn set_position(&mut self, id: OpenId, position: u64) {
        if let Some(file) = self.get(id) {
            file.position = position;
        }
    }

    /// Notes where a listing goes on, or that it has ended.
    pub fn set_cursor(&mut self, id: OpenId, next: Option<Cursor>) {
        if let Some(file) = self.get(id) {
            file.position = next.unwrap_or(0);
            file.ended = next.is_none();
        }
    }

    /// Packs what is mounted in a directory, once the volume's own entries have been listed; the
    /// bytes. The operation that the memory belongs to has not completed.
    pub fn list_mounted(&mut self, id: OpenId, into: Piece) -> Result<usize, Error> {
        let Some(file) = self.get(id).filter(|file| file.ended) else {
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
}

/// Makes the descriptor of a file or directory: of `on` a volume, or of a directory that has
/// nothing but mount points. `names`: it is a directory, in which these are mounted.
pub fn insert(
    rt: &mut Runtime,
    on: Option<(usize, FileId)>,
    append: bool,
    names: Option<Vec<String>>,
) -> Result<usize, Error> {
    let files = rt.resources.files.as_deref_mut().ok_or(Error::Closed)?;
    let open = &mut files.open;
    let serial = open.next_serial;
    open.next_serial += 1;
    let operations = if names.is_some() { &DIRECTORY } else { &FILE };
    let key = open.files.insert(OpenFile {
        serial,
        on,
        names: names.unwrap_or_default().into(),
        append,
        position: 0,
        ended: on.is_none(),
    });
    match rt.table.insert(operations, key as u32) {
        Ok(fd) => Ok(fd.encode() as usize),
        Err(error) => {
            open.files.try_remove(key);
            Err(error)
        }
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

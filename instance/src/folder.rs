//! Files on a labelled disk, read by their whole path.

use crate::iso9660::Iso;
use crate::{Error, MAX_DOCUMENT};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use fs::{OpenFlags, Volume};

/// The files of a disk.
pub enum Folder {
    /// An ISO 9660 file system.
    Iso(Iso),
    /// A FAT file system.
    Fat(Box<dyn Volume>),
}

impl Folder {
    /// Reads the file at `path`, of at most [`MAX_DOCUMENT`] bytes; `None` if there is none. The
    /// case of names doesn't matter.
    pub fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Iso(iso) => iso.read(path, MAX_DOCUMENT),
            Self::Fat(volume) => read_volume(&mut **volume, path),
        }
        .map_err(|error| error.within(path))
    }
}

fn read_volume(volume: &mut dyn Volume, path: &str) -> Result<Option<Vec<u8>>, Error> {
    let wrong = |error: fs::Error| Error::new(format!("{error}"));
    let file = match volume.open(path, OpenFlags::READ) {
        Ok(file) => file,
        Err(fs::Error::NotFound | fs::Error::NotDirectory | fs::Error::IsDirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(wrong(error)),
    };
    let size = volume.size(file).map_err(wrong)?;
    let len = usize::try_from(size)
        .ok()
        .filter(|len| *len <= MAX_DOCUMENT);
    let len = len.ok_or_else(|| too_large(size))?;
    let mut bytes = vec![0; len];
    let read = volume.read_at(file, 0, &mut bytes).map_err(wrong)?;
    bytes.truncate(read);
    volume.close(file).map_err(wrong)?;
    Ok(Some(bytes))
}

/// The error of a file that is longer than [`MAX_DOCUMENT`].
pub fn too_large(size: u64) -> Error {
    Error::new(format!("{size} bytes; at most 256 KiB are supported"))
}

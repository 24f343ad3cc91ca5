//! Files on a labelled disk, read by their whole path.

use crate::iso9660::Iso;
use crate::{Error, MAX_DOCUMENT, too_large};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fs::Block;
use fs::fat::reader::Reader;

/// The file system of a disk, and its files.
pub enum Folder {
    /// An ISO 9660 file system.
    Iso(Iso),
    /// A FAT file system.
    Fat(Reader),
}

impl Folder {
    /// Opens the file system with one of the labels that `wanted` knows, as libblkid and so Linux's
    /// udev name it, on the device that `open` opens at each call. `None`: there is none, or the
    /// device can't be read.
    pub fn open<T>(
        open: &mut dyn FnMut() -> Box<dyn Block + Send>,
        wanted: fn(&str) -> Option<T>,
    ) -> Option<(Self, T)> {
        if let Ok(Some(iso)) = Iso::open(open())
            && let Some(found) = wanted(iso.label())
        {
            return Some((Self::Iso(iso), found));
        }
        let mut fat = Reader::open(open()).ok().flatten()?;
        let label: String = fat.label().ok().flatten()?;
        wanted(&label).map(|found| (Self::Fat(fat), found))
    }

    /// Reads the file at `path`, of at most [`MAX_DOCUMENT`] bytes; `None` if there is none. The
    /// case of names doesn't matter.
    pub fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Iso(iso) => iso.read(path, MAX_DOCUMENT),
            Self::Fat(fat) => read_fat(fat, path),
        }
        .map_err(|error| error.within(path))
    }
}

fn read_fat(fat: &mut Reader, path: &str) -> Result<Option<Vec<u8>>, Error> {
    let wrong = |error: fs::Error| Error::new(format!("{error}"));
    let Some(file) = fat.find(path).map_err(wrong)? else {
        return Ok(None);
    };
    if file.size as usize > MAX_DOCUMENT {
        return Err(too_large(file.size.into()));
    }
    fat.contents(file).map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests;

//! Files that are part of the program.
//!
//! Only names are copied: reads take the bytes from the program in memory, and [`Volume::contents`]
//! returns that memory. A hash finds a name.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use crate::tree::{Content, Known, ReadOnly, Refusal, Source, Tree};
use crate::{Error, Lease, MountError, Volume};

/// The contents of embedded files.
struct Contents;

impl Source for Contents {
    type File = &'static [u8];

    fn size(file: &Self::File) -> u64 {
        file.len() as u64
    }

    fn read(&mut self, file: &Self::File, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        let from = usize::try_from(offset).map_err(|_| Error::Invalid)?;
        let known = file.get(from..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(known.ok_or(Error::Invalid)?);
        Ok(())
    }

    fn lend(
        &mut self,
        file: &Self::File,
        offset: u64,
        len: usize,
        out: &mut Vec<Lease>,
    ) -> Result<(), Error> {
        let from = usize::try_from(offset).map_err(|_| Error::Invalid)?;
        let known = file.get(from..).and_then(|rest| rest.get(..len));
        out.push(Lease::always(known.ok_or(Error::Invalid)?));
        Ok(())
    }

    fn contents(file: &Self::File) -> Option<&'static [u8]> {
        Some(file)
    }
}

/// A volume of these files. Paths are relative to its root, with single slashes; one that ends in a
/// slash is a directory, needed only for empty ones. Files have no times: 0.
///
/// Fails, and names the entry, for a path with `..`, a name of more than 255 bytes, a path that
/// occurs twice or is both a file and a directory, and when memory is short.
pub fn new<'a>(
    entries: impl IntoIterator<Item = (&'a str, &'static [u8])>,
) -> Result<Box<dyn Volume>, MountError> {
    let mut tree = Tree::new(usize::MAX);
    let mut total = 0;
    for (path, contents) in entries {
        let refused = |error, reason: &str| {
            MountError::new(error, format!("embedded file {path:?}: {reason}"))
        };
        let content = if path.ends_with('/') {
            Content::EMPTY
        } else if tree.lookup(path).is_ok() {
            return Err(refused(Error::Exists, "is there twice"));
        } else {
            Content::File(contents)
        };
        total += contents.len() as u64;
        tree.add(path, content, Known::default())
            .map_err(|refusal| match refusal {
                Refusal::Memory | Refusal::Full => {
                    refused(Error::OutOfMemory, "no memory for its name")
                }
                Refusal::Kind | Refusal::Target => {
                    refused(Error::Exists, "is a file and a directory")
                }
                Refusal::Name | Refusal::Hash => {
                    refused(Error::InvalidName, "not a name that a file can have")
                }
            })?;
    }
    Ok(Box::new(ReadOnly::new(tree, Contents, total)))
}

#[cfg(test)]
mod tests;

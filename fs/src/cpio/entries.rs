//! The entries of archives of the format newc, checked one by one.
//!
//! Source: the format of Linux's initramfs
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`): headers of hexadecimal digits,
//! names and contents at multiples of four bytes, an entry `TRAILER!!!` at the end of an archive.

use alloc::format;

use crate::path::{self, MAX_PATH};
use crate::{Error, MountError};

/// Bytes of a header: the magic number, and 13 numbers of eight digits.
const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
/// Names and contents begin at multiples of this number.
const ALIGNMENT: usize = 4;
/// The name of an archive's last entry.
const TRAILER: &str = "TRAILER!!!";

/// Signatures of files that need conversion to an archive first, and the remedy.
const OTHERS: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "is packed with gzip: unpack it first"),
    (b"BZh", "is packed with bzip2: unpack it first"),
    (b"\xfd7zXZ\0", "is packed with xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is packed with zstd: unpack it first"),
    (b"070702", "has checksums: make it with cpio -o -H newc"),
    (
        b"070707",
        "has cpio's old format: make it with cpio -o -H newc",
    ),
];

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    /// A device, a pipe or a socket.
    Other,
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The path: not empty, without `..` and NUL, of at most [`MAX_PATH`] bytes.
    pub name: &'a str,
    pub kind: Kind,
    /// Seconds since 1970.
    pub modified: u32,
    /// The numbers that all names of a file have in common, for one with several names.
    pub inode: Option<[u32; 3]>,
    /// Contents of a file; the target of a link.
    pub contents: &'a [u8],
    /// The number of ends of archives before it.
    pub archive: usize,
}

/// The entries of the archives in `bytes`, one after the other.
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    archive: usize,
    /// The last entry was the end of an archive, or there was none.
    is_between: bool,
}

impl<'a> Entries<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            archive: 0,
            is_between: true,
        }
    }

    /// The next entry; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Entry<'a>>, MountError> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if self.is_between {
                let Some(zeros) = rest.iter().position(|byte| *byte != 0) else {
                    return Ok(None);
                };
                self.at += zeros;
                if !self.at.is_multiple_of(ALIGNMENT) {
                    return Err(
                        self.damaged("an archive doesn't begin at a multiple of four bytes")
                    );
                }
                self.is_between = false;
                continue;
            }
            let entry = self.read(rest)?;
            if entry.name != TRAILER {
                return Ok(Some(entry));
            }
            self.is_between = true;
            self.archive += 1;
        }
    }

    /// Reads the entry at the start of `rest`, which is the archive from [`Self::at`] on.
    fn read(&mut self, rest: &'a [u8]) -> Result<Entry<'a>, MountError> {
        if !rest.starts_with(MAGIC) && !MAGIC.starts_with(rest) {
            return Err(self.foreign(rest));
        }
        let Some(header) = rest.first_chunk::<HEADER>() else {
            return Err(self.damaged("it is cut short"));
        };
        let mut numbers = [0; 13];
        let digits = header.get(MAGIC.len()..).unwrap_or_default();
        for (number, digits) in numbers.iter_mut().zip(digits.chunks_exact(8)) {
            *number = hexadecimal(digits)
                .ok_or_else(|| self.damaged("a number of the header isn't hexadecimal"))?;
        }
        let [
            inode,
            mode,
            _,
            _,
            links,
            modified,
            size,
            major,
            minor,
            _,
            _,
            name_len,
            _,
        ] = numbers;
        let name_end = HEADER.saturating_add(name_len as usize);
        let name = rest.get(HEADER..name_end);
        let start = name_end.next_multiple_of(ALIGNMENT);
        let end = start.saturating_add(size as usize);
        let (Some(name), Some(contents)) = (name, rest.get(start..end)) else {
            return Err(self.damaged("a name or contents are longer than the rest of it"));
        };
        let name = name
            .strip_suffix(b"\0")
            .and_then(|name| core::str::from_utf8(name).ok());
        let is_path = |name: &&str| {
            !name.is_empty()
                && name.len() <= MAX_PATH
                && !name.contains('\0')
                && path::names(name).all(|name| name != "..")
        };
        let Some(name) = name.filter(is_path) else {
            return Err(self.damaged("a name isn't a path, or has a .. in it"));
        };
        let kind = match mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Link,
            _ => Kind::Other,
        };
        let entry = Entry {
            name,
            kind,
            modified,
            inode: (links > 1).then_some([major, minor, inode]),
            contents,
            archive: self.archive,
        };
        // The padding of the last entry may be missing.
        self.at = self
            .at
            .saturating_add(end.next_multiple_of(ALIGNMENT))
            .min(self.bytes.len());
        Ok(entry)
    }

    fn damaged(&self, reason: &str) -> MountError {
        let at = self.at;
        let detail = format!("the archive is damaged at byte {at}: {reason}; make it again");
        MountError::new(Error::Corrupt, detail)
    }

    /// The error for what isn't an entry of an archive.
    fn foreign(&self, rest: &[u8]) -> MountError {
        let other = OTHERS.iter().find(|(start, _)| rest.starts_with(start));
        match other {
            Some((_, remedy)) => {
                let at = self.at;
                MountError::new(Error::Corrupt, format!("the archive at byte {at} {remedy}"))
            }
            None if self.at == 0 => MountError::new(
                Error::Corrupt,
                "not a cpio archive: make one with cpio -o -H newc",
            ),
            None => self.damaged("no entry begins there"),
        }
    }
}

/// Eight hexadecimal digits.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    digits
        .iter()
        .try_fold(0, |number, byte| Some(number << 4 | digit(byte)?))
}

//! Regular files of volumes, and the attributes of objects on volumes.

use crate::blocking::lent::{Lent, pinned};
use crate::blocking::operation::{at_once, block, piece, read_only};
use crate::errors::Result;
use crate::file::{File, Offset};
#[cfg(feature = "image")]
use crate::mapping;
use crate::process;
use crate::stat::{self, FileId, Stat};
use alloc::string::String;
use core::ptr::NonNull;
use platform::error::Error;
use reactor::table::Fd;
use resources::files;
use resources::types::constants as c;
use resources::types::{Int, IntsPiece, records};
use sync::mutex::{Mutex, level};

/// A regular file of a volume.
pub struct Regular {
    fd: Fd,
    path: String,
    /// Set by the first query.
    id: Mutex<Option<FileId>, level::FileNumber>,
}

impl Regular {
    /// Creates one for the file that is open as `fd`, by an absolute path.
    pub fn new(fd: Fd, path: String) -> Regular {
        Regular {
            fd,
            path,
            id: Mutex::new(None),
        }
    }
}

/// The offset in the form of the operations: -1 for the position.
fn encode(offset: Offset) -> Result<Int> {
    match offset.byte() {
        Some(at) => Int::try_from(at).map_err(|_| libc::EINVAL),
        None => Ok(-1),
    }
}

impl File for Regular {
    fn stat(&self) -> Result<Stat> {
        let (numbers, _) =
            record(|into| block(|rt, token| files::file_stat(rt, self.fd, into, token)))?;
        Ok(decode_stat(numbers, &self.path))
    }

    fn name(&self) -> String {
        self.path.clone()
    }

    fn path(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn read(&self, into: &mut [u8], offset: Offset, _: i32) -> Result<usize> {
        let (at, piece) = (encode(offset)?, piece(into));
        let _pin = pinned(Lent::to_write(into))?;
        block(|rt, token| files::read(rt, self.fd, piece, at, token))
    }

    fn write(&self, from: &[u8], offset: Offset, _: i32) -> Result<usize> {
        let (at, piece) = (encode(offset)?, read_only(from));
        let _pin = pinned(Lent::to_read(from))?;
        match offset {
            Offset::Exactly(_) => {
                block(|rt, token| files::write_at(rt, self.fd, piece, at, false, token))
            }
            _ => block(|rt, token| files::write(rt, self.fd, piece, at, token)),
        }
    }

    fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        let fd = self.fd;
        let seek = |offset: Int, whence: i32| {
            block(|rt, token| files::seek(rt, fd, offset, whence as Int, token))
        };
        let position = match whence {
            libc::SEEK_SET | libc::SEEK_CUR | libc::SEEK_END => seek(offset as Int, whence)?,
            libc::SEEK_DATA | libc::SEEK_HOLE => {
                let hole = whence == libc::SEEK_HOLE;
                let next = block(|rt, token| files::next(rt, fd, offset as Int, hole, token))?;
                let found = next.checked_sub(1).ok_or(libc::ENXIO)?;
                seek(found as Int, libc::SEEK_SET)?
            }
            _ => return Err(libc::EINVAL),
        };
        Ok(position as u64)
    }

    fn available(&self) -> Result<u64> {
        let here = self.seek(0, libc::SEEK_CUR)?;
        Ok(self.size()?.saturating_sub(here))
    }

    fn is_regular(&self) -> bool {
        true
    }

    fn id(&self) -> Result<Option<FileId>> {
        let known = *self.id.lock();
        match known {
            Some(_) => Ok(known),
            None => {
                // Not under the lock, because it waits.
                let id = self.stat()?.id();
                Ok(Some(*self.id.lock().insert(id)))
            }
        }
    }

    fn size(&self) -> Result<u64> {
        block(|rt, token| files::size(rt, self.fd, token)).map(|size| size as u64)
    }

    fn truncate(&self, size: u64) -> Result<()> {
        block(|rt, token| files::truncate(rt, self.fd, size, token)).map(|_| ())
    }

    /// EOPNOTSUPP for unknown modes, and if the file system doesn't support it.
    fn allocate(&self, mode: i32, offset: i64, len: i64) -> Result<()> {
        let how = allocation(mode)?;
        let range = (offset as Int, len as Int);
        block(|rt, token| files::allocate(rt, self.fd, how, range, token)).map(|_| ())
    }

    fn sync(&self) -> Result<()> {
        self.flush_mappings()?;
        block(|rt, token| files::file_sync(rt, self.fd, token)).map(|_| ())
    }

    #[cfg(feature = "image")]
    fn is_mapped(&self) -> bool {
        mapping::is_any()
    }

    #[cfg(feature = "image")]
    fn flush_mappings(&self) -> Result<()> {
        match mapping::is_any() {
            true => mapping::flush(self.id()?),
            false => Ok(()),
        }
    }

    #[cfg(feature = "image")]
    fn refresh_mappings(&self, end: u64, len: u64) -> Result<()> {
        mapping::refresh(self.id()?, end, len)
    }

    fn set_append(&self, append: bool) -> Result<()> {
        #[cfg(feature = "image")]
        if append && mapping::writes_by(self) {
            // A write at an offset would append.
            return Err(libc::EINVAL);
        }
        at_once(|rt| files::set_append(rt, self.fd, append)).map(|_| ())
    }

    fn can_poll(&self) -> bool {
        false
    }
}

impl Drop for Regular {
    fn drop(&mut self) {
        // Closing never fails.
        let _ = at_once(|rt| rt.close(self.fd));
    }
}

/// The number of `soil_file_allocate` for a mode of `fallocate`.
fn allocation(mode: i32) -> Result<Int> {
    const PUNCH_HOLE: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    match mode {
        0 => Ok(0),
        libc::FALLOC_FL_KEEP_SIZE => Ok(1),
        PUNCH_HOLE => Ok(2),
        libc::FALLOC_FL_ZERO_RANGE => Ok(3),
        _ => Err(libc::EOPNOTSUPP),
    }
}

/// A descriptor of the runtime, as an operation returns it.
pub fn decode(fd: usize) -> Result<Fd> {
    Fd::decode(fd as Int).map_err(|_: Error| libc::EIO)
}

/// `stat`, or without `follow` `lstat`, of an absolute path on a volume.
pub fn stat(path: &str, follow: bool) -> Result<Stat> {
    let (numbers, _) =
        record(|into| block(|rt, token| files::stat(rt, path, follow, into, token)))?;
    Ok(decode_stat(numbers, path))
}

/// Writes back the volume that has an absolute path.
pub fn sync(path: &str) -> Result<()> {
    block(|rt, token| files::sync_volume(rt, path, token)).map(|_| ())
}

/// A record that an operation fills.
pub fn record<const N: usize>(
    fill: impl FnOnce(IntsPiece) -> Result<usize>,
) -> Result<([Int; N], usize)> {
    let mut numbers = [0; N];
    // SAFETY: `fill` waits for the operation's end.
    let piece = unsafe { IntsPiece::new(NonNull::from(&mut numbers).cast(), N) };
    let result = fill(piece)?;
    Ok((numbers, result))
}

fn decode_stat(numbers: [Int; records::Stat::LENGTH], path: &str) -> Stat {
    let [
        size,
        kind,
        modified,
        modified_ns,
        accessed,
        changed,
        links,
        inode,
        read_only,
        accessed_ns,
        changed_ns,
        volume,
    ] = numbers;
    let mode = match kind {
        c::ENTRY_DIRECTORY => libc::S_IFDIR | 0o755,
        c::ENTRY_SYMLINK => libc::S_IFLNK | 0o777,
        _ if read_only != 0 => libc::S_IFREG | 0o444,
        _ => libc::S_IFREG | 0o644,
    };
    let device = volume as u64 + 1;
    let inode = match inode {
        0 => stat::number(path),
        inode => inode as u64,
    };
    let is_socket = process::with(|process| process.socket_names.contains(&(device, inode)));
    let mode = match is_socket {
        true => libc::S_IFSOCK | 0o755,
        false => mode,
    };
    Stat {
        device,
        inode,
        links: links as u64,
        mode,
        size: size as u64,
        times: [
            [accessed as i64, accessed_ns as i64],
            [modified as i64, modified_ns as i64],
            [changed as i64, changed_ns as i64],
        ],
    }
}

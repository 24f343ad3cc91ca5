//! Tar archives as read-only disks: POSIX.1-2024 (pax and ustar) and GNU tar.
//!
//! The mount reads the archive once, from header to header, and keeps its names in memory, up to a
//! limit; contents are read in place. Supports hard and symbolic links, long names, large sizes and
//! times to the nanosecond. Skips devices and pipes with a warning; refuses sparse members and
//! multi-volume archives.

mod header;
mod scan;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::cache::{Cache, Run};
use crate::tree::{ReadOnly, Source, Tree};
use crate::{Block, BlockError, Error, Lease, MountError, Volume, VolumeOptions};

/// Mount options of a tar disk.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of memory for names and locations; a member takes some 100 and its path.
    pub index_bytes: usize,
    /// Options common to all volumes; the volume is always read-only.
    pub volume: VolumeOptions,
}

impl Default for Options {
    /// 16 MiB of index, allocated as names need it; 64 KiB of cache, since headers are read once.
    fn default() -> Self {
        Self {
            index_bytes: 16 << 20,
            volume: VolumeOptions {
                cache_bytes: 64 << 10,
                ..VolumeOptions::default()
            },
        }
    }
}

/// Location of a member's contents, in bytes.
#[derive(Debug, Clone, Copy)]
struct Member {
    start: u64,
    size: u64,
}

/// Disk that can be read at any byte offset.
struct Archive {
    cache: Cache,
    /// Size of the disk in bytes.
    size: u64,
}

impl Archive {
    fn new(device: Box<dyn Block + Send>, options: Options) -> Self {
        let sector = device.sector_size();
        Self {
            size: device.sectors().saturating_mul(sector as u64),
            cache: Cache::new(device, &options.volume),
        }
    }

    fn read_bytes(&mut self, at: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.cache.read_bytes(at, buf)
    }
}

impl Source for Archive {
    type File = Member;

    fn size(file: &Member) -> u64 {
        file.size
    }

    fn read(&mut self, file: &Member, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.cache.begin_reading(file.size);
        let read = self.read_bytes(file.start + offset, buf);
        self.cache.end_reading();
        Ok(read?)
    }

    fn lend(
        &mut self,
        file: &Member,
        offset: u64,
        len: usize,
        out: &mut Vec<Lease>,
    ) -> Result<(), Error> {
        let whole = Run {
            file: 0,
            disk: file.start,
            len: file.size,
        };
        self.cache
            .lend_runs(&[whole], file.size, (offset, len), out)
    }
}

/// Mounts the archive that begins with the first sector of `device`.
///
/// Reads all headers. Fails, with the position, for a disk that isn't a tar archive, for a damaged
/// or truncated archive, and for one whose names exceed the memory for them.
pub fn mount(
    device: Box<dyn Block + Send>,
    options: Options,
) -> Result<Box<dyn Volume>, MountError> {
    let mut archive = Archive::new(device, options);
    let mut tree = Tree::new(options.index_bytes);
    let total = scan::scan(&mut archive, &mut tree)?;
    Ok(Box::new(ReadOnly::new(tree, archive, total)))
}

#[cfg(test)]
mod tests;

//! Tar archives as read-only disks: POSIX.1-2024 (pax and ustar) and GNU's.
//!
//! The archive is read once from header to header while it is mounted, and its names are kept in
//! memory, up to a limit; contents are read where they lie. Hard and symbolic links, long names,
//! large sizes and times to the nanosecond. Devices and pipes are left out with a warning, sparse
//! members and archives of several volumes are refused.

mod header;
mod scan;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::cache::{Cache, Run};
use crate::tree::{ReadOnly, Source, Tree};
use crate::{Block, BlockError, Error, Lease, MountError, Volume, VolumeOptions};

/// How a tar disk is mounted.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of memory for names and places; a member takes some 100 and its path.
    pub index_bytes: usize,
    /// As for other volumes; nothing is ever written.
    pub volume: VolumeOptions,
}

impl Default for Options {
    /// 16 MiB of index, as far as names need it; 64 KiB of cache, since headers are read once.
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

/// Where a member's contents are, in bytes.
#[derive(Debug, Clone, Copy)]
struct Member {
    start: u64,
    size: u64,
}

/// A disk, read at any byte.
struct Archive {
    cache: Cache,
    /// Bytes of the disk.
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
/// Reads all of its headers. An error, which says where, for what isn't a tar archive, for one that
/// is damaged or cut short, and for one with more names than there is memory for.
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

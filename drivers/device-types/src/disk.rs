//! Disks: requests.

use core::ptr::NonNull;

/// Operation on sectors that transfers no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// Discards the sectors; later reads return unspecified data.
    Discard,
    /// Zeroes the sectors.
    Zeroes {
        /// The disk may deallocate the sectors.
        unmap: bool,
    },
}

/// A piece of a request's memory, with the layout of `struct iovec`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Slice {
    /// Its start.
    pub start: NonNull<u8>,
    /// Its length in bytes.
    pub len: usize,
}

/// A request of whole sectors of the disk. Its memory, and its list of slices, stay valid and
/// untouched until it is reported.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// Reads to memory.
    Read {
        /// First sector.
        sector: u64,
        /// Destination.
        to: NonNull<u8>,
        /// Bytes, whole sectors.
        len: usize,
    },
    /// Writes from memory.
    Write {
        /// First sector.
        sector: u64,
        /// Source.
        from: NonNull<u8>,
        /// Bytes, whole sectors.
        len: usize,
        /// One of several that a device begins together if it can, so that all or none of them are
        /// made when the machine is killed.
        together: bool,
    },
    /// Makes earlier writes durable.
    Flush,
    /// Reads to the slices, in order.
    Scatter {
        /// First sector.
        sector: u64,
        /// Destination; not empty.
        slices: NonNull<[Slice]>,
    },
    /// Writes the slices, in order.
    Gather {
        /// First sector.
        sector: u64,
        /// Source; not empty.
        slices: NonNull<[Slice]>,
        /// They are on stable storage when the request completes.
        durable: bool,
    },
    /// Discards or zeroes sectors.
    Clear {
        /// First sector.
        sector: u64,
        /// Number of sectors; at least one.
        count: u64,
        /// The operation.
        how: Clear,
    },
}

impl Request {
    /// Whether it is whole sectors of a disk with so many sectors of `sector_size` bytes.
    pub fn is_within(self, sectors: u64, sector_size: usize) -> bool {
        let (sector, len) = match self {
            Request::Read { sector, len, .. } | Request::Write { sector, len, .. } => (sector, len),
            // Checked where it is created.
            Request::Flush
            | Request::Scatter { .. }
            | Request::Gather { .. }
            | Request::Clear { .. } => return true,
        };
        let end = sector.checked_add((len / sector_size) as u64);
        len.is_multiple_of(sector_size) && end.is_some_and(|end| end <= sectors)
    }
}

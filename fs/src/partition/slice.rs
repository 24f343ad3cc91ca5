//! Part of a disk as a device.

use alloc::vec::Vec;

use crate::{Block, BlockError};

/// Contiguous sectors of a device as a device of its own: moves requests to its first sector and
/// rejects those that reach outside. A flush flushes the whole device.
#[derive(Debug)]
pub struct Slice<B> {
    device: B,
    first: u64,
    sectors: u64,
}

impl<B: Block> Slice<B> {
    /// Creates a device of the `sectors` of `device` from `first` on, or of as many as exist.
    pub fn new(device: B, first: u64, sectors: u64) -> Self {
        let left = device.sectors().saturating_sub(first);
        let sectors = sectors.min(left);
        Self {
            device,
            first,
            sectors,
        }
    }

    /// Returns the sector on the device of a request of `len` bytes at `sector`.
    fn place(&self, sector: u64, len: usize) -> Result<u64, BlockError> {
        let size = self.device.sector_size();
        let count = len.checked_div(size).ok_or(BlockError::OutOfRange)? as u64;
        let fits = len.is_multiple_of(size)
            && sector
                .checked_add(count)
                .is_some_and(|end| end <= self.sectors);
        if fits {
            self.first.checked_add(sector).ok_or(BlockError::OutOfRange)
        } else {
            Err(BlockError::OutOfRange)
        }
    }
}

impl<B: Block> Block for Slice<B> {
    fn sector_size(&self) -> usize {
        self.device.sector_size()
    }

    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn read_only(&self) -> bool {
        self.device.read_only()
    }

    fn is_unresponsive(&self) -> bool {
        self.device.is_unresponsive()
    }

    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let at = self.place(first_sector, buf.len())?;
        self.device.read(at, buf)
    }

    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        let at = self.place(first_sector, buf.len())?;
        self.device.write(at, buf)
    }

    fn write_batch(&mut self, writes: &[(u64, &[u8])]) -> Result<(), BlockError> {
        let mut placed = Vec::with_capacity(writes.len());
        for (sector, data) in writes {
            placed.push((self.place(*sector, data.len())?, *data));
        }
        self.device.write_batch(&placed)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        self.device.flush()
    }

    fn flush_unordered(&mut self) -> Result<(), BlockError> {
        self.device.flush_unordered()
    }
}

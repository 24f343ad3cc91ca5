//! Block device under a file system.

use alloc::vec;
use core::fmt;

/// Why a request to a block device failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockError {
    /// The device reported a failure or didn't answer in time.
    Io,
    /// The device is write-protected.
    ReadOnly,
    /// The storage behind the device has no room for what was to be written.
    NoSpace,
    /// The request reaches past the last sector, or its buffer is not a whole number of sectors.
    OutOfRange,
    /// The device doesn't support the request; volumes make no such requests.
    Unsupported,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "input/output error of the device",
            Self::ReadOnly => "the device is read-only",
            Self::NoSpace => "the storage behind the device is full",
            Self::OutOfRange => "request outside the device",
            Self::Unsupported => "not a request of this device",
        })
    }
}

impl core::error::Error for BlockError {}

/// Disk, addressed in sectors, owned by the one volume that is mounted on it.
///
/// Every call returns when the device has finished. The implementation decides how the caller
/// waits: on a parked fiber, or by blocking a process. Buffers have any alignment, are a whole
/// number of sectors long, and are not kept after the call.
///
/// A write that failed may have changed any of the sectors it named. Writes reach stable storage
/// in no particular order until [`flush`](Self::flush) has returned.
pub trait Block {
    /// Bytes in a sector: a power of two from 512 to 4096 that never changes.
    fn sector_size(&self) -> usize;

    /// Sectors on the device.
    fn sectors(&self) -> u64;

    /// Whether every write would fail with [`BlockError::ReadOnly`].
    fn read_only(&self) -> bool;

    /// Whether the caller must not wait for the device now: a request would fail, and only cached
    /// data is available. A cache then fails before it changes anything, so that the caller can
    /// repeat the call when it may wait.
    fn is_unresponsive(&self) -> bool {
        false
    }

    /// Reads sectors from `first_sector` on until `buf` is full.
    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError>;

    /// Writes `buf` to the sectors from `first_sector` on.
    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError>;

    /// Makes several writes, each of a first sector and whole sectors of data. They do not overlap.
    ///
    /// Override this if the device accepts many requests at once: a volume commits its tables
    /// through this call, and a shorter batch leaves less time for a power cut to fall inside it.
    /// Start the writes in order and submit them together.
    fn write_batch(&mut self, writes: &[(u64, &[u8])]) -> Result<(), BlockError> {
        writes
            .iter()
            .try_for_each(|(first_sector, data)| self.write(*first_sector, data))
    }

    /// Makes all writes that have returned durable before any later write.
    fn flush(&mut self) -> Result<(), BlockError>;

    /// As [`flush`](Self::flush), for a volume that doesn't rely on that order: later writes may
    /// become durable earlier.
    fn flush_unordered(&mut self) -> Result<(), BlockError> {
        self.flush()
    }
}

impl<B: Block + ?Sized> Block for alloc::boxed::Box<B> {
    fn sector_size(&self) -> usize {
        (**self).sector_size()
    }
    fn sectors(&self) -> u64 {
        (**self).sectors()
    }
    fn read_only(&self) -> bool {
        (**self).read_only()
    }
    fn is_unresponsive(&self) -> bool {
        (**self).is_unresponsive()
    }
    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        (**self).read(first_sector, buf)
    }
    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        (**self).write(first_sector, buf)
    }
    fn write_batch(&mut self, writes: &[(u64, &[u8])]) -> Result<(), BlockError> {
        (**self).write_batch(writes)
    }
    fn flush(&mut self) -> Result<(), BlockError> {
        (**self).flush()
    }
    fn flush_unordered(&mut self) -> Result<(), BlockError> {
        (**self).flush_unordered()
    }
}

/// Reads `bytes.len()` bytes from byte `at` of the device on, through its whole sectors.
///
/// # Errors
/// [`BlockError::OutOfRange`]: the device ends before, or its sectors aren't of 512 to 4096 bytes.
pub fn read_bytes(device: &mut dyn Block, at: u64, bytes: &mut [u8]) -> Result<(), BlockError> {
    let size = device.sector_size() as u64;
    if !(512..=4096).contains(&size) || !size.is_power_of_two() {
        return Err(BlockError::OutOfRange);
    }
    let end = at.checked_add(bytes.len() as u64);
    let last = end.ok_or(BlockError::OutOfRange)?.div_ceil(size);
    if last > device.sectors() {
        return Err(BlockError::OutOfRange);
    }
    if at.is_multiple_of(size) && (bytes.len() as u64).is_multiple_of(size) {
        return device.read(at / size, bytes);
    }
    let first = at / size;
    let mut sectors = vec![0; ((last - first) * size) as usize];
    device.read(first, &mut sectors)?;
    let found = sectors.get((at % size) as usize..);
    let found = found.and_then(|rest| rest.get(..bytes.len()));
    bytes.copy_from_slice(found.ok_or(BlockError::OutOfRange)?);
    Ok(())
}

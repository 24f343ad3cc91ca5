//! Memory that the driver and the device access at the same time, by 32-bit words.

use sync::atomic::{AtomicU32, Ordering};

use crate::{Error, MemoryRef, Region};

/// Alignment of queues.
const PAGE: usize = 4096;

/// Zeroed words, each accessed atomically. Order them by fences.
pub(super) struct Words(Region);

impl Words {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(memory: MemoryRef, bytes: usize) -> Result<Words, Error> {
        let region = Region::new(memory, bytes, PAGE).ok_or(Error::OutOfMemory)?;
        Ok(Words(region))
    }

    pub fn phys(&self, offset: usize) -> u64 {
        self.0.phys(offset)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= self.0.len() && offset.is_multiple_of(4));
        // SAFETY: an aligned word inside the region, which is accessed only atomically.
        unsafe { AtomicU32::from_ptr(self.0.ptr(offset).cast().as_ptr()) }
    }

    /// The word at `offset` bytes, a multiple of 4 inside: the driver's own arithmetic.
    pub fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Relaxed)
    }

    pub fn store(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Relaxed);
    }

    /// Leaks the memory, because the device may still access it.
    pub fn leak(&mut self) {
        self.0.leak();
    }
}

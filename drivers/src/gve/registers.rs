//! The registers of a gVNIC, and its memory, whose numbers are big endian in most places.

use sync::atomic::{AtomicU32, Ordering};

use crate::registers::Registers;
use crate::{Error, MemoryRef, Region};

/// Offsets of the registers of BAR 0, in bytes; their values are big endian.
pub mod offset {
    pub const DEVICE_STATUS: usize = 0x00;
    pub const DRIVER_STATUS: usize = 0x04;
    pub const ADMIN_PAGE: usize = 0x10;
    pub const ADMIN_DOORBELL: usize = 0x14;
    pub const ADMIN_EVENTS: usize = 0x18;
    pub const ADMIN_BASE_HIGH: usize = 0x20;
    pub const ADMIN_BASE_LOW: usize = 0x24;
    /// 16 bits, which a write of 32 bits sets.
    pub const ADMIN_LEN: usize = 0x28;
}

/// Bytes of the registers.
pub const LEN: usize = 0x2c;
/// Maximum bytes of doorbells that the driver maps.
pub const DOORBELLS_LEN: usize = 1 << 20;

/// Device status: the device asks for a reset.
pub const STATUS_RESET: u32 = 1 << 1;
/// Driver status: the driver uses the admin queue.
pub const DRIVER_RUNS: u32 = 1;

pub fn read(registers: &dyn Registers, at: usize) -> u32 {
    registers.read(at).swap_bytes()
}

pub fn write(registers: &dyn Registers, at: usize, value: u32) {
    registers.write(at, value.swap_bytes());
}

/// Zeroed memory that the device may access at any time, as 32-bit words.
pub struct Words(pub Region);

impl Words {
    /// Memory of `len` bytes, from the start of a page on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(memory: MemoryRef, len: usize) -> Result<Words, Error> {
        let region = Region::new(memory, len.next_multiple_of(4096), 4096);
        Ok(Words(region.ok_or(Error::OutOfMemory)?))
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.0.len());
        // SAFETY: an aligned word of the region, which is accessed only atomically.
        unsafe { AtomicU32::from_ptr(self.0.ptr(at).cast().as_ptr()) }
    }

    /// The little-endian word at `at` bytes.
    pub fn get(&self, at: usize) -> u32 {
        u32::from_le(self.word(at).load(Ordering::Relaxed))
    }

    /// Sets the little-endian word at `at` bytes.
    pub fn set(&self, at: usize, value: u32) {
        self.word(at).store(value.to_le(), Ordering::Relaxed);
    }

    /// The big-endian word at `at` bytes.
    pub fn get_be(&self, at: usize) -> u32 {
        self.get(at).swap_bytes()
    }

    /// Sets the big-endian word at `at` bytes.
    pub fn set_be(&self, at: usize, value: u32) {
        self.set(at, value.swap_bytes());
    }

    /// Sets the big-endian words from `at` on.
    pub fn set_all_be(&self, at: usize, words: &[u32]) {
        for (index, word) in words.iter().enumerate() {
            self.set_be(at + index * 4, *word);
        }
    }

    /// The upper and the lower half of the physical address of byte `at`.
    pub fn halves(&self, at: usize) -> [u32; 2] {
        halves(self.0.phys(at))
    }
}

/// The upper and the lower half.
pub fn halves(value: u64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

//! The registers of a controller (NVM Express Base 2.0, 3.1), and their place in a PCI function
//! (NVM Express over PCIe Transport 1.0, 3).

use crate::Error;
use crate::function::Function;
use crate::registers::{PciRegisters, Registers};

/// Offsets of the registers in bytes. Those of 64 bits are accessed as two halves.
pub mod offset {
    pub const CAPABILITIES: usize = 0x00;
    pub const VERSION: usize = 0x08;
    pub const INTERRUPT_MASK_SET: usize = 0x0c;
    pub const INTERRUPT_MASK_CLEAR: usize = 0x10;
    pub const CONFIGURATION: usize = 0x14;
    pub const STATUS: usize = 0x1c;
    pub const ADMIN_QUEUE_ATTRIBUTES: usize = 0x24;
    pub const ADMIN_SUBMISSIONS: usize = 0x28;
    pub const ADMIN_COMPLETIONS: usize = 0x30;
    pub const DOORBELLS: usize = 0x1000;
}

/// Interrupt vector 0, the only one in use, in the interrupt mask registers.
pub(super) const VECTOR_0: u32 = 1;
/// Doorbells of two pairs of queues: admin and I/O.
const DOORBELLS: usize = 4;
/// The base address register of the registers.
const REGISTERS_BAR: u8 = 0;

bitflags::bitflags! {
    /// Controller Status (3.1.4.6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Status: u32 {
        /// RDY: the controller processes commands.
        const READY = 1;
        /// CFS: a fatal error, which only a reset ends.
        const FATAL = 1 << 1;
    }
}

impl Status {
    /// The function was removed: an absent function reads as all ones, which no status is.
    pub fn is_gone(self) -> bool {
        self.bits() == u32::MAX
    }
}

/// Bytes from one doorbell to the next, of capabilities whose upper half this is (3.1.4.1, DSTRD).
pub(crate) fn doorbell_stride(capabilities_high: u32) -> usize {
    4 << (capabilities_high & 0xf)
}

/// Maps a controller's registers.
///
/// # Errors
///
/// [`Error::BadBar`], [`Error::Unmappable`], [`Error::Gone`].
pub fn open(function: &Function<'_>) -> Result<PciRegisters, Error> {
    let map = |len| {
        let mask = offset::INTERRUPT_MASK_SET;
        function.masking_registers(REGISTERS_BAR, len, mask, VECTOR_0)
    };
    let registers = map(offset::DOORBELLS)?;
    // Before anything depends on what an absent function reads as.
    if Status::from_bits_retain(registers.read(offset::STATUS)).is_gone() {
        return Err(Error::Gone);
    }
    let stride = doorbell_stride(registers.read(offset::CAPABILITIES + 4));
    map(offset::DOORBELLS + DOORBELLS * stride)
}

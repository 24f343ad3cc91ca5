//! Windows of 32-bit registers of devices that aren't virtio devices.

use core::ptr::NonNull;

use crate::register;
use crate::transport::Interrupt;

/// Access to a window of a device's registers. [`PciRegisters`] are the real ones; tests have their
/// own.
///
/// Values are as the processor reads them, little endian. No function blocks.
pub trait Registers: Send {
    /// Reads the 32 bits at `offset` bytes, a multiple of 4; all ones outside the registers.
    fn read(&self, offset: usize) -> u32;

    /// Writes the 32 bits at `offset` bytes, a multiple of 4; ignored outside the registers.
    fn write(&self, offset: usize, value: u32);

    /// Acknowledges the device's interrupts.
    fn interrupt(&self) -> Interrupt;
}

/// A window of a PCI function; [`Function`](crate::function::Function) maps it.
pub struct PciRegisters {
    base: NonNull<u8>,
    len: usize,
    interrupt: Interrupt,
}

// SAFETY: the registers stay mapped for good, and this is their only owner (promise to `new`).
unsafe impl Send for PciRegisters {}

impl PciRegisters {
    /// # Safety
    ///
    /// `base` is the start of `len` bytes of registers, page-aligned, mapped for good; nothing else
    /// drives their function.
    pub(crate) unsafe fn new(base: NonNull<u8>, len: usize) -> PciRegisters {
        PciRegisters {
            base,
            len,
            interrupt: Interrupt::message(),
        }
    }

    /// The same registers, of a function whose interrupts are acknowledged so.
    pub(crate) fn with_interrupt(self, interrupt: Interrupt) -> PciRegisters {
        PciRegisters { interrupt, ..self }
    }

    /// The address of a register if it is inside the window and aligned.
    pub(crate) fn register(&self, offset: usize) -> Option<NonNull<u32>> {
        if !offset.is_multiple_of(4) || offset.checked_add(4)? > self.len {
            return None;
        }
        // SAFETY: inside the mapping (checked just above).
        Some(unsafe { self.base.add(offset) }.cast())
    }
}

impl Registers for PciRegisters {
    fn read(&self, offset: usize) -> u32 {
        // SAFETY: a register in the mapping, which lasts for good; the mapping starts at a page.
        self.register(offset)
            .map_or(u32::MAX, |at| unsafe { register::read(at.as_ptr()) })
    }

    fn write(&self, offset: usize, value: u32) {
        if let Some(at) = self.register(offset) {
            // SAFETY: as for `read`; a write affects memory only through the queues' addresses,
            // which the driver owns.
            unsafe { register::write(at.as_ptr(), value) };
        }
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt
    }
}

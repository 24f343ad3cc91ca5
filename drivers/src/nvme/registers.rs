//! The registers of a controller (NVM Express Base 2.0, 3.1), and access to those of a PCI function
//! (NVM Express over PCIe Transport 1.0, 3).

use core::ptr::NonNull;

use crate::pci::{Address, Config, ConfigAccess};
use crate::register;
use crate::transport::Interrupt;
use crate::transport::pci::{Interrupts, program_msix};
use crate::{Error, MemoryRef};

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

/// Access to the registers of a controller. [`PciRegisters`] are the real ones; tests have their
/// own.
///
/// No function blocks.
pub trait Registers: Send {
    /// Reads the 32 bits at `offset`, a multiple of 4; all ones outside the registers.
    fn read(&self, offset: usize) -> u32;

    /// Writes the 32 bits at `offset`, a multiple of 4; ignored outside the registers.
    fn write(&self, offset: usize, value: u32);

    /// Acknowledges the controller's interrupts.
    fn interrupt(&self) -> Interrupt;
}

/// Bytes from one doorbell to the next, of capabilities whose upper half this is (3.1.4.1, DSTRD).
pub(crate) fn doorbell_stride(capabilities_high: u32) -> usize {
    4 << (capabilities_high & 0xf)
}

/// A controller that is a PCI function.
pub struct PciRegisters {
    base: NonNull<u8>,
    len: usize,
    interrupt: Interrupt,
}

// SAFETY: the registers stay mapped for good, and this is their only owner (promise to `new`).
unsafe impl Send for PciRegisters {}

impl PciRegisters {
    /// Maps the function's registers, enables it as bus master and programs its interrupts; with
    /// messages, the controller uses the first only.
    ///
    /// # Errors
    ///
    /// [`Error::BadBar`], [`Error::Unmappable`], [`Error::Gone`], [`Error::NoVector`] when it has
    /// no MSI-X (then try [`Interrupts::Line`]).
    ///
    /// # Safety
    ///
    /// Nothing else drives the function while the value lives, and the messages interrupt nothing
    /// but the handler that the caller has for them.
    pub unsafe fn new(
        memory: MemoryRef,
        access: &dyn ConfigAccess,
        address: Address,
        interrupts: Interrupts<'_>,
    ) -> Result<PciRegisters, Error> {
        let config = Config { access, address };
        let (phys, size) = config.sized_memory_bar(REGISTERS_BAR)?;
        config.enable(matches!(interrupts, Interrupts::Line));
        let map = |len: usize| match len as u64 <= size {
            true => memory.map_mmio(phys, len).ok_or(Error::Unmappable),
            false => Err(Error::Unmappable),
        };
        let mut registers = PciRegisters {
            base: map(offset::DOORBELLS)?,
            len: offset::DOORBELLS,
            interrupt: Interrupt::message(),
        };
        // Before anything depends on what an absent function reads as.
        if Status::from_bits_retain(registers.read(offset::STATUS)).is_gone() {
            return Err(Error::Gone);
        }
        let stride = doorbell_stride(registers.read(offset::CAPABILITIES + 4));
        registers.len = offset::DOORBELLS + DOORBELLS * stride;
        registers.base = map(registers.len)?;
        match interrupts {
            Interrupts::Messages(messages) => {
                program_msix(memory, &config, messages)?;
            }
            Interrupts::Line => {
                let mask = registers.register(offset::INTERRUPT_MASK_SET);
                // SAFETY: a register of this function; mappings of `Memory::map_mmio` last for
                // good.
                registers.interrupt =
                    unsafe { Interrupt::masked_line(mask.ok_or(Error::Unmappable)?, VECTOR_0) };
            }
            Interrupts::None => {}
        }
        Ok(registers)
    }

    /// The address of a register if it is inside the mapping and aligned.
    fn register(&self, offset: usize) -> Option<NonNull<u32>> {
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

//! A PCI function that isn't a virtio device, for its driver: interrupts and windows of registers.

use alloc::vec;
use core::ptr::NonNull;

use crate::pci::{Address, Config, ConfigAccess};
use crate::registers::PciRegisters;
use crate::transport::Interrupt;
use crate::transport::pci::{Interrupts, Message, disable_msix, program_messages};
use crate::{Error, MemoryRef};

/// What a driver makes of a function, and the acknowledgement of its interrupts.
pub type Started<T> = Result<(T, Interrupt), Error>;

/// A function that may access memory, and whose interrupts are programmed.
pub struct Function<'a> {
    memory: MemoryRef,
    config: Config<'a>,
    /// It interrupts by its line.
    has_line: bool,
    /// Its first message, if it interrupts by messages.
    message: Option<Message>,
}

impl<'a> Function<'a> {
    /// Enables the function as bus master and programs its interrupts; with messages, by MSI-X, or
    /// the first one by MSI.
    ///
    /// # Errors
    ///
    /// [`Error::NoVector`] without MSI-X and MSI, or with fewer vectors than messages (then try
    /// [`Interrupts::Line`]), [`Error::BadBar`], [`Error::Unmappable`].
    ///
    /// # Safety
    ///
    /// Nothing else drives the function while the value or [`PciRegisters`] of it live, and the
    /// messages interrupt nothing but the handler that the caller has for them.
    pub unsafe fn open(
        memory: MemoryRef,
        access: &'a dyn ConfigAccess,
        address: Address,
        interrupts: Interrupts<'_>,
    ) -> Result<Function<'a>, Error> {
        let config = Config { access, address };
        config.enable(matches!(interrupts, Interrupts::Line));
        // Firmware, or an attempt with messages, may have left it enabled: no line interrupts then.
        disable_msix(&config);
        let mut message = None;
        if let Interrupts::Messages(messages) = interrupts {
            program_messages(memory, &config, messages)?;
            message = messages.first().copied();
        }
        Ok(Function {
            memory,
            config,
            has_line: matches!(interrupts, Interrupts::Line),
            message,
        })
    }

    /// Whether it interrupts by messages.
    pub fn has_messages(&self) -> bool {
        self.message.is_some()
    }

    /// Has the first `vectors` vectors all send the first message, for a device whose queues have
    /// different ones; without messages nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoVector`] with fewer vectors.
    pub fn repeat_message(&self, vectors: usize) -> Result<(), Error> {
        let Some(message) = self.message else {
            return Ok(());
        };
        let messages = vec![message; vectors];
        let programmed = program_messages(self.memory, &self.config, &messages)?;
        match usize::from(programmed) < vectors {
            true => Err(Error::NoVector),
            false => Ok(()),
        }
    }

    /// The machine's memory.
    pub fn memory(&self) -> MemoryRef {
        self.memory
    }

    /// Vendor id in bits 0 to 15, device id in bits 16 to 31.
    pub fn id(&self) -> u32 {
        self.config.read(0)
    }

    /// The device's revision.
    pub fn revision(&self) -> u8 {
        self.config.read(8) as u8
    }

    /// Maps the first `len` bytes of memory BAR `bar`.
    ///
    /// # Errors
    ///
    /// [`Error::BadBar`], and [`Error::Unmappable`] also where the BAR is smaller.
    pub fn registers(&self, bar: u8, len: usize) -> Result<PciRegisters, Error> {
        self.map(bar, len, &|phys| self.memory.map_mmio(phys, len))
    }

    fn map(
        &self,
        bar: u8,
        len: usize,
        map: &dyn Fn(u64) -> Option<NonNull<u8>>,
    ) -> Result<PciRegisters, Error> {
        let (phys, size) = self.config.sized_memory_bar(bar)?;
        if len as u64 > size {
            return Err(Error::Unmappable);
        }
        let base = map(phys).ok_or(Error::Unmappable)?;
        // SAFETY: `len` bytes of this function, mapped for good; `open` has the promise that
        // nothing else drives it.
        Ok(unsafe { PciRegisters::new(base, len) })
    }

    /// Maps memory BAR `bar`, at most its first `most` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::BadBar`], [`Error::Unmappable`].
    pub fn registers_up_to(&self, bar: u8, most: usize) -> Result<PciRegisters, Error> {
        self.registers(bar, self.at_most(bar, most)?)
    }

    /// As [`registers_up_to`](Function::registers_up_to), for memory of the device that is only
    /// written: with write combining if the machine supports it, see
    /// [`Memory::map_video`](crate::Memory::map_video).
    ///
    /// # Errors
    ///
    /// [`Error::BadBar`], [`Error::Unmappable`].
    pub fn combining_memory_up_to(&self, bar: u8, most: usize) -> Result<PciRegisters, Error> {
        let len = self.at_most(bar, most)?;
        self.map(bar, len, &|phys| self.memory.map_video(phys, len))
    }

    fn at_most(&self, bar: u8, most: usize) -> Result<usize, Error> {
        let (_, size) = self.config.sized_memory_bar(bar)?;
        Ok(usize::try_from(size).map_or(most, |size| size.min(most)))
    }

    /// As [`registers`](Function::registers), for the window with the register that masks the
    /// interrupt line: the handler of the line writes `bits` to the register at `offset`, until
    /// the driver unmasks the interrupt again. Messages need no acknowledgement.
    ///
    /// # Errors
    ///
    /// As [`registers`](Function::registers); [`Error::Unmappable`] for an `offset` outside.
    pub fn masking_registers(
        &self,
        bar: u8,
        len: usize,
        offset: usize,
        bits: u32,
    ) -> Result<PciRegisters, Error> {
        let registers = self.registers(bar, len)?;
        if !self.has_line {
            return Ok(registers);
        }
        let mask = registers.register(offset).ok_or(Error::Unmappable)?;
        // SAFETY: a register of this function; mappings of `Memory::map_mmio` last for good.
        let interrupt = unsafe { Interrupt::masked_line(mask, bits) };
        Ok(registers.with_interrupt(interrupt))
    }
}

//! The registers of an adapter, and the commands that are written to them.

use crate::Error;
use crate::function::Function;
use crate::registers::{PciRegisters, Registers};

/// Offsets of the registers in bytes.
pub mod offset {
    pub const COMMAND: usize = 0x0000;
    pub const COMMAND_DATA: usize = 0x0004;
    pub const COMMAND_STATUS: usize = 0x0008;
    pub const INTERRUPT_STATUS: usize = 0x100c;
    pub const INTERRUPT_MASK: usize = 0x2010;
    pub const KICK_OTHER: usize = 0x3014;
    pub const KICK_READ_WRITE: usize = 0x4018;
}

/// Commands.
pub(super) const RESET: u32 = 1;
pub(super) const SETUP_RINGS: u32 = 3;
pub(super) const SETUP_MESSAGES: u32 = 8;
/// Status of a command that the adapter doesn't have.
pub(super) const NO_COMMAND: u32 = u32::MAX;

/// Causes of interrupts: completions and messages.
pub(super) const INTERRUPTS: u32 = 0xf;

/// Bytes of the registers, and the base address register of them.
const LEN: usize = 0x5000;
const REGISTERS_BAR: u8 = 0;

/// Maps an adapter's registers.
///
/// # Errors
///
/// [`Error::BadBar`], [`Error::Unmappable`], [`Error::Gone`].
pub fn open(function: &Function<'_>) -> Result<PciRegisters, Error> {
    // The mask has the causes that interrupt.
    let registers = function.masking_registers(REGISTERS_BAR, LEN, offset::INTERRUPT_MASK, 0)?;
    match is_gone(&registers) {
        true => Err(Error::Gone),
        false => Ok(registers),
    }
}

/// Whether the adapter was removed: an absent function reads as all ones.
pub(super) fn is_gone(registers: &dyn Registers) -> bool {
    registers.read(offset::INTERRUPT_STATUS) == u32::MAX
}

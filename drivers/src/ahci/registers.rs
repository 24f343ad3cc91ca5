//! The registers of a controller (AHCI 1.3.1, 3), and their place in a PCI function (2.1.11).

use crate::Error;
use crate::function::Function;
use crate::registers::{PciRegisters, Registers};

/// Offsets of the registers of the controller in bytes (AHCI 1.3.1, 3.1).
pub mod offset {
    pub const CAPABILITIES: usize = 0x00;
    pub const CONTROL: usize = 0x04;
    pub const INTERRUPT_STATUS: usize = 0x08;
    pub const PORTS: usize = 0x0c;
    pub const MORE_CAPABILITIES: usize = 0x24;
    pub const HANDOFF: usize = 0x28;
    /// The registers of the first port.
    pub const FIRST_PORT: usize = 0x100;
}

/// Bytes of the registers of a port.
pub(super) const PORT_BYTES: usize = 0x80;

/// Offsets of the registers of a port in bytes (AHCI 1.3.1, 3.3).
pub mod port {
    pub const LIST: usize = 0x00;
    pub const RECEIVED: usize = 0x08;
    pub const INTERRUPT_STATUS: usize = 0x10;
    pub const INTERRUPT_ENABLE: usize = 0x14;
    pub const COMMAND: usize = 0x18;
    pub const TASK_FILE: usize = 0x20;
    pub const SIGNATURE: usize = 0x24;
    pub const LINK_STATUS: usize = 0x28;
    pub const LINK_CONTROL: usize = 0x2c;
    pub const LINK_ERROR: usize = 0x30;
    pub const ACTIVE: usize = 0x34;
    pub const ISSUE: usize = 0x38;
}

bitflags::bitflags! {
    /// HBA Capabilities (3.1.1). Bits 8 to 12 are the number of command slots, less 1.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Capabilities: u32 {
        /// SSS: a port spins its device up on request.
        const STAGGERED_SPIN_UP = 1 << 27;
        /// SNCQ: native command queuing.
        const QUEUING = 1 << 30;
        /// S64A: addresses of 64 bits.
        const ADDRESSES_64 = 1 << 31;
    }

    /// Global HBA Control (3.1.2).
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Control: u32 {
        /// HR: resets the controller; clear once that is done.
        const RESET = 1;
        /// IE.
        const INTERRUPTS = 1 << 1;
        /// AE.
        const AHCI = 1 << 31;
    }

    /// BIOS/OS Handoff Control and Status (3.1.11).
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Handoff: u32 {
        /// BOS: the firmware owns the controller.
        const FIRMWARE = 1;
        /// OOS: the system requests to own it.
        const SYSTEM = 1 << 1;
        /// BB: the firmware finishes commands.
        const BUSY = 1 << 4;
    }

    /// Port Interrupt Status (3.3.5).
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Causes: u32 {
        /// DHRS: a Register FIS ended a command.
        const REGISTER = 1;
        /// SDBS: a Set Device Bits FIS ended queued commands.
        const SET_BITS = 1 << 3;
        /// PCS: the device reports a new connection.
        const CONNECTION = 1 << 6;
        /// PRCS: the link came up or went down.
        const LINK = 1 << 22;
        /// OFS: the device transferred more than the command has memory for.
        const OVERFLOW = 1 << 24;
        /// IFS.
        const INTERFACE_ERROR = 1 << 27;
        /// HBDS.
        const DATA_ERROR = 1 << 28;
        /// HBFS.
        const BUS_ERROR = 1 << 29;
        /// TFES: the device reports an error of a command.
        const TASK_FILE_ERROR = 1 << 30;

        /// Errors after which the port processes no commands until it is started again.
        const ERRORS = 1 << 24 | 1 << 27 | 1 << 28 | 1 << 29 | 1 << 30;
        /// Changes of the link.
        const LINKS = 1 << 6 | 1 << 22;
        /// All that interrupt.
        const ENABLED = 1 | 1 << 3 | Self::ERRORS.bits() | Self::LINKS.bits();
    }

    /// Port Command and Status (3.3.7).
    #[derive(Clone, Copy, Debug)]
    pub(super) struct PortCommand: u32 {
        /// ST: the port processes commands.
        const START = 1;
        /// SUD.
        const SPIN_UP = 1 << 1;
        /// POD.
        const POWER_ON = 1 << 2;
        /// FRE: received FISes are written to memory.
        const RECEIVE = 1 << 4;
        /// FR: they still may be.
        const RECEIVING = 1 << 14;
        /// CR: the port still processes commands.
        const RUNNING = 1 << 15;
        /// The port may access memory.
        const USES_MEMORY = 1 << 14 | 1 << 15;
    }
}

/// Bits of the link's status and control: the device (DET).
pub(super) const DETECTION: u32 = 0xf;
/// Status: there is a device, and the link to it is up.
pub(super) const PRESENT: u32 = 3;
/// Control: the link is reset as long as this is set.
pub(super) const RESET_LINK: u32 = 1;

/// Task file: BSY or DRQ.
pub(super) const TASK_BUSY: u32 = 0x88;
/// Task file and FISes: ERR.
pub(super) const TASK_ERROR: u32 = 1;

/// More capabilities (3.1.10): BOH, the firmware hands the controller over.
pub(super) const HAS_HANDOFF: u32 = 1;

/// The base address register of the registers.
const REGISTERS_BAR: u8 = 5;

/// Maps a controller's registers.
///
/// # Errors
///
/// [`Error::BadBar`], [`Error::Unmappable`], [`Error::Gone`].
pub fn open(function: &Function<'_>) -> Result<PciRegisters, Error> {
    // Without IE the controller doesn't interrupt.
    let mask = Control::AHCI.bits();
    let map = |len| function.masking_registers(REGISTERS_BAR, len, offset::CONTROL, mask);
    let registers = map(offset::FIRST_PORT)?;
    // Before anything depends on what an absent function reads as.
    if registers.read(offset::CONTROL) == u32::MAX {
        return Err(Error::Gone);
    }
    let ports = u32::BITS - registers.read(offset::PORTS).leading_zeros();
    map(offset::FIRST_PORT + ports as usize * PORT_BYTES)
}

/// The registers of one port.
#[derive(Clone, Copy)]
pub(super) struct PortRegisters<'a> {
    pub registers: &'a dyn Registers,
    pub number: u8,
}

impl PortRegisters<'_> {
    fn offset(self, register: usize) -> usize {
        offset::FIRST_PORT + usize::from(self.number) * PORT_BYTES + register
    }

    pub fn read(self, register: usize) -> u32 {
        self.registers.read(self.offset(register))
    }

    pub fn write(self, register: usize, value: u32) {
        self.registers.write(self.offset(register), value);
    }

    /// Writes an address, the lower half first.
    pub fn write_address(self, register: usize, address: u64) {
        self.write(register, address as u32);
        self.write(register + 4, (address >> 32) as u32);
    }

    pub fn command(self) -> PortCommand {
        PortCommand::from_bits_retain(self.read(port::COMMAND))
    }

    /// Whether the port has a device and the link to it is up.
    pub fn is_linked(self) -> bool {
        self.read(port::LINK_STATUS) & DETECTION == PRESENT
    }

    /// Whether the controller was removed: an absent function reads as all ones.
    pub fn is_gone(self) -> bool {
        self.registers.read(offset::CONTROL) == u32::MAX
    }
}

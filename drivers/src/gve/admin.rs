//! The admin queue: one page of commands, of which the driver has one in flight.

use sync::atomic::{Ordering, fence};

use super::registers::{self, DRIVER_RUNS, Words, halves, offset};
use crate::device::within;
use crate::registers::Registers;
use crate::{Error, MemoryRef};

/// Bytes of the queue, and of a command.
const QUEUE: usize = 4096;
const COMMAND: usize = 64;
/// How long a command or a reset may take at the start of a program, and while it runs, since the
/// driver spins.
pub const START_NS: u64 = 2_000_000_000;
pub const RUNNING_NS: u64 = 200_000_000;

/// Statuses of a command.
const PASSED: u32 = 1;

/// Operation codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Opcode {
    DescribeDevice = 0x1,
    ConfigureResources = 0x2,
    RegisterPageList = 0x3,
    CreateTransmitQueue = 0x5,
    CreateReceiveQueue = 0x6,
    ConfigureRss = 0xa,
    SetDriverParameter = 0xb,
    GetPacketTypes = 0xe,
    VerifyCompatibility = 0xf,
}

pub struct Admin {
    queue: Words,
    /// Memory for the data of commands: a page.
    pub data: Words,
    /// Number of commands so far.
    issued: u32,
    /// How long a command may take.
    limit_ns: u64,
}

impl Admin {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(memory: MemoryRef, limit_ns: u64) -> Result<Admin, Error> {
        Ok(Admin {
            queue: Words::new(memory, QUEUE)?,
            data: Words::new(memory, QUEUE)?,
            issued: 0,
            limit_ns,
        })
    }

    /// Gives the queue to a device that was reset. Older devices take the page's number, newer ones
    /// the address and the length.
    pub fn enable(&mut self, registers: &dyn Registers) {
        self.issued = 0;
        let [high, low] = self.queue.halves(0);
        let page = (self.queue.0.phys(0) / QUEUE as u64) as u32;
        registers::write(registers, offset::ADMIN_PAGE, page);
        registers::write(registers, offset::ADMIN_BASE_LOW, low);
        registers::write(registers, offset::ADMIN_BASE_HIGH, high);
        registers::write(registers, offset::ADMIN_LEN, (QUEUE as u32) << 16);
        registers::write(registers, offset::DRIVER_STATUS, DRIVER_RUNS);
    }

    /// Issues a command with these words and waits for its end.
    ///
    /// # Errors
    ///
    /// [`Error::NoResponse`], [`Error::Gone`], [`Error::Refused`].
    pub fn run(
        &mut self,
        registers: &dyn Registers,
        memory: MemoryRef,
        opcode: Opcode,
        words: &[u32],
    ) -> Result<(), Error> {
        let at = self.issued as usize % (QUEUE / COMMAND) * COMMAND;
        for offset in (0..COMMAND).step_by(4) {
            self.queue.set(at + offset, 0);
        }
        self.queue.set_be(at, opcode as u32);
        self.queue.set_all_be(at + 8, words);
        self.issued = self.issued.wrapping_add(1);
        // The command, and its data, must be in memory before the device fetches it.
        fence(Ordering::Release);
        registers::write(registers, offset::ADMIN_DOORBELL, self.issued);
        let ended = within(memory, self.limit_ns, &mut || {
            let events = registers::read(registers, offset::ADMIN_EVENTS);
            (events == self.issued || events == u32::MAX).then_some(events)
        });
        match ended {
            None => return Err(Error::NoResponse),
            Some(u32::MAX) => return Err(Error::Gone),
            Some(_) => {}
        }
        // Acquire: the device writes the status and the data before it counts the command.
        fence(Ordering::Acquire);
        match self.queue.get_be(at + 4) {
            PASSED => Ok(()),
            status => Err(Error::Refused(status as u16)),
        }
    }

    /// The two words of the address of [`data`](Admin::data).
    pub fn data_address(&self) -> [u32; 2] {
        halves(self.data.0.phys(0))
    }

    pub fn leak(&mut self) {
        self.queue.0.leak();
        self.data.0.leak();
    }
}

/// Whether the device has no admin queue, nor any other. An absent function reads as ones: it uses
/// no memory.
pub fn is_reset(registers: &dyn Registers) -> bool {
    matches!(registers::read(registers, offset::ADMIN_PAGE), 0 | u32::MAX)
}

/// Begins a reset, which takes the admin queue and all others away from the device; it ends when
/// [`is_reset`]. A device that has no admin queue isn't reset: it would be reset later.
pub fn begin_reset(registers: &dyn Registers) {
    if !is_reset(registers) {
        registers::write(registers, offset::ADMIN_PAGE, 0);
    }
}

/// Resets the device. False if it doesn't respond in time and may still use its memory.
pub fn reset(registers: &dyn Registers, memory: MemoryRef, limit_ns: u64) -> bool {
    begin_reset(registers);
    within(memory, limit_ns, &mut || is_reset(registers).then_some(())).is_some()
}

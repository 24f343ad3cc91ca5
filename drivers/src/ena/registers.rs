//! The registers of an adapter, and their places in a PCI function.

use alloc::boxed::Box;
use sync::atomic::{Ordering, fence};

use super::words::Words;
use crate::device::within;
use crate::function::Function;
use crate::registers::{PciRegisters, Registers};
use crate::{Error, MemoryRef};

/// Offsets of the registers in bytes.
pub(super) mod offset {
    pub const CONTROLLER_VERSION: usize = 0x04;
    pub const CAPABILITIES: usize = 0x08;
    pub const ADMIN_SUBMISSIONS: usize = 0x10;
    pub const ADMIN_SUBMISSIONS_SIZE: usize = 0x18;
    pub const ADMIN_COMPLETIONS: usize = 0x20;
    pub const ADMIN_COMPLETIONS_SIZE: usize = 0x28;
    pub const ADMIN_DOORBELL: usize = 0x2c;
    pub const EVENTS_SIZE: usize = 0x34;
    pub const EVENTS: usize = 0x38;
    pub const EVENTS_DOORBELL: usize = 0x40;
    pub const INTERRUPT_MASK: usize = 0x4c;
    pub const CONTROL: usize = 0x54;
    pub const STATUS: usize = 0x58;
    pub const READ_REQUEST: usize = 0x5c;
    pub const READ_ANSWER: usize = 0x60;
}

/// The value of a completion queue's interrupt register that unmasks it, without a delay.
pub(super) const UNMASK: u32 = 1 << 30;
/// Bits of the status.
const READY: u32 = 1;
const RESET_IN_PROGRESS: u32 = 1 << 3;
/// The control's request of a reset, and the place of its reason.
const RESET: u32 = 1;
const REASON_SHIFT: u32 = 28;
/// Units of the timeouts in the capabilities.
const TIMEOUT_UNIT_NS: u64 = 100_000_000;
/// Time limit of admin commands if the capabilities have none.
const COMMAND_NS: u64 = 3_000_000_000;
/// Time limit of the answer to a read request.
const READ_NS: u64 = 200_000_000;
/// Oldest controller version, without the implementation's id (0.0.1).
const MIN_CONTROLLER: u32 = 1;

/// Base address registers, and the largest sizes that are mapped: the device places doorbells and
/// queues in them where it likes.
const REGISTERS_BAR: (u8, usize) = (0, 64 << 10);
const PUSH_BAR: (u8, usize) = (2, 1 << 20);

/// The reason of a reset, for the device's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Normal = 0,
    MissedKeepAlive = 1,
    MissedTransmit = 3,
    Invalid = 8,
    Shutdown = 11,
    /// The device asked for it.
    Generic = 13,
}

/// A reset that goes on.
pub(super) struct Resetting {
    /// The device has begun it.
    has_begun: bool,
    /// Time limit of the whole reset.
    pub limit_ns: u64,
    command_ns: u64,
}

/// Reads by requests, which the device answers in memory: a read by the processor stalls it until
/// the device's firmware has answered.
struct ReadRequests {
    answer: Words,
    id: u16,
}

/// The windows of an adapter.
pub(super) struct Access {
    registers: Box<dyn Registers>,
    /// The memory of low latency queues.
    pub push: Option<Box<dyn Registers>>,
    memory: MemoryRef,
    requests: Option<ReadRequests>,
    /// How long the driver may spin for a reset, and for a command.
    pub spin_ns: u64,
}

impl Access {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(
        registers: Box<dyn Registers>,
        push: Option<Box<dyn Registers>>,
        memory: MemoryRef,
        has_read_requests: bool,
    ) -> Result<Access, Error> {
        let requests = match has_read_requests {
            true => Some(ReadRequests {
                answer: Words::new(memory, 8)?,
                id: 0,
            }),
            false => None,
        };
        let access = Access {
            registers,
            push,
            memory,
            requests,
            spin_ns: u64::MAX,
        };
        access.write_answer_address();
        Ok(access)
    }

    /// Also after a reset begins, which forgets it.
    fn write_answer_address(&self) {
        if let Some(requests) = &self.requests {
            self.write_address(offset::READ_ANSWER, requests.answer.phys(0));
        }
    }

    pub fn write(&self, offset: usize, value: u32) {
        // Entries are in memory before the device is notified. Release: only writes have to be
        // ordered.
        fence(Ordering::Release);
        self.registers.write(offset, value);
    }

    /// Writes an address to a pair of registers.
    pub fn write_address(&self, offset: usize, phys: u64) {
        self.write(offset, phys as u32);
        self.write(offset + 4, (phys >> 32) as u32);
    }

    /// # Errors
    ///
    /// [`Error::Gone`]; [`Error::NoResponse`] if the device doesn't answer the request, or another
    /// one.
    pub fn read(&mut self, offset: usize) -> Result<u32, Error> {
        let value = match &mut self.requests {
            None => self.registers.read(offset),
            Some(requests) => {
                requests.id = requests.id.wrapping_add(1);
                let expected = u32::from(requests.id) | (offset as u32) << 16;
                // Any other one.
                requests.answer.store(0, !expected);
                fence(Ordering::Release);
                self.registers.write(
                    offset::READ_REQUEST,
                    (offset as u32) << 16 | u32::from(requests.id),
                );
                let answered = within(self.memory, READ_NS, &mut || {
                    (requests.answer.load(0) == expected).then_some(())
                });
                // Acquire: the device writes the value before the id.
                fence(Ordering::Acquire);
                answered.ok_or(Error::NoResponse)?;
                requests.answer.load(4)
            }
        };
        match (value, &self.requests) {
            (u32::MAX, None) => Err(Error::Gone),
            // A device that answers requests isn't gone, and may write memory.
            (u32::MAX, Some(_)) => Err(Error::NoResponse),
            (value, _) => Ok(value),
        }
    }

    /// Begins a reset, which [`continue_reset`](Access::continue_reset) ends.
    ///
    /// # Errors
    ///
    /// [`Error::NotReset`], and as [`read`](Access::read).
    pub fn begin_reset(&mut self, reason: Reason) -> Result<Resetting, Error> {
        if self.read(offset::STATUS)? & READY == 0 {
            return Err(Error::NotReset);
        }
        let capabilities = self.read(offset::CAPABILITIES)?;
        let command_ns = match u64::from(capabilities >> 16 & 0xf) * TIMEOUT_UNIT_NS {
            0 => COMMAND_NS,
            command_ns => command_ns,
        };
        let control = RESET | (reason as u32) << REASON_SHIFT;
        self.write(offset::CONTROL, control);
        self.write_answer_address();
        Ok(Resetting {
            has_begun: false,
            // The device's is one of each half.
            limit_ns: 2 * u64::from(capabilities >> 1 & 0x1f) * TIMEOUT_UNIT_NS,
            command_ns,
        })
    }

    /// Continues a reset. Returns the time limit of admin commands in nanoseconds once the device
    /// uses no memory any more, except to answer read requests.
    ///
    /// # Errors
    ///
    /// As [`read`](Access::read).
    pub fn continue_reset(&mut self, resetting: &mut Resetting) -> Result<Option<u64>, Error> {
        let in_progress = self.read(offset::STATUS)? & RESET_IN_PROGRESS != 0;
        match (resetting.has_begun, in_progress) {
            (false, true) => {
                self.write(offset::CONTROL, 0);
                resetting.has_begun = true;
                Ok(None)
            }
            (true, false) => Ok(Some(resetting.command_ns.min(self.spin_ns))),
            _ => Ok(None),
        }
    }

    /// Waits for the end of a reset. Returns as [`continue_reset`](Access::continue_reset).
    ///
    /// # Errors
    ///
    /// [`Error::NotReset`], and as [`read`](Access::read).
    pub fn finish_reset(&mut self, resetting: &mut Resetting) -> Result<u64, Error> {
        let limit_ns = resetting.limit_ns.min(self.spin_ns);
        let done = within(self.memory, limit_ns, &mut || {
            self.continue_reset(resetting).transpose()
        });
        done.unwrap_or(Err(Error::NotReset))
    }

    /// Resets the device. Returns as [`continue_reset`](Access::continue_reset).
    ///
    /// # Errors
    ///
    /// As [`finish_reset`](Access::finish_reset).
    pub fn reset(&mut self, reason: Reason) -> Result<u64, Error> {
        let mut resetting = self.begin_reset(reason)?;
        self.finish_reset(&mut resetting)
    }

    /// # Errors
    ///
    /// [`Error::BadConfig`] for a controller that is too old, and as [`read`](Access::read).
    pub fn check_version(&mut self) -> Result<(), Error> {
        let version = self.read(offset::CONTROLLER_VERSION)?;
        match version & 0xff_ffff {
            MIN_CONTROLLER.. => Ok(()),
            _ => Err(Error::BadConfig),
        }
    }

    /// Leaks the memory of answers, because the device may still write to it.
    pub fn leak(&mut self) {
        if let Some(requests) = &mut self.requests {
            requests.answer.leak();
        }
    }
}

/// Maps an adapter's registers, and the memory of low latency queues if there is any.
///
/// # Errors
///
/// [`Error::BadBar`], [`Error::Unmappable`].
pub(super) fn open(function: &Function<'_>) -> Result<(PciRegisters, Option<PciRegisters>), Error> {
    let registers = function.registers_up_to(REGISTERS_BAR.0, REGISTERS_BAR.1)?;
    let push = function.combining_memory_up_to(PUSH_BAR.0, PUSH_BAR.1);
    Ok((registers, push.ok()))
}

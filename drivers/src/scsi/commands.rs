//! Commands of disks: callers' requests, questions of the search, and queries of capacities.

use super::Address;
use super::host::Host;
use super::protocol::{self, CAPACITY, Cdb, Outcome, UNMAP_LIST};
use crate::disk::{
    Bounce, Clear, ClearLimits, Data, DiskError, Issued, List, Mapped, Operation, QueueShare,
    Request, SECTOR,
};
use crate::queue::{Buffer, DeviceError};
use crate::{Error, MemoryRef, Region};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Bytes of a command's parameter list, or of a capacity.
const PARAMETER: usize = 32;

/// Maximum number of times that a command is started.
pub(super) const MAX_TRIES: u8 = 6;

/// Purpose of a command.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A part of this request of a disk.
    Request { disk: u16, index: u16 },
    /// This probe of the search for disks.
    Probe(u16),
    /// The current capacity of a disk.
    Capacity(u16),
}

/// A command in flight.
#[derive(Clone, Copy)]
pub(super) struct Command {
    pub purpose: Purpose,
    bounce: Bounce,
    /// The part of a request, to repeat it.
    rest: Option<Request>,
    tries: u8,
}

/// A completed command.
pub(super) struct Completed {
    pub command: Command,
    pub outcome: Outcome,
    /// The answer to a query of a capacity.
    pub capacity: [u8; CAPACITY],
}

/// The disk of a command of a caller.
pub(super) struct Target<'a> {
    pub disk: u16,
    pub address: Address,
    /// Bytes of a block.
    pub block: usize,
    pub data: &'a mut Data,
    pub clears: Clears,
    /// Number of its commands in flight.
    pub in_flight: u16,
}

/// A disk's limits of requests without data.
#[derive(Clone, Copy, Default)]
pub(super) struct Clears {
    pub unmap: Option<ClearLimits>,
    pub write_same: Option<ClearLimits>,
}

pub(super) struct Commands {
    pub host: Box<dyn Host>,
    /// A parameter list or a capacity of each command.
    parameters: Region,
    /// A block of zeros.
    zeros: Region,
    commands: Vec<Option<Command>>,
    free: Vec<u16>,
    list: List,
}

impl Commands {
    pub fn new(mut host: Box<dyn Host>, memory: MemoryRef) -> Result<Commands, Error> {
        let count = host.depth();
        let parameters = Region::new(memory, PARAMETER * usize::from(count), 64);
        let zeros = Region::new(memory, super::MAX_ZEROED_BLOCK, 64);
        let (Some(parameters), Some(zeros)) = (parameters, zeros) else {
            if !host.stop() {
                host.leak();
            }
            return Err(Error::OutOfMemory);
        };
        Ok(Commands {
            host,
            parameters,
            zeros,
            commands: alloc::vec![None; count.into()],
            free: (0..count).rev().collect(),
            list: List::default(),
        })
    }

    /// Submits as much of a disk's request `index` as fits in one command. `others` is the number
    /// of the other disks.
    pub fn issue(
        &mut self,
        target: &mut Target<'_>,
        others: u16,
        index: u16,
        rest: &mut Request,
    ) -> Result<Issued, DiskError> {
        let share = QueueShare {
            depth: self.commands.len() as u16,
            room: self.free.len() as u16,
            others,
        };
        if target.in_flight >= self.host.per_unit() || share.is_used(target.in_flight) {
            return Ok(Issued::Full);
        }
        let command = Command {
            purpose: Purpose::Request {
                disk: target.disk,
                index,
            },
            bounce: Bounce::NONE,
            rest: None,
            tries: 0,
        };
        match self.submit(target, *rest, command, false)? {
            None => Ok(Issued::Full),
            Some(len) => {
                rest.advance(len);
                Ok(Issued::Some)
            }
        }
    }

    /// Starts a command of a caller's request again, which has just completed.
    pub fn repeat(&mut self, target: &mut Target<'_>, command: Command) -> Result<(), DiskError> {
        let rest = command.rest.ok_or(DiskError::Io)?;
        // It has just had the same memory and room in the queue.
        let submitted = self.submit(target, rest, command, true)?;
        submitted.map(|_| ()).ok_or(DiskError::Io)
    }

    /// Submits a command for as much of `rest` as fits, or for `all` of it. Returns the number of
    /// its bytes, or `None` if there is no room.
    fn submit(
        &mut self,
        target: &mut Target<'_>,
        mut rest: Request,
        mut command: Command,
        all: bool,
    ) -> Result<Option<usize>, DiskError> {
        let Some(&id) = self.free.last() else {
            return Ok(None);
        };
        let has_data = !matches!(rest.operation, Operation::Flush);
        let room = self.host.room().filter(|room| !has_data || *room > 0);
        let Some(room) = room else {
            return Ok(None);
        };
        let limits = *target.data.limits();
        let first = rest.sector / (target.block / SECTOR) as u64;
        let count = |len: usize| (len / target.block) as u32;
        let to_device = !matches!(rest.operation, Operation::Read);
        self.host
            .begin(id, to_device, &mut self.list, room, &limits);
        let len;
        let cdb = match rest.operation {
            Operation::Flush => {
                len = 0;
                protocol::synchronize_cache()
            }
            Operation::Clear(Clear::Discard) => {
                len = target
                    .clears
                    .unmap
                    .ok_or(DiskError::Unsupported)?
                    .len(&rest);
                let (cdb, list) = protocol::unmap(first, count(len));
                let at = usize::from(id) * PARAMETER;
                // SAFETY: the list is that of a command that the device doesn't have.
                unsafe { self.parameters.slice(at, UNMAP_LIST) }.copy_from_slice(&list);
                self.list
                    .finish(Buffer::readable(self.parameters.phys(at), UNMAP_LIST));
                cdb
            }
            Operation::Clear(Clear::Zeroes { unmap }) => {
                let limits = target.clears.write_same.ok_or(DiskError::Unsupported)?;
                len = limits.len(&rest);
                self.list
                    .finish(Buffer::readable(self.zeros.phys(0), target.block));
                protocol::write_same(first, count(len), unmap)
            }
            Operation::Read | Operation::Write => {
                match target.data.map(&rest, &mut self.list)? {
                    Mapped::Full => return Ok(None),
                    Mapped::Data(mapped, bounce) => {
                        len = mapped;
                        command.bounce = bounce;
                    }
                }
                if to_device {
                    protocol::write(first, count(len))
                } else {
                    protocol::read(first, count(len))
                }
            }
        };
        let is_enough = len == rest.len || !all;
        rest.len = len;
        command.rest = Some(rest);
        if !is_enough || !self.add(id, target.address, &cdb, to_device, command) {
            target.data.finish(command.bounce, false);
            return Ok(None);
        }
        Ok(Some(len))
    }

    /// Submits a command that reads `len` bytes to `to`. Returns false if there is no room.
    pub fn query(
        &mut self,
        purpose: Purpose,
        address: Address,
        cdb: &Cdb,
        to: u64,
        len: usize,
    ) -> bool {
        let Some(&id) = self.free.last() else {
            return false;
        };
        if self.host.room().is_none_or(|room| room == 0) {
            return false;
        }
        let limits = self.host.limits();
        self.host.begin(id, false, &mut self.list, 1, &limits);
        if len > 0 {
            self.list.finish(Buffer::writable(to, len));
        }
        let command = Command {
            purpose,
            bounce: Bounce::NONE,
            rest: None,
            tries: 0,
        };
        self.add(id, address, cdb, false, command)
    }

    /// Submits a query of a disk's capacity. Returns false if there is no room.
    pub fn query_capacity(&mut self, disk: u16, address: Address) -> bool {
        let Some(&id) = self.free.last() else {
            return false;
        };
        let at = usize::from(id) * PARAMETER;
        // SAFETY: the answer is that of a command that the device doesn't have.
        unsafe { self.parameters.slice(at, CAPACITY) }.fill(0);
        let to = self.parameters.phys(at);
        let cdb = protocol::read_capacity();
        self.query(Purpose::Capacity(disk), address, &cdb, to, CAPACITY)
    }

    /// Submits command `id`, the last free one.
    fn add(
        &mut self,
        id: u16,
        address: Address,
        cdb: &Cdb,
        to_device: bool,
        mut command: Command,
    ) -> bool {
        let list = &mut self.list;
        if !self.host.add(id, address, cdb, to_device, list) {
            return false;
        }
        self.free.pop();
        command.tries += 1;
        self.commands[usize::from(id)] = Some(command);
        true
    }

    /// Returns the next completed command. Its bounce buffer is still in use.
    pub fn complete(&mut self) -> Result<Option<Completed>, DeviceError> {
        let Some(ended) = self.host.complete()? else {
            return Ok(None);
        };
        let id = ended.id;
        let command = self.commands.get_mut(usize::from(id));
        let command = command.and_then(Option::take).ok_or(DeviceError)?;
        self.free.push(id);
        let mut capacity = [0; CAPACITY];
        // SAFETY: the device has returned the answer.
        let answer = unsafe { self.parameters.slice(usize::from(id) * PARAMETER, CAPACITY) };
        capacity.copy_from_slice(answer);
        let mut outcome = ended.outcome;
        if outcome.result.is_ok() && command.is_transfer() && ended.is_short {
            outcome = Outcome::end(Err(DiskError::Io));
        }
        outcome.repeat &= command.tries < MAX_TRIES;
        Ok(Some(Completed {
            command,
            outcome,
            capacity,
        }))
    }

    pub fn leak(&mut self) {
        self.host.leak();
        self.parameters.leak();
        self.zeros.leak();
    }
}

impl Command {
    /// Frees the bounce buffer of a command of a caller's request.
    pub fn finish(&self, data: &mut Data, is_done: bool) {
        data.finish(self.bounce, is_done);
    }

    /// The first sector of its part of a request; 0 for a flush.
    pub fn sector(&self) -> u64 {
        self.rest.map_or(0, |rest| rest.sector)
    }

    /// Whether it is a flush.
    pub fn is_flush(&self) -> bool {
        self.rest
            .is_some_and(|rest| matches!(rest.operation, Operation::Flush))
    }

    /// Whether it transfers the data of a request, all of it.
    fn is_transfer(&self) -> bool {
        let operation = self.rest.map(|rest| rest.operation);
        matches!(operation, Some(Operation::Read | Operation::Write))
    }
}

const _: () = assert!(CAPACITY <= PARAMETER && UNMAP_LIST <= PARAMETER);

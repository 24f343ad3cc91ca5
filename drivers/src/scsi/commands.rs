//! Commands in the request queue (virtio 1.2, 5.6.6.1).

use super::Address;
use super::protocol::{self, CAPACITY, CDB, Cdb, Outcome, UNMAP_LIST};
use crate::device::Device;
use crate::disk::{
    Bounce, Clear, ClearLimits, Data, DiskError, Issued, Limits, List, Mapped, Operation,
    QueueShare, Request, SECTOR,
};
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};
use alloc::vec::Vec;

/// Header of a command: address, identifier, attributes, and the command descriptor block.
const HEADER: usize = 19 + CDB;
/// Response, and the length of its sense data (5.6.4: `sense_size` after a reset).
const RESPONSE: usize = 12 + SENSE;
const SENSE: usize = 96;
/// Offsets in the response: length of sense data, residual bytes, status, response.
const SENSE_LEN: usize = 0;
const RESIDUAL: usize = 4;
const STATUS: usize = 10;
const CODE: usize = 11;
const SENSE_AT: usize = 12;

/// Response codes (5.6.6.1.1) other than those of failures.
const OK: u8 = 0;
const ABORTED: u8 = 2;
const BAD_TARGET: u8 = 3;
const RESET: u8 = 4;
const BUSY: u8 = 5;
/// Initial value of the response code; not a code of the specification.
const NONE: u8 = 0xff;

/// Bytes per command: header, response, and a parameter list or a capacity.
const RECORD: usize = 208;
const RESPONSE_AT: usize = 64;
const PARAMETER_AT: usize = 176;
const PARAMETER: usize = 32;

/// Descriptors of a command's header and its response.
pub(super) const FRAME: u16 = 2;
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
    pub queue: Queue,
    records: Region,
    /// A block of zeros.
    zeros: Region,
    commands: Vec<Option<Command>>,
    free: Vec<u16>,
    list: List,
    /// Limits of commands without a disk.
    any: Limits,
    /// Maximum number of commands of requests that a unit has in flight.
    pub per_unit: u16,
}

impl Commands {
    pub fn new(
        memory: MemoryRef,
        device: &mut Device,
        index: u16,
        queue_size: u16,
        mut limits: Limits,
    ) -> Result<Commands, Error> {
        let max_chain = limits.segments.min(List::MAX_SEGMENTS) + FRAME;
        let queue = device.queue(memory, index, (FRAME + 1, queue_size), max_chain)?;
        limits.segments = limits.segments.min(queue.max_chain() - FRAME);
        let indirect = device.has(crate::device::feature::INDIRECT_DESC);
        let count = if indirect {
            queue.size()
        } else {
            queue.size() / (FRAME + 1)
        };
        let records = Region::new(memory, RECORD * usize::from(count), 64);
        let zeros = Region::new(memory, super::MAX_ZEROED_BLOCK, 64);
        Ok(Commands {
            queue,
            records: records.ok_or(Error::OutOfMemory)?,
            zeros: zeros.ok_or(Error::OutOfMemory)?,
            commands: alloc::vec![None; count.into()],
            free: (0..count).rev().collect(),
            list: List::default(),
            any: limits,
            per_unit: u16::MAX,
        })
    }

    /// The limits of the device and its queue.
    pub fn limits(&self) -> Limits {
        self.any
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
        if target.in_flight >= self.per_unit || share.is_used(target.in_flight) {
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
        let room = self.queue.room().saturating_sub(FRAME);
        let has_data = !matches!(rest.operation, Operation::Flush);
        if self.queue.room() < FRAME || has_data && room == 0 {
            return Ok(None);
        }
        let limits = *target.data.limits();
        let first = rest.sector / (target.block / SECTOR) as u64;
        let count = |len: usize| (len / target.block) as u32;
        let to_device = !matches!(rest.operation, Operation::Read);
        self.begin(id, room, &limits, to_device);
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
                let at = usize::from(id) * RECORD + PARAMETER_AT;
                // SAFETY: the record is that of a command that the device doesn't have.
                unsafe { self.records.slice(at, UNMAP_LIST) }.copy_from_slice(&list);
                self.list
                    .finish(Buffer::readable(self.records.phys(at), UNMAP_LIST));
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
        if self.queue.room() <= FRAME {
            return false;
        }
        let any = self.any;
        self.begin(id, 1, &any, false);
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
        let at = usize::from(id) * RECORD + PARAMETER_AT;
        // SAFETY: the record is that of a command that the device doesn't have.
        unsafe { self.records.slice(at, CAPACITY) }.fill(0);
        let to = self.records.phys(at);
        let cdb = protocol::read_capacity();
        self.query(Purpose::Capacity(disk), address, &cdb, to, CAPACITY)
    }

    /// Begins the list of command `id`. What the device reads comes before what it writes.
    fn begin(&mut self, id: u16, room: u16, limits: &Limits, to_device: bool) {
        let [header, response] = self.frame(id);
        if to_device {
            self.list.begin(&[header], room, limits);
        } else {
            self.list.begin(&[header, response], room, limits);
        }
    }

    /// The buffers of command `id` itself.
    fn frame(&self, id: u16) -> [Buffer; 2] {
        let at = usize::from(id) * RECORD;
        [
            Buffer::readable(self.records.phys(at), HEADER),
            Buffer::writable(self.records.phys(at + RESPONSE_AT), RESPONSE),
        ]
    }

    /// Writes the header of command `id`, the last free one, and submits it.
    fn add(
        &mut self,
        id: u16,
        address: Address,
        cdb: &Cdb,
        to_device: bool,
        mut command: Command,
    ) -> bool {
        let [_, response] = self.frame(id);
        if to_device {
            self.list.finish(response);
        }
        let at = usize::from(id) * RECORD;
        // SAFETY: the record is that of a command that the device doesn't have.
        let record = unsafe { self.records.slice(at, RESPONSE_AT + RESPONSE) };
        record.fill(0);
        record[..8].copy_from_slice(&address.bytes());
        record[8..10].copy_from_slice(&id.to_le_bytes());
        record[19..HEADER].copy_from_slice(cdb);
        record[RESPONSE_AT + CODE] = NONE;
        if self.queue.add(self.list.buffers(), u32::from(id)).is_err() {
            return false;
        }
        self.free.pop();
        command.tries += 1;
        self.commands[usize::from(id)] = Some(command);
        true
    }

    /// Returns the next completed command. Its bounce buffer is still in use.
    pub fn complete(&mut self) -> Result<Option<Completed>, DeviceError> {
        let Some(completion) = self.queue.pop()? else {
            return Ok(None);
        };
        let id = completion.token as u16;
        self.free.push(id);
        let Some(command) = self.commands[usize::from(id)].take() else {
            return Err(DeviceError);
        };
        // SAFETY: the device has returned the record.
        let record = unsafe { self.records.slice(usize::from(id) * RECORD, RECORD) };
        let (record, parameter) = record.split_at(PARAMETER_AT);
        let mut capacity = [0; CAPACITY];
        capacity.copy_from_slice(&parameter[..CAPACITY]);
        let mut outcome = outcome(&record[RESPONSE_AT..], command.is_transfer());
        outcome.repeat &= command.tries < MAX_TRIES;
        Ok(Some(Completed {
            command,
            outcome,
            capacity,
        }))
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.records.leak();
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

/// The outcome in a response.
fn outcome(response: &[u8], is_transfer: bool) -> Outcome {
    let word = |at| {
        response[at..]
            .first_chunk()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    match response[CODE] {
        OK => {
            let sense = &response[SENSE_AT..RESPONSE];
            let sense = sense.get(..word(SENSE_LEN) as usize).unwrap_or(sense);
            let outcome = protocol::outcome(response[STATUS], sense);
            if outcome.result.is_ok() && is_transfer && word(RESIDUAL) != 0 {
                return Outcome::end(Err(DiskError::Io));
            }
            outcome
        }
        BAD_TARGET => Outcome::end(Err(DiskError::Removed)),
        // The reset of a unit or its removal ends what it has with these.
        ABORTED | RESET | BUSY => Outcome::temporary(DiskError::NotReady),
        _ => Outcome::end(Err(DiskError::Io)),
    }
}

const _: () = assert!(HEADER <= RESPONSE_AT && RESPONSE_AT + RESPONSE <= PARAMETER_AT);
const _: () = assert!(PARAMETER_AT + PARAMETER <= RECORD && UNMAP_LIST <= PARAMETER);
const _: () = assert!(CAPACITY <= PARAMETER);

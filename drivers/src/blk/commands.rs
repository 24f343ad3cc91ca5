//! Requests of the device (virtio 1.2, 5.2.6), here called commands: the callers' requests, split
//! within the device's limits.

use super::{BlkConfig, SECTOR};
use crate::device::Device;
use crate::disk::{
    Bounce, Clear, ClearLimits, Data, DiskError, Issued, Limits, List, Mapped, Operation, Request,
    serial,
};
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};
use alloc::string::String;
use alloc::vec::Vec;

const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;
const TYPE_DISCARD: u32 = 11;
const TYPE_WRITE_ZEROES: u32 = 13;
/// The unmap flag of a segment of a write-zeroes request.
const FLAG_UNMAP: u32 = 1;

const STATUS_OK: u8 = 0;
const STATUS_UNSUPPORTED: u8 = 2;
/// Initial value of the status byte; not a status of the specification.
const STATUS_NONE: u8 = 0xff;

/// Descriptors of a request's header and its status.
const FRAME: u16 = 2;

/// Bytes per command: the header (16), the status, and the segment of a command without data (16).
const RECORD: usize = 48;
const HEADER: usize = 16;
const STATUS_AT: usize = 16;
const SEGMENT_AT: usize = 32;
const SEGMENT: usize = 16;
/// Length of the serial number (5.2.6), which has a place behind the records.
const SERIAL: usize = 20;

/// The device's limits of requests without data.
#[derive(Clone, Copy)]
pub(super) struct Clears {
    pub discard: Option<ClearLimits>,
    pub zeroes: Option<ClearLimits>,
    /// The device may unmap what it zeroes.
    pub zeroes_may_unmap: bool,
}

/// Purpose of a command.
#[derive(Clone, Copy)]
pub(super) enum Completed {
    /// A part of this request of a caller.
    Request(u16),
    /// The serial number.
    Identification,
}

/// A completed command, and its result.
pub(super) type Completion = (Completed, Result<(), DiskError>);

/// A command in flight.
#[derive(Clone, Copy)]
struct Command {
    purpose: Completed,
    bounce: Bounce,
}

const NO_COMMAND: Command = Command {
    purpose: Completed::Identification,
    bounce: Bounce::NONE,
};

pub(super) struct Commands {
    pub queue: Queue,
    records: Region,
    commands: Vec<Command>,
    free: Vec<u16>,
    list: List,
    data: Data,
    clears: Clears,
}

impl Commands {
    pub fn new(
        memory: MemoryRef,
        device: &mut Device,
        index: u16,
        mut limits: Limits,
        clears: Clears,
        config: &BlkConfig,
    ) -> Result<Commands, Error> {
        let max_chain = limits.segments.min(List::MAX_SEGMENTS) + FRAME;
        let queue = device.queue(memory, index, (FRAME + 1, config.queue_size), max_chain)?;
        limits.segments = limits.segments.min(queue.max_chain() - FRAME);
        let indirect = device.has(crate::device::feature::INDIRECT_DESC);
        let count = if indirect {
            queue.size()
        } else {
            queue.size() / (FRAME + 1)
        };
        let records = Region::new(memory, RECORD * usize::from(count) + SERIAL, 64);
        Ok(Commands {
            queue,
            records: records.ok_or(Error::OutOfMemory)?,
            commands: alloc::vec![NO_COMMAND; count.into()],
            free: (0..count).rev().collect(),
            list: List::default(),
            data: Data::new(memory, limits, config.bounce_buffers),
            clears,
        })
    }

    /// Submits as much of the caller's request `index` as fits in one command.
    pub fn issue(&mut self, index: u16, rest: &mut Request) -> Result<Issued, DiskError> {
        let Some(&id) = self.free.last() else {
            return Ok(Issued::Full);
        };
        let room = self.queue.room().saturating_sub(FRAME);
        let has_data = !matches!(rest.operation, Operation::Flush);
        if self.queue.room() < FRAME || has_data && room == 0 {
            return Ok(Issued::Full);
        }
        self.begin(id, room);
        let mut bounce = Bounce::NONE;
        let (kind, sector, len) = match rest.operation {
            Operation::Flush => (TYPE_FLUSH, 0, 0),
            Operation::Clear(how) => {
                let (kind, len) = self.write_clear(id, how, rest)?;
                // A request without data has its sector in the segment.
                (kind, 0, len)
            }
            Operation::Read | Operation::Write => {
                let len = match self.data.map(rest, &mut self.list)? {
                    Mapped::Full => return Ok(Issued::Full),
                    Mapped::Data(len, taken) => {
                        bounce = taken;
                        len
                    }
                };
                let kind = match rest.operation {
                    Operation::Write => TYPE_OUT,
                    _ => TYPE_IN,
                };
                (kind, rest.sector, len)
            }
        };
        let command = Command {
            purpose: Completed::Request(index),
            bounce,
        };
        if !self.add(id, kind, sector, command) {
            self.data.finish(bounce, false);
            return Ok(Issued::Full);
        }
        rest.advance(len);
        Ok(Issued::Some)
    }

    /// Submits the query of the serial number. Returns false if there is no room for it.
    pub fn identify(&mut self) -> bool {
        let Some(&id) = self.free.last() else {
            return false;
        };
        if self.queue.room() <= FRAME {
            return false;
        }
        self.begin(id, 1);
        self.list.finish(Buffer::writable(
            self.records.phys(self.serial_at()),
            SERIAL,
        ));
        self.add(id, TYPE_GET_ID, 0, NO_COMMAND)
    }

    /// The serial number, after the query has completed.
    pub fn serial(&self) -> Option<String> {
        // SAFETY: the only query has completed, so the device doesn't have the bytes.
        serial(unsafe { self.records.slice(self.serial_at(), SERIAL) })
    }

    fn serial_at(&self) -> usize {
        self.commands.len() * RECORD
    }

    /// Begins the list of command `id`.
    fn begin(&mut self, id: u16, room: u16) {
        let header = Buffer::readable(self.records.phys(usize::from(id) * RECORD), HEADER);
        self.list.begin(&[header], room, self.data.limits());
    }

    /// Writes and lists the segment of command `id`, which is without data. Returns the command's
    /// type and the number of bytes that it covers.
    fn write_clear(
        &mut self,
        id: u16,
        how: Clear,
        rest: &Request,
    ) -> Result<(u32, usize), DiskError> {
        let (kind, limits, flags) = match how {
            Clear::Discard => (TYPE_DISCARD, self.clears.discard, 0),
            Clear::Zeroes { unmap } if unmap && self.clears.zeroes_may_unmap => {
                (TYPE_WRITE_ZEROES, self.clears.zeroes, FLAG_UNMAP)
            }
            Clear::Zeroes { .. } => (TYPE_WRITE_ZEROES, self.clears.zeroes, 0),
        };
        let len = limits.ok_or(DiskError::Unsupported)?.len(rest);
        let at = usize::from(id) * RECORD + SEGMENT_AT;
        // SAFETY: the record is that of a command that the device doesn't have.
        let segment = unsafe { self.records.slice(at, SEGMENT) };
        // The limits are 32 bits of sectors.
        let count = (len / SECTOR) as u64 | u64::from(flags) << 32;
        segment[..8].copy_from_slice(&rest.sector.to_le_bytes());
        segment[8..].copy_from_slice(&count.to_le_bytes());
        self.list
            .finish(Buffer::readable(self.records.phys(at), SEGMENT));
        Ok((kind, len))
    }

    /// Writes the header of command `id`, the last free one, resets its status, and submits it.
    fn add(&mut self, id: u16, kind: u32, sector: u64, command: Command) -> bool {
        let at = usize::from(id) * RECORD;
        // SAFETY: the record is that of a command that the device doesn't have.
        let record = unsafe { self.records.slice(at, STATUS_AT + 1) };
        record[0..4].copy_from_slice(&kind.to_le_bytes());
        record[4..8].fill(0);
        record[8..HEADER].copy_from_slice(&sector.to_le_bytes());
        record[STATUS_AT] = STATUS_NONE;
        self.list
            .finish(Buffer::writable(self.records.phys(at + STATUS_AT), 1));
        if self.queue.add(self.list.buffers(), u32::from(id)).is_err() {
            return false;
        }
        self.free.pop();
        self.commands[usize::from(id)] = command;
        true
    }

    /// Returns the next completed command.
    #[expect(clippy::disallowed_methods, reason = "memory, not registers")]
    pub fn complete(&mut self) -> Result<Option<Completion>, DeviceError> {
        let Some(completion) = self.queue.pop()? else {
            return Ok(None);
        };
        let id = completion.token as u16;
        let Command { purpose, bounce } = self.commands[usize::from(id)];
        self.free.push(id);
        let status = self.records.ptr(usize::from(id) * RECORD + STATUS_AT);
        // SAFETY: a byte of the records; volatile because the device wrote it.
        let result = match unsafe { status.read_volatile() } {
            STATUS_OK => Ok(()),
            STATUS_UNSUPPORTED => Err(DiskError::Unsupported),
            _ => Err(DiskError::Io),
        };
        self.data.finish(bounce, result.is_ok());
        Ok(Some((purpose, result)))
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.records.leak();
        self.data.leak();
    }
}

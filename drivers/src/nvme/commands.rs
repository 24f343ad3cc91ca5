//! I/O commands: the callers' requests, split within the controller's limits.

use alloc::vec::Vec;

use super::command::{Command, io};
use super::namespace::Disk;
use super::prp;
use super::queue::{QueuePair, Sizes};
use crate::disk::{Bounce, Clear, DiskError, Issued, List, Mapped, Operation, QueueShare, Request};
use crate::queue::{DeviceError, QueueCounters};
use crate::registers::Registers;
use crate::{Error, MemoryRef, Region};

/// Bytes of a range of Dataset Management (NVM Command Set 1.0, 3.2.3).
const RANGE: usize = 16;
/// Dataset Management: deallocate (command dword 11).
const DEALLOCATE: u32 = 1 << 2;
/// Write Zeroes: the controller may deallocate (command dword 12).
const MAY_DEALLOCATE: u32 = 1 << 25;

/// Maximum number of times that a command is sent, as in Linux (`nvme_max_retries`).
const MAX_TRIES: u8 = 6;

/// A command in flight.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    /// Index of the disk.
    pub disk: u16,
    /// Number of the caller's request.
    pub request: u16,
    /// Its part of the request.
    pub part: Request,
    pub bounce: Bounce,
    tries: u8,
}

/// A completed command.
pub(super) struct Done {
    pub command: Pending,
    pub result: Result<(), DiskError>,
    /// The controller may do it if it is sent again.
    pub repeat: bool,
}

pub(super) struct Commands {
    queue: QueuePair,
    /// The list of entries or the range of each command.
    records: Region,
    record: usize,
    pending: Vec<Option<Pending>>,
    list: List,
    /// Reused allocation.
    entries: Vec<u64>,
}

impl Commands {
    /// Allocates the queue, for commands of at most `max_bytes`.
    pub fn new(
        memory: MemoryRef,
        number: u16,
        stride: usize,
        sizes: Sizes,
        max_bytes: usize,
    ) -> Result<Commands, Error> {
        let queue = QueuePair::new(memory, number, stride, sizes)?;
        let entries = prp::most(max_bytes);
        // The first entry is in the command. As a power of two, no list crosses a page.
        let record = ((entries - 1) * prp::ENTRY).max(RANGE).next_power_of_two();
        let depth = usize::from(queue.depth());
        let records = Region::new(memory, record * depth, prp::PAGE);
        Ok(Commands {
            queue,
            records: records.ok_or(Error::OutOfMemory)?,
            record,
            pending: alloc::vec![None; depth],
            list: List::default(),
            entries: Vec::with_capacity(entries),
        })
    }

    pub fn queue(&self) -> &QueuePair {
        &self.queue
    }

    pub fn counters(&self) -> QueueCounters {
        self.queue.counters()
    }

    /// Submits as much of request `request` of disk number `index` as fits a command. `others` is
    /// the number of the other disks.
    pub fn issue(
        &mut self,
        (index, others): (u16, u16),
        disk: &mut Disk,
        request: u16,
        rest: &mut Request,
    ) -> Result<Issued, DiskError> {
        let share = QueueShare {
            depth: self.queue.depth(),
            room: self.queue.room(),
            others,
        };
        if share.is_used(disk.in_flight) {
            return Ok(Issued::Full);
        }
        self.submit((index, request, 0), disk, rest)
    }

    /// Submits a completed command of a disk again.
    pub fn repeat(&mut self, disk: &mut Disk, command: &Pending) -> Result<(), DiskError> {
        let place = (command.disk, command.request, command.tries);
        // It has just had the same memory, and room in the queue.
        match self.submit(place, disk, &mut command.part.clone())? {
            Issued::Some => Ok(()),
            Issued::Full => Err(DiskError::Io),
        }
    }

    /// Submits as much of `rest` as fits a command, or after some `tries` all of it.
    fn submit(
        &mut self,
        (index, request, tries): (u16, u16, u8),
        disk: &mut Disk,
        rest: &mut Request,
    ) -> Result<Issued, DiskError> {
        let Some(id) = self.queue.next_id() else {
            return Ok(Issued::Full);
        };
        let (mut len, mut bounce) = (0, Bounce::NONE);
        let command = match rest.operation {
            Operation::Flush => Command::new(io::FLUSH, disk.number),
            Operation::Read | Operation::Write => {
                self.list.begin(&[], u16::MAX, disk.data.limits());
                (len, bounce) = match disk.data.map(rest, &mut self.list)? {
                    Mapped::Full => return Ok(Issued::Full),
                    Mapped::Data(len, bounce) => (len, bounce),
                };
                let Some(addresses) = self.addresses(id) else {
                    disk.data.finish(bounce, false);
                    return Err(DiskError::NoMemory);
                };
                let opcode = match rest.operation {
                    Operation::Write => io::WRITE,
                    _ => io::READ,
                };
                disk.over(Command::new(opcode, disk.number), rest.sector, len)
                    .data(addresses)
            }
            Operation::Clear(how) => {
                let limits = disk.clear_limits(how).ok_or(DiskError::Unsupported)?;
                len = limits.len(rest);
                match how {
                    Clear::Discard => {
                        let range = self.write_range(id, disk.blocks(rest.sector, len));
                        Command::new(io::DATASET_MANAGEMENT, disk.number)
                            .data([range, 0])
                            .word(11, DEALLOCATE)
                    }
                    Clear::Zeroes { unmap } => {
                        let command = Command::new(io::WRITE_ZEROES, disk.number);
                        let command = disk.over(command, rest.sector, len);
                        match unmap && disk.zeroes_deallocate {
                            true => command.word(12, command.words[12] | MAY_DEALLOCATE),
                            false => command,
                        }
                    }
                }
            }
        };
        if tries > 0 && len != rest.len {
            disk.data.finish(bounce, false);
            return Err(DiskError::Io);
        }
        self.queue.submit(command);
        disk.in_flight += 1;
        self.pending[usize::from(id)] = Some(Pending {
            disk: index,
            request,
            part: Request { len, ..*rest },
            bounce,
            tries: tries + 1,
        });
        rest.advance(len);
        Ok(Issued::Some)
    }

    /// `PRP1` and `PRP2` of the listed data; writes the list of command `id` if it needs one.
    /// `None` for data at an odd address, which only memory for a bounce buffer could serve.
    fn addresses(&mut self, id: u16) -> Option<[u64; 2]> {
        self.entries.clear();
        prp::append(&mut self.entries, self.list.buffers());
        let (first, others) = self.entries.split_first()?;
        if !first.is_multiple_of(prp::ALIGNMENT) {
            return None;
        }
        let second = match others {
            [] => 0,
            [second] => *second,
            list => {
                let at = usize::from(id) * self.record;
                // SAFETY: the record is that of a command that isn't in flight.
                let record = unsafe { self.records.slice(at, self.record) };
                for (to, entry) in record.chunks_exact_mut(prp::ENTRY).zip(list) {
                    to.copy_from_slice(&entry.to_le_bytes());
                }
                self.records.phys(at)
            }
        };
        Some([*first, second])
    }

    /// Writes a range of blocks as the record of command `id`, and returns its address.
    fn write_range(&self, id: u16, (block, count): (u64, u32)) -> u64 {
        let at = usize::from(id) * self.record;
        // SAFETY: the record is that of a command that isn't in flight.
        let record = unsafe { self.records.slice(at, RANGE) };
        let lengths = u64::from(count) << 32;
        for (to, value) in record.chunks_exact_mut(8).zip([lengths, block]) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        self.records.phys(at)
    }

    /// Returns the next completed command.
    pub fn complete(&mut self) -> Result<Option<Done>, DeviceError> {
        let Some(completion) = self.queue.pop()? else {
            return Ok(None);
        };
        let command = self.pending[usize::from(completion.id)].take();
        let command = command.ok_or(DeviceError)?;
        Ok(Some(Done {
            repeat: completion.status.is_temporary() && command.tries < MAX_TRIES,
            command,
            result: completion.status.result(),
        }))
    }

    pub fn kick(&mut self, registers: &dyn Registers) {
        self.queue.kick(registers);
    }

    /// See [`QueuePair::acknowledge`].
    pub fn acknowledge(&mut self, registers: &dyn Registers) {
        self.queue.acknowledge(registers);
    }

    /// See [`QueuePair::acknowledge_if_short`].
    pub fn acknowledge_if_short(&mut self, registers: &dyn Registers) {
        self.queue.acknowledge_if_short(registers);
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.records.leak();
    }
}

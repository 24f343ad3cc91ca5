//! The commands of a port with a disk, and what they depend on.

use alloc::vec::Vec;

use super::command::{self, Ata, PortMemory, ata};
use super::identify::Identity;
use crate::MemoryRef;
use crate::disk::{
    Bounce, Clear, ClearLimits, Data, DiskError, Geometry, Issued, Limits, List, Mapped, Operation,
    Request, SECTOR,
};

/// Maximum blocks of a command.
const MAX_BLOCKS: usize = 1 << 15;

/// A command in flight, or to be sent again.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    /// Number of the caller's request.
    pub(super) request: u16,
    /// Its part of the request.
    pub(super) part: Request,
    /// Entries of its list of memory.
    pub(super) entries: u16,
    pub(super) bounce: Bounce,
    pub(super) tries: u8,
}

/// What commands depend on.
pub(super) struct Disk {
    pub(super) identity: Identity,
    pub(super) discard: Option<ClearLimits>,
    pub(super) data: Data,
}

impl Disk {
    pub(super) fn new(memory: MemoryRef, identity: Identity, bounce_buffers: u16) -> Disk {
        let block = identity.block_size;
        let limits = Limits {
            segment: command::MAX_ENTRY,
            segments: u16::MAX,
            bytes: MAX_BLOCKS * block,
            block,
            boundary: 1,
        };
        let most = usize::try_from(command::MAX_TRIM).unwrap_or(usize::MAX);
        let alignment = identity.physical_size as u64;
        let discard = ClearLimits::new(most.saturating_mul(block), alignment, block);
        Disk {
            data: Data::new(memory, limits, bounce_buffers),
            discard: discard.filter(|_| identity.can_trim),
            identity,
        }
    }

    pub(super) fn geometry(&self) -> Geometry {
        Geometry {
            sectors: self.identity.sectors,
            block_size: self.identity.block_size,
            read_only: false,
            can_flush: self.identity.can_flush,
            can_discard: self.discard.is_some(),
            can_write_zeroes: false,
        }
    }

    /// First block and number of blocks.
    pub(super) fn blocks(&self, part: &Request) -> (u64, u64) {
        let block = self.identity.block_size;
        let per_block = (block / SECTOR) as u64;
        (part.sector / per_block, (part.len / block) as u64)
    }

    /// The command for a part of a request, in this slot if it is queued.
    pub(super) fn command(&self, part: &Request, queued: Option<u8>) -> Ata {
        let (block, count) = self.blocks(part);
        let (plain, queueing, writes) = match part.operation {
            Operation::Flush => return Ata::new(ata::FLUSH_CACHE_EXT),
            Operation::Clear(_) => {
                const TRIM: u16 = 1;
                return Ata {
                    features: TRIM,
                    // Blocks of ranges.
                    count: 1,
                    writes: true,
                    ..Ata::new(ata::DATA_SET_MANAGEMENT)
                };
            }
            Operation::Read => (ata::READ_DMA_EXT, ata::READ_QUEUED, false),
            Operation::Write => (ata::WRITE_DMA_EXT, ata::WRITE_QUEUED, true),
        };
        let count = count as u16;
        match queued {
            None => Ata {
                block,
                count,
                writes,
                ..Ata::new(plain)
            },
            Some(tag) => Ata {
                features: count,
                block,
                count: u16::from(tag) << 3,
                writes,
                ..Ata::new(queueing)
            },
        }
    }
}

/// The commands of a port.
pub(super) struct Commands {
    pub(super) memory: PortMemory,
    pub(super) slots: u8,
    /// The controller takes queued commands.
    pub(super) can_queue: bool,
    pub(super) pending: Vec<Option<Pending>>,
    /// Commands that the port has, or gets at the next [`Port::kick`](super::port::Port::kick), one
    /// bit each.
    pub(super) in_flight: u32,
    pub(super) unrung: u32,
    /// They are queued commands.
    pub(super) is_queued: bool,
    /// Commands to be sent again one at a time, and whether the one in flight is one of them.
    pub(super) retry: u32,
    pub(super) is_retrying: bool,
    pub(super) list: List,
}

impl Commands {
    /// Adds the command of a slot to those in flight.
    pub(super) fn add(&mut self, slot: u8, queued: bool) {
        if self.in_flight == 0 {
            self.is_queued = queued;
            self.memory.clear();
        }
        self.in_flight |= 1 << slot;
        self.unrung |= 1 << slot;
    }

    /// Adds the next command again that wasn't completed because of an error of a command.
    pub(super) fn retry(&mut self, disk: &Disk) {
        if self.retry == 0 || self.in_flight != 0 {
            return;
        }
        let slot = self.retry.trailing_zeros() as u8;
        self.retry &= self.retry - 1;
        if let Some(pending) = &mut self.pending[usize::from(slot)] {
            pending.tries += 1;
            let command = disk.command(&pending.part, None);
            self.memory.set_command(slot, command, pending.entries);
            self.is_retrying = true;
            self.add(slot, false);
        }
    }

    /// Submits as much of request `index` as fits a command.
    pub(super) fn submit(
        &mut self,
        disk: &mut Disk,
        index: u16,
        rest: &mut Request,
    ) -> Result<Issued, DiskError> {
        let depth = disk.identity.queue_depth.filter(|_| self.can_queue);
        let depth = match rest.operation {
            Operation::Read | Operation::Write => depth,
            _ => None,
        };
        // The device takes either queued commands at a time or others.
        let is_queued = depth.is_some();
        if self.in_flight != 0 && self.is_queued != is_queued {
            return Ok(Issued::Full);
        }
        let slot = (!self.in_flight).trailing_zeros() as u8;
        if slot >= depth.map_or(self.slots, |depth| depth.min(self.slots)) {
            return Ok(Issued::Full);
        }
        let (mut part, mut bounce, mut entries) = (*rest, Bounce::NONE, 0);
        match rest.operation {
            Operation::Flush => {}
            Operation::Clear(Clear::Discard) => {
                part.len = disk.discard.ok_or(DiskError::Unsupported)?.len(rest);
                let (block, count) = disk.blocks(&part);
                self.memory.set_ranges(slot, block, count);
                entries = 1;
            }
            Operation::Clear(Clear::Zeroes { .. }) => return Err(DiskError::Unsupported),
            Operation::Read | Operation::Write => {
                self.list.begin(&[], u16::MAX, disk.data.limits());
                (part.len, bounce) = match disk.data.map(rest, &mut self.list)? {
                    Mapped::Full => return Ok(Issued::Full),
                    Mapped::Data(len, bounce) => (len, bounce),
                };
                entries = self.list.buffers().len() as u16;
                if !self.memory.set_data(slot, self.list.buffers()) {
                    // Only memory for a bounce buffer could serve it.
                    disk.data.finish(bounce, false);
                    return Err(DiskError::NoMemory);
                }
            }
        }
        let command = disk.command(&part, is_queued.then_some(slot));
        self.memory.set_command(slot, command, entries);
        self.pending[usize::from(slot)] = Some(Pending {
            request: index,
            part,
            entries,
            bounce,
            tries: 0,
        });
        self.add(slot, is_queued);
        rest.advance(part.len);
        Ok(Issued::Some)
    }
}

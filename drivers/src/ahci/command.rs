//! A port's memory (AHCI 1.3.1, 4): command headers, command tables and received FISes.

use sync::atomic::{AtomicU32, Ordering, fence};

use crate::disk::List;
use crate::queue::Buffer;
use crate::{MemoryRef, Region};

/// Commands (ATA/ATAPI Command Set 3, 7).
pub mod ata {
    pub const DATA_SET_MANAGEMENT: u8 = 0x06;
    pub const READ_DMA_EXT: u8 = 0x25;
    pub const WRITE_DMA_EXT: u8 = 0x35;
    pub const READ_QUEUED: u8 = 0x60;
    pub const WRITE_QUEUED: u8 = 0x61;
    pub const FLUSH_CACHE_EXT: u8 = 0xea;
    pub const IDENTIFY_DEVICE: u8 = 0xec;
}

/// Command slots of a port at most.
pub(super) const MAX_SLOTS: u8 = 32;
/// Maximum bytes of an entry of a table's list of memory.
pub(super) const MAX_ENTRY: u32 = 4 << 20;
/// Bytes of the ranges of a DATA SET MANAGEMENT command, and of a range in them.
const RANGES: usize = 512;
const RANGE: usize = 8;
/// Maximum blocks of a range, and of a command's ranges.
const MAX_RANGE: u64 = 0xffff;
pub(super) const MAX_TRIM: u64 = (RANGES / RANGE) as u64 * MAX_RANGE;

/// Offsets in the memory: headers, received FISes, the answer to IDENTIFY DEVICE, and tables.
const RECEIVED: usize = 1024;
const ANSWER: usize = 1536;
const TABLES: usize = 2048;
const HEADER: usize = 32;
/// Bytes of a table: the command FIS, and entries of the list of memory.
const ENTRIES: usize = 0x80;
const ENTRY: usize = 16;
const TABLE: usize = ENTRIES + List::MAX_SEGMENTS as usize * ENTRY;
/// Place of the ranges in the table of their command, whose list has one entry.
const RANGES_AT: usize = ENTRIES + RANGES;
/// Offsets of received FISes: Register, Set Device Bits.
const REGISTER: usize = 0x40;
const SET_BITS: usize = 0x58;

const _: () = assert!(TABLE.is_multiple_of(128) && RANGES_AT + RANGES <= TABLE);

/// A command of the ATA command set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ata {
    pub command: u8,
    pub features: u16,
    /// First block.
    pub block: u64,
    pub count: u16,
    /// It writes to the device.
    pub writes: bool,
}

impl Ata {
    /// A command without block and data.
    pub fn new(command: u8) -> Ata {
        Ata {
            command,
            features: 0,
            block: 0,
            count: 0,
            writes: false,
        }
    }

    /// The Register FIS from host to device (Serial ATA 3.2, 10.5.5).
    fn bytes(self) -> [u8; 20] {
        const HOST_TO_DEVICE: u8 = 0x27;
        const IS_COMMAND: u8 = 0x80;
        /// The address is the number of a block.
        const BLOCKS: u8 = 0x40;
        let [a, b, c, d, e, f, ..] = self.block.to_le_bytes();
        let [features, more_features] = self.features.to_le_bytes();
        let [count, more_count] = self.count.to_le_bytes();
        let mut bytes = [0; 20];
        let head = [HOST_TO_DEVICE, IS_COMMAND, self.command, features];
        bytes[..4].copy_from_slice(&head);
        bytes[4..12].copy_from_slice(&[a, b, c, BLOCKS, d, e, f, more_features]);
        bytes[12..14].copy_from_slice(&[count, more_count]);
        bytes
    }
}

/// A FIS that the device sent: kind, flags, status and error register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received(pub u32);

impl Received {
    /// The status reports an error.
    pub fn is_error(self) -> bool {
        self.0 >> 16 & super::registers::TASK_ERROR != 0
    }
}

/// The memory of a port with its device. The tables are those of the slots, and one more for
/// IDENTIFY DEVICE.
pub(super) struct PortMemory {
    region: Region,
    slots: u8,
}

impl PortMemory {
    pub fn new(memory: MemoryRef, slots: u8) -> Option<PortMemory> {
        let len = TABLES + (usize::from(slots) + 1) * TABLE;
        let region = Region::new(memory, len, RECEIVED)?;
        Some(PortMemory { region, slots })
    }

    /// Physical addresses of the headers and of the received FISes.
    pub fn addresses(&self) -> (u64, u64) {
        (self.region.phys(0), self.region.phys(RECEIVED))
    }

    fn table(slot: u8) -> usize {
        TABLES + usize::from(slot) * TABLE
    }

    /// Writes the list of memory of a slot, which the port doesn't process. False: the list has
    /// memory that starts or ends at an odd address.
    pub fn set_data(&self, slot: u8, buffers: &[Buffer]) -> bool {
        let at = Self::table(slot) + ENTRIES;
        // SAFETY: the table is that of a slot without a command.
        let entries = unsafe { self.region.slice(at, TABLE - ENTRIES) };
        for (entry, buffer) in entries.chunks_exact_mut(ENTRY).zip(buffers) {
            if (buffer.phys | u64::from(buffer.len)) & 1 != 0 {
                return false;
            }
            entry[..8].copy_from_slice(&buffer.phys.to_le_bytes());
            entry[8..12].fill(0);
            let len = buffer.len.saturating_sub(1);
            entry[12..].copy_from_slice(&len.to_le_bytes());
        }
        true
    }

    /// Writes the ranges of `count` blocks from `block` on as the data of a slot, which the port
    /// doesn't process.
    pub fn set_ranges(&self, slot: u8, mut block: u64, mut count: u64) {
        let at = Self::table(slot) + RANGES_AT;
        // SAFETY: as in `set_data`.
        let ranges = unsafe { self.region.slice(at, RANGES) };
        for range in ranges.chunks_exact_mut(RANGE) {
            let here = count.min(MAX_RANGE);
            let value = if here == 0 { 0 } else { here << 48 | block };
            range.copy_from_slice(&value.to_le_bytes());
            block += here;
            count -= here;
        }
        self.set_data(slot, &[Buffer::readable(self.region.phys(at), RANGES)]);
    }

    /// Writes a command into a slot, which the port doesn't process; its data has `entries`.
    pub fn set_command(&self, slot: u8, ata: Ata, entries: u16) {
        self.write_command(slot, Self::table(slot), ata, entries);
    }

    /// Writes IDENTIFY DEVICE into slot 0, which the port doesn't process; the slot's table stays.
    pub fn set_identify(&self) {
        // SAFETY: no command is in flight that writes the answer.
        unsafe { self.region.slice(ANSWER, super::identify::BYTES) }.fill(0);
        let answer = Buffer::writable(self.region.phys(ANSWER), super::identify::BYTES);
        self.set_data(self.slots, &[answer]);
        let table = Self::table(self.slots);
        self.write_command(0, table, Ata::new(ata::IDENTIFY_DEVICE), 1);
    }

    fn write_command(&self, slot: u8, table: usize, ata: Ata, entries: u16) {
        const WRITE: u32 = 1 << 6;
        let fis = ata.bytes();
        // SAFETY: as in `set_data`.
        unsafe { self.region.slice(table, fis.len()) }.copy_from_slice(&fis);
        let write = if ata.writes { WRITE } else { 0 };
        let options = (fis.len() / 4) as u32 | write | u32::from(entries) << 16;
        // SAFETY: the header is that of a slot without a command.
        let header = unsafe { self.region.slice(usize::from(slot) * HEADER, HEADER) };
        header.fill(0);
        header[..4].copy_from_slice(&options.to_le_bytes());
        header[8..16].copy_from_slice(&self.region.phys(table).to_le_bytes());
    }

    /// Bytes that the port says it has transferred for the command of a slot, which it has
    /// finished.
    pub fn transferred(&self, slot: u8) -> usize {
        self.word(usize::from(slot) * HEADER + 4) as usize
    }

    /// The answer to IDENTIFY DEVICE, once it has completed.
    pub fn answer(&self) -> [u8; super::identify::BYTES] {
        // As for completions, see `taken`.
        fence(Ordering::Acquire);
        let mut answer = [0; super::identify::BYTES];
        let len = answer.len();
        // SAFETY: the port has finished the command.
        answer.copy_from_slice(unsafe { self.region.slice(ANSWER, len) });
        answer
    }

    fn at(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: an aligned word of the region, which lives as long; the word is accessed only
        // atomically while the port may write it.
        unsafe { AtomicU32::from_ptr(self.region.ptr(offset).cast().as_ptr()) }
    }

    fn word(&self, offset: usize) -> u32 {
        u32::from_le(self.at(offset).load(Ordering::Relaxed))
    }

    /// The FIS that reported the end of commands since [`clear`](PortMemory::clear), if there is
    /// one: of queued commands, or of others. No exit.
    pub fn received(&self, queued: bool) -> Option<Received> {
        let register = Received(self.word(RECEIVED + REGISTER));
        let set_bits = Received(self.word(RECEIVED + SET_BITS));
        let has = |fis: Received| fis.0 != 0;
        match queued {
            // The device acknowledges each queued command by a Register FIS.
            true if register.is_error() => Some(register),
            true => Some(set_bits).filter(|fis| has(*fis)),
            false => Some(register).filter(|fis| has(*fis)),
        }
    }

    /// Forgets the received FISes.
    pub fn clear(&self) {
        self.at(RECEIVED + REGISTER).store(0, Ordering::Relaxed);
        self.at(RECEIVED + SET_BITS).store(0, Ordering::Relaxed);
    }

    pub fn leak(&mut self) {
        self.region.leak();
    }
}

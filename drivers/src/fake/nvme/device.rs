//! A controller's options, state and identify data.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use super::{Model, NvmeHandle, NvmeRegisters, PAGE};
use crate::fake::HostMemory;

/// A namespace.
#[derive(Clone)]
pub struct FakeNamespace {
    /// Its contents.
    pub data: Vec<u8>,
    /// Bytes of a block, a power of two.
    pub block_size: usize,
    /// Bytes of metadata of each block.
    pub metadata: u16,
    /// Its number; 0 for one that isn't active.
    pub number: u32,
    /// It is write protected.
    pub read_only: bool,
    /// Blocks that can't be read or written.
    pub bad: BTreeSet<u64>,
    /// `DLFEAT`.
    pub deallocated: u8,
    /// `NPDG`, if it isn't 0: the preferred granularity of discards in blocks.
    pub discard_alignment: u16,
}

impl FakeNamespace {
    /// A namespace of zeros.
    pub fn new(number: u32, blocks: usize, block_size: usize) -> FakeNamespace {
        FakeNamespace {
            data: vec![0; blocks * block_size],
            block_size,
            metadata: 0,
            number,
            read_only: false,
            bad: BTreeSet::new(),
            deallocated: 0b1001,
            discard_alignment: 0,
        }
    }

    fn identify(&self) -> Vec<u8> {
        let mut answer = vec![0; PAGE];
        let blocks = (self.data.len() / self.block_size) as u64;
        answer[0..8].copy_from_slice(&blocks.to_le_bytes());
        answer[8..16].copy_from_slice(&blocks.to_le_bytes());
        // The second format, which is selected.
        (answer[25], answer[26]) = (1, 1);
        answer[33] = self.deallocated;
        if let Some(units) = self.discard_alignment.checked_sub(1) {
            answer[24] = 1 << 4;
            answer[68..70].copy_from_slice(&units.to_le_bytes());
        }
        answer[99] = u8::from(self.read_only);
        let format = u32::from(self.metadata) | self.block_size.ilog2() << 16;
        answer[132..136].copy_from_slice(&format.to_le_bytes());
        answer
    }
}

/// One thing that a lying controller does instead of a completion.
#[derive(Clone, Debug)]
pub enum NvmeLie {
    /// Completes another command.
    Id(u16),
    /// Completes a command of another queue.
    Queue(u16),
    /// Completes it twice.
    Twice,
    /// Never completes it.
    Swallow,
    /// Doesn't perform it, and completes it with this type and code.
    Status(u16),
    /// The phase is that of the last round.
    Phase,
    /// Fails.
    Fatal,
    /// Is removed.
    Gone,
    /// Returns a result with other bytes than it should: from where, and which.
    Answer(u16, Vec<u8>),
}

/// A controller.
#[derive(Clone)]
pub struct NvmeDevice {
    /// Its namespaces.
    pub namespaces: Vec<FakeNamespace>,
    /// Its serial number.
    pub serial: [u8; 20],
    /// The version that it implements.
    pub version: u32,
    /// Capabilities.
    pub capabilities: u64,
    /// `MDTS`.
    pub max_transfer: u8,
    /// `ONCS`.
    pub optional: u16,
    /// `VWC`.
    pub cache: u8,
    /// `CNTRLTYPE`.
    pub kind: u8,
    /// `WZSL` and `DMRSL`, where it returns the data structure of the command set.
    pub command_set: Option<(u8, u32)>,
    /// Maximum blocks of a Write Zeroes, above which it fails.
    pub max_zeroes: u32,
    /// Reads of the status until a reset, or a start, is complete.
    pub reset_reads: usize,
    /// No reset completes.
    pub never_resets: bool,
    /// I/O commands aren't completed while this is true.
    pub stuck: bool,
    /// Nor are admin commands.
    pub stuck_admin: bool,
    /// It has failed.
    pub fatal: bool,
    /// It was removed.
    pub gone: bool,
    /// Completions are the other way round: last command first.
    pub reversed: bool,
    /// What it does instead of the next completions; `None` for the truth.
    pub lies: VecDeque<Option<NvmeLie>>,
    /// Completed commands: reads and writes, then flushes.
    pub done: (usize, usize),
    /// The admin commands: opcode, and command dword 10.
    pub admin: Vec<(u8, u32)>,
    /// Entries of the largest command's data.
    pub most_entries: usize,
    /// Bytes of the largest command's data.
    pub most_bytes: usize,
    /// Commands without data: opcode, namespace, block, blocks, flags.
    pub cleared: Vec<(u8, u32, u64, u32, u32)>,
}

/// Capabilities: a queue has at most 1024 entries; contiguous queues; 20 s to reset; the NVM
/// command set.
const CAPABILITIES: u64 = 1023 | 1 << 16 | 40 << 24 | 1 << 37;

impl NvmeDevice {
    /// A controller with one namespace of zeros of this many blocks of 512 bytes.
    pub fn new(blocks: usize) -> NvmeDevice {
        let mut serial = [b' '; 20];
        serial[..4].copy_from_slice(b"fake");
        NvmeDevice {
            namespaces: vec![FakeNamespace::new(1, blocks, 512)],
            serial,
            version: 0x1_04_00,
            capabilities: CAPABILITIES,
            max_transfer: 7,
            optional: 1 << 2 | 1 << 3,
            cache: 7,
            kind: 1,
            command_set: Some((0, 0)),
            max_zeroes: u32::MAX,
            reset_reads: 2,
            never_resets: false,
            stuck: false,
            stuck_admin: false,
            fatal: false,
            gone: false,
            reversed: false,
            lies: VecDeque::new(),
            done: (0, 0),
            admin: Vec::new(),
            most_entries: 0,
            most_bytes: 0,
            cleared: Vec::new(),
        }
    }

    /// The driver's and the test's ends of the controller.
    pub fn connect(self, memory: &'static HostMemory) -> (NvmeRegisters, NvmeHandle) {
        let model = Arc::new(Mutex::new(Model {
            device: self,
            memory,
            configuration: 0,
            attributes: 0,
            addresses: [0; 4],
            countdown: 0,
            ready: false,
            queues: BTreeMap::new(),
            resets: 0,
            doorbells: [0; 4],
            status_reads: 0,
            interrupts: 0,
            masked: false,
            lied: false,
        }));
        let registers = NvmeRegisters {
            model: model.clone(),
        };
        (registers, NvmeHandle { model })
    }

    pub(super) fn namespace(&mut self, number: u32) -> Option<&mut FakeNamespace> {
        let found = |space: &&mut FakeNamespace| number != 0 && space.number == number;
        self.namespaces.iter_mut().find(found)
    }

    /// The answer to Identify, or a status.
    pub(super) fn identify(&mut self, what: u32, number: u32) -> Result<Vec<u8>, u16> {
        let mut answer = vec![0; PAGE];
        match what & 0xff {
            0 => {
                if number == 0 || number == u32::MAX {
                    return Err(0x00b);
                }
                if let Some(namespace) = self.namespace(number) {
                    answer = namespace.identify();
                }
            }
            1 => {
                answer[4..24].copy_from_slice(&self.serial);
                answer[77] = self.max_transfer;
                answer[111] = self.kind;
                (answer[512], answer[513]) = (0x66, 0x44);
                let last = self.namespaces.iter().map(|space| space.number).max();
                answer[516..520].copy_from_slice(&last.unwrap_or(0).to_le_bytes());
                answer[520..522].copy_from_slice(&self.optional.to_le_bytes());
                answer[525] = self.cache;
            }
            2 if self.version >= 0x1_01_00 => {
                let active = self.namespaces.iter().map(|space| space.number);
                let active = active.filter(|active| *active > number);
                for (to, active) in answer.chunks_exact_mut(4).zip(active) {
                    to.copy_from_slice(&active.to_le_bytes());
                }
            }
            6 => {
                let (zeroes, blocks) = self.command_set.ok_or(0x002u16)?;
                answer[1] = zeroes;
                answer[4..8].copy_from_slice(&blocks.to_le_bytes());
            }
            _ => return Err(0x002),
        }
        Ok(answer)
    }
}

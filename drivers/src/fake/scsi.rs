//! A SCSI host bus adapter with disks in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::{Backend, Chain, DeviceQueue, HostMemory};
use crate::device_type::DeviceType;
use crate::scsi::feature;

/// Header and response of a command (virtio 1.2, 5.6.6.1).
const HEADER: usize = 51;
const RESPONSE: usize = 108;

/// Status codes.
const CHECK_CONDITION: u8 = 2;
const BUSY: u8 = 8;

/// Sense: key, additional code and its qualifier.
type Sense = [u8; 3];
const INVALID_OPERATION: Sense = [5, 0x20, 0];
const INVALID_FIELD: Sense = [5, 0x24, 0];

/// A logical unit: a disk.
pub struct LogicalUnit {
    /// Its contents.
    pub data: Vec<u8>,
    /// Bytes of a block.
    pub block: usize,
    /// The first byte of its INQUIRY data.
    pub kind: u8,
    /// Its unit serial number, if it has that page.
    pub serial: Option<String>,
    /// Designators of its identification page: code set, kind, bytes.
    pub designators: Vec<(u8, u8, Vec<u8>)>,
    /// It is write-protected, and says so.
    pub write_protected: bool,
    /// Conditions that each end a command.
    pub conditions: VecDeque<Sense>,
    /// Number of commands that it answers with BUSY.
    pub busy: usize,
    /// Its sense data has the descriptor format.
    pub descriptors: bool,
    /// Blocks that can't be read or written.
    pub bad: BTreeSet<u64>,
    /// Maximum blocks of a transfer and of an UNMAP; 0 for no block limits page.
    pub limits: (u32, u32),
    /// Granularity of UNMAP in blocks.
    pub granularity: u32,
    /// Flags of the provisioning page.
    pub provisioning: u8,
    /// It knows SYNCHRONIZE CACHE.
    pub flushes: bool,
    /// It transfers one block less than was asked for.
    pub short: bool,
    /// Its commands are not answered until this is false again.
    pub stuck: bool,
    /// Completed commands: reads and writes, then flushes.
    pub done: (usize, usize),
    /// Data segments of the largest command.
    pub most_segments: usize,
    /// Blocks of the largest transfer.
    pub most_blocks: u32,
    /// Operation code, flags, first block and blocks of each UNMAP and WRITE SAME.
    pub cleared: Vec<(u8, u8, u64, u32)>,
}

impl LogicalUnit {
    /// A disk of zeros.
    pub fn new(blocks: usize, block: usize) -> LogicalUnit {
        LogicalUnit {
            data: vec![0; blocks * block],
            block,
            kind: 0,
            serial: None,
            designators: Vec::new(),
            write_protected: false,
            conditions: VecDeque::new(),
            busy: 0,
            descriptors: false,
            bad: BTreeSet::new(),
            limits: (0, 64),
            granularity: 0,
            provisioning: 0xe0,
            flushes: true,
            short: false,
            stuck: false,
            done: (0, 0),
            most_segments: 0,
            most_blocks: 0,
            cleared: Vec::new(),
        }
    }

    fn range(&self, first: u64, count: u32) -> Result<core::ops::Range<usize>, Sense> {
        let end = first.checked_add(u64::from(count)).ok_or([5, 0x21, 0])?;
        if end > (self.data.len() / self.block) as u64 {
            return Err([5, 0x21, 0]);
        }
        if self.bad.range(first..end).next().is_some() {
            return Err([3, 0x11, 0]);
        }
        Ok(first as usize * self.block..end as usize * self.block)
    }

    fn page(&self, code: u8) -> Result<Vec<u8>, Sense> {
        let contents = match code {
            0x80 => self.serial.clone().ok_or(INVALID_FIELD)?.into_bytes(),
            0x83 => {
                let designators = self.designators.iter().map(|(code, kind, bytes)| {
                    [&[*code, *kind, 0, bytes.len() as u8][..], bytes].concat()
                });
                designators.collect::<Vec<_>>().concat()
            }
            0xb0 if self.limits != (0, 0) => {
                let mut page = vec![0; 60];
                page[4..8].copy_from_slice(&self.limits.0.to_be_bytes());
                page[16..20].copy_from_slice(&self.limits.1.to_be_bytes());
                page[20..24].copy_from_slice(&255u32.to_be_bytes());
                page[24..28].copy_from_slice(&self.granularity.to_be_bytes());
                page
            }
            0xb2 => vec![0, self.provisioning, 0, 0],
            _ => return Err(INVALID_FIELD),
        };
        let len = (contents.len() as u16).to_be_bytes();
        Ok([&[self.kind, code, len[0], len[1]], &contents[..]].concat())
    }

    /// Executes a command; returns what it reads.
    fn execute(&mut self, cdb: &[u8], data: &[u8]) -> Result<Vec<u8>, Sense> {
        // Not INQUIRY and REPORT LUNS (SPC-4, 5.14.1).
        if !matches!(cdb[0], 0x12 | 0xa0)
            && let Some(sense) = self.conditions.pop_front()
        {
            return Err(sense);
        }
        let first = u64::from_be_bytes(cdb[2..10].try_into().expect("8 bytes"));
        let count = u32::from_be_bytes(cdb[10..14].try_into().expect("4 bytes"));
        match cdb[0] {
            0x00 => Ok(Vec::new()),
            0x12 if cdb[1] == 0 => {
                let text = b"FAKE    FAKE DISK       1.0 ";
                Ok([&[self.kind, 0, 5, 2, 31, 0, 0, 2][..], text].concat())
            }
            0x12 => self.page(cdb[2]),
            0x1a => Ok(vec![
                3,
                0,
                if self.write_protected { 0x90 } else { 0x10 },
                0,
            ]),
            0x9e if cdb[1] == 0x10 => {
                let last = (self.data.len() / self.block) as u64 - 1;
                let mut capacity = vec![0; 32];
                capacity[..8].copy_from_slice(&last.to_be_bytes());
                capacity[8..12].copy_from_slice(&(self.block as u32).to_be_bytes());
                Ok(capacity)
            }
            0x88 => {
                self.done.0 += 1;
                self.most_blocks = self.most_blocks.max(count);
                let range = self.range(first, count)?;
                Ok(self.data[range].to_vec())
            }
            0x8a | 0x93 | 0x42 if self.write_protected => Err([7, 0x27, 0]),
            0x8a => {
                self.done.0 += 1;
                self.most_blocks = self.most_blocks.max(count);
                let range = self.range(first, count)?;
                self.data[range].copy_from_slice(data);
                Ok(Vec::new())
            }
            0x35 if self.flushes => {
                assert_eq!(cdb[1..], [0; 31], "all blocks");
                self.done.1 += 1;
                Ok(Vec::new())
            }
            0x93 => {
                assert_eq!(data.len(), self.block, "one block");
                self.cleared.push((0x93, cdb[1], first, count));
                let range = self.range(first, count)?;
                for block in self.data[range].chunks_mut(data.len()) {
                    block.copy_from_slice(data);
                }
                Ok(Vec::new())
            }
            0x42 => {
                assert_eq!((cdb[7], cdb[8], data.len()), (0, 24, 24), "one descriptor");
                assert_eq!(data[..4], [0, 22, 0, 16]);
                let first = u64::from_be_bytes(data[8..16].try_into().expect("8 bytes"));
                let count = u32::from_be_bytes(data[16..20].try_into().expect("4 bytes"));
                assert!(count <= self.limits.1, "more blocks than an UNMAP may have");
                self.cleared.push((0x42, cdb[1], first, count));
                let range = self.range(first, count)?;
                self.data[range].fill(0xdd);
                Ok(Vec::new())
            }
            _ => Err(INVALID_OPERATION),
        }
    }
}

/// A host bus adapter.
pub struct HostBusAdapter {
    /// Its units, by target and number.
    pub units: BTreeMap<(u8, u16), LogicalUnit>,
    /// The offered features.
    pub features: u64,
    /// Data segments of a command.
    pub seg_max: u32,
    /// Sectors of a command.
    pub max_sectors: u32,
    /// Commands of a unit at a time; 0 for any number.
    pub per_unit: u32,
    /// The last target.
    pub max_target: u16,
    /// Size of the request queue.
    pub size: u16,
    /// It can't report its units.
    pub no_report: bool,
    /// How often it lists each unit in a report.
    pub listings: usize,
    /// Events to report.
    pub events: VecDeque<[u8; 16]>,
    /// Commands of units that are stuck.
    pub held: Vec<Chain>,
    /// Commands, of any unit or none.
    pub commands: usize,
}

impl HostBusAdapter {
    /// An adapter with these units.
    pub fn new(units: impl IntoIterator<Item = ((u8, u16), LogicalUnit)>) -> HostBusAdapter {
        HostBusAdapter {
            units: units.into_iter().collect(),
            features: feature::ALL,
            seg_max: 126,
            max_sectors: 65535,
            per_unit: 0,
            max_target: 255,
            size: 128,
            no_report: false,
            listings: 1,
            events: VecDeque::new(),
            held: Vec::new(),
            commands: 0,
        }
    }

    /// Reports an event of a unit.
    pub fn report(&mut self, kind: u32, (target, lun): (u8, u16), reason: u32) {
        let mut event = [0; 16];
        event[..4].copy_from_slice(&kind.to_le_bytes());
        event[4..6].copy_from_slice(&[1, target]);
        event[6..8].copy_from_slice(&lun.to_be_bytes());
        event[12..].copy_from_slice(&reason.to_le_bytes());
        self.events.push_back(event);
    }

    /// Removes a unit, as QEMU does: reports that, and aborts its commands.
    pub fn remove(&mut self, unit: (u8, u16)) {
        self.report(1, unit, 2);
        self.units.remove(&unit);
    }

    fn reported(&self, target: u8) -> Vec<u8> {
        let units = self.units.range((target, 0)..=(target, u16::MAX));
        let luns: Vec<_> = (0..self.listings).flat_map(|_| units.clone()).collect();
        let mut data = vec![0; 8];
        data[..4].copy_from_slice(&(8 * luns.len() as u32).to_be_bytes());
        for ((_, lun), _) in luns {
            let flat = if *lun < 256 { *lun } else { lun | 0x4000 };
            data.extend_from_slice(&flat.to_be_bytes());
            data.extend_from_slice(&[0; 6]);
        }
        data
    }

    /// Whether a unit answers nothing.
    pub(super) fn is_stuck(&self, unit: (u8, u16)) -> bool {
        self.units.get(&unit).is_some_and(|unit| unit.stuck)
    }

    /// Executes a command of a unit that isn't stuck.
    pub(super) fn answer(
        &mut self,
        (target, lun): (u8, u16),
        cdb: &[u8],
        data: &[u8],
        segments: usize,
    ) -> Answer {
        self.commands += 1;
        let mut units = self.units.range((target, 0)..=(target, u16::MAX));
        let is_any = units.next().is_some();
        let mut answer = Answer::default();
        if cdb[0] == 0xa0 && is_any && !self.no_report {
            answer.read = self.reported(target);
        } else if let Some(unit) = self.units.get_mut(&(target, lun)) {
            if matches!(cdb[0], 0x88 | 0x8a) {
                unit.most_segments = unit.most_segments.max(segments);
            }
            let result = match unit.busy {
                0 => unit.execute(cdb, data),
                _ => {
                    unit.busy -= 1;
                    answer.status = BUSY;
                    Ok(Vec::new())
                }
            };
            match result {
                Ok(mut read) => {
                    if unit.short && matches!(cdb[0], 0x88 | 0x8a) {
                        read.truncate(read.len().saturating_sub(unit.block));
                        answer.residual = unit.block as u32;
                    }
                    answer.read = read;
                }
                Err(sense) => answer.check(sense, unit.descriptors),
            }
        } else if cdb[0] == 0xa0 && is_any {
            answer.check(INVALID_OPERATION, false);
        } else {
            answer.is_bad_target = true;
        }
        answer
    }

    /// Answers a command, unless its unit is stuck.
    fn serve(&mut self, memory: &HostMemory, queue: &mut DeviceQueue, mut chain: Chain) {
        assert_eq!(chain.readable[0].1, HEADER);
        let (response_at, len) = chain.writable.remove(0);
        assert_eq!(len, RESPONSE);
        let request = chain.read(memory);
        let (header, data) = request.split_at(HEADER);
        assert_eq!((header[0], header[2] & 0xc0), (1, 0x40), "flat addressing");
        let unit = (header[1], u16::from_be_bytes([header[2] & 0x3f, header[3]]));
        let cdb = &header[19..];
        let segments = chain.readable.len() - 1 + chain.writable.len();
        assert!(segments <= self.seg_max as usize, "{segments} segments");
        let bytes = data.len().max(chain.capacity());
        assert!(
            bytes <= self.max_sectors as usize * 512 || cdb[0] == 0x12,
            "{bytes} bytes"
        );
        if self.is_stuck(unit) {
            chain.writable.insert(0, (response_at, len));
            self.held.push(chain);
            return;
        }
        let answer = self.answer(unit, cdb, data, segments);
        let mut response = vec![0; RESPONSE];
        response[..4].copy_from_slice(&(answer.sense.len() as u32).to_le_bytes());
        response[4..8].copy_from_slice(&answer.residual.to_le_bytes());
        response[10] = answer.status;
        response[11] = if answer.is_bad_target { 3 } else { 0 };
        response[12..12 + answer.sense.len()].copy_from_slice(&answer.sense);
        let mut read = answer.read;
        read.truncate(chain.capacity());
        chain.write(memory, &read);
        memory.write(response_at, &response);
        queue.push(chain.head, RESPONSE + chain.capacity());
    }
}

/// The answer to a command.
#[derive(Default)]
pub(super) struct Answer {
    /// There is no such unit.
    pub is_bad_target: bool,
    pub status: u8,
    pub sense: Vec<u8>,
    pub read: Vec<u8>,
    /// Bytes that were not transferred.
    pub residual: u32,
}

impl Answer {
    /// Ends with CHECK CONDITION and this sense, in the descriptor format or the fixed one.
    fn check(&mut self, [key, code, qualifier]: Sense, descriptors: bool) {
        self.status = CHECK_CONDITION;
        self.sense = vec![0; 18];
        if descriptors {
            self.sense[..4].copy_from_slice(&[0x72, key, code, qualifier]);
        } else {
            (self.sense[0], self.sense[2]) = (0x70, key);
            self.sense[12..14].copy_from_slice(&[code, qualifier]);
        }
    }
}

impl Backend for HostBusAdapter {
    fn device_type(&self) -> DeviceType {
        DeviceType::SCSI
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 36];
        config[0..4].copy_from_slice(&1u32.to_le_bytes());
        config[4..8].copy_from_slice(&self.seg_max.to_le_bytes());
        config[8..12].copy_from_slice(&self.max_sectors.to_le_bytes());
        config[12..16].copy_from_slice(&self.per_unit.to_le_bytes());
        config[16..20].copy_from_slice(&16u32.to_le_bytes());
        config[20..24].copy_from_slice(&96u32.to_le_bytes());
        config[24..28].copy_from_slice(&32u32.to_le_bytes());
        config[30..32].copy_from_slice(&self.max_target.to_le_bytes());
        config[32..36].copy_from_slice(&16383u32.to_le_bytes());
        config
    }

    fn queues(&self) -> Vec<u16> {
        vec![self.size; 3]
    }

    fn reset(&mut self) {
        self.held.clear();
    }

    fn work(&mut self, memory: &'static HostMemory, _: u64, queues: &mut [DeviceQueue]) {
        let [_, events, requests] = queues else {
            return;
        };
        while let Some(event) = self.events.front()
            && let Some(chain) = events.pop()
        {
            let written = chain.write(memory, event);
            events.push(chain.head, written);
            self.events.pop_front();
        }
        events.ask_for_notification();
        for chain in core::mem::take(&mut self.held) {
            self.serve(memory, requests, chain);
        }
        while let Some(chain) = requests.pop() {
            self.serve(memory, requests, chain);
        }
        requests.ask_for_notification();
    }
}

//! A PVSCSI adapter with the units of [`HostBusAdapter`], which also lies by a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use super::lock::lock;
use super::{HostBusAdapter, HostMemory, LogicalUnit};
use crate::pvscsi::register_offset as offset;
use crate::registers::Registers;
use crate::transport::Interrupt;

const PAGE: u64 = 4096;
/// Commands: their numbers, and the words that follow.
const RESET: u32 = 1;
const SETUP_RINGS: (u32, usize) = (3, 132);
const SETUP_MESSAGES: (u32, usize) = (8, 34);
/// Causes of interrupts.
const COMPLETED: u32 = 1;
const MESSAGE: u32 = 4;

/// One thing that a lying adapter does instead of a completion.
#[derive(Clone, Debug)]
pub enum PvscsiLie {
    /// Completes another context.
    Context(u64),
    /// Completes it twice.
    Twice,
    /// Never completes it.
    Swallow,
    /// Doesn't perform it, and completes it with these statuses, of the adapter and of the unit.
    Status(u16, u16),
    /// Reports other lengths: of the data transferred, and of the sense data.
    Lengths(u64, u32),
    /// Moves the index of completions by so much.
    Produced(u32),
    /// Moves the index of messages by so much.
    Messages(u32),
    /// Is removed.
    Gone,
}

/// A request that the device has.
struct Request {
    bytes: [u8; 128],
}

impl Request {
    fn long(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("8 bytes"))
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("4 bytes"))
    }

    fn unit(&self) -> (u8, u16) {
        assert_eq!(self.bytes[66], 0, "the bus");
        let lun = u16::from_be_bytes([self.bytes[57], self.bytes[58]]);
        (self.bytes[67], lun & 0x3fff)
    }
}

/// An adapter.
pub struct PvscsiDevice {
    /// The units and what they count.
    pub adapter: HostBusAdapter,
    /// It has messages.
    pub has_messages: bool,
    /// No reset completes.
    pub never_resets: bool,
    /// It was removed.
    pub gone: bool,
    /// What it does instead of the next completions; `None` for the truth.
    pub lies: VecDeque<Option<PvscsiLie>>,
}

impl PvscsiDevice {
    /// An adapter with these units.
    pub fn new(units: impl IntoIterator<Item = ((u8, u16), LogicalUnit)>) -> PvscsiDevice {
        PvscsiDevice {
            adapter: HostBusAdapter::new(units),
            has_messages: true,
            never_resets: false,
            gone: false,
            lies: VecDeque::new(),
        }
    }

    /// The driver's and the test's ends of the adapter.
    pub fn connect(self, memory: &'static HostMemory) -> (PvscsiRegisters, PvscsiHandle) {
        let model = Arc::new(Mutex::new(Model {
            device: self,
            memory,
            command: (0, Vec::new()),
            status: 0,
            rings: None,
            messages: Vec::new(),
            causes: 0,
            mask: 0,
            held: VecDeque::new(),
            consumed: 0,
            completed: 0,
            sent: 0,
            resets: 0,
            kicks: (0, 0),
            interrupts: 0,
            lied: false,
        }));
        let registers = PvscsiRegisters {
            model: model.clone(),
        };
        (registers, PvscsiHandle { model })
    }
}

/// Addresses of the pages of the rings: indices, requests, completions.
struct Rings {
    indices: u64,
    requests: Vec<u64>,
    completions: Vec<u64>,
}

struct Model {
    device: PvscsiDevice,
    memory: &'static HostMemory,
    /// The command that is written, and its words so far.
    command: (u32, Vec<u32>),
    status: u32,
    rings: Option<Rings>,
    messages: Vec<u64>,
    causes: u32,
    mask: u32,
    held: VecDeque<Request>,
    consumed: u32,
    completed: u32,
    sent: u32,
    resets: usize,
    kicks: (usize, usize),
    interrupts: usize,
    lied: bool,
}

/// The driver's end.
pub struct PvscsiRegisters {
    model: Arc<Mutex<Model>>,
}

/// The test's end: access to the adapter.
pub struct PvscsiHandle {
    model: Arc<Mutex<Model>>,
}

impl PvscsiHandle {
    /// Accesses the adapter.
    pub fn with<R>(&self, f: impl FnOnce(&mut PvscsiDevice) -> R) -> R {
        f(&mut lock(&self.model).device)
    }

    /// Lets the adapter work.
    pub fn step(&self) {
        lock(&self.model).work(false);
    }

    /// Number of resets.
    pub fn resets(&self) -> usize {
        lock(&self.model).resets
    }

    /// Number of doorbells: of reads and writes, and of other commands.
    pub fn kicks(&self) -> (usize, usize) {
        lock(&self.model).kicks
    }

    /// Number of interrupts.
    pub fn interrupts(&self) -> usize {
        lock(&self.model).interrupts
    }

    /// Commands that are not completed.
    pub fn held(&self) -> usize {
        lock(&self.model).held.len()
    }

    /// Removes a unit, as QEMU does: reports that, and aborts its commands.
    pub fn remove(&self, unit: (u8, u16)) {
        let mut model = lock(&self.model);
        model.device.adapter.units.remove(&unit);
        model.send(1, unit);
        let all = core::mem::take(&mut model.held);
        for request in all {
            match request.unit() == unit {
                true => model.post(request.long(0), 0, 0, 0x26, 0),
                false => model.held.push_back(request),
            }
        }
    }

    /// Sends a message of this kind.
    pub fn send(&self, kind: u32, unit: (u8, u16)) {
        lock(&self.model).send(kind, unit);
    }
}

impl Model {
    fn index(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        let indices = self.rings.as_ref().expect("rings").indices;
        self.memory.read(indices + at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn set_index(&self, at: u64, value: u32) {
        let indices = self.rings.as_ref().expect("rings").indices;
        self.memory.write(indices + at, &value.to_le_bytes());
    }

    fn interrupt(&mut self, cause: u32) {
        self.causes |= cause;
        self.interrupts += usize::from(self.mask & cause != 0);
    }

    fn send(&mut self, kind: u32, (target, lun): (u8, u16)) {
        let (Some(_), Some(page)) = (&self.rings, self.messages.first()) else {
            return;
        };
        let mut message = [0; 128];
        message[..4].copy_from_slice(&kind.to_le_bytes());
        message[8] = target;
        message[12..14].copy_from_slice(&lun.to_be_bytes());
        assert!(
            self.sent.wrapping_sub(self.index(132)) < 32 || self.lied,
            "no room"
        );
        self.memory
            .write(page + u64::from(self.sent % 32) * 128, &message);
        self.sent = self.sent.wrapping_add(1);
        self.set_index(128, self.sent);
        self.interrupt(MESSAGE);
    }

    /// Posts a completion.
    fn post(&mut self, context: u64, transferred: u64, sense_len: u32, host: u16, unit: u16) {
        let rings = self.rings.as_ref().expect("rings");
        let entries = rings.completions.len() as u32 * 128;
        let place = self.completed % entries;
        let mut entry = [0; 32];
        entry[..8].copy_from_slice(&context.to_le_bytes());
        entry[8..16].copy_from_slice(&transferred.to_le_bytes());
        entry[16..20].copy_from_slice(&sense_len.to_le_bytes());
        entry[20..22].copy_from_slice(&host.to_le_bytes());
        entry[22..24].copy_from_slice(&unit.to_le_bytes());
        let page = rings.completions[place as usize / 128];
        let used = self.completed.wrapping_sub(self.index(16));
        assert!(used < entries || self.lied, "the completions overflow");
        self.memory
            .write(page + u64::from(place % 128) * 32, &entry);
        self.completed = self.completed.wrapping_add(1);
        self.set_index(12, self.completed);
        self.interrupt(COMPLETED);
    }

    /// Fetches requests, and completes those of units that aren't stuck. An adapter may expect
    /// reads and writes only after the doorbell for those (`transfers_only`).
    fn work(&mut self, transfers_only: bool) {
        let Some(rings) = &self.rings else { return };
        if self.device.gone {
            return;
        }
        let pages = rings.requests.clone();
        let entries = pages.len() as u32 * 32;
        let produced = self.index(0);
        assert!(
            produced.wrapping_sub(self.consumed) <= entries,
            "too many requests"
        );
        while self.consumed != produced {
            let place = self.consumed % entries;
            let mut bytes = [0; 128];
            let at = pages[place as usize / 32] + u64::from(place % 32) * 128;
            self.memory.read(at, &mut bytes);
            assert_eq!(bytes[68..], [0; 60]);
            let request = Request { bytes };
            let context = request.long(0);
            assert!(context != 0 && context >> 32 == 0, "context {context:#x}");
            let is_new = self.held.iter().all(|held| held.long(0) != context);
            assert!(is_new || self.lied, "a context twice");
            let is_transfer = matches!(request.bytes[40], 0x28 | 0x2a | 0x88 | 0x8a);
            assert!(is_transfer || !transfers_only, "the doorbell of transfers");
            self.held.push_back(request);
            self.consumed = self.consumed.wrapping_add(1);
            self.set_index(4, self.consumed);
        }
        for _ in 0..self.held.len() {
            let Some(request) = self.held.pop_front() else {
                break;
            };
            match self.device.adapter.is_stuck(request.unit()) {
                true => self.held.push_back(request),
                false => self.complete(&request),
            }
        }
    }

    /// The pieces of a request's data: address and length.
    fn pieces(&self, request: &Request) -> Vec<(u64, usize)> {
        let (address, mut rest, flags) = (request.long(8), request.long(16), request.word(36));
        if flags & 1 == 0 {
            return match rest {
                0 => Vec::new(),
                len => vec![(address, len as usize)],
            };
        }
        let mut pieces = Vec::new();
        for index in 0u64.. {
            if rest == 0 {
                break;
            }
            assert!(
                address % PAGE + 16 * (index + 1) <= PAGE,
                "a list in two pages"
            );
            let mut element = [0; 16];
            self.memory.read(address + 16 * index, &mut element);
            let piece = u64::from_le_bytes(element[..8].try_into().expect("8 bytes"));
            let len = u32::from_le_bytes(element[8..12].try_into().expect("4 bytes"));
            assert_eq!(element[12..], [0; 4]);
            assert!(len > 0 && u64::from(len) <= rest);
            pieces.push((piece, len as usize));
            rest -= u64::from(len);
        }
        pieces
    }

    fn complete(&mut self, request: &Request) {
        let lie = self.device.lies.pop_front().flatten();
        self.lied |= lie.is_some();
        let memory = self.memory;
        let context = request.long(0);
        match lie {
            Some(PvscsiLie::Swallow) => return,
            Some(PvscsiLie::Gone) => {
                self.device.gone = true;
                return;
            }
            Some(PvscsiLie::Status(host, unit)) => return self.post(context, 0, 0, host, unit),
            Some(PvscsiLie::Produced(by)) => {
                self.completed = self.completed.wrapping_add(by);
                return self.set_index(12, self.completed);
            }
            Some(PvscsiLie::Messages(by)) => {
                self.sent = self.sent.wrapping_add(by);
                self.set_index(128, self.sent);
            }
            _ => {}
        }
        let pieces = self.pieces(request);
        let flags = request.word(36);
        let direction = flags & 0x1c;
        assert!(
            direction.is_power_of_two() && flags & !0x1d == 0,
            "{flags:#x}"
        );
        assert_eq!(pieces.is_empty(), direction == 4);
        let mut cdb = request.bytes[40..56].to_vec();
        let len = match cdb[0] {
            0x00..0x20 => 6,
            0x20..0x60 => 10,
            0xa0..0xc0 => 12,
            _ => 16,
        };
        assert_eq!((request.bytes[56], request.bytes[65]), (len, 0x20));
        cdb.resize(32, 0);
        let mut data = Vec::new();
        if direction == 16 {
            for (address, len) in &pieces {
                let mut piece = vec![0; *len];
                memory.read(*address, &mut piece);
                data.extend(piece);
            }
        }
        let adapter = &mut self.device.adapter;
        let answer = adapter.answer(request.unit(), &cdb, &data, pieces.len());
        let mut read = &answer.read[..];
        if direction == 8 {
            for (address, len) in &pieces {
                let (here, rest) = read.split_at(read.len().min(*len));
                memory.write(*address, here);
                read = rest;
            }
        }
        assert!(answer.sense.len() <= request.word(32) as usize);
        if !answer.sense.is_empty() {
            memory.write(request.long(24), &answer.sense);
        }
        let wanted = request.long(16);
        let done = match direction {
            8 => wanted.min(answer.read.len() as u64),
            _ => wanted - u64::from(answer.residual),
        };
        let (host, is_good) = (u16::from(answer.is_bad_target) * 0x11, answer.status == 0);
        let host = if is_good && host == 0 && done < wanted {
            0x0c
        } else {
            host
        };
        let (mut done, mut sense_len) = (done, answer.sense.len() as u32);
        if let Some(PvscsiLie::Lengths(transferred, sense)) = lie {
            (done, sense_len) = (transferred, sense);
        }
        let mut post = |context| {
            self.post(context, done, sense_len, host, answer.status.into());
        };
        match lie {
            Some(PvscsiLie::Context(other)) => post(other),
            Some(PvscsiLie::Twice) => {
                post(context);
                post(context);
            }
            _ => post(context),
        }
    }

    fn execute(&mut self) {
        let (command, words) = &self.command;
        let long = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        let pages = |count: u32, at: usize| -> Vec<u64> {
            assert!(count.is_power_of_two());
            (0..count as usize)
                .map(|page| long(at + 2 * page) * PAGE)
                .collect()
        };
        match (*command, words.len()) {
            (RESET, 0) => {
                self.status = match self.device.never_resets {
                    true => u32::MAX,
                    false => {
                        self.resets += 1;
                        self.rings = None;
                        self.messages.clear();
                        self.held.clear();
                        (self.consumed, self.completed, self.sent) = (0, 0, 0);
                        0
                    }
                };
            }
            SETUP_RINGS => {
                self.rings = Some(Rings {
                    indices: long(2) * PAGE,
                    requests: pages(words[0], 4),
                    completions: pages(words[1], 68),
                });
                self.status = 0;
            }
            (8, _) if !self.device.has_messages => self.status = u32::MAX,
            (8, 0) => self.status = 34,
            SETUP_MESSAGES => {
                assert!(self.rings.is_some() && words[1] == 0);
                self.messages = pages(words[0], 2);
                self.status = 0;
            }
            _ => {}
        }
    }
}

impl Registers for PvscsiRegisters {
    fn read(&self, offset: usize) -> u32 {
        let model = lock(&self.model);
        match offset {
            _ if model.device.gone => u32::MAX,
            offset::COMMAND_STATUS => model.status,
            offset::INTERRUPT_STATUS => model.causes,
            offset::INTERRUPT_MASK => model.mask,
            _ => 0,
        }
    }

    fn write(&self, offset: usize, value: u32) {
        let mut model = lock(&self.model);
        if model.device.gone {
            return;
        }
        match offset {
            offset::COMMAND => {
                model.command = (value, Vec::new());
                model.execute();
            }
            offset::COMMAND_DATA => {
                model.command.1.push(value);
                model.execute();
            }
            offset::INTERRUPT_STATUS => model.causes &= !value,
            offset::INTERRUPT_MASK => model.mask = value,
            offset::KICK_READ_WRITE => {
                model.kicks.0 += 1;
                model.work(true);
            }
            offset::KICK_OTHER => {
                model.kicks.1 += 1;
                model.work(false);
            }
            _ => panic!("a write of {value:#x} to {offset:#x}"),
        }
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}

//! An AHCI controller with ATA disks in memory, which also lies by a script.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use super::HostMemory;
use super::lock::lock;
use crate::ahci::{port_offset as port, register_offset as offset};
use crate::registers::Registers;
use crate::transport::Interrupt;

/// Data that a trimmed block reads as.
const TRIMMED: u8 = 0xdd;
/// Status of a device: ready; an error; busy, and none of its registers is valid.
const READY: u32 = 0x50;
const ERROR: u32 = 0x51;
const BUSY: u32 = 0x7f;
/// Error register: aborted, not found, uncorrectable.
const ABORTED: u8 = 0x04;
const NOT_FOUND: u8 = 0x10;
const UNCORRECTABLE: u8 = 0x40;
/// Port command bits.
const START: u32 = 1;
const RECEIVE: u32 = 1 << 4;
const RECEIVING: u32 = 1 << 14;
const RUNNING: u32 = 1 << 15;
/// Causes of interrupts.
const REGISTER: u32 = 1;
const SET_BITS: u32 = 1 << 3;
const LINK: u32 = 1 << 22;
const TASK_FILE: u32 = 1 << 30;

/// A device at a port.
#[derive(Clone)]
pub struct AtaDisk {
    /// Its contents.
    pub data: Vec<u8>,
    /// Bytes of a logical sector.
    pub block_size: usize,
    /// Logical sectors of a physical one, as a power of two.
    pub physical: u16,
    /// Its serial number.
    pub serial: [u8; 20],
    /// Its signature: that of an ATA disk.
    pub signature: u32,
    /// Number of queued commands that it takes.
    pub queue_depth: Option<u8>,
    /// It has a write cache.
    pub cache: bool,
    /// It has TRIM.
    pub trim: bool,
    /// Blocks that can't be read or written.
    pub bad: BTreeSet<u64>,
    /// Commands aren't completed while this is true.
    pub stuck: bool,
    /// The device is connected.
    pub linked: bool,
    /// Reads of the task file until it is ready after a reset.
    pub busy_reads: usize,
    /// Completed commands: queued, unqueued with data, flushes.
    pub done: (usize, usize, usize),
    /// Blocks of each range that was trimmed.
    pub trimmed: Vec<(u64, u64)>,
    /// Entries of the largest command's data.
    pub most_entries: usize,
    /// Resets of its link.
    pub resets: usize,
}

impl AtaDisk {
    /// A disk of zeros of this many blocks of 512 bytes.
    pub fn new(blocks: usize) -> AtaDisk {
        let mut serial = [b' '; 20];
        serial[..4].copy_from_slice(b"fake");
        AtaDisk {
            data: vec![0; blocks * 512],
            block_size: 512,
            physical: 0,
            serial,
            signature: 0x101,
            queue_depth: Some(32),
            cache: true,
            trim: true,
            bad: BTreeSet::new(),
            stuck: false,
            linked: true,
            busy_reads: 2,
            done: (0, 0, 0),
            trimmed: Vec::new(),
            most_entries: 0,
            resets: 0,
        }
    }

    fn identify(&self) -> Vec<u8> {
        let mut words = vec![0u16; 256];
        for (word, pair) in words[10..20].iter_mut().zip(self.serial.chunks_exact(2)) {
            *word = u16::from_be_bytes([pair[0], pair[1]]);
        }
        words[49] = 1 << 8;
        if let Some(depth) = self.queue_depth {
            (words[75], words[76]) = (u16::from(depth) - 1, 1 << 8);
        }
        words[83] = 1 << 14 | 1 << 13 | 1 << 10;
        (words[85], words[87]) = (u16::from(self.cache) << 5, 1 << 14);
        let blocks = (self.data.len() / self.block_size) as u64;
        for (at, word) in words[100..104].iter_mut().enumerate() {
            *word = (blocks >> (16 * at)) as u16;
        }
        words[106] = 1 << 14 | 1 << 13 | self.physical;
        if self.block_size != 512 {
            words[106] |= 1 << 12;
            words[117] = (self.block_size / 2) as u16;
        }
        words[169] = u16::from(self.trim);
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u16::to_le_bytes).collect();
        bytes[510] = 0xa5;
        bytes[511] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        bytes
    }
}

/// One thing that a lying controller does instead of a completion.
#[derive(Clone, Debug)]
pub enum AhciLie {
    /// Reports other commands as completed.
    Done(u32),
    /// Sends a FIS that reports the end of commands, and ends none.
    Fis,
    /// Never completes it.
    Swallow,
    /// Reports an error with this error register.
    Error(u8),
    /// Reports these causes of an interrupt.
    Causes(u32),
    /// Reports fewer bytes than it transferred.
    Short,
    /// Returns other bytes than it should: from where, and which.
    Answer(u16, Vec<u8>),
    /// Loses its link.
    Unlinked,
    /// The controller is removed.
    Gone,
}

/// A controller.
#[derive(Clone)]
pub struct AhciDevice {
    /// Devices by the number of their port.
    pub disks: BTreeMap<u8, AtaDisk>,
    /// Capabilities.
    pub capabilities: u32,
    /// Ports that exist, one bit each.
    pub ports: u32,
    /// Reads of the handover register until the firmware hands over; `None` if there is none.
    pub handoff_reads: Option<usize>,
    /// Reads of the control register until a reset is complete.
    pub reset_reads: usize,
    /// No reset completes.
    pub never_resets: bool,
    /// No port stops.
    pub never_stops: bool,
    /// It was removed.
    pub gone: bool,
    /// Queued commands complete the other way round: last command first.
    pub reversed: bool,
    /// What it does instead of the next completions; `None` for the truth.
    pub lies: VecDeque<Option<AhciLie>>,
}

/// Capabilities: addresses of 64 bits, queued commands, 32 slots, 6 ports.
const CAPABILITIES: u32 = 1 << 31 | 1 << 30 | 31 << 8 | 5;

impl AhciDevice {
    /// A controller with one disk of zeros of this many blocks of 512 bytes.
    pub fn new(blocks: usize) -> AhciDevice {
        AhciDevice {
            disks: BTreeMap::from([(0, AtaDisk::new(blocks))]),
            capabilities: CAPABILITIES,
            ports: 0x3f,
            handoff_reads: None,
            reset_reads: 2,
            never_resets: false,
            never_stops: false,
            gone: false,
            reversed: false,
            lies: VecDeque::new(),
        }
    }

    /// The driver's and the test's ends of the controller.
    pub fn connect(self, memory: &'static HostMemory) -> (AhciRegisters, AhciHandle) {
        let model = Arc::new(Mutex::new(Model {
            ports: (0..32).map(|_| PortState::default()).collect(),
            device: self,
            memory,
            control: 1 << 31,
            causes: 0,
            handoff: 1,
            countdown: 0,
            resets: 0,
            interrupts: 0,
            lied: false,
            accesses: 0,
        }));
        let registers = AhciRegisters {
            model: model.clone(),
        };
        (registers, AhciHandle { model })
    }
}

#[derive(Clone, Default)]
struct PortState {
    list: u64,
    received: u64,
    causes: u32,
    enabled: u32,
    command: u32,
    task: u32,
    signature: u32,
    link_control: u32,
    active: u32,
    issue: u32,
    /// Queued commands that the device has.
    held: VecDeque<u8>,
    /// It reported an error, and processes no commands.
    halted: bool,
    busy_reads: usize,
}

struct Model {
    device: AhciDevice,
    memory: &'static HostMemory,
    ports: Vec<PortState>,
    control: u32,
    causes: u32,
    handoff: u32,
    countdown: usize,
    resets: usize,
    interrupts: usize,
    lied: bool,
    accesses: usize,
}

/// The driver's end.
pub struct AhciRegisters {
    model: Arc<Mutex<Model>>,
}

/// The test's end: access to the controller.
pub struct AhciHandle {
    model: Arc<Mutex<Model>>,
}

impl AhciHandle {
    /// Accesses the controller.
    pub fn with<R>(&self, f: impl FnOnce(&mut AhciDevice) -> R) -> R {
        f(&mut lock(&self.model).device)
    }

    /// Lets the controller work.
    pub fn step(&self) {
        lock(&self.model).work();
    }

    /// Number of resets of the controller.
    pub fn resets(&self) -> usize {
        lock(&self.model).resets
    }

    /// Number of interrupts.
    pub fn interrupts(&self) -> usize {
        lock(&self.model).interrupts
    }

    /// Number of accesses to registers.
    pub fn accesses(&self) -> usize {
        lock(&self.model).accesses
    }

    /// Commands of a port that are not completed.
    pub fn held(&self, number: u8) -> u32 {
        let model = lock(&self.model);
        let port = &model.ports[usize::from(number)];
        (port.active | port.issue).count_ones()
    }

    /// Removes or connects the device of a port.
    pub fn connect(&self, number: u8, linked: bool) {
        let mut model = lock(&self.model);
        model.link(number, linked);
    }

    /// Reports causes of an interrupt of a port.
    pub fn raise(&self, number: u8, causes: u32) {
        lock(&self.model).raise(number, causes);
    }
}

/// A command of a slot.
struct Command {
    fis: [u8; 20],
    writes: bool,
    pieces: Vec<(u64, usize)>,
}

impl Command {
    fn block(&self) -> u64 {
        let [a, b, c, d, e, f] = [4, 5, 6, 8, 9, 10].map(|at| self.fis[at]);
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    fn is_queued(&self) -> bool {
        matches!(self.fis[2], 0x60 | 0x61)
    }
}

impl Model {
    fn raise(&mut self, number: u8, causes: u32) {
        self.ports[usize::from(number)].causes |= causes;
        self.notify();
    }

    /// Interrupts once for each port that begins to have causes.
    fn notify(&mut self) {
        for (number, port) in self.ports.iter().enumerate() {
            let bit = 1 << number;
            if port.causes & port.enabled != 0 && self.causes & bit == 0 {
                self.causes |= bit;
                self.interrupts += usize::from(self.control & 2 != 0);
            }
        }
    }

    fn link(&mut self, number: u8, linked: bool) {
        if let Some(disk) = self.device.disks.get_mut(&number) {
            disk.linked = linked;
            self.ports[usize::from(number)].halted = true;
            self.raise(number, LINK);
        }
    }

    fn status(&self, number: u8) -> u32 {
        let is_linked = |disk: &AtaDisk| disk.linked;
        match self.device.disks.get(&number).is_some_and(is_linked) {
            true => 0x113,
            false => 0,
        }
    }

    fn reset_port(&mut self, number: u8) {
        let Some(disk) = self.device.disks.get_mut(&number) else {
            return;
        };
        let port = &mut self.ports[usize::from(number)];
        disk.resets += 1;
        port.task = BUSY;
        port.busy_reads = disk.busy_reads;
        port.signature = disk.signature;
        port.halted = false;
        port.held.clear();
    }

    fn reset(&mut self) {
        self.resets += 1;
        for number in 0..32 {
            self.ports[usize::from(number)] = PortState::default();
            self.reset_port(number);
        }
        self.causes = 0;
    }

    /// Writes a received FIS, and interrupts.
    fn receive(&mut self, number: u8, queued: bool, error: u8, causes: u32) {
        let port = &self.ports[usize::from(number)];
        if port.command & RECEIVE == 0 {
            return;
        }
        let status = port.task as u8;
        let (at, kind) = if queued { (0x58, 0xa1) } else { (0x40, 0x34) };
        self.memory
            .write(port.received + at, &[kind, 0x40, status, error]);
        self.raise(number, causes);
    }

    fn command(&self, number: u8, slot: u8) -> Command {
        let memory = self.memory;
        let list = self.ports[usize::from(number)].list;
        let mut header = [0; 32];
        memory.read(list + u64::from(slot) * 32, &mut header);
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
        let options = word(&header);
        assert_eq!(options & 0xffbf, 5, "five words of FIS, no other option");
        assert_eq!(word(&header[4..]), 0, "no bytes are counted");
        let table = u64::from_le_bytes(header[8..16].try_into().expect("8 bytes"));
        assert!(table.is_multiple_of(128));
        let mut fis = [0; 20];
        memory.read(table, &mut fis);
        assert_eq!((fis[0], fis[1]), (0x27, 0x80));
        let entries = (0..u64::from(options >> 16)).map(|index| {
            let mut entry = [0; 16];
            memory.read(table + 0x80 + 16 * index, &mut entry);
            let address = u64::from_le_bytes(entry[..8].try_into().expect("8 bytes"));
            let len = word(&entry[12..]);
            assert_eq!(
                (len & 0xffc0_0001, address & 1),
                (1, 0),
                "{len:#x}, {address:#x}"
            );
            (address, len as usize + 1)
        });
        Command {
            fis,
            writes: options & 1 << 6 != 0,
            pieces: entries.collect(),
        }
    }

    /// Takes new commands, and completes those that the devices have.
    fn work(&mut self) {
        for number in 0..32u8 {
            self.fetch(number);
            while self.complete_next(number) {}
        }
    }

    fn is_working(&self, number: u8) -> bool {
        let port = &self.ports[usize::from(number)];
        let is_idle = port.command & START == 0 || port.halted || port.task & 0x88 != 0;
        !self.device.gone && !is_idle && self.status(number) != 0
    }

    /// The device accepts queued commands.
    fn fetch(&mut self, number: u8) {
        for slot in 0..32u8 {
            let bit = 1 << slot;
            if !self.is_working(number) || self.ports[usize::from(number)].issue & bit == 0 {
                continue;
            }
            let command = self.command(number, slot);
            if !command.is_queued() {
                continue;
            }
            let port = &mut self.ports[usize::from(number)];
            assert!(port.active & bit != 0, "a queued command is active");
            assert_eq!(command.fis[12], slot << 3, "the tag is the slot");
            let depth = self.device.disks[&number].queue_depth;
            assert!(depth.is_some_and(|depth| slot < depth) || self.lied);
            port.issue &= !bit;
            port.held.push_back(slot);
            // The acknowledgement, which doesn't interrupt.
            self.receive(number, false, 0, 0);
        }
    }

    fn complete_next(&mut self, number: u8) -> bool {
        let is_stuck = self.device.disks.get(&number).is_none_or(|disk| disk.stuck);
        if !self.is_working(number) || is_stuck {
            return false;
        }
        let port = &mut self.ports[usize::from(number)];
        let held = match self.device.reversed {
            true => port.held.pop_back(),
            false => port.held.pop_front(),
        };
        let (slot, queued) = match held {
            Some(slot) => {
                assert!(port.issue == 0 || self.lied, "unqueued beside queued ones");
                (slot, true)
            }
            None if port.issue != 0 => (port.issue.trailing_zeros() as u8, false),
            None => return false,
        };
        let lie = self.device.lies.pop_front().flatten();
        self.lied |= lie.is_some();
        let command = self.command(number, slot);
        let is_identify = command.fis[2] == 0xec;
        let causes = if queued { SET_BITS } else { REGISTER };
        let bit = 1u32 << slot;
        let mut done = bit;
        let result = match &lie {
            Some(AhciLie::Error(error)) => Err(*error),
            Some(AhciLie::Swallow) => {
                // A device does one unqueued command at a time.
                self.ports[usize::from(number)].halted |= !queued;
                return true;
            }
            Some(AhciLie::Done(mask)) => {
                done = *mask;
                Ok(0)
            }
            Some(AhciLie::Fis) => {
                done = 0;
                self.ports[usize::from(number)].halted |= !queued;
                Ok(0)
            }
            Some(AhciLie::Causes(causes)) => {
                self.raise(number, *causes);
                self.execute(number, &command, &lie)
            }
            Some(AhciLie::Unlinked) => {
                self.link(number, false);
                return false;
            }
            Some(AhciLie::Gone) => {
                self.device.gone = true;
                return false;
            }
            _ => self.execute(number, &command, &lie),
        };
        let port = &mut self.ports[usize::from(number)];
        match result {
            Err(error) => {
                // The command stays where it is, and the others are aborted.
                port.task = u32::from(error) << 8 | ERROR;
                port.halted = true;
                port.held.clear();
                self.receive(number, queued, error, TASK_FILE | causes);
            }
            Ok(bytes) => {
                port.task = READY;
                if !queued {
                    let less = if matches!(lie, Some(AhciLie::Short)) {
                        2
                    } else {
                        0
                    };
                    let bytes = (bytes as u32).saturating_sub(less);
                    let at = port.list + u64::from(slot) * 32 + 4;
                    self.memory.write(at, &bytes.to_le_bytes());
                }
                let port = &mut self.ports[usize::from(number)];
                port.active &= !done;
                port.issue &= !done;
                if !is_identify {
                    self.receive(number, queued, 0, causes);
                }
            }
        }
        true
    }

    /// Executes a command, and returns the number of bytes transferred, or the error register.
    fn execute(
        &mut self,
        number: u8,
        command: &Command,
        lie: &Option<AhciLie>,
    ) -> Result<usize, u8> {
        let memory = self.memory;
        let Some(disk) = self.device.disks.get_mut(&number) else {
            return Err(ABORTED);
        };
        let bytes: usize = command.pieces.iter().map(|(_, len)| len).sum();
        let plain_count = usize::from(u16::from_le_bytes([command.fis[12], command.fis[13]]));
        let count = match command.is_queued() {
            true => usize::from(u16::from_le_bytes([command.fis[3], command.fis[11]])),
            false => plain_count,
        };
        let read_all = |len: usize| {
            let mut data = vec![0; len];
            let mut rest = &mut data[..];
            for (address, len) in &command.pieces {
                let (here, after) = rest.split_at_mut(*len);
                memory.read(*address, here);
                rest = after;
            }
            data
        };
        let write_all = |mut data: &[u8]| {
            for (address, len) in &command.pieces {
                let (here, after) = data.split_at(*len);
                memory.write(*address, here);
                data = after;
            }
        };
        match command.fis[2] {
            0xec => {
                let mut answer = disk.identify();
                if let Some(AhciLie::Answer(at, bytes)) = lie {
                    let at = usize::from(*at) % answer.len();
                    for (to, byte) in answer[at..].iter_mut().zip(bytes) {
                        *to = *byte;
                    }
                }
                assert_eq!(bytes, 512);
                write_all(&answer);
                Ok(512)
            }
            0xea => {
                assert!(command.pieces.is_empty() && !command.writes);
                disk.done.2 += 1;
                Ok(0)
            }
            0x06 if disk.trim => {
                assert_eq!((command.fis[3], plain_count, bytes), (1, 1, 512));
                for range in read_all(512).chunks_exact(8) {
                    let range = u64::from_le_bytes(range.try_into().expect("8 bytes"));
                    let (block, count) = (range & ((1 << 48) - 1), range >> 48);
                    if count == 0 {
                        continue;
                    }
                    let at = block as usize * disk.block_size;
                    let len = count as usize * disk.block_size;
                    let Some(data) = disk.data.get_mut(at..at.saturating_add(len)) else {
                        return Err(NOT_FOUND);
                    };
                    data.fill(TRIMMED);
                    disk.trimmed.push((block, count));
                }
                Ok(512)
            }
            0x25 | 0x35 | 0x60 | 0x61 => {
                let is_write = matches!(command.fis[2], 0x35 | 0x61);
                assert_eq!(command.writes, is_write);
                assert_eq!(command.fis[7], 0x40, "the address is that of a block");
                let (block, size) = (command.block(), disk.block_size);
                assert!(
                    bytes == count * size || self.lied,
                    "{bytes} bytes, {count} blocks"
                );
                let end = block.saturating_add(count as u64);
                if end > (disk.data.len() / size) as u64 {
                    return Err(NOT_FOUND);
                }
                if disk.bad.range(block..end).next().is_some() {
                    return Err(UNCORRECTABLE);
                }
                if bytes != count * size {
                    return Err(ABORTED);
                }
                disk.most_entries = disk.most_entries.max(command.pieces.len());
                match command.is_queued() {
                    true => disk.done.0 += 1,
                    false => disk.done.1 += 1,
                }
                let at = block as usize * size;
                let data = &mut disk.data[at..at + bytes];
                match is_write {
                    true => data.copy_from_slice(&read_all(bytes)),
                    false => write_all(data),
                }
                Ok(bytes)
            }
            _ => Err(ABORTED),
        }
    }

    fn read(&mut self, at: usize) -> u32 {
        if self.device.gone {
            return u32::MAX;
        }
        let number = (at.wrapping_sub(offset::FIRST_PORT) / 0x80) as u8;
        match at {
            offset::CAPABILITIES => self.device.capabilities,
            offset::CONTROL => {
                if self.control & 1 != 0 && !self.device.never_resets {
                    match self.countdown {
                        0 => {
                            self.control = 0;
                            self.reset();
                        }
                        _ => self.countdown -= 1,
                    }
                }
                self.control
            }
            offset::INTERRUPT_STATUS => self.causes,
            offset::PORTS => self.device.ports,
            offset::MORE_CAPABILITIES => u32::from(self.device.handoff_reads.is_some()),
            offset::HANDOFF => {
                if let Some(reads) = &mut self.device.handoff_reads
                    && self.handoff & 2 != 0
                {
                    match reads.checked_sub(1) {
                        Some(less) => *reads = less,
                        None => self.handoff &= !1,
                    }
                }
                self.handoff
            }
            offset::FIRST_PORT.. if number < 32 => self.read_port(number, at & 0x7f),
            _ => 0,
        }
    }

    fn read_port(&mut self, number: u8, at: usize) -> u32 {
        let status = self.status(number);
        let port = &mut self.ports[usize::from(number)];
        match at {
            port::INTERRUPT_STATUS => port.causes,
            port::COMMAND => port.command,
            port::TASK_FILE => {
                if port.task == BUSY {
                    match port.busy_reads {
                        0 => port.task = READY,
                        _ => port.busy_reads -= 1,
                    }
                }
                port.task
            }
            port::SIGNATURE => port.signature,
            port::LINK_STATUS => status,
            port::LINK_CONTROL => port.link_control,
            port::ACTIVE => port.active,
            port::ISSUE => port.issue,
            _ => 0,
        }
    }

    fn write(&mut self, at: usize, value: u32) {
        if self.device.gone {
            return;
        }
        let number = (at.wrapping_sub(offset::FIRST_PORT) / 0x80) as u8;
        match at {
            offset::CONTROL => {
                assert!(value & 1 << 31 != 0, "AHCI stays enabled");
                self.control = value;
                if value & 1 != 0 {
                    self.countdown = self.device.reset_reads;
                }
            }
            offset::INTERRUPT_STATUS => {
                self.causes &= !value;
                self.notify();
            }
            offset::HANDOFF => self.handoff = self.handoff & 1 | value & !1,
            offset::FIRST_PORT.. if number < 32 => {
                self.write_port(number, at & 0x7f, value);
                self.work();
            }
            _ => {}
        }
    }

    fn write_port(&mut self, number: u8, at: usize, value: u32) {
        let never_stops = self.device.never_stops;
        let is_used = self.control & 1 << 31 != 0 && self.control & 1 == 0;
        assert!(is_used, "a port's register {at:#x} during a reset");
        let port = &mut self.ports[usize::from(number)];
        let low = |old: u64| old & !0xffff_ffff | u64::from(value);
        let high = |old: u64| old & 0xffff_ffff | u64::from(value) << 32;
        let is_off = port.command & (RECEIVING | RUNNING) == 0;
        match at {
            0x00 | 0x04 | 0x08 | 0x0c => {
                assert!(is_off, "addresses of a running port");
                match at {
                    0x00 => port.list = low(port.list),
                    0x04 => port.list = high(port.list),
                    0x08 => port.received = low(port.received),
                    _ => port.received = high(port.received),
                }
            }
            port::INTERRUPT_STATUS => {
                port.causes &= !value;
            }
            port::INTERRUPT_ENABLE => {
                port.enabled = value;
                self.notify();
            }
            port::COMMAND => {
                if value & START != 0 {
                    assert!(value & RECEIVE != 0 && port.list.is_multiple_of(1024));
                    assert!(port.received.is_multiple_of(256));
                    assert!(port.task & 0x88 == 0 || port.command & START != 0, "busy");
                }
                let mut status = 0;
                for (bit, follows) in [(START, RUNNING), (RECEIVE, RECEIVING)] {
                    let stays = never_stops && port.command & follows != 0;
                    status |= if value & bit != 0 || stays {
                        follows
                    } else {
                        0
                    };
                }
                assert!(
                    value & RECEIVE != 0 || status & RUNNING == 0 || never_stops,
                    "FISes of a running port"
                );
                if status & RUNNING == 0 {
                    (port.active, port.issue) = (0, 0);
                    port.held.clear();
                }
                port.command = value & 0x17 | status;
            }
            port::LINK_CONTROL => {
                let before = port.link_control & 0xf;
                port.link_control = value;
                if before == 1 && value & 0xf == 0 {
                    assert!(port.command & RUNNING == 0, "a reset of a running port");
                    self.reset_port(number);
                }
            }
            port::ACTIVE => {
                assert!(port.active & value == 0 || self.lied, "a slot in use");
                port.active |= value;
            }
            port::ISSUE => {
                assert!(port.command & START != 0, "commands of a stopped port");
                assert!(port.issue & value == 0 || self.lied, "a slot in use");
                port.issue |= value;
            }
            _ => {}
        }
    }
}

impl Registers for AhciRegisters {
    fn read(&self, offset: usize) -> u32 {
        let mut model = lock(&self.model);
        model.accesses += 1;
        model.read(offset)
    }

    fn write(&self, offset: usize, value: u32) {
        let mut model = lock(&self.model);
        model.accesses += 1;
        model.write(offset, value);
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}

//! An Elastic Network Adapter, which also lies by a script. Written from Linux's description of
//! the device (`ena_regs_defs.h`, `ena_admin_defs.h`, `ena_eth_io_defs.h`), without the driver's
//! source.
//!
//! The doorbells and the interrupt registers of queues begin at 4 KiB of BAR 0, the memory of low
//! latency queues at 4 KiB of BAR 2. A control buffer's address is taken as direct whatever the
//! command's flag says, because Linux sets the flag of indirect ones with direct addresses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use super::HostMemory;
use super::frame::{self, Layout, Packet};
use super::lock::lock;
use crate::registers::Registers;
use crate::transport::Interrupt;

mod admin;
mod device;
mod io;

pub use device::{EnaAdminLie, EnaDevice, EnaLowLatency, EnaReadLie, EnaRxLie, EnaTxLie};
use io::{Completions, Submissions};

/// Registers of BAR 0.
mod offset {
    pub const VERSION: usize = 0x00;
    pub const CONTROLLER_VERSION: usize = 0x04;
    pub const CAPABILITIES: usize = 0x08;
    pub const EXTENDED: usize = 0x0c;
    pub const ADMIN_LOW: usize = 0x10;
    pub const ADMIN_HIGH: usize = 0x14;
    pub const ADMIN_SIZES: usize = 0x18;
    pub const ADMIN_COMPLETIONS_LOW: usize = 0x20;
    pub const ADMIN_COMPLETIONS_HIGH: usize = 0x24;
    pub const ADMIN_COMPLETIONS_SIZES: usize = 0x28;
    pub const ADMIN_DOORBELL: usize = 0x2c;
    pub const EVENTS_SIZES: usize = 0x34;
    pub const EVENTS_LOW: usize = 0x38;
    pub const EVENTS_HIGH: usize = 0x3c;
    pub const EVENTS_DOORBELL: usize = 0x40;
    pub const INTERRUPT_MASK: usize = 0x4c;
    pub const CONTROL: usize = 0x54;
    pub const STATUS: usize = 0x58;
    pub const READ: usize = 0x5c;
    pub const ANSWER_LOW: usize = 0x60;
    pub const ANSWER_HIGH: usize = 0x64;
}

/// Doorbells of submission queues: one a queue.
const DOORBELLS: usize = 0x1000;
/// Registers of completion queues: the interrupt's control, and the NUMA node.
const COMPLETION_REGISTERS: usize = 0x1800;
/// The memory of low latency queues: where it begins, and the share of each.
const LOW_LATENCY: usize = 0x1000;
const LOW_LATENCY_SHARE: usize = 0x4_0000;

/// Bits of the status.
const READY: u32 = 1;
const RESETTING: u32 = 1 << 3;
const FATAL: u32 = 1 << 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bar {
    Registers,
    LowLatency,
}

/// The phases of a reset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    /// None.
    Done,
    /// The driver wants one.
    Wanted,
    /// Reported as in progress; the driver still wants it.
    Begun,
    /// The driver doesn't want it any more.
    Ending,
}

/// A ring of the driver's, with a phase.
#[derive(Clone, Copy)]
struct Ring {
    address: u64,
    depth: u16,
    /// Counts entries without end.
    index: u16,
    phase: bool,
}

impl Ring {
    /// A ring of entries of `size` bytes.
    fn new(memory: &HostMemory, address: u64, depth: u32, size: usize) -> Ring {
        assert!(address.is_multiple_of(4096), "a ring at {address:#x}");
        assert!(depth.is_power_of_two() && (2..=1 << 15).contains(&depth));
        let len = depth as usize * size;
        let access = crate::memory::Access::DeviceWrites;
        assert!(memory.is_given(address, len, access), "a ring of {len}");
        Ring {
            address,
            depth: depth as u16,
            index: 0,
            phase: true,
        }
    }

    fn slot(&self) -> u16 {
        self.index & (self.depth - 1)
    }

    fn advance(&mut self) {
        self.index = self.index.wrapping_add(1);
        self.phase ^= self.slot() == 0;
    }
}

struct Model {
    device: EnaDevice,
    memory: &'static HostMemory,
    /// Values that the driver wrote to the registers since the last reset.
    written: BTreeMap<usize, u32>,
    reset: Reset,
    /// Reads of the status until the reset goes on.
    countdown: usize,
    resets: usize,
    commands: Option<Ring>,
    answers: Option<Ring>,
    events: Option<Ring>,
    /// Events that the driver asked for.
    groups: u32,
    masked: bool,
    /// The configuration of low latency queues: entry size and descriptors before the header.
    low_latency: Option<io::LowLatency>,
    llq_memory: Vec<u32>,
    completions: BTreeMap<u16, Completions>,
    submissions: BTreeMap<u16, Submissions>,
    /// It lied, after which the driver may be wrong about requests in flight.
    lied: bool,
}

/// The driver's end: a BAR.
pub struct EnaRegisters {
    model: Arc<Mutex<Model>>,
    bar: Bar,
}

/// The test's end: access to the adapter.
pub struct EnaHandle {
    model: Arc<Mutex<Model>>,
}

impl EnaHandle {
    /// Accesses the adapter.
    pub fn with<R>(&self, f: impl FnOnce(&mut EnaDevice) -> R) -> R {
        f(&mut lock(&self.model).device)
    }

    /// Lets the adapter work.
    pub fn step(&self) {
        lock(&self.model).work();
    }

    /// Number of resets that ended.
    pub fn resets(&self) -> usize {
        lock(&self.model).resets
    }

    /// Number of queues: completion, submission.
    pub fn queues(&self) -> (usize, usize) {
        let model = lock(&self.model);
        (model.completions.len(), model.submissions.len())
    }

    /// Whether a send queue is in device memory.
    pub fn is_low_latency(&self) -> bool {
        let model = lock(&self.model);
        model.submissions.values().any(Submissions::is_low_latency)
    }

    /// Receive buffers that the adapter has.
    pub fn posted(&self) -> usize {
        let model = lock(&self.model);
        model.submissions.values().map(Submissions::posted).sum()
    }

    /// Sent packets that aren't completed.
    pub fn held(&self) -> usize {
        let model = lock(&self.model);
        model.submissions.values().map(Submissions::held).sum()
    }

    /// Sends the event that the adapter is alive, with its counters of dropped frames.
    pub fn keep_alive(&self) {
        self.event(4, 0, &[0; 6]);
    }

    /// Sends the event that the link is up or down.
    pub fn link(&self, up: bool) {
        self.event(0, 0, &[u32::from(up)]);
    }

    /// Sends an event if the driver asked for its group, and has room. Returns whether it did.
    pub fn event(&self, group: u16, syndrome: u16, words: &[u32]) -> bool {
        let mut model = lock(&self.model);
        let has_room = model.events.is_some_and(|ring| {
            let granted = model.written.get(&offset::EVENTS_DOORBELL).copied();
            // The driver's count is of entries that it has given, the ring's of those used.
            let left = (granted.unwrap_or(0) as u16).wrapping_sub(ring.index);
            (1..=ring.depth).contains(&left)
        });
        let wanted = group < 32 && model.groups & 1 << group != 0;
        if has_room && wanted {
            model.post_event(group, syndrome, words, true);
        }
        has_room && wanted
    }

    /// Sends an event whether the driver wants it or not; `is_new`: with the phase of this round.
    pub fn unwanted_event(&self, group: u16, words: &[u32], is_new: bool) {
        let mut model = lock(&self.model);
        model.lied = true;
        model.post_event(group, 0, words, is_new);
    }

    /// Posts a completion of a sent packet, even if there is no such packet.
    pub fn complete_tx(&self, id: u16) {
        let mut model = lock(&self.model);
        model.lied = true;
        model.post_any(true, id);
    }

    /// Posts a completion of a receive buffer, even if there is no such buffer.
    pub fn complete_rx(&self, id: u16) {
        let mut model = lock(&self.model);
        model.lied = true;
        model.post_any(false, id);
    }
}

impl Model {
    fn new(device: EnaDevice, memory: &'static HostMemory) -> Model {
        let words = (LOW_LATENCY + 8 * LOW_LATENCY_SHARE) / 4;
        Model {
            device,
            memory,
            written: BTreeMap::new(),
            reset: Reset::Done,
            countdown: 0,
            resets: 0,
            commands: None,
            answers: None,
            events: None,
            groups: 0,
            masked: false,
            low_latency: None,
            llq_memory: vec![0; words],
            completions: BTreeMap::new(),
            submissions: BTreeMap::new(),
            lied: false,
        }
    }

    /// Forgets all that the driver set.
    fn forget(&mut self) {
        self.written.clear();
        (self.commands, self.answers, self.events) = (None, None, None);
        self.groups = 0;
        self.masked = false;
        self.low_latency = None;
        self.completions.clear();
        self.submissions.clear();
        self.device.fatal = false;
        self.device.indirection.clear();
    }

    fn control(&mut self, value: u32) {
        self.reset = match (self.reset, value & 1 != 0) {
            (Reset::Done, true) => {
                self.forget();
                Reset::Wanted
            }
            (Reset::Begun, false) => Reset::Ending,
            (Reset::Wanted, false) => {
                assert!(self.lied, "the reset hasn't begun");
                Reset::Ending
            }
            (state, _) => state,
        };
        self.countdown = self.device.reset_reads;
    }

    fn status(&mut self) -> u32 {
        match (self.countdown, self.reset) {
            (1.., _) => self.countdown -= 1,
            (0, Reset::Wanted) => self.reset = Reset::Begun,
            (0, Reset::Ending) if !self.device.never_resets => {
                self.reset = Reset::Done;
                self.resets += 1;
            }
            _ => {}
        }
        let resetting = matches!(self.reset, Reset::Begun | Reset::Ending);
        let mut status = READY;
        if resetting {
            status |= RESETTING;
        }
        if self.device.fatal {
            status |= FATAL;
        }
        status
    }

    fn register(&mut self, at: usize) -> u32 {
        match at {
            offset::VERSION => 2 << 8,
            offset::CONTROLLER_VERSION => 1 << 24 | 1,
            // Contiguous queues; the timeout; addresses of 48 bits; commands take at most 1 s.
            offset::CAPABILITIES => 1 | self.device.reset_timeout << 1 | 48 << 8 | 10 << 16,
            offset::EXTENDED => 0,
            offset::STATUS => self.status(),
            _ => panic!("the driver reads {at:#x}"),
        }
    }

    /// Answers a read without a read.
    fn answer_read(&mut self, request: u32) {
        if !self.device.readless {
            return;
        }
        let (id, at) = (request as u16, request >> 16);
        let value = self.register(at as usize);
        let low = self.written.get(&offset::ANSWER_LOW).copied();
        let high = self.written.get(&offset::ANSWER_HIGH).copied();
        let (Some(low), Some(high)) = (low, high) else {
            panic!("a read without an address for the answer");
        };
        let lie = self.device.read_lies.pop_front().flatten();
        let (id, at) = match lie {
            Some(EnaReadLie::Silent) => return,
            Some(EnaReadLie::Id) => (id.wrapping_add(7), at),
            Some(EnaReadLie::Offset) => (id, at ^ 4),
            Some(EnaReadLie::Ones) | None => (id, at),
        };
        let value = if matches!(lie, Some(EnaReadLie::Ones)) {
            u32::MAX
        } else {
            value
        };
        let address = u64::from(low) | u64::from(high) << 32;
        let word = u32::from(id) | at << 16;
        self.memory.write(address + 4, &value.to_le_bytes());
        self.memory.write(address, &word.to_le_bytes());
    }

    fn address(&self, low: usize, high: usize) -> u64 {
        let word = |at| self.written.get(&at).copied().unwrap_or(0);
        assert!(word(high) < 1 << 16, "addresses have 48 bits");
        u64::from(word(low)) | u64::from(word(high)) << 32
    }

    /// A ring of 64-byte entries whose registers are written.
    fn ring(&self, low: usize, high: usize, sizes: u32) -> Ring {
        assert!(sizes >> 16 == 64, "entries have 64 bytes");
        Ring::new(self.memory, self.address(low, high), sizes & 0xffff, 64)
    }

    fn write(&mut self, at: usize, value: u32) {
        if self.reset != Reset::Done {
            // Besides the control, only the address for answers is taken during a reset.
            match at {
                offset::CONTROL => self.control(value),
                offset::READ => self.answer_read(value),
                offset::ANSWER_LOW | offset::ANSWER_HIGH => {
                    self.written.insert(at, value);
                }
                _ => assert!(self.lied, "the driver writes {at:#x} during a reset"),
            }
            return;
        }
        self.written.insert(at, value);
        match at {
            offset::ADMIN_LOW
            | offset::ADMIN_HIGH
            | offset::ADMIN_COMPLETIONS_LOW
            | offset::ADMIN_COMPLETIONS_HIGH
            | offset::EVENTS_LOW
            | offset::EVENTS_HIGH
            | offset::ANSWER_LOW
            | offset::ANSWER_HIGH => {}
            offset::ADMIN_SIZES => {
                self.commands = Some(self.ring(offset::ADMIN_LOW, offset::ADMIN_HIGH, value));
            }
            offset::ADMIN_COMPLETIONS_SIZES => {
                let (low, high) = (
                    offset::ADMIN_COMPLETIONS_LOW,
                    offset::ADMIN_COMPLETIONS_HIGH,
                );
                self.answers = Some(self.ring(low, high, value));
            }
            offset::EVENTS_SIZES => {
                self.events = Some(self.ring(offset::EVENTS_LOW, offset::EVENTS_HIGH, value));
            }
            offset::ADMIN_DOORBELL | offset::EVENTS_DOORBELL => self.work(),
            offset::INTERRUPT_MASK => self.masked = value & 1 != 0,
            offset::CONTROL => self.control(value),
            offset::READ => self.answer_read(value),
            COMPLETION_REGISTERS.. => self.completion_register(at - COMPLETION_REGISTERS, value),
            DOORBELLS.. => self.submission_doorbell((at - DOORBELLS) / 4, value),
            _ => assert!(self.lied, "the driver writes {at:#x}"),
        }
    }

    fn work(&mut self) {
        if self.device.gone || self.reset != Reset::Done || self.device.fatal {
            return;
        }
        self.serve_admin();
        self.transmit();
        self.receive();
    }

    fn interrupt(&mut self, vector: u32) {
        *self.device.interrupts.entry(vector).or_insert(0) += 1;
    }

    fn post_event(&mut self, group: u16, syndrome: u16, words: &[u32], is_new: bool) {
        let Some(ring) = &mut self.events else {
            return;
        };
        let mut entry = [0; 64];
        entry[0..2].copy_from_slice(&group.to_le_bytes());
        entry[2..4].copy_from_slice(&syndrome.to_le_bytes());
        entry[4] = u8::from(ring.phase == is_new);
        for (to, word) in entry[16..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let address = ring.address + u64::from(ring.slot()) * 64;
        if is_new {
            ring.advance();
        }
        self.memory.write(address, &entry);
        if !self.masked {
            self.interrupt(0);
        }
    }
}

impl Registers for EnaRegisters {
    fn read(&self, offset: usize) -> u32 {
        let mut model = lock(&self.model);
        if model.device.gone || self.bar == Bar::LowLatency || !model.device.direct_reads {
            return u32::MAX;
        }
        model.register(offset)
    }

    fn write(&self, offset: usize, value: u32) {
        let mut model = lock(&self.model);
        if model.device.gone {
            return;
        }
        match self.bar {
            Bar::Registers => model.write(offset, value),
            Bar::LowLatency => {
                let lied = model.lied;
                match model.llq_memory.get_mut(offset / 4) {
                    Some(word) => *word = value,
                    None => assert!(lied, "no word of the queues' memory"),
                }
            }
        }
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}

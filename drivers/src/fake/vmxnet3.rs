//! VMware's network card: commands, shared memory, rings with generation bits.

use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::HostMemory;
use super::lock::lock;
use crate::registers::Registers;
use crate::transport::Interrupt;
use crate::vmxnet3::Windows;
use crate::vmxnet3::layout::{command, control, data, queue, shared};

/// A frame as the driver described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmxnet3Frame {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Offload mode: 0, 2 for a checksum, 3 for segments.
    pub mode: u32,
    /// Bytes of headers, or start of the checksum.
    pub headers: u32,
    /// Bytes of a segment, or place of the checksum.
    pub size: u32,
}

/// The card and its misbehaviour.
pub struct Vmxnet3Device {
    /// Frames that the driver sent.
    pub sent: Vec<Vmxnet3Frame>,
    /// It takes frames, but doesn't say so until [`Vmxnet3Handle::step`].
    pub holds: bool,
    /// It was removed: reads give ones.
    pub gone: bool,
    /// Results of the commands to stop and to reset, and of activation.
    pub reset_result: u32,
    /// See `reset_result`.
    pub activation_result: u32,
    /// Its revisions, as bits.
    pub revisions: u32,
    /// It wants a doorbell for receive buffers.
    pub wants_doorbell: bool,
}

impl Default for Vmxnet3Device {
    fn default() -> Self {
        Vmxnet3Device {
            sent: Vec::new(),
            holds: false,
            gone: false,
            reset_result: 0,
            activation_result: 0,
            revisions: 3,
            wants_doorbell: false,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Ring {
    address: u64,
    size: u32,
    next: u32,
    inverted: bool,
}

impl Ring {
    fn place(&self) -> u64 {
        self.address + u64::from(self.next) * 16
    }

    fn generation(&self) -> u32 {
        u32::from(!self.inverted)
    }

    fn advance(&mut self) {
        self.next = (self.next + 1) % self.size;
        self.inverted ^= self.next == 0;
    }
}

struct Model {
    device: Vmxnet3Device,
    memory: &'static HostMemory,
    shared: u64,
    queues: u64,
    last_command: u32,
    active: bool,
    resets: usize,
    transmit: Ring,
    transmitted: Ring,
    receive: Ring,
    received: Ring,
    masked: [bool; 2],
    pending: [bool; 2],
    vectors: [usize; 2],
    interrupts: [usize; 2],
    doorbells: [usize; 2],
    /// Last descriptors of frames that wait for their completion.
    held: Vec<u32>,
}

/// The test's end.
pub struct Vmxnet3Handle {
    model: Arc<Mutex<Model>>,
}

struct DataWindow(Arc<Mutex<Model>>);
struct ControlWindow(Arc<Mutex<Model>>);

impl Vmxnet3Device {
    /// Connects it to a driver.
    pub fn connect(self, memory: &'static HostMemory) -> (Windows, Vmxnet3Handle) {
        let model = Arc::new(Mutex::new(Model {
            device: self,
            memory,
            shared: 0,
            queues: 0,
            last_command: 0,
            active: false,
            resets: 0,
            transmit: Ring::default(),
            transmitted: Ring::default(),
            receive: Ring::default(),
            received: Ring::default(),
            masked: [true; 2],
            pending: [false; 2],
            vectors: [0; 2],
            interrupts: [0; 2],
            doorbells: [0; 2],
            held: Vec::new(),
        }));
        let windows = Windows {
            data: Box::new(DataWindow(model.clone())),
            control: Box::new(ControlWindow(model.clone())),
        };
        (windows, Vmxnet3Handle { model })
    }
}

impl Vmxnet3Handle {
    /// Accesses the card.
    pub fn with<R>(&self, f: impl FnOnce(&mut Vmxnet3Device) -> R) -> R {
        f(&mut lock(&self.model).device)
    }

    /// Delivers a frame whose completion has these bits in its first, third and last word besides
    /// the index, the length and the generation. False without a buffer.
    pub fn deliver(&self, frame: &[u8], bits: [u32; 3]) -> bool {
        lock(&self.model).deliver(frame, bits)
    }

    /// Skips a receive descriptor. False without one.
    pub fn skip(&self) -> bool {
        lock(&self.model).next(1).is_some()
    }

    /// Writes a completion of a frame to send (0) or of a received one (1), with the generation
    /// that is next, of a descriptor that may be none.
    pub fn complete(&self, which: usize, words: [u32; 3]) {
        let mut model = lock(&self.model);
        model.complete(which, [words[0], 0, words[1], words[2]]);
    }

    /// Reports events.
    pub fn report(&self, events: u32) {
        let model = lock(&self.model);
        let at = model.shared + shared::EVENTS as u64;
        model.memory.write(at, &events.to_le_bytes());
    }

    /// Says which frames were sent.
    pub fn step(&self) {
        lock(&self.model).report_sent();
    }

    /// A word of the shared memory.
    pub fn word(&self, at: usize) -> u32 {
        let model = lock(&self.model);
        model.word(model.shared, at)
    }

    /// Number of resets; interrupts of both vectors; doorbells of frames to send, and of buffers.
    pub fn counts(&self) -> (usize, [usize; 2], [usize; 2]) {
        let model = lock(&self.model);
        (model.resets, model.interrupts, model.doorbells)
    }

    /// Third words of the descriptors of frames to send, which have their generation.
    #[cfg(test)]
    pub(crate) fn transmit_words(&self) -> Vec<&'static std::sync::atomic::AtomicU32> {
        let model = lock(&self.model);
        let word = |index: u32| {
            let at = model.transmit.address + u64::from(index) * 16 + 8;
            let at = model
                .memory
                .host(at, 4, crate::memory::Access::DeviceWrites);
            // SAFETY: an aligned word of the ring, which is accessed only atomically and lives as
            // long as the card, as the caller's use does.
            unsafe { std::sync::atomic::AtomicU32::from_ptr(at.as_ptr().cast()) }
        };
        (0..model.transmit.size).map(word).collect()
    }

    /// Masks vector 0, as the handler of a line.
    pub fn mask(&self) {
        lock(&self.model).masked[0] = true;
    }
}

impl Model {
    fn word(&self, base: u64, at: usize) -> u32 {
        let mut bytes = [0; 4];
        self.memory.read(base + at as u64, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn address(&self, base: u64, at: usize) -> u64 {
        u64::from(self.word(base, at)) | u64::from(self.word(base, at + 4)) << 32
    }

    fn ring(&self, base: u64, address: usize, size: usize) -> Ring {
        let ring = Ring {
            address: self.address(base, address),
            size: self.word(base, size),
            ..Ring::default()
        };
        assert!(ring.size.is_multiple_of(32) && ring.address.is_multiple_of(512) && ring.size > 0);
        ring
    }

    fn activate(&mut self) {
        let base = self.shared;
        assert_eq!(self.word(base, shared::MAGIC.0), 3_133_079_265);
        assert_eq!(self.word(base, shared::COUNTS) >> 16, 0x101);
        self.queues = self.address(base, shared::QUEUES);
        let (sends, receives) = (self.queues, self.queues + queue::BYTES as u64);
        self.transmit = self.ring(sends, queue::RING, queue::RING_SIZE);
        self.transmitted = self.ring(sends, queue::COMPLETIONS, queue::COMPLETIONS_SIZE);
        self.receive = self.ring(receives, queue::RING, queue::RING_SIZE);
        self.ring(receives, queue::SECOND_RING, queue::SECOND_SIZE);
        self.received = self.ring(receives, queue::COMPLETIONS, queue::COMPLETIONS_SIZE);
        for (which, base) in [sends, receives].into_iter().enumerate() {
            self.vectors[which] = (self.word(base, queue::VECTOR) & 0xff) as usize;
        }
        let wants = u8::from(self.device.wants_doorbell);
        self.memory.write(receives, &[wants]);
        self.active = self.device.activation_result == 0;
    }

    fn raise(&mut self, vector: usize) {
        self.pending[vector] = true;
        self.interrupt(vector);
    }

    fn interrupt(&mut self, vector: usize) {
        if self.pending[vector] && !self.masked[vector] {
            self.pending[vector] = false;
            self.masked[vector] = true;
            self.interrupts[vector] += 1;
        }
    }

    fn next(&mut self, which: usize) -> Option<(u32, [u32; 4])> {
        let (ring, bit) = match which {
            0 => (self.transmit, 14),
            _ => (self.receive, 31),
        };
        let words = [0, 4, 8, 12].map(|at| self.word(ring.place(), at));
        if words[2] >> bit & 1 != ring.generation() {
            return None;
        }
        match which {
            0 => self.transmit.advance(),
            _ => self.receive.advance(),
        }
        Some((ring.next, words))
    }

    fn complete(&mut self, which: usize, mut words: [u32; 4]) {
        let ring = match which {
            0 => &mut self.transmitted,
            _ => &mut self.received,
        };
        words[3] |= ring.generation() << 31;
        let place = ring.place();
        ring.advance();
        for (index, word) in (0..).zip(words) {
            self.memory.write(place + 4 * index, &word.to_le_bytes());
        }
        self.raise(self.vectors[which]);
    }

    fn deliver(&mut self, frame: &[u8], [first, third, last]: [u32; 3]) -> bool {
        if self.device.gone || !self.active {
            return false;
        }
        let Some((index, words)) = self.next(1) else {
            return false;
        };
        let room = (words[2] & 0x3fff) as usize;
        let buffer = u64::from(words[1]) << 32 | u64::from(words[0]);
        let part = &frame[..frame.len().min(room)];
        self.memory.write(buffer, part);
        let len = frame.len() as u32 & 0x3fff;
        self.complete(1, [index | first, 0, len | third, last]);
        true
    }

    fn send(&mut self) {
        let mut bytes = Vec::new();
        let mut start = None;
        while let Some((index, words)) = self.next(0) {
            let len = match words[2] & 0x3fff {
                0 => 1 << 14,
                len => len,
            };
            let mut part = std::vec![0; len as usize];
            let address = u64::from(words[1]) << 32 | u64::from(words[0]);
            self.memory.read(address, &mut part);
            bytes.append(&mut part);
            let [_, _, sizes, modes] = *start.get_or_insert(words);
            if words[3] & 1 << 12 == 0 {
                continue;
            }
            assert_ne!(words[3] & 1 << 13, 0, "the last descriptor reports");
            start = None;
            self.device.sent.push(Vmxnet3Frame {
                bytes: core::mem::take(&mut bytes),
                mode: modes >> 10 & 3,
                headers: modes & 0x3ff,
                size: sizes >> 18,
            });
            self.held.push(index);
        }
        assert!(bytes.is_empty(), "a frame without an end");
        if !self.device.holds {
            self.report_sent();
        }
    }

    fn report_sent(&mut self) {
        for index in core::mem::take(&mut self.held) {
            self.complete(0, [index, 0, 0, 0]);
        }
    }
}

impl Registers for DataWindow {
    fn read(&self, _: usize) -> u32 {
        let model = lock(&self.0);
        if model.device.gone { u32::MAX } else { 0 }
    }

    fn write(&self, at: usize, value: u32) {
        let mut model = lock(&self.0);
        if model.device.gone || !model.active {
            return;
        }
        match at {
            0 | data::STRIDE => {
                let vector = at / data::STRIDE;
                model.masked[vector] = value & 1 != 0;
                model.interrupt(vector);
            }
            data::TRANSMIT => {
                assert!(value < model.transmit.size);
                model.doorbells[0] += 1;
                model.send();
            }
            data::RECEIVE => {
                assert!(value < model.receive.size);
                model.doorbells[1] += 1;
            }
            _ => panic!("register {at:#x}"),
        }
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}

impl Registers for ControlWindow {
    fn read(&self, at: usize) -> u32 {
        let model = lock(&self.0);
        if model.device.gone {
            return u32::MAX;
        }
        match at {
            control::REVISION | control::PASS_THROUGH_REVISION => model.device.revisions,
            control::COMMAND => match model.last_command {
                command::QUIESCE | command::RESET => model.device.reset_result,
                command::ACTIVATE => model.device.activation_result,
                _ => 0,
            },
            control::ADDRESS_LOW => 0x1200_5452,
            control::ADDRESS_HIGH => 0x5634,
            _ => panic!("register {at:#x}"),
        }
    }

    fn write(&self, at: usize, value: u32) {
        let mut model = lock(&self.0);
        if model.device.gone {
            return;
        }
        match at {
            control::COMMAND => {
                model.last_command = value;
                match value {
                    command::ACTIVATE => model.activate(),
                    command::QUIESCE => model.active = false,
                    command::RESET => {
                        model.resets += 1;
                        model.shared = 0;
                    }
                    _ => {}
                }
            }
            control::SHARED_LOW => model.shared = u64::from(value),
            control::SHARED_HIGH => model.shared |= u64::from(value) << 32,
            control::EVENTS => {
                let at = model.shared + shared::EVENTS as u64;
                let rest = model.word(at, 0) & !value;
                model.memory.write(at, &rest.to_le_bytes());
            }
            control::REVISION | control::PASS_THROUGH_REVISION => assert_eq!(value, 1),
            _ => panic!("register {at:#x}"),
        }
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}

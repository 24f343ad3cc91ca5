//! An Intel network card (82574L, 82540EM) by its datasheet: registers, one queue each way, legacy
//! receive descriptors, contexts and data to send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::HostMemory;
use super::lock::lock;
use crate::e1000e::Family;
use crate::e1000e::registers::{cause, control, offset, ring};
use crate::registers::Registers;
use crate::transport::Interrupt;

const DESCRIPTOR: u64 = 16;
const BUFFER: usize = 2048;

/// A frame as the driver described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct E1000eFrame {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Start and place of the checksum to insert.
    pub checksum: Option<(u8, u8)>,
    /// Bytes of the headers, of a segment, and of the payload.
    pub segments: Option<(u8, u16, u32)>,
    /// Insert the IPv4 checksum.
    pub ip_checksum: bool,
}

/// The card and its misbehaviour.
pub struct E1000eDevice {
    family: Family,
    /// Frames that the driver sent.
    pub sent: Vec<E1000eFrame>,
    /// It takes frames, but doesn't say so until it is false and [`E1000eHandle::step`] is called.
    pub holds: bool,
    /// It was removed: reads give ones.
    pub gone: bool,
    /// A reset doesn't end.
    pub never_resets: bool,
    /// A reset doesn't load the address.
    pub loads_no_address: bool,
    /// The EEPROM doesn't answer.
    pub mute_eeprom: bool,
    /// The address in the EEPROM.
    pub address: [u8; 6],
    /// The link is up.
    pub link: bool,
}

struct Model {
    device: E1000eDevice,
    memory: &'static HostMemory,
    registers: BTreeMap<usize, u32>,
    /// Writes of registers, in their order.
    writes: Vec<(usize, u32)>,
    resets: usize,
    interrupts: usize,
    status_reads: usize,
    context: [u32; 4],
    parts: Vec<u8>,
    /// Positions of descriptors that wait for their status.
    held: Vec<u32>,
}

/// The driver's end.
pub struct E1000eRegisters {
    model: Arc<Mutex<Model>>,
}

/// The test's end.
pub struct E1000eHandle {
    model: Arc<Mutex<Model>>,
}

impl E1000eDevice {
    /// A well-behaved card.
    pub fn new(family: Family) -> E1000eDevice {
        E1000eDevice {
            family,
            sent: Vec::new(),
            holds: false,
            gone: false,
            never_resets: false,
            loads_no_address: false,
            mute_eeprom: false,
            address: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            link: true,
        }
    }

    /// Connects it to a driver.
    pub fn connect(self, memory: &'static HostMemory) -> (E1000eRegisters, E1000eHandle) {
        let model = Arc::new(Mutex::new(Model {
            device: self,
            memory,
            registers: BTreeMap::new(),
            writes: Vec::new(),
            resets: 0,
            interrupts: 0,
            status_reads: 0,
            context: [0; 4],
            parts: Vec::new(),
            held: Vec::new(),
        }));
        let registers = E1000eRegisters {
            model: model.clone(),
        };
        (registers, E1000eHandle { model })
    }
}

impl E1000eHandle {
    /// Accesses the card.
    pub fn with<R>(&self, f: impl FnOnce(&mut E1000eDevice) -> R) -> R {
        f(&mut lock(&self.model).device)
    }

    /// Delivers a frame with this status word, whose bit 0 is set for it. False without a buffer.
    pub fn deliver(&self, frame: &[u8], status: u32) -> bool {
        self.deliver_of_len(frame, frame.len() as u16, status)
    }

    /// Likewise, with another length.
    pub fn deliver_of_len(&self, frame: &[u8], len: u16, status: u32) -> bool {
        lock(&self.model).deliver(frame, len, status)
    }

    /// Says which frames were sent.
    pub fn step(&self) {
        lock(&self.model).report();
    }

    /// Writes a word of a descriptor of the ring at `base`.
    pub fn scribble(&self, base: usize, position: u32, offset: u64, value: u32) {
        let model = lock(&self.model);
        let at = model.ring(base) + u64::from(position) * DESCRIPTOR + offset;
        model.memory.write(at, &value.to_le_bytes());
    }

    /// Masks all causes, as the handler of a line.
    pub fn mask(&self) {
        lock(&self.model)
            .registers
            .insert(offset::INTERRUPT_MASK_SET, 0);
    }

    /// The value of a register, without effects.
    pub fn register(&self, offset: usize) -> u32 {
        lock(&self.model).get(offset)
    }

    /// Number of writes of a register.
    pub fn writes(&self, offset: usize) -> usize {
        let model = lock(&self.model);
        model.writes.iter().filter(|(at, _)| *at == offset).count()
    }

    /// Number of resets, of interrupts, and of reads of the status.
    pub fn counts(&self) -> (usize, usize, usize) {
        let model = lock(&self.model);
        (model.resets, model.interrupts, model.status_reads)
    }
}

impl Model {
    fn get(&self, offset: usize) -> u32 {
        *self.registers.get(&offset).unwrap_or(&0)
    }

    fn ring(&self, base: usize) -> u64 {
        let high = u64::from(self.get(base + ring::ADDRESS_HIGH)) << 32;
        high | u64::from(self.get(base + ring::ADDRESS_LOW))
    }

    /// The descriptor at the head of the ring, unless that is the tail; the head moves on.
    fn next(&mut self, base: usize) -> Option<(u32, [u32; 4])> {
        let (head, tail) = (self.get(base + ring::HEAD), self.get(base + ring::TAIL));
        let count = self.get(base + ring::LEN) / DESCRIPTOR as u32;
        if head == tail {
            return None;
        }
        assert!(head < count && tail < count, "a tail outside the ring");
        let mut bytes = [0; 16];
        let at = self.ring(base) + u64::from(head) * DESCRIPTOR;
        self.memory.read(at, &mut bytes);
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
        }
        self.registers.insert(base + ring::HEAD, (head + 1) % count);
        Some((head, words))
    }

    fn is_express(&self) -> bool {
        self.device.family == Family::Express
    }

    /// Records a cause, and interrupts if it isn't masked; the 82574L masks it then.
    fn raise(&mut self, on_express: u32, else_on: u32) {
        let bit = if self.is_express() {
            on_express
        } else {
            else_on
        };
        *self.registers.entry(offset::INTERRUPT_CAUSE).or_insert(0) |= bit;
        self.interrupt();
    }

    fn interrupt(&mut self) {
        let mask = self.get(offset::INTERRUPT_MASK_SET);
        let causes = self.get(offset::INTERRUPT_CAUSE) & mask;
        if causes != 0 {
            self.interrupts += 1;
            if self.is_express() {
                assert_ne!(self.get(offset::INTERRUPT_VECTORS) & 0x808, 0);
                let masked = mask & !(self.get(offset::INTERRUPT_AUTO_MASK) & causes);
                self.registers.insert(offset::INTERRUPT_MASK_SET, masked);
                let cleared = self.get(offset::INTERRUPT_AUTO_CLEAR) & causes;
                *self.registers.entry(offset::INTERRUPT_CAUSE).or_insert(0) &= !cleared;
            }
        }
    }

    fn deliver(&mut self, frame: &[u8], len: u16, status: u32) -> bool {
        if self.device.gone || self.get(offset::RECEIVE_CONTROL) & 2 == 0 {
            return false;
        }
        let Some((head, words)) = self.next(offset::RECEIVE_RING) else {
            return false;
        };
        assert_eq!(
            words[3] & 0xffff,
            0,
            "the status of a buffer that is given away"
        );
        let buffer = u64::from(words[1]) << 32 | u64::from(words[0]);
        self.memory.write(buffer, &frame[..frame.len().min(BUFFER)]);
        let at = self.ring(offset::RECEIVE_RING) + u64::from(head) * DESCRIPTOR;
        self.memory.write(at + 8, &u32::from(len).to_le_bytes());
        self.memory.write(at + 12, &(status | 1).to_le_bytes());
        self.raise(cause::RECEIVE_QUEUE, cause::RECEIVED);
        true
    }

    fn send(&mut self) {
        if self.get(offset::TRANSMIT_CONTROL) & 2 == 0 {
            return;
        }
        while let Some((head, words)) = self.next(offset::TRANSMIT_RING) {
            let bits = words[2];
            assert_ne!(bits & 1 << 29, 0, "an extended descriptor");
            if bits >> 20 & 0xf == 0 {
                self.context = words;
                continue;
            }
            let address = u64::from(words[1]) << 32 | u64::from(words[0]);
            let mut part = std::vec![0; (bits & 0xf_ffff) as usize];
            self.memory.read(address, &mut part);
            self.parts.append(&mut part);
            if bits & 1 << 24 == 0 {
                continue;
            }
            let [_, sums, payload, sizes] = self.context;
            let frame = E1000eFrame {
                bytes: core::mem::take(&mut self.parts),
                checksum: (words[3] & 1 << 9 != 0).then_some((sums as u8, (sums >> 8) as u8)),
                segments: (bits & 1 << 26 != 0).then_some((
                    (sizes >> 8) as u8,
                    (sizes >> 16) as u16,
                    payload & 0xf_ffff,
                )),
                ip_checksum: words[3] & 1 << 8 != 0,
            };
            self.device.sent.push(frame);
            assert_ne!(bits & 1 << 27, 0, "the last descriptor reports");
            self.held.push(head);
        }
        self.report();
    }

    fn report(&mut self) {
        if self.device.holds || self.held.is_empty() {
            return;
        }
        for position in core::mem::take(&mut self.held) {
            let at = self.ring(offset::TRANSMIT_RING) + u64::from(position) * DESCRIPTOR;
            self.memory.write(at + 12, &1u32.to_le_bytes());
        }
        self.raise(cause::TRANSMIT_QUEUE, cause::SENT);
    }

    fn reset(&mut self) {
        self.resets += 1;
        self.registers.clear();
        self.held.clear();
        if !self.device.loads_no_address {
            let mac = self.device.address;
            let low = u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]);
            let high = u32::from(mac[4]) | u32::from(mac[5]) << 8 | 1 << 31;
            self.registers.insert(offset::RECEIVE_ADDRESS_LOW, low);
            self.registers.insert(offset::RECEIVE_ADDRESS_HIGH, high);
        }
    }

    fn read_eeprom(&mut self, value: u32) {
        let (shift, done) = match self.is_express() {
            true => (2, 2),
            false => (8, 1 << 4),
        };
        let index = (value >> shift & 0xff) as usize;
        if value & 1 != 0 && !self.device.mute_eeprom {
            let mac = self.device.address;
            let word = u16::from_le_bytes([mac[2 * index], mac[2 * index + 1]]);
            let read = u32::from(word) << 16 | done;
            self.registers.insert(offset::EEPROM_READ, read);
        }
    }
}

impl Registers for E1000eRegisters {
    fn read(&self, at: usize) -> u32 {
        let mut model = lock(&self.model);
        if model.device.gone {
            return u32::MAX;
        }
        if at == offset::STATUS {
            model.status_reads += 1;
            return u32::from(model.device.link) << 1;
        }
        model.get(at)
    }

    fn write(&self, at: usize, value: u32) {
        let mut model = lock(&self.model);
        if model.device.gone {
            return;
        }
        model.writes.push((at, value));
        let mask = model.get(offset::INTERRUPT_MASK_SET);
        match at {
            offset::CONTROL if value & control::RESET != 0 && !model.device.never_resets => {
                model.reset();
            }
            offset::INTERRUPT_CAUSE => {
                let rest = model.get(at) & !value;
                model.registers.insert(at, rest);
            }
            offset::INTERRUPT_MASK_SET => {
                model.registers.insert(at, mask | value);
                model.interrupt();
            }
            offset::INTERRUPT_MASK_CLEAR => {
                let rest = mask & !value;
                model.registers.insert(offset::INTERRUPT_MASK_SET, rest);
            }
            offset::EEPROM_READ => model.read_eeprom(value),
            _ => {
                model.registers.insert(at, value);
            }
        }
        if at == offset::TRANSMIT_RING + ring::TAIL {
            model.send();
        }
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}

//! A PCI function with the legacy registers of virtio: I/O ports in front of a fake device.

use std::sync::{Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;
use std::{boxed::Box, fmt};

use super::{Backend, FakeTransport, Handle, HostMemory, Options, connect};
use crate::pci::{Address, ConfigAccess, Ports};
use crate::transport::{QueueAddresses, QueueSize, Status, Transport};

/// The first port, and their number.
const FIRST: u16 = 0xc040;
const COUNT: u16 = 64;
/// Where the MSI-X table is.
const TABLE: u64 = 0xfebf_1000;
/// Unit of a queue's address, and alignment of its used ring.
const PAGE: u64 = 4096;
const MSIX_ENABLE: u32 = 1 << 31;
const NO_VECTOR: u16 = 0xffff;

/// The function, at 00:04.0. It is its own configuration access and its own ports.
pub struct LegacyPci {
    state: Mutex<State>,
}

struct State {
    transport: FakeTransport,
    /// Configuration space, as words.
    words: Vec<u32>,
    vectors: u16,
    select: u16,
    queue_vectors: Vec<u16>,
    config_vector: u16,
    isr: u8,
}

impl fmt::Debug for LegacyPci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LegacyPci")
    }
}

impl LegacyPci {
    /// A function with this device behind it, and with `vectors` MSI-X vectors: 0 for none.
    ///
    /// # Panics
    ///
    /// If the options aren't those of a legacy device ([`Options::legacy_pci`]).
    pub fn new<B: Backend>(
        memory: &'static HostMemory,
        backend: B,
        options: Options,
        vectors: u16,
    ) -> (&'static LegacyPci, Handle<B>) {
        assert!(options.legacy);
        let queues = backend.queues().len();
        let kind = backend.device_type().0;
        let (transport, handle) = connect(memory, backend, options);
        let mut words = vec![0; 64];
        words[0] = 0x1000_1af4;
        words[1] = 0x0010_0000;
        words[4] = u32::from(FIRST) | 1;
        words[5] = TABLE as u32;
        words[0x2c / 4] = kind << 16 | 0x1af4;
        words[0x3c / 4] = 0x010b;
        if vectors > 0 {
            words[0x34 / 4] = 0x98;
            words[0x98 / 4] = u32::from(vectors - 1) << 16 | 0x11;
            words[0x9c / 4] = 1;
            let table = Box::leak(vec![0; 4 * usize::from(vectors)].into_boxed_slice());
            memory.add_registers(TABLE, table);
        }
        let state = State {
            transport,
            words,
            vectors,
            select: 0,
            queue_vectors: vec![NO_VECTOR; queues],
            config_vector: NO_VECTOR,
            isr: 0,
        };
        let state = Mutex::new(state);
        (Box::leak(Box::new(LegacyPci { state })), handle)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A driver that panicked has failed its test already.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Raises the function's line for these causes.
    pub fn raise(&self, causes: u8) {
        self.state().isr |= causes;
    }

    /// Sets a word of configuration space.
    pub fn set_word(&self, offset: u16, value: u32) {
        self.state().words[usize::from(offset) / 4] = value;
    }

    /// A word of configuration space.
    pub fn word(&self, offset: u16) -> u32 {
        self.state().words[usize::from(offset) / 4]
    }

    /// The MSI-X vectors of configuration changes and of each queue.
    pub fn vectors(&self) -> (u16, Vec<u16>) {
        let state = self.state();
        (state.config_vector, state.queue_vectors.clone())
    }
}

impl State {
    fn has_msix(&self) -> bool {
        self.vectors > 0 && self.words[0x98 / 4] & MSIX_ENABLE != 0
    }

    /// The offset in the device's configuration space of a port behind the others.
    fn config_offset(&self, at: u16) -> usize {
        usize::from(at - if self.has_msix() { 24 } else { 20 })
    }

    fn size(&mut self) -> u16 {
        match self.transport.queue_size(self.select) {
            None => 0,
            Some(QueueSize::AtMost(size) | QueueSize::Exactly(size)) => size,
        }
    }

    fn activate(&mut self, page: u32) {
        let size = self.size();
        let descriptors = u64::from(page) * PAGE;
        let driver = descriptors + 16 * u64::from(size);
        let addresses = QueueAddresses {
            size,
            descriptors,
            driver,
            device: (driver + 6 + 2 * u64::from(size)).next_multiple_of(PAGE),
        };
        let done = self.transport.activate_queue(self.select, &addresses);
        done.expect("a queue of this size");
    }

    fn vector(&self, value: u32) -> u16 {
        match value as u16 {
            vector if vector < self.vectors => vector,
            _ => NO_VECTOR,
        }
    }
}

impl ConfigAccess for LegacyPci {
    fn read(&self, address: Address, offset: u16) -> u32 {
        match (address.bus, address.device, address.function) {
            (0, 4, 0) => self.word(offset),
            _ => u32::MAX,
        }
    }

    fn write(&self, address: Address, offset: u16, value: u32) {
        if (address.bus, address.device, address.function) == (0, 4, 0) {
            let value = match offset {
                0x04 => self.word(4) & 0xffff_0000 | value & 0xffff,
                0x10 => value & !u32::from(COUNT - 1) & 0xffff | 1,
                0x14 => value & !0xfff,
                _ => value,
            };
            self.set_word(offset, value);
        }
    }
}

impl Ports for LegacyPci {
    unsafe fn read(&self, port: u16, size: usize) -> u32 {
        let mut state = self.state();
        assert!(state.words[1] & 1 != 0, "I/O space is disabled");
        let at = port.wrapping_sub(FIRST);
        assert!(at + size as u16 <= COUNT, "another device's port {port:#x}");
        let msix = state.has_msix();
        match (at, size) {
            (0, 4) => state.transport.device_features() as u32,
            (12, 2) => state.size().into(),
            (18, 1) => state.transport.status().bits().into(),
            (19, 1) => core::mem::take(&mut state.isr).into(),
            (20, 2) if msix => state.config_vector.into(),
            (22, 2) if msix => state.queue_vectors[usize::from(state.select)].into(),
            (20.., _) => {
                let offset = state.config_offset(at);
                // Bytes behind the device's configuration space read as zeros.
                state.transport.read_config(offset, size).unwrap_or(0)
            }
            _ => panic!("a read of {size} at {at}"),
        }
    }

    unsafe fn write(&self, port: u16, size: usize, value: u32) {
        let mut state = self.state();
        assert!(state.words[1] & 1 != 0, "I/O space is disabled");
        let at = port.wrapping_sub(FIRST);
        assert!(at + size as u16 <= COUNT, "another device's port {port:#x}");
        let msix = state.has_msix();
        match (at, size) {
            (4, 4) => state.transport.set_driver_features(value.into()),
            (8, 4) => state.activate(value),
            (14, 2) => state.select = value as u16,
            (16, 2) => state.transport.notify(value as u16),
            (18, 1) => {
                if value == 0 {
                    state.queue_vectors.fill(NO_VECTOR);
                    state.config_vector = NO_VECTOR;
                }
                let status = Status::from_bits_retain(value as u8);
                state.transport.set_status(status);
            }
            (20, 2) if msix => state.config_vector = state.vector(value),
            (22, 2) if msix => {
                let select = usize::from(state.select);
                state.queue_vectors[select] = state.vector(value);
            }
            (20.., _) => {
                let offset = state.config_offset(at);
                let _ = state.transport.write_config(offset, size, value);
            }
            _ => panic!("a write of {size} at {at}"),
        }
    }
}

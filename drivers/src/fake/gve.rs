//! A gVNIC (Google Virtual NIC), which also lies by a script. Written from Linux's description of
//! the device (`gve_register.h`, `gve_adminq.h`, `gve_desc.h`, `gve_desc_dqo.h`) and iPXE's,
//! without the driver's source.
//!
//! It has queues in order with registered pages (GQI-QPL) and queues out of order with addresses of
//! memory (DQO-RDA). It doesn't join received segments (RSC), and splits no headers. Interrupts of
//! a block are disarmed by each interrupt; blocks of DQO queues remember an event that came
//! meanwhile (the pending bits of MSI-X), GQI's don't.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::HostMemory;
use super::lock::lock;
use crate::memory::Access;
use crate::registers::Registers;
use crate::transport::Interrupt;

mod admin;
mod device;
mod dqo;
mod gqi;

pub use device::{GveAdminLie, GveDevice, GveRxLie, GveTxLie};
use dqo::{DqoRx, DqoTx};
use gqi::{GqiRx, GqiTx};

/// Registers of BAR 0, whose values are big endian.
mod offset {
    pub const DEVICE_STATUS: usize = 0x00;
    pub const DRIVER_STATUS: usize = 0x04;
    pub const MAX_TX_QUEUES: usize = 0x08;
    pub const MAX_RX_QUEUES: usize = 0x0c;
    pub const ADMIN_PAGE: usize = 0x10;
    pub const ADMIN_DOORBELL: usize = 0x14;
    pub const ADMIN_COUNTER: usize = 0x18;
    pub const DRIVER_VERSION: usize = 0x1c;
    pub const ADMIN_HIGH: usize = 0x20;
    pub const ADMIN_LOW: usize = 0x24;
    pub const ADMIN_LENGTH: usize = 0x28;
}

/// Bits of the device's status.
const WANTS_RESET: u32 = 1 << 1;
const LINK_UP: u32 = 1 << 2;
const IS_RESET: u32 = 1 << 4;
/// Bits of the driver's status.
const RUN: u32 = 1;
const RESET: u32 = 1 << 1;

const PAGE: usize = 4096;
/// Ethernet header with one tag.
const ETHERNET: usize = 18;
/// Words of the doorbells: of interrupts, of queues.
const INTERRUPTS: usize = 64;
const QUEUES: usize = 256;

/// Formats of queues.
const GQI_QPL: u8 = 2;
const DQO_RDA: u8 = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bar {
    Registers,
    Doorbells,
}

/// A notification block: an interrupt of a queue.
#[derive(Clone, Copy, Default)]
struct Block {
    armed: bool,
    /// An event came while it wasn't armed.
    pending: bool,
}

/// What the driver configured.
struct Resources {
    counters: u64,
    counter_count: u32,
    blocks: Vec<Block>,
    first_vector: u32,
    format: u8,
}

enum Tx {
    Gqi(GqiTx),
    Dqo(DqoTx),
}

enum Rx {
    Gqi(GqiRx),
    Dqo(DqoRx),
}

struct Model {
    device: GveDevice,
    memory: &'static HostMemory,
    written: BTreeMap<usize, u32>,
    /// The admin queue: address, entries.
    admin: Option<(u64, u32)>,
    /// Commands that were completed.
    commands: u32,
    /// Reads until a reset is complete.
    resetting: Option<usize>,
    resets: usize,
    resources: Option<Resources>,
    pages: BTreeMap<u32, Vec<u64>>,
    tx: BTreeMap<u32, Tx>,
    rx: BTreeMap<u32, Rx>,
    /// It lied, after which the driver may be wrong about its queues.
    lied: bool,
}

/// The driver's end: a BAR.
pub struct GveRegisters {
    model: Arc<Mutex<Model>>,
    bar: Bar,
}

/// The test's end: access to the device.
pub struct GveHandle {
    model: Arc<Mutex<Model>>,
}

impl GveHandle {
    /// Accesses the device.
    pub fn with<R>(&self, f: impl FnOnce(&mut GveDevice) -> R) -> R {
        f(&mut lock(&self.model).device)
    }

    /// Lets the device work.
    pub fn step(&self) {
        lock(&self.model).work();
    }

    /// Number of resets that ended.
    pub fn resets(&self) -> usize {
        lock(&self.model).resets
    }

    /// Number of queues: transmit, receive.
    pub fn queues(&self) -> (usize, usize) {
        let model = lock(&self.model);
        (model.tx.len(), model.rx.len())
    }

    /// Number of registered pages.
    pub fn registered_pages(&self) -> usize {
        lock(&self.model).pages.values().map(Vec::len).sum()
    }

    /// Receive buffers that the device has.
    pub fn posted(&self) -> usize {
        let model = lock(&self.model);
        let posted = |queue: &Rx| match queue {
            Rx::Gqi(queue) => queue.posted(),
            Rx::Dqo(queue) => queue.posted(),
        };
        model.rx.values().map(posted).sum()
    }

    /// Whether some queue would interrupt.
    pub fn is_armed(&self) -> bool {
        let model = lock(&self.model);
        let blocks = model.resources.iter().flat_map(|found| &found.blocks);
        blocks.into_iter().any(|block| block.armed)
    }
}

impl Model {
    /// Forgets all that the driver set.
    fn forget(&mut self) {
        self.written.clear();
        self.admin = None;
        self.commands = 0;
        self.resources = None;
        self.pages.clear();
        self.tx.clear();
        self.rx.clear();
        self.device.wants_reset = false;
        self.device.indirection.clear();
    }

    fn begin_reset(&mut self) {
        self.forget();
        self.resetting = Some(self.device.reset_reads);
    }

    /// A read that a driver polls for the end of a reset. True while it goes on.
    fn is_resetting(&mut self) -> bool {
        match self.resetting {
            None => false,
            Some(0) if !self.device.never_resets => {
                self.resetting = None;
                self.resets += 1;
                false
            }
            Some(left) => {
                self.resetting = Some(left.saturating_sub(1));
                true
            }
        }
    }

    fn read(&mut self, at: usize) -> u32 {
        match at {
            offset::DEVICE_STATUS => {
                let resetting = self.is_resetting();
                let mut status = 0;
                if self.device.wants_reset {
                    status |= WANTS_RESET;
                }
                if self.device.link {
                    status |= LINK_UP;
                }
                if !resetting && self.admin.is_none() && self.device.revision > 0 {
                    status |= IS_RESET;
                }
                status
            }
            offset::DRIVER_STATUS => self.written.get(&at).copied().unwrap_or(0),
            offset::MAX_TX_QUEUES | offset::MAX_RX_QUEUES => self.device.max_queues,
            offset::ADMIN_PAGE => {
                // It stays until the reset is complete.
                let page = self.written.get(&at).copied().unwrap_or(0);
                if self.is_resetting() { 1 } else { page }
            }
            offset::ADMIN_COUNTER => self.commands,
            _ => panic!("the driver reads {at:#x}"),
        }
    }

    fn write(&mut self, at: usize, value: u32) {
        if self.resetting.is_some() {
            let harmless = match at {
                offset::DRIVER_STATUS => value != RUN,
                offset::ADMIN_PAGE => value == 0,
                _ => at == offset::DRIVER_VERSION,
            };
            assert!(harmless || self.lied, "write of {at:#x} during a reset");
            return;
        }
        match at {
            offset::DRIVER_STATUS if value & RESET != 0 && self.device.revision > 0 => {
                self.begin_reset();
                return;
            }
            offset::ADMIN_PAGE if value == 0 => {
                if self.admin.is_some() {
                    self.begin_reset();
                }
                return;
            }
            _ => {}
        }
        self.written.insert(at, value);
        match at {
            offset::DRIVER_STATUS if value & RUN != 0 && self.device.revision > 0 => {
                let word = |at| self.written.get(&at).copied().unwrap_or(0);
                let (high, low) = (word(offset::ADMIN_HIGH), word(offset::ADMIN_LOW));
                // 16 bits at the register's start.
                let len = word(offset::ADMIN_LENGTH) >> 16;
                self.start_admin(u64::from(high) << 32 | u64::from(low), len as usize);
            }
            offset::ADMIN_PAGE if self.device.revision == 0 => {
                self.start_admin(u64::from(value) * PAGE as u64, PAGE);
            }
            offset::ADMIN_DOORBELL => {
                assert!(self.admin.is_some(), "a command without a queue");
                self.work();
            }
            offset::DRIVER_STATUS
            | offset::ADMIN_PAGE
            | offset::DRIVER_VERSION
            | offset::ADMIN_HIGH
            | offset::ADMIN_LOW
            | offset::ADMIN_LENGTH => {}
            _ => panic!("the driver writes {at:#x}"),
        }
    }

    fn start_admin(&mut self, address: u64, len: usize) {
        assert!(self.admin.is_none(), "the admin queue is running");
        self.check(address, len, Access::DeviceWrites, "the admin queue");
        let entries = (len / admin::COMMAND) as u32;
        assert!(entries.is_power_of_two(), "{entries} commands");
        self.admin = Some((address, entries));
    }

    /// A structure of the driver's that starts a page.
    fn check(&self, address: u64, len: usize, access: Access, what: &str) {
        assert!(
            address.is_multiple_of(PAGE as u64),
            "{what} at {address:#x}"
        );
        assert!(len > 0, "{what} is empty");
        let is_given = self.memory.is_given(address, len, access);
        assert!(is_given, "{what} of {len} bytes at {address:#x}");
    }

    /// A write of a doorbell, by its bytes.
    fn ring(&mut self, word: usize, bytes: [u8; 4]) {
        let Some(resources) = &mut self.resources else {
            assert!(self.lied, "a doorbell without queues");
            return;
        };
        let is_dqo = resources.format == DQO_RDA;
        let value = match is_dqo {
            true => u32::from_le_bytes(bytes),
            false => u32::from_be_bytes(bytes),
        };
        if let Some(at) = word.checked_sub(QUEUES) {
            let id = (at / 2) as u32;
            let known = match at % 2 {
                0 => self.ring_tx(id, value),
                _ => self.ring_rx(id, value),
            };
            assert!(known || self.lied, "doorbell {word} of no queue");
            self.work();
            return;
        }
        let block = word.checked_sub(INTERRUPTS);
        let found = block.and_then(|at| Some((at, resources.blocks.get_mut(at)?)));
        let Some((at, block)) = found else {
            assert!(self.lied, "doorbell {word} of no block");
            return;
        };
        block.armed = match is_dqo {
            true => value & 1 != 0,
            // Acknowledged, with events, and not masked.
            false => value >> 29 == 0b101,
        };
        if is_dqo && block.armed && block.pending {
            self.interrupt(at as u32);
        }
    }

    fn ring_tx(&mut self, id: u32, value: u32) -> bool {
        let lied = self.lied;
        match self.tx.get_mut(&id) {
            Some(Tx::Gqi(queue)) => queue.ring(value, lied),
            Some(Tx::Dqo(queue)) => queue.ring(value, lied),
            None => return false,
        }
        true
    }

    fn ring_rx(&mut self, id: u32, value: u32) -> bool {
        let lied = self.lied;
        match self.rx.get_mut(&id) {
            Some(Rx::Gqi(queue)) => queue.ring(value, lied),
            Some(Rx::Dqo(queue)) => queue.ring(value, lied),
            None => return false,
        }
        true
    }

    fn interrupt(&mut self, block: u32) {
        let Some(resources) = &mut self.resources else {
            return;
        };
        let vector = resources.first_vector + block;
        let Some(block) = resources.blocks.get_mut(block as usize) else {
            return;
        };
        block.pending = !block.armed;
        if block.armed {
            block.armed = false;
            *self.device.interrupts.entry(vector).or_insert(0) += 1;
        }
    }

    fn work(&mut self) {
        self.serve_admin();
        if self.device.gone || self.device.stuck {
            return;
        }
        let ids: Vec<u32> = self.tx.keys().copied().collect();
        for id in ids {
            self.transmit(id);
        }
        self.receive();
    }

    fn transmit(&mut self, id: u32) {
        // It is out of the table meanwhile, since it uses the rest of the model.
        let Some(mut queue) = self.tx.remove(&id) else {
            return;
        };
        match &mut queue {
            Tx::Gqi(queue) => self.transmit_gqi(queue),
            Tx::Dqo(queue) => self.transmit_dqo(id, queue),
        }
        self.tx.insert(id, queue);
    }

    /// Sends a frame that is complete.
    fn sent(&mut self, bytes: Vec<u8>) {
        let most = ETHERNET + usize::from(self.device.max_mtu());
        assert!(bytes.len() <= most, "a frame of {} bytes", bytes.len());
        match self.device.echo {
            true => self.device.inbox.push_back(bytes),
            false => self.device.sent.push(bytes),
        }
    }

    fn receive(&mut self) {
        while let Some(bytes) = self.device.inbox.pop_front() {
            let Some((id, hash)) = self.device.steer(&bytes, self.rx.keys().next().copied()) else {
                self.device.inbox.push_front(bytes);
                return;
            };
            let Some(mut queue) = self.rx.remove(&id) else {
                self.device.inbox.push_front(bytes);
                return;
            };
            let delivered = match &mut queue {
                Rx::Gqi(queue) => self.receive_gqi(queue, &bytes, hash),
                Rx::Dqo(queue) => self.receive_dqo(queue, &bytes, hash),
            };
            self.rx.insert(id, queue);
            if !delivered {
                self.device.inbox.push_front(bytes);
                return;
            }
        }
    }
}

impl Registers for GveRegisters {
    fn read(&self, offset: usize) -> u32 {
        let mut model = lock(&self.model);
        if model.device.gone || self.bar == Bar::Doorbells {
            return u32::MAX;
        }
        model.read(offset).swap_bytes()
    }

    fn write(&self, offset: usize, value: u32) {
        let mut model = lock(&self.model);
        if model.device.gone {
            return;
        }
        match self.bar {
            Bar::Registers => model.write(offset, value.swap_bytes()),
            Bar::Doorbells => model.ring(offset / 4, value.to_le_bytes()),
        }
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}

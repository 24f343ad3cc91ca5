//! The device's side of a virtqueue.

use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::vec::Vec;

use super::HostMemory;
use crate::memory::Access;
use crate::transport::QueueAddresses;

/// A request that the driver made.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Its id.
    pub head: u16,
    /// Pieces to read: physical address and length.
    pub readable: Vec<(u64, usize)>,
    /// Pieces to write.
    pub writable: Vec<(u64, usize)>,
}

impl Chain {
    /// All bytes to read.
    pub fn read(&self, memory: &HostMemory) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (phys, len) in &self.readable {
            let start = bytes.len();
            bytes.resize(start + len, 0);
            memory.read(*phys, &mut bytes[start..]);
        }
        bytes
    }

    /// Writes as much of `bytes` as fits; returns how much that is.
    pub fn write(&self, memory: &HostMemory, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        for (phys, len) in &self.writable {
            let (piece, after) = rest.split_at(rest.len().min(*len));
            memory.write(*phys, piece);
            rest = after;
        }
        bytes.len() - rest.len()
    }

    /// Bytes that can be written.
    pub fn capacity(&self) -> usize {
        self.writable.iter().map(|(_, len)| len).sum()
    }
}

/// The device's half of a virtqueue. It runs in the driver's thread, which sees its own stores in
/// order: all accesses are relaxed.
pub struct DeviceQueue {
    memory: &'static HostMemory,
    /// Maximum size.
    pub max_size: u16,
    addresses: Option<QueueAddresses>,
    event_idx: bool,
    /// The test made the device lie, after which the driver may be wrong about requests in flight.
    lied: bool,
    seen: u16,
    used: u16,
    /// Interrupts that the driver enabled and got.
    pub interrupts: u64,
    /// Doorbells.
    pub notifications: u64,
}

impl DeviceQueue {
    pub(super) fn new(memory: &'static HostMemory, max_size: u16) -> DeviceQueue {
        DeviceQueue {
            memory,
            max_size,
            addresses: None,
            event_idx: false,
            lied: false,
            seen: 0,
            used: 0,
            interrupts: 0,
            notifications: 0,
        }
    }

    pub(super) fn activate(&mut self, addresses: QueueAddresses, event_idx: bool, start: u16) {
        self.addresses = Some(addresses);
        self.event_idx = event_idx;
        self.seen = start;
        self.used = start;
    }

    pub(super) fn reset(&mut self) {
        self.addresses = None;
    }

    /// Whether the driver has set it up.
    pub fn is_active(&self) -> bool {
        self.addresses.is_some()
    }

    /// The size that the driver chose (0 before).
    pub fn size(&self) -> u16 {
        self.addresses.map_or(0, |a| a.size)
    }

    fn u16_at(&self, phys: u64) -> &AtomicU16 {
        let at = self.memory.host(phys, 2, Access::DeviceWrites);
        // SAFETY: live memory (`host` checked), aligned because rings are; only accessed
        // atomically.
        unsafe { AtomicU16::from_ptr(at.as_ptr().cast()) }
    }

    fn u32_at(&self, phys: u64) -> &AtomicU32 {
        let at = self.memory.host(phys, 4, Access::DeviceWrites);
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(at.as_ptr().cast()) }
    }

    /// Requests that the driver published and the device hasn't taken.
    pub fn waiting(&self) -> u16 {
        self.addresses.map_or(0, |a| {
            self.u16_at(a.driver + 2)
                .load(Ordering::Relaxed)
                .wrapping_sub(self.seen)
        })
    }

    /// Writes to a request what a device would, unless it lied and the driver has since freed the
    /// memory: no driver can prevent that without an IOMMU.
    pub fn write(&self, chain: &Chain, bytes: &[u8]) {
        let is_given =
            |(phys, len): &(u64, usize)| self.memory.is_given(*phys, *len, Access::DeviceWrites);
        if !self.lied || chain.writable.iter().all(is_given) {
            chain.write(self.memory, bytes);
        }
    }

    /// Takes the next request.
    ///
    /// # Panics
    ///
    /// If the driver made an invalid one.
    pub fn pop(&mut self) -> Option<Chain> {
        if self.waiting() == 0 {
            return None;
        }
        let a = self.addresses?;
        let sound = self.waiting() <= a.size || self.lied;
        assert!(sound, "the driver published more than the queue holds");
        let slot = u64::from(self.seen % a.size);
        let head = self.u16_at(a.driver + 4 + 2 * slot).load(Ordering::Relaxed);
        self.seen = self.seen.wrapping_add(1);
        Some(self.chain(head))
    }

    /// Undoes the last [`pop`](DeviceQueue::pop).
    pub fn unpop(&mut self) {
        self.seen = self.seen.wrapping_sub(1);
    }

    /// The chain of descriptors that begins at `head`.
    ///
    /// # Panics
    ///
    /// If they are invalid.
    pub fn chain(&self, head: u16) -> Chain {
        let a = self.addresses.expect("an active queue");
        assert!(head < a.size, "head {head} in a queue of {}", a.size);
        let mut chain = Chain {
            head,
            ..Chain::default()
        };
        let (mut table, mut limit, mut index) = (a.descriptors, a.size, head);
        for _ in 0..=a.size {
            assert!(index < limit, "descriptor {index} in a table of {limit}");
            let mut bytes = [0; 16];
            self.memory.read(table + 16 * u64::from(index), &mut bytes);
            let field = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            let phys = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
            let len = u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes"));
            let (flags, next) = (field(12), field(14));
            if flags & 4 != 0 {
                assert!(
                    table == a.descriptors && flags == 4,
                    "a table in a table, or in a chain"
                );
                (table, limit, index) = (phys, (len / 16) as u16, 0);
                continue;
            }
            assert!(len > 0, "an empty buffer");
            if flags & 2 != 0 {
                chain.writable.push((phys, len as usize));
            } else {
                assert!(
                    chain.writable.is_empty(),
                    "a readable buffer after a writable one"
                );
                chain.readable.push((phys, len as usize));
            }
            if flags & 1 == 0 {
                return chain;
            }
            index = next;
        }
        panic!("a chain longer than the queue");
    }

    /// Completes a request, and interrupts if the driver has enabled that.
    pub fn push(&mut self, head: u16, written: usize) {
        self.push_all(&[(head, written as u32)]);
    }

    /// Completes several requests at once.
    pub fn push_all(&mut self, done: &[(u16, u32)]) {
        for (position, (head, written)) in done.iter().enumerate() {
            self.put_element(position as u16, u32::from(*head), *written);
        }
        self.move_on(done.len() as u16);
    }

    /// Writes the used element that is `ahead` of the index, with arbitrary contents.
    pub fn write_element(&mut self, ahead: u16, id: u32, len: u32) {
        self.lied = true;
        self.put_element(ahead, id, len);
    }

    fn put_element(&mut self, ahead: u16, id: u32, len: u32) {
        if let Some(a) = self.addresses {
            let slot = u64::from(self.used.wrapping_add(ahead) % a.size);
            self.u32_at(a.device + 4 + 8 * slot)
                .store(id, Ordering::Relaxed);
            self.u32_at(a.device + 8 + 8 * slot)
                .store(len, Ordering::Relaxed);
        }
    }

    /// Advances the used index by any number.
    pub fn advance(&mut self, by: u16) {
        self.lied = true;
        self.move_on(by);
    }

    fn move_on(&mut self, by: u16) {
        let Some(a) = self.addresses else { return };
        let old = self.used;
        self.used = old.wrapping_add(by);
        self.u16_at(a.device + 2)
            .store(self.used, Ordering::Relaxed);
        let wanted = if self.event_idx {
            let event = self
                .u16_at(a.driver + 4 + 2 * u64::from(a.size))
                .load(Ordering::Relaxed);
            // Virtio 1.2, 2.7.7.2: is the event between the old and the new index?
            (0..by).any(|step| old.wrapping_add(step) == event)
        } else {
            self.u16_at(a.driver).load(Ordering::Relaxed) & 1 == 0
        };
        if wanted {
            self.interrupts += 1;
        }
    }

    /// Requests a doorbell at the next request.
    pub fn ask_for_notification(&self) {
        if let Some(a) = self.addresses {
            if self.event_idx {
                let event = a.device + 4 + 8 * u64::from(a.size);
                self.u16_at(event).store(self.seen, Ordering::Relaxed);
            } else {
                self.u16_at(a.device).store(0, Ordering::Relaxed);
            }
        }
    }

    /// Requests none.
    pub fn refuse_notifications(&self) {
        if let Some(a) = self.addresses {
            if self.event_idx {
                let event = a.device + 4 + 8 * u64::from(a.size);
                self.u16_at(event)
                    .store(self.seen.wrapping_sub(1), Ordering::Relaxed);
            } else {
                self.u16_at(a.device).store(1, Ordering::Relaxed);
            }
        }
    }
}

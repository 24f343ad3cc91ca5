//! A split virtqueue (virtio 1.2, 2.7) that doesn't trust its device.
//!
//! The driver keeps its own record of outstanding requests. It passes a completion on only if its
//! id is outstanding, and clamps its length to the size of the buffers. Anything else marks the
//! queue failed: every further call returns an error, and the queue never uses a value from the
//! device as an unchecked index.

use alloc::vec::Vec;

use crate::transport::{QueueSize, Transport};
use crate::{Error, MemoryRef};

mod ring;
use ring::{DESCRIPTOR, Descriptor, Ring};

/// One buffer of a request, as the device sees it.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Physical address.
    pub phys: u64,
    /// Bytes.
    pub len: u32,
    /// The device writes it (otherwise the device reads it). Buffers that it reads come first
    /// (virtio 1.2, 2.7.4.2).
    pub device_writes: bool,
}

impl Buffer {
    /// `len` bytes that the device reads.
    pub const fn readable(phys: u64, len: usize) -> Buffer {
        let len = len as u32;
        Buffer {
            phys,
            len,
            device_writes: false,
        }
    }

    /// `len` bytes that the device writes.
    pub const fn writable(phys: u64, len: usize) -> Buffer {
        Buffer {
            device_writes: true,
            ..Buffer::readable(phys, len)
        }
    }
}

/// A completed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The token that [`Queue::add`] was given.
    pub token: u32,
    /// Number of bytes that the device reports as written, clamped to the writable buffers. They
    /// start at the first writable buffer.
    pub written: u32,
}

/// A request doesn't fit now: too few free descriptors (or, for a request longer than the queue,
/// too few descriptors at all).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The device broke the protocol. As after DEVICE_NEEDS_RESET (virtio 1.2, 2.1), the queue is
/// unusable until the device has been reset and set up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceError;

impl From<DeviceError> for Error {
    fn from(_: DeviceError) -> Self {
        Error::DeviceError
    }
}

/// Options of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Maximum number of descriptors in use; the device's maximum if that is smaller. Rounded down
    /// to a power of two.
    pub max_size: u16,
    /// Minimum number of descriptors.
    pub min_size: u16,
    /// Longest request in descriptors; with `indirect`, requests of 2 or more take only one of the
    /// ring's descriptors.
    pub max_chain: u16,
    /// `VIRTIO_F_INDIRECT_DESC` is negotiated.
    pub indirect: bool,
    /// `VIRTIO_F_EVENT_IDX` is negotiated.
    pub event_idx: bool,
}

/// The driver's own record of a descriptor, which the device can't access.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The request that starts at this descriptor, while the device owns it.
    token: Option<u32>,
    /// Number of bytes that the device may write.
    writable: u32,
    /// The request is published.
    published: bool,
    /// Next descriptor of the chain or of the free list.
    next: u16,
    /// Number of descriptors in the chain that starts here.
    count: u16,
}

impl Slot {
    /// Descriptor `index` in the free list of a new queue.
    fn free(index: u16) -> Slot {
        Slot {
            token: None,
            writable: 0,
            published: false,
            next: index + 1,
            count: 0,
        }
    }
}

/// Counters of protocol violations and other events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Doorbells rung.
    pub kicks: u64,
    /// Lengths beyond the buffer (clamped).
    pub long: u64,
    /// Completions of requests that weren't outstanding, and invalid used indices.
    pub bogus: u64,
}

/// A virtqueue.
pub struct Queue {
    memory: MemoryRef,
    ring: Ring,
    index: u16,
    /// Descriptors in use: all of the ring, unless the device insists on a larger ring.
    size: u16,
    max_chain: u16,
    indirect: bool,
    event_idx: bool,
    slots: Vec<Slot>,
    /// Heads added since the last publication; has capacity for all descriptors.
    unpublished: Vec<u16>,
    free_head: u16,
    free: u16,
    /// Number of requests that the device owns.
    in_flight: u16,
    /// Next entry of the available ring (all indices count modulo 65536).
    available: u16,
    /// Published available index.
    published: u16,
    /// Available index at the last check for a notification.
    notified: u16,
    /// Available index at the last doorbell; at most half the index range behind.
    rung: u16,
    /// Next entry of the used ring.
    used: u16,
    /// Used index as the device published it, validated.
    used_known: u16,
    failed: bool,
    counters: QueueCounters,
}

/// Whether the step of an index from `old` to `new` passes `event` (virtio 1.2, 2.7.7.2 and 2.7.10;
/// all modulo 65536).
fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

impl Queue {
    /// Allocates queue `index` and registers it with the device.
    pub fn new(
        memory: MemoryRef,
        transport: &mut dyn Transport,
        index: u16,
        options: Options,
    ) -> Result<Queue, Error> {
        let power_of_two = |size: u16| 1 << size.clamp(1, 1 << 15).ilog2();
        let (size, entries) = match transport.queue_size(index).ok_or(Error::NoQueue(index))? {
            // Modern PCI allows any size where the packed ring does; a split ring is a power of
            // two.
            QueueSize::AtMost(most) => {
                let size = power_of_two(most.min(options.max_size));
                (size, size)
            }
            QueueSize::Exactly(entries) if entries.is_power_of_two() => {
                (power_of_two(entries.min(options.max_size)), entries)
            }
            QueueSize::Exactly(_) => return Err(Error::BadQueue(index)),
        };
        if size < options.min_size {
            return Err(Error::QueueTooSmall(index));
        }
        // A chain must not be longer than the queue, tables included (2.7.5.3.1).
        let max_chain = options.max_chain.min(size);
        let table_len = if options.indirect && max_chain > 1 {
            max_chain
        } else {
            0
        };
        let ring = Ring::new(memory, entries, transport.is_legacy(), (size, table_len));
        let ring = ring.ok_or(Error::OutOfMemory)?;
        let queue = Queue {
            memory,
            index,
            size,
            max_chain,
            indirect: table_len > 0,
            event_idx: options.event_idx,
            slots: (0..size).map(Slot::free).collect(),
            unpublished: Vec::with_capacity(usize::from(size)),
            free_head: 0,
            free: size,
            in_flight: 0,
            available: 0,
            published: 0,
            notified: 0,
            rung: 0,
            used: 0,
            used_known: 0,
            failed: false,
            counters: QueueCounters::default(),
            ring,
        };
        queue.disable_interrupts();
        transport.activate_queue(index, &queue.ring.addresses())?;
        Ok(queue)
    }

    /// Registers the queue again, empty and in the same memory, after a reset of the device.
    /// Allocates nothing.
    pub(crate) fn restart(&mut self, transport: &mut dyn Transport) -> Result<(), Error> {
        let entries = self.ring.addresses().size;
        match transport.queue_size(self.index) {
            Some(QueueSize::AtMost(most)) if most >= entries => {}
            Some(QueueSize::Exactly(same)) if same == entries => {}
            _ => return Err(Error::QueueTooSmall(self.index)),
        }
        self.ring.clear();
        for (index, slot) in (0..).zip(&mut self.slots) {
            *slot = Slot::free(index);
        }
        self.unpublished.clear();
        (self.free_head, self.free, self.in_flight) = (0, self.size, 0);
        (self.available, self.published, self.notified, self.rung) = (0, 0, 0, 0);
        (self.used, self.used_known, self.failed) = (0, 0, false);
        self.disable_interrupts();
        transport.activate_queue(self.index, &self.ring.addresses())
    }

    /// Number of descriptors.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Descriptors in the longest request.
    pub fn max_chain(&self) -> u16 {
        self.max_chain
    }

    /// Number of requests that the device owns.
    pub fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Counters since the start.
    pub fn counters(&self) -> QueueCounters {
        self.counters
    }

    /// Number of buffers in the longest request that fits now.
    pub fn room(&self) -> u16 {
        if self.failed || self.free == 0 {
            0
        } else if self.indirect {
            self.max_chain
        } else {
            self.max_chain.min(self.free)
        }
    }

    /// Adds a request; the device sees it after [`publish`](Queue::publish). `buffers` isn't empty.
    /// Allocates nothing.
    ///
    /// The memory belongs to the device until [`pop`](Queue::pop) returns `token`, or the device is
    /// reset.
    pub fn add(&mut self, buffers: &[Buffer], token: u32) -> Result<(), Full> {
        let count = u16::try_from(buffers.len()).map_err(|_| Full)?;
        if count == 0 || count > self.room() {
            return Err(Full);
        }
        let head = self.free_head;
        if count > 1 && self.indirect {
            for (position, buffer) in (0..count).zip(buffers) {
                let last = position + 1 == count;
                self.ring
                    .set_table_entry(head, position, describe(buffer, position + 1, last));
            }
            let table = Descriptor {
                address: self.ring.table_phys(head),
                len: u32::from(count) * DESCRIPTOR as u32,
                flags: ring::INDIRECT,
                next: 0,
            };
            self.take_free(1);
            self.ring.set_descriptor(head, table);
        } else {
            let mut at = head;
            for (position, buffer) in (0..count).zip(buffers) {
                let next = self.slots[usize::from(at)].next;
                self.ring
                    .set_descriptor(at, describe(buffer, next, position + 1 == count));
                at = next;
            }
            self.take_free(count);
        }
        let writable = buffers.iter().filter(|b| b.device_writes);
        let writable = writable.fold(0u32, |sum, b| sum.saturating_add(b.len));
        let slot = &mut self.slots[usize::from(head)];
        slot.token = Some(token);
        slot.writable = writable;
        slot.published = false;
        self.ring.set_available(self.available, head);
        self.unpublished.push(head);
        self.available = self.available.wrapping_add(1);
        self.in_flight += 1;
        Ok(())
    }

    /// Takes `count` (≤ `free`) descriptors from the head of the free list as one chain.
    fn take_free(&mut self, count: u16) {
        let head = self.free_head;
        let mut next = head;
        for _ in 0..count {
            next = self.slots[usize::from(next)].next;
        }
        self.slots[usize::from(head)].count = count;
        self.free_head = next;
        self.free -= count;
    }

    /// Returns the chain at `head` to the free list.
    fn put_free(&mut self, head: u16) {
        let count = self.slots[usize::from(head)].count;
        let mut last = head;
        for _ in 1..count {
            last = self.slots[usize::from(last)].next;
        }
        self.slots[usize::from(last)].next = self.free_head;
        self.free_head = head;
        self.free += count;
    }

    /// Publishes the added requests. The device may start them before a doorbell.
    pub(crate) fn publish(&mut self) {
        if self.published != self.available {
            for head in self.unpublished.drain(..) {
                self.slots[usize::from(head)].published = true;
            }
            self.published = self.available;
            self.ring.set_available_index(self.available);
        }
    }

    /// Publishes, and rings the doorbell if the device requested one: one exit for any number of
    /// requests.
    ///
    /// Also rings if an earlier publication passed the device's event index without a doorbell.
    /// Some devices wait for enough buffers rather than for any: such a device requests a
    /// notification while the driver publishes more, finds the buffers too few, and waits for a
    /// doorbell that would never be due again (a network card of QEMU before 9.1 waits like this
    /// for receive buffers).
    pub fn kick(&mut self, transport: &dyn Transport) {
        const HALF: u16 = 1 << 15;
        self.publish();
        let new = self.published;
        if self.notified == new || self.failed {
            return;
        }
        self.notified = new;
        // Modulo 65536, an index passed long ago may also be a future one.
        if new.wrapping_sub(self.rung) > HALF {
            self.rung = new.wrapping_sub(HALF);
        }
        // Pairs with the device's barrier between its request for notifications and its next read
        // of the available index: either the device sees our index, or we see its request. The
        // store above is a release store, which every processor may reorder with the load below.
        // It also lets no doorbell, a write to a register, overtake what was published.
        self.memory.barrier();
        let wanted = if self.event_idx {
            passes(self.ring.available_event(), new, self.rung)
        } else {
            !self.ring.notifications_suppressed()
        };
        if wanted {
            self.counters.kicks += 1;
            self.rung = new;
            transport.notify(self.index);
        }
    }

    /// Whether the device claims a completion that [`pop`](Queue::pop) hasn't returned.
    pub fn has_used(&self) -> bool {
        !self.failed && self.ring.used_index() != self.used
    }

    /// Number of completions to pop according to the device, at most the requests in flight.
    fn used_ready(&mut self) -> Result<u16, DeviceError> {
        if self.failed {
            return Err(DeviceError);
        }
        let claimed = self.ring.used_index();
        if claimed.wrapping_sub(self.used) > self.in_flight {
            return Err(self.fail());
        }
        self.used_known = claimed;
        Ok(claimed.wrapping_sub(self.used))
    }

    /// Returns the next completed request.
    pub fn pop(&mut self) -> Result<Option<Completion>, DeviceError> {
        if self.failed {
            return Err(DeviceError);
        }
        if self.used == self.used_known && self.used_ready()? == 0 {
            return Ok(None);
        }
        let (id, len) = self.ring.used_element(self.used);
        let slot = self.slots.get_mut(id as usize);
        // A request that hasn't been published can't be complete.
        let slot = slot.filter(|slot| slot.published);
        let Some((token, writable)) = slot.and_then(|s| Some((s.token.take()?, s.writable))) else {
            return Err(self.fail());
        };
        self.used = self.used.wrapping_add(1);
        self.in_flight -= 1;
        self.put_free(id as u16);
        if len > writable {
            self.counters.long += 1;
        }
        Ok(Some(Completion {
            token,
            written: len.min(writable),
        }))
    }

    fn fail(&mut self) -> DeviceError {
        self.counters.bogus += 1;
        self.failed = true;
        DeviceError
    }

    /// Enables the interrupt of the next completion. Returns true if one is already pending: then
    /// no interrupt may follow, and the caller must pop before it waits.
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    pub fn enable_interrupts(&mut self) -> bool {
        self.enable_interrupts_after(0)
    }

    /// As [`enable_interrupts`](Queue::enable_interrupts), but the device may delay the interrupt
    /// until `more` further completions (fewer than are in flight, or it never arrives). A device
    /// without `VIRTIO_F_EVENT_IDX` interrupts at the first.
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    pub(crate) fn enable_interrupts_after(&mut self, more: u16) -> bool {
        if self.event_idx {
            self.ring.set_used_event(self.used.wrapping_add(more));
        } else {
            self.ring.suppress_interrupts(false);
        }
        // Pairs with the device's barrier between its write of the used index and its read of the
        // event index: either the device sees our request, or we see its index. Neither acquire nor
        // release orders a store before a later load.
        self.memory.barrier();
        self.ring.used_index().wrapping_sub(self.used) > more && !self.failed
    }

    /// Disables interrupts; some may still arrive.
    pub fn disable_interrupts(&self) {
        if self.event_idx {
            // The device interrupts when the used index passes this one: set it as far ahead as
            // possible.
            self.ring.set_used_event(self.used.wrapping_sub(1));
        } else {
            self.ring.suppress_interrupts(true);
        }
    }

    /// Marks the queue failed: from then on it accepts and returns nothing.
    pub(crate) fn mark_failed(&mut self) {
        self.failed = true;
    }

    /// Leaks the queue's memory, because a device whose reset failed may still write to it.
    pub(crate) fn leak(&mut self) {
        self.ring.leak();
    }
}

fn describe(buffer: &Buffer, next: u16, last: bool) -> Descriptor {
    let flags = if buffer.device_writes { ring::WRITE } else { 0 };
    let (flags, next) = if last {
        (flags, 0)
    } else {
        (flags | ring::NEXT, next)
    };
    Descriptor {
        address: buffer.phys,
        len: buffer.len,
        flags,
        next,
    }
}

#[cfg(test)]
mod tests;

//! A split virtqueue (virtio 1.2, 2.7) that doesn't believe its device.
//!
//! The driver keeps its own account of what is outstanding. A completion is only passed on when its
//! id is one that was given out and hasn't come back; its length is clamped to what was given.
//! Anything else marks the queue failed: it answers every further call with an error, and nothing
//! of what the device says is ever used as an index.

use alloc::vec::Vec;

use crate::transport::Transport;
use crate::{Error, MemoryRef};

mod ring;
use ring::{DESCRIPTOR, Descriptor, Ring};

/// One piece of memory in a request, as the device sees it.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Physical address.
    pub phys: u64,
    /// Bytes.
    pub len: u32,
    /// The device writes it (else it reads it). Buffers that it reads come first (virtio 1.2,
    /// 2.7.4.2).
    pub device_writes: bool,
}

/// A request that the device has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The token that [`Queue::add`] was given.
    pub token: u32,
    /// Bytes that the device says it wrote, at most what it was given to write. They begin at the
    /// start of the writable buffers.
    pub written: u32,
}

/// A request doesn't fit now: too few free descriptors (or, for a request longer than the queue can
/// ever take, too few descriptors at all).
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
pub(crate) struct Options {
    /// At most this many descriptors; the device's maximum where it has less. Rounded down to a
    /// power of two.
    pub max_size: u16,
    /// At least this many.
    pub min_size: u16,
    /// Longest request in descriptors; with `indirect`, requests of 2 or more take only one of the
    /// ring's descriptors.
    pub max_chain: u16,
    /// `VIRTIO_F_INDIRECT_DESC` is agreed upon.
    pub indirect: bool,
    /// `VIRTIO_F_EVENT_IDX` is agreed upon.
    pub event_idx: bool,
}

/// The driver's own record of a descriptor, out of the device's reach.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The request that begins here, while it is in the device's hands.
    token: Option<u32>,
    /// Bytes that the device may write.
    writable: u32,
    /// The device has been shown the request.
    published: bool,
    /// The rest of the chain, or the rest of the free list.
    next: u16,
    /// Descriptors in the chain that begins here.
    count: u16,
}

/// Violations of the protocol, and other events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Doorbells rung.
    pub kicks: u64,
    /// Lengths that were more than the buffer (clamped).
    pub long: u64,
    /// Completions of what was never given, or given back before, and impossible used indices.
    pub bogus: u64,
}

/// A virtqueue.
pub struct Queue {
    memory: MemoryRef,
    ring: Ring,
    index: u16,
    size: u16,
    max_chain: u16,
    indirect: bool,
    event_idx: bool,
    slots: Vec<Slot>,
    /// Heads added since the last publication; has room for all there are.
    unpublished: Vec<u16>,
    free_head: u16,
    free: u16,
    /// Requests in the device's hands.
    in_flight: u16,
    /// Next entry of the available ring (all indices count modulo 65536).
    available: u16,
    /// As far as the device has been told by the ring.
    published: u16,
    /// As far as it has been asked whether it wants a doorbell.
    notified: u16,
    /// As far as it had been told when the doorbell was last rung; at most half the indices behind.
    rung: u16,
    /// Next entry of the used ring.
    used: u16,
    /// As far as the device said that the used ring is filled, checked.
    used_known: u16,
    failed: bool,
    counters: QueueCounters,
}

/// True when moving an index from `old` to `new` passes `event` (virtio 1.2, 2.7.7.2 and 2.7.10;
/// all modulo 65536).
fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

impl Queue {
    /// Allocates queue `index` and hands it to the device.
    pub(crate) fn new(
        memory: MemoryRef,
        transport: &mut dyn Transport,
        index: u16,
        options: Options,
    ) -> Result<Queue, Error> {
        let offered = transport.max_queue_size(index);
        if offered == 0 {
            return Err(Error::NoQueue(index));
        }
        // Modern PCI allows any size where the packed ring does; a split ring is a power of two.
        let size = 1 << offered.min(options.max_size).clamp(1, 1 << 15).ilog2();
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
        let ring = Ring::new(memory, size, transport.is_legacy(), table_len);
        let ring = ring.ok_or(Error::OutOfMemory)?;
        let slot = |i| Slot {
            token: None,
            writable: 0,
            published: false,
            next: i + 1,
            count: 0,
        };
        let queue = Queue {
            memory,
            index,
            size,
            max_chain,
            indirect: table_len > 0,
            event_idx: options.event_idx,
            slots: (0..size).map(slot).collect(),
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

    /// Number of descriptors.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Descriptors in the longest request.
    pub fn max_chain(&self) -> u16 {
        self.max_chain
    }

    /// Requests in the device's hands.
    pub fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Counters since the start.
    pub fn counters(&self) -> QueueCounters {
        self.counters
    }

    /// Buffers in the longest request that fits now.
    pub fn room(&self) -> u16 {
        if self.failed || self.free == 0 {
            0
        } else if self.indirect {
            self.max_chain
        } else {
            self.max_chain.min(self.free)
        }
    }

    /// Puts a request in the queue; the device sees it after [`publish`](Queue::publish). `buffers`
    /// isn't empty. No heap is used.
    ///
    /// The memory belongs to the device until [`pop`](Queue::pop) returns `token`, or the device is
    /// reset.
    pub(crate) fn add(&mut self, buffers: &[Buffer], token: u32) -> Result<(), Full> {
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

    /// Gives the chain at `head` back to the free list.
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

    /// Lets the device see what was added. It may start before a doorbell, if it happens to look.
    pub(crate) fn publish(&mut self) {
        if self.published != self.available {
            for head in self.unpublished.drain(..) {
                self.slots[usize::from(head)].published = true;
            }
            self.published = self.available;
            self.ring.set_available_index(self.available);
        }
    }

    /// Publishes, and rings the doorbell if the device asked for one: one exit for any number of
    /// requests.
    ///
    /// Also rings when an earlier publication passed the index that the device wants to hear of,
    /// and the doorbell wasn't rung since. Some devices wait until there is enough rather than
    /// something: one that asks while more is published may see that, find it too little and wait
    /// for a doorbell that would never be due again (a network card of QEMU before 9.1 so waits for
    /// receive buffers).
    pub(crate) fn kick(&mut self, transport: &dyn Transport) {
        const HALF: u16 = 1 << 15;
        self.publish();
        let new = self.published;
        if self.notified == new || self.failed {
            return;
        }
        self.notified = new;
        // An index that was passed so long ago may be one that is still to come.
        if new.wrapping_sub(self.rung) > HALF {
            self.rung = new.wrapping_sub(HALF);
        }
        // Pairs with the device's barrier between asking for notifications and looking at the
        // available index again: either it sees our index, or we see that it asks. The store above
        // is a release store, which x86 lets the load below overtake.
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

    /// True when the device has finished something that [`pop`](Queue::pop) hasn't returned (also
    /// when it only says so).
    pub fn has_used(&self) -> bool {
        !self.failed && self.ring.used_index() != self.used
    }

    /// Number of completions to pop, as the device says, and no more than are in
    /// flight.
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

    /// Returns the next finished request.
    pub(crate) fn pop(&mut self) -> Result<Option<Completion>, DeviceError> {
        if self.failed {
            return Err(DeviceError);
        }
        if self.used == self.used_known && self.used_ready()? == 0 {
            return Ok(None);
        }
        let (id, len) = self.ring.used_element(self.used);
        let slot = self.slots.get_mut(id as usize);
        // A request that the device hasn't been shown can't be complete.
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

    /// Asks for an interrupt at the next completion. True when one is there already: then no
    /// interrupt may come for it, and the caller has to pop before it waits.
    #[must_use = "a completion that is there already may not interrupt"]
    pub(crate) fn enable_interrupts(&mut self) -> bool {
        self.enable_interrupts_after(0)
    }

    /// As [`enable_interrupts`](Queue::enable_interrupts), but the interrupt may be put off until
    /// `more` further completions are there (fewer than are in flight, or it never comes). A device
    /// without `VIRTIO_F_EVENT_IDX` interrupts at the first.
    #[must_use = "a completion that is there already may not interrupt"]
    pub(crate) fn enable_interrupts_after(&mut self, more: u16) -> bool {
        if self.event_idx {
            self.ring.set_used_event(self.used.wrapping_add(more));
        } else {
            self.ring.suppress_interrupts(false);
        }
        // Pairs with the device's barrier between writing the used index and reading our wish:
        // either it sees the wish, or we see the index.
        self.memory.barrier();
        self.ring.used_index().wrapping_sub(self.used) > more && !self.failed
    }

    /// Asks for no interrupts; some may still come.
    pub(crate) fn disable_interrupts(&self) {
        if self.event_idx {
            // The device interrupts when the used index passes this one: as far away as can be.
            self.ring.set_used_event(self.used.wrapping_sub(1));
        } else {
            self.ring.suppress_interrupts(true);
        }
    }

    /// Gives up on the device: nothing is added or returned any more.
    pub(crate) fn mark_failed(&mut self) {
        self.failed = true;
    }

    /// Keeps the queue's memory for good: the device doesn't reset and may still write to it.
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

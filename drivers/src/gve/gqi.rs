//! GQI: rings of descriptors that the device completes in order; big endian. Addresses are offsets
//! in a list of pages that the device got before.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use sync::atomic::{Ordering, fence};

use super::frames::{BUFFER, Frames, Part};
use super::queues::{Checksum, Frame, Queues, Rings, Sending};
use super::registers;
use super::registers::Words;
use super::shared::{Queue, Shared};
use super::slots::{Slot, Slots};
use crate::net::{GsoKind, TxMeta};
use crate::queue::DeviceError;
use crate::registers::Registers;
use crate::{Error, MemoryRef};

/// Bytes of descriptors: transmit, receive, and of a slot for a receive buffer.
const TRANSMIT: usize = 16;
const RECEIVE: usize = 64;
const DATA: usize = 8;
/// Offsets in a receive descriptor.
const SUM_AT: usize = 56;
const LEN_AT: usize = 60;
/// Bytes before a received frame, in its first buffer.
const PAD: usize = 2;

/// Descriptors of a frame: the packet, and a segment.
const MAX_DESCRIPTORS: u32 = 2;
/// Types of transmit descriptors, and flags.
const TYPE_STANDARD: u32 = 0 << 28;
const TYPE_TSO: u32 = 1 << 28;
const TYPE_SEGMENT: u32 = 2 << 28;
const HAS_CHECKSUM: u32 = 1 << 24;
const IS_IPV6: u32 = 1 << 25;

/// Flags of a receive descriptor, and the sequence number, 1 to 7.
const ERROR: u32 = 1 << 11;
const CONTINUES: u32 = 1 << 13;
const SEQUENCE: u32 = 7;

/// Values of interrupt doorbells.
const IRQ_ACK: u32 = 1 << 31;
const IRQ_MASK: u32 = 1 << 30;
const IRQ_EVENT: u32 = 1 << 29;

/// A frame in flight: its slot, and the count of descriptors after it.
#[derive(Clone, Copy)]
struct Sent {
    slot: Slot,
    end: u32,
}

pub struct Gqi {
    shared: Shared,
    transmit: Words,
    entries: u32,
    /// Number of all descriptors written, announced by the doorbell, and completed.
    written: u32,
    told: u32,
    done: u32,
    /// Frames in flight, the oldest first.
    sent: VecDeque<Sent>,
    receive: Words,
    data: Words,
    receive_entries: u32,
    buffers: u16,
    /// Number of all receive descriptors taken, of buffers returned, and of buffers announced by
    /// the doorbell.
    taken: u32,
    filled: u32,
    announced: u32,
    /// The sequence number of the next descriptor.
    sequence: u32,
    /// The sum of the frame that is being collected, and whether the device found an error in it.
    sum: u16,
    is_bad: bool,
}

impl Gqi {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(
        memory: MemoryRef,
        shared: Shared,
        entries: (u16, u16),
        frames: &Frames,
        slots: &Slots,
    ) -> Result<Gqi, Error> {
        let (transmit, receive) = (usize::from(entries.0), usize::from(entries.1));
        let queues = Gqi {
            shared,
            transmit: Words::new(memory, transmit * TRANSMIT)?,
            entries: u32::from(entries.0),
            written: 0,
            told: 0,
            done: 0,
            sent: VecDeque::with_capacity(usize::from(slots.count())),
            receive: Words::new(memory, receive * RECEIVE)?,
            data: Words::new(memory, receive * DATA)?,
            receive_entries: u32::from(entries.1),
            buffers: frames.count(),
            taken: 0,
            filled: u32::from(frames.count()),
            announced: 0,
            sequence: 1,
            sum: 0,
            is_bad: false,
        };
        for entry in 0..receive {
            // The ring is a multiple of the buffers, so each entry has the same buffer each round.
            let offset = entry % usize::from(queues.buffers) * BUFFER;
            queues.data.set_be(entry * DATA + 4, offset as u32);
        }
        Ok(queues)
    }

    fn write(&mut self, words: [u32; 4]) {
        let at = (self.written % self.entries) as usize * TRANSMIT;
        self.transmit.set_all_be(at, &words);
        self.written = self.written.wrapping_add(1);
    }

    /// The device's count of completed transmit descriptors.
    fn count(&self) -> u32 {
        self.shared.counter()
    }

    fn next(&self) -> usize {
        (self.taken % self.receive_entries) as usize * RECEIVE
    }
}

impl Queues for Gqi {
    fn shared(&mut self) -> &mut Shared {
        &mut self.shared
    }

    fn rings(&self) -> Rings {
        Rings {
            transmit: self.transmit.halves(0),
            transmit_completions: [0; 2],
            receive: self.receive.halves(0),
            buffers: self.data.halves(0),
        }
    }

    fn lengths(&self) -> core::ops::RangeInclusive<usize> {
        // The length has 16 bits.
        17..=65535
    }

    fn prepare(&self, frame: &mut [u8], meta: &TxMeta) -> bool {
        // Offsets are numbers of 16-bit words in 8 bits.
        let fits = |offset: u16| offset.is_multiple_of(2) && offset < 512;
        let checksum = meta
            .checksum
            .is_none_or(|sum| fits(sum.start) && fits(sum.offset));
        // The device computes the sum of the pseudo-header of each segment.
        checksum
            && meta
                .gso
                .is_none_or(|gso| usize::from(gso.headers) < frame.len())
    }

    fn has_room(&self) -> bool {
        self.written.wrapping_sub(self.done) + MAX_DESCRIPTORS <= self.entries
    }

    fn queue(&mut self, frame: Sending) {
        let Sending {
            slot,
            offset,
            len,
            meta,
            ..
        } = frame;
        let segments = meta.gso.map(|gso| (gso, usize::from(gso.headers)));
        let first = segments.map_or(len, |(_, headers)| headers);
        let mut head = match segments {
            Some(_) => TYPE_TSO | 2,
            None => TYPE_STANDARD | 1,
        };
        if let Some(sum) = meta.checksum {
            head |= HAS_CHECKSUM | u32::from(sum.offset / 2) << 16 | u32::from(sum.start / 2) << 8;
        }
        // Offsets are smaller than the slots' memory, far below 4 GiB.
        self.write([head, (len as u32) << 16 | first as u32, 0, offset as u32]);
        if let Some((gso, headers)) = segments {
            let version = match gso.kind {
                GsoKind::Tcp4 => 0,
                GsoKind::Tcp6 => IS_IPV6,
            };
            // The IP header begins after the Ethernet header, at 7 words.
            let head = TYPE_SEGMENT | version | 7 << 16;
            let rest = (len - headers) as u32;
            let offset = (offset + headers) as u32;
            self.write([head, u32::from(gso.segment) << 16 | rest, 0, offset]);
        }
        let end = self.written;
        self.sent.push_back(Sent { slot, end });
    }

    fn ring_transmit(&mut self, doorbells: &dyn Registers) {
        if self.told != self.written {
            self.told = self.written;
            fence(Ordering::Release);
            registers::write(doorbells, self.shared.transmit, self.written);
        }
    }

    fn reclaim(&mut self, slots: &mut Slots) -> Result<bool, DeviceError> {
        let count = self.count();
        let fresh = count.wrapping_sub(self.done);
        if fresh > self.told.wrapping_sub(self.done) {
            return Err(DeviceError);
        }
        self.done = count;
        let mut any = false;
        while let Some(oldest) = self.sent.front()
            && self.written.wrapping_sub(oldest.end) >= self.written.wrapping_sub(count)
        {
            slots.give_back(oldest.slot);
            self.sent.pop_front();
            any = true;
        }
        Ok(any)
    }

    fn has_sent(&self) -> bool {
        self.count() != self.done
    }

    fn in_flight(&self) -> usize {
        self.sent.len()
    }

    fn collect(&mut self, parts: &mut Vec<Part>) -> Result<Option<Frame>, DeviceError> {
        while self.has_received() {
            let word = self.receive.get_be(self.next() + LEN_AT);
            fence(Ordering::Acquire);
            let mut offset = 0;
            if parts.is_empty() {
                offset = PAD;
                self.sum = self.receive.get_be(self.next() + SUM_AT) as u16;
                self.is_bad = false;
            }
            let len = (word >> 16) as usize;
            // The buffers of a frame that isn't whole are not the device's any more.
            if len <= offset || len > BUFFER || parts.len() >= usize::from(self.buffers) {
                return Err(DeviceError);
            }
            parts.push(Part {
                buffer: (self.taken % u32::from(self.buffers)) as u16,
                offset,
                len: len - offset,
            });
            self.taken = self.taken.wrapping_add(1);
            self.sequence = self.sequence % SEQUENCE + 1;
            self.is_bad |= word & ERROR != 0;
            if word & CONTINUES == 0 {
                return Ok(Some(match (self.is_bad, self.sum) {
                    (true, _) => Frame::Bad,
                    // No frame with an IP header has this sum.
                    (false, 0) => Frame::Valid(Checksum::Unknown),
                    (false, sum) => Frame::Valid(Checksum::Sum(sum)),
                }));
            }
        }
        Ok(None)
    }

    fn has_received(&self) -> bool {
        self.receive.get_be(self.next() + LEN_AT) & SEQUENCE == self.sequence
    }

    fn give_back(&mut self, parts: &[Part]) {
        self.filled = self.filled.wrapping_add(parts.len() as u32);
    }

    fn ring_receive(&mut self, doorbells: &dyn Registers) {
        if self.announced != self.filled {
            self.announced = self.filled;
            fence(Ordering::Release);
            registers::write(doorbells, self.shared.receive, self.filled);
        }
    }

    fn enable_interrupt(&self, queue: Queue, doorbells: &dyn Registers) {
        registers::write(doorbells, self.shared.interrupt(queue), IRQ_ACK | IRQ_EVENT);
    }

    fn disable_interrupt(&self, queue: Queue, doorbells: &dyn Registers) {
        registers::write(doorbells, self.shared.interrupt(queue), IRQ_MASK);
    }

    fn leak(&mut self) {
        self.shared.leak();
        self.transmit.0.leak();
        self.receive.0.leak();
        self.data.0.leak();
    }
}

//! DQO: rings of descriptors with rings of completions, which come in any order; little endian.
//! Addresses are physical ones.

use alloc::vec;
use alloc::vec::Vec;
use sync::atomic::{Ordering, fence};

use super::checksum::remove_length;
use super::frames::{BUFFER, Frames, Part};
use super::queues::{Checksum, Frame, Queues, Rings, Sending};
use super::registers::Words;
use super::shared::{Queue, Shared};
use super::slots::{Slot, Slots};
use crate::net::{MAX_FRAME, TxMeta};
use crate::queue::DeviceError;
use crate::registers::Registers;
use crate::{Error, MemoryRef, Region};

/// Bytes of transmit descriptors and completions, receive completions, and receive buffers.
const TRANSMIT: usize = 16;
const TRANSMIT_COMPLETION: usize = 8;
const RECEIVE: usize = 32;

/// Types of transmit descriptors, in their third word, and flags.
const TYPE_CONTEXT: u32 = 0x4;
const TYPE_TSO: u32 = 0x5 | 1 << 5;
const TYPE_PACKET: u32 = 0xc;
const IS_LAST: u32 = 1 << 5;
const HAS_CHECKSUM: u32 = 1 << 6;
const REPORTS: u32 = 1 << 7;
/// Minimum distance of descriptors whose fetching the device reports.
const REPORT_INTERVAL: u32 = 32;
/// Maximum bytes of a transmit descriptor.
const MAX_BYTES: usize = (1 << 14) - 1;
/// Maximum descriptors of a frame: segmentation, context, data.
const MAX_DESCRIPTORS: u32 = 2 + MAX_FRAME.div_ceil(MAX_BYTES) as u32;
/// Descriptors that stay unused between the last and the first, as Linux has it.
const GAP: u32 = 4;

/// Limits of segmentation.
const MIN_SEGMENT: u16 = 88;
const MAX_HEADERS: u16 = 255;

/// Types of transmit completions.
const COMPLETION_MISS: u32 = 1;
const COMPLETION_PACKET: u32 = 2;
const COMPLETION_REINJECTION: u32 = 3;
const COMPLETION_DESCRIPTORS: u32 = 4;
/// In a packet's tag: it is a miss.
const IS_MISS: u32 = 1 << 15;
const QUEUE_ID: u32 = 0x7ff;
const TRANSMIT_GENERATION: u32 = 1 << 15;

/// Bits of a receive completion: of its first word,
const IPV6_EXTENDED: u32 = 1 << 9;
const RECEIVE_ERROR: u32 = 1 << 10;
const TYPE_SHIFT: u32 = 16;
/// of the second one,
const LEN: u32 = 0x3fff;
const RECEIVE_GENERATION: u32 = 1 << 14;
/// (header bytes, segments that were joined, split header)
const UNWANTED: u32 = 0xfff << 16;
/// and of the third one.
const IS_END: u32 = 1 << 1;
const IS_PROCESSED: u32 = 1 << 3;
const IP_ERROR: u32 = 1 << 4 | 1 << 6;
const CONTENT_ERROR: u32 = 1 << 5;

/// Number of types of packets.
pub const TYPES: usize = 1 << 10;
/// Numbers of protocols in the table of types.
const IPV4: u8 = 2;
const IPV6: u8 = 3;
const TCP: u8 = 2;
const UDP: u8 = 3;

/// The driver announces receive buffers in multiples of this number; the device needs 8.
const BATCH: u32 = 32;

/// Value of an interrupt doorbell: enable, without an interval. The device disables the interrupt
/// when it occurs.
const IRQ_ENABLE: u32 = 1;

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// In flight, with the count of descriptors after its own.
    Sent {
        end: u32,
    },
    /// In flight, on another way: the device will report that it's sent.
    Missed {
        end: u32,
    },
}

pub struct Dqo {
    shared: Shared,
    transmit: Words,
    transmit_completions: Words,
    entries: u32,
    /// Number of all descriptors written, announced by the doorbell, and fetched by the device.
    written: u32,
    told: u32,
    fetched: u32,
    /// The last descriptor whose fetching is reported.
    reported: u32,
    /// Number of all completions taken.
    completed: u32,
    /// The states of slots: the numbers of slots are the tags of completions.
    states: Vec<State>,
    in_flight: usize,
    receive: Words,
    buffers: Words,
    receive_entries: u32,
    pool: u64,
    /// The place of each buffer among all that were returned, if the driver doesn't use it.
    given: Vec<Option<u32>>,
    /// Number of all receive completions taken, of buffers returned, and of buffers announced by
    /// the doorbell.
    taken: u32,
    filled: u32,
    announced: u32,
    /// Protocols of each type of packet: layer 3 in bits 0 to 3, layer 4 in 4 to 7.
    types: Vec<u8>,
    /// The device found an error in the frame that is being collected.
    is_bad: bool,
}

/// Whether the generation bit of entry `count` of all is set when the entry is new.
fn generation(count: u32, entries: u32) -> bool {
    (count / entries).is_multiple_of(2)
}

impl Dqo {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(
        memory: MemoryRef,
        shared: Shared,
        entries: (u16, u16),
        frames: &Frames,
        slots: &Slots,
    ) -> Result<Dqo, Error> {
        let (transmit, receive) = (usize::from(entries.0), usize::from(entries.1));
        let pool: &Region = frames.region();
        let mut queues = Dqo {
            shared,
            transmit: Words::new(memory, transmit * TRANSMIT)?,
            transmit_completions: Words::new(memory, transmit * TRANSMIT_COMPLETION)?,
            entries: u32::from(entries.0),
            written: 0,
            told: 0,
            fetched: 0,
            reported: 0,
            completed: 0,
            states: vec![State::Idle; usize::from(slots.count())],
            in_flight: 0,
            receive: Words::new(memory, receive * RECEIVE)?,
            buffers: Words::new(memory, receive * RECEIVE)?,
            receive_entries: u32::from(entries.1),
            pool: pool.phys(0),
            given: vec![None; usize::from(frames.count())],
            taken: 0,
            filled: 0,
            announced: 0,
            types: Vec::new(),
            is_bad: false,
        };
        for buffer in 0..frames.count() {
            queues.give(buffer);
        }
        Ok(queues)
    }

    /// Adds a buffer to the ring of buffers. It fits: the ring has more entries.
    fn give(&mut self, buffer: u16) {
        let at = (self.filled % self.receive_entries) as usize * RECEIVE;
        let phys = self.pool + u64::from(buffer) * BUFFER as u64;
        self.buffers.set(at, u32::from(buffer));
        self.buffers.set(at + 8, phys as u32);
        self.buffers.set(at + 12, (phys >> 32) as u32);
        self.given[usize::from(buffer)] = Some(self.filled);
        self.filled = self.filled.wrapping_add(1);
    }

    fn write(&mut self, words: [u32; 4]) {
        let at = (self.written % self.entries) as usize * TRANSMIT;
        for (index, word) in words.into_iter().enumerate() {
            self.transmit.set(at + index * 4, word);
        }
        self.written = self.written.wrapping_add(1);
    }

    /// The next transmit completion, if it is new.
    fn completion(&self) -> Option<u32> {
        let at = (self.completed % self.entries) as usize * TRANSMIT_COMPLETION;
        let word = self.transmit_completions.get(at);
        let is_new = (word & TRANSMIT_GENERATION != 0) == generation(self.completed, self.entries);
        is_new.then_some(word)
    }

    /// Takes a completion; returns the slot that it ends the use of.
    fn complete(&mut self, word: u32) -> Result<Option<Slot>, DeviceError> {
        let kind = word >> 11 & 7;
        if word & QUEUE_ID != 0 {
            return Err(DeviceError);
        }
        let tag = word >> 16;
        if kind == COMPLETION_DESCRIPTORS {
            // The place after the last descriptor fetched.
            let fresh = tag.wrapping_sub(self.fetched) % self.entries;
            if tag >= self.entries || fresh > self.told.wrapping_sub(self.fetched) {
                return Err(DeviceError);
            }
            self.fetched = self.fetched.wrapping_add(fresh);
            return Ok(None);
        }
        let is_miss = match kind {
            COMPLETION_MISS => true,
            COMPLETION_PACKET => tag & IS_MISS != 0,
            COMPLETION_REINJECTION => false,
            _ => return Err(DeviceError),
        };
        let tag = (tag & !IS_MISS) as usize;
        let state = self.states.get_mut(tag).ok_or(DeviceError)?;
        let end = match (*state, is_miss, kind) {
            (State::Sent { end }, true, _) => {
                *state = State::Missed { end };
                return Ok(None);
            }
            (State::Sent { end }, false, COMPLETION_PACKET) => end,
            (State::Missed { end }, false, COMPLETION_REINJECTION) => end,
            _ => return Err(DeviceError),
        };
        // A frame that the doorbell hasn't announced isn't in flight.
        if self.written.wrapping_sub(end) < self.written.wrapping_sub(self.told) {
            return Err(DeviceError);
        }
        *state = State::Idle;
        self.in_flight -= 1;
        Ok(Some(Slot::from_tag(tag as u16)))
    }

    /// Offset of the next receive completion.
    fn next(&self) -> usize {
        (self.taken % self.receive_entries) as usize * RECEIVE
    }

    /// The state of a frame's checksum, from the completion of the frame's end.
    fn checksum(&self, first: u32, third: u32) -> Checksum {
        let kind = (first >> TYPE_SHIFT) as usize % TYPES;
        let kind = self.types.get(kind).copied().unwrap_or(0);
        let is_ip_valid = match kind & 0xf {
            IPV4 => third & IP_ERROR == 0,
            IPV6 => first & IPV6_EXTENDED == 0,
            _ => false,
        };
        let is_valid = third & IS_PROCESSED != 0 && third & CONTENT_ERROR == 0 && is_ip_valid;
        match kind >> 4 {
            TCP | UDP if is_valid => Checksum::Valid,
            _ => Checksum::Unknown,
        }
    }
}

impl Queues for Dqo {
    fn shared(&mut self) -> &mut Shared {
        &mut self.shared
    }

    fn rings(&self) -> Rings {
        Rings {
            transmit: self.transmit.halves(0),
            transmit_completions: self.transmit_completions.halves(0),
            receive: self.receive.halves(0),
            buffers: self.buffers.halves(0),
        }
    }

    fn set_types(&mut self, words: &Words) {
        // Pairs of bytes: layer 3, layer 4.
        let pair = |at: usize| words.get(at / 2 * 4) >> (at % 2 * 16);
        let packed = |pair: u32| (pair & 0xf | (pair >> 8 & 0xf) << 4) as u8;
        self.types = (0..TYPES).map(|at| packed(pair(at))).collect();
    }

    fn lengths(&self) -> core::ops::RangeInclusive<usize> {
        17..=MAX_FRAME
    }

    fn prepare(&self, frame: &mut [u8], meta: &TxMeta) -> bool {
        // The device finds the headers of a frame whose checksum it computes.
        let (Some(gso), Some(checksum)) = (meta.gso, meta.checksum) else {
            return true;
        };
        gso.segment >= MIN_SEGMENT && gso.headers <= MAX_HEADERS && remove_length(frame, checksum)
    }

    fn has_room(&self) -> bool {
        self.written.wrapping_sub(self.fetched) + MAX_DESCRIPTORS + GAP < self.entries
    }

    fn queue(&mut self, frame: Sending) {
        let Sending {
            slot,
            phys,
            len,
            meta,
            ..
        } = frame;
        if let Some(gso) = meta.gso {
            let total = len.saturating_sub(usize::from(gso.headers)) as u32;
            let sizes = u32::from(gso.segment) & 0x3fff | u32::from(gso.headers) << 16;
            self.write([total, sizes, TYPE_TSO, 0]);
        }
        self.write([0, 0, TYPE_CONTEXT, 0]);
        let tag = u32::from(slot.tag());
        let flags = match meta.checksum {
            Some(_) => TYPE_PACKET | HAS_CHECKSUM,
            None => TYPE_PACKET,
        };
        let mut at = 0;
        while at < len {
            let bytes = (len - at).min(MAX_BYTES);
            let mut last = 0;
            if at + bytes == len {
                last = IS_LAST;
                if self.written.wrapping_sub(self.reported) >= REPORT_INTERVAL {
                    last |= REPORTS;
                    self.reported = self.written;
                }
            }
            let phys = phys + at as u64;
            let size = (bytes as u32) << 16;
            self.write([phys as u32, (phys >> 32) as u32, flags | last, tag | size]);
            at += bytes;
        }
        let end = self.written;
        if let Some(state) = self.states.get_mut(usize::from(slot.tag())) {
            *state = State::Sent { end };
            self.in_flight += 1;
        }
    }

    fn ring_transmit(&mut self, doorbells: &dyn Registers) {
        if self.told != self.written {
            self.told = self.written;
            fence(Ordering::Release);
            doorbells.write(self.shared.transmit, self.written % self.entries);
        }
    }

    fn reclaim(&mut self, slots: &mut Slots) -> Result<bool, DeviceError> {
        let mut any = false;
        // A device can't prolong this beyond a round of the ring.
        for _ in 0..self.entries {
            let Some(word) = self.completion() else { break };
            fence(Ordering::Acquire);
            self.completed = self.completed.wrapping_add(1);
            any = true;
            if let Some(slot) = self.complete(word)? {
                slots.give_back(slot);
            }
        }
        Ok(any)
    }

    fn has_sent(&self) -> bool {
        self.completion().is_some()
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn collect(&mut self, parts: &mut Vec<Part>) -> Result<Option<Frame>, DeviceError> {
        while self.has_received() {
            fence(Ordering::Acquire);
            let word = |index: usize| self.receive.get(self.next() + index * 4);
            let [first, second, third, fourth] = [word(0), word(1), word(2), word(3)];
            let (buffer, len) = (fourth as u16, (second & LEN) as usize);
            let given = self.given.get_mut(usize::from(buffer)).ok_or(DeviceError)?;
            let place = given.ok_or(DeviceError)?;
            let is_known =
                self.filled.wrapping_sub(place) > self.filled.wrapping_sub(self.announced);
            // The driver gives no buffers for headers, and asks for no joining of segments.
            if !is_known || len == 0 || len > BUFFER || second & UNWANTED != 0 {
                return Err(DeviceError);
            }
            *given = None;
            if parts.is_empty() {
                self.is_bad = false;
            }
            self.is_bad |= first & RECEIVE_ERROR != 0;
            parts.push(Part {
                buffer,
                offset: 0,
                len,
            });
            self.taken = self.taken.wrapping_add(1);
            if third & IS_END != 0 {
                return Ok(Some(match self.is_bad {
                    true => Frame::Bad,
                    false => Frame::Valid(self.checksum(first, third)),
                }));
            }
            if parts.len() == self.given.len() {
                // The device has no buffer left for the rest.
                return Err(DeviceError);
            }
        }
        Ok(None)
    }

    fn has_received(&self) -> bool {
        let word = self.receive.get(self.next() + 4);
        (word & RECEIVE_GENERATION != 0) == generation(self.taken, self.receive_entries)
    }

    fn give_back(&mut self, parts: &[Part]) {
        for part in parts {
            self.give(part.buffer);
        }
    }

    fn ring_receive(&mut self, doorbells: &dyn Registers) {
        let whole = self.filled - self.filled % BATCH;
        if self.announced != whole {
            self.announced = whole;
            fence(Ordering::Release);
            doorbells.write(self.shared.receive, whole % self.receive_entries);
        }
    }

    fn enable_interrupt(&self, queue: Queue, doorbells: &dyn Registers) {
        doorbells.write(self.shared.interrupt(queue), IRQ_ENABLE);
    }

    fn disable_interrupt(&self, _: Queue, _: &dyn Registers) {}

    fn leak(&mut self) {
        self.shared.leak();
        self.transmit.0.leak();
        self.transmit_completions.0.leak();
        self.receive.0.leak();
        self.buffers.0.leak();
    }
}

#[cfg(test)]
mod tests {
    use super::generation;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn generations_flip_at_each_round(log in 1..13u32, count: u32) {
            let entries = 1 << log;
            let flips = generation(count, entries) != generation(count.wrapping_add(1), entries);
            prop_assert_eq!(flips, count.wrapping_add(1) % entries == 0);
            prop_assert!(generation(0, entries));
        }
    }
}

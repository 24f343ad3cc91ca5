//! Receive: one contiguous pool of buffers, given to the device in address order. A frame in
//! several buffers is usually contiguous in memory; the driver copies it otherwise.

use alloc::vec;
use alloc::vec::Vec;
use sync::atomic::{Ordering, fence};

use super::admin::{Admin, CompletionIds, Direction, Place, SubmissionIds};
use super::features::{DESCRIPTOR, Features};
use super::position::Position;
use super::registers::{Access, UNMASK};
use super::words::Words;
use crate::net::{ETHERNET, NetConfig, NetCounters, RxChecksum, RxMeta};
use crate::queue::DeviceError;
use crate::{Error, MemoryRef, Region};

/// Bytes of a completion.
const COMPLETION: usize = 16;
/// Number of returned buffers after which the driver gives them to the device although more frames
/// are pending.
const REFILL_BATCH: u16 = 32;
/// Smallest buffer.
const MIN_BUFFER: usize = 2048;

/// Bits of a descriptor's first word, beside the length: phase; a transaction of its own with a
/// completion.
const PHASE: u32 = 1 << 24;
const WHOLE: u32 = 0b1_1100 << 24;

/// Bits of a completion's first word.
const L3: u32 = 0x1f;
const IPV4: u32 = 8;
const L3_ERROR: u32 = 1 << 13;
const L4_ERROR: u32 = 1 << 14;
const FRAGMENT: u32 = 1 << 15;
const L4_CHECKED: u32 = 1 << 16;
const FIRST: u32 = 1 << 26;
const LAST: u32 = 1 << 27;

/// A buffer of the current frame: its bytes.
#[derive(Clone, Copy)]
struct Part {
    buffer: usize,
    start: usize,
    len: usize,
}

pub(super) struct Receiver {
    submissions: Words,
    completions: Words,
    pool: Region,
    buffer_len: usize,
    tail: Position,
    head: Position,
    ids: Option<(CompletionIds, SubmissionIds)>,
    /// The device has the buffer.
    is_posted: Vec<bool>,
    /// Maximum number of a frame's buffers.
    max_parts: usize,
    has_checksums: bool,
    /// Buffers of the current frame, which may not be complete.
    parts: Vec<Part>,
    /// Memory to assemble frames in.
    assembly: Vec<u8>,
    /// Buffers returned since the last doorbell.
    returned: u16,
}

impl Receiver {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`]; [`Error::BadConfig`] for a device that can't spread a frame of the
    /// MTU over buffers.
    pub fn new(
        memory: MemoryRef,
        features: &Features,
        config: &NetConfig,
    ) -> Result<Receiver, Error> {
        // One entry stays free.
        let wanted = config.rx_buffers.max(7).saturating_add(1);
        let depth = (1 << wanted.ilog2()).min(features.rx_depth);
        let buffers = usize::from(depth) - 1;
        // The length of a descriptor has 16 bits.
        let buffer_len = config.rx_buffer_len.clamp(MIN_BUFFER, 32 << 10);
        let frame = ETHERNET + usize::from(features.mtu) + usize::from(u8::MAX);
        let max_parts = usize::from(features.rx_descriptors).min(buffers);
        if frame.div_ceil(buffer_len) > max_parts {
            return Err(Error::BadConfig);
        }
        let entries = usize::from(depth);
        let pool = Region::new(memory, buffers * buffer_len, 4096).ok_or(Error::OutOfMemory)?;
        Ok(Receiver {
            submissions: Words::new(memory, entries * DESCRIPTOR)?,
            completions: Words::new(memory, entries * COMPLETION)?,
            pool,
            buffer_len,
            tail: Position::new(depth),
            head: Position::new(depth),
            ids: None,
            is_posted: vec![false; buffers],
            max_parts,
            has_checksums: features.rx_checksum,
            parts: Vec::with_capacity(max_parts),
            assembly: Vec::new(),
            returned: 0,
        })
    }

    /// Creates the queues, and gives the device the buffers. Returns the submission queue's id.
    ///
    /// # Errors
    ///
    /// As [`Admin::run`].
    pub fn start(&mut self, admin: &mut Admin, access: &Access) -> Result<u16, Error> {
        let depth = self.tail.depth();
        let words = (COMPLETION / 4) as u8;
        let ring = (self.completions.phys(0), depth, words);
        let completions = admin.create_completions(access, ring)?;
        let place = (Direction::Receive, Place::Host(self.submissions.phys(0)));
        let submissions = admin.create_submissions(access, place, &completions, depth)?;
        let id = submissions.id;
        self.ids = Some((completions, submissions));
        for buffer in 0..self.is_posted.len() {
            self.post(buffer);
        }
        self.refill(access);
        Ok(id)
    }

    /// Returns a buffer to the ring. It fits: there are fewer buffers than entries.
    fn post(&mut self, buffer: usize) {
        let at = self.tail.slot() * DESCRIPTOR;
        let phys = self.pool.phys(buffer * self.buffer_len);
        let phase = if self.tail.phase() { PHASE } else { 0 };
        let words = [
            self.buffer_len as u32 | WHOLE | phase,
            buffer as u32,
            phys as u32,
            (phys >> 32) as u32,
        ];
        for (index, word) in words.into_iter().enumerate() {
            self.submissions.store(at + index * 4, word);
        }
        self.tail.advance();
        self.is_posted[buffer] = true;
        self.returned += 1;
    }

    /// Gives the device all returned buffers.
    pub fn refill(&mut self, access: &Access) {
        if let Some((_, submissions)) = &self.ids
            && self.returned > 0
        {
            access.write(submissions.doorbell, u32::from(self.tail.count()));
            self.returned = 0;
        }
    }

    /// Enables the interrupt for the next completion.
    pub fn arm(&self, access: &Access) {
        if let Some((completions, _)) = &self.ids {
            access.write(completions.unmask, UNMASK);
        }
    }

    /// Whether a completion waits. No exit.
    pub fn has_completions(&self) -> bool {
        let status = self.completions.load(self.head.slot() * COMPLETION);
        (status & PHASE != 0) == self.head.phase()
    }

    /// Takes completions up to the last one of a frame. Returns its status word.
    ///
    /// # Errors
    ///
    /// The completion is of a buffer that the device doesn't have, too long, or out of turn.
    fn gather(&mut self) -> Result<Option<u32>, DeviceError> {
        while self.has_completions() {
            // Acquire: the device writes the phase last.
            fence(Ordering::Acquire);
            let at = self.head.slot() * COMPLETION;
            let status = self.completions.load(at);
            let (word, last) = (
                self.completions.load(at + 4),
                self.completions.load(at + 12),
            );
            let (len, buffer) = ((word & 0xffff) as usize, (word >> 16) as usize);
            let start = (last >> 16 & 0xff) as usize;
            self.head.advance();
            let is_first = self.parts.is_empty();
            let fits = start + len <= self.buffer_len && (is_first || start == 0);
            let is_next = (status & FIRST != 0) == is_first && self.parts.len() < self.max_parts;
            match self.is_posted.get_mut(buffer) {
                Some(is_posted) if *is_posted && fits && is_next => *is_posted = false,
                _ => return Err(DeviceError),
            }
            self.parts.push(Part { buffer, start, len });
            if status & LAST != 0 {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    /// Takes the next frame, calls `deliver` with it and returns its buffers. False if there is
    /// none. Frames without bytes are dropped, at most one pool of them.
    pub fn receive(
        &mut self,
        access: &Access,
        counters: &mut NetCounters,
        deliver: &mut dyn FnMut(&mut [u8], RxMeta),
    ) -> Result<bool, DeviceError> {
        for _ in 0..self.is_posted.len() {
            let Some(status) = self.gather()? else {
                break;
            };
            let checksum = match self.has_checksums && is_verified(status) {
                true => RxChecksum::Valid,
                false => RxChecksum::Unknown,
            };
            let meta = RxMeta {
                checksum,
                gso: None,
            };
            let delivered = self.deliver(counters, meta, deliver);
            for at in 0..self.parts.len() {
                self.post(self.parts[at].buffer);
            }
            self.parts.clear();
            if self.returned >= REFILL_BATCH {
                self.refill(access);
            }
            if delivered {
                counters.rx_frames += 1;
                return Ok(true);
            }
            counters.rx_dropped += 1;
        }
        self.refill(access);
        Ok(false)
    }

    /// The bytes of a part.
    #[allow(clippy::mut_from_ref)] // As `Region::slice`.
    fn part(&self, part: &Part, len: usize) -> &mut [u8] {
        // SAFETY: inside the pool, which checks it. The device has returned the buffer, which isn't
        // given away until `receive` is done with it; one slice of it exists at a time.
        unsafe {
            self.pool
                .slice(part.buffer * self.buffer_len + part.start, len)
        }
    }

    fn deliver(
        &mut self,
        counters: &mut NetCounters,
        meta: RxMeta,
        deliver: &mut dyn FnMut(&mut [u8], RxMeta),
    ) -> bool {
        let total: usize = self.parts.iter().map(|part| part.len).sum();
        let Some(first) = self.parts.first().filter(|_| total > 0) else {
            return false;
        };
        let is_whole = self.parts.windows(2).all(|pair| {
            pair[1].buffer == pair[0].buffer + 1 && pair[0].start + pair[0].len == self.buffer_len
        });
        if is_whole {
            deliver(self.part(first, total), meta);
            return true;
        }
        counters.rx_copied += 1;
        let mut assembly = core::mem::take(&mut self.assembly);
        assembly.clear();
        // At most the parts' buffers.
        let complete = assembly.try_reserve(total).is_ok();
        if complete {
            for part in &self.parts {
                assembly.extend_from_slice(self.part(part, part.len));
            }
            deliver(&mut assembly, meta);
        }
        self.assembly = assembly;
        complete
    }

    /// Leaks the memory, because the device may still access it.
    pub fn leak(&mut self) {
        self.submissions.leak();
        self.completions.leak();
        self.pool.leak();
    }
}

/// Whether the device has verified all checksums of a frame.
fn is_verified(status: u32) -> bool {
    let is_bad_header = status & L3 == IPV4 && status & L3_ERROR != 0;
    status & (L4_CHECKED | L4_ERROR | FRAGMENT) == L4_CHECKED && !is_bad_header
}

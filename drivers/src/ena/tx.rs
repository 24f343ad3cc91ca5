//! Transmit: descriptors in memory, or with the start of the frame in the device's memory (low
//! latency queues). Never blocks.

use alloc::vec::Vec;
use core::array;
use sync::atomic::{Ordering, fence};

use super::admin::{Admin, CompletionIds, Direction, Place, SubmissionIds};
use super::features::{DESCRIPTOR, Features, Layout, MAX_DESCRIPTORS};
use super::offload::Offload;
use super::position::Position;
use super::registers::{Access, UNMASK};
use super::words::Words;
use crate::net::buffers::{Buffers, PoolSize};
use crate::net::{Capabilities, ETHERNET, MAX_FRAME, NetConfig, TxError, TxMeta, is_supported};
use crate::queue::DeviceError;
use crate::{Error, MemoryRef};

/// Bytes of a completion.
const COMPLETION: usize = 8;
/// Maximum bytes of a descriptor's buffer: the largest frame has three of them.
const PIECE: usize = 32 << 10;
/// MTU of small buffers; they hold most frames of a network with jumbo frames, too.
const SMALL_MTU: usize = 1500;
/// Largest entry of a low latency queue, in words.
const MAX_ENTRY: usize = 256 / 4;

/// Bits of a descriptor's first word.
const PHASE: u32 = 1 << 24;
const FIRST: u32 = 1 << 26;
const LAST: u32 = 1 << 27;
const REQUEST: u32 = 1 << 28;

type Descriptor = [u32; 4];

/// The descriptors of a frame.
struct Descriptors {
    all: [Descriptor; MAX_DESCRIPTORS],
    count: usize,
}

impl Descriptors {
    fn push(&mut self, descriptor: Descriptor) {
        if let Some(next) = self.all.get_mut(self.count) {
            *next = descriptor;
            self.count += 1;
        }
    }

    /// The descriptors of a frame of `len` bytes at `phys`, whose first `header` bytes have
    /// `pushed` in the descriptors' memory.
    fn new(
        request: u16,
        (phys, len): (u64, usize),
        (header, pushed): (usize, usize),
        offload: &Offload,
    ) -> Descriptors {
        let mut found = Descriptors {
            all: [[0; 4]; MAX_DESCRIPTORS],
            count: 0,
        };
        if let Some(meta) = offload.meta {
            found.push(meta);
        }
        let mut at = pushed;
        let mut first = Some([
            REQUEST | u32::from(request >> 10) << 16,
            offload.control | u32::from(request) << 22,
            0,
            (header as u32) << 24,
        ]);
        // Once also if all bytes are pushed.
        while at < len || first.is_some() {
            let piece = (len - at).min(PIECE);
            let mut descriptor = first.take().unwrap_or_default();
            let address = phys + at as u64;
            descriptor[0] |= piece as u32;
            descriptor[2] = address as u32;
            descriptor[3] |= (address >> 32) as u32 & 0xffff;
            found.push(descriptor);
            at += piece;
        }
        found.all[0][0] |= FIRST;
        found.all[found.count - 1][0] |= LAST;
        found
    }

    fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.all.iter().take(self.count)
    }
}

/// Where the descriptors are written.
enum Ring {
    Host(Words),
    Device(Layout),
}

impl Ring {
    /// Number of entries of a frame with this many descriptors.
    fn entries(&self, descriptors: usize) -> u16 {
        let entries = match self {
            Ring::Host(_) => descriptors,
            Ring::Device(layout) => {
                1 + descriptors
                    .saturating_sub(layout.before)
                    .div_ceil(layout.following)
            }
        };
        entries as u16
    }
}

/// A frame in flight.
#[derive(Clone, Copy)]
struct Sent {
    token: u32,
    entries: u16,
    /// The second in which it was sent.
    second: u32,
}

pub(super) struct Sender {
    ring: Ring,
    completions: Words,
    buffers: Buffers,
    tail: Position,
    head: Position,
    ids: Option<(CompletionIds, SubmissionIds)>,
    /// Frames in flight by their request's number, and the free numbers.
    requests: Vec<Option<Sent>>,
    free: Vec<u16>,
    /// Entries in use.
    used: u16,
    /// Entries written since the last doorbell.
    unflushed: u16,
    /// Maximum bytes of a header.
    max_header: usize,
    /// The metadata that the device remembers.
    meta: Option<Descriptor>,
    /// A frame found no room: the caller waits.
    is_awaited: bool,
    memory: MemoryRef,
}

impl Sender {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(
        memory: MemoryRef,
        features: &Features,
        capabilities: &Capabilities,
        config: &NetConfig,
    ) -> Result<Sender, Error> {
        // Most frames have two entries.
        let frames = u32::from(config.tx_small) + u32::from(config.tx_large);
        let wanted = (1 << (2 * frames).clamp(16, 1 << 15).ilog2()).min(features.tx_depth);
        let depth = match features.low_latency {
            Some(layout) => wanted.min(layout.depth),
            None => wanted,
        };
        let entries = usize::from(depth);
        let ring = match features.low_latency {
            Some(layout) => Ring::Device(layout),
            None => Ring::Host(Words::new(memory, entries * DESCRIPTOR)?),
        };
        let room = match &ring {
            Ring::Host(_) => usize::MAX,
            Ring::Device(layout) => layout.entry - layout.before * DESCRIPTOR,
        };
        let small = PoolSize {
            len: (ETHERNET + SMALL_MTU).next_multiple_of(64),
            limit: config.tx_small.max(1),
        };
        let large = PoolSize {
            len: capabilities
                .max_transmit
                .min(MAX_FRAME)
                .next_multiple_of(64),
            limit: match capabilities.max_transmit > small.len {
                true => config.tx_large.max(1),
                false => 0,
            },
        };
        Ok(Sender {
            ring,
            completions: Words::new(memory, entries * COMPLETION)?,
            buffers: Buffers::new(memory, small, large)?,
            tail: Position::new(depth),
            head: Position::new(depth),
            ids: None,
            requests: alloc::vec![None; entries],
            free: (0..depth).rev().collect(),
            used: 0,
            unflushed: 0,
            max_header: features.header.min(room),
            meta: None,
            is_awaited: false,
            memory,
        })
    }

    /// Creates the queues.
    ///
    /// # Errors
    ///
    /// As [`Admin::run`].
    pub fn start(&mut self, admin: &mut Admin, access: &Access) -> Result<(), Error> {
        let depth = self.tail.depth();
        let words = (COMPLETION / 4) as u8;
        let ring = (self.completions.phys(0), depth, words);
        let completions = admin.create_completions(access, ring)?;
        let place = match &self.ring {
            Ring::Host(words) => Place::Host(words.phys(0)),
            Ring::Device(_) => Place::Device,
        };
        let direction = (Direction::Transmit, place);
        let submissions = admin.create_submissions(access, direction, &completions, depth)?;
        self.ids = Some((completions, submissions));
        Ok(())
    }

    /// Whether a completion waits. No exit.
    fn has_completions(&self) -> bool {
        let word = self.completions.load(self.head.slot() * COMPLETION);
        (word & PHASE != 0) == self.head.phase()
    }

    /// Reclaims the buffers of sent frames, which the device completes in any order.
    ///
    /// # Errors
    ///
    /// The completion is of no frame in flight.
    pub fn reclaim(&mut self) -> Result<(), DeviceError> {
        while self.has_completions() {
            // Acquire: the device is done with the frame before the completion.
            fence(Ordering::Acquire);
            let word = self.completions.load(self.head.slot() * COMPLETION);
            self.head.advance();
            let request = word as u16;
            let sent = self.requests.get_mut(usize::from(request));
            let sent = sent.and_then(Option::take).ok_or(DeviceError)?;
            self.buffers.give_back(sent.token);
            self.free.push(request);
            self.used -= sent.entries;
        }
        Ok(())
    }

    /// Whether some frame is in flight since more than `limit` seconds.
    pub fn is_overdue(&self, second: u32, limit: u32) -> bool {
        let overdue = |sent: &Sent| second.wrapping_sub(sent.second) > limit;
        self.requests.iter().flatten().any(overdue)
    }

    /// Whether the device has completed every frame.
    pub fn is_drained(&self) -> bool {
        self.free.len() == self.requests.len()
    }

    /// Whether a frame found no room, and there is some now.
    pub fn has_pending(&self) -> bool {
        self.is_awaited && self.has_completions()
    }

    /// One entry stays free, so there are more request numbers than frames in flight.
    fn has_room(&self) -> bool {
        usize::from(self.used) + MAX_DESCRIPTORS < usize::from(self.tail.depth())
    }

    /// See [`Card::can_transmit`](crate::net::Card::can_transmit).
    pub fn find_room(&mut self) -> Result<bool, DeviceError> {
        if self.has_room() && self.buffers.has_largest() {
            return Ok(true);
        }
        self.reclaim()?;
        self.buffers.grow_largest();
        let found = self.has_room() && self.buffers.has_largest();
        self.is_awaited |= !found;
        Ok(found)
    }

    fn take(&mut self, len: usize) -> Option<u32> {
        match self.has_room() {
            true => self.buffers.take(len),
            false => None,
        }
    }

    /// A buffer for `len` bytes.
    fn buffer(&mut self, len: usize) -> Result<Option<u32>, DeviceError> {
        let token = self.take(len);
        if token.is_some() {
            return Ok(token);
        }
        self.reclaim()?;
        self.buffers.grow_small(len);
        if let Some(token) = self.take(len) {
            return Ok(Some(token));
        }
        self.find_room()?;
        Ok(self.take(len))
    }

    /// See [`Card::transmit`](crate::net::Card::transmit); `second` is the current one.
    pub fn transmit(
        &mut self,
        access: &Access,
        (len, second): (usize, u32),
        capabilities: &Capabilities,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<Result<(), TxError>, DeviceError> {
        let Some(token) = self.buffer(len)? else {
            self.is_awaited = true;
            return Ok(Err(TxError::Full));
        };
        let Some((region, offset)) = self.buffers.place(token) else {
            return Ok(Err(TxError::Full));
        };
        let phys = region.phys(offset);
        // SAFETY: the buffer was free, so neither the device nor a caller has it.
        let frame = unsafe { region.slice(offset, len) };
        let meta = fill(frame);
        let offload = match is_supported(capabilities, len, &meta) {
            true => Offload::new(frame, &meta),
            false => None,
        };
        let Some(mut offload) = offload else {
            self.buffers.give_back(token);
            return Ok(Err(TxError::BadFrame));
        };
        let Some(request) = self.free.pop() else {
            self.buffers.give_back(token);
            return Ok(Err(TxError::Full));
        };
        let header = len.min(self.max_header);
        let pushed = match &self.ring {
            Ring::Host(_) => 0,
            Ring::Device(_) => header,
        };
        // A copy, as the frame borrows the buffers.
        let start = words_of(&frame[..pushed]);
        self.cache(&mut offload);
        let descriptors = Descriptors::new(request, (phys, len), (header, pushed), &offload);
        let entries = self.ring.entries(descriptors.count);
        let burst = match &self.ring {
            Ring::Host(_) => u16::MAX,
            Ring::Device(layout) => layout.burst,
        };
        if self.unflushed + entries > burst {
            self.flush(access);
        }
        match &self.ring {
            Ring::Host(words) => {
                for descriptor in descriptors.iter() {
                    let at = self.tail.slot() * DESCRIPTOR;
                    let descriptor = in_phase(descriptor, self.tail);
                    for (index, word) in descriptor.into_iter().enumerate() {
                        words.store(at + index * 4, word);
                    }
                    self.tail.advance();
                }
            }
            Ring::Device(layout) => {
                let layout = *layout;
                self.push(access, &layout, &descriptors, &start[..pushed.div_ceil(4)]);
            }
        }
        self.used += entries;
        self.unflushed += entries;
        self.is_awaited = false;
        if let Some(sent) = self.requests.get_mut(usize::from(request)) {
            *sent = Some(Sent {
                token,
                entries,
                second,
            });
        }
        Ok(Ok(()))
    }

    /// Leaves the metadata out if the device remembers the same.
    fn cache(&mut self, offload: &mut Offload) {
        if let Ring::Device(Layout {
            has_cache: false, ..
        }) = self.ring
        {
            offload.meta.get_or_insert(Offload::NO_META);
        } else if offload.meta == self.meta {
            offload.meta = None;
        } else if offload.meta.is_some() {
            self.meta = offload.meta;
        }
    }

    /// Writes a frame's entries, and the words of its start, to the device's memory.
    fn push(
        &mut self,
        access: &Access,
        layout: &Layout,
        descriptors: &Descriptors,
        header: &[u32],
    ) {
        let (Some(memory), Some((_, ids))) = (&access.push, &self.ids) else {
            return;
        };
        let mut rest = descriptors.iter();
        let mut most = layout.before;
        let mut header = Some(header);
        for _ in 0..self.ring.entries(descriptors.count) {
            let mut entry = [0; MAX_ENTRY];
            let some = rest.by_ref().take(most);
            for (to, descriptor) in entry.as_chunks_mut::<4>().0.iter_mut().zip(some) {
                *to = in_phase(descriptor, self.tail);
            }
            let after = &mut entry[layout.before * DESCRIPTOR / 4..];
            for (to, word) in after.iter_mut().zip(header.take().unwrap_or(&[])) {
                *to = *word;
            }
            // The device's number only places the writes; those outside of the window are ignored.
            let at = ids.push.saturating_add(self.tail.slot() * layout.entry);
            for (index, word) in entry.iter().take(layout.entry / 4).enumerate() {
                memory.write(at.saturating_add(index * 4), *word);
            }
            self.tail.advance();
            most = layout.following;
        }
    }

    /// Notifies the device of all written entries.
    pub fn flush(&mut self, access: &Access) {
        if let Some((_, submissions)) = &self.ids
            && self.unflushed > 0
        {
            if let Ring::Device(_) = self.ring {
                // Writes to the device's memory are combined, in any order.
                self.memory.barrier();
            }
            access.write(submissions.doorbell, u32::from(self.tail.count()));
            self.unflushed = 0;
        }
    }

    /// Enables the interrupt for the next completion, if a frame found no room.
    pub fn arm(&self, access: &Access) {
        if let Some((completions, _)) = &self.ids
            && self.is_awaited
        {
            access.write(completions.unmask, UNMASK);
        }
    }

    /// Leaks the memory, because the device may still access it.
    pub fn leak(&mut self) {
        if let Ring::Host(words) = &mut self.ring {
            words.leak();
        }
        self.completions.leak();
        self.buffers.leak();
    }
}

/// A descriptor with the phase of the entry at `tail`.
fn in_phase(descriptor: &Descriptor, tail: Position) -> Descriptor {
    let mut descriptor = *descriptor;
    if tail.phase() {
        descriptor[0] |= PHASE;
    }
    descriptor
}

/// The words of at most [`MAX_ENTRY`] words' bytes, the last one filled with zeros.
fn words_of(bytes: &[u8]) -> [u32; MAX_ENTRY] {
    let mut words = [0; MAX_ENTRY];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(4)) {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        *word = u32::from_le_bytes(array::from_fn(byte));
    }
    words
}

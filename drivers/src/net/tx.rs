//! Transmit: the driver's own buffers of two sizes, reclaimed when the next frame needs one. Never
//! blocks.

use alloc::vec::Vec;

use super::header::{self, TxMeta};
use super::{MAX_FRAME, TxError};
use crate::device::Device;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};

/// Small buffers are allocated this many at a time.
const SMALL_CHUNK: u16 = 16;

/// Buffers of one size, allocated on demand up to a limit.
struct Pool {
    memory: MemoryRef,
    buffer_len: usize,
    chunk: u16,
    limit: u16,
    regions: Vec<Region>,
    free: Vec<u16>,
}

impl Pool {
    fn new(memory: MemoryRef, buffer_len: usize, chunk: u16, limit: u16) -> Pool {
        // Counts whole chunks, so that a limit below one still yields a buffer.
        let limit = limit.next_multiple_of(chunk);
        Pool {
            memory,
            buffer_len,
            chunk,
            limit,
            regions: Vec::new(),
            free: Vec::new(),
        }
    }

    fn allocated(&self) -> u16 {
        self.regions.len() as u16 * self.chunk
    }

    /// Allocates more buffers, if the limit and the memory allow it.
    fn grow(&mut self) {
        if self.allocated() < self.limit {
            let len = self.buffer_len * usize::from(self.chunk);
            if let Some(region) = Region::new(self.memory, len, 64) {
                let first = self.allocated();
                self.regions.push(region);
                self.free.extend((first..first + self.chunk).rev());
            }
        }
    }

    fn place(&self, index: u16) -> Option<(&Region, usize)> {
        let region = self.regions.get(usize::from(index / self.chunk))?;
        Some((region, usize::from(index % self.chunk) * self.buffer_len))
    }
}

/// Set in the token of a large buffer.
const LARGE: u32 = 1 << 16;

pub(super) struct Sender {
    pub queue: Queue,
    small: Pool,
    large: Pool,
    header_len: usize,
    /// The header has a buffer of its own (legacy devices with fixed framing).
    split_header: bool,
    /// A frame found no room: the caller waits for a buffer.
    awaited: bool,
}

/// Options of the sender.
pub(super) struct TxOptions {
    pub queue_size: u16,
    pub small_len: usize,
    pub small_limit: u16,
    pub large_limit: u16,
    pub header_len: usize,
    pub split_header: bool,
}

impl Sender {
    pub fn new(
        memory: MemoryRef,
        device: &mut Device,
        index: u16,
        options: &TxOptions,
    ) -> Result<Sender, Error> {
        let chain = if options.split_header { 2 } else { 1 };
        let queue = device.queue(memory, index, (chain, options.queue_size), chain)?;
        let limit = queue.size();
        let large_len = (header::LONG + MAX_FRAME).next_multiple_of(64);
        let mut sender = Sender {
            small: Pool::new(
                memory,
                options.small_len,
                SMALL_CHUNK,
                options.small_limit.min(limit),
            ),
            large: Pool::new(memory, large_len, 1, options.large_limit.min(limit)),
            queue,
            header_len: options.header_len,
            split_header: options.split_header,
            awaited: false,
        };
        // With one buffer of each size, a wait for a returned buffer always ends.
        sender.small.grow();
        sender.largest().grow();
        if sender.small.free.is_empty() || sender.largest().free.is_empty() {
            return Err(Error::OutOfMemory);
        }
        Ok(sender)
    }

    /// Reclaims the buffers of transmitted frames.
    fn reclaim(&mut self) -> Result<(), DeviceError> {
        while let Some(done) = self.queue.pop()? {
            self.recycle(done.token);
        }
        Ok(())
    }

    fn recycle(&mut self, token: u32) {
        let pool = if token & LARGE != 0 {
            &mut self.large
        } else {
            &mut self.small
        };
        pool.free.push(token as u16);
    }

    /// Returns a free buffer for `total` bytes if the queue has room for it. A small frame uses a
    /// large buffer if no small one is free.
    fn take(&mut self, total: usize) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        let small = if total <= self.small.buffer_len {
            self.small.free.pop()
        } else {
            None
        };
        small
            .map(u32::from)
            .or_else(|| self.large.free.pop().map(|index| u32::from(index) | LARGE))
    }

    fn has_room(&self) -> bool {
        self.queue.room() >= if self.split_header { 2 } else { 1 }
    }

    /// The buffers that hold a frame of any length.
    fn largest(&mut self) -> &mut Pool {
        if self.large.limit > 0 {
            &mut self.large
        } else {
            &mut self.small
        }
    }

    /// True if a frame of any length finds a buffer: a free one, a completed one, or a new one. If
    /// there is none, the next completion interrupts.
    pub fn can_transmit(&mut self) -> Result<bool, DeviceError> {
        if self.has_room() && !self.largest().free.is_empty() {
            return Ok(true);
        }
        self.reclaim()?;
        if self.largest().free.is_empty() {
            self.largest().grow();
        }
        if self.has_room() && !self.largest().free.is_empty() {
            return Ok(true);
        }
        self.awaited = true;
        if self.enable_interrupts() {
            self.reclaim()?;
        }
        Ok(self.has_room() && !self.largest().free.is_empty())
    }

    /// A buffer for `total` bytes, as for [`can_transmit`](Sender::can_transmit).
    fn buffer(&mut self, total: usize) -> Result<Option<u32>, DeviceError> {
        let token = self.take(total);
        if token.is_some() {
            return Ok(token);
        }
        self.reclaim()?;
        if total <= self.small.buffer_len && self.small.free.is_empty() {
            self.small.grow();
        }
        if let Some(token) = self.take(total) {
            return Ok(Some(token));
        }
        self.can_transmit()?;
        Ok(self.take(total))
    }

    /// Whether the card has completed every frame.
    pub fn is_drained(&mut self) -> Result<bool, DeviceError> {
        self.reclaim()?;
        Ok(self.queue.in_flight() == 0)
    }

    /// Requests an interrupt when half of the frames in flight are sent; the rest continues
    /// meanwhile. Returns true if they already are.
    fn enable_interrupts(&mut self) -> bool {
        self.queue
            .enable_interrupts_after(self.queue.in_flight() / 2)
    }

    /// Like `enable_interrupts`, if a frame found no room since the last success. Returns true if
    /// there is room now.
    pub fn enable_awaited_interrupts(&mut self) -> bool {
        self.awaited && self.enable_interrupts()
    }

    /// Whether a frame found no room, and there is some now.
    pub fn has_pending(&self) -> bool {
        self.awaited && self.queue.has_used()
    }

    pub fn transmit(
        &mut self,
        len: usize,
        agreed: &dyn Fn(&TxMeta) -> bool,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<Result<(), TxError>, DeviceError> {
        let total = self.header_len + len;
        let Some(token) = self.buffer(total)? else {
            return Ok(Err(TxError::Full));
        };
        let pool = if token & LARGE != 0 {
            &self.large
        } else {
            &self.small
        };
        let Some((region, offset)) = pool.place(token as u16) else {
            return Ok(Err(TxError::Full));
        };
        // SAFETY: the buffer was in the pool's free list, so neither the device nor a caller has
        // it.
        let bytes = unsafe { region.slice(offset, total) };
        let (head, frame) = bytes.split_at_mut(self.header_len);
        let meta = fill(frame);
        head.copy_from_slice(&header::emit(&meta)[..self.header_len]);
        let phys = region.phys(offset);
        if !agreed(&meta) {
            self.recycle(token);
            return Ok(Err(TxError::BadFrame));
        }
        let added = if self.split_header {
            let head = Buffer::readable(phys, self.header_len);
            let rest = Buffer::readable(phys + self.header_len as u64, len);
            self.queue.add(&[head, rest], token)
        } else {
            self.queue.add(&[Buffer::readable(phys, total)], token)
        };
        if added.is_err() {
            self.recycle(token);
            return Ok(Err(TxError::Full));
        }
        // A busy device picks it up without a doorbell.
        self.queue.publish();
        self.awaited = false;
        Ok(Ok(()))
    }

    pub fn flush(&mut self, device: &Device) {
        self.queue.kick(device.transport());
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.small
            .regions
            .iter_mut()
            .chain(&mut self.large.regions)
            .for_each(Region::leak);
    }
}

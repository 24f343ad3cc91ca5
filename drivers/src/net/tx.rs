//! Transmit: the driver's own buffers of two sizes, reclaimed when the next frame needs one. Never
//! blocks.

use super::buffers::{Buffers, PoolSize};
use super::header::{self, TxMeta};
use super::{MAX_FRAME, TxError};
use crate::device::Device;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef};

pub(super) struct Sender {
    pub queue: Queue,
    buffers: Buffers,
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
        let small = PoolSize {
            len: options.small_len,
            limit: options.small_limit.min(limit),
        };
        let large = PoolSize {
            len: large_len,
            limit: options.large_limit.min(limit),
        };
        Ok(Sender {
            buffers: Buffers::new(memory, small, large)?,
            queue,
            header_len: options.header_len,
            split_header: options.split_header,
            awaited: false,
        })
    }

    /// Reclaims the buffers of transmitted frames.
    fn reclaim(&mut self) -> Result<(), DeviceError> {
        while let Some(done) = self.queue.pop()? {
            self.buffers.give_back(done.token);
        }
        Ok(())
    }

    /// Returns a free buffer for `total` bytes if the queue has room for it.
    fn take(&mut self, total: usize) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        self.buffers.take(total)
    }

    fn has_room(&self) -> bool {
        self.queue.room() >= if self.split_header { 2 } else { 1 }
    }

    /// True if a frame of any length finds a buffer: a free one, a completed one, or a new one. If
    /// there is none, the next completion interrupts.
    pub fn can_transmit(&mut self) -> Result<bool, DeviceError> {
        if self.has_room() && self.buffers.has_largest() {
            return Ok(true);
        }
        self.reclaim()?;
        self.buffers.grow_largest();
        if self.has_room() && self.buffers.has_largest() {
            return Ok(true);
        }
        self.awaited = true;
        if self.enable_interrupts() {
            self.reclaim()?;
        }
        Ok(self.has_room() && self.buffers.has_largest())
    }

    /// A buffer for `total` bytes, as for [`can_transmit`](Sender::can_transmit).
    fn buffer(&mut self, total: usize) -> Result<Option<u32>, DeviceError> {
        let token = self.take(total);
        if token.is_some() {
            return Ok(token);
        }
        self.reclaim()?;
        self.buffers.grow_small(total);
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
        let Some((region, offset)) = self.buffers.place(token) else {
            return Ok(Err(TxError::Full));
        };
        // SAFETY: the buffer was free, so neither the device nor a caller has it.
        let bytes = unsafe { region.slice(offset, total) };
        let (head, frame) = bytes.split_at_mut(self.header_len);
        let meta = fill(frame);
        head.copy_from_slice(&header::emit(&meta)[..self.header_len]);
        let phys = region.phys(offset);
        if !agreed(&meta) {
            self.buffers.give_back(token);
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
            self.buffers.give_back(token);
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
        self.buffers.leak();
    }
}

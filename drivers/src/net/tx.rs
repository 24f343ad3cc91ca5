//! Sending: own buffers of two sizes, taken back when the next frame needs one. Nothing waits.

use alloc::vec::Vec;

use super::header::{self, TxMeta};
use super::{MAX_FRAME, NetCounters, TxError};
use crate::device::Device;
use crate::queue::{Broken, Buffer, Queue};
use crate::{Error, MemoryRef, Region};

/// Small buffers are allocated this many at a time.
const SMALL_CHUNK: u16 = 16;

/// Equal buffers that are allocated when they are first needed, up to a limit.
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
        // Whole chunks, so that a limit of less than one is still a buffer.
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
    queue: Queue,
    small: Pool,
    large: Pool,
    header_len: usize,
    /// The header is a buffer of its own (legacy devices with fixed framing).
    split_header: bool,
    /// A frame found no room: somebody waits for a buffer.
    awaited: bool,
}

/// How the sending half is set up.
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
        Ok(Sender {
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
        })
    }

    /// Takes back the buffers of frames that are sent.
    fn reclaim(&mut self) -> Result<(), Broken> {
        while let Some(done) = self.queue.pop()? {
            self.put_back(done.token);
        }
        Ok(())
    }

    fn put_back(&mut self, token: u32) {
        let pool = if token & LARGE != 0 {
            &mut self.large
        } else {
            &mut self.small
        };
        pool.free.push(token as u16);
    }

    /// A free buffer for `total` bytes, and room in the queue for it.
    fn take(&mut self, total: usize) -> Option<u32> {
        if self.queue.room() < if self.split_header { 2 } else { 1 } {
            return None;
        }
        let is_large = total > self.small.buffer_len;
        let index = if is_large {
            self.large.free.pop()
        } else {
            self.small.free.pop()
        }?;
        Some(u32::from(index) | if is_large { LARGE } else { 0 })
    }

    /// A buffer for `total` bytes: a free one, one of a frame that is sent, or a new one. When there is
    /// none, the next finished one interrupts.
    fn buffer(&mut self, total: usize) -> Result<Result<u32, TxError>, Broken> {
        if let Some(token) = self.take(total) {
            return Ok(Ok(token));
        }
        self.reclaim()?;
        if let Some(token) = self.take(total) {
            return Ok(Ok(token));
        }
        let pool = if total > self.small.buffer_len {
            &mut self.large
        } else {
            &mut self.small
        };
        if pool.free.is_empty() {
            pool.grow();
            if let Some(token) = self.take(total) {
                return Ok(Ok(token));
            }
        }
        let in_flight = self.queue.in_flight();
        if in_flight == 0 {
            return Ok(Err(TxError::NoMemory));
        }
        if self.enable_interrupts() {
            self.reclaim()?;
            if let Some(token) = self.take(total) {
                self.awaited = false;
                return Ok(Ok(token));
            }
        }
        self.awaited = true;
        Ok(Err(TxError::Full))
    }

    /// Asks for an interrupt when half of what is in flight is sent; the rest goes on meanwhile. True: it is.
    fn enable_interrupts(&mut self) -> bool {
        self.queue
            .enable_interrupts_after(self.queue.in_flight() / 2)
    }

    /// The same, if a frame found no room and none was taken since. True: now there is room.
    pub fn enable_awaited_interrupts(&mut self) -> bool {
        self.awaited && self.enable_interrupts()
    }

    pub fn transmit(
        &mut self,
        counters: &mut NetCounters,
        len: usize,
        meta: &TxMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Result<(), TxError>, Broken> {
        let total = self.header_len + len;
        let token = match self.buffer(total)? {
            Ok(token) => token,
            Err(error) => return Ok(Err(error)),
        };
        let pool = if token & LARGE != 0 {
            &self.large
        } else {
            &self.small
        };
        let Some((region, offset)) = pool.place(token as u16) else {
            return Ok(Err(TxError::NoMemory));
        };
        // SAFETY: the buffer was in the pool's free list, so neither the device nor a caller has it.
        let bytes = unsafe { region.slice(offset, total) };
        let (head, frame) = bytes.split_at_mut(self.header_len);
        head.copy_from_slice(&header::emit(meta)[..self.header_len]);
        fill(frame);
        let phys = region.phys(offset);
        let buffer = |phys, len: usize| Buffer {
            phys,
            len: len as u32,
            device_writes: false,
        };
        let added = if self.split_header {
            let rest = buffer(phys + self.header_len as u64, len);
            self.queue
                .add(&[buffer(phys, self.header_len), rest], token)
        } else {
            self.queue.add(&[buffer(phys, total)], token)
        };
        if added.is_err() {
            self.put_back(token);
            return Ok(Err(TxError::Full));
        }
        // A device that is at work already takes it up without a doorbell.
        self.queue.publish();
        self.awaited = false;
        counters.tx_frames += 1;
        Ok(Ok(()))
    }

    pub fn flush(&mut self, device: &Device) {
        self.queue.kick(device.transport());
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    pub fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
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

//! Receive: one contiguous pool of buffers, added to the queue in address order.
//!
//! A frame that the device spreads over several buffers (`VIRTIO_NET_F_MRG_RXBUF`) is therefore
//! usually contiguous in memory. The driver copies it only if it wraps around the end of the pool,
//! or if the device uses the buffers in another order.

use alloc::vec::Vec;

use super::header::{self, Expect, RxMeta};
use super::{MAX_FRAME, NetCounters};
use crate::device::Device;
use crate::queue::{Buffer, Completion, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};

/// Number of returned buffers for which the driver rings the doorbell. A device that requests a
/// notification for each refill, such as Firecracker's, would otherwise cost an exit for each poll.
const REFILL_BATCH: u16 = 32;

pub(super) struct Receiver {
    pub queue: Queue,
    pool: Region,
    buffer_len: usize,
    buffers: u16,
    header_len: usize,
    mergeable: bool,
    /// The header has a buffer of its own (legacy devices with fixed framing).
    split_header: bool,
    expect: Expect,
    /// Buffers of the current frame.
    parts: Vec<Completion>,
    /// Memory to assemble non-contiguous frames in.
    assembly: Vec<u8>,
    /// Buffers returned since the last check for a doorbell.
    returned: u16,
    /// Number of them that makes the next check due.
    batch: u16,
}

/// Options of the receiver.
pub(super) struct RxOptions {
    pub buffers: u16,
    pub buffer_len: usize,
    pub header_len: usize,
    pub mergeable: bool,
    pub split_header: bool,
    pub expect: Expect,
}

/// Number of buffers that may be returned without a doorbell. The device knows of the others, which
/// hold a frame of any length: a device that waits for more buffers has used some, and their return
/// completes the batch.
fn batch(buffers: u16, options: &RxOptions) -> u16 {
    let frame = if options.mergeable {
        (options.header_len + MAX_FRAME).div_ceil(options.buffer_len)
    } else {
        1
    };
    let spare = usize::from(buffers).saturating_sub(frame);
    (spare + 1).min(REFILL_BATCH.into()) as u16
}

impl Receiver {
    pub fn new(
        memory: MemoryRef,
        device: &mut Device,
        index: u16,
        options: &RxOptions,
    ) -> Result<Receiver, Error> {
        let chain = if options.split_header { 2 } else { 1 };
        let queue = device.queue(memory, index, (chain, options.buffers), chain)?;
        let per_buffer = if device.has(crate::device::feature::INDIRECT_DESC) {
            1
        } else {
            chain
        };
        let buffers = options.buffers.min(queue.size() / per_buffer);
        let len = usize::from(buffers) * options.buffer_len;
        let pool = Region::new(memory, len, 4096).ok_or(Error::OutOfMemory)?;
        let mut receiver = Receiver {
            queue,
            pool,
            buffer_len: options.buffer_len,
            buffers,
            header_len: options.header_len,
            mergeable: options.mergeable,
            split_header: options.split_header,
            expect: options.expect,
            parts: Vec::with_capacity(usize::from(buffers)),
            assembly: Vec::new(),
            returned: 0,
            batch: batch(buffers, options),
        };
        for buffer in 0..buffers {
            receiver.add_buffer(buffer);
        }
        receiver.queue.publish();
        Ok(receiver)
    }

    /// Adds buffer `index` to the queue. It fits: there are at least as many descriptors as
    /// buffers.
    fn add_buffer(&mut self, index: u16) {
        let phys = self.pool.phys(usize::from(index) * self.buffer_len);
        let token = u32::from(index);
        let added = if self.split_header {
            let head = Buffer::writable(phys, self.header_len);
            let rest_len = self.buffer_len - self.header_len;
            let rest = Buffer::writable(phys + self.header_len as u64, rest_len);
            self.queue.add(&[head, rest], token)
        } else {
            let whole = Buffer::writable(phys, self.buffer_len);
            self.queue.add(&[whole], token)
        };
        debug_assert!(added.is_ok());
        self.returned += 1;
    }

    /// Takes the next frame, calls `deliver` with it and returns its buffers. False if there is
    /// none.
    ///
    /// Invalid frames are dropped and counted; at most one pool of them per call.
    pub fn receive(
        &mut self,
        device: &Device,
        counters: &mut NetCounters,
        deliver: &mut dyn FnMut(&mut [u8], RxMeta),
    ) -> Result<bool, DeviceError> {
        for _ in 0..self.buffers {
            if !self.gather()? {
                break;
            }
            let delivered = self.deliver(counters, deliver);
            for part in 0..self.parts.len() {
                self.add_buffer(self.parts[part].token as u16);
            }
            if self.returned >= self.batch {
                self.refill(device);
            }
            if delivered {
                counters.rx_frames += 1;
                return Ok(true);
            }
            counters.rx_dropped += 1;
        }
        self.refill(device);
        Ok(false)
    }

    /// Publishes the returned buffers to the device. A whole batch of them rings the doorbell, if
    /// the device requested one.
    pub fn refill(&mut self, device: &Device) {
        if self.returned < self.batch {
            self.queue.publish();
            return;
        }
        self.returned = 0;
        self.queue.kick(device.transport());
    }

    /// Collects the buffers of the next frame in `parts`. A device publishes all buffers of a frame
    /// at once (virtio 1.2, 5.1.6.4), so a frame with fewer buffers is a protocol error, not a
    /// reason to wait.
    fn gather(&mut self) -> Result<bool, DeviceError> {
        self.parts.clear();
        let Some(first) = self.queue.pop()? else {
            return Ok(false);
        };
        self.parts.push(first);
        if self.mergeable && first.written as usize >= header::LONG {
            let more = header::buffers(&self.header()).saturating_sub(1);
            for _ in 0..more {
                self.parts.push(self.queue.pop()?.ok_or(DeviceError)?);
            }
        }
        Ok(true)
    }

    /// A copy of the header at the start of the first part: the device can't change it after the
    /// check.
    fn header(&self) -> [u8; header::LONG] {
        let mut bytes = [0; header::LONG];
        if let Some(first) = self.parts.first() {
            bytes[..self.header_len].copy_from_slice(self.part(first, self.header_len));
        }
        bytes
    }

    /// The first `len` bytes of a part's buffer.
    fn part(&self, part: &Completion, len: usize) -> &[u8] {
        // SAFETY: the token is one of the driver's, so the range is in the pool (which checks it
        // again). The buffer has been returned, isn't given away until `receive` is done with it,
        // and is only read while `self` is borrowed.
        unsafe { self.pool.slice(part.token as usize * self.buffer_len, len) }
    }

    /// Whether the frame in `parts` was valid and delivered.
    fn deliver(
        &mut self,
        counters: &mut NetCounters,
        deliver: &mut dyn FnMut(&mut [u8], RxMeta),
    ) -> bool {
        let header_len = self.header_len;
        let total: usize = self.parts.iter().map(|part| part.written as usize).sum();
        let Some(len) = total
            .checked_sub(header_len)
            .filter(|len| (1..=MAX_FRAME).contains(len))
        else {
            return false;
        };
        let Some(first) = self
            .parts
            .first()
            .filter(|first| first.written as usize >= header_len)
        else {
            return false;
        };
        let Some(meta) = header::parse(&self.header(), len, self.expect) else {
            return false;
        };
        let in_one_piece = self.parts.windows(2).all(|pair| {
            pair[1].token == pair[0].token + 1 && pair[0].written as usize == self.buffer_len
        });
        if in_one_piece {
            let start = first.token as usize * self.buffer_len;
            // SAFETY: as in `part`; the parts are contiguous, so this is the whole frame, and
            // `self` is borrowed exclusively.
            let frame = unsafe { self.pool.slice(start, total) };
            deliver(&mut frame[header_len..], meta);
            return true;
        }
        counters.rx_copied += 1;
        let mut assembly = core::mem::take(&mut self.assembly);
        assembly.clear();
        let complete = assembly.try_reserve(total).is_ok();
        if complete {
            for part in &self.parts {
                assembly.extend_from_slice(self.part(part, part.written as usize));
            }
            deliver(&mut assembly[header_len..], meta);
        }
        self.assembly = assembly;
        complete
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.pool.leak();
    }
}

//! A queue to receive and a queue to transmit, with their buffers: a port's, or those of messages
//! about ports.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::device::Device;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};

/// Maximum number of buffers per queue, and bytes per buffer.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub receive_buffers: u16,
    pub receive_len: usize,
    pub transmit_buffers: u16,
    pub transmit_len: usize,
}

pub(super) struct Pair {
    sizes: Sizes,
    receive: Queue,
    transmit: Queue,
    receive_pool: Region,
    transmit_pool: Region,
    /// Receive buffer in use, read position, and number of bytes in it.
    reading: Option<(u16, usize, usize)>,
    /// Transmit buffers that the device doesn't have.
    free: Vec<u16>,
    /// The others in the order of [`Pair::add`], with their number of bytes.
    sent: VecDeque<(u16, usize)>,
    /// Number of bytes of the first of these that [`Pair::take_unsent`] has returned.
    unsent_at: usize,
}

impl Pair {
    /// Sets up the queues `first` (to receive) and `first + 1` (to transmit).
    pub fn new(
        memory: MemoryRef,
        device: &mut Device,
        first: u16,
        sizes: Sizes,
    ) -> Result<Pair, Error> {
        let receive = device.queue(memory, first, (1, sizes.receive_buffers), 1)?;
        let transmit = device.queue(memory, first + 1, (1, sizes.transmit_buffers), 1)?;
        let pool = |count: u16, len| Region::new(memory, usize::from(count) * len, 64);
        let receive_pool = pool(receive.size(), sizes.receive_len).ok_or(Error::OutOfMemory)?;
        let transmit_pool = pool(transmit.size(), sizes.transmit_len).ok_or(Error::OutOfMemory)?;
        let free = (0..transmit.size()).rev().collect();
        Ok(Pair {
            sizes,
            receive,
            transmit,
            receive_pool,
            transmit_pool,
            reading: None,
            free,
            sent: VecDeque::with_capacity(usize::from(sizes.transmit_buffers)),
            unsent_at: 0,
        })
    }

    /// Gives the device all receive buffers, once it is started.
    pub fn start(&mut self, device: &Device) {
        for buffer in 0..self.receive.size() {
            self.add_buffer(buffer);
        }
        self.receive.kick(device.transport());
    }

    /// Adds receive buffer `index` to the queue. It always fits: there are as many descriptors as
    /// buffers.
    fn add_buffer(&mut self, index: u16) {
        let len = self.sizes.receive_len;
        let buffer = Buffer::writable(self.receive_pool.phys(usize::from(index) * len), len);
        let added = self.receive.add(&[buffer], u32::from(index));
        debug_assert!(added.is_ok());
    }

    /// Writes what fits the free buffers; returns how much that is.
    pub fn write(&mut self, device: &Device, bytes: &[u8]) -> Result<usize, DeviceError> {
        self.reclaim()?;
        let mut written = 0;
        for piece in bytes.chunks(self.sizes.transmit_len) {
            if !self.add(piece) {
                break;
            }
            written += piece.len();
        }
        self.kick_transmit(device);
        Ok(written)
    }

    /// Adds one buffer with `bytes`, without a doorbell. Returns false if all buffers are in
    /// flight.
    pub fn send(&mut self, bytes: &[u8]) -> Result<bool, DeviceError> {
        self.reclaim()?;
        Ok(self.add(bytes))
    }

    fn add(&mut self, bytes: &[u8]) -> bool {
        self.add_filled(&mut |buffer| {
            let count = bytes.len().min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            count
        })
    }

    /// Has `fill` write one buffer, at least one byte, and adds it, without a doorbell. Returns
    /// false if all buffers are in flight.
    pub fn add_filled(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let Some(&index) = self.free.last() else {
            return false;
        };
        let len = self.sizes.transmit_len;
        let offset = usize::from(index) * len;
        // SAFETY: the driver owns a free buffer.
        let count = fill(unsafe { self.transmit_pool.slice(offset, len) }).min(len);
        let buffer = Buffer::readable(self.transmit_pool.phys(offset), count);
        let added = self.transmit.add(&[buffer], u32::from(index)).is_ok();
        if added {
            self.free.pop();
            self.sent.push_back((index, count));
        }
        added
    }

    pub fn kick_transmit(&mut self, device: &Device) {
        self.transmit.kick(device.transport());
    }

    /// Whether the device has taken all output.
    pub fn is_idle(&mut self) -> Result<bool, DeviceError> {
        self.reclaim()?;
        Ok(self.transmit.in_flight() == 0)
    }

    /// Numbers of transmit buffers: those that the device doesn't have, and all.
    pub fn free(&mut self) -> Result<(usize, usize), DeviceError> {
        self.reclaim()?;
        Ok((self.free.len(), usize::from(self.transmit.size())))
    }

    fn reclaim(&mut self) -> Result<(), DeviceError> {
        while let Some(completion) = self.transmit.pop()? {
            let index = completion.token as u16;
            self.free.push(index);
            // Mostly the first one.
            if let Some(at) = self.sent.iter().position(|(sent, _)| *sent == index) {
                self.sent.remove(at);
            }
        }
        Ok(())
    }

    /// Applies `each` to the contents of every buffer that the device has filled, at most one round
    /// of the queue, and returns the buffers to the device.
    pub fn take(
        &mut self,
        device: &Device,
        mut each: impl FnMut(&[u8]) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        for _ in 0..self.receive.size() {
            let Some(done) = self.receive.pop()? else {
                break;
            };
            let index = done.token as u16;
            let offset = usize::from(index) * self.sizes.receive_len;
            // SAFETY: the device has returned the buffer.
            each(unsafe { self.receive_pool.slice(offset, done.written as usize) })?;
            self.add_buffer(index);
        }
        self.receive.kick(device.transport());
        Ok(())
    }

    /// Reads at most `bytes.len()` bytes; returns their number.
    pub fn read(&mut self, device: &Device, bytes: &mut [u8]) -> Result<usize, DeviceError> {
        let mut read = 0;
        // Limits the loop to one round: a device could return empty buffers forever.
        for _ in 0..=self.receive.size() {
            if read == bytes.len() {
                break;
            }
            if self.reading.is_none() {
                let done = self.receive.pop()?;
                self.reading = done.map(|done| (done.token as u16, 0, done.written as usize));
            }
            let Some((index, at, end)) = self.reading else {
                break;
            };
            let len = (end - at).min(bytes.len() - read);
            // SAFETY: the buffer being read has come back from the device.
            let from = unsafe {
                self.receive_pool
                    .slice(usize::from(index) * self.sizes.receive_len, end)
            };
            bytes[read..read + len].copy_from_slice(&from[at..at + len]);
            read += len;
            self.reading = Some((index, at + len, end));
            if at + len == end {
                self.reading = None;
                self.add_buffer(index);
            }
        }
        self.receive.kick(device.transport());
        Ok(read)
    }

    /// Drops unread input: it belongs to a port that was removed.
    pub fn discard_input(&mut self, device: &Device) -> Result<(), DeviceError> {
        if let Some((index, ..)) = self.reading.take() {
            self.add_buffer(index);
        }
        self.take(device, |_| Ok(()))
    }

    /// See [`Console::enable_interrupts`](super::Console::enable_interrupts); input counts if
    /// `reads`.
    pub fn enable_interrupts(&mut self, reads: bool) -> bool {
        let typed = reads && (self.receive.enable_interrupts() || self.reading.is_some());
        let taken = self.transmit.in_flight() > 0 && self.transmit.enable_interrupts();
        typed || taken
    }

    /// The same for messages: of the transmit queue only if `waiting` for room.
    pub fn enable_message_interrupts(&mut self, waiting: bool) -> bool {
        let received = self.receive.enable_interrupts();
        let room = waiting && (!self.free.is_empty() || self.transmit.enable_interrupts());
        received || room
    }

    /// The next byte of the transmit buffers that the device hadn't returned at its stop.
    pub fn take_unsent(&mut self) -> Option<u8> {
        while let Some((index, len)) = self.sent.front().copied() {
            if self.unsent_at < len {
                let offset = usize::from(index) * self.sizes.transmit_len + self.unsent_at;
                self.unsent_at += 1;
                // SAFETY: the device is stopped.
                return unsafe { self.transmit_pool.slice(offset, 1) }
                    .first()
                    .copied();
            }
            self.sent.pop_front();
            self.unsent_at = 0;
        }
        None
    }

    pub fn mark_failed(&mut self) {
        self.receive.mark_failed();
        self.transmit.mark_failed();
    }

    pub fn leak(&mut self) {
        self.receive.leak();
        self.transmit.leak();
        self.receive_pool.leak();
        self.transmit_pool.leak();
    }
}

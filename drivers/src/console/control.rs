//! The control queues (virtio 1.2, 5.3.6.2): messages about ports, in both directions.

use alloc::vec::Vec;

use crate::device::Device;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};

/// Queue to receive messages, and queue to transmit them (5.3.2).
const RECEIVE_QUEUE: u16 = 2;
const TRANSMIT_QUEUE: u16 = 3;

/// `id`, `event` and `value` of `struct virtio_console_control`.
const HEADER_LEN: usize = 8;
/// Maximum number of bytes of a name. Longer names are cut.
const NAME_LEN: usize = 64;
const RECEIVE_LEN: usize = HEADER_LEN + NAME_LEN;
/// QEMU drops a message that finds no buffer. It sends one for each port (31 at most) at the start,
/// then three for each port that is ready.
const RECEIVE_BUFFERS: u16 = 32;
const TRANSMIT_BUFFERS: u16 = 8;

/// `VIRTIO_CONSOLE_DEVICE_READY` and the other events of 5.3.6.2.
pub(super) mod event {
    pub const DEVICE_READY: u16 = 0;
    pub const DEVICE_ADD: u16 = 1;
    pub const DEVICE_REMOVE: u16 = 2;
    pub const PORT_READY: u16 = 3;
    pub const CONSOLE_PORT: u16 = 4;
    pub const PORT_OPEN: u16 = 6;
    pub const PORT_NAME: u16 = 7;
}

/// A message. Its name is empty unless the event is `PORT_NAME`.
pub(super) struct Message {
    pub port: u32,
    pub event: u16,
    pub value: u16,
    pub name: Vec<u8>,
}

impl Message {
    /// `None`: too short. The name ends at the first NUL, which QEMU appends.
    fn parse(bytes: &[u8]) -> Option<Message> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let [a, b, c, d, e, f, g, h] = *header;
        let event = u16::from_le_bytes([e, f]);
        let name = match event {
            event::PORT_NAME => rest.split(|byte| *byte == 0).next().unwrap_or_default(),
            _ => &[],
        };
        Some(Message {
            port: u32::from_le_bytes([a, b, c, d]),
            event,
            value: u16::from_le_bytes([g, h]),
            name: name.to_vec(),
        })
    }
}

pub(super) struct Control {
    receive: Queue,
    transmit: Queue,
    receive_pool: Region,
    transmit_pool: Region,
    /// Transmit buffers that the device doesn't have.
    free: Vec<u16>,
}

impl Control {
    pub fn new(memory: MemoryRef, device: &mut Device) -> Result<Control, Error> {
        let receive = device.queue(memory, RECEIVE_QUEUE, (1, RECEIVE_BUFFERS), 1)?;
        let transmit = device.queue(memory, TRANSMIT_QUEUE, (1, TRANSMIT_BUFFERS), 1)?;
        let pool = |count: u16, len| Region::new(memory, usize::from(count) * len, 64);
        let receive_pool = pool(receive.size(), RECEIVE_LEN).ok_or(Error::OutOfMemory)?;
        let transmit_pool = pool(transmit.size(), HEADER_LEN).ok_or(Error::OutOfMemory)?;
        let free = (0..transmit.size()).rev().collect();
        Ok(Control {
            receive,
            transmit,
            receive_pool,
            transmit_pool,
            free,
        })
    }

    /// Gives the device all receive buffers, and asks it for its ports.
    pub fn start(&mut self, device: &Device) -> Result<(), DeviceError> {
        for buffer in 0..self.receive.size() {
            self.add_buffer(buffer);
        }
        self.receive.kick(device.transport());
        self.send(0, event::DEVICE_READY, 1)?;
        self.kick(device);
        Ok(())
    }

    fn add_buffer(&mut self, index: u16) {
        let buffer = Buffer {
            phys: self.receive_pool.phys(usize::from(index) * RECEIVE_LEN),
            len: RECEIVE_LEN as u32,
            device_writes: true,
        };
        let added = self.receive.add(&[buffer], u32::from(index));
        debug_assert!(added.is_ok());
    }

    /// The next message, of at most as many as there are buffers: see [`Control::messages`].
    fn next(&mut self) -> Result<Option<Option<Message>>, DeviceError> {
        let Some(done) = self.receive.pop()? else {
            return Ok(None);
        };
        let index = done.token as u16;
        let offset = usize::from(index) * RECEIVE_LEN;
        // SAFETY: the device has returned the buffer.
        let message =
            Message::parse(unsafe { self.receive_pool.slice(offset, done.written as usize) });
        self.add_buffer(index);
        Ok(Some(message))
    }

    /// Takes the messages that are there, at most one round of the queue, and returns their
    /// buffers to the device.
    pub fn messages(
        &mut self,
        device: &Device,
        mut each: impl FnMut(Message) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        for _ in 0..self.receive.size() {
            match self.next()? {
                Some(Some(message)) => each(message)?,
                Some(None) => {}
                None => break,
            }
        }
        self.receive.kick(device.transport());
        Ok(())
    }

    /// Adds a message to the queue, without a doorbell. Returns false if all buffers are in flight.
    pub fn send(&mut self, port: u32, event: u16, value: u16) -> Result<bool, DeviceError> {
        while let Some(completion) = self.transmit.pop()? {
            self.free.push(completion.token as u16);
        }
        let Some(&index) = self.free.last() else {
            return Ok(false);
        };
        let offset = usize::from(index) * HEADER_LEN;
        // SAFETY: the driver owns a free buffer.
        let bytes = unsafe { self.transmit_pool.slice(offset, HEADER_LEN) };
        bytes[..4].copy_from_slice(&port.to_le_bytes());
        bytes[4..6].copy_from_slice(&event.to_le_bytes());
        bytes[6..].copy_from_slice(&value.to_le_bytes());
        let buffer = Buffer {
            phys: self.transmit_pool.phys(offset),
            len: HEADER_LEN as u32,
            device_writes: false,
        };
        if self.transmit.add(&[buffer], u32::from(index)).is_err() {
            return Ok(false);
        }
        self.free.pop();
        Ok(true)
    }

    pub fn kick(&mut self, device: &Device) {
        self.transmit.kick(device.transport());
    }

    /// Requests an interrupt for the next message and, if `waiting`, for room to send one. Returns
    /// true if there is work already.
    pub fn enable_interrupts(&mut self, waiting: bool) -> bool {
        let received = self.receive.enable_interrupts();
        let room = waiting && (!self.free.is_empty() || self.transmit.enable_interrupts());
        received || room
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

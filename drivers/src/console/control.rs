//! The control queues (virtio 1.2, 5.3.6.2): messages about ports, in both directions.

use alloc::vec::Vec;

use super::pair::{Pair, Sizes};
use crate::device::Device;
use crate::queue::DeviceError;
use crate::{Error, MemoryRef};

/// Queue to receive messages; the next one transmits them (5.3.2).
const FIRST_QUEUE: u16 = 2;

/// `id`, `event` and `value` of `struct virtio_console_control`.
const HEADER_LEN: usize = 8;
/// Maximum number of bytes of a name. Longer names are cut.
const NAME_LEN: usize = 64;
/// QEMU drops a message that finds no buffer. It sends one for each port (31 at most) at the start,
/// then three for each port that is ready.
const SIZES: Sizes = Sizes {
    receive_buffers: 32,
    receive_len: HEADER_LEN + NAME_LEN,
    transmit_buffers: 8,
    transmit_len: HEADER_LEN,
};

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

pub(super) struct Control(Pair);

impl Control {
    pub fn new(memory: MemoryRef, device: &mut Device) -> Result<Control, Error> {
        Pair::new(memory, device, FIRST_QUEUE, SIZES).map(Control)
    }

    /// Gives the device all receive buffers, and asks it for its ports.
    pub fn start(&mut self, device: &Device) -> Result<(), DeviceError> {
        self.0.start(device);
        self.send(0, event::DEVICE_READY, 1)?;
        self.kick(device);
        Ok(())
    }

    /// Takes the messages that are there, at most one round of the queue.
    pub fn messages(
        &mut self,
        device: &Device,
        mut each: impl FnMut(Message) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        self.0.take(device, |bytes| match Message::parse(bytes) {
            Some(message) => each(message),
            None => Ok(()),
        })
    }

    /// Adds a message to the queue, without a doorbell. Returns false if all buffers are in flight.
    pub fn send(&mut self, port: u32, event: u16, value: u16) -> Result<bool, DeviceError> {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&port.to_le_bytes());
        bytes[4..6].copy_from_slice(&event.to_le_bytes());
        bytes[6..].copy_from_slice(&value.to_le_bytes());
        self.0.send(&bytes)
    }

    pub fn kick(&mut self, device: &Device) {
        self.0.kick_transmit(device);
    }

    /// Requests an interrupt for the next message and, if `waiting`, for room to send one. Returns
    /// true if there is work already.
    pub fn enable_interrupts(&mut self, waiting: bool) -> bool {
        self.0.enable_message_interrupts(waiting)
    }

    pub fn mark_failed(&mut self) {
        self.0.mark_failed();
    }

    pub fn leak(&mut self) {
        self.0.leak();
    }
}

//! Control queue (virtio 1.2, 5.1.6.5): one command to the card at a time, each acknowledged by a
//! byte.

use crate::device::Device;
use crate::queue::{Buffer, Queue};
use crate::{Error, MemoryRef, Region};

/// `VIRTIO_NET_CTRL_MQ`, `VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET` (5.1.6.5.5).
const MQ: u8 = 4;
const MQ_PAIRS_SET: u8 = 0;
/// `VIRTIO_NET_OK`.
const OK: u8 = 0;
/// Initial value of the acknowledgement, before the device writes it.
const NONE: u8 = 0xff;
/// Class, command and a number.
const COMMAND: usize = 4;
/// Maximum number of polls for an acknowledgement. Each is an exit, as during a reset.
const MAX_POLLS: usize = 100_000;

pub(super) struct Control {
    queue: Queue,
    /// The command, followed by the acknowledgement.
    memory: Region,
}

impl Control {
    pub fn new(memory: MemoryRef, device: &mut Device, index: u16) -> Result<Control, Error> {
        Ok(Control {
            queue: device.queue(memory, index, (2, 2), 2)?,
            memory: Region::new(memory, COMMAND + 1, 16).ok_or(Error::OutOfMemory)?,
        })
    }

    /// Sets the number of pairs that the card uses. Returns false if the card refuses or doesn't
    /// answer in time.
    pub fn set_pairs(&mut self, device: &Device, count: u16) -> bool {
        let [low, high] = count.to_le_bytes();
        self.command(device, [MQ, MQ_PAIRS_SET, low, high])
    }

    fn command(&mut self, device: &Device, command: [u8; COMMAND]) -> bool {
        if self.queue.in_flight() > 0 {
            // The card hasn't acknowledged an earlier command.
            return false;
        }
        // SAFETY: nothing is in flight, so the card doesn't use the memory.
        let bytes = unsafe { self.memory.slice(0, COMMAND + 1) };
        bytes[..COMMAND].copy_from_slice(&command);
        bytes[COMMAND] = NONE;
        let piece = |offset, len: usize, device_writes| Buffer {
            phys: self.memory.phys(offset),
            len: len as u32,
            device_writes,
        };
        let pieces = [piece(0, COMMAND, false), piece(COMMAND, 1, true)];
        if self.queue.add(&pieces, 0).is_err() {
            return false;
        }
        self.queue.kick(device.transport());
        for _ in 0..MAX_POLLS {
            match self.queue.pop() {
                // SAFETY: the card has returned the memory.
                Ok(Some(_)) => return unsafe { self.memory.slice(COMMAND, 1) } == [OK],
                Ok(None) => drop(device.transport().status()),
                Err(_) => break,
            }
        }
        false
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.memory.leak();
    }
}

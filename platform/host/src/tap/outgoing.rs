//! Frames that are sent together: the system call that begins the wait sends them all, on the ring.

use super::slots::{SLOT, Slots};
use crate::ring::{Handle, Requests};
use rustix_uring::opcode;
use rustix_uring::types::Fd;

/// Maximum number of frames that the kernel has at once.
const FRAMES: u32 = 16;

/// Frames for a TAP device, to be sent on the ring.
pub struct Outgoing {
    fd: i32,
    slots: Slots,
}

impl Outgoing {
    /// For the device `fd`; `None` without a ring or memory.
    pub fn new(fd: i32, ring: &Handle) -> Option<Outgoing> {
        let slots = Slots::new(ring, FRAMES, Requests::Quiet)?;
        Some(Outgoing { fd, slots })
    }

    /// The number of a free slot.
    fn room(&mut self) -> Option<u32> {
        for full in [false, true] {
            if full {
                self.slots.submit();
            }
            if self.slots.free().is_none() {
                // On an error (the device is down) the frame is lost, as on a wire.
                while self.slots.ended().is_some() {}
            }
            if self.slots.free().is_some() {
                break;
            }
        }
        self.slots.free()
    }

    /// Whether a frame can be sent now.
    pub fn has_room(&mut self) -> bool {
        self.room().is_some()
    }

    /// Sends `len` bytes that `fill` writes, a header and a frame, with the next system call of the
    /// ring; false if there is no room.
    pub fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let Some(slot) = self.room().filter(|_| len <= SLOT) else {
            return false;
        };
        let start = self.slots.at(slot).as_ptr();
        // SAFETY: the slot is free and as long as that.
        let filled = fill(unsafe { core::slice::from_raw_parts_mut(start, len) });
        if filled {
            let write = opcode::Write::new(Fd(self.fd), start, len as u32).build();
            self.slots.submit_with(slot, write, true);
        }
        filled
    }
}

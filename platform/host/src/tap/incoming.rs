//! A read that waits on the ring while the program does: the first frame of a batch comes with the
//! call that waits.

use super::slots::{SLOT, Slots};
use crate::ring::Handle;
use core::ptr::NonNull;
use rustix_uring::types::Fd;
use rustix_uring::{Errno, opcode};

/// Reads frames of a TAP device on the ring.
pub struct Incoming {
    fd: i32,
    slots: Slots,
}

/// State of the read.
pub enum Read {
    /// There is none.
    None,
    /// It waits.
    InFlight,
    /// It has ended: address and length in bytes of a header and a frame, which the caller owns
    /// until the next [`Incoming::ask`].
    Frame(NonNull<u8>, usize),
    /// It failed.
    Failed(Errno),
}

impl Incoming {
    /// For the device `fd`; nothing where there is no ring or no memory.
    pub fn new(fd: i32, ring: &Handle) -> Option<Incoming> {
        let slots = Slots::new(ring, 1, false)?;
        Some(Incoming { fd, slots })
    }

    /// Returns the state of the read; a read that has ended is reported once.
    pub fn take(&mut self) -> Read {
        match self.slots.ended() {
            Some((slot, Ok(len))) => Read::Frame(self.slots.at(slot), (len as usize).min(SLOT)),
            Some((_, Err(error))) => Read::Failed(error),
            None if self.slots.free().is_none() => Read::InFlight,
            None => Read::None,
        }
    }

    /// Wants a frame, if that isn't so already.
    pub fn ask(&mut self) {
        if let Some(slot) = self.slots.free() {
            let read = opcode::Read::new(Fd(self.fd), self.slots.at(slot).as_ptr(), SLOT as u32);
            self.slots.give(slot, read.build(), false);
        }
    }
}

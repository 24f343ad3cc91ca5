//! A read that waits on the ring while the program does: the first frame of a batch arrives with
//! the call that waits.

use super::slots::{SLOT, Slots};
use crate::ring::{Handle, Requests};
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
    /// It is in flight.
    InFlight,
    /// It has completed: address and length in bytes of a header and a frame, which the caller owns
    /// until the next [`Incoming::start_read`].
    Frame(NonNull<u8>, usize),
    /// It failed.
    Failed(Errno),
}

impl Incoming {
    /// For the device `fd`; `None` without a ring or memory.
    pub fn new(fd: i32, ring: &Handle) -> Option<Incoming> {
        let slots = Slots::new(ring, 1, Requests::Lasting)?;
        Some(Incoming { fd, slots })
    }

    /// Returns the state of the read; a completed read is reported once.
    pub fn take(&mut self) -> Read {
        match self.slots.ended() {
            Some((slot, Ok(len))) => Read::Frame(self.slots.at(slot), (len as usize).min(SLOT)),
            Some((_, Err(error))) => Read::Failed(error),
            None if self.slots.free().is_none() => Read::InFlight,
            None => Read::None,
        }
    }

    /// Starts a read, unless one is in flight.
    pub fn start_read(&mut self) {
        if let Some(slot) = self.slots.free() {
            let read = opcode::Read::new(Fd(self.fd), self.slots.at(slot).as_ptr(), SLOT as u32);
            self.slots.submit_with(slot, read.build(), false);
        }
    }
}

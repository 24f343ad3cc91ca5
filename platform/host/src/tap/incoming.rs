//! A read that waits on the ring while the program does: the first frame of a batch comes with the
//! call that waits.

use super::slots::{SLOT, Slots};
use crate::ring::Handle;
use core::ptr::NonNull;
use rustix_uring::types::Fd;
use rustix_uring::{Errno, opcode};

/// See the head of this file.
pub struct Incoming {
    fd: i32,
    slots: Slots,
}

/// What became of the read.
pub enum Read {
    /// There is none.
    None,
    /// It waits.
    UnderWay,
    /// So many bytes from here on, a header and a frame, which are the caller's until the next
    /// [`Incoming::ask`].
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

    /// What became of the read; what has ended is told once.
    pub fn take(&mut self) -> Read {
        match self.slots.ended() {
            Some((slot, Ok(len))) => Read::Frame(self.slots.at(slot), (len as usize).min(SLOT)),
            Some((_, Err(error))) => Read::Failed(error),
            None if self.slots.free().is_none() => Read::UnderWay,
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

//! Readiness of Linux's file descriptors that belong to the program itself.

use crate::Host;
use platform::error::Error;
use platform::{Direction, SystemDescriptors};

/// The event of `poll(2)` for a direction.
pub fn event(direction: Direction) -> i16 {
    match direction {
        Direction::Read => libc::POLLIN,
        Direction::Write => libc::POLLOUT,
    }
}

impl SystemDescriptors for Host {
    fn descriptor_ready(fd: i32, direction: Direction) -> Result<bool, Error> {
        let mut poll = libc::pollfd {
            fd,
            events: event(direction),
            revents: 0,
        };
        // SAFETY: one element, and no waiting.
        let found = unsafe { libc::poll(&mut poll, 1, 0) };
        if poll.revents & libc::POLLNVAL != 0 {
            Err(Error::Closed)
        } else {
            Ok(found > 0)
        }
    }
}

//! Readiness of the descriptors of an image's system calls.

use crate::Image;
use platform::error::Error;
use platform::{Direction, SystemDescriptors};

/// `struct pollfd`.
#[repr(C)]
struct PollFd {
    fd: i32,
    events: i16,
    found: i16,
}

/// Source: `poll.h`.
const POLLIN: i16 = 0x1;
const POLLOUT: i16 = 0x4;
const POLLNVAL: i16 = 0x20;

unsafe extern "C" {
    /// poll(2) of the C library.
    fn poll(list: *mut PollFd, count: usize, timeout: i32) -> i32;
}

impl SystemDescriptors for Image {
    fn descriptor_ready(fd: i32, direction: Direction) -> Result<bool, Error> {
        let events = match direction {
            Direction::Read => POLLIN,
            Direction::Write => POLLOUT,
        };
        let mut wanted = PollFd {
            fd,
            events,
            found: 0,
        };
        // SAFETY: one element, and no waiting.
        let found = unsafe { poll(&raw mut wanted, 1, 0) };
        if wanted.found & POLLNVAL != 0 {
            Err(Error::Closed)
        } else {
            Ok(found > 0)
        }
    }
}

//! The readiness of a network device: the descriptor that a wait looks at, and what it found.

use crate::owned_fd::OwnedFd;
use alloc::rc::Rc;
use core::cell::Cell;

/// How to wait for a link.
#[derive(Clone)]
pub struct LinkWake {
    state: Rc<Wake>,
}

struct Wake {
    /// Readable when a frame has come; -1 when there is nothing to wait for.
    fd: Cell<i32>,
    /// Whether the last wait found the descriptor readable, until the link takes the answer.
    readable: Cell<Option<bool>>,
}

impl LinkWake {
    /// For a link on `fd`.
    pub fn new(fd: &OwnedFd) -> LinkWake {
        LinkWake {
            state: Rc::new(Wake {
                fd: Cell::new(fd.0),
                readable: Cell::new(None),
            }),
        }
    }

    /// The descriptor to poll; -1 where there is nothing to wait for, or the ring reports it.
    pub fn fd(&self) -> i32 {
        self.state.fd.get()
    }

    /// Changes what to wait for.
    pub fn set(&self, fd: Option<&OwnedFd>) {
        self.state.fd.set(fd.map_or(-1, |fd| fd.0));
    }

    /// Notes what a wait has found.
    pub fn note_readiness(&self, readable: bool) {
        self.state.readable.set(Some(readable));
    }

    /// Whether there was something to read at the end of the last wait, if there was a wait since
    /// the last call.
    pub fn take_readiness(&self) -> Option<bool> {
        self.state.readable.take()
    }

    /// Says that the other end has gone: a cable that is pulled, and nothing to wait for.
    pub fn gone(&self, what: &str) {
        if self.state.fd.replace(-1) >= 0 {
            log::warn!("{what} is gone: the network interface is dead");
        }
    }
}

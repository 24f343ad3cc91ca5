//! The readiness of a network device: the descriptor that a wait polls, and its result.

use crate::owned_fd::OwnedFd;
use alloc::rc::Rc;
use core::cell::Cell;

/// How to wait for a link.
#[derive(Clone)]
pub struct LinkWake {
    state: Rc<Wake>,
}

struct Wake {
    /// Readable when a frame has arrived; -1 for nothing to wait for.
    fd: Cell<i32>,
    /// Whether the last wait found the descriptor readable, until the link takes the result.
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

    /// For a link whose frames end every wait.
    pub fn none() -> LinkWake {
        LinkWake {
            state: Rc::new(Wake {
                fd: Cell::new(-1),
                readable: Cell::new(None),
            }),
        }
    }

    /// The descriptor to poll; -1 if there is none, or the ring reports it.
    pub fn fd(&self) -> i32 {
        self.state.fd.get()
    }

    /// Changes the descriptor.
    pub fn set(&self, fd: Option<&OwnedFd>) {
        self.state.fd.set(fd.map_or(-1, |fd| fd.0));
    }

    /// Records the result of a wait.
    pub fn note_readiness(&self, readable: bool) {
        self.state.readable.set(Some(readable));
    }

    /// Whether there was something to read at the end of the last wait, if there was a wait since
    /// the last call.
    pub fn take_readiness(&self) -> Option<bool> {
        self.state.readable.take()
    }

    /// Logs that the other end has gone: like an unplugged cable, with nothing to wait for.
    pub fn gone(&self, what: &str) {
        if self.state.fd.replace(-1) >= 0 {
            log::warn!("{what} is gone: the network interface is dead");
        }
    }
}

//! The set of events that a wait waits for, and the owner of the ring.

use crate::console::descriptor;
use crate::descriptors;
use crate::vnc::Shared;
use crate::{LinkWake, Offload, Ring, event, ring};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use platform::{Direction, Stream};

/// The descriptor that a wait without a ring polls; -1 while there is none.
pub type Epoll = Rc<Cell<i32>>;

/// The events that a wait waits for. It belongs to the program's thread.
pub struct Interest {
    pub(crate) fds: Vec<libc::pollfd>,
    /// Links and their indices in `fds`.
    pub(crate) links: Vec<(usize, LinkWake)>,
    pub(crate) immediate: bool,
    /// The ring, once the first device that may use one exists.
    pub(crate) ring: Option<Ring>,
    pub(crate) offload: Option<Offload>,
    /// Where Linux's own sockets report events without a ring.
    epoll: Option<Epoll>,
    /// The displays, once they or their devices are in use.
    pub(crate) screens: Option<Shared>,
}

impl Interest {
    /// The ring for a device to open.
    pub(crate) fn ring(&mut self) -> Ring {
        self.ring.get_or_insert_with(Ring::default).clone()
    }

    /// The slot for the epoll instance of Linux's own sockets.
    pub(crate) fn epoll(&mut self) -> Epoll {
        self.epoll
            .get_or_insert_with(|| Epoll::new(Cell::new(-1)))
            .clone()
    }

    /// Uses `ring`, as tests do with a forbidden one. Before the first device opens it.
    pub fn use_ring(&mut self, ring: Ring) {
        self.ring = Some(ring);
    }

    /// Adds a file descriptor; `events` as in `poll(2)`.
    pub(crate) fn fd(&mut self, fd: i32, events: i16) {
        if fd >= 0 && self.fds.try_reserve(1).is_ok() {
            self.fds.push(libc::pollfd {
                fd,
                events,
                revents: 0,
            });
        }
    }
}

impl platform::Interest for Interest {
    type LinkWake = LinkWake;
    type Offload = Offload;

    const EMPTY: Interest = Interest {
        fds: Vec::new(),
        links: Vec::new(),
        immediate: false,
        ring: None,
        offload: None,
        epoll: None,
        screens: None,
    };

    fn clear(&mut self) {
        self.fds.clear();
        self.links.clear();
        self.immediate = self.offload.as_ref().is_some_and(Offload::take_found);
        self.fd(event::descriptor(), libc::POLLIN);
        if let Some(epoll) = &self.epoll {
            self.fd(epoll.get(), libc::POLLIN);
        }
        if let Some(event) = self.offload.as_ref().and_then(Offload::event) {
            self.fd(event, libc::POLLIN);
        }
    }

    fn immediately(&mut self) {
        self.immediate = true;
    }

    fn report(&mut self) {
        // The event of the signals reports it.
    }

    fn link(&mut self, wake: &LinkWake, blocked: bool) {
        let output = if blocked { libc::POLLOUT } else { 0 };
        let position = self.fds.len();
        self.fd(wake.fd(), libc::POLLIN | output);
        if self.fds.len() > position && self.links.try_reserve(1).is_ok() {
            self.links.push((position, wake.clone()));
        }
    }

    fn console(&mut self, stream: Stream, direction: Direction) {
        let (fd, events) = descriptor(stream, direction);
        self.fd(fd, events);
    }

    fn descriptor(&mut self, fd: i32, direction: Direction) {
        self.fd(fd, descriptors::event(direction));
    }

    fn submit(&mut self) {
        if let Some(ring) = &self.ring {
            ring.with(ring::Ring::submit_urgent);
        }
    }

    fn submit_all(&mut self) {
        if let Some(ring) = &self.ring {
            ring.with(ring::Ring::submit);
        }
    }

    fn offload(&mut self) -> Offload {
        let ring = self.ring();
        self.offload
            .get_or_insert_with(|| Offload::new(ring))
            .clone()
    }
}

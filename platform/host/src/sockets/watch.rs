//! Which sockets became ready: by the ring where there is one, else by an epoll instance.
//!
//! | | to wait for a socket | cost |
//! |---|---|---|
//! | ring | a one-shot poll of the direction found not ready | none: the wait's call begins it |
//! | epoll | registered once for both directions, edge-triggered | `epoll_wait(2)` after a wait |

use crate::owned_fd::OwnedFd;
use crate::{Ring, ring};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use platform::Direction;
use rustix_uring::opcode;
use rustix_uring::types::Fd;

/// Events of one call of `epoll_wait`.
const BATCH: usize = 256;

/// Bits of [`Place::index`] in a tag.
const INDEX_BITS: u32 = 20;
/// Bits of [`Place::generation`] in a tag, beside the index and the direction.
const GENERATION_BITS: u32 = 27;

/// The descriptor that a wait without a ring looks at; -1 while there is none.
pub type Epoll = Rc<Cell<i32>>;

/// A socket: its key, and which use of that key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The key in the table.
    pub index: u32,
    /// Counts sockets; it wraps.
    pub generation: u32,
}

/// What a socket may have become ready for.
pub struct Event {
    /// The socket.
    pub place: Place,
    /// A read is worthwhile.
    pub read: bool,
    /// A write is worthwhile.
    pub write: bool,
    /// The peer sends no more, or has sent urgent data, or the connection has failed.
    pub goes_on: bool,
}

/// The source of events.
pub enum Watch {
    /// Polls on the ring.
    Ring(ring::Owner),
    /// An epoll instance, and the events that the last call found.
    Epoll(OwnedFd, Vec<libc::epoll_event>),
}

/// The tag of a poll on the ring.
fn tag(place: Place, direction: Direction) -> u64 {
    let generation = u64::from(place.generation) & ((1 << GENERATION_BITS) - 1);
    let write = u64::from(direction == Direction::Write);
    (generation << INDEX_BITS | u64::from(place.index)) << 1 | write
}

impl Watch {
    /// The ring if the kernel has one, else an epoll instance, which `epoll` then has for the wait.
    /// Where neither can be had, adding a socket fails.
    pub fn open(ring: &Ring, epoll: &Epoll) -> Watch {
        if let Some(owner) = ring.open(false) {
            return Watch::Ring(owner);
        }
        // SAFETY: a call without pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        epoll.set(fd);
        Watch::Epoll(OwnedFd(fd), Vec::new())
    }

    /// Watches a new socket. `false` if the system has no memory for that.
    pub fn add(&self, fd: &OwnedFd, place: Place) -> bool {
        let Watch::Epoll(epoll, _) = self else {
            return true;
        };
        let wanted =
            libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLPRI | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event {
            events: wanted as u32,
            u64: tag(place, Direction::Read),
        };
        // SAFETY: reads `event`.
        unsafe { libc::epoll_ctl(epoll.0, libc::EPOLL_CTL_ADD, fd.0, &raw mut event) == 0 }
    }

    /// Wants an event when the direction is ready. `false` if the ring is no longer this process's.
    pub fn arm(&self, fd: &OwnedFd, place: Place, direction: Direction) -> bool {
        let Watch::Ring(owner) = self else {
            return true;
        };
        let events = match direction {
            Direction::Read => libc::POLLIN | libc::POLLRDHUP,
            Direction::Write => libc::POLLOUT,
        };
        let request = opcode::PollAdd::new(Fd(fd.0), events as u32).build();
        // SAFETY: the request has no memory.
        unsafe { owner.push(request, tag(place, direction), false) }
    }

    /// Ends a poll, which would keep a closed socket open.
    pub fn disarm(&self, place: Place, direction: Direction) {
        if let Watch::Ring(owner) = self {
            owner.end_poll(tag(place, direction));
        }
    }

    /// The next event; `None` if there is no other now.
    pub fn next(&mut self) -> Option<Event> {
        match self {
            Watch::Ring(owner) => {
                let (tag, answer) = owner.ended()?;
                let events = answer.unwrap_or(libc::POLLERR as u32);
                let write = tag & 1 != 0;
                let over = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;
                Some(Event {
                    place: place(tag),
                    read: !write,
                    write,
                    goes_on: events & over != 0,
                })
            }
            Watch::Epoll(_, found) => {
                let event = found.pop()?;
                let any = |bits: i32| event.events & bits as u32 != 0;
                let over = libc::EPOLLHUP | libc::EPOLLERR;
                Some(Event {
                    place: place(event.u64),
                    read: any(libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLRDHUP | over),
                    write: any(libc::EPOLLOUT | over),
                    goes_on: any(libc::EPOLLPRI | libc::EPOLLRDHUP | over),
                })
            }
        }
    }

    /// Asks the system for events. Whether there may be more than it told.
    pub fn look(&mut self) -> bool {
        let Watch::Epoll(epoll, found) = self else {
            return false;
        };
        if found.try_reserve(BATCH).is_err() {
            return false;
        }
        // SAFETY: there is room for so many events, of which the first `n` are written.
        unsafe {
            let n = libc::epoll_wait(epoll.0, found.as_mut_ptr(), BATCH as i32, 0);
            let n = usize::try_from(n).unwrap_or(0);
            found.set_len(n);
            n == BATCH
        }
    }
}

/// The socket of a tag. Its generation has the tag's bits only.
fn place(tag: u64) -> Place {
    Place {
        index: (tag >> 1) as u32 & ((1 << INDEX_BITS) - 1),
        generation: (tag >> (1 + INDEX_BITS)) as u32,
    }
}

/// A generation as tags have it.
pub fn generation(count: u32) -> u32 {
    count & ((1 << GENERATION_BITS) - 1)
}

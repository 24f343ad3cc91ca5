//! Readiness events of sockets: from the ring if there is one, else from an epoll instance.
//!
//! | | to wait for a socket | cost |
//! |---|---|---|
//! | ring | a one-shot poll of the direction found not ready | none: the wait's call begins it |
//! | ring, reads of connections (since Linux 6.0) | one request, which puts what comes into [`super::buffers`] | a copy, instead of a call for each read |
//! | epoll | registered once for both directions, edge-triggered | `epoll_wait(2)` after a wait |

use super::{buffers, calls};
use crate::interest::Epoll;
use crate::owned_fd::OwnedFd;
use crate::ring::Requests;
use crate::{Host, Ring, ring};
use alloc::vec::Vec;
use net::Error;
use platform::Wait;
use rustix_uring::cqueue::Flags;
use rustix_uring::types::Fd;
use rustix_uring::{Errno, cqueue, opcode};

/// Maximum number of events per call of `epoll_wait`.
const BATCH: usize = 256;

/// Bits of [`Place::index`] in a tag.
const INDEX_BITS: u32 = 20;
/// Bits of [`Place::generation`] in a tag, beside the index and the request.
const GENERATION_BITS: u32 = 26;
/// Bits of [`Request`] in a tag.
const REQUEST_BITS: u32 = 2;

/// A socket: its key, and the generation of that key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The key in the table.
    pub index: u32,
    /// Counts sockets; it wraps.
    pub generation: u32,
}

/// A request about a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// An event when a read is worthwhile.
    Readable = 0,
    /// An event when a write is worthwhile.
    Writable = 1,
    /// What a connection receives.
    Data = 2,
}

/// An event of a socket.
pub struct Event {
    /// The socket.
    pub place: Place,
    pub what: What,
}

/// The contents of an event.
pub enum What {
    /// Which operations are worthwhile.
    Ready {
        read: bool,
        write: bool,
        /// The peer sends no more, or has sent urgent data, or the connection has failed.
        more_follows: bool,
    },
    /// A completion of [`Request::Data`].
    Data(Data),
}

/// A completion of [`Request::Data`].
pub struct Data {
    /// The buffer with received data, and its length.
    pub buffer: Option<(u16, usize)>,
    /// Why the connection is over.
    pub failure: Option<Error>,
    /// The request continues.
    pub continues: bool,
    /// There was more than the buffer had room for.
    pub is_behind: bool,
    /// The kernel doesn't support such requests.
    pub is_unknown: bool,
    /// The kernel had no buffer left.
    pub is_starved: bool,
}

impl Data {
    /// The contents of a completion of the request.
    pub fn new(result: Result<u32, Errno>, flags: Flags) -> Data {
        let len = result.unwrap_or(0) as usize;
        Data {
            buffer: cqueue::buffer_select(flags).map(|id| (id, len)),
            failure: result.err().and_then(|errno| {
                let failure = calls::error(errno.raw_os_error());
                super::tcp::is_over(failure).then_some(failure)
            }),
            continues: cqueue::more(flags),
            is_behind: cqueue::sock_nonempty(flags),
            is_unknown: result == Err(Errno::INVAL),
            is_starved: result == Err(Errno::NOBUFS),
        }
    }
}

/// The source of events.
pub enum Watch {
    /// Polls on the ring.
    Ring(ring::Owner),
    /// An epoll instance, the events that the last call found, and the number of forks before it.
    Epoll(OwnedFd, Vec<libc::epoll_event>, u32),
}

/// The tag of a request on the ring.
fn tag(place: Place, request: Request) -> u64 {
    let generation = u64::from(place.generation) & ((1 << GENERATION_BITS) - 1);
    (generation << INDEX_BITS | u64::from(place.index)) << REQUEST_BITS | request as u64
}

impl Watch {
    /// The ring if the kernel has one, else an epoll instance, which is stored in `epoll` for the
    /// wait. If neither is available, adding a socket fails.
    pub fn open(ring: &Ring, epoll: &Epoll) -> Watch {
        if let Some(owner) = ring.open(Requests::Repeated) {
            return Watch::Ring(owner);
        }
        // SAFETY: a call without pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        epoll.set(fd);
        Watch::Epoll(OwnedFd(fd), Vec::new(), Host::forks())
    }

    /// Whether the epoll instance is a parent's, from which its events must not be taken. A ring
    /// shows that by refusing requests.
    pub fn is_inherited(&self) -> bool {
        matches!(self, Watch::Epoll(_, _, forks) if *forks != Host::forks())
    }

    /// Watches a new socket. `false` if the system has no memory for that.
    pub fn add(&self, fd: &OwnedFd, place: Place) -> bool {
        let Watch::Epoll(epoll, ..) = self else {
            return true;
        };
        let wanted =
            libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLPRI | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event {
            events: wanted as u32,
            u64: tag(place, Request::Readable),
        };
        // SAFETY: reads `event`.
        unsafe { libc::epoll_ctl(epoll.0, libc::EPOLL_CTL_ADD, fd.0, &raw mut event) == 0 }
    }

    /// Makes a request. `false` if the ring is no longer this process's.
    pub fn request(&self, fd: &OwnedFd, place: Place, request: Request) -> bool {
        let Watch::Ring(owner) = self else {
            return true;
        };
        let poll = |events: i16| opcode::PollAdd::new(Fd(fd.0), events as u32).build();
        let entry = match request {
            Request::Readable => poll(libc::POLLIN | libc::POLLRDHUP),
            Request::Writable => poll(libc::POLLOUT),
            Request::Data => opcode::RecvMulti::new(Fd(fd.0), buffers::GROUP).build(),
        };
        // SAFETY: polls have no memory, and the group's buffers stay.
        unsafe { owner.push(entry, tag(place, request), false) }
    }

    /// Cancels a request: there may be completions until its end. Returns whether it will end.
    pub fn cancel(&self, place: Place, request: Request) -> bool {
        match self {
            Watch::Ring(owner) => owner.cancel(tag(place, request)),
            Watch::Epoll(..) => false,
        }
    }

    /// Submits new requests and cancellations.
    pub fn submit(&self) {
        if let Watch::Ring(owner) = self {
            owner.submit();
        }
    }

    /// The next event; `None` if there is no other now.
    pub fn next(&mut self) -> Option<Event> {
        match self {
            Watch::Ring(owner) => {
                let ring::Ended { tag, result, flags } = owner.ended()?;
                let what = if is(tag, Request::Data) {
                    What::Data(Data::new(result, flags))
                } else {
                    // The thread that made the request has ended: whether the socket is ready is
                    // unknown.
                    let events = match result {
                        Err(Errno::CANCELED) => 0,
                        result => result.unwrap_or(libc::POLLERR as u32),
                    };
                    let over = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;
                    What::Ready {
                        read: is(tag, Request::Readable),
                        write: is(tag, Request::Writable),
                        more_follows: events & over != 0,
                    }
                };
                Some(Event {
                    place: place(tag),
                    what,
                })
            }
            Watch::Epoll(_, found, _) => {
                let event = found.pop()?;
                let any = |bits: i32| event.events & bits as u32 != 0;
                let over = libc::EPOLLHUP | libc::EPOLLERR;
                let what = What::Ready {
                    read: any(libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLRDHUP | over),
                    write: any(libc::EPOLLOUT | over),
                    more_follows: any(libc::EPOLLPRI | libc::EPOLLRDHUP | over),
                };
                Some(Event {
                    place: place(event.u64),
                    what,
                })
            }
        }
    }

    /// Polls the system for events. Returns whether there may be more.
    pub fn poll(&mut self) -> bool {
        let Watch::Epoll(epoll, found, _) = self else {
            return false;
        };
        if found.try_reserve(BATCH).is_err() {
            return false;
        }
        // SAFETY: there is room for that many events, of which the first `n` are written.
        unsafe {
            let n = libc::epoll_wait(epoll.0, found.as_mut_ptr(), BATCH as i32, 0);
            let n = usize::try_from(n).unwrap_or(0);
            found.set_len(n);
            n == BATCH
        }
    }
}

/// The socket of a tag. Its generation has only the tag's bits.
fn place(tag: u64) -> Place {
    Place {
        index: (tag >> REQUEST_BITS) as u32 & ((1 << INDEX_BITS) - 1),
        generation: (tag >> (REQUEST_BITS + INDEX_BITS)) as u32,
    }
}

/// Whether a tag is of such a request.
fn is(tag: u64, request: Request) -> bool {
    tag & ((1 << REQUEST_BITS) - 1) == request as u64
}

/// A generation, truncated to the bits of a tag.
pub fn generation(count: u32) -> u32 {
    count & ((1 << GENERATION_BITS) - 1)
}

//! `SOIL_NET=host`: the program's sockets are Linux's own, in non-blocking mode.
//!
//! ```text
//!   resources::net      the calls of the program, the same for Soil's stack
//!         │ net::Transport
//!     Sockets           the table: handles, errors as the stack has them
//!      │    │
//!    calls  watch       system calls; which sockets became ready
//!           │
//!     ring │ epoll      with io_uring, or where the kernel forbids it
//! ```
//!
//! A call is tried at once. If it would block, its direction is marked as blocked, until an event.
//! A read that fills its buffer only in part has emptied the socket, and a partial write has filled
//! it (epoll(7)), so the next try needs no system call.
//!
//! Data that a connection receives while a read waits arrives with the event, in [`buffers`] of the
//! kernel's choice. A connection that receives more than these hold is read by calls.

mod address;
mod buffers;
mod calls;
mod info;
mod messages;
mod system;
mod tcp;
#[cfg(test)]
mod tests;
mod transport;
mod udp;
mod watch;

use crate::interest::Epoll;
use crate::owned_fd::OwnedFd;
use crate::{Interest, Ring, sleep};
use alloc::sync::Arc;
use alloc::vec::Vec;
use buffers::{Buffers, Chain};
use net::{Congestion, Error, Handle, Progress, Readiness, TcpOptions};
use platform::Direction;
use slab::Slab;
use watch::{Data, Place, Request, Watch, What};

/// Maximum number of events per poll; more are for the next.
const EVENTS: usize = 1024;

/// Linux's sockets as the program's.
pub struct Sockets {
    table: Slab<Socket>,
    /// Number of sockets so far, modulo the tags' bits.
    made: u32,
    watch: Watch,
    ring: Ring,
    epoll: Epoll,
    /// Data that connections receive before it is read; `None` if reads are calls.
    buffers: Option<Buffers>,
    /// The kernel fills them with received data. Data that it has stored stays to be read if it
    /// stops.
    brings: bool,
    /// Sockets with events that were not yet taken.
    events: Vec<Handle>,
    /// The algorithm in `SOIL_TCP_CONGESTION`.
    congestion: Congestion,
    /// Connections that are closed and still send leased bytes.
    orphans: usize,
    /// Connections with leased bytes that the peer hasn't acknowledged.
    unacknowledged: Vec<Handle>,
}

// SAFETY: `net` requires transports that can move between threads. This one belongs to the runtime,
// which one thread at a time uses (`runtime.rs`), as is everything that it shares with the
// runtime's waits; none of it depends on the thread.
unsafe impl Send for Sockets {}

/// One socket.
struct Socket {
    /// Shared with calls that send without the runtime's lock.
    fd: Arc<OwnedFd>,
    /// Of the handle, and of polls.
    generation: u32,
    /// Of the family `AF_INET6`.
    v6: bool,
    kind: Kind,
    read: Way,
    write: Way,
    /// A short read has not emptied it: the end follows, or urgent data, at which Linux cuts reads.
    more_follows: bool,
    /// Data received beyond the last read.
    received: Chain,
    /// It receives more at a time than buffers are for: reads are calls.
    in_bulk: bool,
}

/// One direction of a socket.
#[derive(Default)]
struct Way {
    /// The last try would have blocked, and there was no event since.
    blocked: bool,
    asked: Pending,
}

/// The pending request of a direction.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    /// An event, once.
    Event,
    /// Received data, as it arrives. Until the request has ended nothing else may read.
    Data,
    /// The same, cancelled.
    DataNoMore,
}

/// The kind of a socket.
enum Kind {
    /// A TCP port: bound or listening.
    Port {
        listening: bool,
        /// A connection was accepted since the last event: whether there are more is unknown.
        accepted: bool,
        options: TcpOptions,
    },
    Connection(tcp::Connection),
    Udp(udp::Peer),
}

impl Socket {
    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// Makes `call` unless the direction is blocked, and records the outcome. `part`: a result
    /// after which the next call would block.
    fn attempt<T>(
        &mut self,
        direction: Direction,
        call: impl FnOnce(&OwnedFd) -> Result<T, Error>,
        part: impl FnOnce(&T) -> bool,
    ) -> Result<T, Error> {
        if self.way(direction).blocked {
            return Err(Error::WouldBlock);
        }
        let answer = call(&self.fd);
        let more_follows = self.more_follows && direction == Direction::Read;
        self.way(direction).blocked = match &answer {
            Ok(done) => part(done) && !more_follows,
            Err(failure) => *failure == Error::WouldBlock,
        };
        answer
    }
}

/// The index of a handle in the table.
fn index(handle: Handle) -> usize {
    (handle.to_raw() & u64::from(u32::MAX)) as usize
}

fn handle(place: Place) -> Handle {
    Handle::from_raw(u64::from(place.generation) << 32 | u64::from(place.index))
}

impl Sockets {
    /// No sockets.
    pub fn new(interest: &mut Interest, congestion: Congestion) -> Sockets {
        let (ring, epoll) = (interest.ring(), interest.epoll());
        let watch = Watch::open(&ring, &epoll);
        let buffers = match &watch {
            Watch::Ring(owner) => Buffers::open(owner),
            Watch::Epoll(..) => None,
        };
        system::raise_limit();
        Sockets {
            brings: buffers.is_some(),
            table: Slab::new(),
            made: 0,
            watch,
            ring,
            epoll,
            buffers,
            events: Vec::new(),
            congestion,
            orphans: 0,
            unacknowledged: Vec::new(),
        }
    }

    /// Adds a socket to the table.
    fn insert(&mut self, fd: OwnedFd, v6: bool, kind: Kind) -> Result<Handle, Error> {
        self.made = watch::generation(self.made.wrapping_add(1));
        let entry = self.table.vacant_entry();
        let place = Place {
            index: entry.key() as u32,
            generation: self.made,
        };
        if !self.watch.add(&fd, place) {
            return Err(Error::OutOfMemory);
        }
        entry.insert(Socket {
            fd: Arc::new(fd),
            generation: place.generation,
            v6,
            kind,
            read: Way::default(),
            write: Way::default(),
            more_follows: false,
            received: Chain::default(),
            in_bulk: false,
        });
        Ok(handle(place))
    }

    /// The socket of a handle, unless it was closed.
    fn socket(&mut self, handle: Handle) -> Result<&mut Socket, Error> {
        let generation = (handle.to_raw() >> 32) as u32;
        let socket = self.table.get_mut(index(handle));
        let socket = socket.filter(|socket| socket.generation == generation);
        let socket = socket.ok_or(Error::BadHandle)?;
        match &socket.kind {
            Kind::Connection(connection) if connection.is_orphan => Err(Error::BadHandle),
            _ => Ok(socket),
        }
    }

    /// Requests an event for a direction that isn't ready, or received data.
    fn arm(&mut self, handle: Handle, direction: Direction) {
        let Some(socket) = self.table.get_mut(index(handle)) else {
            return;
        };
        // Most calls end here.
        let way = socket.way(direction);
        if !way.blocked || way.asked != Pending::Nothing {
            return;
        }
        let place = Place {
            index: index(handle) as u32,
            generation: socket.generation,
        };
        let receives = self.brings && !socket.in_bulk && socket.is_open();
        let (request, asked) = match direction {
            Direction::Read if receives => (Request::Data, Pending::Data),
            Direction::Read => (Request::Readable, Pending::Event),
            Direction::Write => (Request::Writable, Pending::Event),
        };
        if self.watch.request(&socket.fd, place, request) {
            socket.way(direction).asked = asked;
        } else {
            self.renew_watch();
        }
    }

    /// Ring or epoll are a parent's: uses an epoll instance of this process from now on.
    fn renew_watch(&mut self) {
        self.watch = Watch::open(&self.ring, &self.epoll);
        self.brings = false;
        for (key, socket) in &mut self.table {
            let place = Place {
                index: key as u32,
                generation: socket.generation,
            };
            let asked = match self.watch.add(&socket.fd, place) {
                true => Pending::Event,
                false => Pending::Nothing,
            };
            (socket.read.asked, socket.write.asked) = (asked, asked);
        }
    }

    /// Removes a socket.
    fn remove(&mut self, handle: Handle) {
        let Some(mut socket) = self.table.try_remove(index(handle)) else {
            return;
        };
        let place = Place {
            index: index(handle) as u32,
            generation: socket.generation,
        };
        if let Some(buffers) = &mut self.buffers
            && !socket.received.is_empty()
        {
            // Linux resets a connection that is closed with unread bytes, but these were already
            // taken from it.
            let _ = calls::set_linger(&socket.fd, true);
            buffers.clear(&mut socket.received);
        }
        // A request keeps the socket open until the thread that made it enters the kernel. A
        // listener's port is free before that.
        if let Kind::Port {
            listening: true, ..
        } = socket.kind
            && !sleep::shares_descriptors()
        {
            // SAFETY: a call without pointers.
            unsafe { libc::shutdown(socket.fd.0, libc::SHUT_RD) };
        }
        let requests = [
            (socket.read.asked, Request::Readable),
            (socket.write.asked, Request::Writable),
        ];
        let mut cancelled = false;
        for (asked, event) in requests {
            cancelled |= match asked {
                Pending::Nothing | Pending::DataNoMore => asked == Pending::DataNoMore,
                Pending::Event => self.watch.cancel(place, event),
                Pending::Data => self.watch.cancel(place, Request::Data),
            };
        }
        if cancelled {
            self.watch.submit();
        }
    }

    /// Handles events.
    fn poll(&mut self, now_ns: u64) -> Progress {
        if self.watch.is_inherited() {
            self.renew_watch();
        }
        let mut more_work = self.watch.poll();
        let mut count = 0;
        while let Some(event) = self.watch.next() {
            self.note(&event);
            count += 1;
            if count == EVENTS {
                more_work = true;
                break;
            }
        }
        Progress {
            more_work,
            next_deadline_ns: self.reclaim(now_ns),
            transmit_blocked: false,
        }
    }

    fn note(&mut self, event: &watch::Event) {
        let socket = self.table.get_mut(event.place.index as usize);
        // Another socket may have had this slot when the request was made.
        let socket = socket.filter(|socket| socket.generation == event.place.generation);
        let Some(socket) = socket else {
            if let What::Data(data) = &event.what {
                self.release_buffer(data);
            }
            return;
        };
        let handle = handle(event.place);
        match &event.what {
            What::Ready {
                read,
                write,
                more_follows,
            } => {
                socket.more_follows |= more_follows;
                if *read {
                    socket.read = Way::default();
                    if let Kind::Port { accepted, .. } = &mut socket.kind {
                        *accepted = false;
                    }
                }
                if *write {
                    socket.write = Way::default();
                    self.send_shared(handle);
                }
            }
            What::Data(data) => self.note_data(event.place, data),
        }
        self.events.push(handle);
    }

    /// Stores data that a connection has received.
    fn note_data(&mut self, place: Place, data: &Data) {
        let Some(socket) = self.table.get_mut(place.index as usize) else {
            return;
        };
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        match data.buffer {
            Some((id, len)) if len > 0 => buffers.add(&mut socket.received, id, len),
            Some((id, _)) => buffers.recycle(id),
            None if data.is_starved => buffers.grow(),
            None => {}
        }
        if let Kind::Connection(connection) = &mut socket.kind {
            connection.failure = connection.failure.or(data.failure);
        }
        // Reads by calls are cheaper for much at a time, and leave unread data with the system,
        // whose window limits the peer.
        socket.in_bulk |= data.is_behind || socket.received.is_long();
        if !data.continues {
            socket.read = Way::default();
        } else {
            socket.read.blocked = socket.received.is_empty();
            if socket.in_bulk
                && socket.read.asked == Pending::Data
                && self.watch.cancel(place, Request::Data)
            {
                socket.read.asked = Pending::DataNoMore;
            }
        }
        if data.is_unknown {
            self.brings = false;
        }
    }

    /// Recycles the buffer of a removed connection.
    fn release_buffer(&mut self, data: &Data) {
        if let (Some(buffers), Some((id, _))) = (&mut self.buffers, data.buffer) {
            buffers.recycle(id);
        }
    }

    /// Which operations are worth a try; requests an event for the others.
    fn readiness(&mut self, handle: Handle) -> Result<Readiness, Error> {
        let socket = self.socket(handle)?;
        if let Kind::Port { accepted, .. } = &mut socket.kind
            && core::mem::take(accepted)
        {
            socket.read.blocked |= !calls::is_ready(&socket.fd, Direction::Read);
        }
        let connecting = socket.is_connecting();
        let ready = Readiness {
            readable: !socket.read.blocked && !connecting,
            writable: !socket.write.blocked,
            hangup: false,
            error: matches!(&socket.kind, Kind::Connection(one) if one.failure.is_some()),
        };
        let (read, write) = (socket.read.blocked && !connecting, socket.write.blocked);
        if read {
            self.arm(handle, Direction::Read);
        }
        if write {
            self.arm(handle, Direction::Write);
        }
        Ok(ready)
    }
}

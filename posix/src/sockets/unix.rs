//! Unix-domain sockets, within the program: streams, datagrams and sequenced packets.
//!
//! Each socket has a queue of messages, to which its peers append. A stream's reader ignores
//! message boundaries. Changes wake every thread that waits for a descriptor.
//!
//! Source: unix(7); Linux's `net/unix/af_unix.c`.

mod bindings;
mod held;
mod in_flight;
mod queue;
#[cfg(test)]
mod tests;

use super::address::{Name, family_of};
use super::attempts::{Patience, try_or_wait};
use super::options::{Kind, Options, put};
use super::{Received, Rights, Socket, directions};
use crate::blocking::lent::Lent;
use crate::blocking::readiness::Events;
use crate::errors::{Errno, Result};
use crate::file::Description;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use bindings::Key;
use core::sync::atomic::AtomicUsize;
pub use queue::MAX_QUEUE;
use queue::{Message, Queue};
use resources::Runtime;
use sync::mutex::{Mutex, level};

/// Bytes of the family, with which every address begins.
const FAMILY: usize = 2;
/// Maximum size of an address: `struct sockaddr_un`.
const MAX_ADDRESS: usize = 110;

/// A descriptor's Unix-domain socket. Dropping it closes it.
pub struct Unix(Arc<Inner>);

/// A socket from its peers' view.
struct Inner {
    /// `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_SEQPACKET`.
    kind: i32,
    /// Its index in [`held::SOCKETS`].
    in_flight: AtomicUsize,
    /// Used inside a call of the runtime; no two at a time.
    state: Mutex<State, level::Socket>,
}

struct State {
    /// The address, and the binding.
    bound: Option<(Name, Key)>,
    /// The socket to which it is connected; a closed one can't be upgraded.
    peer: Option<Weak<Inner>>,
    peer_name: Name,
    /// Connections to be accepted, of a listener.
    pending: Option<Pending>,
    queue: Queue,
    /// The directions that are over: receive, send.
    ended: [bool; 2],
    /// An error that the next call reports.
    error: Option<Errno>,
    closed: bool,
    /// Number of changes of its readiness made by others.
    changes: u64,
    options: Options,
}

/// The backlog of a listener.
struct Pending {
    most: usize,
    connections: VecDeque<Unix>,
}

/// The address of an unbound socket.
fn unnamed() -> Name {
    Name::new(&(libc::AF_UNIX as u16).to_le_bytes())
}

/// The part of an address after its family.
fn path_of(address: &[u8]) -> Result<&[u8]> {
    if !(FAMILY..=MAX_ADDRESS).contains(&address.len()) {
        return Err(libc::EINVAL);
    }
    if family_of(address) != Some(libc::AF_UNIX) {
        return Err(libc::EINVAL);
    }
    Ok(address.get(FAMILY..).unwrap_or_default())
}

impl Inner {
    fn new(kind: i32) -> Arc<Inner> {
        Arc::new(Inner {
            kind,
            in_flight: AtomicUsize::new(held::NOWHERE),
            state: Mutex::new(State {
                bound: None,
                peer: None,
                peer_name: unnamed(),
                pending: None,
                queue: Queue::new(),
                ended: [false; 2],
                error: None,
                closed: false,
                changes: 0,
                options: Options::new(Kind::Unix),
            }),
        })
    }

    fn is_datagram(&self) -> bool {
        self.kind == libc::SOCK_DGRAM
    }

    /// Ends the socket. Its peer receives the queued messages, and sends no more.
    fn close(&self, rt: &mut Runtime) {
        let mut state = self.state.lock();
        state.closed = true;
        let unread = !state.queue.is_empty();
        let peer = state.peer.take().and_then(|peer| peer.upgrade());
        let pending = state.pending.take();
        if let Some((_, key)) = state.bound.take() {
            bindings::remove(&key);
        }
        let queue = core::mem::take(&mut state.queue);
        drop(state);
        if let Some(peer) = peer
            && !self.is_datagram()
        {
            let mut peer = peer.state.lock();
            peer.ended = [true; 2];
            peer.changes += 1;
            if unread {
                peer.error = Some(libc::ECONNRESET);
            }
        }
        for connection in pending.into_iter().flat_map(|pending| pending.connections) {
            let client = connection.0.state.lock().peer.clone();
            if let Some(client) = client.and_then(|client| client.upgrade()) {
                let mut client = client.state.lock();
                client.error = Some(libc::ECONNRESET);
                client.changes += 1;
            }
            connection.0.close(rt);
        }
        rt.wake_watchers();
        // Descriptors in it are closed outside of the runtime.
        drop(queue);
    }
}

/// Connects two sockets.
fn join(a: &Arc<Inner>, b: &Arc<Inner>) {
    for (one, other) in [(a, b), (b, a)] {
        one.state.lock().peer = Some(Arc::downgrade(other));
    }
}

impl Unix {
    /// `socket`; [`libc::ESOCKTNOSUPPORT`].
    pub fn new(kind: i32) -> Result<Unix> {
        match kind {
            libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_SEQPACKET => {
                Ok(Unix(Inner::new(kind)))
            }
            // As on Linux.
            libc::SOCK_RAW => Ok(Unix(Inner::new(libc::SOCK_DGRAM))),
            _ => Err(libc::ESOCKTNOSUPPORT),
        }
    }

    /// `socketpair`.
    pub fn pair(kind: i32) -> Result<[Unix; 2]> {
        let pair = [Unix::new(kind)?, Unix::new(kind)?];
        let [a, b] = &pair;
        join(&a.0, &b.0);
        Ok(pair)
    }

    fn patience(&self, flags: i32, receives: bool) -> Patience {
        let state = self.0.state.lock();
        let waits = flags & libc::MSG_DONTWAIT == 0;
        state.options.patience(waits, receives)
    }

    /// The socket at `address`; [`libc::EPROTOTYPE`] if it is of another type.
    fn find(&self, address: &[u8]) -> Result<Arc<Inner>> {
        let found = bindings::find(path_of(address)?)?;
        if found.kind != self.0.kind {
            return Err(libc::EPROTOTYPE);
        }
        Ok(found)
    }

    fn name(&self) -> Name {
        let state = self.0.state.lock();
        state.bound.as_ref().map_or(unnamed(), |(name, _)| *name)
    }

    /// The receiver of messages: the socket at the address, or else the peer.
    fn destination(&self, to: Option<&Arc<Inner>>) -> Result<Arc<Inner>> {
        let mut state = self.0.state.lock();
        if state.ended[1] {
            return Err(libc::EPIPE);
        }
        if let Some(to) = to {
            return Ok(Arc::clone(to));
        }
        let peer = state.peer.as_ref().ok_or(libc::ENOTCONN)?;
        match peer.upgrade() {
            Some(peer) => Ok(peer),
            None if self.0.is_datagram() => {
                // As on Linux, the next send fails with ENOTCONN.
                state.peer = None;
                Err(libc::ECONNREFUSED)
            }
            None => Err(libc::EPIPE),
        }
    }

    /// Appends bytes to the receiver's queue, as many as there is room for, and all of a datagram;
    /// `None` if there is no room.
    fn put(
        &self,
        rt: &mut Runtime,
        from: &[u8],
        to: Option<&Arc<Inner>>,
        rights: &mut Rights,
    ) -> Result<Option<usize>> {
        let is_stream = self.0.kind == libc::SOCK_STREAM;
        // A stream's next read fails with the error of a peer that left bytes unread.
        if !is_stream && let Some(error) = self.0.state.lock().error.take() {
            return Err(error);
        }
        let receiver = self.destination(to)?;
        if is_stream && from.is_empty() {
            // No message: a reader would take it for the stream's end.
            return Ok(Some(0));
        }
        let sender = self.name();
        let mut state = receiver.state.lock();
        if self.0.is_datagram() {
            let refused = state.closed;
            let other = state.peer.as_ref();
            if refused {
                drop(state);
                self.0.state.lock().peer = None;
                return Err(libc::ECONNREFUSED);
            }
            if other.is_some_and(|peer| !core::ptr::eq(peer.as_ptr(), &raw const *self.0)) {
                return Err(libc::EPERM);
            }
            if state.ended[0] {
                return Err(libc::EPIPE);
            }
        }
        let room = state.queue.room(is_stream);
        let len = if is_stream {
            from.len().min(room)
        } else {
            from.len()
        };
        if room < len || room == 0 {
            return Ok(None);
        }
        let message = Message::new(from.get(..len).unwrap_or_default(), sender, rights)?;
        state.queue.push(message, is_stream)?;
        state.changes += 1;
        drop(state);
        rt.wake_watchers();
        Ok(Some(len))
    }

    /// Removes bytes from the queue; `None` if it is empty and more may follow.
    fn take(
        &self,
        rt: &mut Runtime,
        into: &mut [u8],
        flags: i32,
        from: &mut Name,
        rights: &mut Rights,
    ) -> Result<Option<Received>> {
        let mut state = self.0.state.lock();
        let is_stream = self.0.kind == libc::SOCK_STREAM;
        if state.pending.is_some() {
            return Err(libc::EINVAL);
        }
        if !self.0.is_datagram() && state.peer.is_none() && !state.ended[0] {
            return Err(if is_stream {
                libc::EINVAL
            } else {
                libc::ENOTCONN
            });
        }
        let peeks = flags & libc::MSG_PEEK != 0;
        if let Some(received) = state.queue.take(into, is_stream, peeks, from, rights) {
            let peer = state.peer.as_ref().and_then(Weak::upgrade);
            drop(state);
            if !peeks {
                // There is room again.
                if let Some(peer) = peer {
                    peer.state.lock().changes += 1;
                }
                rt.wake_watchers();
            }
            return Ok(Some(received));
        }
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        Ok(state.ended[0].then(Received::default))
    }
}

impl Socket for Unix {
    fn kind(&self) -> [i32; 3] {
        [libc::AF_UNIX, self.0.kind, 0]
    }

    fn bind(&self, address: &[u8]) -> Result<()> {
        let path = path_of(address)?;
        if self.0.state.lock().bound.is_some() {
            return Err(libc::EINVAL);
        }
        let bound = bindings::add(path, &self.0)?;
        self.0.state.lock().bound = Some(bound);
        Ok(())
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        if self.0.is_datagram() {
            return Err(libc::EOPNOTSUPP);
        }
        let mut state = self.0.state.lock();
        if state.bound.is_none() || state.peer.is_some() {
            return Err(libc::EINVAL);
        }
        let most = (backlog as u32).min(libc::SOMAXCONN as u32) as usize + 1;
        let pending = state.pending.get_or_insert_with(|| Pending {
            most,
            connections: VecDeque::new(),
        });
        pending.most = most;
        Ok(())
    }

    fn accept(&self, waits: bool) -> Result<(Box<dyn Socket>, Name)> {
        if self.0.is_datagram() {
            return Err(libc::EOPNOTSUPP);
        }
        let flags = if waits { 0 } else { libc::MSG_DONTWAIT };
        let accepted = try_or_wait(self.patience(flags, true), Lent::NONE, |rt| {
            let mut state = self.0.state.lock();
            let pending = state.pending.as_mut().ok_or(libc::EINVAL)?;
            let connection = pending.connections.pop_front();
            if state.ended[0] && connection.is_none() {
                return Err(libc::EINVAL);
            }
            drop(state);
            if connection.is_some() {
                rt.wake_watchers();
            }
            Ok(connection)
        })?;
        let peer = accepted.0.state.lock().peer_name;
        Ok((Box::new(accepted), peer))
    }

    fn connect(&self, address: &[u8], waits: bool) -> Result<()> {
        if self.0.is_datagram() {
            if family_of(address) == Some(libc::AF_UNSPEC) {
                self.0.state.lock().peer = None;
                return Ok(());
            }
            let peer = self.find(address)?;
            let name = peer.state.lock().bound.as_ref().map(|(name, _)| *name);
            let mut state = self.0.state.lock();
            state.peer = Some(Arc::downgrade(&peer));
            state.peer_name = name.unwrap_or(unnamed());
            return Ok(());
        }
        let listener = self.find(address)?;
        let flags = if waits { 0 } else { libc::MSG_DONTWAIT };
        try_or_wait(self.patience(flags, false), Lent::NONE, |rt| {
            let state = self.0.state.lock();
            if state.pending.is_some() {
                return Err(libc::EINVAL);
            }
            if state.peer.is_some() {
                return Err(libc::EISCONN);
            }
            drop(state);
            let name = self.name();
            let mut state = listener.state.lock();
            let bound = state.bound.as_ref().map(|(name, key)| (*name, key.clone()));
            let pending = state.pending.as_mut().ok_or(libc::ECONNREFUSED)?;
            if pending.connections.len() >= pending.most {
                return Ok(None);
            }
            let server = Inner::new(self.0.kind);
            pending.connections.push_back(Unix(Arc::clone(&server)));
            state.changes += 1;
            drop(state);
            join(&self.0, &server);
            let own = bound.map_or(unnamed(), |(name, _)| name);
            self.0.state.lock().peer_name = own;
            let mut state = server.state.lock();
            state.peer_name = name;
            state.bound = Some((own, Key::None));
            drop(state);
            rt.wake_watchers();
            Ok(Some(()))
        })
    }

    fn send(&self, from: &[u8], to: Option<&[u8]>, flags: i32) -> Result<usize> {
        self.send_with(from, to, flags, &mut Rights::new())
    }

    fn send_with(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        flags: i32,
        rights: &mut Rights,
    ) -> Result<usize> {
        if flags & libc::MSG_OOB != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        let to = match to {
            None => None,
            Some(address) if self.0.is_datagram() => Some(self.find(address)?),
            Some(_) if self.0.state.lock().peer.is_some() => return Err(libc::EISCONN),
            Some(_) => return Err(libc::EOPNOTSUPP),
        };
        let is_stream = self.0.kind == libc::SOCK_STREAM;
        if !is_stream && from.len() > MAX_QUEUE {
            return Err(libc::EMSGSIZE);
        }
        in_flight::check_room(rights.len())?;
        let patience = self.patience(flags, false);
        let mut done = 0;
        let lent = Lent::to_read(from);
        // An address may be a file's.
        if to.is_some() {
            lent.check()?;
        }
        loop {
            let rest = from.get(done..).unwrap_or_default();
            let put = try_or_wait(patience, lent, |rt| self.put(rt, rest, to.as_ref(), rights));
            match put {
                Ok(len) => done += len,
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno),
            }
            if !is_stream || done >= from.len() {
                return Ok(done);
            }
        }
    }

    fn receive(&self, into: &mut [u8], flags: i32, from: Option<&mut Name>) -> Result<Received> {
        let mut rights = Rights::new();
        let received = self.receive_with(into, flags, from, &mut rights);
        rights.into_iter().for_each(Description::release);
        received
    }

    fn receive_with(
        &self,
        into: &mut [u8],
        flags: i32,
        from: Option<&mut Name>,
        rights: &mut Rights,
    ) -> Result<Received> {
        if flags & libc::MSG_OOB != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        let patience = self.patience(flags, true);
        let fills = self.0.kind == libc::SOCK_STREAM
            && flags & libc::MSG_WAITALL != 0
            && flags & libc::MSG_PEEK == 0;
        let mut sender = Name::NONE;
        let mut total = Received::default();
        let lent = Lent::to_write(into);
        loop {
            let rest = into.get_mut(total.len..).unwrap_or_default();
            let taken = try_or_wait(patience, lent, |rt| {
                self.take(rt, rest, flags, &mut sender, rights)
            });
            let received = match taken {
                Ok(received) => received,
                Err(_) if total.len > 0 => break,
                Err(errno) => return Err(errno),
            };
            total.len += received.len;
            total.whole += received.whole;
            if !fills || received.len == 0 || total.len >= into.len() {
                break;
            }
        }
        if let Some(from) = from {
            // A connected socket reports no senders.
            *from = if self.0.is_datagram() {
                sender
            } else {
                Name::NONE
            };
        }
        Ok(total)
    }

    fn shutdown(&self, how: i32) -> Result<()> {
        let [receives, sends] = directions(how)?;
        crate::blocking::operation::now(|rt| {
            let mut state = self.0.state.lock();
            state.ended[0] |= receives;
            state.ended[1] |= sends;
            let peer = state.peer.as_ref().and_then(Weak::upgrade);
            drop(state);
            if let Some(peer) = peer
                && !self.0.is_datagram()
            {
                let mut peer = peer.state.lock();
                peer.ended[0] |= sends;
                peer.ended[1] |= receives;
                peer.changes += 1;
            }
            rt.wake_watchers();
            Ok(())
        })
    }

    fn local(&self) -> Result<Name> {
        Ok(self.name())
    }

    fn peer(&self) -> Result<Name> {
        let state = self.0.state.lock();
        match &state.peer {
            Some(_) => Ok(state.peer_name),
            None => Err(libc::ENOTCONN),
        }
    }

    fn set(&self, level: i32, option: i32, value: &[u8]) -> Result<()> {
        self.0.state.lock().options.set(level, option, value)
    }

    fn get(&self, level: i32, option: i32, into: &mut [u8]) -> Result<usize> {
        let mut state = self.0.state.lock();
        match (level, option) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => Ok(put(into, state.error.take().unwrap_or(0))),
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                Ok(put(into, i32::from(state.pending.is_some())))
            }
            (libc::SOL_SOCKET, libc::SO_PEERCRED) => {
                /// `struct ucred`: the one process, the super-user and its group.
                const OWN: [i32; 3] = [1, 0, 0];
                let mut bytes = [0; 12];
                for (into, from) in bytes.chunks_exact_mut(4).zip(OWN) {
                    into.copy_from_slice(&from.to_le_bytes());
                }
                Ok(super::options::fill(into, &bytes))
            }
            _ => state.options.get(level, option, into),
        }
    }

    fn events(&self, _: &mut Runtime) -> Events {
        let state = self.0.state.lock();
        let [receives_no_more, sends_no_more] = state.ended;
        let unconnected = !self.0.is_datagram() && state.peer.is_none();
        let accepts = state.pending.as_ref().map(|it| !it.connections.is_empty());
        let readable = accepts.unwrap_or(!state.queue.is_empty() || receives_no_more);
        let hangs = receives_no_more && sends_no_more || unconnected && accepts.is_none();
        let error = state.error.is_some();
        let peer = state.peer.as_ref().and_then(Weak::upgrade);
        let own = core::ptr::from_ref(&*self.0);
        let is_own = peer
            .as_ref()
            .is_some_and(|peer| core::ptr::eq(Arc::as_ptr(peer), own));
        drop(state);
        let is_stream = self.0.kind == libc::SOCK_STREAM;
        let writable = match peer {
            Some(peer) if !is_own => peer.state.lock().queue.room(is_stream) > 0,
            _ => accepts.is_none(),
        };
        Events::when(readable, Events::READABLE)
            | Events::when(receives_no_more, Events::RDHUP)
            | Events::when(hangs, Events::HUP)
            | Events::when(writable || sends_no_more, Events::WRITABLE)
            | Events::when(error, Events::ERR)
    }

    fn changes(&self, _: &Runtime) -> u64 {
        self.0.state.lock().changes
    }

    fn available(&self) -> Result<usize> {
        let state = self.0.state.lock();
        match state.pending {
            Some(_) => Err(libc::EINVAL),
            None => Ok(state.queue.available(self.0.kind == libc::SOCK_STREAM)),
        }
    }

    fn close(&self) {
        // A socket dropped by a call of the runtime is closed by that call.
        let _ = crate::blocking::operation::now(|rt| {
            if !self.0.state.lock().closed {
                self.0.close(rt);
            }
            Ok::<_, Errno>(())
        });
        in_flight::close_discarded();
    }

    fn collector(&self) -> Option<fn()> {
        in_flight::may_hold_itself(&self.0).then_some(in_flight::collect as fn())
    }
}

impl Drop for Unix {
    fn drop(&mut self) {
        if !self.0.state.lock().closed {
            self.close();
        }
    }
}

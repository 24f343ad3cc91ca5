//! The connections and listeners of a machine: the protocol without its queues.
//!
//! Nothing here is sized by a peer: the number of connections, the bytes that each may buffer, and
//! the refusals in flight have limits of this end.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::connection::{Connection, Failure, Phase, Stop};
use super::packet::{Address, Header, Operation, STREAM};

/// This machine, as the peer of its own connections (`VMADDR_CID_LOCAL`).
pub const LOCAL: u64 = 1;
/// The host (`VMADDR_CID_HOST`).
pub const HOST: u64 = 2;
/// Any CID of this machine, or any free port (`VMADDR_CID_ANY`, `VMADDR_PORT_ANY`).
pub const ANY: u32 = u32::MAX;

/// Maximum number of connections and listeners.
const MAX_SOCKETS: usize = 1024;
/// Maximum bytes per direction of a connection: Linux's default.
const MAX_SHARE: usize = 256 << 10;
/// Minimum, below which a connection is refused.
const MIN_SHARE: usize = 4 << 10;
/// Number of connections that the first ones leave the minimum for.
const SURE_SOCKETS: usize = 256;
/// Maximum number of refusals that wait to be sent; more are dropped.
const MAX_REFUSALS: usize = 64;
/// The first port that is chosen for a connection.
const FIRST_PORT: u32 = 1 << 16;

/// Nanoseconds that a peer has to answer a request: Linux's default.
pub const CONNECT_NS: u64 = 2_000_000_000;
/// Nanoseconds that a closed connection may go on without progress: Linux's limit.
pub(super) const CLOSE_NS: u64 = 8_000_000_000;

/// A connection or a listener.
pub type Id = u32;

struct Listener {
    /// The CID that it listens at; `None`: each.
    cid: Option<u64>,
    port: u32,
    backlog: usize,
    waiting: VecDeque<Id>,
}

enum Kind {
    Listener(Listener),
    Connection(Connection),
}

struct Socket {
    kind: Kind,
    /// The listener that a connection waits at to be accepted.
    listener: Option<Id>,
    deadline: Option<u64>,
    /// It is in `due`.
    is_due: bool,
    /// It is in `changed`.
    is_changed: bool,
}

/// Local port, and the peer.
type Key = (Address, Address);

/// All sockets.
pub struct Sockets {
    cid: u64,
    places: Vec<Option<Socket>>,
    free: Vec<Id>,
    /// Connections that a packet may belong to.
    by_address: BTreeMap<Key, Id>,
    listeners: BTreeMap<u32, Id>,
    deadlines: BTreeSet<(u64, Id)>,
    /// Connections that may have a packet to send.
    due: VecDeque<Id>,
    changed: VecDeque<Id>,
    refusals: VecDeque<Header>,
    /// Bytes that further connections may reserve.
    room: usize,
    next_port: u32,
}

impl Sockets {
    /// Sockets of a machine with this CID, which buffer at most `memory` bytes.
    pub fn new(cid: u64, memory: usize) -> Sockets {
        Sockets {
            cid,
            places: Vec::new(),
            free: Vec::new(),
            by_address: BTreeMap::new(),
            listeners: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            due: VecDeque::new(),
            changed: VecDeque::new(),
            refusals: VecDeque::new(),
            room: memory,
            next_port: FIRST_PORT,
        }
    }

    /// The machine's CID.
    pub fn cid(&self) -> u64 {
        self.cid
    }

    fn is_own(&self, cid: u64) -> bool {
        cid == LOCAL || cid == self.cid
    }

    fn socket(&mut self, id: Id) -> Option<&mut Socket> {
        self.places.get_mut(id as usize)?.as_mut()
    }

    fn connection(&mut self, id: Id) -> Result<&mut Connection, Stop> {
        match self.socket(id) {
            Some(Socket {
                kind: Kind::Connection(connection),
                ..
            }) if !connection.closed => Ok(connection),
            _ => Err(Stop::WrongKind),
        }
    }

    fn listener(&mut self, id: Id) -> Result<&mut Listener, Stop> {
        match self.socket(id) {
            Some(Socket {
                kind: Kind::Listener(listener),
                ..
            }) => Ok(listener),
            _ => Err(Stop::WrongKind),
        }
    }

    /// Adds a socket; `None` if there are too many.
    fn insert(&mut self, kind: Kind) -> Option<Id> {
        let socket = Socket {
            kind,
            listener: None,
            deadline: None,
            is_due: false,
            is_changed: false,
        };
        if let Some(id) = self.free.pop() {
            self.places[id as usize] = Some(socket);
            return Some(id);
        }
        if self.places.len() >= MAX_SOCKETS {
            return None;
        }
        self.places.push(Some(socket));
        Some(self.places.len() as Id - 1)
    }

    fn remove(&mut self, id: Id) {
        self.set_deadline(id, None);
        let place = self.places.get_mut(id as usize);
        let Some(socket) = place.and_then(Option::take) else {
            return;
        };
        match socket.kind {
            Kind::Listener(listener) => {
                self.listeners.remove(&listener.port);
            }
            Kind::Connection(connection) => {
                self.room += connection.reserved();
                self.forget(id, (connection.local, connection.peer));
            }
        }
        self.due.retain(|due| *due != id);
        self.changed.retain(|changed| *changed != id);
        self.free.push(id);
    }

    /// No packet belongs to the connection any more.
    fn forget(&mut self, id: Id, key: Key) {
        if self.by_address.get(&key) == Some(&id) {
            self.by_address.remove(&key);
        }
    }

    fn set_deadline(&mut self, id: Id, deadline: Option<u64>) {
        let Some(socket) = self.socket(id) else {
            return;
        };
        let before = core::mem::replace(&mut socket.deadline, deadline);
        if let Some(before) = before {
            self.deadlines.remove(&(before, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }

    fn make_due(&mut self, id: Id) {
        if let Some(socket) = self.socket(id)
            && !core::mem::replace(&mut socket.is_due, true)
        {
            self.due.push_back(id);
        }
    }

    fn report(&mut self, id: Id) {
        if let Some(socket) = self.socket(id)
            && !core::mem::replace(&mut socket.is_changed, true)
        {
            self.changed.push_back(id);
        }
    }

    /// The next socket whose readiness may have changed.
    pub fn take_changed(&mut self) -> Option<Id> {
        let id = self.changed.pop_front()?;
        if let Some(socket) = self.socket(id) {
            socket.is_changed = false;
        }
        Some(id)
    }

    /// Bytes per direction for a new connection: a part of what the first [`SURE_SOCKETS`] leave.
    fn share(&self) -> Option<u32> {
        let others = SURE_SOCKETS.saturating_sub(self.by_address.len());
        let spare = self.room.saturating_sub(2 * MIN_SHARE * others);
        let share = (spare / 16).clamp(MIN_SHARE, MAX_SHARE);
        (self.room >= 2 * share).then_some(share as u32)
    }

    fn add_connection(&mut self, connection: Connection) -> Option<Id> {
        let key = (connection.local, connection.peer);
        let reserved = connection.reserved();
        let id = self.insert(Kind::Connection(connection))?;
        self.room -= reserved;
        self.by_address.insert(key, id);
        self.make_due(id);
        Some(id)
    }

    fn is_port_used(&self, port: u32) -> bool {
        let cids = [LOCAL, self.cid];
        let mut connections = cids.iter().flat_map(|cid| {
            let at = |port| Address { cid: *cid, port };
            let none = Address { cid: 0, port: 0 };
            self.by_address
                .range((at(port), none)..)
                .take_while(move |((local, _), _)| *local == at(port))
        });
        self.listeners.contains_key(&port) || connections.next().is_some()
    }

    /// A free port. There are more ports than sockets.
    fn choose_port(&mut self) -> u32 {
        loop {
            let port = self.next_port;
            self.next_port = match port + 1 {
                ANY => FIRST_PORT,
                next => next,
            };
            if !self.is_port_used(port) {
                return port;
            }
        }
    }

    /// Listens at a port ([`ANY`]: a free one) of a CID (`None`: each of this machine). Up to
    /// `backlog` connections wait for [`accept`](Sockets::accept).
    ///
    /// # Errors
    ///
    /// [`ListenError`].
    pub fn listen(
        &mut self,
        cid: Option<u64>,
        port: u32,
        backlog: usize,
    ) -> Result<Id, ListenError> {
        if cid.is_some_and(|cid| !self.is_own(cid)) {
            return Err(ListenError::AddressNotAvailable);
        }
        let port = match port {
            ANY => self.choose_port(),
            port if self.listeners.contains_key(&port) => return Err(ListenError::AddressInUse),
            port => port,
        };
        let listener = Listener {
            cid,
            port,
            backlog: backlog.clamp(1, MAX_SOCKETS),
            waiting: VecDeque::new(),
        };
        let id = self.insert(Kind::Listener(listener));
        let id = id.ok_or(ListenError::TooMany)?;
        self.listeners.insert(port, id);
        Ok(id)
    }

    /// Takes an established connection of a listener.
    ///
    /// # Errors
    ///
    /// [`Stop::WouldBlock`], [`Stop::WrongKind`].
    pub fn accept(&mut self, id: Id) -> Result<Id, Stop> {
        let accepted = self.listener(id)?.waiting.pop_front();
        let accepted = accepted.ok_or(Stop::WouldBlock)?;
        if let Some(socket) = self.socket(accepted) {
            socket.listener = None;
        }
        Ok(accepted)
    }

    /// Requests a connection at time `now` (ns); [`connected`](Sockets::connected) has its result,
    /// after [`CONNECT_NS`] at the latest. `None`: there are too many, or too little memory.
    pub fn connect(&mut self, peer: Address, now: u64) -> Option<Id> {
        let share = self.share()?;
        let cid = if peer.cid == LOCAL { LOCAL } else { self.cid };
        let port = self.choose_port();
        let local = Address { cid, port };
        let id = self.add_connection(Connection::new(local, peer, share))?;
        self.set_deadline(id, Some(now.saturating_add(CONNECT_NS)));
        Some(id)
    }

    /// Whether a requested connection is established.
    ///
    /// # Errors
    ///
    /// [`Stop::WouldBlock`], [`Stop::Failed`], [`Stop::WrongKind`].
    pub fn connected(&mut self, id: Id) -> Result<(), Stop> {
        self.connection(id)?.connected()
    }

    /// Reads received bytes; 0 is the end. What came before a failure is read before it is
    /// reported.
    ///
    /// # Errors
    ///
    /// [`Stop`], but not [`Stop::BrokenPipe`].
    pub fn read(&mut self, id: Id, into: &mut [u8]) -> Result<usize, Stop> {
        let read = self.connection(id)?.read(into);
        self.make_due(id);
        read
    }

    /// Buffers bytes to be sent by [`output`](Sockets::output); returns their number.
    ///
    /// # Errors
    ///
    /// [`Stop`].
    pub fn write(&mut self, id: Id, from: &[u8]) -> Result<usize, Stop> {
        let written = self.connection(id)?.write(from);
        self.make_due(id);
        written
    }

    /// Ends receiving, or sending after what was written.
    ///
    /// # Errors
    ///
    /// [`Stop::WrongKind`].
    pub fn shut_down(&mut self, id: Id, receive: bool, send: bool) -> Result<(), Stop> {
        self.connection(id)?.shut_down(receive, send);
        self.make_due(id);
        self.report(id);
        Ok(())
    }

    /// Whether a read, or an accept, would not block.
    pub fn is_readable(&mut self, id: Id) -> bool {
        match self.socket(id).map(|socket| &socket.kind) {
            Some(Kind::Listener(listener)) => !listener.waiting.is_empty(),
            Some(Kind::Connection(connection)) => connection.is_readable(),
            None => true,
        }
    }

    /// Whether a write has room, or a request its result.
    pub fn is_writable(&mut self, id: Id) -> bool {
        match self.socket(id).map(|socket| &socket.kind) {
            Some(Kind::Connection(connection)) => connection.is_writable(),
            _ => true,
        }
    }

    /// The address of this end; of a listener with the CID [`ANY`] if it listens at each.
    ///
    /// # Errors
    ///
    /// [`Stop::WrongKind`].
    pub fn local(&mut self, id: Id) -> Result<Address, Stop> {
        if let Ok(listener) = self.listener(id) {
            return Ok(Address {
                cid: listener.cid.unwrap_or(ANY.into()),
                port: listener.port,
            });
        }
        Ok(self.connection(id)?.local)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// [`Stop::WrongKind`].
    pub fn peer(&mut self, id: Id) -> Result<Address, Stop> {
        Ok(self.connection(id)?.peer)
    }

    /// Closes a socket at time `now` (ns). A listener's waiting connections are reset. A connection
    /// goes on to send what was written.
    pub fn close(&mut self, id: Id, now: u64) {
        if let Ok(listener) = self.listener(id) {
            let waiting = core::mem::take(&mut listener.waiting);
            for waiting in waiting {
                self.abort(waiting);
            }
            self.remove(id);
        } else if let Ok(connection) = self.connection(id) {
            connection.close();
            self.set_deadline(id, Some(now.saturating_add(CLOSE_NS)));
            self.update(id);
        }
    }

    /// Closes a connection with a reset, and drops what was not sent.
    pub fn abort(&mut self, id: Id) {
        if let Ok(connection) = self.connection(id) {
            connection.abort(Failure::Reset);
            connection.close();
            self.update(id);
        }
    }

    /// After a change of a connection: reports it, or removes it when it is over.
    fn update(&mut self, id: Id) {
        let Some(socket) = self.socket(id) else {
            return;
        };
        let listener = socket.listener;
        let Kind::Connection(connection) = &mut socket.kind else {
            return;
        };
        let is_over = connection.is_over();
        let key = (connection.local, connection.peer);
        if is_over && connection.closed {
            self.remove(id);
            return;
        }
        let is_lost = is_over && connection.failure.is_some();
        let is_open = connection.phase == Phase::Open;
        let closed = connection.closed;
        if is_over {
            self.forget(id, key);
        }
        if !closed && (is_open || is_over) {
            self.set_deadline(id, None);
        }
        // No program has a connection that was lost before it was accepted.
        if is_lost && let Some(listener) = listener {
            if let Ok(listener) = self.listener(listener) {
                listener.waiting.retain(|waiting| *waiting != id);
            }
            self.remove(id);
            return;
        }
        self.make_due(id);
        self.report(id);
    }

    fn refuse(&mut self, header: &Header) {
        if header.operation != Operation::RESET && self.refusals.len() < MAX_REFUSALS {
            self.refusals.push_back(header.refusal());
        }
    }

    /// Applies a received packet at time `now` (ns). `bytes` is its payload. Packets for other
    /// machines are dropped.
    pub fn input(&mut self, header: &Header, bytes: &[u8], now: u64) {
        if !self.is_own(header.destination.cid) {
            return;
        }
        // From outside, no packet has the source or the destination LOCAL: the caller checks.
        if header.kind != STREAM {
            self.refuse(header);
            return;
        }
        let key = (header.destination, header.source);
        let Some(&id) = self.by_address.get(&key) else {
            if header.operation != Operation::REQUEST || !self.welcome(header) {
                self.refuse(header);
            }
            return;
        };
        let Some(Socket {
            kind: Kind::Connection(connection),
            ..
        }) = self.socket(id)
        else {
            return;
        };
        let before = connection.peer_taken();
        if connection.input(header, bytes).is_err() {
            connection.abort(Failure::Reset);
        }
        if connection.closed && connection.peer_taken() != before {
            self.set_deadline(id, Some(now.saturating_add(CLOSE_NS)));
        }
        self.update(id);
    }

    /// Accepts a request for a connection, if there is a listener with room.
    fn welcome(&mut self, request: &Header) -> bool {
        let Some(&at) = self.listeners.get(&request.destination.port) else {
            return false;
        };
        let Ok(listener) = self.listener(at) else {
            return false;
        };
        let is_here = listener
            .cid
            .is_none_or(|cid| cid == request.destination.cid);
        if !is_here || listener.waiting.len() >= listener.backlog {
            return false;
        }
        let Some(share) = self.share() else {
            return false;
        };
        let Some(id) = self.add_connection(Connection::accepted(request, share)) else {
            return false;
        };
        if let Some(socket) = self.socket(id) {
            socket.listener = Some(at);
        }
        if let Ok(listener) = self.listener(at) {
            listener.waiting.push_back(id);
        }
        self.report(at);
        true
    }

    /// The next packet to send, its payload written to `into`. The second result is whether its
    /// destination is this machine.
    pub fn output(&mut self, into: &mut [u8]) -> Option<(Header, bool)> {
        if let Some(header) = self.refusals.pop_front() {
            return Some((header, self.is_own(header.destination.cid)));
        }
        while let Some(id) = self.due.pop_front() {
            let Some(socket) = self.socket(id) else {
                continue;
            };
            socket.is_due = false;
            let Kind::Connection(connection) = &mut socket.kind else {
                continue;
            };
            let header = connection.output(into);
            let is_over = connection.is_over();
            let has_room = connection.is_writable();
            if let Some(header) = header {
                // It may have more: after the others' packets.
                self.make_due(id);
                if is_over {
                    self.update(id);
                } else if has_room && header.operation == Operation::DATA {
                    self.report(id);
                }
                return Some((header, self.is_own(header.destination.cid)));
            }
        }
        None
    }

    /// Whether [`output`](Sockets::output) may return a packet.
    pub fn has_output(&self) -> bool {
        !self.refusals.is_empty() || !self.due.is_empty()
    }

    /// Whether all bytes were sent, and all closed connections announced that.
    pub fn is_flushed(&self) -> bool {
        let mut sockets = self.places.iter().flatten();
        self.refusals.is_empty()
            && sockets.all(|socket| match &socket.kind {
                Kind::Connection(connection) => connection.is_flushed(),
                Kind::Listener(_) => true,
            })
    }

    /// When [`expire`](Sockets::expire) has work.
    pub fn deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Ends requests and closed connections whose time is up.
    pub fn expire(&mut self, now: u64) {
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.set_deadline(id, None);
            if let Some(Socket {
                kind: Kind::Connection(connection),
                ..
            }) = self.socket(id)
            {
                connection.abort(Failure::TimedOut);
            }
            self.update(id);
        }
    }

    /// Ends all connections with an error and without packets. The machine's CID may have changed.
    pub fn fail_all(&mut self, failure: Failure, cid: u64) {
        self.refusals.clear();
        self.cid = cid;
        for id in 0..self.places.len() as Id {
            if let Some(Socket {
                kind: Kind::Connection(connection),
                ..
            }) = self.socket(id)
            {
                connection.fail(failure);
                self.update(id);
            }
        }
    }

    /// Whether there are connections.
    pub fn has_connections(&self) -> bool {
        !self.by_address.is_empty()
    }

    /// Makes a connection to another machine ask its peer for a packet. Returns whether there is
    /// one.
    pub fn probe(&mut self) -> bool {
        let own = self.cid;
        let is_remote = |socket: &Option<Socket>| match socket {
            Some(Socket {
                kind: Kind::Connection(connection),
                ..
            }) => {
                let cid = connection.peer.cid;
                connection.phase == Phase::Open && cid != LOCAL && cid != own
            }
            _ => false,
        };
        let Some(id) = self.places.iter().position(is_remote) else {
            return false;
        };
        if let Some(Some(Socket {
            kind: Kind::Connection(connection),
            ..
        })) = self.places.get_mut(id)
        {
            connection.probe();
        }
        self.make_due(id as Id);
        true
    }
}

/// Why a port can't be listened at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// Another listener has it.
    AddressInUse,
    /// The CID isn't this machine's.
    AddressNotAvailable,
    /// There are too many sockets.
    TooMany,
}

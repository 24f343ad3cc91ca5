//! The public operations on TCP sockets.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use super::connection::{Connection, Phase, Wakes};
use super::counters::count;
use super::listener::{Listener, conflict};
use super::machine::{self, Info, Keepalive, SendBuffer, Seq, TcpOptions};
use super::options::ConnectOptions;
use crate::flow::FlowKey;
use crate::ip::Marking;
use crate::shared::{Core, Socket};
use crate::{Error, Handle, Stack};

/// Bytes that are lent at once, at most: sequence numbers wrap around at four times as many.
const SHARED_MAX: usize = 1 << 30;

impl Core {
    fn connection_mut(&mut self, handle: Handle) -> Result<&mut Connection, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Connection(connection)) => Ok(connection),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }
}

/// TCP.
impl Stack {
    /// Listens. An unspecified address means all interfaces: `0.0.0.0` those of IPv4, `[::]` both
    /// families. Port 0 takes an ephemeral one. `backlog` bounds the connections that are
    /// established and not accepted; 0 is read as 1. What comes beyond it is ignored, so that the
    /// peer tries again.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`],
    /// [`Error::InvalidArgument`] (a multicast address).
    pub fn tcp_listen(&mut self, local: SocketAddr, backlog: usize) -> Result<Handle, Error> {
        let listener = self.tcp_bind(local)?;
        self.tcp_listen_bound(listener, backlog)?;
        Ok(listener)
    }

    /// Listens at what [`Stack::tcp_bind`] has bound, which is a listener from then on; again:
    /// changes the backlog.
    pub fn tcp_listen_bound(&mut self, bound: Handle, backlog: usize) -> Result<(), Error> {
        let listener = self.core.bound_mut(bound)?;
        listener.backlog = backlog.max(1);
        listener.listening = true;
        Ok(())
    }

    /// Takes an address and a port, for [`Stack::tcp_connect_bound`] or
    /// [`Stack::tcp_listen_bound`], and nobody else until it is closed; a SYN to it is refused.
    /// What is chosen for it ([`Stack::tcp_set_options`], [`Stack::set_dscp`],
    /// [`Stack::set_hop_limit`]) is what its connections begin with. Port 0 takes an ephemeral one.
    /// Errors as for [`Stack::tcp_listen`].
    pub fn tcp_bind(&mut self, local: SocketAddr) -> Result<Handle, Error> {
        let address = local.ip();
        if address.is_multicast() {
            return Err(Error::InvalidArgument);
        }
        if !address.is_unspecified() && !self.ip.net.has_address(address) {
            return Err(Error::AddressNotAvailable);
        }
        let core = &mut self.core;
        if core.budget.short {
            return Err(Error::OutOfMemory);
        }
        let port = match local.port() {
            0 => core.ephemeral_listener()?,
            port => port,
        };
        let taken = core
            .listeners
            .get(&port)
            .into_iter()
            .flatten()
            .any(|other| {
                matches!(core.sockets.get(*other), Some(Socket::Listener(listener))
                if conflict(listener.local.ip(), address))
            });
        if taken {
            return Err(Error::AddressInUse);
        }
        let handle = core.sockets.insert(Socket::Listener(Box::new(Listener {
            local: SocketAddr::new(address, port),
            backlog: 0,
            queue: VecDeque::new(),
            wakes: Wakes::default(),
            marking: Marking::default(),
            options: TcpOptions::default(),
            listening: false,
        })));
        core.listeners.entry(port).or_default().push(handle);
        Ok(handle)
    }

    /// The connection that was established first of those not accepted yet.
    /// [`Error::WouldBlock`] if there is none.
    pub fn tcp_accept(&mut self, listener: Handle) -> Result<Handle, Error> {
        let core = &mut self.core;
        loop {
            let queue = match core.sockets.get_mut(listener) {
                Some(Socket::Listener(queue)) if queue.listening => queue,
                Some(_) => return Err(Error::InvalidOperation),
                None => return Err(Error::BadHandle),
            };
            let Some(handle) = queue.queue.pop_front() else {
                queue.wakes.read = true;
                return Err(Error::WouldBlock);
            };
            if let Some(Socket::Connection(connection)) = core.sockets.get_mut(handle) {
                connection.phase = Phase::Open;
                return Ok(handle);
            }
        }
    }

    /// Starts a connection; the SYN leaves with the next [`Stack::poll`]. `local` chooses the
    /// address and port of this end, unspecified parts being chosen by the stack.
    ///
    /// The handle becomes writable once it is established or failed: then ask
    /// [`Stack::tcp_connect_result`]. Errors at once: [`Error::InvalidArgument`],
    /// [`Error::Unreachable`] (no route), [`Error::AddressNotAvailable`], [`Error::AddressInUse`],
    /// [`Error::PortsExhausted`], [`Error::OutOfMemory`].
    pub fn tcp_connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<Handle, Error> {
        self.tcp_connect_with(remote, local, &ConnectOptions::default())
    }

    /// Starts a connection from what [`Stack::tcp_bind`] has bound, whose handle is given back
    /// unless it fails. Errors as for [`Stack::tcp_connect`], and [`Error::InvalidOperation`] for
    /// one that listens.
    pub fn tcp_connect_bound(
        &mut self,
        bound: Handle,
        remote: SocketAddr,
    ) -> Result<Handle, Error> {
        let own = self.core.bound_mut(bound)?;
        if own.listening {
            return Err(Error::InvalidOperation);
        }
        let (local, marking) = (own.local, own.marking);
        let options = ConnectOptions {
            hop_limit: marking.hop_limit,
            dscp: marking.traffic_class >> 2,
            ecn: None,
            tcp: own.options,
        };
        let handle = self.connect(remote, Some(local), &options, Some(bound))?;
        self.core.close_listener(bound);
        Ok(handle)
    }

    /// The same with what has to be known before the SYN leaves.
    pub fn tcp_connect_with(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &ConnectOptions,
    ) -> Result<Handle, Error> {
        self.connect(remote, local, options, None)
    }

    /// `own`: who has bound the port of this end.
    fn connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &ConnectOptions,
        own: Option<Handle>,
    ) -> Result<Handle, Error> {
        let peer = (remote.ip(), remote.port());
        let broadcast = matches!(peer.0, IpAddr::V4(a) if a.is_broadcast());
        if peer.0.is_unspecified() || peer.0.is_multicast() || broadcast || peer.1 == 0 {
            return Err(Error::InvalidArgument);
        }
        let scope = match remote {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let wanted = local
            .map(|local| local.ip())
            .filter(|address| !address.is_unspecified());
        if let Some(address) = wanted
            && (address.is_ipv4() != peer.0.is_ipv4() || !self.ip.net.has_address(address))
        {
            return Err(Error::AddressNotAvailable);
        }
        let route = self.ip.route(peer.0, scope, wanted)?;
        if route.group.is_some() {
            // The broadcast address of a network.
            return Err(Error::InvalidArgument);
        }
        let address = route.source;
        let core = &mut self.core;
        let port = match local.map_or(0, |local| local.port()) {
            0 => core.ephemeral_tcp(address, peer)?,
            port => port,
        };
        let key = FlowKey::new((address, port), peer);
        if core.flow_is_taken(&key) || core.is_bound(address, port, own) {
            return Err(Error::AddressInUse);
        }
        if !core.budget.admit() {
            return Err(Error::OutOfMemory);
        }
        count(&mut core.tcp.counters.active_opens);
        let now_ns = core.now_ns;
        let iss = Seq(core.tcp.numbers.sequence(&key, now_ns));
        let mut setup = core.setup(&self.ip.net, route.interface, &key, iss, &options.tcp);
        setup.ecn = options.ecn.unwrap_or(setup.ecn);
        let machine = machine::Connection::connect(&setup, now_ns);
        let local = SocketAddr::new(address, port);
        let mut connection = Connection::new(machine, Phase::Connecting, local, remote, route);
        connection.marking = Marking::new(options.hop_limit, options.dscp);
        let handle = core.insert_connection(connection);
        core.mark_dirty(handle);
        Ok(handle)
    }

    /// How a connect went: `Ok` established, [`Error::WouldBlock`] still trying, otherwise why it
    /// failed ([`Error::ConnectionRefused`], [`Error::TimedOut`], [`Error::Unreachable`]…).
    pub fn tcp_connect_result(&mut self, connection: Handle) -> Result<(), Error> {
        let connection = self.core.connection_mut(connection)?;
        match (connection.phase, connection.error()) {
            (_, Some(error)) => Err(error),
            (Phase::Connecting, None) => {
                connection.wakes.write = true;
                Err(Error::WouldBlock)
            }
            _ => Ok(()),
        }
    }

    /// Copies received bytes out; `Ok(0)` is the end of input (FIN), or an empty `buffer`.
    ///
    /// What had arrived before a FIN or RST is given first; after it comes `Ok(0)` or
    /// [`Error::ConnectionReset`]. [`Error::WouldBlock`] if nothing has arrived.
    pub fn tcp_read(&mut self, connection: Handle, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return self.core.connection_mut(connection).map(|_| 0);
        }
        let mut done = 0;
        // What was received lies in pieces.
        self.core.read(connection, buffer.len(), &mut |bytes| {
            let rest = buffer.get_mut(done..).unwrap_or_default();
            let len = bytes.len().min(rest.len());
            rest[..len].copy_from_slice(&bytes[..len]);
            done += len;
            len
        })
    }

    /// Copies received bytes without taking them: they stay to be read. Otherwise as
    /// [`Stack::tcp_read`].
    pub fn tcp_peek(&mut self, connection: Handle, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut there = false;
        let read = self.core.read(connection, 0, &mut |_| {
            there = true;
            0
        });
        match self.core.machine(connection)? {
            Some(machine) if there => Ok(machine.copy(buffer)),
            _ => read,
        }
    }

    /// Lets `f` look at received bytes in place; it returns how many of them are done with. The
    /// slice is never empty and may be only the first part of what is there. `Ok(0)` without a call
    /// of `f` is the end of input.
    pub fn tcp_read_with(
        &mut self,
        connection: Handle,
        f: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize, Error> {
        self.core.read(connection, 0, f)
    }

    /// Copies bytes into the send buffer: as many as fit, at least one if `data` isn't empty.
    /// They leave with the next [`Stack::poll`]. [`Error::WouldBlock`] if the buffer is full.
    pub fn tcp_write(&mut self, connection: Handle, data: &[u8]) -> Result<usize, Error> {
        if data.is_empty() {
            return self.core.connection_mut(connection).map(|_| 0);
        }
        self.core
            .write(connection, |machine, budget| machine.write(budget, data))
    }

    /// Lets `f` fill the send buffer in place; it returns how many bytes it wrote from the start of
    /// the slice, which is never empty and may be only a part of the room there is.
    pub fn tcp_write_with(
        &mut self,
        connection: Handle,
        f: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<usize, Error> {
        self.core
            .write(connection, |machine, budget| machine.write_with(budget, f))
    }

    /// Sends bytes without copying them: they are kept until the peer has acknowledged them, or the
    /// connection is over, and dropped then. All of them are taken, or none: [`Error::WouldBlock`]
    /// if the buffer is full, [`Error::MessageTooLong`] if they are more than a GiB.
    pub fn tcp_write_shared(
        &mut self,
        connection: Handle,
        bytes: Arc<dyn SendBuffer>,
    ) -> Result<(), Error> {
        let len = bytes.bytes().len();
        if len > SHARED_MAX {
            return Err(Error::MessageTooLong);
        }
        let mut bytes = Some(bytes);
        let written = self.core.write(connection, |machine, budget| {
            let taken = bytes
                .take()
                .map(|bytes| machine.write_shared(budget, bytes));
            if matches!(taken, Some(Ok(()))) {
                len.max(1)
            } else {
                0
            }
        });
        written.map(|_| ())
    }

    /// Ends the sending side: FIN after what was written. Doing it twice is fine.
    pub fn tcp_shutdown(&mut self, connection: Handle) -> Result<(), Error> {
        self.core.connected_mut(connection)?;
        self.core
            .change(connection, |machine| machine.shutdown_send())
    }

    /// Marks all that was written as urgent (RFC 9293, 3.8.5), which the peer is told even if its
    /// window is closed. New programs shouldn't (RFC 6093, 5): the bytes stay in the stream.
    pub fn tcp_send_urgent(&mut self, connection: Handle) -> Result<(), Error> {
        self.core.connected_mut(connection)?;
        self.core
            .change(connection, |machine| machine.send_urgent())
    }

    /// How many bytes the peer calls urgent that were not read yet, counted from the next one to be
    /// read up to the last urgent one; 0: none (RFC 9293, 3.8.5, MUST-33). A handle that waits is
    /// named as an event when there are more.
    pub fn tcp_urgent(&self, connection: Handle) -> Result<usize, Error> {
        self.tcp_urgent_behind(connection, 0)
    }

    /// As [`Stack::tcp_urgent`] after the reader pushed back the last `back` bytes: they count as
    /// unread.
    pub fn tcp_urgent_behind(&self, connection: Handle, back: u32) -> Result<usize, Error> {
        let machine = self.core.machine(connection)?;
        Ok(machine.map_or(0, |machine| machine.urgent_left(back) as usize))
    }

    /// Bytes written and not acknowledged yet.
    pub fn tcp_unsent(&self, connection: Handle) -> Result<usize, Error> {
        let machine = self.core.machine(connection)?;
        Ok(machine.map_or(0, |machine| machine.unacknowledged()))
    }

    /// How a connection does: round-trip time, windows, retransmissions. All is zero once it is
    /// over.
    pub fn tcp_info(&self, connection: Handle) -> Result<Info, Error> {
        let machine = self.core.machine(connection)?;
        Ok(machine.map_or(Info::default(), |machine| machine.info()))
    }

    /// Switches Nagle's algorithm off (`true`, the state of a new connection) or on (RFC 9293,
    /// 3.7.4). Writes made between two calls of [`Stack::poll`] are joined in any case.
    pub fn tcp_set_nodelay(&mut self, connection: Handle, nodelay: bool) -> Result<(), Error> {
        self.core
            .change(connection, |machine| machine.set_nodelay(nodelay))
    }

    /// Probes an idle connection; `None`, the state of a new connection, does not. A peer that
    /// answers none of the probes ends it with [`Error::TimedOut`] (RFC 9293, 3.8.4). Times below a
    /// millisecond are read as one, no probe as one.
    pub fn tcp_set_keepalive(
        &mut self,
        connection: Handle,
        keepalive: Option<Keepalive>,
    ) -> Result<(), Error> {
        let keepalive = keepalive.map(|wanted| Keepalive {
            idle_ns: wanted.idle_ns.max(1_000_000),
            interval_ns: wanted.interval_ns.max(1_000_000),
            probes: wanted.probes.max(1),
        });
        let now_ns = self.core.now_ns;
        self.core.change(connection, |machine| {
            machine.set_keepalive(keepalive, now_ns)
        })
    }

    /// How long sent data may stay without acknowledgement before [`Error::TimedOut`] (RFC 5482),
    /// in nanoseconds; 0 for ever. The peer is told only with [`TcpOptions::user_timeout_option`].
    /// A new connection has [`crate::Config::send_timeout_ns`].
    pub fn tcp_set_user_timeout(
        &mut self,
        connection: Handle,
        timeout_ns: u64,
    ) -> Result<(), Error> {
        let now_ns = self.core.now_ns;
        self.core.change(connection, |machine| {
            machine.set_user_timeout(timeout_ns, now_ns)
        })
    }

    /// How long [`Stack::close`] may go on delivering in the background, in nanoseconds; 0: closing
    /// sends a reset, and what was not delivered is lost. A new connection has
    /// [`crate::Config::linger_ns`].
    pub fn tcp_set_linger(&mut self, connection: Handle, linger_ns: u64) -> Result<(), Error> {
        self.core.connection_mut(connection)?.linger_ns = Some(linger_ns);
        Ok(())
    }
}

impl Core {
    /// The connection of a handle, if its handshake is over.
    fn connected_mut(&mut self, handle: Handle) -> Result<&mut Connection, Error> {
        let connection = self.connection_mut(handle)?;
        if connection.phase == Phase::Connecting {
            return Err(connection.error().unwrap_or(Error::NotConnected));
        }
        Ok(connection)
    }

    pub(super) fn machine(&self, handle: Handle) -> Result<Option<&machine::Connection>, Error> {
        match self.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.machine.as_ref()),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Changes something of a connection that isn't over.
    pub(super) fn change(
        &mut self,
        handle: Handle,
        f: impl FnOnce(&mut machine::Connection),
    ) -> Result<(), Error> {
        let connection = self.connection_mut(handle)?;
        if let Some(machine) = connection.machine.as_mut().filter(|_| !connection.over) {
            f(machine);
            self.touched(handle);
        }
        Ok(())
    }

    /// Gives `f` what was received, piece by piece until it has had `most` bytes, at least one
    /// piece; see [`Stack::tcp_read_with`].
    pub(super) fn read(
        &mut self,
        handle: Handle,
        most: usize,
        f: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize, Error> {
        let now_ns = self.now_ns;
        self.connected_mut(handle)?;
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return Err(Error::BadHandle);
        };
        let end = match connection.error() {
            Some(error) if !connection.is_complete() => Err(error),
            _ => Ok(0),
        };
        let over = connection.over;
        let Some(machine) = &mut connection.machine else {
            return end;
        };
        if machine.peek().is_empty() {
            if over || machine.readable() || end.is_err() {
                return end;
            }
            connection.wakes.read = true;
            return Err(Error::WouldBlock);
        }
        let mut done = 0;
        loop {
            let bytes = machine.peek();
            let offered = bytes.len();
            let len = f(bytes).min(offered);
            machine.consume(&mut self.budget, len, now_ns);
            done += len;
            if len < offered || done >= most || machine.unread() == 0 {
                break;
            }
        }
        if over && machine.unread() == 0 {
            self.release(handle);
        } else if !over && machine.wants_output() {
            // The window has to be told.
            self.mark_dirty(handle);
        }
        Ok(done)
    }

    /// Lets `f` write; it gives the number of bytes written, 0 if there is no room.
    fn write(
        &mut self,
        handle: Handle,
        f: impl FnOnce(&mut machine::Connection, &mut crate::budget::Budget) -> usize,
    ) -> Result<usize, Error> {
        self.timers.warm(handle.index);
        let connection = self.connected_mut(handle)?;
        connection.warm();
        if let Some(error) = connection.error() {
            return Err(error);
        }
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return Err(Error::BadHandle);
        };
        let sends = |machine: &&mut machine::Connection| machine.state().can_send();
        let over = connection.over;
        let Some(machine) = connection.machine.as_mut().filter(|_| !over).filter(sends) else {
            return Err(Error::BrokenPipe);
        };
        match f(machine, &mut self.budget) {
            0 => {
                connection.wakes.write = true;
                Err(Error::WouldBlock)
            }
            len => {
                self.touched(handle);
                Ok(len)
            }
        }
    }

    /// What [`Stack::tcp_bind`] has bound, or a listener.
    fn bound_mut(&mut self, handle: Handle) -> Result<&mut Listener, Error> {
        match self.sockets.get_mut(handle) {
            Some(Socket::Listener(listener)) => Ok(listener),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Whether somebody else than `own` has bound an address and a port without listening.
    fn is_bound(&self, address: IpAddr, port: u16, own: Option<Handle>) -> bool {
        let others = self.listeners.get(&port).into_iter().flatten();
        others.filter(|other| Some(**other) != own).any(|other| {
            matches!(self.sockets.get(*other), Some(Socket::Listener(listener))
                if !listener.listening && conflict(listener.local.ip(), address))
        })
    }

    /// A port from which `remote` isn't connected yet, and that nobody listens to.
    fn ephemeral_tcp(&mut self, local: IpAddr, remote: (IpAddr, u16)) -> Result<u16, Error> {
        let key = FlowKey::new((local, 0), remote);
        let free = |port: &u16| {
            !self.listeners.contains_key(port)
                && !self.flow_is_taken(&FlowKey::new((local, *port), remote))
        };
        let port = self.tcp.numbers.ports(&key).find(free);
        let port = port.ok_or(Error::PortsExhausted)?;
        let random = self.draw();
        self.tcp.numbers.chosen(&key, port, random);
        Ok(port)
    }

    /// A port that nobody listens to.
    fn ephemeral_listener(&mut self) -> Result<u16, Error> {
        self.ephemeral(|core, port| !core.listeners.contains_key(&port))
    }
}

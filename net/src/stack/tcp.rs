//! Operations on TCP sockets.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use super::Stack;
use crate::ip::HeaderFields;
use crate::sockets::{Admission, Socket};
use crate::tcp::ConnectOptions;
use crate::tcp::connection::{Connection, Phase};
use crate::tcp::counters::count;
use crate::tcp::flow::FlowKey;
use crate::tcp::listener::Listener;
use crate::tcp::machine::{Info, Machine, SendBuffer, Seq, TcpOptions};
use crate::types::{Binding, Error, Handle, Keepalive, Sender, WakeFlags, scope_of};

/// Maximum number of bytes written by reference at once; sequence numbers wrap at four times as
/// many.
const SHARED_MAX: usize = 1 << 30;

/// TCP.
impl Stack {
    /// Listens on `local`. An unspecified address means all interfaces: `0.0.0.0` those of IPv4,
    /// `[::]` those of both families. Port 0 selects an ephemeral port. `backlog` bounds the
    /// established connections that aren't accepted; 0 counts as 1. SYNs beyond the backlog are
    /// ignored, so that the peer retries.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`],
    /// [`Error::InvalidArgument`] (a multicast address).
    pub fn tcp_listen(&mut self, local: SocketAddr, backlog: usize) -> Result<Handle, Error> {
        let listener = self.tcp_bind(local)?;
        self.tcp_listen_bound(listener, backlog)?;
        Ok(listener)
    }

    /// Listens on a handle of [`Stack::tcp_bind`], which becomes a listener. On a listener, changes
    /// the backlog.
    pub fn tcp_listen_bound(&mut self, bound: Handle, backlog: usize) -> Result<(), Error> {
        let listener = self.sockets.bound_mut(bound)?;
        listener.backlog = backlog.max(1);
        listener.listening = true;
        Ok(())
    }

    /// Reserves an address and a port exclusively, for [`Stack::tcp_connect_bound`] or
    /// [`Stack::tcp_listen_bound`], until the handle is closed; a SYN to it is refused. Connections
    /// inherit its options ([`Stack::tcp_set_options`], [`Stack::set_dscp`],
    /// [`Stack::set_hop_limit`]). Port 0 selects an ephemeral port. Errors as for
    /// [`Stack::tcp_listen`].
    pub fn tcp_bind(&mut self, local: SocketAddr) -> Result<Handle, Error> {
        self.tcp_bind_family(local, false)
    }

    /// Like [`Stack::tcp_bind`]; `[::]` is for IPv6 alone if `v6_only` (RFC 3493, 5.3).
    pub fn tcp_bind_family(&mut self, local: SocketAddr, v6_only: bool) -> Result<Handle, Error> {
        let address = local.ip();
        if address.is_multicast() {
            return Err(Error::InvalidArgument);
        }
        if !address.is_unspecified() && !self.ip.net.has_address(address) {
            return Err(Error::AddressNotAvailable);
        }
        let sockets = &mut self.sockets;
        if sockets.budget.short {
            return Err(Error::OutOfMemory);
        }
        let port = match local.port() {
            0 => sockets.ephemeral_listener()?,
            port => port,
        };
        let binding = Binding { address, v6_only };
        let taken = sockets
            .listeners
            .get(&port)
            .into_iter()
            .flatten()
            .any(|other| {
                matches!(sockets.table.get(*other), Some(Socket::Listener(listener))
                if listener.binding().conflicts(binding))
            });
        if taken {
            return Err(Error::AddressInUse);
        }
        let handle = sockets.table.insert(Socket::Listener(Box::new(Listener {
            local: SocketAddr::new(address, port),
            v6_only,
            backlog: 0,
            queue: VecDeque::new(),
            wakes: WakeFlags::default(),
            refused: 0,
            header_fields: HeaderFields::default(),
            options: TcpOptions::default(),
            listening: false,
        })));
        sockets.listeners.entry(port).or_default().push(handle);
        Ok(handle)
    }

    /// Accepts the connection that has waited longest since its establishment.
    /// [`Error::WouldBlock`] if there is none.
    pub fn tcp_accept(&mut self, listener: Handle) -> Result<Handle, Error> {
        let sockets = &mut self.sockets;
        loop {
            let queue = match sockets.table.get_mut(listener) {
                Some(Socket::Listener(queue)) if queue.listening => queue,
                Some(_) => return Err(Error::InvalidOperation),
                None => return Err(Error::BadHandle),
            };
            let Some(handle) = queue.queue.pop_front() else {
                queue.wakes.read = true;
                return Err(Error::WouldBlock);
            };
            if let Some(Socket::Connection(connection)) = sockets.table.get_mut(handle) {
                connection.phase = Phase::Open;
                return Ok(handle);
            }
        }
    }

    /// Returns the number of connections of a listener that weren't established since the last call,
    /// because other connections hold all memory of [`Config::tcp_memory`](crate::Config), or the
    /// machine is short of memory. The peers retry. A listener that waits is reported as an event
    /// when the number grows.
    pub fn tcp_refused(&mut self, listener: Handle) -> Result<usize, Error> {
        let listener = self.sockets.bound_mut(listener)?;
        Ok(core::mem::take(&mut listener.refused))
    }

    /// Starts a connection; the SYN leaves with the next [`Stack::poll`]. `local` selects the local
    /// address and port; the stack chooses unspecified parts.
    ///
    /// The handle becomes writable once the connection is established or has failed: then call
    /// [`Stack::tcp_connect_result`]. Immediate errors: [`Error::InvalidArgument`],
    /// [`Error::Unreachable`] (no route), [`Error::AddressNotAvailable`], [`Error::AddressInUse`],
    /// [`Error::PortsExhausted`], [`Error::OutOfMemory`].
    pub fn tcp_connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<Handle, Error> {
        self.tcp_connect_with(remote, local, &ConnectOptions::default())
    }

    /// Starts a connection from a handle of [`Stack::tcp_bind`], which it consumes unless it fails.
    /// Errors as for [`Stack::tcp_connect`], and [`Error::InvalidOperation`] for a listener.
    pub fn tcp_connect_bound(
        &mut self,
        bound: Handle,
        remote: SocketAddr,
    ) -> Result<Handle, Error> {
        let own = self.sockets.bound_mut(bound)?;
        if own.listening {
            return Err(Error::InvalidOperation);
        }
        let (local, header_fields) = (own.local, own.header_fields);
        let options = ConnectOptions {
            hop_limit: header_fields.hop_limit,
            dscp: header_fields.traffic_class >> 2,
            ecn: None,
            tcp: own.options,
        };
        let handle = self.connect(remote, Some(local), &options, Some(bound))?;
        self.sockets.close_listener(bound);
        Ok(handle)
    }

    /// Like [`Stack::tcp_connect`], with options that must be known before the SYN leaves.
    pub fn tcp_connect_with(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &ConnectOptions,
    ) -> Result<Handle, Error> {
        self.connect(remote, local, options, None)
    }

    /// `own`: the handle that has bound the local port.
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
        let scope = scope_of(remote);
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
        let sockets = &mut self.sockets;
        let port = match local.map_or(0, |local| local.port()) {
            0 => sockets.ephemeral_tcp(address, peer)?,
            port => port,
        };
        let key = FlowKey::new((address, port), peer);
        if sockets.flow_is_taken(&key) || sockets.is_bound(address, port, own) {
            return Err(Error::AddressInUse);
        }
        if sockets.admit() != Admission::Admitted {
            return Err(Error::OutOfMemory);
        }
        count(&mut sockets.tcp.counters.active_opens);
        let now_ns = sockets.now_ns;
        let iss = Seq(sockets.tcp.numbers.sequence(&key, now_ns));
        let mut setup = sockets.setup(&self.ip.net, route.interface, &key, iss, &options.tcp);
        setup.ecn = options.ecn.unwrap_or(setup.ecn);
        let machine = Machine::connect(&setup, now_ns);
        let local = SocketAddr::new(address, port);
        let mut connection = Connection::new(machine, Phase::Connecting, local, remote, route);
        connection.header_fields = HeaderFields::new(options.hop_limit, options.dscp);
        let handle = sockets.insert_connection(connection);
        sockets.mark_dirty(handle);
        Ok(handle)
    }

    /// Returns the result of a connect: `Ok` if established, [`Error::WouldBlock`] while in
    /// progress, otherwise the reason ([`Error::ConnectionRefused`], [`Error::TimedOut`],
    /// [`Error::Unreachable`]…).
    pub fn tcp_connect_result(&mut self, connection: Handle) -> Result<(), Error> {
        let connection = self.sockets.connection_mut(connection)?;
        match (connection.phase, connection.error()) {
            (_, Some(error)) => Err(error),
            (Phase::Connecting, None) => {
                connection.wakes.write = true;
                Err(Error::WouldBlock)
            }
            _ => Ok(()),
        }
    }

    /// Reads received bytes; `Ok(0)` means end of input (FIN), or an empty `buffer`.
    ///
    /// Returns data received before a FIN or RST first, then `Ok(0)` or [`Error::ConnectionReset`].
    /// [`Error::WouldBlock`] if no data is available.
    pub fn tcp_read(&mut self, connection: Handle, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return self.sockets.connection_mut(connection).map(|_| 0);
        }
        let mut done = 0;
        // The received data is in pieces.
        self.sockets.read(connection, buffer.len(), &mut |bytes| {
            let rest = buffer.get_mut(done..).unwrap_or_default();
            let len = bytes.len().min(rest.len());
            rest[..len].copy_from_slice(&bytes[..len]);
            done += len;
            len
        })
    }

    /// Copies received bytes without consuming them. Otherwise like [`Stack::tcp_read`].
    pub fn tcp_peek(&mut self, connection: Handle, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut there = false;
        let read = self.sockets.read(connection, 0, &mut |_| {
            there = true;
            0
        });
        match self.sockets.machine(connection)? {
            Some(machine) if there => Ok(machine.copy(buffer)),
            _ => read,
        }
    }

    /// Copies bytes into the send buffer: as many as fit, at least one if `data` isn't empty. They
    /// leave with the next [`Stack::poll`]. [`Error::WouldBlock`] if the buffer is full.
    pub fn tcp_write(&mut self, connection: Handle, data: &[u8]) -> Result<usize, Error> {
        if data.is_empty() {
            return self.sockets.connection_mut(connection).map(|_| 0);
        }
        self.sockets
            .write(connection, |machine, budget| machine.write(budget, data))
    }

    /// A way to send without the transport. `None`: there is none now, so [`Stack::tcp_write`] is
    /// left. The stack has none at any time, as it sends itself.
    pub fn tcp_sender(&mut self, _: Handle) -> Option<Arc<dyn Sender>> {
        None
    }

    /// Records an answer of a [`Sender`] that isn't the whole length; returns the write's.
    pub fn tcp_sent(&mut self, _: Handle, sent: Result<usize, Error>) -> Result<usize, Error> {
        sent
    }

    /// Sends bytes without copying them. The stack holds them until the peer has acknowledged them
    /// or the connection is over, and then drops them. Accepts all of them or none:
    /// [`Error::WouldBlock`] if the buffer is full, [`Error::MessageTooLong`] for more than 1 GiB.
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
        let written = self.sockets.write(connection, |machine, budget| {
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

    /// Closes the sending side: sends a FIN after the written data. Calling it twice is allowed.
    pub fn tcp_shutdown(&mut self, connection: Handle) -> Result<(), Error> {
        self.sockets.connected_mut(connection)?;
        self.sockets
            .change(connection, |machine| machine.shutdown_send())
    }

    /// Marks all written data and the next `len` bytes as urgent (RFC 9293, 3.8.5), and signals
    /// this to the peer even if its window is closed. Called before the bytes are written: a
    /// segment that is sent without the pointer never gets it. New programs shouldn't use it
    /// (RFC 6093, 5): the bytes stay in the stream.
    pub fn tcp_send_urgent(&mut self, connection: Handle, len: usize) -> Result<(), Error> {
        self.sockets.connected_mut(connection)?;
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.sockets
            .change(connection, |machine| machine.send_urgent(len))
    }

    /// Number of unread bytes up to the last one that the peer marked as urgent; 0: none (RFC 9293,
    /// 3.8.5, MUST-33). A waiting handle is reported as an event when the number grows.
    pub fn tcp_urgent(&self, connection: Handle) -> Result<usize, Error> {
        self.tcp_urgent_behind(connection, 0)
    }

    /// Like [`Stack::tcp_urgent`], after the reader pushed back the last `back` bytes: they count
    /// as unread.
    pub fn tcp_urgent_behind(&self, connection: Handle, back: u32) -> Result<usize, Error> {
        let machine = self.sockets.machine(connection)?;
        Ok(machine.map_or(0, |machine| machine.urgent_left(back) as usize))
    }

    /// Bytes written and not acknowledged yet.
    pub fn tcp_unsent(&self, connection: Handle) -> Result<usize, Error> {
        let machine = self.sockets.machine(connection)?;
        Ok(machine.map_or(0, |machine| machine.unacknowledged()))
    }

    /// Returns statistics of a connection: round-trip time, windows, retransmissions. All zero once
    /// it is over.
    pub fn tcp_info(&self, connection: Handle) -> Result<Info, Error> {
        let machine = self.sockets.machine(connection)?;
        Ok(machine.map_or(Info::default(), |machine| machine.info()))
    }

    /// Disables Nagle's algorithm (`true`, the default) or enables it (RFC 9293, 3.7.4). Writes
    /// between two calls of [`Stack::poll`] are coalesced in any case.
    pub fn tcp_set_nodelay(&mut self, connection: Handle, nodelay: bool) -> Result<(), Error> {
        self.sockets
            .change(connection, |machine| machine.set_nodelay(nodelay))
    }

    /// Enables keep-alive probes on an idle connection; `None`, the default, disables them. A peer
    /// that doesn't respond ends the connection with [`Error::TimedOut`] (RFC 9293, 3.8.4). Times
    /// below a millisecond count as one, and so does a count of 0 probes.
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
        let now_ns = self.sockets.now_ns;
        self.sockets.change(connection, |machine| {
            machine.set_keepalive(keepalive, now_ns)
        })
    }

    /// Sets how long sent data may stay unacknowledged before [`Error::TimedOut`] (RFC 5482), in
    /// nanoseconds; 0 means forever. The peer learns it only with
    /// [`TcpOptions::user_timeout_option`]. The default is [`crate::Config::send_timeout_ns`].
    pub fn tcp_set_user_timeout(
        &mut self,
        connection: Handle,
        timeout_ns: u64,
    ) -> Result<(), Error> {
        let now_ns = self.sockets.now_ns;
        self.sockets.change(connection, |machine| {
            machine.set_user_timeout(timeout_ns, now_ns)
        })
    }

    /// Sets how long [`Stack::close`] may deliver in the background, in nanoseconds. With 0,
    /// closing sends a reset and discards undelivered data. The default is
    /// [`crate::Config::linger_ns`].
    pub fn tcp_set_linger(&mut self, connection: Handle, linger_ns: u64) -> Result<(), Error> {
        self.sockets.connection_mut(connection)?.linger_ns = Some(linger_ns);
        Ok(())
    }
}

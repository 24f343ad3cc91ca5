//! The public operations on TCP sockets.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use smoltcp::time::Duration;

use crate::flow::{Flow, FlowKey};
use crate::shared::{Core, Socket, route};
use crate::tcp::connection::{Connection, Phase, Wakes};
use crate::tcp::listener::{Listener, conflict};
use crate::{Error, Handle, Stack};

impl Core {
    fn connection_mut(&mut self, handle: Handle) -> Result<&mut Connection, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Connection(connection)) => Ok(connection),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Ends the program's part in a connection. See [`Stack::close`].
    pub(crate) fn close_connection(&mut self, handle: Handle) {
        let limit_ns = self.now_ns.saturating_add(self.config.linger_ns);
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        let connecting = connection.phase == Phase::Connecting;
        let Some(io) = connection
            .io
            .as_mut()
            .filter(|_| !connecting && !connection.over)
        else {
            return self.discard(handle);
        };
        let socket = io.socket_mut();
        if socket.can_recv() && socket.send_queue() == 0 && socket.may_send() {
            // Nothing of ours is on its way, and the peer is to know that its bytes were not read.
            return self.abort_connection(handle);
        }
        socket.close();
        connection.phase = Phase::Orphan;
        connection.limit_ns = Some(limit_ns);
        self.mark_dirty(handle);
        self.settle(handle);
    }
}

/// TCP.
impl Stack {
    /// Listens. An unspecified address means all interfaces: `0.0.0.0` those of IPv4, `[::]` both
    /// families. Port 0 takes an ephemeral one. `backlog` bounds the connections that are
    /// established (or in handshake) and not accepted; 0 is read as 1.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`],
    /// [`Error::InvalidArgument`] (a multicast address).
    pub fn tcp_listen(&mut self, local: SocketAddr, backlog: usize) -> Result<Handle, Error> {
        let address = local.ip();
        if address.is_multicast() {
            return Err(Error::InvalidArgument);
        }
        let own = |a| {
            self.interfaces
                .iter()
                .any(|interface| interface.end.has_address(a))
        };
        if !address.is_unspecified() && !own(address) {
            return Err(Error::AddressNotAvailable);
        }
        let core = &mut self.core;
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
        let handle = core.sockets.insert(Socket::Listener(Listener {
            local: SocketAddr::new(address, port),
            backlog: backlog.max(1),
            queue: VecDeque::new(),
            half_open: 0,
            wakes: Wakes::default(),
        }));
        core.listeners.entry(port).or_default().push(handle);
        Ok(handle)
    }

    /// The connection that was established first of those not accepted yet.
    /// [`Error::WouldBlock`] if there is none.
    pub fn tcp_accept(&mut self, listener: Handle) -> Result<Handle, Error> {
        let core = &mut self.core;
        loop {
            let queue = match core.sockets.get_mut(listener) {
                Some(Socket::Listener(queue)) => queue,
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
        let peer = (remote.ip(), remote.port());
        let broadcast = matches!(peer.0, IpAddr::V4(a) if a.is_broadcast());
        if peer.0.is_unspecified() || peer.0.is_multicast() || broadcast || peer.1 == 0 {
            return Err(Error::InvalidArgument);
        }
        let scope = match remote {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let (interface, source) = route(&self.interfaces, peer.0, scope)?;
        let wanted = local
            .map(|local| local.ip())
            .filter(|address| !address.is_unspecified());
        if let Some(address) = wanted
            && (address.is_ipv4() != peer.0.is_ipv4()
                || !self
                    .interfaces
                    .iter()
                    .skip(1)
                    .any(|i| i.end.has_address(address))
                    && !address.is_loopback())
        {
            return Err(Error::AddressNotAvailable);
        }
        let address = wanted.unwrap_or(source);
        let core = &mut self.core;
        let port = match local.map_or(0, |local| local.port()) {
            0 => core.ephemeral_tcp(address, peer)?,
            port => port,
        };
        if core
            .flows
            .contains_key(&FlowKey::new((address, port), peer))
        {
            return Err(Error::AddressInUse);
        }
        let end = self
            .interfaces
            .get_mut(interface)
            .ok_or(Error::Unreachable)?;
        let mut io = core.budget.take().ok_or(Error::OutOfMemory)?;
        let context = end.end.context();
        let to = (smoltcp::wire::IpAddress::from(peer.0), peer.1);
        let from = (smoltcp::wire::IpAddress::from(address), port);
        if io.socket_mut().connect(context, to, from).is_err() {
            core.budget.give_back(io);
            return Err(Error::InvalidArgument);
        }
        let now_ns = core.now_ns;
        let local = SocketAddr::new(address, port);
        let mut connection =
            Connection::new(io, Phase::Connecting, local, remote, interface, now_ns);
        connection.limit_ns = Some(now_ns.saturating_add(core.config.connect_timeout_ns));
        let key = connection.key;
        let handle = core
            .sockets
            .insert(Socket::Connection(Box::new(connection)));
        core.flows.insert(key, Flow::Connection(handle));
        core.mark_dirty(handle);
        Ok(handle)
    }

    /// How a connect went: `Ok` established, [`Error::WouldBlock`] still trying, otherwise why it
    /// failed ([`Error::ConnectionRefused`], [`Error::TimedOut`], [`Error::Unreachable`]…).
    pub fn tcp_connect_result(&mut self, connection: Handle) -> Result<(), Error> {
        let connection = self.core.connection_mut(connection)?;
        match (connection.phase, connection.error) {
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
        let mut done = 0;
        if buffer.is_empty() {
            return self.core.connection_mut(connection).map(|_| 0);
        }
        // The ring is at most two pieces.
        for _ in 0..2 {
            let rest = &mut buffer[done..];
            if rest.is_empty() {
                break;
            }
            let result = self.tcp_read_with(connection, &mut |bytes| {
                let len = bytes.len().min(rest.len());
                rest[..len].copy_from_slice(&bytes[..len]);
                len
            });
            match result {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Lets `f` look at received bytes in place; it returns how many of them are done with. The
    /// slice is never empty and may be only the first part of what is there. `Ok(0)` without a call
    /// of `f` is the end of input.
    pub fn tcp_read_with(
        &mut self,
        connection: Handle,
        f: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize, Error> {
        let core = &mut self.core;
        let handle = connection;
        let connection = core.connection_mut(handle)?;
        if connection.phase == Phase::Connecting {
            return Err(connection.error.unwrap_or(Error::NotConnected));
        }
        let end = connection.error.map_or(Ok(0), Err);
        let Some(io) = &mut connection.io else {
            return end;
        };
        let socket = io.socket_mut();
        if !socket.can_recv() {
            if socket.may_recv() {
                connection.wakes.read = true;
                return Err(Error::WouldBlock);
            }
            return end;
        }
        let read = socket.recv(|bytes| {
            let len = f(bytes).min(bytes.len());
            (len, len)
        });
        // The buffer isn't empty, so that smoltcp has no reason to refuse.
        let len = read.unwrap_or(0);
        connection.unread = connection.unread.wrapping_add(len as u32);
        if connection.over {
            if !socket.can_recv()
                && let Some(io) = connection.io.take()
            {
                core.budget.give_back(io);
            }
        } else {
            // The window may have to be told.
            core.mark_dirty(handle);
        }
        Ok(len)
    }

    /// Copies bytes into the send buffer: as many as fit, at least one if `data` isn't empty.
    /// They leave with the next [`Stack::poll`]. [`Error::WouldBlock`] if the buffer is full.
    pub fn tcp_write(&mut self, connection: Handle, data: &[u8]) -> Result<usize, Error> {
        let mut done = 0;
        if data.is_empty() {
            return self.core.connection_mut(connection).map(|_| 0);
        }
        for _ in 0..2 {
            let rest = &data[done..];
            if rest.is_empty() {
                break;
            }
            let result = self.tcp_write_with(connection, &mut |room| {
                let len = room.len().min(rest.len());
                room[..len].copy_from_slice(&rest[..len]);
                len
            });
            match result {
                Ok(len) => done += len,
                // Only part of it fitted: who writes the rest is to hear of room.
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Lets `f` fill the send buffer in place; it returns how many bytes it wrote from the start of
    /// the slice, which is never empty and may be only a part of the room there is.
    pub fn tcp_write_with(
        &mut self,
        connection: Handle,
        f: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<usize, Error> {
        let core = &mut self.core;
        let handle = connection;
        let connection = core.connection_mut(handle)?;
        if let Some(error) = connection.error {
            return Err(error);
        }
        if connection.phase == Phase::Connecting {
            return Err(Error::NotConnected);
        }
        let Some(io) = connection.io.as_mut().filter(|_| !connection.over) else {
            return Err(Error::BrokenPipe);
        };
        let socket = io.socket_mut();
        if !socket.may_send() {
            return Err(Error::BrokenPipe);
        }
        if !socket.can_send() {
            connection.wakes.write = true;
            return Err(Error::WouldBlock);
        }
        let written = socket.send(|room| {
            let len = f(room).min(room.len());
            (len, len)
        });
        // Its refusals are those that were looked for above.
        let len = written.unwrap_or(0);
        connection.written = connection.written.wrapping_add(len as u32);
        core.mark_dirty(handle);
        Ok(len)
    }

    /// Ends the sending side: FIN after what was written. Doing it twice is fine.
    pub fn tcp_shutdown(&mut self, connection: Handle) -> Result<(), Error> {
        let handle = connection;
        let connection = self.core.connection_mut(handle)?;
        if connection.phase == Phase::Connecting {
            return Err(Error::NotConnected);
        }
        if let Some(io) = connection.io.as_mut().filter(|_| !connection.over) {
            io.socket_mut().close();
            self.core.mark_dirty(handle);
        }
        Ok(())
    }

    /// Bytes written and not acknowledged yet.
    pub fn tcp_unsent(&self, connection: Handle) -> Result<usize, Error> {
        match self.core.owned(connection) {
            Some(Socket::Connection(connection)) => Ok(connection
                .io
                .as_ref()
                .map_or(0, |io| io.socket().send_queue())),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Switches Nagle's algorithm off (`true`, the state of a new connection) or on (RFC 9293,
    /// 3.7.4). Writes made between two calls of [`Stack::poll`] are joined in any case.
    pub fn tcp_set_nodelay(&mut self, connection: Handle, nodelay: bool) -> Result<(), Error> {
        let connection = self.core.connection_mut(connection)?;
        if let Some(io) = &mut connection.io {
            io.socket_mut().set_nagle_enabled(!nodelay);
        }
        Ok(())
    }

    /// Probes an idle connection each `interval_ns`; `None`, the state of a new connection, does
    /// not. A peer silent for five intervals ends it with [`Error::TimedOut`].
    pub fn tcp_set_keepalive(
        &mut self,
        connection: Handle,
        interval_ns: Option<u64>,
    ) -> Result<(), Error> {
        let handle = connection;
        let now_ns = self.core.now_ns;
        let connection = self.core.connection_mut(handle)?;
        // smoltcp takes zero for "as fast as possible".
        let interval_ns = interval_ns.map(|ns| ns.max(1_000_000));
        if let Some(io) = connection.io.as_mut().filter(|_| !connection.over) {
            let interval = interval_ns.map(|ns| Duration::from_micros(ns / 1000));
            io.socket_mut().set_keep_alive(interval);
            connection.keepalive_ns = interval_ns;
            connection.heard_ns = now_ns;
            self.core.mark_dirty(handle);
        }
        Ok(())
    }
}

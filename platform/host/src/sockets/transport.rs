//! The operations of `net::Transport`, each in its part.

use super::watch::Watch;
use super::{Kind, Sockets, calls, system, udp};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use net::{
    Congestion, ConnectOptions, Error, FilterRule, Handle, InterfaceConfig, InterfaceId,
    InterfaceStatus, Keepalive, Lease, Link, PingReply, Progress, Readiness, Received, RouteInfo,
    SendBuffer, Sender, SocketInfo, Source, TcpInfo, TcpOptions, Transport,
};

/// The result of operations that a program's sockets don't support. `resources` returns it before
/// they are called.
const UNSUPPORTED: Error = Error::InvalidOperation;

/// A buffer size, which Linux clamps.
fn buffer_size(bytes: u32) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

impl Transport for Sockets {
    fn poll(&mut self, now_ns: u64, _: usize) -> Progress {
        Sockets::poll(self, now_ns)
    }

    fn take_events(&mut self, f: &mut dyn FnMut(Handle)) {
        for handle in self.events.drain(..) {
            f(handle);
        }
    }

    fn renew_keys(&mut self) {}

    fn set_memory_short(&mut self, _: bool) {}

    fn set_program_nearly_full(&mut self, _: bool) {}

    fn promised_memory(&mut self) -> usize {
        0
    }

    fn note_idle(&mut self, _: u64) {}

    fn waits_by_requests(&mut self) -> bool {
        matches!(self.watch, Watch::Ring(_))
    }

    fn undelivered(&mut self) -> usize {
        self.orphans
    }

    /// Linux does it at the process's end.
    fn abort_all(&mut self) {}

    fn release_leases(&mut self) -> bool {
        true
    }

    fn is_drained(&mut self) -> bool {
        true
    }

    fn add_interface(
        &mut self,
        _: Box<dyn Link>,
        _: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        Err(UNSUPPORTED)
    }

    fn add_vlan(
        &mut self,
        _: InterfaceId,
        _: u16,
        _: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        Err(UNSUPPORTED)
    }

    fn add_route(
        &mut self,
        _: (IpAddr, u8),
        _: InterfaceId,
        _: Option<IpAddr>,
    ) -> Result<(), Error> {
        Err(UNSUPPORTED)
    }

    fn remove_route(&mut self, _: (IpAddr, u8), _: InterfaceId) -> bool {
        false
    }

    fn routes(&mut self) -> Vec<RouteInfo> {
        Vec::new()
    }

    fn set_filter(&mut self, _: &[FilterRule]) -> Result<(), Error> {
        Err(UNSUPPORTED)
    }

    fn interfaces(&mut self) -> Vec<InterfaceId> {
        system::interfaces()
    }

    fn interface_status(&mut self, id: InterfaceId) -> Option<InterfaceStatus> {
        system::status(id)
    }

    fn configuration_generation(&mut self) -> u32 {
        system::generation()
    }

    fn source_address(&mut self, remote: IpAddr) -> Result<IpAddr, Error> {
        udp::source_address(remote)
    }

    fn name_servers(&mut self) -> Option<Vec<SocketAddr>> {
        Some(system::name_servers())
    }

    fn name_options(&mut self) -> Option<(Vec<String>, usize)> {
        Some(system::name_options())
    }

    fn known_addresses(&mut self, name: &str) -> Vec<IpAddr> {
        system::known_addresses(name)
    }

    fn interface_name(&mut self, id: InterfaceId) -> String {
        system::interface_name(id)
    }

    fn connections(&mut self) -> usize {
        self.connection_count()
    }

    fn sockets(&mut self, f: &mut dyn FnMut(&SocketInfo)) {
        self.each(f);
    }

    fn statistics(&mut self, f: &mut dyn FnMut(&'static str, u64)) {
        self.count(f);
    }

    fn readiness(&mut self, handle: Handle) -> Result<Readiness, Error> {
        Sockets::readiness(self, handle)
    }

    fn socket_error(&mut self, handle: Handle) -> Result<Option<Error>, Error> {
        match &self.socket(handle)?.kind {
            Kind::Connection(connection) => Ok(connection.failure),
            _ => Ok(None),
        }
    }

    fn local_address(&mut self, handle: Handle) -> Result<SocketAddr, Error> {
        calls::local(&self.socket(handle)?.fd)
    }

    fn peer_address(&mut self, handle: Handle) -> Result<SocketAddr, Error> {
        let socket = self.socket(handle)?;
        match &socket.kind {
            Kind::Connection(connection) => Ok(connection.peer),
            Kind::Udp(_) => self.udp_peer(handle)?.ok_or(Error::InvalidOperation),
            Kind::Port { .. } => Err(Error::InvalidOperation),
        }
    }

    fn set_hop_limit(&mut self, handle: Handle, hops: u8) -> Result<(), Error> {
        let socket = self.socket(handle)?;
        calls::set_hops(&socket.fd, socket.v6, hops)
    }

    fn set_dscp(&mut self, handle: Handle, dscp: u8) -> Result<(), Error> {
        let socket = self.socket(handle)?;
        calls::set_dscp(&socket.fd, socket.v6, dscp)
    }

    fn close(&mut self, handle: Handle) -> Result<(), Error> {
        Sockets::close(self, handle)
    }

    fn abort(&mut self, handle: Handle) -> Result<(), Error> {
        Sockets::abort(self, handle)
    }

    fn tcp_bind_family(&mut self, local: SocketAddr, v6_only: bool) -> Result<Handle, Error> {
        self.bind(local, v6_only)
    }

    fn tcp_listen_bound(&mut self, bound: Handle, backlog: usize) -> Result<(), Error> {
        self.listen(bound, backlog)
    }

    fn tcp_accept(&mut self, listener: Handle) -> Result<Handle, Error> {
        self.accept(listener)
    }

    /// Linux doesn't say.
    fn tcp_refused(&mut self, _: Handle) -> Result<usize, Error> {
        Ok(0)
    }

    fn tcp_connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<Handle, Error> {
        self.connect(remote, local, &ConnectOptions::default())
    }

    fn tcp_connect_with(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &ConnectOptions,
    ) -> Result<Handle, Error> {
        self.connect(remote, local, options)
    }

    fn tcp_connect_bound(&mut self, bound: Handle, remote: SocketAddr) -> Result<Handle, Error> {
        self.connect_bound(bound, remote)
    }

    fn tcp_connect_result(&mut self, connection: Handle) -> Result<(), Error> {
        self.connect_result(connection)
    }

    fn tcp_read(&mut self, connection: Handle, buffer: &mut [u8]) -> Result<usize, Error> {
        self.read(connection, buffer, 0)
    }

    fn tcp_peek(&mut self, connection: Handle, buffer: &mut [u8]) -> Result<usize, Error> {
        self.read(connection, buffer, libc::MSG_PEEK)
    }

    fn tcp_read_lease(&mut self, connection: Handle) -> Result<Option<Lease>, Error> {
        self.lease(connection)
    }

    fn tcp_return(&mut self, _: Lease) {}

    fn tcp_write(&mut self, connection: Handle, data: &[u8]) -> Result<usize, Error> {
        self.write(connection, data)
    }

    fn tcp_sender(&mut self, connection: Handle) -> Option<Arc<dyn Sender>> {
        self.sender(connection)
    }

    fn tcp_sent(&mut self, connection: Handle, sent: Result<usize, Error>) -> Result<usize, Error> {
        self.sent(connection, sent)
    }

    fn tcp_write_shared(
        &mut self,
        connection: Handle,
        bytes: Arc<dyn SendBuffer>,
    ) -> Result<(), Error> {
        self.share(connection, bytes)
    }

    fn send_now(&mut self, _: Handle, _: u64) {}

    fn tcp_shutdown(&mut self, connection: Handle) -> Result<(), Error> {
        self.shutdown(connection)
    }

    fn tcp_send_urgent(&mut self, _: Handle, _: usize) -> Result<(), Error> {
        Err(UNSUPPORTED)
    }

    fn tcp_urgent(&mut self, _: Handle) -> Result<usize, Error> {
        Ok(0)
    }

    fn tcp_urgent_behind(&mut self, _: Handle, _: u32) -> Result<usize, Error> {
        Err(UNSUPPORTED)
    }

    fn tcp_info(&mut self, connection: Handle) -> Result<TcpInfo, Error> {
        self.info(connection)
    }

    fn tcp_options(&mut self, handle: Handle) -> Result<TcpOptions, Error> {
        self.options(handle).map(|options| *options)
    }

    fn tcp_set_options(&mut self, handle: Handle, options: &TcpOptions) -> Result<(), Error> {
        self.set_options(handle, options)
    }

    fn tcp_set_nodelay(&mut self, connection: Handle, nodelay: bool) -> Result<(), Error> {
        self.set(
            connection,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            i32::from(nodelay),
        )
    }

    fn tcp_set_keepalive(
        &mut self,
        connection: Handle,
        keepalive: Option<Keepalive>,
    ) -> Result<(), Error> {
        self.set_keepalive(connection, keepalive)
    }

    fn tcp_set_user_timeout(&mut self, connection: Handle, timeout_ns: u64) -> Result<(), Error> {
        self.set_user_timeout(connection, timeout_ns)
    }

    fn tcp_set_linger(&mut self, connection: Handle, linger_ns: u64) -> Result<(), Error> {
        self.set_linger(connection, linger_ns)
    }

    fn tcp_set_congestion(
        &mut self,
        connection: Handle,
        congestion: Congestion,
    ) -> Result<(), Error> {
        self.set_congestion(connection, congestion)
    }

    fn tcp_set_send_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.set(
            connection,
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            buffer_size(bytes),
        )
    }

    fn tcp_set_receive_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.set(
            connection,
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            buffer_size(bytes),
        )
    }

    fn udp_bind(&mut self, local: SocketAddr) -> Result<Handle, Error> {
        self.udp_open(local, false)
    }

    fn udp_bind_family(&mut self, local: SocketAddr, v6_only: bool) -> Result<Handle, Error> {
        self.udp_open(local, v6_only)
    }

    fn udp_connect(&mut self, socket: Handle, peer: Option<SocketAddr>) -> Result<(), Error> {
        self.udp_restrict(socket, peer)
    }

    fn udp_take_error(&mut self, socket: Handle) -> Result<Option<Error>, Error> {
        Ok(calls::take_error(&self.socket(socket)?.fd))
    }

    fn udp_send_to(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), Error> {
        self.udp_send(socket, data, remote, &Source::default())
    }

    fn udp_send_from(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
        source: &Source,
    ) -> Result<(), Error> {
        self.udp_send(socket, data, remote, source)
    }

    fn udp_send_batch(
        &mut self,
        socket: Handle,
        batch: &[(&[u8], SocketAddr)],
    ) -> Result<usize, Error> {
        for (count, (data, remote)) in batch.iter().enumerate() {
            match self.udp_send(socket, data, *remote, &Source::default()) {
                Ok(()) => {}
                Err(failure) if count == 0 => return Err(failure),
                Err(_) => return Ok(count),
            }
        }
        Ok(batch.len())
    }

    fn udp_recv_from(
        &mut self,
        socket: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), Error> {
        let received = self.udp_take(socket, buffer)?;
        Ok((received.len, received.from))
    }

    fn udp_receive(&mut self, socket: Handle, buffer: &mut [u8]) -> Result<Received, Error> {
        self.udp_take(socket, buffer)
    }

    fn udp_recv_batch(
        &mut self,
        socket: Handle,
        most: usize,
        f: &mut dyn FnMut(&[u8], SocketAddr),
    ) -> Result<usize, Error> {
        self.udp_take_batch(socket, most, f)
    }

    fn udp_join(
        &mut self,
        socket: Handle,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), Error> {
        self.udp_member(socket, group, interface, true)
    }

    fn udp_leave(
        &mut self,
        socket: Handle,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), Error> {
        self.udp_member(socket, group, interface, false)
    }

    fn udp_set_multicast_hops(&mut self, socket: Handle, hops: u8) -> Result<(), Error> {
        self.udp_set_group_hops(socket, hops)
    }

    fn ping(&mut self, _: SocketAddr, _: usize) -> Result<Handle, Error> {
        Err(UNSUPPORTED)
    }

    fn ping_result(&mut self, _: Handle) -> Result<PingReply, Error> {
        Err(UNSUPPORTED)
    }

    fn ethernet_open(&mut self, _: InterfaceId, _: u16) -> Result<Handle, Error> {
        Err(UNSUPPORTED)
    }

    fn ethernet_send(&mut self, _: Handle, _: [u8; 6], _: &[u8]) -> Result<(), Error> {
        Err(UNSUPPORTED)
    }

    fn ethernet_recv(
        &mut self,
        _: Handle,
        _: &mut [u8],
    ) -> Result<(usize, [u8; 6], [u8; 6]), Error> {
        Err(UNSUPPORTED)
    }
}

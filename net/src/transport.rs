//! The operations on sockets as a trait, for a program that chooses its network when it starts:
//! this stack, or the sockets of the system it runs on.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::ip::FilterRule;
use crate::ping::PingReply;
use crate::stack::{Progress, RouteInfo, SocketInfo, Stack};
use crate::tcp::machine::{Info, SendBuffer, TcpOptions};
use crate::tcp::{ConnectOptions, Lease};
use crate::types::{
    Congestion, Error, Handle, InterfaceConfig, InterfaceId, InterfaceStatus, Keepalive, Link,
    Readiness, Sender,
};
use crate::udp::{Received, Source};

/// Declares the operations once, with their implementations by [`Stack`] and by a box of any
/// transport.
macro_rules! operations {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $answer:ty)?;)*) => {
        /// The operations of [`Stack`] for programs and services. Another transport returns the
        /// same values and errors, and [`Error::InvalidOperation`] for what it can't do.
        pub trait Transport: Send {
            $(
                #[doc = concat!("See [`Stack::", stringify!($name), "`].")]
                fn $name(&mut self $(, $argument: $type)*) $(-> $answer)?;
            )*
        }

        impl Transport for Stack {
            $(
                fn $name(&mut self $(, $argument: $type)*) $(-> $answer)? {
                    Stack::$name(self $(, $argument)*)
                }
            )*
        }

        impl Transport for Box<dyn Transport> {
            $(
                fn $name(&mut self $(, $argument: $type)*) $(-> $answer)? {
                    (**self).$name($($argument),*)
                }
            )*
        }
    };
}

operations! {
    fn poll(now_ns: u64, budget: usize) -> Progress;
    fn take_events(f: &mut dyn FnMut(Handle));
    fn renew_keys();
    fn set_memory_short(short: bool);
    fn set_program_nearly_full(full: bool);
    fn promised_memory() -> usize;
    fn note_idle(idle_ns: u64);
    fn undelivered() -> usize;
    fn waits_by_requests() -> bool;
    fn abort_all();
    fn release_leases() -> bool;
    fn is_drained() -> bool;

    fn add_interface(link: Box<dyn Link>, config: &InterfaceConfig) -> Result<InterfaceId, Error>;
    fn add_vlan(
        under: InterfaceId, id: u16, config: &InterfaceConfig
    ) -> Result<InterfaceId, Error>;
    fn add_route(
        network: (IpAddr, u8), interface: InterfaceId, gateway: Option<IpAddr>
    ) -> Result<(), Error>;
    fn remove_route(network: (IpAddr, u8), interface: InterfaceId) -> bool;
    fn routes() -> Vec<RouteInfo>;
    fn set_filter(rules: &[FilterRule]) -> Result<(), Error>;
    fn interfaces() -> Vec<InterfaceId>;
    fn interface_status(id: InterfaceId) -> Option<InterfaceStatus>;
    fn configuration_generation() -> u32;
    fn source_address(remote: IpAddr) -> Result<IpAddr, Error>;
    fn name_servers() -> Option<Vec<SocketAddr>>;
    fn name_options() -> Option<(Vec<String>, usize)>;
    fn known_addresses(name: &str) -> Vec<IpAddr>;
    fn interface_name(id: InterfaceId) -> String;

    fn connections() -> usize;
    fn sockets(f: &mut dyn FnMut(&SocketInfo));
    fn statistics(f: &mut dyn FnMut(&'static str, u64));

    fn readiness(handle: Handle) -> Result<Readiness, Error>;
    fn socket_error(handle: Handle) -> Result<Option<Error>, Error>;
    fn local_address(handle: Handle) -> Result<SocketAddr, Error>;
    fn peer_address(handle: Handle) -> Result<SocketAddr, Error>;
    fn set_hop_limit(handle: Handle, hops: u8) -> Result<(), Error>;
    fn set_dscp(handle: Handle, dscp: u8) -> Result<(), Error>;
    fn close(handle: Handle) -> Result<(), Error>;
    fn abort(handle: Handle) -> Result<(), Error>;

    fn tcp_bind_family(local: SocketAddr, v6_only: bool) -> Result<Handle, Error>;
    fn tcp_listen_bound(bound: Handle, backlog: usize) -> Result<(), Error>;
    fn tcp_accept(listener: Handle) -> Result<Handle, Error>;
    fn tcp_refused(listener: Handle) -> Result<usize, Error>;
    fn tcp_connect(remote: SocketAddr, local: Option<SocketAddr>) -> Result<Handle, Error>;
    fn tcp_connect_with(
        remote: SocketAddr, local: Option<SocketAddr>, options: &ConnectOptions
    ) -> Result<Handle, Error>;
    fn tcp_connect_bound(bound: Handle, remote: SocketAddr) -> Result<Handle, Error>;
    fn tcp_connect_result(connection: Handle) -> Result<(), Error>;
    fn tcp_read(connection: Handle, buffer: &mut [u8]) -> Result<usize, Error>;
    fn tcp_peek(connection: Handle, buffer: &mut [u8]) -> Result<usize, Error>;
    fn tcp_read_lease(connection: Handle) -> Result<Option<Lease>, Error>;
    fn tcp_return(lease: Lease);
    fn tcp_write(connection: Handle, data: &[u8]) -> Result<usize, Error>;
    fn tcp_sender(connection: Handle) -> Option<Arc<dyn Sender>>;
    fn tcp_sent(
        connection: Handle, sent: Result<usize, Error>
    ) -> Result<usize, Error>;
    fn tcp_write_shared(connection: Handle, bytes: Arc<dyn SendBuffer>) -> Result<(), Error>;
    fn send_now(handle: Handle, now_ns: u64);
    fn tcp_shutdown(connection: Handle) -> Result<(), Error>;
    fn tcp_send_urgent(connection: Handle, len: usize) -> Result<(), Error>;
    fn tcp_urgent(connection: Handle) -> Result<usize, Error>;
    fn tcp_urgent_behind(connection: Handle, back: u32) -> Result<usize, Error>;
    fn tcp_info(connection: Handle) -> Result<Info, Error>;
    fn tcp_options(handle: Handle) -> Result<TcpOptions, Error>;
    fn tcp_set_options(handle: Handle, options: &TcpOptions) -> Result<(), Error>;
    fn tcp_set_nodelay(connection: Handle, nodelay: bool) -> Result<(), Error>;
    fn tcp_set_keepalive(connection: Handle, keepalive: Option<Keepalive>) -> Result<(), Error>;
    fn tcp_set_user_timeout(connection: Handle, timeout_ns: u64) -> Result<(), Error>;
    fn tcp_set_linger(connection: Handle, linger_ns: u64) -> Result<(), Error>;
    fn tcp_set_congestion(connection: Handle, congestion: Congestion) -> Result<(), Error>;
    fn tcp_set_send_buffer(connection: Handle, bytes: u32) -> Result<(), Error>;
    fn tcp_set_receive_buffer(connection: Handle, bytes: u32) -> Result<(), Error>;

    fn udp_bind(local: SocketAddr) -> Result<Handle, Error>;
    fn udp_bind_family(local: SocketAddr, v6_only: bool) -> Result<Handle, Error>;
    fn udp_connect(socket: Handle, peer: Option<SocketAddr>) -> Result<(), Error>;
    fn udp_take_error(socket: Handle) -> Result<Option<Error>, Error>;
    fn udp_send_to(socket: Handle, data: &[u8], remote: SocketAddr) -> Result<(), Error>;
    fn udp_send_from(
        socket: Handle, data: &[u8], remote: SocketAddr, source: &Source
    ) -> Result<(), Error>;
    fn udp_send_batch(socket: Handle, batch: &[(&[u8], SocketAddr)]) -> Result<usize, Error>;
    fn udp_recv_from(socket: Handle, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error>;
    fn udp_receive(socket: Handle, buffer: &mut [u8]) -> Result<Received, Error>;
    fn udp_recv_batch(
        socket: Handle, most: usize, f: &mut dyn FnMut(&[u8], SocketAddr)
    ) -> Result<usize, Error>;
    fn udp_join(socket: Handle, group: IpAddr, interface: Option<InterfaceId>) -> Result<(), Error>;
    fn udp_leave(
        socket: Handle, group: IpAddr, interface: Option<InterfaceId>
    ) -> Result<(), Error>;
    fn udp_set_multicast_hops(socket: Handle, hops: u8) -> Result<(), Error>;

    fn ping(remote: SocketAddr, len: usize) -> Result<Handle, Error>;
    fn ping_result(ping: Handle) -> Result<PingReply, Error>;
    fn ethernet_open(interface: InterfaceId, ethertype: u16) -> Result<Handle, Error>;
    fn ethernet_send(socket: Handle, destination: [u8; 6], payload: &[u8]) -> Result<(), Error>;
    fn ethernet_recv(socket: Handle, buffer: &mut [u8]) -> Result<(usize, [u8; 6], [u8; 6]), Error>;
}

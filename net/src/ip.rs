//! The Internet layer: interfaces, addresses, routes, neighbors, IPv4 and IPv6, ICMP.
//!
//! [`Ip`] has two halves, because a link is borrowed while it delivers a frame: the [`Port`]s
//! (links) and [`Net`] (all other state). Packets sent while a frame is handled go on the port's
//! short queue of finished frames, which the next step of [`Ip::receive`] sends. Packets sent at
//! other times are written straight into the device's buffer ([`Ip::send_tcp`], [`Ip::send`]).
//!
//! # For TCP
//! - [`Ip::route`] selects interface, source address and next hop once per connection. The
//!   connection keeps the [`Route`], which is refreshed when the tables change.
//! - [`Ip::send_tcp`] sends a segment; [`Outcome`] says how to proceed if that isn't possible now.
//! - [`Net::input`] returns [`Input::Tcp`] with a segment whose checksum is valid.
//!   [`Net::reply_tcp`] replies to the frame's source without a route or a neighbor entry (SYN
//!   cookies, resets).
//! - [`Input::Error`] is an ICMP error about a packet of ours. For TCP, the connection must verify
//!   the quoted sequence number (RFC 5927, 4.1) before [`Net::learn_path_mtu`].

mod address;
mod configuration;
mod context;
mod dad;
mod drops;
mod filter;
mod frames;
mod icmp;
mod input;
mod interface;
mod multicast;
mod neighbor;
mod output;
mod overload;
mod packet;
mod poll;
mod random;
mod route;
mod token_bucket;
pub(crate) mod wire;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::hash::KeyedHash;
use crate::types::{Cidr, Error, Handle, InterfaceConfig, Link, LinkCapabilities};
use address::{Address, Source};
use token_bucket::TokenBucket;
use wire::header::{Framing, IP_MAX};

pub use filter::{FilterAction, FilterDirection, FilterLimit, FilterRule, FilterState};
pub(crate) use interface::Interface;
pub(crate) use interface::loopback::Loopback;
pub(crate) use output::Outcome;
pub(crate) use packet::{HeaderFields, Packet, TcpSegment};
pub(crate) use random::Random;
pub(crate) use route::Route;
#[cfg(test)]
pub(crate) use wire::header::group_mac;
pub(crate) use wire::header::{ICMP, ICMPV6, TCP, UDP};

/// The loopback is the first interface and the first port.
pub(crate) const LOOPBACK: usize = 0;

/// Echo replies per second and their burst; errors per second and their burst (in thirds of a
/// token: see `may_send_error`).
const ECHOES: (u64, u64) = (20_000, 2_000);
const ERRORS: (u64, u64) = (2_000, 200);

/// A link.
pub(crate) struct Port {
    pub(crate) link: Box<dyn Link>,
    pub(crate) capabilities: LinkCapabilities,
}

/// All interfaces and their shared state.
pub(crate) struct Ip {
    pub(crate) ports: Vec<Port>,
    pub(crate) net: Net,
}

/// State of the layer, except for the links.
pub(crate) struct Net {
    pub(crate) now_ns: u64,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) queues: Vec<frames::Queue>,
    pub(crate) routes: route::Routes,
    /// Routes that the program added.
    static_routes: Vec<route::Entry>,
    pub(crate) random: Random,
    /// See [`crate::Stack::set_memory_short`].
    pub(crate) memory_short: bool,
    pub(crate) drops: drops::Drops,
    pub(crate) overload: overload::Overload,
    filter: filter::Filter,
    reassembly: input::reassembly::Reassembly,
    path_mtus: route::pmtu::PathMtus,
    redirects: route::redirect::Redirects,
    /// Deadline of the wait for released leases.
    release_until_ns: Option<u64>,
    /// Next identification of a fragmented IPv4 packet.
    identification: u16,
    echo_bucket: TokenBucket,
    error_bucket: TokenBucket,
    /// EtherTypes other than IP with a socket: interface and type.
    pub(crate) ethertypes: Vec<(usize, u16)>,
    /// Lost addresses: see [`Net::take_lost`].
    lost: Vec<IpAddr>,
    /// Locally generated errors about packets that couldn't be sent: see [`Net::take_errors`].
    errors: Vec<IcmpError>,
    /// Addresses, routes or name servers changed; the stack takes the flag.
    pub(crate) changed: bool,
    keyed: KeyedHash,
}

/// Origin of a packet, for a reply without a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Interface of the packet and of the reply.
    pub(crate) interface: usize,
    /// Ethernet source address (usually a router's).
    pub(crate) mac: [u8; 6],
    /// Local address.
    pub(crate) local: IpAddr,
    /// Remote address.
    pub(crate) remote: IpAddr,
}

/// A segment for this host with a valid IP header and checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpInput<'a> {
    pub(crate) origin: Origin,
    /// Header and payload: at least 20 bytes.
    pub(crate) bytes: &'a [u8],
    /// Segment size, if the device has merged several segments into this one.
    pub(crate) joined: Option<u16>,
    /// The packet carries congestion experienced (RFC 3168, 5).
    pub(crate) marked: bool,
}

/// A datagram for this host with a verified checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UdpInput<'a> {
    /// `local` may be a group or a broadcast address.
    pub(crate) origin: Origin,
    pub(crate) remote_port: u16,
    pub(crate) local_port: u16,
    pub(crate) payload: &'a [u8],
    /// `local` is a unicast address of this host.
    pub(crate) unicast: bool,
    /// The packet from its IP header on, for errors that quote it.
    pub(crate) packet: &'a [u8],
}

/// A reply to an echo request of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EchoInput<'a> {
    pub(crate) origin: Origin,
    pub(crate) hop_limit: u8,
    pub(crate) identifier: u16,
    pub(crate) sequence: u16,
    pub(crate) payload: &'a [u8],
}

/// A frame of a non-IP EtherType with a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EthernetInput<'a> {
    pub(crate) interface: usize,
    pub(crate) ethertype: u16,
    pub(crate) source: [u8; 6],
    pub(crate) destination: [u8; 6],
    pub(crate) payload: &'a [u8],
}

/// The meaning of an ICMP error (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The port is closed.
    PortUnreachable,
    /// The protocol is unsupported.
    ProtocolUnreachable,
    /// No route to the host or network.
    HostUnreachable,
    /// A filter prohibits it.
    Prohibited,
    /// The packet exceeded a link's MTU; that MTU (0 if an old router doesn't report it).
    PacketTooBig(u32),
    /// Hop limit or reassembly time exceeded.
    TimeExceeded,
    /// Parameter problem.
    ParameterProblem,
}

/// An ICMP error about a packet with one of our addresses as its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) kind: ErrorKind,
    pub(crate) interface: usize,
    pub(crate) protocol: u8,
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
    /// Sequence number of the quoted TCP segment.
    pub(crate) seq: Option<u32>,
}

/// The result of receiving a frame.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// Handled or dropped by this layer.
    Done,
    Tcp(TcpInput<'a>),
    Udp(UdpInput<'a>),
    Error(IcmpError),
    Echo(EchoInput<'a>),
    Ethernet(EthernetInput<'a>),
    /// The last fragment of a packet: all its bytes from the IP header on, for
    /// [`Net::input_whole`].
    Whole(Origin, Vec<u8>),
}

/// Interface to the layer above.
pub(crate) trait UpperLayer {
    /// Receives the input for the sockets.
    fn input(&mut self, net: &mut Net, input: Input<'_>);
    /// Whether a UDP socket has this port, at any address.
    fn has_udp_port(&self, port: u16) -> bool;
}

impl Net {
    /// Whether an interface has this address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.interfaces
            .iter()
            .any(|interface| interface.has_address(address))
    }

    /// Adds a socket to the list that waits for room in a route's link. `listed` is the socket's
    /// own flag.
    pub(crate) fn wait_for_room(&mut self, route: &Route, listed: &mut bool, socket: Handle) {
        if let Some(interface) = self.interfaces.get(route.interface) {
            self.wait_for_room_of(interface.port, listed, socket);
        }
    }

    /// The same for the link of a port.
    pub(crate) fn wait_for_room_of(&mut self, port: usize, listed: &mut bool, socket: Handle) {
        if let Some(queue) = self.queues.get_mut(port)
            && !core::mem::replace(listed, true)
        {
            queue.blocked.push(socket);
        }
    }

    /// Adds a socket to the list that waits for a route's neighbor. `listed` is the socket's own
    /// flag.
    pub(crate) fn wait_for_neighbor(&mut self, route: &Route, listed: &mut bool, socket: Handle) {
        if let Some(interface) = self.interfaces.get_mut(route.interface)
            && !core::mem::replace(listed, true)
        {
            interface.waiting.push(socket);
        }
    }
}

impl Ip {
    /// A layer with only the loopback interface (127.0.0.1/8, ::1/128).
    pub(crate) fn new(loopback: Box<dyn Link>, keyed: KeyedHash, mut random: Random) -> Ip {
        let identification = random.bits() as u16;
        let mut ip = Ip {
            ports: Vec::new(),
            net: Net {
                overload: Default::default(),
                now_ns: 0,
                interfaces: Vec::new(),
                queues: Vec::new(),
                routes: Default::default(),
                static_routes: Vec::new(),
                random,
                memory_short: false,
                drops: Default::default(),
                filter: Default::default(),
                reassembly: Default::default(),
                path_mtus: Default::default(),
                redirects: Default::default(),
                release_until_ns: None,
                identification,
                echo_bucket: TokenBucket::new(ECHOES.0, ECHOES.1),
                error_bucket: TokenBucket::new(ERRORS.0, ERRORS.1),
                ethertypes: Vec::new(),
                lost: Vec::new(),
                errors: Vec::new(),
                changed: true,
                keyed,
            },
        };
        let mut interface =
            ip.interface(LOOPBACK, Framing::Ip, &InterfaceConfig::default(), IP_MAX);
        let own = [
            (IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
            (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ];
        interface.addresses = own
            .map(|(address, prefix_len)| {
                Address::new(
                    Cidr {
                        address,
                        prefix_len,
                    },
                    Source::Fixed,
                    true,
                )
            })
            .to_vec();
        interface.due_ns = u64::MAX;
        ip.add_port(loopback);
        ip.net.interfaces.push(interface);
        ip
    }

    /// The route to `remote`: see [`Net::route`].
    pub(crate) fn route(
        &self,
        remote: IpAddr,
        scope: u32,
        source: Option<IpAddr>,
    ) -> Result<Route, Error> {
        self.net.route(remote, scope, source)
    }
}

//! The Internet layer: interfaces, addresses, routes, neighbours, IPv4 and IPv6, ICMP.
//!
//! [`Ip`] has two halves, since a link is borrowed while it hands a frame over: the [`Port`]s (links)
//! and [`Net`] (everything that is known). What is sent while a frame is handled goes on the port's
//! short queue of finished frames and leaves with [`Ip::receive`]'s next step; what is sent from the
//! outside is written straight into the device's buffer ([`Ip::send_tcp`], [`Ip::send`]).
//!
//! # For TCP
//! - [`Ip::route`] chooses interface, source address and next hop once for a connection; the [`Route`]
//!   is kept with it, and follows changes of the tables by itself.
//! - [`Ip::send_tcp`] sends a segment: [`Outcome`] tells what to do if that isn't possible now.
//! - [`Net::input`] gives [`Input::Tcp`] with a segment whose checksum is right; [`Net::reply_tcp`]
//!   answers one without a route or a neighbour: to where it came from (SYN cookies, resets).
//! - [`Input::Error`] is an ICMP error about a packet of ours. For TCP the sequence number it quotes is
//!   to be verified by the connection (RFC 5927, 4.1) before [`Net::learn_path_mtu`].

mod address;
mod header;
mod interface;
mod life;
mod neighbor;
mod output;
mod random;
mod route;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::link::{Link, LinkCapabilities};
use crate::{Error, Handle};

pub(crate) use interface::Interface;
pub(crate) use output::{Outcome, Packet, TcpSegment};
pub(crate) use random::Random;
pub(crate) use route::Route;

/// The loopback is the first interface and the first port.
pub(crate) const LOOPBACK: usize = 0;

/// A link.
pub(crate) struct Port {
    pub(crate) link: Box<dyn Link>,
    pub(crate) capabilities: LinkCapabilities,
}

/// All interfaces and what they share.
pub(crate) struct Ip {
    pub(crate) ports: Vec<Port>,
    pub(crate) net: Net,
}

/// What is known: everything but the links themselves.
pub(crate) struct Net {
    pub(crate) now_ns: u64,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) queues: Vec<output::Queue>,
    pub(crate) routes: route::Routes,
    pub(crate) random: Random,
}

/// Where a packet came from, for an answer that needs no route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The interface, which is also that of the answer.
    pub(crate) interface: usize,
    /// The Ethernet address of the one that put it on the link (a router, mostly).
    pub(crate) mac: [u8; 6],
    /// Our address.
    pub(crate) local: IpAddr,
    /// The sender's.
    pub(crate) remote: IpAddr,
}

/// A segment for this end: its IP header is in order and its checksum right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpInput<'a> {
    pub(crate) origin: Origin,
    /// The two bits of RFC 3168.
    pub(crate) ecn: u8,
    /// TTL or hop limit.
    pub(crate) hop_limit: u8,
    /// Header and payload: at least 20 bytes.
    pub(crate) bytes: &'a [u8],
    /// The size of the segments that the device joined to this one.
    pub(crate) joined: Option<u16>,
}

/// A datagram for this end, its checksum verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UdpInput<'a> {
    /// `local` may be a group or a broadcast address.
    pub(crate) origin: Origin,
    pub(crate) remote_port: u16,
    pub(crate) local_port: u16,
    pub(crate) payload: &'a [u8],
    /// `local` is an address of one machine, ours.
    pub(crate) unicast: bool,
}

/// What an ICMP error says (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The port is closed.
    PortUnreachable,
    /// The protocol is not spoken there.
    ProtocolUnreachable,
    /// No way to the host or network, or a router's table lacks it.
    HostUnreachable,
    /// A filter forbids it.
    Prohibited,
    /// The packet was too big for a link; its MTU (0 where an old router doesn't say).
    PacketTooBig(u32),
    /// Hop limit or reassembly time exceeded.
    TimeExceeded,
    /// A header was not understood.
    ParameterProblem,
}

/// An ICMP error about a packet that carries an address of ours as its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) kind: ErrorKind,
    pub(crate) interface: usize,
    pub(crate) protocol: u8,
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
    /// Of TCP: the sequence number of the packet.
    pub(crate) seq: Option<u32>,
}

/// What became of a received frame.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// Handled or dropped here.
    Done,
    Tcp(TcpInput<'a>),
    Udp(UdpInput<'a>),
    Error(IcmpError),
    /// The last fragment of a packet: its bytes from the IP header on, to be given to
    /// [`Net::input_whole`].
    Whole(usize, Vec<u8>),
}

impl Net {
    /// Whether an interface has this address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.interfaces
            .iter()
            .any(|interface| interface.has_address(address))
    }

    /// Sockets that wait for room in the port that a route leads over.
    pub(crate) fn blocked(&mut self, route: &Route) -> Option<&mut Vec<Handle>> {
        let port = self.interfaces.get(route.interface)?.port;
        self.queues.get_mut(port).map(|queue| &mut queue.blocked)
    }

    /// Sockets that wait for the neighbour that a route leads to.
    pub(crate) fn waiting(&mut self, route: &Route) -> Option<&mut Vec<Handle>> {
        self.interfaces
            .get_mut(route.interface)
            .map(|interface| &mut interface.waiting)
    }
}

impl Ip {
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

//! The Internet layer: interfaces, addresses, routes, neighbors, IPv4 and IPv6, ICMP.
//!
//! [`Ip`] has two halves, since a link is borrowed while it hands a frame over: the [`Port`]s
//! (links) and [`Net`] (everything that is known). What is sent while a frame is handled goes on
//! the port's short queue of finished frames and leaves with [`Ip::receive`]'s next step; what is
//! sent from the outside is written straight into the device's buffer ([`Ip::send_tcp`],
//! [`Ip::send`]).
//!
//! # For TCP
//! - [`Ip::route`] chooses interface, source address and next hop once for a connection; the
//!   [`Route`] is kept with it, and follows changes of the tables by itself.
//! - [`Ip::send_tcp`] sends a segment: [`Outcome`] tells what to do if that isn't possible now.
//! - [`Net::input`] gives [`Input::Tcp`] with a segment whose checksum is right; [`Net::reply_tcp`]
//!   answers one without a route or a neighbor: to where it came from (SYN cookies, resets).
//! - [`Input::Error`] is an ICMP error about a packet of ours. For TCP the sequence number it
//!   quotes is to be verified by the connection (RFC 5927, 4.1) before [`Net::learn_path_mtu`].

mod address;
mod arp;
mod autoconf;
pub(crate) mod checksum;
mod configure;
mod dad;
mod dhcp;
mod dhcp6;
mod drops;
mod filter;
mod header;
mod icmp;
mod input;
mod input_v6;
mod interface;
mod loopback;
mod multicast;
mod nd;
mod neighbor;
mod output;
mod overload;
mod packet;
mod pmtu;
mod poll;
mod queue;
mod random;
mod reassembly;
mod redirect;
mod release;
mod retries;
mod route;
mod search_list;
mod setup;
mod status;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::hash::Keyed;
use crate::types::{Error, Handle, Link, LinkCapabilities};
use drops::Bucket;

pub use filter::{FilterAction, FilterDirection, FilterLimit, FilterRule, FilterState};
#[cfg(test)]
pub(crate) use header::group_mac;
pub(crate) use header::{ICMP, ICMPV6, TCP, UDP};
pub(crate) use interface::Interface;
pub(crate) use loopback::Loopback;
pub(crate) use output::Outcome;
pub(crate) use packet::{HeaderFields, Packet, TcpSegment};
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

/// The state of the layer, without the links themselves.
pub(crate) struct Net {
    pub(crate) now_ns: u64,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) queues: Vec<queue::Queue>,
    pub(crate) routes: route::Routes,
    /// Routes that were added by themselves.
    extra_routes: Vec<route::Entry>,
    pub(crate) random: Random,
    /// See [`crate::Stack::set_memory_short`].
    pub(crate) memory_short: bool,
    pub(crate) drops: drops::Drops,
    pub(crate) overload: overload::Overload,
    filter: filter::Filter,
    reassembly: reassembly::Reassembly,
    path_mtus: pmtu::PathMtus,
    redirects: redirect::Redirects,
    /// Until when leases that were given back are waited for.
    release_until_ns: Option<u64>,
    /// The next identification of an IPv4 packet in fragments.
    identification: u16,
    echo_bucket: Bucket,
    error_bucket: Bucket,
    /// Frames of other protocols that a socket wants: interface and type.
    pub(crate) ethertypes: Vec<(usize, u16)>,
    /// Addresses that were lost: see [`Net::take_lost`].
    lost: Vec<IpAddr>,
    /// Locally generated errors about packets that couldn't be sent: see [`Net::take_errors`].
    errors: Vec<IcmpError>,
    /// Addresses, routes or name servers changed; taken by the stack.
    pub(crate) changed: bool,
    keyed: Keyed,
}

/// The origin of a packet, for an answer that needs no route.
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
    /// Header and payload: at least 20 bytes.
    pub(crate) bytes: &'a [u8],
    /// The size of the segments that the device joined to this one.
    pub(crate) joined: Option<u16>,
    /// A router has marked it: congestion experienced (RFC 3168, 5).
    pub(crate) marked: bool,
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
    /// The packet from its IP header on, for errors that quote it.
    pub(crate) packet: &'a [u8],
}

/// An answer to an echo request of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EchoInput<'a> {
    pub(crate) origin: Origin,
    pub(crate) hop_limit: u8,
    pub(crate) identifier: u16,
    pub(crate) sequence: u16,
    pub(crate) payload: &'a [u8],
}

/// A frame of another protocol than IP that has a socket.
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

/// The result of receiving a frame.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// Handled or dropped here.
    Done,
    Tcp(TcpInput<'a>),
    Udp(UdpInput<'a>),
    Error(IcmpError),
    Echo(EchoInput<'a>),
    Ethernet(EthernetInput<'a>),
    /// The last fragment of a packet: its bytes from the IP header on, to be given to
    /// [`Net::input_whole`].
    Whole(Origin, Vec<u8>),
}

/// The layer above, which the packets are for.
pub(crate) trait UpperLayer {
    /// Takes what is for them.
    fn input(&mut self, net: &mut Net, input: Input<'_>);
    /// Whether one of UDP has this port, at whatever address.
    fn has_udp_port(&self, port: u16) -> bool;
}

impl Net {
    /// Whether an interface has this address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.interfaces
            .iter()
            .any(|interface| interface.has_address(address))
    }

    /// Lists a socket with those that wait for room in the link that a route leads over. `listed`:
    /// the socket's note of it.
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

    /// Lists a socket with those that wait for the neighbor that a route leads to. `listed`: the
    /// socket's note of it.
    pub(crate) fn wait_for_neighbor(&mut self, route: &Route, listed: &mut bool, socket: Handle) {
        if let Some(interface) = self.interfaces.get_mut(route.interface)
            && !core::mem::replace(listed, true)
        {
            interface.waiting.push(socket);
        }
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

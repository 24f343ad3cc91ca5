//! Configuration of the stack and of its interfaces, and what can be read back.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::str::FromStr;

use crate::Error;
use crate::tcp::machine::Congestion;

/// Limits and defaults of a [`crate::Stack`].
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes that the buffers of all TCP connections may take together. See the rule in
    /// `net/README.md`; a quarter of the machine's memory is a good value.
    pub tcp_memory: usize,
    /// What the send or receive buffer of one connection may grow to, in bytes, as its path needs
    /// it; 4 KiB to 1 GiB.
    pub tcp_buffer_max: usize,
    /// What the send or receive buffer of one connection may hold from the beginning, in bytes; 64
    /// KiB if that is more.
    pub tcp_buffer_min: usize,
    /// How the sending rate of new connections is chosen.
    pub congestion: Congestion,
    /// Whether new connections ask for congestion marks (RFC 3168). A peer that asks for them gets
    /// them in any case.
    pub ecn: bool,
    /// Handshakes of all listeners together that are remembered; beyond that a SYN is answered by a
    /// cookie (RFC 4987).
    pub half_open_max: usize,
    /// Connections that were closed and still deliver; beyond that closing one sends a reset.
    pub orphan_max: usize,
    /// Records of connections in TIME-WAIT; when full, the oldest makes room.
    pub time_wait_max: usize,
    /// How long TIME-WAIT lasts: twice the maximum segment lifetime (RFC 9293, 3.4.2).
    pub time_wait_ns: u64,
    /// How long `tcp_connect` tries before [`Error::TimedOut`] (RFC 9293, 3.8.3: at least three
    /// minutes).
    pub connect_timeout_ns: u64,
    /// How long an unanswered ARP request or neighbour solicitation is repeated before
    /// [`Error::Unreachable`].
    pub neighbor_timeout_ns: u64,
    /// How long a peer may leave sent data without acknowledgement before [`Error::TimedOut`]
    /// (RFC 9293, 3.8.3: R2 is at least 100 s).
    pub send_timeout_ns: u64,
    /// How long a closed connection may still deliver what was written, and wait for the peer's
    /// FIN, in the background.
    pub linger_ns: u64,
    /// Bytes queued in each direction by one UDP socket.
    pub udp_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Config {
            tcp_memory: 32 << 20,
            tcp_buffer_max: 4 << 20,
            tcp_buffer_min: 4 << 10,
            congestion: Congestion::Cubic,
            ecn: false,
            half_open_max: 1024,
            orphan_max: 4096,
            time_wait_max: 4096,
            time_wait_ns: 60 * SECOND,
            connect_timeout_ns: 180 * SECOND,
            neighbor_timeout_ns: 3 * SECOND,
            send_timeout_ns: 120 * SECOND,
            linger_ns: 60 * SECOND,
            udp_queue: 64 << 10,
        }
    }
}

/// An address with the length of its network prefix, as in `10.0.0.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address itself, not the network's.
    pub address: IpAddr,
    /// Bits of the network prefix: at most 32 for IPv4, 128 for IPv6.
    pub prefix_len: u8,
}

impl Cidr {
    /// A unicast address and a prefix length within its range.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Cidr, Error> {
        let (bits, unicast) = match address {
            IpAddr::V4(v4) => (32, is_unicast_v4(v4)),
            IpAddr::V6(v6) => (128, !v6.is_multicast() && !v6.is_unspecified()),
        };
        if prefix_len <= bits && unicast {
            Ok(Cidr {
                address,
                prefix_len,
            })
        } else {
            Err(Error::InvalidArgument)
        }
    }

    /// Whether an address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        crate::ip::contains(self, address)
    }
}

pub(crate) fn is_unicast_v4(a: Ipv4Addr) -> bool {
    !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified() && a.octets()[0] < 240
}

impl FromStr for Cidr {
    type Err = Error;

    /// Reads `ADDRESS/LENGTH`; without a length, that of a single address.
    fn from_str(s: &str) -> Result<Cidr, Error> {
        let (address, len) = match s.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (s, None),
        };
        let address: IpAddr = address.parse().map_err(|_| Error::InvalidArgument)?;
        let len = match len {
            Some(len) => len.parse().map_err(|_| Error::InvalidArgument)?,
            None if address.is_ipv4() => 32,
            None => 128,
        };
        Cidr::new(address, len)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// How an interface gets its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// Ask for an IPv4 address, a gateway and name servers by DHCP (RFC 2131).
    pub dhcp: bool,
    /// Take IPv6 addresses and a gateway from router advertisements (RFC 4862). A link-local
    /// address is there in any case.
    pub slaac: bool,
    /// Fixed addresses, at most four.
    pub addresses: Vec<Cidr>,
    /// Fixed gateways, at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// Fixed name servers; those of DHCP come after them. At most four are used.
    pub dns_servers: Vec<IpAddr>,
    /// Make temporary IPv6 addresses beside those from advertised prefixes, and prefer them for
    /// what this machine begins (RFC 8981).
    pub temporary_addresses: bool,
    /// Probe IPv4 addresses for conflicts as slowly as RFC 5227 asks, 4 to 7 seconds, before they
    /// are used. Without it one of DHCP is probed for 20 ms and a fixed one is announced at once;
    /// conflicts that show later are seen to in any case.
    pub careful: bool,
    /// DupAddrDetectTransmits of RFC 4862, 5.1: questions, one a second, before an IPv6 address is
    /// used; 0 to use it at once.
    pub dad_transmits: u8,
}

impl Default for InterfaceConfig {
    /// No addresses but IPv6's link-local one.
    fn default() -> Self {
        InterfaceConfig {
            dhcp: false,
            slaac: false,
            addresses: Vec::new(),
            gateways: Vec::new(),
            dns_servers: Vec::new(),
            temporary_addresses: false,
            careful: false,
            dad_transmits: 1,
        }
    }
}

impl InterfaceConfig {
    /// DHCP and SLAAC: what a machine does when it is told nothing.
    pub fn dynamic() -> Self {
        InterfaceConfig {
            dhcp: true,
            slaac: true,
            ..Default::default()
        }
    }
}

/// Where DHCP stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp {
    /// Not asked for.
    Off,
    /// No lease yet, or lost: asking.
    Searching,
    /// There is a lease.
    Bound,
}

/// What is known about an interface now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its MTU in bytes, without the Ethernet header.
    pub mtu: usize,
    /// Its addresses, fixed and learnt, the IPv6 link-local one among them.
    pub addresses: Vec<Cidr>,
    /// Its gateways.
    pub gateways: Vec<IpAddr>,
    /// Its name servers.
    pub dns_servers: Vec<IpAddr>,
    /// Domains to complete short names with, as DHCP and routers said.
    pub search_domains: Vec<String>,
    /// Where DHCP stands.
    pub dhcp: Dhcp,
    /// How often another machine was found to have an address of this interface.
    pub duplicates: u64,
    /// What went through it.
    pub counters: Counters,
}

/// What went through an interface since it was added. Counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received, Ethernet header included.
    pub rx_bytes: u64,
    /// Frames received and dropped because they are malformed, could only be forged, or are of no
    /// use to this machine.
    pub rx_malformed: u64,
    /// Frames received and dropped because their checksum is wrong.
    pub rx_bad_checksum: u64,
    /// Frames sent; a large frame that the device cuts counts once.
    pub tx_frames: u64,
    /// Bytes sent, Ethernet header included.
    pub tx_bytes: u64,
}

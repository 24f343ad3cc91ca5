//! An interface: its identifier, its configuration and its status.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::Cidr;

/// The port of name servers (RFC 1035, 4.2).
const DNS: u16 = 53;

/// The name server in `text`: an address, and perhaps a port after `:`, which IPv6 needs brackets
/// for. `None` if it is neither.
pub fn name_server(text: &str) -> Option<SocketAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(v6) => Some(SocketAddr::new(IpAddr::V6(v6.parse().ok()?), DNS)),
        None => {
            let alone = text.parse().map(|address| SocketAddr::new(address, DNS));
            alone.or_else(|_| text.parse()).ok()
        }
    }
    .filter(|server| server.port() != 0)
}

/// Identifies an interface; valid as long as the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceId(pub(crate) usize);

impl InterfaceId {
    /// The identifier with this number, for a [`Transport`](crate::Transport) that numbers its
    /// interfaces itself.
    pub const fn from_raw(raw: usize) -> InterfaceId {
        InterfaceId(raw)
    }

    /// The number of [`InterfaceId::from_raw`].
    pub const fn to_raw(self) -> usize {
        self.0
    }
}

/// Configuration of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// Request an IPv4 address, a gateway and name servers by DHCP (RFC 2131).
    pub dhcp: bool,
    /// Accept IPv6 addresses and a gateway from router advertisements (RFC 4862). A link-local
    /// address exists in any case.
    pub slaac: bool,
    /// Static addresses, at most four.
    pub addresses: Vec<Cidr>,
    /// Static gateways, at most one per family.
    pub gateways: Vec<IpAddr>,
    /// Static name servers, before those of DHCP. At most four are used.
    pub dns_servers: Vec<SocketAddr>,
    /// Create temporary IPv6 addresses beside those from advertised prefixes, and prefer them for
    /// outgoing connections (RFC 8981).
    pub temporary_addresses: bool,
    /// Probe IPv4 addresses for conflicts for 4 to 7 seconds before use, as RFC 5227 requires.
    /// Without it, an address of DHCP is probed for 20 ms and a static one is announced at once;
    /// later conflicts are handled in any case.
    pub careful: bool,
    /// DupAddrDetectTransmits of RFC 4862, 5.1: number of probes, one per second, before an IPv6
    /// address is used; 0 to use it at once.
    pub dad_transmits: u8,
}

impl Default for InterfaceConfig {
    /// No addresses except the IPv6 link-local one.
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
    /// DHCP and SLAAC: the default without a configuration.
    pub fn dynamic() -> Self {
        InterfaceConfig {
            dhcp: true,
            slaac: true,
            ..Default::default()
        }
    }
}

/// The state of DHCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp {
    /// DHCP is disabled.
    Off,
    /// No lease yet, or the lease is lost: requesting.
    Searching,
    /// The interface has a lease.
    Bound,
}

/// Status of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its MTU in bytes, without the Ethernet header.
    pub mtu: usize,
    /// Static and learned addresses, including the IPv6 link-local one.
    pub addresses: Vec<Cidr>,
    /// Its gateways.
    pub gateways: Vec<IpAddr>,
    /// Its name servers.
    pub dns_servers: Vec<SocketAddr>,
    /// Search domains for short names, from DHCP and router advertisements.
    pub search_domains: Vec<String>,
    /// The state of DHCP.
    pub dhcp: Dhcp,
    /// Number of duplicate addresses detected: another host had an address of this interface.
    pub duplicates: u64,
    /// Traffic counters.
    pub counters: Counters,
}

/// Traffic of an interface since it was added. Counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received, Ethernet header included.
    pub rx_bytes: u64,
    /// Frames received and dropped because they are malformed, necessarily forged, or not for this
    /// host.
    pub rx_malformed: u64,
    /// Frames received and dropped because their checksum is wrong.
    pub rx_bad_checksum: u64,
    /// Frames sent; a large frame that the device segments counts once.
    pub tx_frames: u64,
    /// Bytes sent, Ethernet header included.
    pub tx_bytes: u64,
}

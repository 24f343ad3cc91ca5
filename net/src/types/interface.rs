//! An interface: its identifier, its configuration and its status.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Cidr;

/// Names an interface; valid as long as the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceId(pub(crate) usize);

/// Configuration of an interface.
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

/// The state of DHCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp {
    /// Not asked for.
    Off,
    /// No lease yet, or lost: asking.
    Searching,
    /// There is a lease.
    Bound,
}

/// Status of an interface.
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
    /// The state of DHCP.
    pub dhcp: Dhcp,
    /// Duplicate addresses detected: another machine had an address of this interface.
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

//! One interface: its link, addresses and neighbors, and its state for the program.

mod add;
pub(super) mod loopback;
mod status;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{Address, State, broadcast_of, choose};
use super::configuration::slaac::Slaac;
use super::configuration::{dhcp, dhcp6};
use super::multicast::Memberships;
use super::neighbor::Neighbors;
use super::wire::header::Framing;
use crate::ip::wire::header::HOP_LIMIT;
use crate::types::{Counters, Handle, InterfaceConfig};

/// One interface.
pub(crate) struct Interface {
    /// The link.
    pub(crate) port: usize,
    pub(crate) framing: Framing,
    /// MTU of the link: bytes of an IP packet.
    pub(crate) link_mtu: usize,
    /// The same after DHCP and router advertisements: for IPv4 and IPv6.
    pub(crate) mtu: usize,
    pub(crate) mtu_v6: usize,
    pub(crate) config: InterfaceConfig,
    pub(crate) addresses: Vec<Address>,
    pub(crate) neighbors: Neighbors,
    pub(crate) memberships: Memberships,
    pub(crate) dhcp: Option<dhcp::Client>,
    pub(crate) dhcp6: Option<dhcp6::Client>,
    pub(crate) slaac: Option<Slaac>,
    /// Sockets that wait for a neighbor of the link to be resolved.
    pub(crate) waiting: Vec<Handle>,
    pub(crate) counters: Counters,
    /// Duplicate addresses detected.
    pub(crate) duplicates: u64,
    /// Hop limit of IPv6 packets, if a router specified it (RFC 4861, 6.3.4).
    pub(crate) hop_limit: u8,
    /// When [`super::Ip::maintain`] has work here; 0: now.
    pub(crate) due_ns: u64,
}

impl Interface {
    /// Whether `address` is one of this interface's, tentative ones included.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.framing == Framing::Ip && address.is_loopback()
            || self
                .addresses
                .iter()
                .any(|a| a.ip() == address && a.state != State::Duplicate)
    }

    /// Whether packets may be sent from this address, and accepted for it.
    pub(crate) fn is_ready(&self, address: IpAddr) -> bool {
        self.framing == Framing::Ip || self.is_own(address)
    }

    /// Whether `address` is confirmed to be ours.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|a| a.ip() == address && a.state == State::Valid)
    }

    /// The source address for packets to `remote`.
    pub(crate) fn source_for(&self, remote: IpAddr, now_ns: u64) -> Option<IpAddr> {
        choose(&self.addresses, remote, now_ns)
    }

    /// Whether `address` is the broadcast address of a network here.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.addresses
            .iter()
            .any(|a| a.on_link && broadcast_of(&a.cidr) == Some(address))
    }

    /// Whether packets to an IPv6 group are accepted.
    pub(crate) fn listens_v6(&self, group: Ipv6Addr) -> bool {
        self.memberships.listens(IpAddr::V6(group))
    }

    /// The hop limit of packets of the family of `address`.
    pub(crate) fn hops_for(&self, address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(_) => HOP_LIMIT,
            IpAddr::V6(_) => self.hop_limit,
        }
    }

    /// The largest IP packet for the family of `address`.
    pub(crate) fn mtu_for(&self, address: IpAddr) -> usize {
        match address {
            IpAddr::V4(_) => self.mtu,
            IpAddr::V6(_) => self.mtu_v6,
        }
    }
}

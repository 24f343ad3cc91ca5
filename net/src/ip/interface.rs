//! One interface: its place on a link, its addresses, its neighbours.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::address::{Address, State, choose};
use super::header::Framing;
use super::neighbor::Neighbors;
use crate::Handle;
use crate::config::Counters;

/// One interface.
pub(crate) struct Interface {
    /// The link.
    pub(crate) port: usize,
    pub(crate) framing: Framing,
    /// What the link carries, and what routers and DHCP allow of it: bytes of an IP packet.
    pub(crate) mtu: usize,
    pub(crate) addresses: Vec<Address>,
    pub(crate) neighbors: Neighbors,
    /// Sockets that wait for an address of the link to become known.
    pub(crate) waiting: Vec<Handle>,
    pub(crate) counters: Counters,
}

impl Interface {
    /// Whether `address` is one of this interface, be it still tentative.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.framing == Framing::Ip && address.is_loopback()
            || self
                .addresses
                .iter()
                .any(|a| a.ip() == address && a.state != State::Duplicate)
    }

    /// Whether packets may be sent from, and taken for, this address.
    pub(crate) fn is_ready(&self, address: IpAddr) -> bool {
        self.framing == Framing::Ip
            || self
                .addresses
                .iter()
                .any(|a| a.ip() == address && a.state == State::Valid)
    }

    /// The address to send from to `remote`.
    pub(crate) fn source_for(&self, remote: IpAddr, now_ns: u64) -> Option<IpAddr> {
        choose(&self.addresses, remote, now_ns)
    }
}

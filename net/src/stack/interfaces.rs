//! Interfaces, VLANs, routes and the packet filter.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::Stack;
use crate::ip::FilterRule;
use crate::types::{Error, InterfaceConfig, InterfaceId, InterfaceStatus, Link};

/// A route, as reported by [`Stack::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// An address of the network.
    pub network: IpAddr,
    /// Prefix length in bits.
    pub prefix_len: u8,
    /// Outgoing interface.
    pub interface: InterfaceId,
    /// Next hop; `None` for an on-link network.
    pub gateway: Option<IpAddr>,
}

/// Interfaces, routes and the filter.
impl Stack {
    /// Adds an interface. Its configuration starts with the next [`Stack::poll`].
    ///
    /// Fails with [`Error::InvalidArgument`] if the MAC address isn't unicast, if there are more
    /// fixed addresses, gateways or servers than [`InterfaceConfig`] permits, or if one of them
    /// isn't unicast.
    pub fn add_interface(
        &mut self,
        link: Box<dyn Link>,
        config: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        self.ip.add_interface(link, config)
    }

    /// Adds an interface for a VLAN (IEEE 802.1Q) of another interface's link, with its MAC address
    /// and MTU; `id` is 1 to 4094.
    ///
    /// Fails as [`Stack::add_interface`] does, and with [`Error::InvalidArgument`] if `parent` is a
    /// VLAN itself, or has one with this identifier.
    pub fn add_vlan(
        &mut self,
        parent: InterfaceId,
        id: u16,
        config: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        self.ip.add_vlan(parent, id, config)
    }

    /// Adds a route to a network (an address and its prefix length) over an interface, through a
    /// gateway or on-link. The longest prefix wins; among equal ones, the interface that has the
    /// packet's source address.
    ///
    /// [`Error::InvalidArgument`] if address families are mixed or there are more than 64 routes.
    pub fn add_route(
        &mut self,
        network: (IpAddr, u8),
        interface: InterfaceId,
        gateway: Option<IpAddr>,
    ) -> Result<(), Error> {
        self.ip.net.add_route(network, interface, gateway)
    }

    /// Removes a route that [`Stack::add_route`] added; `false` if there is none to this network
    /// over this interface.
    pub fn remove_route(&mut self, network: (IpAddr, u8), interface: InterfaceId) -> bool {
        self.ip.net.remove_route(network, interface)
    }

    /// Returns all routes from any source.
    pub fn routes(&self) -> Vec<RouteInfo> {
        let routes = self.ip.net.routes.entries.iter().map(|entry| RouteInfo {
            network: entry.network,
            prefix_len: entry.prefix_len,
            interface: InterfaceId(entry.interface),
            gateway: entry.gateway,
        });
        routes.collect()
    }

    /// Replaces the filter rules for all packets from now on; see [`FilterRule`].
    /// [`Error::InvalidArgument`] if there are more than 256, or a prefix or limit is invalid.
    pub fn set_filter(&mut self, rules: &[FilterRule]) -> Result<(), Error> {
        self.ip.net.set_filter(rules)
    }

    /// Counters of dropped packets by reason, since the start. They wrap.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.ip.net.drops.iter()
    }

    /// The interfaces in the order in which they were added, without the loopback.
    pub fn interfaces(&self) -> Vec<InterfaceId> {
        (1..self.ip.net.interfaces.len()).map(InterfaceId).collect()
    }

    /// Status of an interface; `None` for an identifier of another stack.
    pub fn interface_status(&self, id: InterfaceId) -> Option<InterfaceStatus> {
        let interfaces = &self.ip.net.interfaces;
        interfaces.get(id.0).map(crate::ip::Interface::status)
    }

    /// Releases the DHCP leases (RFC 2131, 4.4.6; RFC 8415, 18.2.7) before shutdown; their
    /// addresses must not be used afterwards. Returns `false` while messages are outstanding: call
    /// again after the next [`Stack::poll`]. Takes at most a second.
    pub fn release_leases(&mut self) -> bool {
        self.ip.net.release_leases()
    }

    /// Whether the links have completed every frame; see [`crate::Link::is_drained`].
    pub fn is_drained(&mut self) -> bool {
        self.ip.is_drained()
    }

    /// The system's name of an interface. A stack has none: its caller names them.
    pub const fn interface_name(&self, _id: InterfaceId) -> String {
        String::new()
    }

    /// The name servers of the system, in order. `None`: a stack has those of its interfaces.
    pub const fn name_servers(&self) -> Option<Vec<SocketAddr>> {
        None
    }

    /// How the system completes short names: its domains, and the number of dots from which a name
    /// is tried as it is first. `None`: a stack leaves that to its caller.
    pub const fn name_options(&self) -> Option<(Vec<String>, usize)> {
        None
    }

    /// The addresses of a name that need no query: none, since a stack has no hosts table.
    pub const fn known_addresses(&self, _name: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    /// Returns the current source address of packets to `remote`; [`Error::Unreachable`] if there
    /// is no route.
    pub fn source_address(&self, remote: IpAddr) -> Result<IpAddr, Error> {
        self.ip.route(remote, 0, None).map(|route| route.source)
    }
}

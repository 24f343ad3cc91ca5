//! The addresses of an interface, from whichever source, and what can be reached from them.

use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::wire::IpCidr;

use super::End;
use crate::config::{Cidr, Dhcp, InterfaceStatus};
use crate::dhcp::Client;
use crate::frame::Framing;
use crate::slaac::Slaac;

impl End {
    /// Puts all addresses and gateways into smoltcp's interface.
    pub(super) fn configure(&mut self) {
        let mut cidrs: Vec<IpCidr> = Vec::new();
        for cidr in &self.config.addresses {
            cidrs.push(IpCidr::new(cidr.address.into(), cidr.prefix_len));
        }
        if let Some(lease) = self.dhcp.as_ref().and_then(|client| client.lease.as_ref()) {
            cidrs.push(IpCidr::new(
                lease.address.address.into(),
                lease.address.prefix_len,
            ));
        }
        if let Framing::Ethernet(mac) = self.profile.framing {
            cidrs.push(IpCidr::new(crate::slaac::link_local(mac).into(), 64));
        }
        for cidr in self.slaac.iter().flat_map(Slaac::addresses) {
            cidrs.push(IpCidr::new(cidr.address.into(), cidr.prefix_len));
        }
        if self.smoltcp.ip_addrs() != cidrs.as_slice() {
            let known = self.smoltcp.ip_addrs();
            let new = cidrs.iter().filter(|cidr| !known.contains(cidr));
            self.announcements
                .begin(new.map(|cidr| cidr.address().into()));
            self.smoltcp.update_ip_addrs(|addresses| {
                addresses.clear();
                // The sources above are bounded so that all fit: 4 + 1 + 1 + 2.
                addresses.extend(cidrs.into_iter().take(8));
            });
        }
        let gateways = self.gateways();
        let routes = self.smoltcp.routes_mut();
        routes.remove_default_ipv4_route();
        routes.remove_default_ipv6_route();
        for gateway in gateways.iter().rev() {
            // Two default routes always fit the table of eight.
            let _ = match gateway {
                IpAddr::V4(gateway) => routes.add_default_ipv4_route(*gateway),
                IpAddr::V6(gateway) => routes.add_default_ipv6_route(*gateway),
            };
        }
    }

    /// Fixed gateways first; the first of each family is used.
    pub(crate) fn gateways(&self) -> Vec<IpAddr> {
        let mut gateways = self.config.gateways.clone();
        if let Some(lease) = self.dhcp.as_ref().and_then(|client| client.lease.as_ref()) {
            gateways.extend(lease.gateway.map(IpAddr::V4));
        }
        if let Some(slaac) = &self.slaac {
            gateways.extend(slaac.router().map(IpAddr::V6));
        }
        gateways
    }

    pub(crate) fn dns_servers(&self) -> Vec<IpAddr> {
        let mut servers = self.config.dns_servers.clone();
        if let Some(lease) = self.dhcp.as_ref().and_then(|client| client.lease.as_ref()) {
            servers.extend(lease.dns_servers.iter().map(|server| IpAddr::V4(*server)));
        }
        servers.truncate(4);
        servers
    }

    /// Whether packets to `address` are for this end.
    pub(crate) fn accepts(&self, address: IpAddr) -> bool {
        self.profile.framing == Framing::Ip || self.has_address(address)
    }

    /// Whether `address` is one of this end.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.profile.framing == Framing::Ip && address.is_loopback()
            || self
                .smoltcp
                .ip_addrs()
                .iter()
                .any(|cidr| IpAddr::from(cidr.address()) == address)
    }

    /// Whether `address` can be reached on the link itself.
    pub(crate) fn on_link(&self, address: IpAddr) -> bool {
        let address = address.into();
        self.smoltcp
            .ip_addrs()
            .iter()
            .any(|cidr| cidr.contains_addr(&address))
    }

    /// Whether `address` can be reached through a gateway of this interface.
    pub(crate) fn has_gateway(&self, address: IpAddr) -> bool {
        let routes = self.smoltcp.routes();
        match address {
            IpAddr::V4(_) => routes.get_default_ipv4_route().is_some(),
            IpAddr::V6(_) => routes.get_default_ipv6_route().is_some(),
        }
    }

    /// The address of this end to use towards `remote`.
    pub(crate) fn source_address(&self, remote: IpAddr) -> Option<IpAddr> {
        let has_family = |v4| {
            self.smoltcp
                .ip_addrs()
                .iter()
                .any(|cidr| matches!(cidr, IpCidr::Ipv4(_)) == v4)
        };
        if !has_family(remote.is_ipv4()) {
            return None;
        }
        self.smoltcp
            .get_source_address(&remote.into())
            .map(IpAddr::from)
    }

    pub(crate) fn status(&self) -> InterfaceStatus {
        let mac = match self.profile.framing {
            Framing::Ethernet(mac) => mac,
            Framing::Ip => [0; 6],
        };
        InterfaceStatus {
            mac,
            mtu: self.mtu,
            addresses: self
                .smoltcp
                .ip_addrs()
                .iter()
                .map(|cidr| Cidr {
                    address: cidr.address().into(),
                    prefix_len: cidr.prefix_len(),
                })
                .collect(),
            gateways: self.gateways(),
            dns_servers: self.dns_servers(),
            dhcp: match &self.dhcp {
                None => Dhcp::Off,
                Some(Client { lease: None, .. }) => Dhcp::Searching,
                Some(_) => Dhcp::Bound,
            },
            search_domains: Vec::new(),
            duplicates: 0,
            counters: self.counters,
        }
    }
}

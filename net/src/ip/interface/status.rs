//! Status of an interface.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::Interface;
use crate::ip::address::{Source, State};
use crate::ip::configuration::slaac::Slaac;
use crate::ip::wire::header::{Framing, Mac};
use crate::types::{Dhcp, InterfaceStatus};

const SERVERS: usize = 4;
/// The port of name servers (RFC 1035, 4.2).
const DNS: u16 = 53;

impl Interface {
    /// Name servers: fixed ones first, then those from DHCP, routers and DHCPv6.
    pub(crate) fn dns_servers(&self) -> Vec<SocketAddr> {
        let mut learned = Vec::new();
        if let Some(lease) = self.dhcp.as_ref().and_then(|client| client.lease.as_ref()) {
            learned.extend(lease.dns_servers.iter().map(|server| IpAddr::V4(*server)));
        }
        learned.extend(self.slaac.iter().flat_map(Slaac::servers));
        if let Some(client) = &self.dhcp6 {
            learned.extend(client.dns_servers.iter().map(|server| IpAddr::V6(*server)));
        }
        let mut servers = self.config.dns_servers.clone();
        servers.extend(
            learned
                .into_iter()
                .map(|server| SocketAddr::new(server, DNS)),
        );
        let mut seen: Vec<SocketAddr> = Vec::new();
        servers.retain(|server| {
            !seen.contains(server) && {
                seen.push(*server);
                true
            }
        });
        servers.truncate(SERVERS);
        servers
    }

    /// Search domains for short names.
    pub(crate) fn search_domains(&self) -> Vec<String> {
        let mut domains = Vec::new();
        if let Some(lease) = self.dhcp.as_ref().and_then(|client| client.lease.as_ref()) {
            domains.extend(lease.search.iter().cloned());
        }
        domains.extend(self.slaac.iter().flat_map(Slaac::domains).cloned());
        if let Some(client) = &self.dhcp6 {
            domains.extend(client.search.iter().cloned());
        }
        domains
    }

    /// Gateways: fixed ones first.
    pub(crate) fn gateways(&self) -> Vec<IpAddr> {
        let mut gateways = self.config.gateways.clone();
        if let Some(lease) = self.dhcp.as_ref().and_then(|client| client.lease.as_ref()) {
            gateways.extend(lease.routers.iter().map(|router| IpAddr::V4(*router)));
            let defaults = lease.routes.iter().filter(|(_, len, _)| *len == 0);
            gateways.extend(defaults.map(|(_, _, router)| IpAddr::V4(*router)));
        }
        gateways.extend(self.slaac.iter().flat_map(Slaac::routers));
        gateways
    }

    pub(crate) fn status(&self) -> InterfaceStatus {
        let mac: Mac = match self.framing {
            Framing::Ethernet { mac, .. } => mac,
            Framing::Ip => [0; 6],
        };
        InterfaceStatus {
            mac,
            mtu: self.mtu,
            addresses: self
                .addresses
                .iter()
                .filter(|a| a.state == State::Valid)
                .map(|a| a.cidr)
                .collect(),
            gateways: self.gateways(),
            dns_servers: self.dns_servers(),
            search_domains: self.search_domains(),
            dhcp: match &self.dhcp {
                None => Dhcp::Off,
                Some(_) if self.has_lease() => Dhcp::Bound,
                Some(_) => Dhcp::Searching,
            },
            duplicates: self.duplicates,
            counters: self.counters,
        }
    }

    /// Whether the address of a lease is in use.
    fn has_lease(&self) -> bool {
        self.addresses
            .iter()
            .any(|a| a.source == Source::Dhcp && a.state == State::Valid)
    }
}

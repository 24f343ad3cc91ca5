//! Configuration of interfaces by servers and routers.
//!
//! Each client keeps what it has learned: [`dhcp`] and [`dhcp6`] leases, [`slaac`] router
//! advertisements. This module runs the clients, and derives addresses and routes from the
//! program's configuration and from what they have learned.

pub(super) mod dhcp;
pub(super) mod dhcp6;
mod release;
mod search_list;
pub(super) mod slaac;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Net;
use super::address::{Address, Source, State};
use super::context::Context;
use super::dad::begin_dad;
use super::packet::Packet;
use super::wire::header::{Framing, IpHeader, UDP, group_mac, solicited_node};
use crate::ip::wire::header::HOP_LIMIT;
use crate::types::{Cidr, put};
use slaac::{Slaac, link_local};

pub(super) const DHCP_PORTS: (u16, u16) = (67, 68);
pub(super) const DHCP6_PORTS: (u16, u16) = (547, 546);
const DHCP6_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

impl Net {
    /// The addresses that an interface should have now.
    fn wanted(&self, interface: usize) -> Vec<Address> {
        let Some(i) = self.interfaces.get(interface) else {
            return Vec::new();
        };
        let mut wanted: Vec<Address> = Vec::new();
        for cidr in &i.config.addresses {
            wanted.push(Address::new(*cidr, Source::Fixed, true));
        }
        if let Some(lease) = i.dhcp.as_ref().and_then(|client| client.lease.as_ref()) {
            wanted.push(Address::new(lease.address, Source::Dhcp, true));
        }
        if let Framing::Ethernet { mac, .. } = i.framing {
            let cidr = Cidr {
                address: IpAddr::V6(link_local(mac)),
                prefix_len: 64,
            };
            wanted.push(Address::new(cidr, Source::LinkLocal, true));
        }
        for made in i.slaac.iter().flat_map(|slaac| &slaac.made) {
            wanted.push(Address {
                preferred_until_ns: made.preferred_until_ns,
                valid_until_ns: made.valid_until_ns,
                ..Address::new(Slaac::cidr(made), made.source, false)
            });
        }
        if let Some(lease) = i.dhcp6.as_ref().and_then(|client| client.lease) {
            let cidr = Cidr {
                address: IpAddr::V6(lease.address),
                prefix_len: 128,
            };
            wanted.push(Address {
                preferred_until_ns: lease.preferred_until_ns,
                valid_until_ns: lease.valid_until_ns,
                ..Address::new(cidr, Source::Dhcp6, false)
            });
        }
        wanted
    }

    /// Updates the addresses of an interface, and all routes.
    #[cold]
    pub(crate) fn configure(&mut self, interface: usize) {
        let wanted = self.wanted(interface);
        let now_ns = self.now_ns;
        let Some(i) = self.interfaces.get_mut(interface) else {
            return;
        };
        let mut kept: Vec<Address> = Vec::new();
        for old in &i.addresses {
            match wanted.iter().find(|new| new.ip() == old.ip()) {
                Some(new) if !kept.iter().any(|a| a.ip() == old.ip()) => kept.push(Address {
                    cidr: new.cidr,
                    source: new.source,
                    on_link: new.on_link,
                    preferred_until_ns: new.preferred_until_ns,
                    valid_until_ns: new.valid_until_ns,
                    ..*old
                }),
                _ => {
                    if let IpAddr::V6(ip) = old.ip() {
                        i.memberships.leave(IpAddr::V6(solicited_node(ip)), now_ns);
                    }
                    self.lost.push(old.ip());
                }
            }
        }
        for new in wanted {
            if kept.iter().any(|a| a.ip() == new.ip()) {
                continue;
            }
            if let IpAddr::V6(ip) = new.ip() {
                i.memberships.join(IpAddr::V6(solicited_node(ip)), now_ns);
            }
            let mut new = new;
            begin_dad(&mut new, &i.config, i.framing, now_ns);
            kept.push(new);
        }
        i.addresses = kept;
        i.due_ns = 0;
        i.mtu = i.link_mtu;
        i.mtu_v6 = i.link_mtu;
        if let Some(mtu) = i
            .dhcp
            .as_ref()
            .and_then(|client| client.lease.as_ref()?.mtu)
        {
            i.mtu = i.mtu.min(mtu);
        }
        if let Some(mtu) = i.slaac.as_ref().and_then(|slaac| slaac.mtu) {
            i.mtu_v6 = i.mtu_v6.min(mtu);
        }
        self.rebuild_routes();
        self.changed = true;
    }

    /// Handles a validated router advertisement.
    pub(super) fn router_advertisement(
        &mut self,
        interface: usize,
        from: Ipv6Addr,
        header: &[u8; 16],
        options: &[(u8, &[u8])],
    ) {
        let now_ns = self.now_ns;
        let Some(i) = self.interfaces.get_mut(interface) else {
            return;
        };
        let Some(slaac) = &mut i.slaac else {
            return;
        };
        // Lifetimes may have changed even if nothing else has.
        slaac.advertisement(from, header, options, now_ns, &mut self.random);
        if let Some(base_ns) = slaac.reachable_ns {
            let unit = self.random.below(1000);
            i.neighbors.set_reachable(base_ns, unit);
        }
        if let Some(retransmit_ns) = slaac.retransmit_ns {
            i.neighbors.set_retransmit(retransmit_ns);
        }
        if let Some(hop_limit) = slaac.hop_limit {
            i.hop_limit = hop_limit;
        }
        if let Some(client) = &mut i.dhcp6 {
            let flags = (slaac.managed, slaac.other);
            client.flags(flags, now_ns, &mut self.random);
        }
        self.configure(interface);
    }

    /// A router has become a host (RFC 4861, 7.2.5).
    pub(super) fn router_is_host(&mut self, interface: usize, address: Ipv6Addr) {
        let forgotten = self
            .interfaces
            .get_mut(interface)
            .and_then(|i| i.slaac.as_mut())
            .is_some_and(|slaac| slaac.forget_router(address));
        if forgotten {
            self.configure(interface);
        }
    }

    /// Whether a datagram is for a DHCP client.
    pub(super) fn is_configuration(
        &self,
        context: &Context<'_>,
        remote_port: u16,
        local_port: u16,
    ) -> bool {
        let ports = (remote_port, local_port);
        self.interfaces
            .get(context.origin.interface)
            .is_some_and(|i| match context.origin.local {
                IpAddr::V4(_) => i.dhcp.is_some() && ports == DHCP_PORTS,
                IpAddr::V6(_) => i.dhcp6.is_some() && ports == DHCP6_PORTS,
            })
    }

    /// Handles a datagram for a DHCP client.
    pub(super) fn configuration_input(&mut self, context: &Context<'_>, payload: &[u8]) {
        let now_ns = self.now_ns;
        let interface = context.origin.interface;
        let Some(i) = self.interfaces.get_mut(interface) else {
            return;
        };
        i.due_ns = 0;
        let changed = match (context.origin.local, &mut i.dhcp, &mut i.dhcp6) {
            (IpAddr::V4(_), Some(client), _) => {
                let before = client.lease.clone();
                client.input(payload, now_ns);
                before != client.lease
            }
            (IpAddr::V6(_), _, Some(client)) => client.input(payload, now_ns),
            _ => false,
        };
        if changed {
            self.configure(interface);
        }
    }

    /// Runs the configuration of an interface. Returns the time of the next run.
    #[cold]
    pub(super) fn run_configuration(&mut self, interface: usize) -> Option<u64> {
        let now_ns = self.now_ns;
        let mut changed = false;
        let mut messages = Vec::new();
        let mut messages6 = Vec::new();
        let mut solicit = false;
        let i = self.interfaces.get_mut(interface)?;
        if let Some(client) = &mut i.dhcp {
            let before = client.lease.is_some();
            // A decline may precede a request.
            while let Some(message) = client.run(now_ns, &mut self.random) {
                messages.push(message);
            }
            changed |= before != client.lease.is_some();
        }
        if let Some(client) = &mut i.dhcp6 {
            let before = client.lease;
            while let Some(message) = client.run(now_ns, &mut self.random) {
                messages6.push(message);
            }
            changed |= before != client.lease;
        }
        if let Some(slaac) = &mut i.slaac {
            changed |= slaac.expire(now_ns, &mut self.random);
            solicit = slaac.solicitation_due(now_ns);
        }
        if changed {
            self.configure(interface);
        }
        if solicit {
            let source = self.own_link_local(interface);
            self.solicit_routers(interface, source.unwrap_or(Ipv6Addr::UNSPECIFIED));
        }
        for message in messages {
            let to = message.to.unwrap_or(Ipv4Addr::BROADCAST);
            self.send_configuration(
                interface,
                (IpAddr::V4(message.source), 68),
                (IpAddr::V4(to), 67),
                &message.payload,
            );
        }
        for message in messages6 {
            // Without an address nothing can be sent; retried soon.
            if let Some(source) = self.own_link_local(interface) {
                self.send_configuration(
                    interface,
                    (IpAddr::V6(source), 546),
                    (IpAddr::V6(DHCP6_SERVERS), 547),
                    &message,
                );
            }
        }
        self.report_groups(interface);
        let checks = self.run_dad(interface);
        let i = self.interfaces.get(interface)?;
        [
            checks,
            i.dhcp.as_ref().map(dhcp::Client::next_ns),
            i.dhcp6.as_ref().and_then(dhcp6::Client::next_ns),
            i.slaac.as_ref().and_then(|a| a.next_ns(now_ns)),
            i.memberships.next_ns(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The link-local address of an interface, if duplicate address detection has confirmed it.
    fn own_link_local(&self, interface: usize) -> Option<Ipv6Addr> {
        let i = self.interfaces.get(interface)?;
        i.addresses.iter().find_map(|a| match a.ip() {
            IpAddr::V6(ip) if a.source == Source::LinkLocal && a.state == State::Valid => Some(ip),
            _ => None,
        })
    }

    pub(super) fn send_configuration(
        &mut self,
        interface: usize,
        from: (IpAddr, u16),
        to: (IpAddr, u16),
        payload: &[u8],
    ) {
        let mut header = [0; 8];
        put(&mut header, 0, &from.1.to_be_bytes());
        put(&mut header, 2, &to.1.to_be_bytes());
        let len = (payload.len() + 8) as u16;
        put(&mut header, 4, &len.to_be_bytes());
        let packet = Packet {
            header: IpHeader::new(from.0, to.0, UDP, HOP_LIMIT),
            transport: &header,
            payload: &[payload],
        };
        if let Some(mac) = group_mac(to.0) {
            self.stage_packet(interface, mac, &packet);
        } else if let Ok(mut route) = self.route(to.0, 0, Some(from.0)) {
            self.send_slowly(&mut route, &packet);
        }
    }
}

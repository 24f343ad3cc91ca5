//! Routes: the table, the route to one address, redirects and path MTUs.
//!
//! The table is rebuilt from its sources whenever one of them changes: addresses, the
//! configuration, leases, router advertisements. Users cache a route, and look it up again when the
//! table's generation has changed.

pub(super) mod pmtu;
pub(super) mod redirect;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{Source, State, broadcast_of};
use super::wire::header::{BROADCAST, Mac, group_mac};
use super::{LOOPBACK, Net};
use crate::ip::wire::header::HOP_LIMIT;
use crate::types::{Error, InterfaceId, common_prefix};

/// Maximum number of routes in the table.
const ROUTES: usize = 128;
/// Maximum number of routes that the program adds.
const STATIC_ROUTES: usize = 64;

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) network: IpAddr,
    pub(crate) prefix_len: u8,
    pub(crate) interface: usize,
    /// `None`: on-link.
    pub(crate) gateway: Option<IpAddr>,
    /// 1 high, 0 medium, -1 low (RFC 4191, 2.1).
    pub(crate) preference: i8,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) entries: Vec<Entry>,
    /// Changes whenever a route may have changed.
    pub(crate) generation: u32,
}

impl Routes {
    /// Replaces the table.
    pub(crate) fn replace(&mut self, mut entries: Vec<Entry>) {
        entries.truncate(ROUTES);
        self.entries = entries;
        self.generation = self.generation.wrapping_add(1);
    }
}

/// The route to one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) interface: usize,
    /// The address that packets are sent from.
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The neighbor to send to.
    pub(crate) next_hop: IpAddr,
    /// The Ethernet address, if it follows from the destination: multicast or broadcast.
    pub(crate) group: Option<Mac>,
    pub(super) scope: u32,
    pub(super) generation: u32,
    /// The slot of the last neighbor lookup.
    pub(super) slot: u32,
    /// The default hop limit of packets.
    pub(super) hop_limit: u8,
}

impl Net {
    /// The route to `remote`. `scope` is the interface of a link-local or multicast address (RFC
    /// 4007; 0: unspecified). With `source`, one of our addresses, routes over its interface take
    /// precedence: a simple form of policy routing.
    pub(crate) fn route(
        &self,
        remote: IpAddr,
        scope: u32,
        source: Option<IpAddr>,
    ) -> Result<Route, Error> {
        let found = |interface: usize, next_hop: IpAddr, group: Option<Mac>| {
            let on = self.interfaces.get(interface);
            let chosen = match source {
                Some(source) => Some(source),
                None if interface == LOOPBACK => Some(remote),
                None => on.and_then(|i| i.source_for(remote, self.now_ns)),
            };
            Ok(Route {
                interface,
                source: chosen.ok_or(Error::Unreachable)?,
                destination: remote,
                next_hop,
                group,
                scope,
                generation: self.routes.generation,
                slot: u32::MAX,
                hop_limit: on.map_or(HOP_LIMIT, |i| i.hops_for(remote)),
            })
        };
        if remote.is_unspecified() {
            return Err(Error::Unreachable);
        }
        if remote.is_loopback() || self.has_address(remote) && !remote.is_multicast() {
            return found(LOOPBACK, remote, None);
        }
        let home = source.and_then(|source| self.interface_of(source));
        let scoped = matches!(remote, IpAddr::V6(a) if a.is_unicast_link_local());
        if let Some(group) = group_mac(remote) {
            let interface = self.link_for(remote, scope, home)?;
            return found(interface, remote, Some(group));
        }
        if scoped {
            return found(self.link_for(remote, scope, home)?, remote, None);
        }
        if let Some(interface) = self.broadcast_interface(remote) {
            return found(interface, remote, Some(BROADCAST));
        }
        let rank = |entry: &Entry| {
            let alive = entry.gateway.is_none_or(|gateway| {
                self.interfaces
                    .get(entry.interface)
                    .is_none_or(|i| !i.neighbors.is_gone(gateway))
            });
            (
                home == Some(entry.interface),
                entry.prefix_len,
                alive,
                entry.preference,
            )
        };
        let mut best: Option<&Entry> = None;
        for entry in &self.routes.entries {
            let fits = entry.network.is_ipv4() == remote.is_ipv4()
                && common_prefix(entry.network, remote) >= entry.prefix_len;
            if fits && best.is_none_or(|best| rank(entry) > rank(best)) {
                best = Some(entry);
            }
        }
        let entry = best.ok_or(Error::Unreachable)?;
        let Some(gateway) = entry.gateway else {
            return found(entry.interface, remote, None);
        };
        let neighbors = self.interfaces.get(entry.interface).map(|i| &i.neighbors);
        let better = self.redirects.get(remote, entry.interface);
        let better = better.filter(|hop| neighbors.is_some_and(|all| !all.is_gone(*hop)));
        found(entry.interface, better.unwrap_or(gateway), None)
    }

    /// Looks the route up again if the tables have changed; the source address stays. `false` if
    /// there is none any more.
    pub(crate) fn refresh(&self, route: &mut Route) -> bool {
        if route.generation == self.routes.generation {
            return true;
        }
        let source = Some(route.source);
        match self.route(route.destination, route.scope, source) {
            Ok(new) => {
                *route = new;
                true
            }
            Err(_) => false,
        }
    }

    /// Whether an address is that of a neighbor on the link of an interface: within a prefix that
    /// is on-link, or the gateway of a route. Providers give a host a prefix of its own, /32, and a
    /// gateway outside of it.
    pub(crate) fn is_on_link(&self, interface: usize, address: IpAddr) -> bool {
        self.routes.entries.iter().any(|entry| {
            entry.interface == interface
                && match entry.gateway {
                    Some(gateway) => gateway == address,
                    None => {
                        entry.network.is_ipv4() == address.is_ipv4()
                            && common_prefix(entry.network, address) >= entry.prefix_len
                    }
                }
        })
    }

    fn interface_of(&self, address: IpAddr) -> Option<usize> {
        self.interfaces
            .iter()
            .position(|interface| interface.has_address(address))
    }

    /// The address of ours to reply from to what `remote` sent to `to` on an interface.
    pub(crate) fn own_address(
        &self,
        interface: usize,
        to: IpAddr,
        remote: IpAddr,
    ) -> Option<IpAddr> {
        if self.has_address(to) {
            return Some(to);
        }
        let on = self.interfaces.get(interface)?;
        on.source_for(remote, self.now_ns)
    }

    /// The interface whose network has this broadcast address.
    pub(crate) fn broadcast_interface(&self, address: IpAddr) -> Option<usize> {
        self.interfaces
            .iter()
            .skip(1)
            .position(|interface| {
                interface
                    .addresses
                    .iter()
                    .any(|a| a.on_link && broadcast_of(&a.cidr).map(IpAddr::V4) == Some(address))
            })
            .map(|n| n + 1)
    }

    /// The link of an address without a zone (RFC 4007).
    fn link_for(&self, remote: IpAddr, scope: u32, home: Option<usize>) -> Result<usize, Error> {
        let usable = |n: usize| {
            n != LOOPBACK
                && self
                    .interfaces
                    .get(n)
                    .is_some_and(|i| i.source_for(remote, self.now_ns).is_some())
        };
        let named = if scope != 0 {
            Some(scope as usize)
        } else {
            home
        };
        match named {
            Some(n) if usable(n) => Ok(n),
            Some(_) if scope != 0 => Err(Error::Unreachable),
            _ => (0..self.interfaces.len())
                .find(|n| usable(*n))
                .ok_or(Error::Unreachable),
        }
    }

    /// Rebuilds the routing table.
    #[cold]
    pub(super) fn rebuild_routes(&mut self) {
        let mut entries = Vec::new();
        for (n, i) in self.interfaces.iter().enumerate() {
            if n == LOOPBACK {
                continue;
            }
            let on_link = |network, prefix_len| Entry {
                network,
                prefix_len,
                interface: n,
                gateway: None,
                preference: 0,
            };
            for a in i.addresses.iter().filter(|a| a.on_link) {
                if a.state != State::Duplicate && a.source != Source::LinkLocal {
                    entries.push(on_link(a.ip(), a.cidr.prefix_len));
                }
            }
            let any = |gateway: IpAddr| Entry {
                network: match gateway {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                },
                prefix_len: 0,
                interface: n,
                gateway: Some(gateway),
                preference: 0,
            };
            for gateway in &i.config.gateways {
                entries.push(Entry {
                    preference: 2,
                    ..any(*gateway)
                });
            }
            if let Some(lease) = i.dhcp.as_ref().and_then(|client| client.lease.as_ref()) {
                entries.extend(lease.routers.iter().map(|r| any(IpAddr::V4(*r))));
                for (network, prefix_len, router) in &lease.routes {
                    entries.push(Entry {
                        gateway: (!router.is_unspecified()).then_some(IpAddr::V4(*router)),
                        ..on_link(IpAddr::V4(*network), *prefix_len)
                    });
                }
            }
            if let Some(slaac) = &i.slaac {
                slaac.entries(n, &mut entries);
            }
        }
        entries.extend(self.static_routes.iter().copied());
        self.routes.replace(entries);
    }

    /// Adds a route to `destination` (a network) over an interface, by way of a gateway or
    /// directly.
    pub(crate) fn add_route(
        &mut self,
        (network, prefix_len): (IpAddr, u8),
        interface: InterfaceId,
        gateway: Option<IpAddr>,
    ) -> Result<(), Error> {
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let other = gateway.is_some_and(|g| g.is_ipv4() != network.is_ipv4());
        let unknown = interface.0 == LOOPBACK || interface.0 >= self.interfaces.len();
        if prefix_len > bits || other || unknown || self.static_routes.len() >= STATIC_ROUTES {
            return Err(Error::InvalidArgument);
        }
        self.static_routes.push(Entry {
            network,
            prefix_len,
            interface: interface.0,
            gateway,
            preference: 2,
        });
        self.rebuild_routes();
        Ok(())
    }

    /// Removes a route added by [`Net::add_route`].
    pub(crate) fn remove_route(&mut self, network: (IpAddr, u8), interface: InterfaceId) -> bool {
        let before = self.static_routes.len();
        self.static_routes.retain(|entry| {
            (entry.network, entry.prefix_len) != network || entry.interface != interface.0
        });
        let found = self.static_routes.len() < before;
        if found {
            self.rebuild_routes();
        }
        found
    }
}

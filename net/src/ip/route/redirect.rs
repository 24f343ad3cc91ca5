//! Redirects from routers (RFC 792; RFC 1122, 3.2.2.2; RFC 4861, 8): a better first hop for one
//! destination each, bounded in number and time.
//!
//! A redirect is accepted if it comes from the router that packets to the destination go to now,
//! and if its target is on the link. A next hop that doesn't reply is skipped
//! ([`crate::ip::Net::route`]).

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::ip::wire::header::{IPV4_LEN, is_group, v4};
use crate::ip::{LOOPBACK, Net, Origin};
use crate::types::is_unicast_v4;

/// Maximum number of destinations; the oldest is evicted.
const REDIRECTS: usize = 64;
/// Neither RFC specifies a lifetime; a router that still disagrees sends another redirect.
const LIFETIME_NS: u64 = 600_000_000_000;

#[derive(Clone, Copy, Debug)]
struct Redirect {
    destination: IpAddr,
    interface: usize,
    next_hop: IpAddr,
    until_ns: u64,
}

/// Routes learned by redirects.
#[derive(Debug, Default)]
pub(crate) struct Redirects {
    list: Vec<Redirect>,
}

impl Redirects {
    /// The first hop to `destination` over an interface, if a redirect changed it.
    pub(super) fn get(&self, destination: IpAddr, interface: usize) -> Option<IpAddr> {
        let mut found = self.list.iter();
        let found = found.find(|r| r.destination == destination && r.interface == interface);
        found.map(|redirect| redirect.next_hop)
    }

    fn add(&mut self, redirect: Redirect) {
        self.list.retain(|r| r.destination != redirect.destination);
        if self.list.len() >= REDIRECTS {
            self.list.remove(0);
        }
        self.list.push(redirect);
    }

    pub(in crate::ip) fn next_ns(&self) -> Option<u64> {
        // In the order of arrival.
        self.list.first().map(|redirect| redirect.until_ns)
    }

    /// Removes expired redirects; returns whether there were any.
    pub(in crate::ip) fn expire(&mut self, now_ns: u64) -> bool {
        let count = self.list.len();
        self.list.retain(|redirect| redirect.until_ns > now_ns);
        count != self.list.len()
    }
}

impl Net {
    /// Handles a redirect from `from`, a router on the link of `interface`: packets to
    /// `destination` go to `target`. `None` if it is invalid.
    #[cold]
    pub(in crate::ip) fn redirected(
        &mut self,
        interface: usize,
        from: IpAddr,
        destination: IpAddr,
        target: IpAddr,
    ) -> Option<()> {
        let scoped = |address: IpAddr| match address {
            IpAddr::V4(v4) => !is_unicast_v4(v4) || v4.is_loopback(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let i = self
            .interfaces
            .get(interface)
            .filter(|_| interface != LOOPBACK)?;
        let on_link = match target {
            IpAddr::V4(v4) => {
                is_unicast_v4(v4) && !i.is_broadcast(v4) && self.is_on_link(interface, target)
            }
            // RFC 4861, 8.1: a router by its link-local address, or the destination itself.
            IpAddr::V6(v6) => v6.is_unicast_link_local() || target == destination,
        };
        if !on_link || is_group(destination) || scoped(destination) || self.has_address(target) {
            return None;
        }
        let route = self.route(destination, 0, None).ok()?;
        if route.interface != interface || route.next_hop != from || target == from {
            return None;
        }
        self.redirects.add(Redirect {
            destination,
            interface,
            next_hop: target,
            until_ns: self.now_ns.saturating_add(LIFETIME_NS),
        });
        self.routes.generation = self.routes.generation.wrapping_add(1);
        Some(())
    }

    /// Handles an ICMP redirect of IPv4: for a host (redirects for a network are treated alike),
    /// about a packet of ours.
    pub(in crate::ip) fn redirected_v4(
        &mut self,
        origin: &Origin,
        code: u8,
        message: &[u8],
    ) -> Option<()> {
        let quoted = message.get(8..)?;
        let first = *quoted.first()?;
        let whole = first >> 4 == 4 && quoted.len() >= IPV4_LEN;
        let target = v4(message, 4)?;
        let source = v4(quoted, 12)?;
        let destination = v4(quoted, 16)?;
        if code > 3 || !whole || IpAddr::V4(source) != origin.local {
            return None;
        }
        self.redirected(
            origin.interface,
            origin.remote,
            IpAddr::V4(destination),
            IpAddr::V4(target),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFETIME_NS, REDIRECTS, Redirect, Redirects};
    use core::net::{IpAddr, Ipv4Addr};

    #[test]
    fn bounded_and_forgotten() {
        let mut redirects = Redirects::default();
        let hop = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        for n in 0..1000u32 {
            redirects.add(Redirect {
                destination: Ipv4Addr::from_bits(n).into(),
                interface: 1,
                next_hop: hop,
                until_ns: u64::from(n) + LIFETIME_NS,
            });
        }
        assert_eq!(redirects.list.len(), REDIRECTS);
        let newest = Ipv4Addr::from_bits(999).into();
        assert_eq!(redirects.get(newest, 1), Some(hop));
        assert_eq!(redirects.get(newest, 2), None);
        assert!(!redirects.expire(LIFETIME_NS));
        assert!(redirects.expire(LIFETIME_NS + 950) && redirects.list.len() == 49);
        assert_eq!(redirects.next_ns(), Some(LIFETIME_NS + 951));
    }
}

//! Router advertisements (SLAAC): default routers and their preference (RFC 4191), prefixes and
//! addresses made from them (RFC 4862, RFC 8981), routes, MTU, name servers (RFC 8106); each with
//! its lifetime.
//!
//! All tables are bounded, and existing entries take precedence: a flood of forged advertisements
//! doesn't evict the router that works.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::search_list::domain_names;
use crate::ip::address::{LINK_LOCAL, Source, eui64, with_number};
use crate::ip::random::Random;
use crate::ip::route::Entry;
use crate::ip::wire::header::{Mac, v6};
use crate::types::{Cidr, be32, common_prefix};

const SECOND: u64 = 1_000_000_000;
/// MAX_RTR_SOLICITATIONS and RTR_SOLICITATION_INTERVAL of RFC 4861, 10.
const SOLICITATIONS: u8 = 3;
const SOLICITATION_NS: u64 = 4 * SECOND;
/// MAX_RTR_SOLICITATION_DELAY: spreads hosts that start at the same time.
const SOLICITATION_DELAY_NS: u64 = SECOND;
/// RFC 4862, 5.5.3 e.
const TWO_HOURS_NS: u64 = 7200 * SECOND;
/// TEMP_VALID_LIFETIME, TEMP_PREFERRED_LIFETIME and REGEN_ADVANCE of RFC 8981, 3.8.
const TEMPORARY_VALID_NS: u64 = 2 * 86_400 * SECOND;
const TEMPORARY_PREFERRED_NS: u64 = 86_400 * SECOND;
const REGENERATE_NS: u64 = 5 * SECOND;
const ROUTERS: usize = 8;
const PREFIXES: usize = 16;
/// Maximum number of prefixes from which addresses are made.
const AUTONOMOUS: usize = 4;
const TEMPORARY: usize = 8;
const ROUTES: usize = 16;
const SERVERS: usize = 4;
const DOMAINS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Router {
    address: Ipv6Addr,
    preference: i8,
    until_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Prefix {
    prefix: Ipv6Addr,
    len: u8,
    until_ns: u64,
}

/// An address made from a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Autoconfigured {
    pub(crate) address: Ipv6Addr,
    pub(crate) source: Source,
    pub(crate) preferred_until_ns: u64,
    pub(crate) valid_until_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct RouteInfo {
    prefix: Ipv6Addr,
    len: u8,
    router: Ipv6Addr,
    preference: i8,
    until_ns: u64,
}

/// State learned from the routers of an interface.
#[derive(Debug)]
pub(crate) struct Slaac {
    mac: Mac,
    temporary: bool,
    routers: Vec<Router>,
    /// On-link prefixes.
    prefixes: Vec<Prefix>,
    pub(crate) made: Vec<Autoconfigured>,
    routes: Vec<RouteInfo>,
    servers: Vec<(Ipv6Addr, u64)>,
    domains: Vec<(String, u64)>,
    pub(crate) mtu: Option<usize>,
    /// The M and O flags: DHCPv6 has addresses, or only other configuration.
    pub(crate) managed: bool,
    pub(crate) other: bool,
    /// Reachable Time, if a router specified it.
    pub(crate) reachable_ns: Option<u64>,
    /// Retrans Timer and Cur Hop Limit, likewise.
    pub(crate) retransmit_ns: Option<u64>,
    pub(crate) hop_limit: Option<u8>,
    solicitations: u8,
    solicit_at_ns: u64,
}

/// The preference in two bits (RFC 4191, 2.1); `None` for the reserved value.
fn preference(bits: u8) -> Option<i8> {
    match bits & 3 {
        0 => Some(0),
        1 => Some(1),
        3 => Some(-1),
        _ => None,
    }
}

/// The end of a lifetime in seconds; all ones: infinite.
fn until(now_ns: u64, seconds: u32) -> u64 {
    if seconds == u32::MAX {
        u64::MAX
    } else {
        now_ns.saturating_add(u64::from(seconds) * SECOND)
    }
}

fn masked(address: Ipv6Addr, len: u8) -> Ipv6Addr {
    let mask = u128::MAX.unbounded_shl(u32::from(128 - len.min(128)));
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

impl Slaac {
    pub(crate) fn new(mac: Mac, temporary: bool, now_ns: u64, random: &mut Random) -> Slaac {
        Slaac {
            mac,
            temporary,
            routers: Vec::new(),
            prefixes: Vec::new(),
            made: Vec::new(),
            routes: Vec::new(),
            servers: Vec::new(),
            domains: Vec::new(),
            mtu: None,
            managed: false,
            other: false,
            reachable_ns: None,
            retransmit_ns: None,
            hop_limit: None,
            solicitations: SOLICITATIONS,
            solicit_at_ns: now_ns.saturating_add(random.below(SOLICITATION_DELAY_NS)),
        }
    }

    /// Default routers, the preferred ones first.
    pub(crate) fn routers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let of = |preference| {
            self.routers
                .iter()
                .filter(move |router| router.preference == preference)
        };
        let ordered = [1, 0, -1].into_iter().flat_map(of);
        ordered.map(|router| IpAddr::V6(router.address))
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.servers.iter().map(|(server, _)| IpAddr::V6(*server))
    }

    /// Search domains for short names.
    pub(crate) fn domains(&self) -> impl Iterator<Item = &String> + '_ {
        self.domains.iter().map(|(domain, _)| domain)
    }

    /// The resulting routes.
    pub(crate) fn entries(&self, interface: usize, into: &mut Vec<Entry>) {
        for prefix in &self.prefixes {
            into.push(Entry {
                network: IpAddr::V6(prefix.prefix),
                prefix_len: prefix.len,
                interface,
                gateway: None,
                preference: 0,
            });
        }
        let defaults = self.routers.iter().map(|router| RouteInfo {
            prefix: Ipv6Addr::UNSPECIFIED,
            len: 0,
            router: router.address,
            preference: router.preference,
            until_ns: 0,
        });
        for route in defaults.chain(self.routes.iter().copied()) {
            into.push(Entry {
                network: IpAddr::V6(route.prefix),
                prefix_len: route.len,
                interface,
                gateway: Some(IpAddr::V6(route.router)),
                preference: route.preference,
            });
        }
    }

    /// An address with the length of the prefix that it was made from.
    pub(crate) fn cidr(made: &Autoconfigured) -> Cidr {
        Cidr {
            address: IpAddr::V6(made.address),
            prefix_len: 64,
        }
    }

    /// Removes a router that has become a host, or doesn't respond.
    pub(crate) fn forget_router(&mut self, address: Ipv6Addr) -> bool {
        let count = self.routers.len();
        self.routers.retain(|router| router.address != address);
        count != self.routers.len()
    }

    /// Handles an advertisement (RFC 4861, 6.3.4).
    pub(crate) fn advertisement(
        &mut self,
        from: Ipv6Addr,
        header: &[u8; 16],
        options: &[(u8, &[u8])],
        now_ns: u64,
        random: &mut Random,
    ) {
        let [_, _, _, _, hop_limit, flags, ..] = *header;
        let lifetime = u16::from_be_bytes([header[6], header[7]]);
        let reachable_ms = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let retransmit_ms = u32::from_be_bytes([header[12], header[13], header[14], header[15]]);
        self.managed = flags & 0x80 != 0;
        self.other = flags & 0x40 != 0;
        if reachable_ms != 0 && reachable_ms <= 3_600_000 {
            self.reachable_ns = Some(u64::from(reachable_ms) * 1_000_000);
        }
        // Zero: unspecified by this router (RFC 4861, 4.2).
        if retransmit_ms != 0 {
            self.retransmit_ns = Some(u64::from(retransmit_ms) * 1_000_000);
        }
        if hop_limit != 0 {
            self.hop_limit = Some(hop_limit);
        }
        self.router(from, lifetime, flags >> 3, now_ns);
        self.solicitations = 0;
        for (kind, option) in options {
            match kind {
                3 => self.prefix(option, now_ns, random).unwrap_or_default(),
                5 => {
                    let mtu = be32(option, 4).unwrap_or(0) as usize;
                    // RFC 8200, 5: the minimum MTU is 1280.
                    if (1280..=65_535).contains(&mtu) {
                        self.mtu = Some(mtu);
                    }
                }
                24 => self.route(from, option, now_ns).unwrap_or_default(),
                25 => self.server_list(option, now_ns).unwrap_or_default(),
                31 => self.domain_list(option, now_ns).unwrap_or_default(),
                _ => {}
            }
        }
    }

    fn router(&mut self, from: Ipv6Addr, lifetime: u16, bits: u8, now_ns: u64) {
        let room = self.routers.len() < ROUTERS;
        let known = self.routers.iter_mut().find(|r| r.address == from);
        // RFC 4191, 2.2: the reserved value is read as medium for a default route.
        let preference = preference(bits).unwrap_or(0);
        let until_ns = now_ns.saturating_add(u64::from(lifetime) * SECOND);
        match known {
            _ if lifetime == 0 => {
                self.forget_router(from);
            }
            Some(router) => {
                router.preference = preference;
                router.until_ns = until_ns;
            }
            None if room => {
                self.routers.push(Router {
                    address: from,
                    preference,
                    until_ns,
                });
            }
            None => {}
        }
    }

    /// A prefix information option (RFC 4861, 4.6.2 and 6.3.4; RFC 4862, 5.5.3).
    fn prefix(&mut self, option: &[u8], now_ns: u64, random: &mut Random) -> Option<()> {
        let (len, flags) = (*option.get(2)?, *option.get(3)?);
        let (valid, preferred) = (be32(option, 4)?, be32(option, 8)?);
        let prefix = v6(option, 16)?;
        if len > 128 || prefix.is_multicast() || prefix.is_unicast_link_local() {
            return None;
        }
        let prefix = masked(prefix, len);
        // Rejects reserved prefixes: ::/8 holds the unspecified, loopback and IPv4-mapped
        // addresses.
        if len < 8 || prefix.octets().first() == Some(&0) {
            return None;
        }
        if flags & 0x80 != 0 {
            self.on_link(prefix, len, until(now_ns, valid));
        }
        if flags & 0x40 != 0 && len == 64 && preferred <= valid {
            let times = (until(now_ns, preferred), until(now_ns, valid));
            self.make(prefix, times, now_ns, random);
        }
        Some(())
    }

    fn on_link(&mut self, prefix: Ipv6Addr, len: u8, until_ns: u64) {
        let room = self.prefixes.len() < PREFIXES;
        let known = self
            .prefixes
            .iter_mut()
            .find(|p| p.prefix == prefix && p.len == len);
        match known {
            // A lifetime of zero ends at the next `expire`.
            Some(known) => known.until_ns = until_ns,
            None if room => {
                self.prefixes.push(Prefix {
                    prefix,
                    len,
                    until_ns,
                });
            }
            None => {}
        }
    }

    fn make(
        &mut self,
        prefix: Ipv6Addr,
        (preferred_until_ns, valid_until_ns): (u64, u64),
        now_ns: u64,
        random: &mut Random,
    ) {
        let of_prefix =
            |made: &Autoconfigured| common_prefix(made.address.into(), prefix.into()) >= 64;
        let mut known = false;
        for made in self.made.iter_mut().filter(|made| of_prefix(made)) {
            if made.source == Source::Temporary {
                // Never extended beyond the initial lifetime (RFC 8981, 3.4).
                made.preferred_until_ns = made.preferred_until_ns.min(preferred_until_ns);
                made.valid_until_ns = made.valid_until_ns.min(valid_until_ns.max(now_ns + 1));
                continue;
            }
            known = true;
            made.preferred_until_ns = preferred_until_ns;
            // The two-hour rule: an unauthenticated advertisement can't shorten a lifetime much.
            let left_ns = made.valid_until_ns.saturating_sub(now_ns);
            let new_ns = valid_until_ns.saturating_sub(now_ns);
            if new_ns > TWO_HOURS_NS || new_ns > left_ns {
                made.valid_until_ns = valid_until_ns;
            } else if left_ns > TWO_HOURS_NS {
                made.valid_until_ns = now_ns.saturating_add(TWO_HOURS_NS);
            }
        }
        let stable = self.made.iter().filter(|m| m.source == Source::Slaac);
        if known || valid_until_ns <= now_ns || stable.count() >= AUTONOMOUS {
            return;
        }
        self.made.push(Autoconfigured {
            address: with_number(prefix, eui64(self.mac)),
            source: Source::Slaac,
            preferred_until_ns,
            valid_until_ns,
        });
        self.make_temporary(prefix, now_ns, random);
    }

    /// Makes a temporary address beside the stable one (RFC 8981, 3.4).
    fn make_temporary(&mut self, prefix: Ipv6Addr, now_ns: u64, random: &mut Random) {
        let temporaries = self.made.iter().filter(|m| m.source == Source::Temporary);
        if !self.temporary || temporaries.count() >= TEMPORARY {
            return;
        }
        let of_prefix = |made: &&Autoconfigured| {
            made.source == Source::Slaac && common_prefix(made.address.into(), prefix.into()) >= 64
        };
        let Some(stable) = self.made.iter().find(of_prefix).copied() else {
            return;
        };
        // DESYNC_FACTOR: up to 0.4 of the preferred lifetime.
        let desync_ns = random.below(TEMPORARY_PREFERRED_NS * 2 / 5);
        let preferred_ns = TEMPORARY_PREFERRED_NS - desync_ns;
        self.made.push(Autoconfigured {
            address: with_number(prefix, random.bits()),
            source: Source::Temporary,
            preferred_until_ns: stable
                .preferred_until_ns
                .min(now_ns.saturating_add(preferred_ns)),
            valid_until_ns: stable
                .valid_until_ns
                .min(now_ns.saturating_add(TEMPORARY_VALID_NS)),
        });
    }

    /// An address made here is a duplicate: a temporary one is replaced by one with another number
    /// (RFC 8981, 3.4), a stable one is removed (RFC 4862, 5.4.5).
    pub(crate) fn duplicate(&mut self, address: Ipv6Addr, now_ns: u64, random: &mut Random) {
        let found = self
            .made
            .iter()
            .position(|made| made.address == address && made.source == Source::Temporary);
        if let Some(at) = found {
            self.made.remove(at);
            self.make_temporary(masked(address, 64), now_ns, random);
        }
    }

    /// A route information option (RFC 4191, 2.3).
    fn route(&mut self, router: Ipv6Addr, option: &[u8], now_ns: u64) -> Option<()> {
        let (len, bits) = (*option.get(2)?, *option.get(3)? >> 3);
        let preference = preference(bits)?;
        let until_ns = until(now_ns, be32(option, 4)?);
        let room = option.len().saturating_sub(8) * 8;
        if usize::from(len) > room.min(128) {
            return None;
        }
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().zip(option.get(8..)?) {
            *to = *from;
        }
        let prefix = masked(Ipv6Addr::from_octets(octets), len);
        self.routes
            .retain(|r| (r.prefix, r.len, r.router) != (prefix, len, router));
        if until_ns > now_ns && self.routes.len() < ROUTES {
            self.routes.push(RouteInfo {
                prefix,
                len,
                router,
                preference,
                until_ns,
            });
        }
        Some(())
    }

    /// A recursive DNS server option (RFC 8106, 5.1).
    fn server_list(&mut self, option: &[u8], now_ns: u64) -> Option<()> {
        let until_ns = until(now_ns, be32(option, 4)?);
        for octets in option.get(8..)?.as_chunks::<16>().0 {
            let server = Ipv6Addr::from_octets(*octets);
            if server.is_multicast() || server.is_unspecified() {
                continue;
            }
            self.servers.retain(|(other, _)| *other != server);
            if until_ns > now_ns && self.servers.len() < SERVERS {
                self.servers.push((server, until_ns));
            }
        }
        Some(())
    }

    /// A DNS search list option (RFC 8106, 5.2).
    fn domain_list(&mut self, option: &[u8], now_ns: u64) -> Option<()> {
        let until_ns = until(now_ns, be32(option, 4)?);
        for domain in domain_names(option.get(8..)?) {
            self.domains.retain(|(other, _)| *other != domain);
            if until_ns > now_ns && self.domains.len() < DOMAINS {
                self.domains.push((domain, until_ns));
            }
        }
        Some(())
    }

    /// Removes expired entries and generates new temporary addresses in time; returns whether
    /// anything changed.
    pub(crate) fn expire(&mut self, now_ns: u64, random: &mut Random) -> bool {
        let count = |a: &Slaac| {
            a.routers.len()
                + a.prefixes.len()
                + a.made.len()
                + a.routes.len()
                + a.servers.len()
                + a.domains.len()
        };
        let before = count(self);
        self.routers.retain(|r| r.until_ns > now_ns);
        self.prefixes.retain(|p| p.until_ns > now_ns);
        self.made.retain(|m| m.valid_until_ns > now_ns);
        self.routes.retain(|r| r.until_ns > now_ns);
        self.servers.retain(|(_, until_ns)| *until_ns > now_ns);
        self.domains.retain(|(_, until_ns)| *until_ns > now_ns);
        let mut changed = before != count(self);
        if self.temporary {
            for prefix in self.wants_temporary(now_ns) {
                self.make_temporary(prefix, now_ns, random);
                changed = true;
            }
        }
        changed
    }

    /// Prefixes whose temporary address is, or is about to be, deprecated.
    fn wants_temporary(&self, now_ns: u64) -> Vec<Ipv6Addr> {
        let soon_ns = now_ns.saturating_add(REGENERATE_NS);
        let temporaries = || self.made.iter().filter(|m| m.source == Source::Temporary);
        if temporaries().count() >= TEMPORARY {
            return Vec::new();
        }
        self.made
            .iter()
            .filter(|m| m.source == Source::Slaac && m.preferred_until_ns > soon_ns)
            .map(|m| masked(m.address, 64))
            .filter(|prefix| {
                !temporaries()
                    .any(|m| masked(m.address, 64) == *prefix && m.preferred_until_ns > soon_ns)
            })
            .collect()
    }

    /// The next deadline.
    pub(crate) fn next_ns(&self, now_ns: u64) -> Option<u64> {
        let solicit = (self.solicitations > 0).then_some(self.solicit_at_ns);
        let temporary = self
            .made
            .iter()
            .filter(|m| m.source == Source::Temporary)
            .map(|m| m.preferred_until_ns.saturating_sub(REGENERATE_NS))
            // A past deadline has been handled, or can't be.
            .filter(|at_ns| *at_ns > now_ns);
        self.routers
            .iter()
            .map(|r| r.until_ns)
            .chain(self.prefixes.iter().map(|p| p.until_ns))
            .chain(self.made.iter().map(|m| m.valid_until_ns))
            .chain(self.routes.iter().map(|r| r.until_ns))
            .chain(self.servers.iter().map(|(_, until_ns)| *until_ns))
            .chain(self.domains.iter().map(|(_, until_ns)| *until_ns))
            .chain(temporary)
            .chain(solicit)
            .min()
    }

    /// Whether to send a router solicitation now; counts it as sent.
    pub(crate) fn solicitation_due(&mut self, now_ns: u64) -> bool {
        if self.solicitations == 0 || self.solicit_at_ns > now_ns {
            return false;
        }
        self.solicitations -= 1;
        self.solicit_at_ns = now_ns.saturating_add(SOLICITATION_NS);
        true
    }
}

/// The link-local address of an interface.
pub(crate) fn link_local(mac: Mac) -> Ipv6Addr {
    with_number(LINK_LOCAL, eui64(mac))
}

#[cfg(test)]
mod tests;

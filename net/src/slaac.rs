//! IPv6 addresses without a server (RFC 4862), from router advertisements (RFC 4861, 4.2).
//!
//! smoltcp has this too, but asks to be polled for ever where no router answers, and panics on an
//! advertised prefix that is multicast or longer than an address.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use crate::config::Cidr;
use crate::neighbor::ndisc;

const SECOND: u64 = 1_000_000_000;
/// MAX_RTR_SOLICITATIONS and RTR_SOLICITATION_INTERVAL of RFC 4861, 10.
const SOLICITATIONS: u8 = 3;
const SOLICITATION_INTERVAL_NS: u64 = 4 * SECOND;
/// A shorter lifetime than this is not taken from an advertisement (RFC 4862, 5.5.3 e).
const TWO_HOURS: u64 = 7200 * SECOND;
/// Prefixes that addresses are made from.
const PREFIXES: usize = 2;

/// The address that every Ethernet interface has: fe80::/64 and the modified EUI-64 of its MAC
/// address (RFC 4291, appendix A).
pub(crate) fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    address(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), mac)
}

fn address(prefix: Ipv6Addr, [a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    let interface = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64 | u128::from(interface))
}

#[derive(Clone, Copy, Debug)]
struct Prefix {
    prefix: Ipv6Addr,
    on_link: bool,
    until_ns: u64,
}

/// What routers said.
#[derive(Debug)]
pub(crate) struct Slaac {
    mac: [u8; 6],
    prefixes: Vec<Prefix>,
    router: Option<(Ipv6Addr, u64)>,
    solicitations: u8,
    solicit_at_ns: u64,
}

impl Slaac {
    pub(crate) fn new(mac: [u8; 6]) -> Slaac {
        Slaac {
            mac,
            prefixes: Vec::new(),
            router: None,
            solicitations: SOLICITATIONS,
            solicit_at_ns: 0,
        }
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = Cidr> + '_ {
        self.prefixes.iter().map(|p| Cidr {
            address: IpAddr::V6(address(p.prefix, self.mac)),
            prefix_len: if p.on_link { 64 } else { 128 },
        })
    }

    pub(crate) fn router(&self) -> Option<Ipv6Addr> {
        self.router.map(|(router, _)| router)
    }

    /// Forgets what is no longer valid; tells whether there was something.
    pub(crate) fn expire(&mut self, now_ns: u64) -> bool {
        let count = self.prefixes.len();
        self.prefixes.retain(|prefix| prefix.until_ns > now_ns);
        let router = self.router.take_if(|(_, until_ns)| *until_ns <= now_ns);
        count != self.prefixes.len() || router.is_some()
    }

    /// When there is something to do.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let solicit = (self.solicitations > 0).then_some(self.solicit_at_ns);
        let router = self.router.map(|(_, until_ns)| until_ns);
        self.prefixes
            .iter()
            .map(|p| p.until_ns)
            .chain(solicit)
            .chain(router)
            .min()
    }

    pub(crate) fn solicitation_due(&self, now_ns: u64) -> bool {
        self.solicitations > 0 && self.solicit_at_ns <= now_ns
    }

    /// The frame of a router solicitation (RFC 4861, 4.1).
    pub(crate) fn solicitation(&mut self, now_ns: u64) -> Vec<u8> {
        self.solicitations = self.solicitations.saturating_sub(1);
        self.solicit_at_ns = now_ns + SOLICITATION_INTERVAL_NS;
        let mut message = [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0];
        message[10..].copy_from_slice(&self.mac);
        let routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
        ndisc(self.mac, link_local(self.mac), routers, &mut message)
    }

    /// Takes an advertisement in: `message` from its ICMPv6 header on, checksum and hop limit
    /// verified. Tells whether anything changed.
    pub(crate) fn advertisement(&mut self, from: Ipv6Addr, message: &[u8], now_ns: u64) -> bool {
        let Some(header) = message.first_chunk::<16>() else {
            return false;
        };
        let lifetime_ns = u64::from(u16::from_be_bytes([header[6], header[7]])) * SECOND;
        let known = self.router();
        if lifetime_ns > 0 {
            if known.is_none_or(|router| router == from) {
                self.router = Some((from, now_ns + lifetime_ns));
            }
        } else if known == Some(from) {
            self.router = None;
        }
        self.solicitations = 0;
        let mut changed = known != self.router();
        let mut options = message.get(16..).unwrap_or_default();
        while let Some(&[kind, units]) = options.first_chunk::<2>() {
            let len = usize::from(units) * 8;
            // An option of length zero makes the whole message invalid (RFC 4861, 4.6).
            let Some(option) = options.get(..len).filter(|_| len > 0) else {
                break;
            };
            if kind == 3
                && let Some(option) = option.first_chunk::<32>()
            {
                changed |= self.prefix(option, now_ns);
            }
            options = options.get(len..).unwrap_or_default();
        }
        changed
    }

    /// One prefix information option (RFC 4861, 4.6.2; RFC 4862, 5.5.3).
    fn prefix(&mut self, option: &[u8; 32], now_ns: u64) -> bool {
        let (len, flags) = (option[2], option[3]);
        let valid = u32::from_be_bytes([option[4], option[5], option[6], option[7]]);
        let valid_ns = u64::from(valid) * SECOND;
        let Some(octets) = option.last_chunk::<16>() else {
            return false;
        };
        let prefix = Ipv6Addr::from_octets(*octets);
        let autonomous = flags & 0x40 != 0;
        if len != 64 || !autonomous || prefix.is_multicast() || prefix.is_unicast_link_local() {
            return false;
        }
        if prefix.octets()[..8] == [0; 8] {
            return false;
        }
        let prefix = Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64);
        if let Some(known) = self.prefixes.iter_mut().find(|p| p.prefix == prefix) {
            let left_ns = known.until_ns.saturating_sub(now_ns);
            if valid_ns > TWO_HOURS || valid_ns > left_ns {
                known.until_ns = now_ns + valid_ns;
            } else if left_ns > TWO_HOURS {
                known.until_ns = now_ns + TWO_HOURS;
            }
            return false;
        }
        if valid_ns == 0 || self.prefixes.len() >= PREFIXES {
            return false;
        }
        let on_link = flags & 0x80 != 0;
        self.prefixes.push(Prefix {
            prefix,
            on_link,
            until_ns: now_ns + valid_ns,
        });
        true
    }
}

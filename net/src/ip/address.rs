//! The addresses of an interface: their source, lifetime and uniqueness; and source address
//! selection (RFC 6724, 5).

use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::types::{Cidr, common_prefix};

/// The source of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The configuration.
    Fixed,
    /// A lease of DHCPv4.
    Dhcp,
    /// fe80::/64 and the interface identifier (RFC 4291, 2.5.6).
    LinkLocal,
    /// An advertised prefix and the interface identifier (RFC 4862).
    Slaac,
    /// An advertised prefix and a random number (RFC 8981).
    Temporary,
    /// DHCPv6.
    Dhcp6,
}

/// Whether the address may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Duplicate address detection is in progress (RFC 4862, 5.4; RFC 5227, 2.1).
    Tentative,
    /// It is ours.
    Valid,
    /// Another host has it.
    Duplicate,
}

/// The probes and announcements of an address that are still to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DadState {
    pub(crate) probes: u8,
    pub(crate) announcements: u8,
    pub(crate) at_ns: u64,
    /// When it was last defended (RFC 5227, 2.4).
    pub(crate) defended_ns: Option<u64>,
}

/// One address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) cidr: Cidr,
    pub(crate) source: Source,
    /// The whole prefix is on-link (RFC 5942: an IPv6 address alone doesn't imply that).
    pub(crate) on_link: bool,
    pub(crate) state: State,
    pub(crate) preferred_until_ns: u64,
    pub(crate) valid_until_ns: u64,
    pub(crate) dad: DadState,
}

impl Address {
    pub(crate) fn new(cidr: Cidr, source: Source, on_link: bool) -> Address {
        Address {
            cidr,
            source,
            on_link,
            state: State::Valid,
            preferred_until_ns: u64::MAX,
            valid_until_ns: u64::MAX,
            dad: DadState::default(),
        }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.cidr.address
    }
}

/// The broadcast address of an IPv4 network; `None` if the prefix leaves no room for one (RFC
/// 3021).
pub(crate) fn broadcast_of(cidr: &Cidr) -> Option<Ipv4Addr> {
    match cidr.address {
        IpAddr::V4(a) if cidr.prefix_len < 31 => Some(Ipv4Addr::from_bits(
            a.to_bits() | u32::MAX.unbounded_shr(u32::from(cidr.prefix_len)),
        )),
        _ => None,
    }
}

/// Scopes as in multicast addresses (RFC 6724, 3.1): 2 link, 5 site, 14 global.
fn scope(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(a) if a.is_link_local() || a.is_loopback() => 2,
        IpAddr::V4(_) => 14,
        IpAddr::V6(a) if a.is_multicast() => a.octets()[1] & 15,
        IpAddr::V6(a) if a.is_unicast_link_local() || a.is_loopback() => 2,
        IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfec0 => 5,
        IpAddr::V6(_) => 14,
    }
}

/// Labels of the default policy table (RFC 6724, 2.1).
fn label(address: IpAddr) -> u8 {
    let IpAddr::V6(a) = address else { return 4 };
    let [first, second, ..] = a.segments();
    match first {
        _ if a.is_loopback() => 0,
        _ if a.to_ipv4_mapped().is_some() => 4,
        0x2002 => 2,
        0x2001 if second == 0 => 5,
        0x3ffe => 12,
        _ if first & 0xfe00 == 0xfc00 => 13,
        _ if first & 0xffc0 == 0xfec0 => 11,
        0 if a.to_bits() >> 32 == 0 => 3,
        _ => 1,
    }
}

/// The source address for `remote`, among those of the outgoing interface: the rules of RFC 6724, 5
/// except those about mobile addresses and other interfaces. For IPv4 they prefer one of the same
/// network, then one that isn't link-local. A tentative address is the last choice: packets from it
/// wait.
pub(crate) fn choose(addresses: &[Address], remote: IpAddr, now_ns: u64) -> Option<IpAddr> {
    let wanted = scope(remote);
    let rank = |address: &Address| {
        let ip = address.ip();
        let own = scope(ip);
        // Rule 2: the smallest sufficient scope; if there is none, the largest.
        let fitting = if own >= wanted {
            (1, 255 - own)
        } else {
            (0, own)
        };
        let common = common_prefix(ip, remote).min(address.cidr.prefix_len);
        (
            address.state == State::Valid,
            ip == remote,
            fitting,
            address.preferred_until_ns > now_ns,
            label(ip) == label(remote),
            address.source == Source::Temporary,
            common,
        )
    };
    addresses
        .iter()
        .enumerate()
        .filter(|(_, a)| a.ip().is_ipv4() == remote.is_ipv4() && a.state != State::Duplicate)
        .max_by_key(|(n, address)| (rank(address), Reverse(*n)))
        .map(|(_, address)| address.ip())
}

/// The interface identifier, from the Ethernet address: the modified EUI-64 (RFC 4291, appendix A).
pub(crate) fn eui64([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// The address of a /64 prefix and an interface identifier.
pub(crate) fn with_number(prefix: Ipv6Addr, number: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64 | u128::from(number))
}

/// fe80::/64.
pub(crate) const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

#[cfg(test)]
mod tests {
    use super::{Address, Source, State, broadcast_of, choose, label, scope};
    use crate::types::Cidr;
    use core::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn address(text: &str) -> Address {
        Address::new(text.parse().expect("a prefix"), Source::Fixed, true)
    }

    /// Each row: our addresses, the remote one, and the expected source.
    #[test]
    fn rfc6724_section_5_source_address_selection() {
        let rows: [(&[&str], &str, &str); 9] = [
            (
                &["10.0.0.1/24", "192.168.1.1/24"],
                "192.168.1.9",
                "192.168.1.1",
            ),
            (&["169.254.1.1/16", "10.0.0.1/24"], "8.8.8.8", "10.0.0.1"),
            (
                &["fe80::1/64", "2001:db8::1/64"],
                "2001:db8::9",
                "2001:db8::1",
            ),
            (&["fe80::1/64", "2001:db8::1/64"], "fe80::9", "fe80::1"),
            (&["2001:db8::1/64", "fd00::1/64"], "fd01::1", "fd00::1"),
            (
                &["2002:c000::1/64", "2001:db8::1/64"],
                "2001:db9::1",
                "2001:db8::1",
            ),
            (
                &["2001:db8:1::1/64", "2001:db8:2::1/64"],
                "2001:db8:2::9",
                "2001:db8:2::1",
            ),
            (&["fe80::1/64", "2001:db8::1/64"], "ff02::1", "fe80::1"),
            (&["fe80::1/64", "2001:db8::1/64"], "ff0e::1", "2001:db8::1"),
        ];
        for (own, remote, expected) in rows {
            let own: Vec<Address> = own.iter().map(|text| address(text)).collect();
            assert_eq!(
                choose(&own, ip(remote), 0),
                Some(ip(expected)),
                "to {remote}"
            );
        }
        assert_eq!(choose(&[address("10.0.0.1/24")], ip("::2"), 0), None);
    }

    #[test]
    fn rfc6724_rule_3_deprecated_and_rule_7_temporary() {
        let mut old = address("2001:db8::1/64");
        old.preferred_until_ns = 5;
        let new = address("2001:db8:f::1/64");
        assert_eq!(choose(&[old, new], ip("2001:db8::9"), 4), Some(old.ip()));
        assert_eq!(choose(&[old, new], ip("2001:db8::9"), 5), Some(new.ip()));
        let mut temporary = address("2001:db8:f::2/64");
        temporary.source = Source::Temporary;
        assert_eq!(
            choose(&[new, temporary], ip("2001:db9::9"), 5),
            Some(temporary.ip())
        );
        temporary.state = State::Tentative;
        assert_eq!(
            choose(&[new, temporary], ip("2001:db9::9"), 5),
            Some(new.ip())
        );
    }

    #[test]
    fn networks() {
        let cidr: Cidr = "10.1.2.3/20".parse().expect("a prefix");
        assert!(cidr.contains(ip("10.1.15.255")) && !cidr.contains(ip("10.1.16.0")));
        assert_eq!(broadcast_of(&cidr).map(IpAddr::V4), Some(ip("10.1.15.255")));
        assert_eq!(
            broadcast_of(&"10.0.0.1/31".parse().expect("a prefix")),
            None
        );
        let all: Cidr = "1.2.3.4/0".parse().expect("a prefix");
        assert!(all.contains(ip("9.9.9.9")));
    }

    /// RFC 6724, 3.1 and 2.1.
    #[test]
    fn rfc6724_scopes_and_labels() {
        for (text, its_scope, its_label) in [
            ("169.254.1.1", 2, 4),
            ("127.0.0.1", 2, 4),
            ("10.0.0.1", 14, 4),
            ("8.8.8.8", 14, 4),
            ("::1", 2, 0),
            ("::2", 14, 3),
            ("::1:0:0", 14, 1),
            ("::ffff:1.2.3.4", 14, 4),
            ("fe80::1", 2, 1),
            ("fe00::1", 14, 1),
            ("fec0::1", 5, 11),
            ("feff::1", 5, 11),
            ("fc00::1", 14, 13),
            ("fdff::1", 14, 13),
            ("2001::1", 14, 5),
            ("2001:db8::1", 14, 1),
            ("2002::1", 14, 2),
            ("2003::1", 14, 1),
            ("3ffe::1", 14, 12),
            ("ff02::1", 2, 1),
            ("ff05::1", 5, 1),
            ("ff0e::1", 14, 1),
        ] {
            let (s, l) = (scope(ip(text)), label(ip(text)));
            assert_eq!((s, l), (its_scope, its_label), "{text}");
        }
    }

    /// RFC 6724, 5, rule 1, and the order if no rule decides.
    #[test]
    fn rfc6724_rule_1_the_address_itself() {
        let own = [address("2001:db8::1/64"), address("2001:db8::9/64")];
        assert_eq!(choose(&own, own[1].ip(), 0), Some(own[1].ip()));
        assert_eq!(choose(&own, ip("2001:db8::7"), 0), Some(own[0].ip()));
    }
}

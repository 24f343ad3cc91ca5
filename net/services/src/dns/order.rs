//! Destination address selection (RFC 6724, 6).

use crate::Network;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::DnsRecord;
use super::message::RecordData;

/// Scopes of RFC 4291, 2.7.
const LINK_LOCAL: u8 = 2;
const SITE_LOCAL: u8 = 5;
const GLOBAL: u8 = 14;

/// The default policy table (RFC 6724, 2.1): prefix, its length, precedence, label.
const POLICY: [(Ipv6Addr, u32, u8, u8); 9] = [
    (Ipv6Addr::LOCALHOST, 128, 50, 0),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 35, 4),
    (Ipv6Addr::UNSPECIFIED, 96, 1, 3),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 5, 5),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 30, 2),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 1, 12),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 1, 11),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 3, 13),
    (Ipv6Addr::UNSPECIFIED, 0, 40, 1),
];

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Number of common leading bits of two addresses.
fn common(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (a.to_bits() ^ b.to_bits()).leading_zeros()
}

/// Precedence and label.
fn policy(address: IpAddr) -> (u8, u8) {
    let address = mapped(address);
    let row = POLICY
        .iter()
        .find(|(prefix, len, ..)| common(*prefix, address) >= *len);
    row.map_or((40, 1), |(.., precedence, label)| (*precedence, *label))
}

fn scope(address: IpAddr) -> u8 {
    match address {
        // RFC 6724, 3.2.
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_link_local() => LINK_LOCAL,
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(v6) if v6.is_multicast() => v6.octets()[1] & 0xf,
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unicast_link_local() => LINK_LOCAL,
        IpAddr::V6(v6) if common(v6, Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0)) >= 10 => {
            SITE_LOCAL
        }
        IpAddr::V6(_) => GLOBAL,
    }
}

/// Sort key of an address, smallest first: rules 1, 2, 5, 6, 8 and 9 of RFC 6724, 6.
///
/// Rule 9 is for IPv6 only: with IPv4, where prefixes carry little information, it would always
/// select the same one of a server's many addresses.
fn rank(destination: IpAddr, source: Option<IpAddr>) -> (bool, bool, bool, u8, u8, u32) {
    let (precedence, label) = policy(destination);
    let Some(source) = source else {
        return (
            true,
            true,
            true,
            u8::MAX - precedence,
            scope(destination),
            128,
        );
    };
    let common = match destination {
        IpAddr::V6(v6) => common(v6, mapped(source)),
        IpAddr::V4(_) => 0,
    };
    (
        false,
        scope(destination) != scope(source),
        label != policy(source).1,
        u8::MAX - precedence,
        scope(destination),
        128 - common,
    )
}

/// Sorts records into the order in which to use them: addresses by RFC 6724, services by priority.
/// The sort is stable.
pub(super) fn sort(stack: &mut Network, records: &mut [DnsRecord]) {
    let key = |record: &DnsRecord| match &record.data {
        RecordData::Address(address) => rank(*address, stack.source_address(*address).ok()),
        RecordData::Service { priority, .. } => (false, false, false, 0, 0, u32::from(*priority)),
        RecordData::Name(_) | RecordData::Text(_) | RecordData::Message(_) => Default::default(),
    };
    insertion(records, key);
}

/// Sorts the addresses of a host into the order in which to try them (RFC 6724, 6): unreachable
/// ones come last. The sort is stable.
pub fn sort_addresses(stack: &mut Network, addresses: &mut [IpAddr]) {
    insertion(addresses, |address| {
        rank(*address, stack.source_address(*address).ok())
    });
}

/// A stable sort for a few hundred items: the general one takes kilobytes of code. A key may need
/// system calls, so each is computed once.
fn insertion<T, K: Ord>(items: &mut [T], key: impl FnMut(&T) -> K) {
    let mut keys: Vec<K> = items.iter().map(key).collect();
    for end in 1..items.len() {
        let mut at = end;
        while let Some([a, b]) = at.checked_sub(1).and_then(|i| keys.get(i..=at)) {
            if a <= b {
                break;
            }
            keys.swap(at - 1, at);
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rank;
    use core::net::IpAddr;

    fn sorted(rows: &[(&'static str, &str)]) -> Vec<&'static str> {
        let mut rows: Vec<_> = rows
            .iter()
            .map(|(to, from)| {
                let to_address: IpAddr = to.parse().expect("an address");
                (rank(to_address, from.parse().ok()), *to)
            })
            .collect();
        rows.sort_by_key(|row| row.0);
        rows.into_iter().map(|row| row.1).collect()
    }

    /// The examples of RFC 6724, 10.2.
    #[test]
    fn the_examples_of_the_rfc() {
        let rows = [
            ("198.51.100.121", "169.254.13.78"),
            ("2001:db8:1::1", "2001:db8:1::2"),
        ];
        assert_eq!(sorted(&rows), ["2001:db8:1::1", "198.51.100.121"]);
        let rows = [
            ("2001:db8:1::1", "fe80::1"),
            ("198.51.100.121", "198.51.100.117"),
        ];
        assert_eq!(sorted(&rows), ["198.51.100.121", "2001:db8:1::1"]);
        let rows = [("10.1.2.3", "10.1.2.4"), ("2001:db8:1::1", "2001:db8:1::2")];
        assert_eq!(sorted(&rows), ["2001:db8:1::1", "10.1.2.3"]);
        let rows = [("2001:db8:1::1", "2001:db8:1::2"), ("fe80::1", "fe80::2")];
        assert_eq!(sorted(&rows), ["fe80::1", "2001:db8:1::1"]);
        let rows = [
            ("2002:c633:6401::1", "2002:c633:6401::2"),
            ("2001:db8:1::1", "2001:db8:1::2"),
        ];
        assert_eq!(sorted(&rows), ["2001:db8:1::1", "2002:c633:6401::1"]);
    }

    #[test]
    fn what_cannot_be_reached_comes_last() {
        let rows = [
            ("2001:db8:1::1", "none"),
            ("198.51.100.121", "198.51.100.117"),
        ];
        assert_eq!(sorted(&rows), ["198.51.100.121", "2001:db8:1::1"]);
        // Equal ones keep their order.
        let rows = [("192.0.2.200", "10.0.0.1"), ("10.9.9.9", "10.0.0.1")];
        assert_eq!(sorted(&rows), ["192.0.2.200", "10.9.9.9"]);
    }
}

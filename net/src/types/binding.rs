//! Bound addresses of sockets: which destinations they match, and which of them conflict.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};

/// Whether a socket bound to `bound` receives packets to `address`. `[::]` matches both families.
fn covers(bound: IpAddr, address: IpAddr) -> bool {
    match bound {
        IpAddr::V6(any) if any.is_unspecified() => true,
        IpAddr::V4(any) if any.is_unspecified() => address.is_ipv4(),
        _ => bound == address,
    }
}

/// Whether two bound addresses with the same port conflict.
fn conflict(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_unspecified() && covers(a, b) || b.is_unspecified() && covers(b, a)
}

/// A bound address; `[::]` may be for IPv6 alone (RFC 3493, 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) address: IpAddr,
    /// `[::]` doesn't match IPv4.
    pub(crate) v6_only: bool,
}

impl Binding {
    /// See [`covers`].
    pub(crate) fn covers(self, address: IpAddr) -> bool {
        covers(self.address, address) && !(self.v6_only && address.is_ipv4())
    }

    /// See [`conflict`].
    pub(crate) fn conflicts(self, other: Binding) -> bool {
        let v6_only_with_v4 = |a: Binding, b: Binding| a.v6_only && b.address.is_ipv4();
        conflict(self.address, other.address)
            && !v6_only_with_v4(self, other)
            && !v6_only_with_v4(other, self)
    }
}

/// The interface that a link-local address belongs to (the zone of RFC 4007); 0 if not given.
pub(crate) fn scope_of(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}

/// The address of a peer that was received on `interface`, with its zone if it is link-local.
pub(crate) fn with_scope(address: IpAddr, port: u16, interface: usize) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(v6, port, 0, interface as u32))
        }
        address => SocketAddr::new(address, port),
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, conflict, covers};
    use core::net::IpAddr;

    /// RFC 3493, 5.3.
    #[test]
    fn an_address_for_ipv6_alone_leaves_ipv4_alone() {
        let bound = |text: &str, v6_only| Binding {
            address: text.parse().unwrap(),
            v6_only,
        };
        let alone = bound("::", true);
        assert!(alone.covers("fe80::1".parse().unwrap()));
        assert!(!alone.covers("10.0.0.1".parse().unwrap()));
        for (other, conflicts) in [
            (bound("0.0.0.0", false), false),
            (bound("10.0.0.1", false), false),
            (bound("::", false), true),
            (bound("fe80::1", false), true),
            (alone, true),
        ] {
            assert_eq!(alone.conflicts(other), conflicts, "{other:?}");
            assert_eq!(other.conflicts(alone), conflicts, "{other:?}");
        }
    }

    /// `0.0.0.0` takes IPv4, `[::]` both families (RFC 3493, 5.3), another address itself.
    #[test]
    fn what_an_address_covers_and_what_it_is_in_the_way_of() {
        // Bound, sent to; whether it is covered; whether two sockets bound so are in each other's
        // way.
        for (bound, address, covered, conflicts) in [
            ("0.0.0.0", "10.0.0.1", true, true),
            ("0.0.0.0", "fe80::1", false, false),
            ("0.0.0.0", "0.0.0.0", true, true),
            ("0.0.0.0", "::", false, true),
            ("::", "10.0.0.1", true, true),
            ("::", "fe80::1", true, true),
            ("::", "0.0.0.0", true, true),
            ("10.0.0.1", "10.0.0.1", true, true),
            ("10.0.0.1", "10.0.0.2", false, false),
            ("10.0.0.1", "fe80::1", false, false),
            ("10.0.0.1", "0.0.0.0", false, true),
            ("fe80::1", "fe80::1", true, true),
            ("fe80::1", "fe80::2", false, false),
            ("fe80::1", "10.0.0.1", false, false),
            ("fe80::1", "::", false, true),
        ] {
            let (a, b): (IpAddr, IpAddr) = (bound.parse().unwrap(), address.parse().unwrap());
            assert_eq!(covers(a, b), covered, "{bound} {address}");
            assert_eq!(conflict(a, b), conflicts, "{bound} {address}");
            assert_eq!(conflict(b, a), conflicts, "{address} {bound}");
        }
    }
}

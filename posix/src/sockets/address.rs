//! Addresses of sockets, in the forms of `struct sockaddr` (`linux/in.h`, `linux/in6.h`,
//! `linux/un.h`).

use crate::errors::Result;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Maximum size of an address (`struct sockaddr_storage`), in bytes.
pub const MAX_ADDRESS: usize = 128;
/// Bytes of `struct sockaddr_in` and `struct sockaddr_in6`.
const V4: usize = 16;
const V6: usize = 28;
/// Minimum size of an IPv6 address: without the scope (RFC 2133).
const MIN_V6: usize = 24;

/// The interface number of the loopback, as on Linux; the network's own is 0.
pub const LOOPBACK: u32 = 1;

/// The family of an Internet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

impl Family {
    /// Its number.
    pub fn number(self) -> i32 {
        match self {
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        }
    }

    /// All addresses, with port 0.
    pub fn any(self) -> SocketAddr {
        match self {
            Family::V4 => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            Family::V6 => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        }
    }

    /// The host itself, in place of an unspecified destination.
    pub fn loopback(self) -> IpAddr {
        match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        }
    }
}

/// An address in the program's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; MAX_ADDRESS],
    len: usize,
}

impl Name {
    /// No address.
    pub const NONE: Name = Name {
        bytes: [0; MAX_ADDRESS],
        len: 0,
    };

    /// Of these bytes, at most [`MAX_ADDRESS`].
    pub fn new(bytes: &[u8]) -> Name {
        let mut name = Name::NONE;
        for (into, byte) in name.bytes.iter_mut().zip(bytes) {
            *into = *byte;
            name.len += 1;
        }
        name
    }

    /// The form of an Internet address in a family: for IPv6, an IPv4 address is mapped (RFC 4291,
    /// 2.5.5.2).
    pub fn of(family: Family, address: SocketAddr) -> Name {
        let mut bytes = [0; V6];
        let (number, len) = match family {
            Family::V4 => (family.number(), V4),
            Family::V6 => (family.number(), V6),
        };
        let (head, rest) = bytes.split_at_mut(4);
        let (kind, port) = head.split_at_mut(2);
        kind.copy_from_slice(&(number as u16).to_le_bytes());
        port.copy_from_slice(&address.port().to_be_bytes());
        match (family, address.ip()) {
            (Family::V4, IpAddr::V4(v4)) => put(rest, 0, &v4.octets()),
            (Family::V4, IpAddr::V6(_)) => {}
            (Family::V6, IpAddr::V4(v4)) => put(rest, 4, &v4.to_ipv6_mapped().octets()),
            (Family::V6, IpAddr::V6(v6)) => put(rest, 4, &v6.octets()),
        }
        if let SocketAddr::V6(v6) = address
            && v6.scope_id() > 0
        {
            put(rest, 20, &(v6.scope_id() + LOOPBACK).to_le_bytes());
        }
        Name::new(bytes.get(..len).unwrap_or_default())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    for (into, byte) in into.iter_mut().skip(at).zip(bytes) {
        *into = *byte;
    }
}

/// The family of an address, if it is long enough to have one.
pub fn family_of(bytes: &[u8]) -> Option<i32> {
    let number = bytes.first_chunk::<2>()?;
    Some(i32::from(u16::from_le_bytes(*number)))
}

/// The Internet address of a family in `bytes`. [`libc::EINVAL`] if there are too few,
/// [`libc::EAFNOSUPPORT`] if they are of another family.
pub fn parse(family: Family, bytes: &[u8]) -> Result<SocketAddr> {
    let least = match family {
        Family::V4 => V4,
        Family::V6 => MIN_V6,
    };
    if bytes.len() < least {
        return Err(libc::EINVAL);
    }
    if family_of(bytes) != Some(family.number()) {
        return Err(libc::EAFNOSUPPORT);
    }
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let port = u16::from_be_bytes([at(2), at(3)]);
    Ok(match family {
        Family::V4 => SocketAddr::new(Ipv4Addr::new(at(4), at(5), at(6), at(7)).into(), port),
        Family::V6 => {
            let address = Ipv6Addr::from(core::array::from_fn::<u8, 16, _>(|i| at(8 + i)));
            let scope = u32::from_le_bytes(core::array::from_fn(|i| at(24 + i)));
            match address.to_canonical() {
                IpAddr::V4(v4) => SocketAddr::new(v4.into(), port),
                IpAddr::V6(v6) => {
                    let scope = scope.saturating_sub(LOOPBACK);
                    SocketAddrV6::new(v6, port, 0, scope).into()
                }
            }
        }
    })
}

/// [`parse`] for `bind`: for an IPv4 socket, the address 0.0.0.0 may have no family.
pub fn to_bind(family: Family, bytes: &[u8]) -> Result<SocketAddr> {
    if family == Family::V4
        && bytes.len() >= V4
        && family_of(bytes) == Some(libc::AF_UNSPEC)
        && bytes.get(4..8) == Some(&[0; 4])
    {
        let port = [2, 3].map(|at| bytes.get(at).copied().unwrap_or(0));
        return Ok(SocketAddr::new(family.any().ip(), u16::from_be_bytes(port)));
    }
    parse(family, bytes)
}

/// [`parse`] for the peer of a connection: an unspecified address is the host itself.
pub fn to_connect(family: Family, bytes: &[u8]) -> Result<SocketAddr> {
    let mut peer = parse(family, bytes)?;
    match peer.ip() {
        address if address.is_multicast() => return Err(libc::ENETUNREACH),
        IpAddr::V4(v4) if v4.is_broadcast() => return Err(libc::ENETUNREACH),
        IpAddr::V4(v4) if v4.is_unspecified() => peer.set_ip(Family::V4.loopback()),
        IpAddr::V6(v6) if v6.is_unspecified() => peer.set_ip(Family::V6.loopback()),
        _ => {}
    }
    match peer.port() {
        // Port 0 has no listener.
        0 => Err(libc::ECONNREFUSED),
        _ => Ok(peer),
    }
}

#[cfg(test)]
mod tests {
    use super::{Family, Name, parse};
    use core::net::SocketAddr;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_have_the_forms_of_their_families() {
        let v4 = Name::of(Family::V4, address("10.1.2.3:80"));
        assert_eq!(
            v4.bytes(),
            [2, 0, 0, 80, 10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        let v6 = Name::of(Family::V6, address("[fe80::7%3]:258"));
        let mut wanted = [0; 28];
        (wanted[0], wanted[2], wanted[3]) = (10, 1, 2);
        (wanted[8], wanted[9], wanted[23], wanted[24]) = (0xfe, 0x80, 7, 4);
        assert_eq!(v6.bytes(), wanted);
        assert_eq!(parse(Family::V4, v4.bytes()), Ok(address("10.1.2.3:80")));
        assert_eq!(
            parse(Family::V6, v6.bytes()),
            Ok(address("[fe80::7%3]:258"))
        );
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_mapped() {
        let mapped = Name::of(Family::V6, address("10.1.2.3:80"));
        assert_eq!(
            mapped.bytes().get(18..24),
            Some(&[0xff, 0xff, 10, 1, 2, 3][..])
        );
        assert_eq!(
            parse(Family::V6, mapped.bytes()),
            Ok(address("10.1.2.3:80"))
        );
    }

    #[test]
    fn short_and_foreign_addresses_are_refused() {
        let v4 = Name::of(Family::V4, address("10.1.2.3:80"));
        let v6 = Name::of(Family::V6, address("[::1]:80"));
        assert_eq!(parse(Family::V4, &v4.bytes()[..15]), Err(libc::EINVAL));
        assert_eq!(parse(Family::V6, &v6.bytes()[..23]), Err(libc::EINVAL));
        assert_eq!(
            parse(Family::V6, &v6.bytes()[..24]),
            Ok(address("[::1]:80"))
        );
        assert_eq!(parse(Family::V4, v6.bytes()), Err(libc::EAFNOSUPPORT));
        assert_eq!(parse(Family::V6, v4.bytes()), Err(libc::EINVAL));
    }
}

//! Addresses in the form of the system calls.

use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address in Linux's form, with its length.
#[derive(Clone)]
pub struct Name {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl Name {
    /// Room for an address that a system call writes.
    pub fn room() -> Name {
        Name {
            // SAFETY: all zeros is an address of no family.
            storage: unsafe { core::mem::zeroed() },
            len: size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    /// `address` for a socket of this family. An IPv6 socket has IPv4 addresses in the form
    /// `::ffff:a.b.c.d` (RFC 3493, 3.7).
    pub fn new(address: SocketAddr, v6: bool) -> Name {
        let mut name = Name::room();
        let port = address.port().to_be();
        match address {
            SocketAddr::V4(v4) if !v6 => name.write(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: port,
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            }),
            address => {
                let (ip, scope) = match address {
                    SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
                    SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
                };
                name.write(libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: port,
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                    sin6_scope_id: scope,
                });
            }
        }
        name
    }

    /// The address of no family, which ends a connection of a UDP socket (udp(7)).
    pub fn none() -> Name {
        let mut name = Name::room();
        name.len = size_of::<libc::sockaddr>() as libc::socklen_t;
        name
    }

    fn write<T>(&mut self, address: T) {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: there is room for it, and the storage is aligned for every kind of address.
        unsafe { (&raw mut self.storage).cast::<T>().write(address) };
        self.len = size_of::<T>() as libc::socklen_t;
    }

    /// For a call that reads an address.
    pub fn pointer(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    /// The length of the address.
    pub fn len(&self) -> libc::socklen_t {
        self.len
    }

    /// For a call that writes an address and its length.
    pub fn places(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.len)
    }

    /// For a message that has the address, of this length.
    pub fn parts(&mut self) -> (*mut libc::sockaddr_storage, libc::socklen_t) {
        (&raw mut self.storage, self.len)
    }

    /// The address; the unspecified one if a call wrote no IP address. IPv4-mapped addresses become
    /// IPv4.
    pub fn address(&self) -> SocketAddr {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: of this family, and within the storage.
                let v4 = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
                let ip = IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes());
                SocketAddr::new(ip, u16::from_be(v4.sin_port))
            }
            libc::AF_INET6 => {
                // SAFETY: of this family, and within the storage.
                let v6 = unsafe {
                    (&raw const self.storage)
                        .cast::<libc::sockaddr_in6>()
                        .read()
                };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                match ip.to_ipv4_mapped() {
                    Some(v4) => SocketAddr::new(IpAddr::V4(v4), port),
                    None => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
                }
            }
            _ => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Name;
    use std::net::SocketAddr;

    #[test]
    fn addresses_survive_the_form_of_the_calls() {
        for (text, v6) in [
            ("192.0.2.1:80", false),
            ("192.0.2.1:80", true),
            ("[2001:db8::1]:443", true),
            ("[fe80::1%3]:5353", true),
        ] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(Name::new(address, v6).address(), address, "{text}");
        }
    }
}

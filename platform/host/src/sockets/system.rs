//! The network as Linux has configured it: interfaces, routes, name servers and known names.

use crate::owned_fd::OwnedFd;
use crate::{Host, check};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::CStr;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use net::{Cidr, Counters, Dhcp, InterfaceId, InterfaceStatus};
use platform::System;

/// Maximum number of bytes read of a file.
const MAX_FILE: usize = 1 << 20;

/// Files of the system's resolver (resolv.conf(5), hosts(5)).
const RESOLVER: &CStr = c"/etc/resolv.conf";
const HOSTS: &CStr = c"/etc/hosts";

/// Raises the limit of descriptors to its maximum: each socket is one.
pub fn raise_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads and writes `limit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// The text of a file; empty if there is none.
fn text(path: &CStr) -> String {
    // SAFETY: reads the path.
    let fd = OwnedFd(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) });
    let mut bytes = Vec::new();
    while fd.0 >= 0 && bytes.len() < MAX_FILE {
        let mut piece = [0u8; 4096];
        // SAFETY: writes within `piece`.
        let n = unsafe { libc::read(fd.0, piece.as_mut_ptr().cast(), piece.len()) };
        match check(n) {
            Ok(n) if n > 0 => bytes.extend_from_slice(piece.get(..n).unwrap_or_default()),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The words of each line, without comments.
fn lines(text: &str) -> impl Iterator<Item = core::str::SplitWhitespace<'_>> {
    text.lines().map(|line| {
        let end = line.find(['#', ';']).unwrap_or(line.len());
        line.get(..end).unwrap_or_default().split_whitespace()
    })
}

/// A number that changes with the resolver's configuration.
pub fn generation() -> u32 {
    // SAFETY: all zeros is a valid status; the call reads the path and writes the status.
    let status = unsafe {
        let mut status: libc::stat = core::mem::zeroed();
        libc::stat(RESOLVER.as_ptr(), &raw mut status);
        status
    };
    (status.st_mtime as u32).rotate_left(16) ^ status.st_mtime_nsec as u32 ^ status.st_ino as u32
}

/// The name servers: those of `SOIL_DNS`, else the system's.
pub fn name_servers() -> Vec<SocketAddr> {
    if let Some(given) = Host::variable("SOIL_DNS") {
        let words = given.split([',', ';']).map(str::trim);
        return words.filter_map(net::name_server).collect();
    }
    servers_of(&text(RESOLVER))
}

fn servers_of(text: &str) -> Vec<SocketAddr> {
    let server = |mut words: core::str::SplitWhitespace<'_>| match words.next() {
        // The part after `%` is the zone; a resolver here has one link.
        Some("nameserver") => net::name_server(words.next()?.split('%').next()?),
        _ => None,
    };
    let found: Vec<SocketAddr> = lines(text).filter_map(server).collect();
    match found.is_empty() {
        // resolv.conf(5): without any, the local host.
        true => net::name_server("127.0.0.1").into_iter().collect(),
        false => found,
    }
}

/// How the system completes short names: its domains, and the number of dots from which a name is
/// tried as it is first.
pub fn name_options() -> (Vec<String>, usize) {
    options_of(&text(RESOLVER))
}

fn options_of(text: &str) -> (Vec<String>, usize) {
    let (mut domains, mut dots) = (Vec::new(), 1);
    for mut words in lines(text) {
        match words.next() {
            Some("search" | "domain") => domains = words.map(ToString::to_string).collect(),
            Some("options") => {
                let given = words.find_map(|word| word.strip_prefix("ndots:"));
                dots = given.and_then(|given| given.parse().ok()).unwrap_or(dots);
            }
            _ => {}
        }
    }
    // The root is not a domain that a name could be below, and a resolver accepts six.
    domains.retain(|domain| domain != ".");
    domains.truncate(6);
    (domains, dots)
}

/// The addresses of a name that the system knows itself.
pub fn known_addresses(name: &str) -> Vec<IpAddr> {
    known_of(&text(HOSTS), name)
}

fn known_of(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let known = |mut words: core::str::SplitWhitespace<'_>| {
        let address = words.next()?.parse().ok()?;
        words
            .any(|known| known.eq_ignore_ascii_case(name))
            .then_some(address)
    };
    lines(text).filter_map(known).collect()
}

/// An interface with one of its addresses, as getifaddrs(3) lists them.
struct Entry {
    name: String,
    index: usize,
    address: Address,
}

enum Address {
    Internet(Cidr),
    Hardware([u8; 6]),
    Other,
}

/// The bits of a network mask.
fn length(mask: &[u8]) -> u8 {
    mask.iter().map(|byte| byte.count_ones() as u8).sum()
}

/// Reads an address and its mask. Both are those of an entry of getifaddrs(3).
///
/// # Safety
/// Each is null or points to an address of its family.
unsafe fn address(at: *const libc::sockaddr, mask: *const libc::sockaddr) -> Address {
    if at.is_null() {
        return Address::Other;
    }
    // SAFETY: promised by the caller: each is as long as its family requires.
    unsafe {
        match i32::from((*at).sa_family) {
            libc::AF_INET if !mask.is_null() => {
                let bytes = |at: *const libc::sockaddr| {
                    let v4 = at.cast::<libc::sockaddr_in>().read_unaligned();
                    v4.sin_addr.s_addr.to_ne_bytes()
                };
                let cidr = Cidr::new(bytes(at).into(), length(&bytes(mask)));
                cidr.map_or(Address::Other, Address::Internet)
            }
            libc::AF_INET6 if !mask.is_null() => {
                let bytes = |at: *const libc::sockaddr| {
                    let v6 = at.cast::<libc::sockaddr_in6>().read_unaligned();
                    v6.sin6_addr.s6_addr
                };
                let ip = Ipv6Addr::from(bytes(at));
                let cidr = Cidr::new(ip.into(), length(&bytes(mask)));
                cidr.map_or(Address::Other, Address::Internet)
            }
            libc::AF_PACKET => {
                let link = at.cast::<libc::sockaddr_ll>().read_unaligned();
                let [a, b, c, d, e, f, ..] = link.sll_addr;
                Address::Hardware([a, b, c, d, e, f])
            }
            _ => Address::Other,
        }
    }
}

/// All interfaces that are up, except the loopback.
fn entries() -> Vec<Entry> {
    let mut found = Vec::new();
    let mut list: *mut libc::ifaddrs = core::ptr::null_mut();
    // SAFETY: the list belongs to the call, and is freed when nothing refers to it any more; its
    // names end with a zero byte.
    unsafe {
        if libc::getifaddrs(&raw mut list) != 0 {
            return found;
        }
        let mut next = list;
        while let Some(one) = next.as_ref() {
            next = one.ifa_next;
            let flags = one.ifa_flags as i32;
            if flags & libc::IFF_UP == 0 || flags & libc::IFF_LOOPBACK != 0 {
                continue;
            }
            found.push(Entry {
                name: CStr::from_ptr(one.ifa_name).to_string_lossy().into_owned(),
                index: libc::if_nametoindex(one.ifa_name) as usize,
                address: address(one.ifa_addr, one.ifa_netmask),
            });
        }
        libc::freeifaddrs(list);
    }
    found
}

/// The interfaces by their indices in Linux.
pub fn interfaces() -> Vec<InterfaceId> {
    let mut indices: Vec<usize> = entries().iter().map(|entry| entry.index).collect();
    indices.sort_unstable();
    indices.dedup();
    indices.into_iter().map(InterfaceId::from_raw).collect()
}

/// Linux's name of an interface; empty if it doesn't exist any more.
pub fn interface_name(id: InterfaceId) -> String {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: writes a name with a zero byte into an array of this size.
    unsafe { libc::if_indextoname(id.to_raw() as u32, name.as_mut_ptr().cast()) };
    let name = CStr::from_bytes_until_nul(&name).ok();
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The gateways of the default routes over an interface, by `/proc/net/route`.
fn gateways(name: &str) -> Vec<IpAddr> {
    gateways_of(&text(c"/proc/net/route"), name)
}

fn gateways_of(text: &str, name: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let mut words = line.split_whitespace();
        let (interface, network, gateway) = (words.next()?, words.next()?, words.next()?);
        let address = u32::from_str_radix(gateway, 16).ok()?;
        let is_default = network == "00000000" && interface == name && address != 0;
        // A number whose bytes in memory are the address.
        is_default.then(|| IpAddr::from(address.to_ne_bytes()))
    };
    text.lines().filter_map(gateway).collect()
}

/// See `Stack::interface_status`.
pub fn status(id: InterfaceId) -> Option<InterfaceStatus> {
    let entries: Vec<Entry> = entries()
        .into_iter()
        .filter(|entry| entry.index == id.to_raw())
        .collect();
    let name = entries.first()?.name.clone();
    let mac = entries.iter().find_map(|entry| match entry.address {
        Address::Hardware(mac) => Some(mac),
        _ => None,
    });
    let addresses = entries.iter().filter_map(|entry| match entry.address {
        Address::Internet(cidr) => Some(cidr),
        _ => None,
    });
    let number = |file: &str| {
        let path = alloc::format!("/sys/class/net/{name}/{file}\0");
        let path = CStr::from_bytes_until_nul(path.as_bytes()).ok();
        path.and_then(|path| text(path).trim().parse().ok())
            .unwrap_or(0)
    };
    Some(InterfaceStatus {
        mac: mac.unwrap_or_default(),
        mtu: number("mtu") as usize,
        addresses: addresses.collect(),
        gateways: gateways(&name),
        dns_servers: name_servers(),
        search_domains: name_options().0,
        dhcp: Dhcp::Off,
        duplicates: 0,
        counters: Counters {
            rx_frames: number("statistics/rx_packets"),
            rx_bytes: number("statistics/rx_bytes"),
            rx_malformed: number("statistics/rx_errors"),
            rx_bad_checksum: 0,
            tx_frames: number("statistics/tx_packets"),
            tx_bytes: number("statistics/tx_bytes"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{gateways_of, known_of, options_of, servers_of};
    use std::net::IpAddr;

    #[test]
    fn the_resolvers_file_is_read_as_the_c_library_reads_it() {
        let text = "# a comment\nnameserver 192.0.2.53 # ours\nnameserver fe80::1%eth0\n\
                    search example.org .\noptions timeout:1 ndots:2\n";
        let servers = |text| {
            let servers = servers_of(text).into_iter();
            servers.map(|server| server.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(servers(text), ["192.0.2.53:53", "[fe80::1]:53"]);
        assert_eq!(options_of(text), (vec!["example.org".to_string()], 2));
        assert_eq!(options_of(""), (vec![], 1));
        assert_eq!(servers(""), ["127.0.0.1:53"]);
    }

    #[test]
    fn names_of_the_hosts_file_are_known_in_any_case() {
        let text = "127.0.0.1 localhost\n192.0.2.7\tShop.example shop # both\n::1 shop\n";
        let found: Vec<IpAddr> = ["192.0.2.7", "::1"]
            .map(|text| text.parse().expect("an address"))
            .to_vec();
        assert_eq!(known_of(text, "SHOP."), found);
        assert!(known_of(text, "both").is_empty());
    }

    #[test]
    fn the_default_route_has_the_gateway() {
        let text = "Iface Destination Gateway\n\
                    eth0 00000000 010200C0\neth1 00000000 01000000\neth0 000200C0 00000000\n";
        assert_eq!(gateways_of(text, "eth0"), [IpAddr::from([192, 0, 2, 1])]);
    }
}

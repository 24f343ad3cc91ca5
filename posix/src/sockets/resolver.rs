//! The C library's resolver: lookups by Soil's own, and `/etc/resolv.conf` with the name servers of
//! the network's configuration.
//!
//! A file with other contents, of a mounted volume or written by the program, names servers of its
//! own choice: then the C library's own resolver does its work.

use super::attempts::await_network;
use crate::blocking::operation::{block, now, piece};
use crate::errors::{Errno, Result};
use crate::file::{Description, Offset};
use crate::namespace;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};
use platform::System;
use resources::current::Current;
use resources::net;
use resources::net::address::octets;
use resources::net::dns::Family;
use sync::mutex::{Mutex, level};

/// The path of the file.
pub const PATH: &str = "/etc/resolv.conf";
/// Names of this machine and of others (hosts(5)).
const HOSTS: &str = "/etc/hosts";
/// Maximum number of bytes read of a file.
const MAX_FILE: usize = 1 << 20;
/// The system calls of Soil's C functions (`libc-compat/src/resolver.rs`) for [`resolve`] and
/// [`exchange`]. Linux's numbers are far below.
pub const RESOLVE_NAME: u64 = 0x5011_0000;
/// See [`RESOLVE_NAME`].
pub const EXCHANGE_DNS: u64 = 0x5011_0001;
/// In place of a family: those of which an interface has addresses (`AI_ADDRCONFIG`).
pub const ADDRESSES_IN_USE: i32 = -1;

/// The last written contents; a file with other contents isn't changed.
static WRITTEN: Mutex<String, level::Resolver> = Mutex::new(String::new());

/// Writes the current name servers, before the file is opened.
pub fn update() {
    // A failure leaves the file unchanged.
    let _ = try_update();
}

/// The addresses of `name` for a family of addresses: the length of its canonical name in one byte,
/// that name, and 16 bytes for each address, IPv4 in the form `::ffff:a.b.c.d`; as many as fit.
/// Returns the number of bytes. `/etc/hosts` comes first (hosts(5), nsswitch.conf(5)).
///
/// # Errors
/// [`libc::ENOENT`]: there is no such name, or no address; [`libc::ENOSYS`]: the C library's own
/// resolver has to find them. Others may be temporary.
pub fn resolve(name: &str, family: i32, into: &mut [u8]) -> Result<usize> {
    let family = match family {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        libc::AF_UNSPEC => Family::Both,
        ADDRESSES_IN_USE => Family::Any,
        _ => return Err(libc::EAFNOSUPPORT),
    };
    let hosts = contents(HOSTS).unwrap_or_default();
    if let Some(len) = known(&hosts, name, family, into) {
        return Ok(len);
    }
    check_configuration()?;
    await_network();
    block(|rt, token| net::dns::resolve(rt, name, family, piece(into), token))
}

/// The response to a DNS query, as far as there is room. Errors as [`resolve`].
pub fn exchange(query: &[u8], into: &mut [u8]) -> Result<usize> {
    check_configuration()?;
    await_network();
    let len = block(|rt, token| net::dns::exchange(rt, query, piece(into), token))?;
    // The query to the server had an identifier of its own.
    for (to, from) in into.iter_mut().zip(query.iter().take(2)) {
        *to = *from;
    }
    Ok(len)
}

/// [`libc::ENOSYS`] if `/etc/resolv.conf` isn't ours.
fn check_configuration() -> Result<()> {
    match contents(PATH) {
        Ok(text) if text != *WRITTEN.lock() => Err(libc::ENOSYS),
        _ => Ok(()),
    }
}

/// The addresses that a hosts file has for a name, in the form of [`resolve`].
fn known(hosts: &str, name: &str, family: Family, into: &mut [u8]) -> Option<usize> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut bytes = Vec::new();
    for line in hosts.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
            continue;
        };
        let wanted = match family {
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
            Family::Any | Family::Both => true,
        };
        let Some(canonical) = words.clone().next().filter(|first| first.len() < 256) else {
            continue;
        };
        if !wanted || !words.any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        if bytes.is_empty() {
            bytes.push(canonical.len() as u8);
            bytes.extend(canonical.as_bytes());
        }
        if bytes.len() + 16 > into.len() {
            break;
        }
        bytes.extend(octets(address));
    }
    into.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    (!bytes.is_empty()).then_some(bytes.len())
}

fn try_update() -> Result<()> {
    let previous = WRITTEN.lock().clone();
    if contents(PATH)? != previous {
        return Ok(());
    }
    await_network();
    let mut text = String::new();
    let domains = now(|rt| {
        // Writing to a string can't fail.
        let add = |server: SocketAddr| _ = writeln!(text, "nameserver {}", server.ip());
        let _ = net::name_servers(rt, add);
        Ok::<_, Errno>(net::dns::search_domains(rt))
    })?;
    if !domains.is_empty() {
        let _ = writeln!(text, "search {}", domains.join(" "));
    }
    if let Some(dots) = Current::variable("SOIL_DNS_NDOTS") {
        let _ = writeln!(text, "options ndots:{dots}");
    }
    if text != previous {
        on_file(PATH, libc::O_WRONLY | libc::O_TRUNC, |file| {
            file.write(text.as_bytes(), Offset::Position)
        })?;
        *WRITTEN.lock() = text;
    }
    Ok(())
}

/// The text of a file, at most 1 MiB. On the heap: a thread's kernel stack has 16 KiB, and needs
/// most of it where the network starts.
fn contents(path: &str) -> Result<String> {
    let mut text = Vec::new();
    let mut piece = vec![0; 4096];
    on_file(path, libc::O_RDONLY, |file| {
        loop {
            let len = file.read(&mut piece, Offset::Position)?;
            text.extend_from_slice(piece.get(..len).unwrap_or_default());
            if len == 0 || text.len() >= MAX_FILE {
                return Ok(text.len());
            }
        }
    })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Runs `f` on a regular file.
fn on_file(path: &str, flags: i32, f: impl FnOnce(&Description) -> Result<usize>) -> Result<usize> {
    let opened = namespace::open(String::from(path), flags)?;
    match opened.file().is_regular() {
        true => f(&opened),
        false => Err(libc::EINVAL),
    }
}

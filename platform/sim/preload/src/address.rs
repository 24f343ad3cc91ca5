//! Addresses of sockets in the program's memory.

use crate::memory::{bytes, load, store};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An address that a program gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Given {
    /// `AF_INET`.
    Internet(SocketAddr),
    /// `AF_UNIX`: the path, without those that aren't text.
    Path(String),
    /// `AF_UNSPEC`.
    None,
}

/// Reads a `struct sockaddr`.
///
/// # Errors
/// `EINVAL`: it is too short. `EAFNOSUPPORT`: another family.
pub fn read(address: usize, len: usize) -> Result<Given, i32> {
    let from = bytes(address, len.min(128));
    let (family, rest) = from.split_first_chunk().ok_or(libc::EINVAL)?;
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let (port, rest) = rest.split_first_chunk().ok_or(libc::EINVAL)?;
            let ip: [u8; 4] = *rest.first_chunk().ok_or(libc::EINVAL)?;
            let ip = IpAddr::V4(Ipv4Addr::from(ip));
            Ok(Given::Internet(SocketAddr::new(
                ip,
                u16::from_be_bytes(*port),
            )))
        }
        libc::AF_UNIX => {
            let end = rest.iter().position(|byte| *byte == 0);
            let path = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            Ok(Given::Path(String::from_utf8_lossy(path).into_owned()))
        }
        libc::AF_UNSPEC => Ok(Given::None),
        _ => Err(libc::EAFNOSUPPORT),
    }
}

/// The `struct sockaddr_in` of an address; the stack of a node has no other.
fn encode(address: SocketAddr) -> [u8; 16] {
    let mut out = [0; 16];
    let IpAddr::V4(ip) = address.ip() else {
        return out;
    };
    let [a, b] = (libc::AF_INET as u16).to_ne_bytes();
    let [c, d] = address.port().to_be_bytes();
    let [e, f, g, h] = ip.octets();
    out[..8].copy_from_slice(&[a, b, c, d, e, f, g, h]);
    out
}

/// Writes an address as getsockname(2) does: as much as fits, and the whole length. `None` is the
/// nameless address of `AF_UNIX`.
pub fn write(to: usize, len_at: usize, address: Option<SocketAddr>) {
    if to == 0 || len_at == 0 {
        return;
    }
    let room = load::<u32>(len_at);
    store(len_at, put(to, room, address));
}

/// Writes as much of an address as fits in `room` bytes; returns the whole length.
pub fn put(to: usize, room: u32, address: Option<SocketAddr>) -> u32 {
    let whole = match address {
        Some(address) => encode(address).to_vec(),
        None => (libc::AF_UNIX as u16).to_ne_bytes().to_vec(),
    };
    let fits = whole.get(..room as usize).unwrap_or(&whole);
    crate::memory::copy_to(to, fits);
    whole.len() as u32
}

#[cfg(test)]
mod tests {
    use super::{Given, read, write};

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let address = "10.0.0.3:7".parse().ok();
        let (mut memory, mut len) = ([0u8; 16], 16u32);
        let at = memory.as_mut_ptr().expose_provenance();
        write(at, (&raw mut len).expose_provenance(), address);
        assert_eq!(len, 16);
        assert_eq!(memory[..8], [2, 0, 0, 7, 10, 0, 0, 3]);
        assert_eq!(read(at, 16), Ok(Given::Internet(address.unwrap())));
        assert_eq!(read(at, 3), Err(libc::EINVAL));
    }

    #[test]
    fn an_address_that_does_not_fit_is_cut_off() {
        let (mut memory, mut len) = ([9u8; 16], 4u32);
        let at = memory.as_mut_ptr().expose_provenance();
        let address = "10.0.0.3:7".parse().ok();
        write(at, (&raw mut len).expose_provenance(), address);
        assert_eq!((len, &memory[..5]), (16, &[2, 0, 0, 7, 9][..]));
    }
}

//! Encoding of addresses and endpoints for the interface: 16 and 18 bytes.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use platform::error::Error;

/// Length of an endpoint: address and port.
pub const ENDPOINT: usize = 18;

/// Encodes an address in 16 bytes, IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
pub fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Decodes an address of exactly 16 bytes.
pub fn from_octets(bytes: &[u8]) -> Result<IpAddr, Error> {
    let octets: [u8; 16] = bytes.try_into().map_err(|_| Error::Invalid)?;
    Ok(Ipv6Addr::from(octets).to_canonical())
}

/// Encodes an endpoint in 18 bytes, the port in network byte order.
pub fn encode(endpoint: SocketAddr) -> [u8; ENDPOINT] {
    let mut bytes = [0; ENDPOINT];
    let (address, port) = bytes.split_at_mut(16);
    address.copy_from_slice(&octets(endpoint.ip()));
    port.copy_from_slice(&endpoint.port().to_be_bytes());
    bytes
}

/// Decodes an endpoint of exactly 18 bytes.
pub fn decode(bytes: &[u8]) -> Result<SocketAddr, Error> {
    let (address, port) = bytes.split_first_chunk::<16>().ok_or(Error::Invalid)?;
    let port = u16::from_be_bytes(port.try_into().map_err(|_| Error::Invalid)?);
    Ok(SocketAddr::new(
        Ipv6Addr::from(*address).to_canonical(),
        port,
    ))
}

/// A name server at the usual port (RFC 1035, 4.2).
pub fn name_server_at(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 53)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use platform::error::Error;
    use proptest::prelude::{any, proptest};
    use proptest::prop_assert_eq;
    use std::net::SocketAddr;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn endpoints_survive(endpoint in any::<SocketAddr>()) {
            let canonical = SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port());
            prop_assert_eq!(decode(&encode(endpoint)), Ok(canonical));
        }

        #[test]
        fn other_lengths_are_refused(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(decode(&bytes).is_ok(), bytes.len() == 18);
        }
    }

    #[test]
    fn ipv4_is_mapped() {
        let endpoint = "10.1.2.3:80".parse().expect("an endpoint");
        assert_eq!(&encode(endpoint)[10..], &[0xff, 0xff, 10, 1, 2, 3, 0, 80]);
        assert_eq!(decode(&[0; 17]), Err(Error::Invalid));
    }
}

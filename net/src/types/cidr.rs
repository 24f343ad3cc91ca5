//! Addresses with the length of their network's prefix.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::str::FromStr;

use super::Error;

/// An address with the length of its network prefix, as in `10.0.0.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address itself, not the network's.
    pub address: IpAddr,
    /// Bits of the network prefix: at most 32 for IPv4, 128 for IPv6.
    pub prefix_len: u8,
}

impl Cidr {
    /// A unicast address and a prefix length within its range.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Cidr, Error> {
        let (bits, unicast) = match address {
            IpAddr::V4(v4) => (32, is_unicast_v4(v4)),
            IpAddr::V6(v6) => (128, !v6.is_multicast() && !v6.is_unspecified()),
        };
        if prefix_len <= bits && unicast {
            Ok(Cidr {
                address,
                prefix_len,
            })
        } else {
            Err(Error::InvalidArgument)
        }
    }

    /// Whether an address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && common_prefix(self.address, address) >= self.prefix_len
    }
}

pub(crate) fn is_unicast_v4(a: Ipv4Addr) -> bool {
    !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified() && a.octets()[0] < 240
}

impl FromStr for Cidr {
    type Err = Error;

    /// Reads `ADDRESS/LENGTH`; without a length, that of a single address.
    fn from_str(s: &str) -> Result<Cidr, Error> {
        let (address, len) = match s.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (s, None),
        };
        let address: IpAddr = address.parse().map_err(|_| Error::InvalidArgument)?;
        let len = match len {
            Some(len) => len.parse().map_err(|_| Error::InvalidArgument)?,
            None if address.is_ipv4() => 32,
            None => 128,
        };
        Cidr::new(address, len)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// The number of leading bits that two addresses of one family share; 0 for different families.
pub(crate) fn common_prefix(a: IpAddr, b: IpAddr) -> u8 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() as u8,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() as u8,
        _ => 0,
    }
}

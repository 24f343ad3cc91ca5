//! Wire formats that the whole layer uses: headers of Ethernet, IPv4 and IPv6, and the checksum.

pub(crate) mod checksum;
pub(super) mod header;

//! The Internet checksum (RFC 1071), eight bytes a step.

/// The one's complement sum of `data`, read as big-endian 16-bit words, a last odd byte padded with
/// zero. Not complemented.
pub(crate) fn sum(data: &[u8]) -> u16 {
    let (words, rest) = data.as_chunks::<8>();
    // Each step adds less than 2^33, and frames are at most 2^17 bytes long: no overflow. The sum
    // does not depend on byte order but for a swap at the end (RFC 1071, 2.B).
    let mut total: u64 = 0;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        total += (word & 0xffff_ffff) + (word >> 32);
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let last = u64::from_ne_bytes(last);
    total += (last & 0xffff_ffff) + (last >> 32);
    u16::from_be(fold(total))
}

fn fold(total: u64) -> u16 {
    let total = (total >> 32) + (total & 0xffff_ffff);
    let total = (total >> 32) + (total & 0xffff_ffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    total as u16
}

/// The one's complement sum of two sums.
pub(crate) fn add(a: u16, b: u16) -> u16 {
    let total = u32::from(a) + u32::from(b);
    ((total >> 16) + (total & 0xffff)) as u16
}

/// The sum of a pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1): `addresses` is source and destination,
/// `len` the length of the transport header and its payload.
pub(crate) fn pseudo_header(addresses: &[u8], protocol: u8, len: usize) -> u16 {
    let len = fold(len as u64);
    add(add(sum(addresses), u16::from(protocol)), len)
}

#[cfg(test)]
mod tests {
    use super::{pseudo_header, sum};
    use proptest::prelude::*;
    use smoltcp::wire::{IpAddress, IpProtocol, checksum};

    proptest! {
        #[test]
        fn agrees_with_smoltcp(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(sum(&data) % 0xffff, checksum::data(&data) % 0xffff);
        }
    }

    #[test]
    fn pseudo_header_agrees_with_smoltcp() {
        let (a, b) = (
            IpAddress::v4(10, 0, 0, 1),
            IpAddress::v4(192, 168, 255, 254),
        );
        let expected = checksum::pseudo_header(&a, &b, IpProtocol::Tcp, 1480);
        assert_eq!(
            pseudo_header(&[10, 0, 0, 1, 192, 168, 255, 254], 6, 1480),
            expected
        );
    }
}

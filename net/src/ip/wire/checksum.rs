//! The Internet checksum (RFC 1071), 32 bytes a step.

/// The one's complement sum of `data`, as big-endian 16-bit words, a last odd byte padded with
/// zero. Not complemented.
pub(crate) fn sum(data: &[u8]) -> u16 {
    // With the carry added back, a sum of larger words equals one of smaller ones (RFC 1071, 2.C),
    // and it depends on byte order only by a swap at the end (2.B).
    let mut total: u64 = 0;
    let (words, rest) = data.as_chunks::<8>();
    let (blocks, words) = words.as_chunks::<4>();
    for [a, b, c, d] in blocks {
        // Unrolled by hand, since the crate is compiled for size.
        total = add_word(total, *a);
        total = add_word(total, *b);
        total = add_word(total, *c);
        total = add_word(total, *d);
    }
    for word in words {
        total = add_word(total, *word);
    }
    total = (total >> 32) + (total & 0xffff_ffff);
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    total += u64::from(u32::from_ne_bytes(last));
    u16::from_be(fold(total))
}

#[inline(always)]
fn add_word(total: u64, word: [u8; 8]) -> u64 {
    let (sum, carry) = total.overflowing_add(u64::from_ne_bytes(word));
    sum + u64::from(carry)
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

/// The sum of a pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1): `addresses` is source and
/// destination, `len` the length of the transport header and its payload.
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

//! Checksums: of received frames, from the sum that the device reports; of frames to segment.

use crate::net::TxChecksum;

/// Offset of the IP header: the device removes no tags, and frames with tags aren't verified.
const IP: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Adds in ones' complement.
fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u16::from(carry))
}

/// The sum of big-endian words in ones' complement (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        add(sum, u16::from_be_bytes([pair[0], low]))
    })
}

/// Whether `whole`, the sum of a frame from the IP header on, shows that its TCP or UDP checksum is
/// right. False for other frames, fragments, and padded frames.
pub fn is_verified(frame: &[u8], whole: u16) -> bool {
    verify(frame, whole).unwrap_or(false)
}

fn verify(frame: &[u8], whole: u16) -> Option<bool> {
    let ip = frame.get(IP..)?;
    let (header, protocol, addresses, len) = match frame.get(12..IP)? {
        [0x08, 0x00] if ip.len() >= 20 => {
            let header = usize::from(ip[0] & 0xf) * 4;
            if u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0 {
                return None;
            }
            let len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            (header, ip[9], &ip[12..20], len)
        }
        [0x86, 0xdd] if ip.len() >= 40 => {
            let len = 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            (40, ip[6], &ip[8..40], len)
        }
        _ => return None,
    };
    if len != ip.len() || !matches!(protocol, TCP | UDP) {
        return None;
    }
    // The length has 16 bits, because the IP header has it.
    let content = len.checked_sub(header)? as u16;
    let content_sum = add(whole, !sum(ip.get(..header)?));
    let pseudo = add(add(sum(addresses), u16::from(protocol)), content);
    Some(add(content_sum, pseudo) == 0xffff)
}

/// Subtracts the length from the pseudo-header's sum in a frame's checksum field, for a device that
/// adds the length of each segment. False if the field isn't in the frame.
pub fn remove_length(frame: &mut [u8], checksum: TxChecksum) -> bool {
    let start = usize::from(checksum.start);
    let at = start + usize::from(checksum.offset);
    let len = frame.len().saturating_sub(start) as u16;
    let Some(field) = frame.get_mut(at..at + 2) else {
        return false;
    };
    let value = add(u16::from_be_bytes([field[0], field[1]]), !len);
    field.copy_from_slice(&value.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::finished_tcp_frame;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    proptest! {
        #[test]
        fn the_sum_of_a_frame_verifies_it(
            v6: bool,
            payload in vec(any::<u8>(), 0..300),
            at in any::<Index>(),
            bit in 0..8u8,
        ) {
            let mut frame = finished_tcp_frame(v6, &payload);
            prop_assert!(is_verified(&frame, sum(&frame[IP..])));
            // The first byte after the addresses: TCP.
            let l4 = if v6 { 54 } else { 34 };
            let at = l4 + at.index(frame.len() - l4);
            frame[at] ^= 1 << bit;
            prop_assert!(!is_verified(&frame, sum(&frame[IP..])));
        }

        #[test]
        fn any_bytes_are_verified_or_not(
            mut frame in vec(any::<u8>(), 0..80),
            v6: bool,
            whole: u16,
        ) {
            if let Some(ethertype) = frame.get_mut(12..14) {
                ethertype.copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
            }
            is_verified(&frame, whole);
        }
    }
}

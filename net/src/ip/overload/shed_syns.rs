//! SYNs that were shed, a few bits each (a Bloom filter of two generations): an honest client
//! retransmits after its timer of a second (RFC 6298, 2.1), a flood from changing addresses does
//! not.

use alloc::vec::Vec;

use crate::ip::wire::header::{ETHERTYPE_IPV4, ETHERTYPE_VLAN};
use crate::types::be16;

/// Bits of a generation: 128 KiB. With 60,000 shed SYNs per second some 1 % are falsely recognized.
const BITS: usize = 1 << 20;
const HASHES: u32 = 3;
/// Duration of a generation. A SYN is remembered for at least that and at most twice that.
const GENERATION_NS: u64 = 1_500_000_000;
/// The memory is freed after this time without a shed SYN.
const MAX_IDLE_NS: u64 = 10_000_000_000;

/// Bloom filter of shed SYNs, in two generations. Allocates nothing before the first SYN is shed.
#[derive(Debug, Default)]
pub(super) struct ShedSyns {
    now: Vec<u64>,
    before: Vec<u64>,
    /// Start of the current generation.
    since_ns: u64,
    /// Time of the last shed SYN.
    shed_ns: u64,
}

impl ShedSyns {
    /// Frees the memory once a flood is over.
    pub(super) fn begin(&mut self, now_ns: u64) {
        if !self.now.is_empty() && now_ns.saturating_sub(self.shed_ns) >= MAX_IDLE_NS {
            *self = ShedSyns::default();
        }
    }

    /// Whether this SYN was shed before.
    pub(super) fn contains(&self, syn: &[u8]) -> bool {
        if self.now.is_empty() {
            return false;
        }
        let Some(hash) = hash(syn) else {
            return false;
        };
        [&self.now, &self.before]
            .iter()
            .any(|bits| places(hash).all(|(word, bit)| bits.get(word).is_some_and(|w| w & bit > 0)))
    }

    /// Adds a shed SYN.
    pub(super) fn add(&mut self, syn: &[u8], now_ns: u64) {
        self.shed_ns = now_ns;
        if self.now.is_empty() {
            let (Some(now), Some(before)) = (zeros(), zeros()) else {
                return;
            };
            (self.now, self.before, self.since_ns) = (now, before, now_ns);
        }
        if now_ns.saturating_sub(self.since_ns) >= GENERATION_NS {
            core::mem::swap(&mut self.now, &mut self.before);
            self.now.fill(0);
            self.since_ns = now_ns;
        }
        let Some(hash) = hash(syn) else {
            return;
        };
        for (word, bit) in places(hash) {
            if let Some(word) = self.now.get_mut(word) {
                *word |= bit;
            }
        }
    }
}

/// A hash of the addresses and ports of a frame with a TCP header. It needs no key: a sender gains
/// recognition simply by sending a SYN twice.
fn hash(frame: &[u8]) -> Option<u64> {
    let (mut ethertype, mut ip) = (be16(frame, 12)?, 14);
    if ethertype == ETHERTYPE_VLAN {
        (ethertype, ip) = (be16(frame, 16)?, 18);
    }
    let packet = frame.get(ip..)?;
    let (addresses, ports) = match ethertype {
        ETHERTYPE_IPV4 => (12..20, usize::from(packet.first()? & 15) * 4),
        _ => (8..40, 40),
    };
    let (addresses, ports) = (packet.get(addresses)?, packet.get(ports..ports + 4)?);
    let bytes = addresses.iter().chain(ports);
    // FNV-1a, and the last step of SplitMix64, so that all bits have full avalanche.
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    Some(hash ^ (hash >> 31))
}

fn zeros() -> Option<Vec<u64>> {
    let mut bits = Vec::new();
    bits.try_reserve_exact(BITS / 64).ok()?;
    bits.resize(BITS / 64, 0);
    Some(bits)
}

/// The word, and the bit in it, for each hash.
fn places(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    (0..HASHES).map(move |number| {
        let place = (hash >> (20 * number)) as usize % BITS;
        (place / 64, 1 << (place % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn v4(from: u32, port: u16) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 20];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[26..30].copy_from_slice(&from.to_be_bytes());
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame
    }

    fn v6(from: u32, port: u16) -> Vec<u8> {
        let mut frame = vec![0; 14 + 40 + 20];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[34..38].copy_from_slice(&from.to_be_bytes());
        frame[54..56].copy_from_slice(&port.to_be_bytes());
        frame
    }

    #[test]
    fn what_was_shed_is_known_again_for_some_time() {
        for frame in [v4, v6] {
            let mut shed_syns = ShedSyns::default();
            assert!(!shed_syns.contains(&frame(1, 1)));
            shed_syns.add(&frame(1, 1), SECOND);
            assert!(shed_syns.contains(&frame(1, 1)));
            assert!(!shed_syns.contains(&frame(2, 1)));
            assert!(!shed_syns.contains(&frame(1, 2)));
            // A different identification or other flags don't change it.
            let mut again = frame(1, 1);
            again.iter_mut().rev().take(8).for_each(|byte| *byte = 9);
            assert!(shed_syns.contains(&again));
            shed_syns.add(&frame(3, 1), SECOND + GENERATION_NS);
            assert!(shed_syns.contains(&frame(1, 1)));
            shed_syns.add(&frame(4, 1), SECOND + 2 * GENERATION_NS);
            assert!(!shed_syns.contains(&frame(1, 1)));
            assert!(shed_syns.contains(&frame(3, 1)));
        }
    }

    #[test]
    fn tags_and_options_are_left_out() {
        let mut shed_syns = ShedSyns::default();
        let mut tagged = v4(1, 1);
        tagged.splice(12..12, [0x81, 0, 0, 7]);
        shed_syns.add(&tagged, SECOND);
        assert!(shed_syns.contains(&v4(1, 1)));
        let mut options = v4(1, 1);
        options[14] = 0x46;
        options.splice(34..34, [1; 4]);
        assert!(shed_syns.contains(&options));
    }

    #[test]
    fn few_others_are_taken_for_repeated() {
        let mut shed_syns = ShedSyns::default();
        for number in 0..75_000 {
            shed_syns.add(&v4(number, 80), SECOND);
        }
        let known = (100_000..200_000).filter(|n| shed_syns.contains(&v4(*n, 80)));
        let known = known.count();
        assert!(known < 2_000, "{known} of 100000");
    }

    #[test]
    fn memory_is_given_back_after_a_flood() {
        let mut shed_syns = ShedSyns::default();
        shed_syns.add(&v4(1, 1), SECOND);
        shed_syns.begin(SECOND + MAX_IDLE_NS - 1);
        assert_eq!(shed_syns.now.len(), BITS / 64);
        shed_syns.begin(SECOND + MAX_IDLE_NS);
        assert_eq!(
            (shed_syns.now.capacity(), shed_syns.before.capacity()),
            (0, 0)
        );
        assert!(!shed_syns.contains(&v4(1, 1)));
    }

    #[test]
    fn frames_that_are_cut_off_are_never_known() {
        let mut shed_syns = ShedSyns::default();
        let frame = v4(1, 1);
        for len in 0..38 {
            shed_syns.add(&frame[..len], SECOND);
            assert!(!shed_syns.contains(&frame[..len]), "{len}");
        }
    }
}

//! Reassembly of fragments (RFC 791, 3.2; RFC 8200, 4.5).
//!
//! A fragment that overlaps another discards the whole packet (RFC 5722, 3; RFC 1858 shows why for
//! IPv4). An exact duplicate of a fragment is dropped alone. Fragments are kept separately, in the
//! order of their offsets, until all have arrived: no bytes are moved. Memory is bounded in total
//! and per sender; when it is used up, the oldest packet is evicted, of the sender that exceeded
//! its share.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::ip::wire::header::IP_MAX;

/// RFC 8200, 4.5: 60 seconds. RFC 1122, 3.3.2 has 60 to 120 for IPv4; Linux takes 30.
const TIMEOUT_NS: u64 = 60_000_000_000;
const TIMEOUT_V4_NS: u64 = 30_000_000_000;
/// Maximum number of packets in reassembly, in total and per sender.
const PACKETS: usize = 64;
const PACKETS_PER_SOURCE: usize = 16;
/// Maximum number of fragments of one packet: the largest packet in fragments of IPv4's minimum MTU
/// has 120.
const PIECES: usize = 256;
/// Maximum number of bytes of all fragments, in total and per sender.
const BYTES: usize = 512 << 10;
const BYTES_PER_SOURCE: usize = 192 << 10;
/// Bytes that a fragment costs in addition to its payload.
const OVERHEAD: usize = 64;

/// The key that the fragments of a packet share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) identification: u32,
    /// For IPv4; 0 for IPv6, where only the first fragment's counts (RFC 8200, 4.5).
    pub(crate) protocol: u8,
    pub(crate) interface: usize,
}

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) offset: usize,
    pub(crate) more: bool,
    /// The IP header of the reassembled packet: the first fragment's is used.
    pub(crate) header: &'a [u8],
    pub(crate) data: &'a [u8],
}

#[derive(Debug)]
struct Partial {
    key: Key,
    /// Offsets and bytes, in order and disjoint. A list of at most 256 is fast to search and to
    /// insert into, and an image is smaller without a tree.
    pieces: Vec<(usize, Vec<u8>)>,
    header: Vec<u8>,
    /// Length of the whole packet, known from the last fragment.
    total: Option<usize>,
    held: usize,
    cost: usize,
    until_ns: u64,
}

/// Why a fragment was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It contradicts another one, or itself.
    Bad,
}

/// All packets in reassembly.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    partial: Vec<Partial>,
    bytes: usize,
    /// Evicted packets since this was last taken.
    pub(crate) evicted: u32,
}

impl Reassembly {
    /// Adds a fragment; with the last one returns the whole packet after its header.
    pub(crate) fn add(
        &mut self,
        key: Key,
        fragment: &Fragment<'_>,
        now_ns: u64,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let len = fragment.data.len();
        let end = fragment.offset + len;
        let uneven = fragment.more && !len.is_multiple_of(8);
        if uneven || len == 0 || end + fragment.header.len() > IP_MAX {
            // RFC 8200, 4.5: the packet can't be completed any more.
            self.forget(&key);
            return Err(Refusal::Bad);
        }
        let at = match self.partial.iter().position(|p| p.key == key) {
            Some(at) => at,
            None => self.begin(key, now_ns),
        };
        let Some(partial) = self.partial.get_mut(at) else {
            return Ok(None);
        };
        let place = partial.pieces.partition_point(|(offset, _)| *offset < end);
        let before = place.checked_sub(1).and_then(|at| partial.pieces.get(at));
        if let Some((offset, piece)) = before {
            if *offset == fragment.offset && piece.as_slice() == fragment.data {
                return Ok(None);
            }
            if offset + piece.len() > fragment.offset {
                self.remove(at);
                return Err(Refusal::Bad);
            }
        }
        let last = partial.pieces.last();
        let furthest = last.map_or(0, |(offset, piece)| offset + piece.len());
        let contradicts = match partial.total {
            Some(total) => end > total || !fragment.more && end != total,
            None => !fragment.more && end < furthest,
        };
        if contradicts || partial.pieces.len() >= PIECES {
            self.remove(at);
            return Err(Refusal::Bad);
        }
        if !fragment.more {
            partial.total = Some(end);
        }
        if fragment.offset == 0 {
            partial.header = fragment.header.to_vec();
        }
        let piece = (fragment.offset, fragment.data.to_vec());
        partial.pieces.insert(place, piece);
        partial.held += len;
        partial.cost += len + OVERHEAD;
        self.bytes += len + OVERHEAD;
        if partial.total == Some(partial.held) && !partial.header.is_empty() {
            return Ok(self.finish(at));
        }
        self.make_room(key);
        Ok(None)
    }

    fn begin(&mut self, key: Key, now_ns: u64) -> usize {
        let own = |p: &Partial| p.key.source == key.source;
        if self.partial.iter().filter(|p| own(p)).count() >= PACKETS_PER_SOURCE
            && let Some(oldest) = self.partial.iter().position(own)
        {
            self.evict(oldest);
        }
        if self.partial.len() >= PACKETS {
            self.evict(0);
        }
        let timeout_ns = if key.source.is_ipv4() {
            TIMEOUT_V4_NS
        } else {
            TIMEOUT_NS
        };
        self.partial.push(Partial {
            key,
            pieces: Vec::new(),
            header: Vec::new(),
            total: None,
            held: 0,
            cost: 0,
            until_ns: now_ns.saturating_add(timeout_ns),
        });
        self.partial.len() - 1
    }

    fn make_room(&mut self, newest: Key) {
        loop {
            let of_source = |p: &&Partial| p.key.source == newest.source;
            let own: usize = self.partial.iter().filter(of_source).map(|p| p.cost).sum();
            let victim = if own > BYTES_PER_SOURCE {
                self.partial
                    .iter()
                    .position(|p| p.key.source == newest.source)
            } else if self.bytes > BYTES {
                Some(0)
            } else {
                return;
            };
            match victim {
                Some(at) => self.evict(at),
                None => return,
            }
        }
    }

    fn finish(&mut self, at: usize) -> Option<Vec<u8>> {
        let partial = self.partial.get(at)?;
        let mut whole = Vec::with_capacity(partial.header.len() + partial.held);
        whole.extend_from_slice(&partial.header);
        for (_, piece) in &partial.pieces {
            whole.extend_from_slice(piece);
        }
        self.remove(at);
        Some(whole)
    }

    fn evict(&mut self, at: usize) {
        self.evicted += 1;
        self.remove(at);
    }

    fn remove(&mut self, at: usize) {
        if at < self.partial.len() {
            let partial = self.partial.remove(at);
            self.bytes -= partial.cost;
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(at) = self.partial.iter().position(|p| p.key == *key) {
            self.remove(at);
        }
    }

    /// Takes an expired packet: its key and, if the first fragment arrived, header and first bytes.
    pub(crate) fn expired(&mut self, now_ns: u64) -> Option<(Key, Option<Vec<u8>>)> {
        let at = self.partial.iter().position(|p| p.until_ns <= now_ns)?;
        let partial = self.partial.get(at)?;
        let key = partial.key;
        let first = partial.pieces.first().filter(|(offset, _)| *offset == 0);
        let first = first.map(|(_, piece)| {
            let mut packet = partial.header.clone();
            packet.extend_from_slice(piece);
            packet
        });
        self.remove(at);
        Some((key, first))
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.partial.iter().map(|p| p.until_ns).min()
    }

    #[cfg(test)]
    fn used(&self) -> (usize, usize) {
        (self.partial.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        BYTES, BYTES_PER_SOURCE, Fragment, Key, OVERHEAD, PACKETS, PACKETS_PER_SOURCE, Reassembly,
        Refusal,
    };
    use proptest::prelude::*;

    fn key(n: u32) -> Key {
        Key {
            source: [10, 0, (n >> 8) as u8, n as u8].into(),
            destination: [10, 0, 0, 1].into(),
            identification: 7,
            protocol: 17,
            interface: 1,
        }
    }

    fn piece(data: &[u8], offset: usize, len: usize) -> Fragment<'_> {
        let end = (offset + len).min(data.len());
        Fragment {
            offset,
            more: end < data.len(),
            header: &[0x45; 20],
            data: &data[offset..end],
        }
    }

    proptest! {
        /// RFC 791, 3.2: in any order, with duplicates, the result is the original packet.
        #[test]
        fn any_order_gives_the_whole(
            len in 1..5000usize,
            size in 1..40usize,
            order in proptest::collection::vec(any::<u16>(), 700),
        ) {
            let data: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let mut offsets: Vec<usize> = (0..len).step_by(size * 8 + 16).collect();
            let mut keys = order.iter();
            offsets.sort_by_cached_key(|_| keys.next().copied());
            let mut reassembly = Reassembly::default();
            let mut whole = None;
            for offset in &offsets {
                for _ in 0..2 {
                    if whole.is_none() {
                        whole = reassembly.add(
                            key(1),
                            &piece(&data, *offset, size * 8 + 16),
                            0,
                        ).unwrap();
                    }
                }
            }
            let whole = whole.expect("all were there");
            prop_assert_eq!(&whole[20..], &data[..]);
            prop_assert_eq!(reassembly.used(), (0, 0));
        }

        /// The limits hold for any input.
        #[test]
        fn memory_is_bounded(
            pieces in proptest::collection::vec(
                (0..200u32, 0..8190usize, 1..200usize, any::<bool>()),
                1..600,
            ),
        ) {
            let data = [7; 1600];
            let mut reassembly = Reassembly::default();
            for (source, offset, len, more) in pieces {
                let fragment = Fragment {
                    offset: offset * 8,
                    more,
                    header: &[0x45; 20],
                    data: &data[..len * 8],
                };
                let _ = reassembly.add(key(source % 90), &fragment, 0);
                let (packets, bytes) = reassembly.used();
                prop_assert!(packets <= PACKETS && bytes <= BYTES);
            }
            while reassembly.expired(u64::MAX).is_some() {}
            prop_assert_eq!(reassembly.used(), (0, 0));
        }
    }

    #[test]
    fn rfc5722_overlaps_drop_the_packet() {
        let data = [1; 100];
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.add(key(1), &piece(&data, 0, 48), 0), Ok(None));
        assert_eq!(
            reassembly.add(key(1), &piece(&data, 40, 60), 0),
            Err(Refusal::Bad)
        );
        assert_eq!(reassembly.used(), (0, 0));
        // A last fragment that ends before an earlier one.
        assert_eq!(reassembly.add(key(1), &piece(&data, 48, 48), 0), Ok(None));
        let short = Fragment {
            more: false,
            ..piece(&data, 0, 40)
        };
        assert_eq!(reassembly.add(key(1), &short, 0), Err(Refusal::Bad));
        // RFC 8200, 4.5: not a multiple of eight; beyond the largest packet.
        assert_eq!(
            reassembly.add(key(1), &piece(&data, 0, 47), 0),
            Err(Refusal::Bad)
        );
        let far = Fragment {
            offset: 65_528,
            ..piece(&data, 0, 48)
        };
        assert_eq!(reassembly.add(key(1), &far, 0), Err(Refusal::Bad));
    }

    /// A sender's share is limited by packets if they are small, by bytes if they are large. The
    /// oldest packets are evicted and counted; other senders lose nothing.
    #[test]
    fn one_sender_has_its_part_only() {
        for (size, kept) in [(1480, PACKETS_PER_SOURCE), (16_000, 12)] {
            let data = vec![1; 20_000];
            let mut reassembly = Reassembly::default();
            reassembly.add(key(2), &piece(&data, 0, 48), 0).unwrap();
            let of = |id: u32| Key {
                identification: id,
                ..key(1)
            };
            for id in 0..1000 {
                reassembly.add(of(id), &piece(&data, 0, size), 0).unwrap();
            }
            let used = kept * (size + OVERHEAD);
            assert!(used <= BYTES_PER_SOURCE, "{used}");
            assert_eq!(reassembly.used(), (kept + 1, used + 48 + OVERHEAD));
            assert_eq!(reassembly.evicted as usize, 1000 - kept);
            let rest = piece(&data, size, 20_000);
            let newest = reassembly.add(of(999), &rest, 0).unwrap();
            assert_eq!(newest.map(|whole| whole.len()), Some(20_020));
            let other = reassembly.add(key(2), &piece(&data, 48, 20_000), 0);
            assert_eq!(other.unwrap().map(|whole| whole.len()), Some(20_020));
        }
    }

    /// The total for all senders is limited; beyond it the oldest packet of any sender is evicted.
    #[test]
    fn all_senders_have_a_bound_together() {
        let data = vec![1; 20_000];
        let mut reassembly = Reassembly::default();
        let each = 16_000 + OVERHEAD;
        let most = BYTES / each;
        for n in 0..60 {
            let of = Key {
                identification: n,
                ..key(n % 10)
            };
            reassembly.add(of, &piece(&data, 0, 16_000), 0).unwrap();
            let there = most.min(n as usize + 1);
            assert_eq!(reassembly.used(), (there, there * each));
        }
        assert_eq!(reassembly.evicted as usize, 60 - most);
        let first = reassembly
            .expired(u64::MAX)
            .map(|(key, _)| key.identification);
        assert_eq!(first, Some(60 - most as u32));
    }

    #[test]
    fn rfc8200_section_4_5_time_limit() {
        let data = [1; 100];
        let mut reassembly = Reassembly::default();
        reassembly.add(key(1), &piece(&data, 0, 48), 5).unwrap();
        reassembly.add(key(2), &piece(&data, 48, 48), 6).unwrap();
        let at_ns = reassembly.next_ns().unwrap();
        assert_eq!(reassembly.expired(at_ns - 1), None);
        let (first, packet) = reassembly.expired(at_ns).unwrap();
        assert_eq!((first, packet.map(|p| p.len())), (key(1), Some(68)));
        assert_eq!(reassembly.expired(u64::MAX), Some((key(2), None)));
    }

    /// Another fragment: `len` equal bytes at `offset`.
    fn at(offset: usize, len: usize, more: bool, byte: u8) -> Fragment<'static> {
        let data: &[u8] = match byte {
            0 => &[0; 65_536],
            _ => &[1; 65_536],
        };
        Fragment {
            offset,
            more,
            header: &[0x45; 20],
            data: &data[..len],
        }
    }

    #[test]
    fn the_largest_packet_and_one_byte_more() {
        let mut reassembly = Reassembly::default();
        assert_eq!(
            reassembly.add(key(1), &at(65_512, 3, false, 0), 0),
            Ok(None)
        );
        let beyond = reassembly.add(key(2), &at(65_512, 4, false, 0), 0);
        assert_eq!(beyond, Err(Refusal::Bad));
        assert_eq!(reassembly.used().0, 1);
    }

    /// RFC 5722, 3: equal bytes at another offset are not a duplicate.
    #[test]
    fn an_overlap_with_equal_bytes_is_one() {
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.add(key(1), &at(0, 16, true, 0), 0), Ok(None));
        assert_eq!(reassembly.add(key(1), &at(0, 16, true, 0), 0), Ok(None));
        let other = reassembly.add(key(1), &at(8, 16, true, 0), 0);
        assert_eq!(other, Err(Refusal::Bad));
        assert_eq!(reassembly.add(key(1), &at(0, 16, true, 0), 0), Ok(None));
        let other = reassembly.add(key(1), &at(0, 16, true, 1), 0);
        assert_eq!(other, Err(Refusal::Bad));
    }

    /// Once the end is known, nothing lies beyond it, and there is no other.
    #[test]
    fn the_end_of_a_packet_is_one() {
        for (second, allowed) in [
            (at(24, 8, true, 0), false),
            (at(24, 8, false, 0), false),
            (at(8, 8, false, 0), false),
            (at(8, 8, true, 0), true),
        ] {
            let mut reassembly = Reassembly::default();
            assert_eq!(reassembly.add(key(1), &at(16, 8, false, 0), 0), Ok(None));
            let answer = reassembly.add(key(1), &second, 0);
            assert_eq!(answer.is_ok(), allowed, "{second:?}");
        }
    }

    /// RFC 8200, 4.5: a fragment of an invalid length discards its packet, and no other one.
    #[test]
    fn an_invalid_fragment_discards_only_its_packet() {
        let mut reassembly = Reassembly::default();
        for n in [1, 2, 3] {
            assert_eq!(reassembly.add(key(n), &at(0, 8, true, 0), 0), Ok(None));
        }
        let bad = reassembly.add(key(2), &at(8, 7, true, 0), 0);
        assert_eq!(bad, Err(Refusal::Bad));
        assert_eq!(reassembly.used().0, 2);
        for (n, whole) in [(1, true), (2, false), (3, true)] {
            let answer = reassembly.add(key(n), &at(8, 8, false, 0), 0).unwrap();
            assert_eq!(answer.is_some(), whole, "packet {n}");
        }
    }

    /// A sender may use up its share, and all of them the total, to the last byte.
    #[test]
    fn no_sender_is_evicted_before_memory_is_used_up() {
        let mut reassembly = Reassembly::default();
        let (quarter, of) = (BYTES_PER_SOURCE / 4 - OVERHEAD, |n: u32, identification| {
            Key {
                identification,
                ..key(n)
            }
        });
        for n in 0..3 {
            for part in 0..4 {
                if reassembly.used().1 < BYTES {
                    let len = quarter.min(BYTES - reassembly.used().1 - OVERHEAD);
                    let answer = reassembly.add(of(n, part), &at(0, len, true, 0), 0);
                    assert_eq!((answer, reassembly.evicted), (Ok(None), 0), "{n}, {part}");
                }
            }
        }
        assert_eq!(reassembly.used().1, BYTES);
        // The oldest packet is evicted, of the sender that exceeded its share, or of all.
        let answer = reassembly.add(of(1, 9), &at(0, 8, true, 0), 0);
        assert_eq!((answer, reassembly.evicted), (Ok(None), 1));
        let has = |reassembly: &mut Reassembly, n, part| {
            let packets = reassembly.partial.iter();
            packets.filter(|p| p.key == of(n, part)).count() == 1
        };
        assert!(has(&mut reassembly, 0, 0) && !has(&mut reassembly, 1, 0));
    }
}

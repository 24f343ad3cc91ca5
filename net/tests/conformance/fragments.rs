//! Fragments, of IPv4 (RFC 791, 3.2; RFC 1122, 3.3.2) and IPv6 (RFC 8200, 4.5).

use net::Error;
use net::sim::Random;
use net::sim::packet::{self, Ip};

use crate::support::{FAMILIES, Family, MS, SECOND, Talk, V4, V6, pattern, with_ip_options};

/// A fragment of the bytes after the IP header: `at` is in bytes, a multiple of eight except in
/// invalid ones.
fn fragment(talk: &Talk, family: Family, id: u32, at: usize, more: bool, part: &[u8]) -> Vec<u8> {
    let (from, to) = (family.host(0).ip(), family.stack(0).ip());
    if family.host.contains(':') {
        let offset = ((at as u16 & !7) | u16::from(more)).to_be_bytes();
        let header = [&[17, 0][..], &offset, &id.to_be_bytes(), part].concat();
        return packet::ip(talk.host.macs(), from, to, 44, 64, &header);
    }
    let mut frame = packet::ip(talk.host.macs(), from, to, 17, 64, part);
    let offset = ((at as u16 / 8) | if more { 0x2000 } else { 0 }).to_be_bytes();
    frame[18..20].copy_from_slice(&(id as u16).to_be_bytes());
    frame[20..22].copy_from_slice(&offset);
    frame[24..26].fill(0);
    let sum = !packet::sum(0, &frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The UDP datagram in the fragments, from port 5000 to 6000.
fn datagram(talk: &Talk, family: Family, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (family.host(5000), family.stack(6000));
    let frame = packet::udp(talk.host.macs(), from, to, payload);
    Ip::parse(&frame).expect("a packet").payload
}

fn receiver(family: Family) -> (Talk, net::Handle) {
    let mut talk = Talk::new(family);
    let at = family.stack(6000);
    let socket = talk.stack().udp_bind(at).expect("a free port");
    (talk, socket)
}

fn received(talk: &mut Talk, socket: net::Handle) -> Option<Vec<u8>> {
    talk.world.run_now();
    let mut buffer = vec![0; 70_000];
    match talk.stack().udp_recv_from(socket, &mut buffer) {
        Ok((len, _)) => Some(buffer[..len].to_vec()),
        Err(Error::WouldBlock) => None,
        Err(error) => panic!("{error}"),
    }
}

/// In any order, and with a duplicate.
#[test]
fn fragments_are_put_together_in_any_order() {
    let mut random = Random::new(791);
    for family in FAMILIES {
        let (mut talk, socket) = receiver(family);
        for round in 0..50 {
            let data = pattern(2000 + random.below(6000) as usize);
            let bytes = datagram(&talk, family, &data);
            let size = 8 * (1 + random.below(170) as usize).max(40);
            let mut pieces: Vec<_> = (0..bytes.len()).step_by(size).collect();
            pieces.push(pieces[random.below(pieces.len() as u64) as usize]);
            for n in (1..pieces.len()).rev() {
                pieces.swap(n, random.below(n as u64 + 1) as usize);
            }
            for at in pieces {
                let end = bytes.len().min(at + size);
                let more = end < bytes.len();
                let frame = fragment(&talk, family, round, at, more, &bytes[at..end]);
                talk.host.inject(&frame);
            }
            assert_eq!(
                received(&mut talk, socket).as_ref(),
                Some(&data),
                "{family:?}"
            );
        }
    }
}

/// RFC 5722 (MUST for IPv6), RFC 1858 and 3128: overlapping fragments yield nothing, neither the
/// first nor the second version.
#[test]
fn overlapping_fragments_are_dropped() {
    for family in FAMILIES {
        let (mut talk, socket) = receiver(family);
        let (good, bad) = (
            datagram(&talk, family, &[1; 1000]),
            datagram(&talk, family, &[2; 1000]),
        );
        let frames = [
            fragment(&talk, family, 7, 0, true, &good[..400]),
            fragment(&talk, family, 7, 200, true, &bad[200..600]),
            fragment(&talk, family, 7, 600, false, &good[600..]),
            fragment(&talk, family, 7, 400, true, &good[400..600]),
        ];
        for frame in &frames {
            talk.host.inject(frame);
        }
        assert_eq!(received(&mut talk, socket), None, "{family:?}");
        // The next one passes.
        let frames = [
            fragment(&talk, family, 8, 0, true, &good[..400]),
            fragment(&talk, family, 8, 400, false, &good[400..]),
        ];
        for frame in &frames {
            talk.host.inject(frame);
        }
        assert_eq!(received(&mut talk, socket), Some(vec![1; 1000]));
    }
}

/// Beyond the largest packet, lengths that are no multiple of eight, contradicting ends, empty
/// ones: dropped, and nothing remains.
#[test]
fn impossible_fragments_are_dropped() {
    for family in FAMILIES {
        let (mut talk, socket) = receiver(family);
        let bytes = datagram(&talk, family, &[1; 1000]);
        let cases = [
            fragment(&talk, family, 1, 65_528, false, &[0; 1400]),
            fragment(&talk, family, 2, 65_528, true, &[0; 1400]),
            fragment(&talk, family, 3, 0, true, &bytes[..401]),
            fragment(&talk, family, 4, 0, true, &[]),
            fragment(&talk, family, 5, 8, false, &[]),
            fragment(&talk, family, 6, 800, false, &bytes[800..]),
            fragment(&talk, family, 6, 400, false, &bytes[400..800]),
            fragment(&talk, family, 6, 0, true, &bytes[..400]),
        ];
        for frame in &cases {
            talk.host.inject(frame);
            assert_eq!(received(&mut talk, socket), None);
        }
        let whole = [
            fragment(&talk, family, 9, 400, false, &bytes[400..]),
            fragment(&talk, family, 9, 0, true, &bytes[..400]),
        ];
        for frame in &whole {
            talk.host.inject(frame);
        }
        assert_eq!(received(&mut talk, socket), Some(vec![1; 1000]));
    }
}

/// RFC 1122, 3.3.2 and RFC 8200, 4.5: incomplete packets are discarded after 60 s; later fragments
/// don't complete them.
#[test]
fn incomplete_packets_are_forgotten() {
    for family in FAMILIES {
        let (mut talk, socket) = receiver(family);
        let bytes = datagram(&talk, family, &[1; 1000]);
        let first = fragment(&talk, family, 1, 0, true, &bytes[..400]);
        talk.host.inject(&first);
        talk.world.advance(121 * SECOND);
        let rest = fragment(&talk, family, 1, 400, false, &bytes[400..]);
        talk.host.inject(&rest);
        assert_eq!(received(&mut talk, socket), None);
    }
}

/// A flood of first fragments uses bounded memory and doesn't stop others for long (RFC 4963, RFC
/// 8900): the test `fuzz` shows the memory.
#[test]
fn a_flood_of_fragments_does_not_stop_whole_packets() {
    for family in FAMILIES {
        let (mut talk, socket) = receiver(family);
        let bytes = datagram(&talk, family, &[1; 1400]);
        for id in 0..5000 {
            let frame = fragment(&talk, family, id, 0, true, &bytes[..1200]);
            talk.host.inject(&frame);
            if id % 100 == 0 {
                talk.world.run_now();
            }
        }
        let whole = packet::udp(
            talk.host.macs(),
            family.host(5000),
            family.stack(6000),
            b"whole",
        );
        talk.host.inject(&whole);
        assert_eq!(received(&mut talk, socket), Some(b"whole".to_vec()));
        // Fragments work again, at the latest when the old ones have expired.
        talk.world.advance(130 * SECOND);
        for (at, end) in [(0, 800), (800, bytes.len())] {
            let frame = fragment(&talk, family, 77_777, at, at == 0, &bytes[at..end]);
            talk.host.inject(&frame);
        }
        assert_eq!(received(&mut talk, socket), Some(vec![1; 1400]));
    }
}

/// RFC 6946, 4: an atomic fragment is a whole packet, and doesn't mix with others of its
/// identification.
#[test]
fn atomic_fragments_stand_alone() {
    let (mut talk, socket) = receiver(V6);
    let bytes = datagram(&talk, V6, &[3; 600]);
    let open = fragment(&talk, V6, 5, 0, true, &bytes[..400]);
    talk.host.inject(&open);
    let atomic = fragment(&talk, V6, 5, 0, false, &datagram(&talk, V6, b"atomic"));
    talk.host.inject(&atomic);
    assert_eq!(received(&mut talk, socket), Some(b"atomic".to_vec()));
    let rest = fragment(&talk, V6, 5, 400, false, &bytes[400..]);
    talk.host.inject(&rest);
    assert_eq!(received(&mut talk, socket), Some(vec![3; 600]));
}

/// RFC 791, 3.2; RFC 8200, 4.5; RFC 1122, 3.3.3: a datagram larger than the MTU is sent in
/// fragments that fit, in both families, with its own identification.
#[test]
fn large_datagrams_leave_in_fragments() {
    for family in FAMILIES {
        let (mut talk, socket) = receiver(family);
        let to = family.host(5000);
        let mut ids = Vec::new();
        for len in [1473, 4000, 9000] {
            let data = pattern(len);
            talk.stack().udp_send_to(socket, &data, to).expect("room");
            let frames = talk.host.take(&mut talk.world);
            let mut whole = vec![0; 8 + len];
            let mut covered = 0;
            let mut id = Vec::new();
            for frame in &frames {
                assert!(frame.len() <= 1514);
                let packet = Ip::parse(frame).expect("a packet");
                assert!(
                    packet.fragment,
                    "{} bytes in one piece",
                    packet.payload.len()
                );
                let (at, number) = match packet.from.is_ipv4() {
                    true => (
                        usize::from(u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff) * 8,
                        frame[18..20].to_vec(),
                    ),
                    false => (
                        usize::from(u16::from_be_bytes([frame[56], frame[57]]) & !7),
                        frame[58..62].to_vec(),
                    ),
                };
                whole[at..at + packet.payload.len()].copy_from_slice(&packet.payload);
                covered += packet.payload.len();
                id.push(number);
            }
            assert_eq!(covered, 8 + len, "{family:?}");
            assert_eq!(whole[8..], data);
            assert!(id.windows(2).all(|pair| pair[0] == pair[1]));
            ids.push(id[0].clone());
        }
        ids.dedup();
        assert_eq!(ids.len(), 3, "each packet has a number of its own");
    }
}

/// RFC 791, 3.2 and RFC 4443, 4.2: large echo requests arrive in fragments, and the replies are
/// fragmented.
#[test]
fn a_large_echo_comes_back() {
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        let (from, to) = (family.host(0).ip(), family.stack(0).ip());
        let kind = if from.is_ipv4() { 8 } else { 128 };
        let data = pattern(4000);
        let whole = packet::icmp(talk.host.macs(), from, to, (kind, 0), 9, &data);
        let bytes = Ip::parse(&whole).expect("a packet").payload;
        for at in (0..bytes.len()).step_by(1400) {
            let end = bytes.len().min(at + 1400);
            let mut frame = fragment(&talk, family, 3, at, end < bytes.len(), &bytes[at..end]);
            if from.is_ipv4() {
                frame[23] = 1;
                frame[24..26].fill(0);
                let sum = !packet::sum(0, &frame[14..34]);
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            } else {
                frame[54] = 58;
            }
            talk.host.inject(&frame);
        }
        talk.world.advance(MS);
        let frames = talk.host.take(&mut talk.world);
        let sum: usize = frames
            .iter()
            .filter_map(|frame| Ip::parse(frame))
            .filter(|ip| ip.fragment && ip.from == to)
            .map(|ip| ip.payload.len())
            .sum();
        assert_eq!(sum, 4008, "{family:?}: {} frames", frames.len());
    }
}

/// RFC 9293, 3.1 and RFC 791: a fragmented segment is a segment.
#[test]
fn segments_in_fragments_are_taken() {
    for family in [V4, V6] {
        let mut talk = Talk::accepted(family);
        let segment = talk.segment().payload(&pattern(1000));
        let bytes = segment.bytes();
        for (at, end) in [(0, 520), (520, bytes.len())] {
            let mut frame = fragment(&talk, family, 3, at, at == 0, &bytes[at..end]);
            if family.host == V4.host {
                frame[23] = 6;
                frame[24..26].fill(0);
                let sum = !packet::sum(0, &frame[14..34]);
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            } else {
                frame[54] = 6;
            }
            talk.host.inject(&frame);
        }
        talk.world.run_now();
        assert_eq!(talk.read().0, pattern(1000), "{family:?}");
    }
}

/// RFC 791, 3.1: options that are copied into each fragment, or are only in the first one, are also
/// skipped in the reassembled packet.
#[test]
fn fragments_with_options_are_put_together() {
    for in_all in [true, false] {
        let (mut talk, socket) = receiver(V4);
        let data = pattern(3000);
        let bytes = datagram(&talk, V4, &data);
        for (at, end) in [(0, 1200), (1200, 2400), (2400, bytes.len())] {
            let more = end < bytes.len();
            let mut frame = fragment(&talk, V4, 5, at, more, &bytes[at..end]);
            if in_all || at == 0 {
                frame = with_ip_options(frame);
            }
            talk.host.inject(&frame);
        }
        let whole = received(&mut talk, socket);
        assert!(whole == Some(data), "in all: {in_all}");
    }
}

/// RFC 7112, 5 and RFC 8200, 4.5: the first fragment has the whole transport header; otherwise an
/// error is sent, as for one whose length isn't a multiple of eight.
#[test]
fn the_first_fragment_of_ipv6_has_all_headers() {
    for (next, at, more, len, told) in [
        (6, 0, true, 16, Some([4, 3, 0])),
        (6, 0, true, 24, None),
        (6, 8, true, 16, None),
        (6, 0, false, 16, None),
        (17, 0, true, 0, Some([4, 3, 0])),
        (17, 0, true, 8, None),
        (58, 0, true, 0, Some([4, 3, 0])),
        (58, 0, true, 8, None),
        (253, 0, true, 0, None),
        (17, 0, true, 12, Some([4, 0, 4])),
    ] {
        let mut talk = Talk::new(V6);
        let mut frame = fragment(&talk, V6, 7, at, more, &vec![0; len]);
        frame[54] = next;
        talk.host.send_frame(&mut talk.world, &frame);
        let frames = talk.host.take(&mut talk.world);
        let seen = frames.iter().filter_map(|frame| Ip::parse(frame));
        let kinds: Vec<_> = seen
            .map(|ip| [ip.payload[0], ip.payload[1], ip.payload[7]])
            .collect();
        let wanted: Vec<_> = told.into_iter().collect();
        assert_eq!(kinds, wanted, "{next} {at} {more} {len}");
    }
}

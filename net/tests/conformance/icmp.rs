//! ICMP: errors about connections, path MTU, echo, and locally sent errors.

use std::net::IpAddr;

use net::sim::packet::{self, Ip, Tcp};
use net::sim::{Impairment, Offloads, World};
use net::{Config, Error};

use crate::support::{FAMILIES, Family, MS, SECOND, Talk, V4, V6, address, pattern, ready};

/// Kind and code of errors, for IPv4 and IPv6.
const PORT: [(u8, u8); 2] = [(3, 3), (1, 4)];
const HOST: [(u8, u8); 2] = [(3, 1), (1, 3)];
const PROTOCOL: [(u8, u8); 2] = [(3, 2), (4, 1)];

fn of(family: Family, kinds: [(u8, u8); 2]) -> (u8, u8) {
    kinds[usize::from(family.host.contains(':'))]
}

/// An ICMP error about a segment that the stack sent, from a router.
fn error(talk: &mut Talk, about: &Tcp, kind: (u8, u8), rest: u32) {
    let frame = about.frame(talk.host.macs());
    let quoted = match about.from.is_ipv4() {
        true => &frame[14..14 + 28],
        false => &frame[14..],
    };
    let (router, to) = (talk.own.ip(), talk.other.ip());
    let frame = packet::icmp(talk.host.macs(), router, to, kind, rest, quoted);
    talk.host.send_frame(&mut talk.world, &frame);
}

/// RFC 9293, 3.9.2.2 (MUST-54, SHLD-25) and RFC 1122, 4.2.3.9: a hard error ends an attempt to
/// connect.
#[test]
fn a_hard_error_ends_a_connect() {
    for family in FAMILIES {
        for kinds in [PORT, PROTOCOL] {
            let (mut talk, syn) = Talk::connecting(family);
            error(&mut talk, &syn, of(family, kinds), 0);
            let handle = talk.handle();
            let result = talk.stack().tcp_connect_result(handle);
            assert!(
                matches!(result, Err(Error::ConnectionRefused | Error::Unreachable)),
                "{result:?}"
            );
        }
    }
}

/// RFC 9293, 3.9.2.2 (MUST-56) and RFC 5927, 5.2: no ICMP error ends an established connection.
#[test]
fn no_error_ends_an_established_connection() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.stack().tcp_write(handle, &[1; 100]).expect("room");
        let sent = talk.expect(SECOND, |segment| !segment.payload.is_empty());
        for kinds in [
            PORT,
            PROTOCOL,
            HOST,
            [(4, 0), (3, 0)],
            [(11, 0), (3, 1)],
            [(12, 0), (4, 0)],
        ] {
            error(&mut talk, &sent, of(family, kinds), 0);
            assert_eq!(talk.error(), None, "{kinds:?}");
        }
        talk.acknowledge();
        talk.data(b"alive");
        assert_eq!(talk.read().0, b"alive");
    }
}

/// RFC 5927, 4.1: an error that quotes data that isn't in flight is forged.
#[test]
fn an_error_about_what_was_never_sent_is_ignored() {
    for family in FAMILIES {
        let (mut talk, syn) = Talk::connecting(family);
        let mut forged = syn.clone().seq(syn.seq.wrapping_add(100_000));
        error(&mut talk, &forged, of(family, PORT), 0);
        forged = syn.clone();
        forged.from.set_port(1);
        error(&mut talk, &forged, of(family, PORT), 0);
        let handle = talk.handle();
        assert_eq!(
            talk.stack().tcp_connect_result(handle),
            Err(Error::WouldBlock)
        );
    }
}

fn too_big(family: Family, mtu: u32) -> ((u8, u8), u32) {
    (of(family, [(3, 4), (2, 0)]), mtu)
}

/// A connection whose first segment of 1440 bytes didn't fit a path of `mtu` bytes, as a router
/// reports; returns the segment's number, which the host expects.
pub fn packet_too_big(family: Family, mtu: u32) -> (Talk, u32) {
    let mut talk = Talk::accepted(family);
    talk.listen(300 * MS);
    let begin = talk.ack;
    let handle = talk.handle();
    talk.stack()
        .tcp_write(handle, &pattern(6000))
        .expect("room");
    let sent = talk.listen(MS);
    assert_eq!(sent[0].payload.len(), 1440);
    talk.ack = begin;
    let (kind, rest) = too_big(family, mtu);
    error(&mut talk, &sent[0], kind, rest);
    (talk, begin)
}

/// RFC 1191, 3; RFC 8201, 4: smaller segments after Packet Too Big, at once.
#[test]
fn packet_too_big_makes_segments_smaller() {
    for (family, headers) in [(V4, 40), (V6, 60)] {
        let (mut talk, begin) = packet_too_big(family, 1400);
        let again = talk.expect(300 * MS, |segment| segment.seq == begin);
        assert_eq!(again.payload.len(), 1400 - headers);
        for segment in talk.listen(SECOND) {
            assert!(segment.payload.len() <= 1400 - headers);
        }
    }
}

/// RFC 1191, 3; RFC 8201, 4; RFC 5927, 7: a forged or invalid one has no effect, or at least no
/// harmful one.
#[test]
fn forged_packet_too_big_does_not_hurt() {
    for (family, least) in [(V4, 500), (V6, 1200)] {
        let mut talk = Talk::accepted(family);
        talk.listen(300 * MS);
        let handle = talk.handle();
        talk.stack()
            .tcp_write(handle, &pattern(3000))
            .expect("room");
        let sent = talk.listen(MS);
        talk.acknowledge();
        talk.listen(100 * MS);
        // Already acknowledged, and not yet sent.
        for seq in [sent[0].seq, sent[0].seq.wrapping_add(1_000_000)] {
            let forged = sent[0].clone().seq(seq);
            let (kind, rest) = too_big(family, 1300);
            error(&mut talk, &forged, kind, rest);
        }
        talk.stack()
            .tcp_write(handle, &pattern(3000))
            .expect("room");
        let sent = talk.listen(MS);
        assert_eq!(sent[0].payload.len(), 1440, "a forged one was believed");
        for mtu in [0, 8, 68, 65_535] {
            let (kind, rest) = too_big(family, mtu);
            error(&mut talk, &sent[0], kind, rest);
        }
        talk.ack = sent[0].seq;
        let mut next = sent[0].seq;
        let end = sent[sent.len() - 1].end();
        while next != end {
            let segment = talk.expect(20 * SECOND, |segment| {
                segment.seq == next && !segment.payload.is_empty()
            });
            assert!(
                segment.payload.len() >= least - 60 || segment.end() == end,
                "{} bytes",
                segment.payload.len()
            );
            next = segment.end();
            talk.ack = next;
            talk.acknowledge();
        }
    }
}

/// RFC 4821 and RFC 8899: a path that silently drops large packets (a black hole) is detected, in
/// both families, with offloads and without.
#[test]
fn a_black_hole_is_found_out() {
    for offloads in [Offloads::default(), Offloads::ALL] {
        for server in ["10.0.0.2:80", "[fd00::2]:80"] {
            let mut world = World::pair(
                Config::default(),
                Impairment::delay(10 * MS),
                [offloads; 2],
                4821,
            );
            world.advance(5 * SECOND);
            for end in 0..2 {
                world.cables[0].set_filter(end, |frame| frame.len() <= 14 + 1300);
            }
            let server = address(server);
            let listener = world.stacks[1].tcp_listen(server, 8).expect("free");
            let client = world.stacks[0].tcp_connect(server, None).expect("a route");
            let data = pattern(200_000);
            let (mut accepted, mut sent, mut got) = (None, 0, Vec::<u8>::new());
            world.run(110 * SECOND, |world| {
                accepted = accepted.or(ready(world.stacks[1].tcp_accept(listener)));
                if ready(world.stacks[0].tcp_connect_result(client)).is_some()
                    && sent < data.len()
                    && let Some(len) = ready(world.stacks[0].tcp_write(client, &data[sent..]))
                {
                    sent += len;
                }
                let mut buffer = [0; 8192];
                if let Some(accepted) = accepted
                    && let Some(len) = ready(world.stacks[1].tcp_read(accepted, &mut buffer))
                {
                    got.extend(&buffer[..len]);
                }
                got.len() == data.len()
            });
            assert!(got == data);
        }
    }
}

fn ping(talk: &mut Talk, from: IpAddr, to: IpAddr, payload: &[u8]) -> Vec<Ip> {
    let kind = if from.is_ipv4() { 8 } else { 128 };
    let frame = packet::icmp(talk.host.macs(), from, to, (kind, 0), 0x1234_0001, payload);
    talk.host.send_frame(&mut talk.world, &frame);
    let frames = talk.host.take(&mut talk.world);
    let answers = frames.iter().filter_map(|frame| Ip::parse(frame));
    answers.filter(|ip| matches!(ip.protocol, 1 | 58)).collect()
}

/// RFC 1122, 3.2.2.6 and RFC 4443, 4.2: echo, with the same number and data.
#[test]
fn echo_is_answered() {
    for (family, reply) in [(V4, 0), (V6, 129)] {
        let mut talk = Talk::new(family);
        for len in [0, 1, 56, 1400] {
            let data = pattern(len);
            let (from, to) = (family.host(0).ip(), family.stack(0).ip());
            let answers = ping(&mut talk, from, to, &data);
            assert_eq!(answers.len(), 1, "{len} bytes: {answers:?}");
            assert_eq!((answers[0].from, answers[0].to), (to, from));
            assert_eq!(answers[0].payload[..2], [reply, 0]);
            assert_eq!(answers[0].payload[4..8], [0x12, 0x34, 0, 1]);
            assert_eq!(answers[0].payload[8..], data);
        }
    }
}

/// RFC 1122, 3.2.2.6 and RFC 9099: echo requests to a broadcast, or from an unspecified address,
/// get no reply.
#[test]
fn echoes_that_amplify_are_not_answered() {
    let mut talk = Talk::new(V4);
    for (from, to) in [
        ("10.0.0.9", "10.0.0.255"),
        ("10.0.0.9", "255.255.255.255"),
        ("10.0.0.255", "10.0.0.1"),
        ("224.0.0.5", "10.0.0.1"),
        ("0.0.0.0", "10.0.0.1"),
        ("ff02::9", "fd00::1"),
        ("::", "fd00::1"),
    ] {
        let addresses: [IpAddr; 2] = [from, to].map(|text| text.parse().expect("an address"));
        let answers = ping(&mut talk, addresses[0], addresses[1], b"x");
        assert!(answers.is_empty(), "{from} to {to}: {answers:?}");
    }
}

/// RFC 1122, 4.1.3.1 and 3.2.2; RFC 4443, 3.1 and 2.4: a datagram to a port without a socket gets
/// an error that quotes it.
#[test]
fn an_unreachable_port_is_reported() {
    for (family, kind) in [(V4, [3, 3]), (V6, [1, 4])] {
        let mut talk = Talk::new(family);
        let datagram = packet::udp(
            talk.host.macs(),
            family.host(5000),
            family.stack(9),
            b"anyone there?",
        );
        talk.host.send_frame(&mut talk.world, &datagram);
        let error = talk.host.expect(&mut talk.world, 100 * MS, |frame| {
            Ip::parse(frame).filter(|ip| ip.payload.starts_with(&kind))
        });
        let quoted = &error.payload[8..];
        assert!(quoted.len() >= 28);
        assert_eq!(quoted, &datagram[14..14 + quoted.len()]);
    }
}

/// RFC 1122, 3.2.2 and RFC 4443, 2.4 (e): no error about an error, nor about a packet to a
/// multicast or broadcast address or from an unspecified one.
#[test]
fn no_errors_about_errors_or_multicast() {
    let mut talk = Talk::new(V4);
    let silent = |talk: &mut Talk, frame: &[u8], what: &str| {
        talk.host.send_frame(&mut talk.world, frame);
        let frames = talk.host.take(&mut talk.world);
        let errors: Vec<_> = frames.iter().filter_map(|frame| Ip::parse(frame)).collect();
        assert!(errors.is_empty(), "{what}: {errors:?}");
    };
    for family in FAMILIES {
        let (host, stack) = (family.host(5000), family.stack(9));
        let datagram = packet::udp(talk.host.macs(), host, stack, b"x");
        let kind = of(family, PORT);
        let inner = packet::icmp(
            talk.host.macs(),
            stack.ip(),
            host.ip(),
            kind,
            0,
            &datagram[14..],
        );
        let error = packet::icmp(
            talk.host.macs(),
            host.ip(),
            stack.ip(),
            kind,
            0,
            &inner[14..],
        );
        silent(&mut talk, &error, "an error about an error");
    }
    let mac = talk.host.mac;
    for (from, to, to_mac) in [
        ("10.0.0.9:5000", "10.0.0.255:9", [0xff; 6]),
        ("10.0.0.9:5000", "224.0.0.1:9", [1, 0, 0x5e, 0, 0, 1]),
        ("[fd00::9]:5000", "[ff02::1]:9", [0x33, 0x33, 0, 0, 0, 1]),
        ("0.0.0.0:5000", "10.0.0.1:9", [2, 0, 0, 0, 0, 1]),
        ("[::]:5000", "[fd00::1]:9", [2, 0, 0, 0, 0, 1]),
        ("10.0.0.9:5000", "10.0.0.1:9", [0xff; 6]),
    ] {
        let datagram = packet::udp((mac, to_mac), address(from), address(to), b"x");
        silent(&mut talk, &datagram, to);
    }
}

/// RFC 1812, 4.3.2.8 and RFC 4443, 2.4 (f): errors are rate-limited.
#[test]
fn errors_are_limited() {
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        let datagram = packet::udp(talk.host.macs(), family.host(5000), family.stack(9), b"x");
        for _ in 0..10_000 {
            talk.host.inject(&datagram);
        }
        let frames = talk.host.take(&mut talk.world);
        assert!((1..=2000).contains(&frames.len()), "{}", frames.len());
        talk.world.advance(10 * SECOND);
        talk.host.send_frame(&mut talk.world, &datagram);
        assert_eq!(talk.host.take(&mut talk.world).len(), 1);
    }
}

/// RFC 1122, 4.1.3.3: errors reach the UDP socket that caused them, once.
#[test]
fn errors_reach_the_udp_socket() {
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        let at = family.stack(6000);
        let socket = talk.stack().udp_bind(at).expect("a free port");
        let to = family.host(7000);
        talk.stack()
            .udp_send_to(socket, b"hello", to)
            .expect("room");
        let sent = talk.host.expect(&mut talk.world, SECOND, |frame| {
            Ip::parse(frame)
                .filter(|ip| ip.protocol == 17)
                .map(|_| frame.to_vec())
        });
        let quoted = &sent[14..];
        let frame = packet::icmp(
            talk.host.macs(),
            to.ip(),
            at.ip(),
            of(family, PORT),
            0,
            quoted,
        );
        let mut buffer = [0; 64];
        // Only the socket's own peer may cause an error.
        talk.host.send_frame(&mut talk.world, &frame);
        let open = talk.stack().udp_recv_from(socket, &mut buffer);
        assert_eq!(open.map(|_| ()), Err(Error::WouldBlock));
        talk.stack().udp_connect(socket, Some(to)).expect("a route");
        talk.host.send_frame(&mut talk.world, &frame);
        let told = talk.stack().udp_recv_from(socket, &mut buffer);
        assert_eq!(told.map(|_| ()), Err(Error::ConnectionRefused));
        let after = talk.stack().udp_recv_from(socket, &mut buffer);
        assert_eq!(after.map(|_| ()), Err(Error::WouldBlock));
    }
}

/// RFC 1122, 3.2.2.1 and RFC 8200, 4: an unknown protocol is reported.
#[test]
fn an_unknown_protocol_is_reported() {
    for (family, kind) in [(V4, [3, 2]), (V6, [4, 1])] {
        let mut talk = Talk::new(family);
        let frame = packet::ip(
            talk.host.macs(),
            family.host(0).ip(),
            family.stack(0).ip(),
            253,
            64,
            &[1; 40],
        );
        talk.host.send_frame(&mut talk.world, &frame);
        talk.host.expect(&mut talk.world, 100 * MS, |frame| {
            Ip::parse(frame).filter(|ip| ip.payload.starts_with(&kind))
        });
    }
}

/// RFC 8200, 4.2 and 4.4: unknown options are treated by their upper bits, an unknown routing
/// header with segments left is rejected, and headers without an end are dropped.
#[test]
fn extension_headers_are_walked() {
    let mut talk = Talk::new(V6);
    let (from, to) = (V6.host(0).ip(), V6.stack(0).ip());
    let inner = packet::icmp(talk.host.macs(), from, to, (128, 0), 7, b"ping");
    let echo = inner[54..].to_vec();
    let with = |first: u8, header: &[u8]| {
        let payload = [header, &echo].concat();
        packet::ip(
            ([2, 0, 0, 0, 9, 9], World::mac(0)),
            from,
            to,
            first,
            64,
            &payload,
        )
    };
    // Next header, length, options.
    let cases = [
        (0u8, [58u8, 0, 1, 4, 0, 0, 0, 0], Some([129u8, 0])),
        (60u8, [58, 0, 1, 4, 0, 0, 0, 0], Some([129, 0])),
        (0u8, [58, 0, 0x3f, 4, 0, 0, 0, 0], Some([129, 0])),
        (0u8, [58, 0, 0x7f, 4, 0, 0, 0, 0], None),
        (0u8, [58, 0, 0xbf, 4, 0, 0, 0, 0], Some([4, 2])),
        (60u8, [58, 0, 0xff, 4, 0, 0, 0, 0], Some([4, 2])),
        (43u8, [58, 0, 200, 1, 0, 0, 0, 0], Some([4, 0])),
        (43u8, [58, 0, 200, 0, 0, 0, 0, 0], Some([129, 0])),
    ];
    for (first, header, expected) in cases {
        talk.world.advance(2 * SECOND);
        talk.host.take(&mut talk.world);
        talk.host.send_frame(&mut talk.world, &with(first, &header));
        let frames = talk.host.take(&mut talk.world);
        let found: Vec<_> = frames
            .iter()
            .filter_map(|frame| Ip::parse(frame))
            .map(|ip| [ip.payload[0], ip.payload[1]])
            .collect();
        assert_eq!(
            found,
            expected.into_iter().collect::<Vec<_>>(),
            "{header:02x?}"
        );
    }
    // Eight of them are accepted, nine aren't.
    for (count, answers) in [(8usize, 1), (9, 0)] {
        talk.world.advance(2 * SECOND);
        talk.host.take(&mut talk.world);
        let mut headers = [60, 0, 1, 4, 0, 0, 0, 0].repeat(count);
        headers[8 * (count - 1)] = 58;
        talk.host.send_frame(&mut talk.world, &with(60, &headers));
        let frames = talk.host.take(&mut talk.world);
        let found = frames.iter().filter_map(|frame| Ip::parse(frame));
        assert_eq!(found.count(), answers, "{count} extension headers");
    }
    for broken in [&[0u8, 255, 1, 4][..], &[0, 0], &[44, 0, 0, 1]] {
        let frame = packet::ip(talk.host.macs(), from, to, 0, 64, broken);
        talk.host.send_frame(&mut talk.world, &frame);
    }
}

/// RFC 1122, 3.2.1.7 and 3.2.2.5, RFC 5927: errors that aren't about us cause no failure, truncated
/// at each place.
#[test]
fn cut_off_errors_are_survived() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.stack().tcp_write(handle, &[1; 100]).expect("room");
        let sent = talk.expect(SECOND, |segment| !segment.payload.is_empty());
        let whole = sent.frame(talk.host.macs());
        let (own, other) = (talk.own.ip(), talk.other.ip());
        for kind in 0..=255 {
            for len in (0..whole.len() - 14).step_by(if kind < 20 { 1 } else { 16 }) {
                let quoted = &whole[14..14 + len];
                let frame = packet::icmp(talk.host.macs(), own, other, (kind, 4), 1400, quoted);
                talk.host.inject(&frame);
            }
            talk.host.take(&mut talk.world);
        }
        assert_eq!(talk.error(), None);
        talk.acknowledge();
        talk.data(b"alive");
        assert_eq!(talk.read().0, b"alive");
    }
}

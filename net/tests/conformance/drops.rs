//! Received packets that are dropped, counted by reason.

use std::net::IpAddr;

use net::sim::World;
use net::sim::packet::{self, Ip};

use crate::support::{FAMILIES, SECOND, Talk, V4, V6, address, ready};

const OTHER: [u8; 6] = [2, 0, 0, 0, 7, 7];
const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 99];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The reasons for which a frame was dropped; checks that it gets no reply.
fn reasons(talk: &mut Talk, frame: &[u8]) -> Vec<&'static str> {
    let counts = |world: &World| world.stacks[0].drops().collect::<Vec<_>>();
    let before = counts(&talk.world);
    talk.host.send_frame(&mut talk.world, frame);
    assert!(talk.host.take(&mut talk.world).is_empty());
    let after = counts(&talk.world);
    let pairs = before.iter().zip(&after);
    let more = pairs.filter(|(old, new)| old.1 != new.1);
    more.map(|(old, _)| old.0).collect()
}

/// Frames for others and from unspecified addresses, EtherTypes without a receiver.
#[test]
fn frames_that_are_not_for_us() {
    let mut talk = Talk::new(V4);
    let (from, to) = (V4.host(5000), V4.stack(9));
    let mac = talk.host.mac;
    for (macs, reason) in [
        ((mac, OTHER), "drop.not-for-us"),
        ((GROUP, World::mac(0)), "drop.martian"),
        ((World::mac(0), [0xff; 6]), "drop.martian"),
    ] {
        let frame = packet::udp(macs, from, to, b"x");
        assert_eq!(reasons(&mut talk, &frame), [reason], "{macs:?}");
    }
    let frame = packet::ethernet(mac, World::mac(0), 0x88b5, &[0; 46]);
    assert_eq!(reasons(&mut talk, &frame), ["drop.unknown-ethertype"]);
}

/// RFC 1122, 3.2.1.2: a damaged or short header belongs to no packet.
#[test]
fn headers_that_are_damaged() {
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        let status = |talk: &Talk| {
            let stack = &talk.world.stacks[0];
            let status = stack.interface_status(stack.interfaces()[0]);
            let counters = status.expect("an interface").counters;
            (counters.rx_bad_checksum, counters.rx_malformed)
        };
        let sound = packet::udp(talk.host.macs(), family.host(5000), family.stack(9), b"x");
        let mut damaged = sound.clone();
        *damaged.last_mut().expect("a byte") ^= 1;
        let before = status(&talk);
        assert_eq!(reasons(&mut talk, &damaged), ["drop.bad-checksum"]);
        assert_eq!(status(&talk), (before.0 + 1, before.1));
        let short = &sound[..sound.len() - 1];
        assert_eq!(reasons(&mut talk, short), ["drop.malformed"]);
        assert_eq!(status(&talk), (before.0 + 1, before.1 + 1));
        if sound[12..14] == [8, 0] {
            let mut damaged = sound.clone();
            damaged[22] ^= 1;
            assert_eq!(reasons(&mut talk, &damaged), ["drop.bad-checksum"]);
        }
    }
}

/// RFC 768 and RFC 8200, 8.1: ports other than 0, a length within the packet, and in IPv6 always a
/// checksum.
#[test]
fn datagrams_that_make_no_sense() {
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        let (host, stack) = (family.host(5000), family.stack(6000));
        let socket = talk.stack().udp_bind(stack).expect("a free port");
        let mut malformed = vec![
            packet::udp(talk.host.macs(), family.host(0), stack, b"x"),
            packet::udp(talk.host.macs(), host, family.stack(0), b"x"),
        ];
        let sound = packet::udp(talk.host.macs(), host, stack, b"x");
        let at = sound.len() - 9;
        for len in [7u8, 10] {
            let mut frame = sound.clone();
            frame[at + 5] = len;
            malformed.push(frame);
        }
        let mut unchecked = sound.clone();
        unchecked[at + 6..at + 8].fill(0);
        let received = |talk: &mut Talk| {
            let read = talk.stack().udp_recv_from(socket, &mut [0; 9]);
            ready(read).is_some()
        };
        if host.is_ipv6() {
            malformed.push(unchecked);
        } else {
            talk.host.send_frame(&mut talk.world, &unchecked);
            assert!(received(&mut talk), "none in IPv4 is none");
        }
        for (n, frame) in malformed.iter().enumerate() {
            assert_eq!(reasons(&mut talk, frame), ["drop.malformed"], "{n}");
        }
        talk.host.send_frame(&mut talk.world, &sound);
        assert!(received(&mut talk));
    }
}

/// RFC 1122, 4.2.3.10 and 3.2.1.3: no connections with multicast addresses, none from port 0, and
/// no packets from an address that no host may have.
#[test]
fn segments_and_packets_that_cannot_be() {
    for (from, to, mac, reason) in [
        ("10.0.0.9:0", "10.0.0.1:80", None, "drop.malformed"),
        ("10.0.0.9:4000", "10.0.0.1:0", None, "drop.malformed"),
        ("[fd00::9]:0", "[fd00::1]:80", None, "drop.malformed"),
        (
            "10.0.0.9:4000",
            "10.0.0.255:80",
            Some([0xff; 6]),
            "drop.martian",
        ),
        ("[::]:4000", "[fd00::1]:80", None, "drop.martian"),
        (
            "10.0.0.9:4000",
            "224.0.0.99:80",
            Some(GROUP),
            "drop.not-for-us",
        ),
        ("10.0.0.9:4000", "10.0.0.77:80", None, "drop.not-for-us"),
        ("[fd00::9]:4000", "[fd00::77]:80", None, "drop.not-for-us"),
        ("127.0.0.1:4000", "10.0.0.1:80", None, "drop.martian"),
        ("[::1]:4000", "[fd00::1]:80", None, "drop.martian"),
        ("10.0.0.1:4000", "10.0.0.1:80", None, "drop.martian"),
        ("[fd00::1]:4000", "[fd00::1]:80", None, "drop.martian"),
        ("[::ffff:a00:9]:4000", "[fd00::1]:80", None, "drop.martian"),
        ("[ff02::9]:4000", "[fd00::1]:80", None, "drop.martian"),
        (
            "[fd00::9]:4000",
            "[ff01::1]:80",
            Some([0x33, 0x33, 0, 0, 0, 1]),
            "drop.martian",
        ),
        (
            "[fd00::9]:4000",
            "[fd00::1]:80",
            Some([0x33, 0x33, 0, 0, 0, 1]),
            "drop.martian",
        ),
        (
            "10.0.0.9:4000",
            "10.0.0.1:80",
            Some([0xff; 6]),
            "drop.martian",
        ),
    ] {
        let mut talk = Talk::new(V4).listening();
        let syn = packet::Tcp::between(address(from), address(to)).flags(packet::SYN);
        let macs = (talk.host.mac, mac.unwrap_or(World::mac(0)));
        let seen = reasons(&mut talk, &syn.frame(macs));
        assert_eq!(seen, [reason], "{from} to {to}");
    }
}

/// RFC 8200, 4: the extension headers of a packet, their order, and the pointers of errors about
/// them.
#[test]
fn extension_headers_that_cannot_be() {
    let datagram = {
        let talk = Talk::new(V6);
        let frame = packet::udp(talk.host.macs(), V6.host(5000), V6.stack(6000), b"x");
        Ip::parse(&frame).expect("a packet").payload
    };
    let padding = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let long = |next: u8| [vec![next, 1, 1, 12], vec![0; 12]].concat();
    let routing = |next: u8, left: u8| vec![next, 0, 0, left, 0, 0, 0, 0];
    let inner = |mut headers: Vec<u8>| {
        headers.extend(&datagram);
        headers
    };
    for (first, packet, received, told) in [
        (60, inner(padding(17)), true, None),
        (60, inner(long(17)), true, None),
        (0, inner(padding(17)), true, None),
        (43, inner(routing(17, 0)), true, None),
        // An unknown routing type with segments left; the pointer is 42.
        (43, inner(routing(17, 1)), false, Some([4, 0, 0, 0, 0, 42])),
        // Hop-by-hop options after another header.
        (
            60,
            inner([padding(0), padding(17)].concat()),
            false,
            Some([4, 1, 0, 0, 0, 40]),
        ),
        (60, inner([padding(60), padding(17)].concat()), true, None),
        (60, padding(59), false, None),
        (
            60,
            inner(
                (0..9)
                    .flat_map(|n| padding(if n < 8 { 60 } else { 17 }))
                    .collect(),
            ),
            false,
            None,
        ),
        (60, inner([vec![17, 0], vec![0; 6]].concat()), true, None),
    ] {
        let mut talk = Talk::new(V6);
        let socket = talk.stack().udp_bind(V6.stack(6000)).expect("a free port");
        let (from, to) = (V6.host(0).ip(), V6.stack(0).ip());
        let frame = packet::ip(talk.host.macs(), from, to, first, 64, &packet);
        talk.host.send_frame(&mut talk.world, &frame);
        let frames = talk.host.take(&mut talk.world);
        let errors: Vec<_> = frames.iter().filter_map(|frame| Ip::parse(frame)).collect();
        let seen: Vec<_> = errors
            .iter()
            .map(|e| {
                [
                    e.payload[0],
                    e.payload[1],
                    e.payload[4],
                    e.payload[5],
                    e.payload[6],
                    e.payload[7],
                ]
            })
            .collect();
        assert_eq!(seen, told.into_iter().collect::<Vec<_>>(), "{packet:?}");
        let read = ready(talk.stack().udp_recv_from(socket, &mut [0; 9]));
        assert_eq!(read.is_some(), received, "{packet:?}");
    }
}

/// RFC 2474 and RFC 3168: the traffic class is in two bytes of IPv6, and is returned in echoes.
#[test]
fn the_traffic_class_is_read_whole() {
    let mut talk = Talk::new(V6);
    let (from, to) = (V6.host(0).ip(), ip(V6.stack));
    let mut frame = packet::icmp(talk.host.macs(), from, to, (128, 0), 1, b"x");
    frame[14..16].copy_from_slice(&[0x65, 0x4f]);
    talk.host.send_frame(&mut talk.world, &frame);
    let answer = talk.host.expect(&mut talk.world, SECOND, Ip::parse);
    assert_eq!(answer.traffic_class, 0x54);
}

//! ICMP messages: which are answered, which are accepted, and about which packets errors are sent.

use std::net::IpAddr;

use net::sim::packet::{self, Ip};
use net::sim::{Bench, Offloads, World};
use net::{Config, Error, Handle, InterfaceConfig};

use crate::support::{FAMILIES, Family, MS, SECOND, Talk, V4, V6, address};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Number of packets dropped for a reason.
fn dropped(world: &World, reason: &str) -> u64 {
    let mut drops = world.stacks[0].drops();
    drops.find(|(name, _)| *name == reason).expect("a reason").1
}

/// Returns the ICMP packets that a frame causes.
fn answers(talk: &mut Talk, frame: &[u8]) -> Vec<Ip> {
    talk.host.send_frame(&mut talk.world, frame);
    let frames = talk.host.take(&mut talk.world);
    let found = frames.iter().filter_map(|frame| Ip::parse(frame));
    found.filter(|ip| matches!(ip.protocol, 1 | 58)).collect()
}

/// With two addresses of each family.
fn two_addresses() -> Talk {
    let interface = InterfaceConfig {
        addresses: ["10.0.0.1/24", "10.0.0.2/24", "fd00::1/64", "fd00::2/64"]
            .map(|text| text.parse().expect("an address"))
            .to_vec(),
        dad_transmits: 0,
        ..Default::default()
    };
    let bench = Bench::with(Config::default(), &interface, 1500, Offloads::default(), 9);
    Talk::on(bench, V4)
}

/// RFC 1122, 3.2.2.6 and RFC 4443, 4.2: the source of a reply is the destination of the request.
/// RFC 3168, 5: its traffic class is that of the request, without the routers' marks.
#[test]
fn an_echo_reply_comes_from_the_address_that_was_asked() {
    let mut talk = two_addresses();
    for (from, to) in [
        ("10.0.0.9", "10.0.0.1"),
        ("10.0.0.9", "10.0.0.2"),
        ("fd00::9", "fd00::1"),
        ("fd00::9", "fd00::2"),
    ] {
        let (from, to) = (ip(from), ip(to));
        let kind = if from.is_ipv4() { 8 } else { 128 };
        let mut frame = packet::icmp(talk.host.macs(), from, to, (kind, 0), 1, b"x");
        if from.is_ipv4() {
            frame[15] = 0xbb;
            frame[24..26].fill(0);
            let sum = !packet::sum(0, &frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        } else {
            frame[14..16].copy_from_slice(&[0x6b, 0xb0]);
        }
        let seen = answers(&mut talk, &frame);
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].from, seen[0].to), (to, from));
        assert_eq!(seen[0].traffic_class, 0xb8);
    }
    assert_eq!(dropped(&talk.world, "drop.answer-queue-full"), 0);
}

/// RFC 792 and RFC 4443, 2.3 and 4.2: damaged requests, or ones with an undefined code, are
/// ignored.
#[test]
fn a_damaged_echo_request_is_not_answered() {
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        let (from, to) = (family.host(0).ip(), family.stack(0).ip());
        let kind = if from.is_ipv4() { 8 } else { 128 };
        let sound = packet::icmp(talk.host.macs(), from, to, (kind, 0), 1, b"x");
        assert_eq!(answers(&mut talk, &sound).len(), 1);
        let mut damaged = sound.clone();
        *damaged.last_mut().expect("a byte") ^= 1;
        assert_eq!(answers(&mut talk, &damaged), []);
        assert_eq!(dropped(&talk.world, "drop.bad-checksum"), 1);
        let coded = packet::icmp(talk.host.macs(), from, to, (kind, 1), 1, b"x");
        assert_eq!(answers(&mut talk, &coded), []);
        assert_eq!(dropped(&talk.world, "drop.useless-icmp"), 1);
    }
}

/// RFC 1122, 3.2.2 and RFC 4443, 4.2: replies and errors are for one host. Those to groups are
/// forged.
#[test]
fn replies_and_errors_to_everybody_are_ignored() {
    for (family, everybody, reply) in [(V4, "10.0.0.255", 0), (V6, "ff02::1", 129)] {
        let mut talk = Talk::new(family);
        let ping = talk.stack().ping(family.host(0), 3).expect("a route");
        let asked = talk.host.expect(&mut talk.world, SECOND, |frame| {
            Ip::parse(frame).filter(|ip| matches!(ip.payload[0], 8 | 128))
        });
        let (from, one, all) = (family.host(0).ip(), family.stack(0).ip(), ip(everybody));
        let mac = match one.is_ipv4() {
            true => [0xff; 6],
            false => [0x33, 0x33, 0, 0, 0, 1],
        };
        let macs = [talk.host.macs(), (talk.host.mac, mac)];
        let number = u32::from_be_bytes(asked.payload[4..8].try_into().expect("four bytes"));
        let unreachable = if one.is_ipv4() { (3, 1) } else { (1, 3) };
        for (kind, rest, payload) in [
            ((reply, 0), number, &asked.payload[8..]),
            (unreachable, 0, &[0; 60][..]),
        ] {
            let before = dropped(&talk.world, "drop.useless-icmp");
            let frame = packet::icmp(macs[1], from, all, kind, rest, payload);
            assert_eq!(answers(&mut talk, &frame), []);
            assert_eq!(dropped(&talk.world, "drop.useless-icmp"), before + 1);
            assert_eq!(talk.stack().ping_result(ping), Err(Error::WouldBlock));
        }
        let frame = packet::icmp(macs[0], from, one, (reply, 0), number, &asked.payload[8..]);
        talk.host.send_frame(&mut talk.world, &frame);
        assert!(talk.stack().ping_result(ping).is_ok());
    }
}

/// RFC 1122, 4.2.3.9 and RFC 4443, 3: the effects of types and codes on an attempt to connect.
#[test]
fn each_error_has_its_meaning() {
    const REFUSED: Error = Error::ConnectionRefused;
    const UNREACHABLE: Error = Error::Unreachable;
    const NONE: Error = Error::WouldBlock;
    for (family, kind, meaning) in [
        (V4, (3, 0), UNREACHABLE),
        (V4, (3, 1), UNREACHABLE),
        (V4, (3, 2), REFUSED),
        (V4, (3, 3), REFUSED),
        (V4, (3, 9), UNREACHABLE),
        (V4, (3, 10), UNREACHABLE),
        (V4, (3, 13), UNREACHABLE),
        (V4, (11, 0), UNREACHABLE),
        (V4, (12, 0), NONE),
        (V4, (4, 0), NONE),
        (V6, (1, 0), UNREACHABLE),
        (V6, (1, 1), UNREACHABLE),
        (V6, (1, 3), UNREACHABLE),
        (V6, (1, 4), REFUSED),
        (V6, (1, 5), UNREACHABLE),
        (V6, (3, 0), UNREACHABLE),
        (V6, (4, 0), NONE),
        (V6, (4, 1), REFUSED),
        (V6, (5, 0), NONE),
    ] {
        let (mut talk, syn) = Talk::connecting(family);
        let quoted = syn.frame(talk.host.macs());
        let (from, to) = (family.host(0).ip(), family.stack(0).ip());
        let frame = packet::icmp(talk.host.macs(), from, to, kind, 0, &quoted[14..]);
        talk.host.send_frame(&mut talk.world, &frame);
        let handle = talk.handle();
        let result = talk.stack().tcp_connect_result(handle);
        assert_eq!(result, Err(meaning), "{kind:?}");
    }
}

/// RFC 5927, 4: an error must arrive at the address that sent the quoted packet.
#[test]
fn an_error_about_another_address_of_ours_is_ignored() {
    for (family, other) in [(V4, "10.0.0.2"), (V6, "fd00::2")] {
        let mut talk = two_addresses();
        let (at, to) = (family.stack(6000), family.host(7000));
        let socket = talk.stack().udp_bind(at).expect("a free port");
        talk.stack().udp_connect(socket, Some(to)).expect("a route");
        let quoted = packet::udp(talk.host.macs(), at, to, b"hello");
        let kind = if at.is_ipv4() { (3, 3) } else { (1, 4) };
        let mut buffer = [0; 8];
        for (told, result) in [
            (ip(other), Error::WouldBlock),
            (at.ip(), Error::ConnectionRefused),
        ] {
            let macs = talk.host.macs();
            let frame = packet::icmp(macs, to.ip(), told, kind, 0, &quoted[14..]);
            talk.host.send_frame(&mut talk.world, &frame);
            let read = talk.stack().udp_recv_from(socket, &mut buffer);
            assert_eq!(read.map(|_| ()), Err(result));
        }
    }
}

/// RFC 1122, 3.2.2 and RFC 4443, 2.4 (e): a multicast or broadcast packet causes no error, in a
/// frame of either kind.
#[test]
fn no_errors_about_protocols_that_many_were_sent() {
    for (from, to, group) in [
        ("10.0.0.9", "10.0.0.255", [0xff; 6]),
        ("10.0.0.9", "224.0.0.1", [1, 0, 0x5e, 0, 0, 1]),
    ] {
        let mut talk = Talk::new(V4);
        for mac in [group, World::mac(0)] {
            let macs = (talk.host.mac, mac);
            let frame = packet::ip(macs, ip(from), ip(to), 253, 64, &[1; 40]);
            assert_eq!(answers(&mut talk, &frame), [], "{to}");
        }
        let frame = packet::ip(
            talk.host.macs(),
            ip(from),
            V4.stack(0).ip(),
            253,
            64,
            &[1; 40],
        );
        assert_eq!(answers(&mut talk, &frame).len(), 1);
        assert_eq!(dropped(&talk.world, "drop.rate-limited"), 0);
    }
}

/// RFC 8200, 4.2 and RFC 4443, 2.4 (e): a multicast packet causes an error only about an option
/// whose type requests it; an unknown header is reported only for unicast.
#[test]
fn an_unknown_option_is_reported_for_a_group_if_it_requests_that() {
    let group = [0x33, 0x33, 0, 0, 0, 1];
    for (option, next, to, told) in [
        (0x9e, 59, "ff02::1", Some([4, 2])),
        (0xde, 59, "ff02::1", None),
        (0x5e, 59, "ff02::1", None),
        (0xde, 59, "fd00::1", Some([4, 2])),
        (0x5e, 59, "fd00::1", None),
        (0x01, 253, "ff02::1", None),
        (0x01, 253, "fd00::1", Some([4, 1])),
    ] {
        let mut talk = Talk::new(V6);
        let (from, to) = (V6.host(0).ip(), ip(to));
        let macs = match to.is_multicast() {
            true => (talk.host.mac, group),
            false => talk.host.macs(),
        };
        let header = [next, 0, option, 4, 0, 0, 0, 0, 9, 9, 9, 9];
        let frame = packet::ip(macs, from, to, 60, 64, &header);
        let seen = answers(&mut talk, &frame);
        let kinds: Vec<_> = seen.iter().map(|ip| ip.payload[..2].to_vec()).collect();
        let wanted: Vec<_> = told.iter().map(|kind| kind.to_vec()).collect();
        assert_eq!(kinds, wanted, "{option:x} {next} {to}");
        assert!(seen.iter().all(|answer| answer.from == V6.stack(0).ip()));
    }
}

/// The first fragment of an ICMP message.
fn first_fragment(talk: &Talk, family: Family, kind: (u8, u8)) -> Vec<u8> {
    let (from, to) = (family.host(0).ip(), family.stack(0).ip());
    let mut frame = packet::icmp(talk.host.macs(), from, to, kind, 0, &[0; 64]);
    frame[20..22].copy_from_slice(&0x2000u16.to_be_bytes());
    frame[24..26].fill(0);
    let sum = !packet::sum(0, &frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// RFC 792 and RFC 1122, 3.2.2 and 3.3.2: a request whose other fragments don't arrive causes an
/// error, an error causes none.
#[test]
fn no_error_about_a_fragment_of_an_error() {
    for (kind, told) in [((8, 0), 1), ((3, 3), 0), ((11, 0), 0)] {
        let mut talk = Talk::new(V4);
        let frame = first_fragment(&talk, V4, kind);
        talk.host.send_frame(&mut talk.world, &frame);
        talk.world.advance(40 * SECOND);
        let frames = talk.host.take(&mut talk.world);
        let seen = frames.iter().filter_map(|frame| Ip::parse(frame));
        let errors: Vec<_> = seen.filter(|ip| ip.payload[..2] == [11, 1]).collect();
        assert_eq!(errors.len(), told, "{kind:?}");
        assert_eq!(dropped(&talk.world, "drop.reassembly-timeout"), 1);
    }
}

/// RFC 1122, 3.2.2 and RFC 4443, 3.1: the quote is as long as fits into the minimum MTU.
#[test]
fn an_error_quotes_what_fits() {
    for (family, least) in [(V4, 576), (V6, 1280)] {
        let mut talk = Talk::new(family);
        for len in [10, 1400] {
            let (host, stack) = (family.host(5000), family.stack(9));
            let datagram = packet::udp(talk.host.macs(), host, stack, &vec![7; len]);
            talk.host.send_frame(&mut talk.world, &datagram);
            let frame = talk.host.expect(&mut talk.world, 100 * MS, |frame| {
                Ip::parse(frame).map(|_| frame.to_vec())
            });
            let headers = if host.is_ipv4() { 28 } else { 48 };
            let expected = (datagram.len() - 14 + headers).min(least);
            assert_eq!(frame.len() - 14, expected);
            let quoted = &frame[14 + headers..];
            assert_eq!(*quoted, datagram[14..14 + quoted.len()]);
        }
    }
}

/// The reply to our own request arrives over the loopback without a checksum.
#[test]
fn an_own_address_answers_without_a_wire() {
    for to in ["127.0.0.1:0", "[::1]:0", "10.0.0.1:0"] {
        let mut talk = Talk::new(V4);
        let ping: Handle = talk.stack().ping(address(to), 10).expect("a route");
        talk.world.run_now();
        assert!(talk.stack().ping_result(ping).is_ok(), "{to}");
    }
}

//! ARP, neighbor discovery, duplicate addresses.

use std::net::{IpAddr, Ipv6Addr};

use net::sim::packet::{self, Ip, SYN};
use net::sim::{Bench, Offloads, Random, World};
use net::{Config, InterfaceConfig, InterfaceStatus};

use crate::support::{MS, SECOND, Talk, V4, V6, address};

/// An ARP packet in a frame.
pub fn arp(
    operation: u8,
    sender: ([u8; 6], [u8; 4]),
    target: ([u8; 6], [u8; 4]),
    to: [u8; 6],
) -> Vec<u8> {
    let bytes = [
        &[0, 1, 8, 0, 6, 4, 0, operation][..],
        &sender.0,
        &sender.1,
        &target.0,
        &target.1,
    ]
    .concat();
    packet::ethernet(sender.0, to, 0x0806, &bytes)
}

pub fn arps(frames: &[Vec<u8>]) -> Vec<&[u8]> {
    let found = frames.iter().filter(|frame| frame[12..14] == [8, 6]);
    found.map(|frame| &frame[14..42]).collect()
}

pub const HOST: [u8; 6] = [2, 0, 0, 0, 9, 9];
pub const OTHER: [u8; 6] = [2, 0, 0, 0, 8, 8];
pub const EVERYONE: [u8; 6] = [0xff; 6];

pub fn fixed(addresses: &[&str]) -> InterfaceConfig {
    InterfaceConfig {
        addresses: addresses
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect(),
        ..Default::default()
    }
}

pub fn unconfigured(interface: &InterfaceConfig) -> Bench {
    Bench::unconfigured(Config::default(), interface, 1500, Offloads::default(), 5)
}

pub fn status(world: &World) -> InterfaceStatus {
    let stack = &world.stacks[0];
    stack
        .interface_status(stack.interfaces()[0])
        .expect("an interface")
}

pub fn has(world: &World, text: &str) -> bool {
    let wanted: IpAddr = text.parse().expect("an address");
    status(world)
        .addresses
        .iter()
        .any(|cidr| cidr.address == wanted)
}

/// RFC 826: requests for our address get a reply to their sender; requests for others don't.
#[test]
fn arp_requests_are_answered() {
    let mut talk = Talk::new(V4);
    let ask = |who: [u8; 4]| arp(1, (HOST, [10, 0, 0, 9]), ([0; 6], who), EVERYONE);
    talk.host.send_frame(&mut talk.world, &ask([10, 0, 0, 1]));
    let frames = talk.host.take(&mut talk.world);
    let answers = arps(&frames);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0][7], 2);
    assert_eq!(answers[0][8..14], World::mac(0));
    assert_eq!(answers[0][14..18], [10, 0, 0, 1]);
    assert_eq!(answers[0][18..24], HOST);
    assert_eq!(frames[0][..6], HOST);
    for who in [
        [10, 0, 0, 2],
        [127, 0, 0, 1],
        [0, 0, 0, 0],
        [255; 4],
        [224, 0, 0, 1],
    ] {
        talk.host.send_frame(&mut talk.world, &ask(who));
        let frames = talk.host.take(&mut talk.world);
        assert!(arps(&frames).is_empty(), "{who:?}");
    }
    // Wrong formats.
    for at in 0..8 {
        let mut broken = ask([10, 0, 0, 1]);
        broken[14 + at] ^= 0x55;
        talk.host.send_frame(&mut talk.world, &broken);
        let frames = talk.host.take(&mut talk.world);
        assert!(arps(&frames).is_empty(), "byte {at}");
    }
}

/// RFC 5227, 2.1.1 (a probe gets a reply: that is its purpose) and 2.4: our address is defended
/// against a claim, but not in a loop.
#[test]
fn our_address_is_defended() {
    let mut talk = Talk::new(V4);
    let probe = arp(1, (OTHER, [0; 4]), ([0; 6], [10, 0, 0, 1]), EVERYONE);
    talk.host.send_frame(&mut talk.world, &probe);
    let frames = talk.host.take(&mut talk.world);
    assert_eq!(arps(&frames).len(), 1);
    let claim = arp(1, (OTHER, [10, 0, 0, 1]), ([0; 6], [10, 0, 0, 1]), EVERYONE);
    talk.host.send_frame(&mut talk.world, &claim);
    let frames = talk.host.take(&mut talk.world);
    let defence = arps(&frames);
    assert_eq!(defence.len(), 1);
    assert_eq!(
        defence[0][8..18],
        [&World::mac(0)[..], &[10, 0, 0, 1]].concat()
    );
    assert_eq!(frames[0][..6], EVERYONE);
    // Repeatedly: ten seconds between two defences.
    let mut defences = 0;
    for _ in 0..50 {
        talk.host.send_frame(&mut talk.world, &claim);
        talk.world.advance(100 * MS);
        defences += arps(&talk.host.take(&mut talk.world)).len();
    }
    assert!(defences <= 2, "{defences} defences in five seconds");
}

/// RFC 5227, 2.3: an address is announced when its use begins.
#[test]
fn a_new_address_is_announced() {
    let Bench {
        mut world,
        mut host,
    } = unconfigured(&fixed(&["10.0.0.1/24"]));
    let announced = host.expect(&mut world, 15 * SECOND, |frame| {
        arps(&[frame.to_vec()])
            .first()
            .filter(|arp| arp[14..18] == [10, 0, 0, 1] && arp[24..28] == [10, 0, 0, 1])
            .map(|arp| arp.to_vec())
    });
    assert_eq!(announced[8..14], World::mac(0));
}

/// RFC 826 and RFC 1122, 2.3.2.2: the stack resolves a sender before it replies; packets aren't
/// lost during resolution.
#[test]
fn the_first_packet_to_a_neighbor_is_not_lost() {
    for family in [V4, V6] {
        let Bench {
            mut world,
            mut host,
        } = Bench::new(8);
        let socket = world.stacks[0].udp_bind(family.stack(6000)).expect("free");
        world.stacks[0]
            .udp_send_to(socket, b"first", family.host(5000))
            .expect("room");
        let found = host.expect(&mut world, SECOND, |frame| {
            Ip::parse(frame).filter(|ip| ip.protocol == 17)
        });
        assert_eq!(found.payload[8..], *b"first", "{family:?}");
    }
}

/// RFC 1122, 3.3.1.1: a gateway of a route is on the link, within a prefix of ours or not. Its own
/// requests and its gratuitous ARP are taken, and other hosts outside of the prefix stay strangers.
#[test]
fn a_gateway_outside_of_our_prefix_is_a_neighbor() {
    for (own, gateway, to) in [
        ("10.128.0.5/32", "10.128.0.1", "192.0.2.1:9"),
        ("10.128.0.5/32", "172.31.1.1", "192.0.2.1:9"),
        ("2001:db8::5/128", "fe80::1", "[2001:db8:9::1]:9"),
        ("2001:db8::5/128", "2001:db8:1::1", "[2001:db8:9::1]:9"),
        ("2001:db8::5/64", "2001:db8:1::1", "[2001:db8:9::1]:9"),
    ] {
        let config = InterfaceConfig {
            gateways: vec![gateway.parse().expect("an address")],
            ..fixed(&[own])
        };
        let Bench {
            mut world,
            mut host,
        } = unconfigured(&config);
        host.addresses = config.gateways.clone();
        host.listen(&mut world, 10 * SECOND);
        let any = address("[::]:0");
        let socket = world.stacks[0].udp_bind(any).expect("free");
        let send = |world: &mut World, text: &[u8]| {
            let sent = world.stacks[0].udp_send_to(socket, text, address(to));
            assert_eq!(sent, Ok(()), "{own} by {gateway}");
        };
        send(&mut world, b"out");
        host.expect(&mut world, SECOND, |frame| {
            Ip::parse(frame).filter(|ip| ip.payload.ends_with(b"out"))
        });
        let Ok(gateway) = gateway.parse::<std::net::Ipv4Addr>() else {
            continue;
        };
        // It moves, and says so.
        let gateway = gateway.octets();
        let moved = arp(1, (OTHER, gateway), ([0; 6], gateway), EVERYONE);
        host.send_frame(&mut world, &moved);
        let stranger = arp(
            1,
            (HOST, [192, 0, 2, 7]),
            ([0; 6], [192, 0, 2, 7]),
            EVERYONE,
        );
        host.send_frame(&mut world, &stranger);
        send(&mut world, b"moved");
        let to = host.expect(&mut world, SECOND, |frame| {
            let ip = Ip::parse(frame)?;
            ip.payload.ends_with(b"moved").then(|| frame[..6].to_vec())
        });
        assert_eq!(to, OTHER);
        let request = arp(1, (OTHER, gateway), ([0; 6], [10, 128, 0, 5]), EVERYONE);
        host.send_frame(&mut world, &request);
        assert_eq!(arps(&host.take(&mut world)).len(), 1);
    }
}

/// RFC 1122, 2.3.2.1: a neighbor that moves is resolved again.
#[test]
fn a_neighbor_that_moves_is_found() {
    for family in [V4, V6] {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.host.mac = OTHER;
        let mut next = talk.ack;
        let mut found_ns = None;
        talk.stack().tcp_write(handle, &[1; 100]).expect("room");
        let begun_ns = talk.world.now_ns;
        // It doesn't respond: the stack has to detect that.
        while found_ns.is_none() && talk.world.now_ns - begun_ns < 100 * SECOND {
            talk.world.advance(100 * MS);
            for frame in talk.host.take(&mut talk.world) {
                if frame[..6] == OTHER && Ip::parse(&frame).is_some_and(|ip| ip.protocol == 6) {
                    found_ns = Some(talk.world.now_ns);
                }
            }
        }
        assert!(found_ns.is_some(), "{family:?}");
        next = next.wrapping_add(100);
        talk.ack = next;
        talk.acknowledge();
        assert_eq!(talk.error(), None);
    }
}

/// RFC 3756, 4.3.2 and RFC 6583: packets to a million missing neighbors don't affect existing ones;
/// the test `fuzz` shows the memory.
#[test]
fn scans_of_the_network_leave_real_neighbors_alone() {
    for family in [V4, V6] {
        let mut talk = Talk::accepted(family);
        let mut random = Random::new(6583);
        for round in 0..3000u32 {
            // An echo request from an unused address makes the stack try to reply.
            let from: IpAddr = match family.host.contains(':') {
                true => Ipv6Addr::from((0xfd00u128 << 112) | u128::from(random.bits())).into(),
                false => [10, 0, 0, 10 + random.below(240) as u8].into(),
            };
            let kind = if from.is_ipv4() { 8 } else { 128 };
            let to = talk.other.ip();
            let frame = packet::icmp(talk.host.macs(), from, to, (kind, 0), 1, b"scan");
            talk.host.inject(&frame);
            if round % 100 == 0 {
                talk.host.take(&mut talk.world);
                talk.data(b"x");
                assert_eq!(talk.read().0, b"x");
                talk.world.advance(10 * MS);
            }
        }
        assert_eq!(talk.error(), None);
    }
}

/// RFC 4861, 7.2.4: solicitations are answered, with the right flags.
#[test]
fn solicitations_are_answered() {
    let mut talk = Talk::new(V6);
    let target: Ipv6Addr = V6.stack.parse().expect("an address");
    let group: IpAddr = "ff02::1:ff00:1".parse().expect("an address");
    let macs = (HOST, [0x33, 0x33, 0xff, 0, 0, 1]);
    let option = [&target.octets()[..], &[1, 1], &HOST].concat();
    let from = V6.host(0).ip();
    let ask = packet::icmp(macs, from, group, (135, 0), 0, &option);
    let told = |frame: &[u8]| Ip::parse(frame).filter(|ip| ip.payload.first() == Some(&136));
    talk.host.send_frame(&mut talk.world, &ask);
    let answer = talk.host.expect(&mut talk.world, SECOND, told);
    assert_eq!((answer.hop_limit, answer.to), (255, from));
    assert_eq!(answer.payload[4] & 0x60, 0x60, "solicited and override");
    assert_eq!(answer.payload[8..24], target.octets());
    assert_eq!(
        answer.payload[24..32],
        [&[2, 1][..], &World::mac(0)].concat()
    );
    // RFC 4861, 7.1.1: from off the link, truncated, of length 0.
    let mut far = ask.clone();
    far[21] = 254;
    let mut empty = [&target.octets()[..], &[1, 0], &HOST].concat();
    let zero = packet::icmp(macs, from, group, (135, 0), 0, &empty);
    empty.truncate(8);
    let short = packet::icmp(macs, from, group, (135, 0), 0, &empty);
    let coded = packet::icmp(macs, from, group, (135, 1), 0, &option);
    for frame in [far, zero, short, coded] {
        talk.host.send_frame(&mut talk.world, &frame);
        let frames = talk.host.take(&mut talk.world);
        assert!(!frames.iter().any(|frame| told(frame).is_some()));
    }
}

/// RFC 4862, 5.4: an address is probed before use, from the unspecified address.
#[test]
fn a_new_ipv6_address_is_asked_for() {
    let Bench {
        mut world,
        mut host,
    } = unconfigured(&fixed(&["fd00::1/64"]));
    let probe = host.expect(&mut world, 10 * SECOND, |frame| {
        let target: Ipv6Addr = "fd00::1".parse().expect("an address");
        Ip::parse(frame).filter(|ip| {
            ip.payload.first() == Some(&135) && ip.payload.get(8..24) == Some(&target.octets()[..])
        })
    });
    assert!(probe.from.is_unspecified());
    assert_eq!(
        probe.to,
        "ff02::1:ff00:1".parse::<IpAddr>().expect("a group")
    );
    assert_eq!((probe.hop_limit, probe.payload.len()), (255, 24));
}

/// RFC 4862, 5.4.3 to 5.4.5: an address that another host has, or probes for at the same time,
/// isn't used.
#[test]
fn a_duplicate_ipv6_address_is_not_used() {
    for at_once in [false, true] {
        let Bench {
            mut world,
            mut host,
        } = unconfigured(&fixed(&["fd00::1/64"]));
        let target: Ipv6Addr = "fd00::1".parse().expect("an address");
        let probe = |frame: &[u8]| {
            Ip::parse(frame).filter(|ip| {
                ip.payload.first() == Some(&135)
                    && ip.payload.get(8..24) == Some(&target.octets()[..])
            })
        };
        host.expect(&mut world, 10 * SECOND, probe);
        let macs = (OTHER, [0x33, 0x33, 0xff, 0, 0, 1]);
        let answer = match at_once {
            true => {
                let group = "ff02::1:ff00:1".parse().expect("a group");
                let nobody: IpAddr = "::".parse().expect("an address");
                packet::icmp(macs, nobody, group, (135, 0), 0, &target.octets())
            }
            false => {
                let all = "ff02::1".parse().expect("a group");
                let option = [&target.octets()[..], &[2, 1], &OTHER].concat();
                let macs = (OTHER, [0x33, 0x33, 0, 0, 0, 1]);
                packet::icmp(macs, target.into(), all, (136, 0), 0x2000_0000, &option)
            }
        };
        host.send_frame(&mut world, &answer);
        world.advance(5 * SECOND);
        let syn = packet::Tcp::between(V6.host(4000), V6.stack(80)).flags(SYN);
        host.take(&mut world);
        host.send(&mut world, &syn);
        assert!(host.take_tcp(&mut world).is_empty(), "the duplicate speaks");
        assert!(!has(&world, "fd00::1"));
    }
}

/// One packet to a group, of any protocol, costs one poll, not a busy loop (a known failure of
/// others).
#[test]
fn one_multicast_packet_costs_little() {
    let mut talk = Talk::new(V4);
    talk.world.advance(100 * SECOND);
    let mac = talk.host.mac;
    let frames = [
        packet::udp(
            (mac, [1, 0, 0x5e, 0, 0, 0xfb]),
            address("10.0.0.9:5353"),
            address("224.0.0.251:5353"),
            &[0; 40],
        ),
        packet::udp(
            (mac, [0x33, 0x33, 0, 0, 0, 0xfb]),
            address("[fd00::9]:5353"),
            address("[ff02::fb]:5353"),
            &[0; 40],
        ),
        packet::ip(
            (mac, [1, 0, 0x5e, 0, 0, 1]),
            "10.0.0.9".parse().expect("an address"),
            "224.0.0.1".parse().expect("a group"),
            2,
            1,
            &[0x11, 10, 0xee, 0xf5, 0, 0, 0, 0],
        ),
    ];
    for frame in frames {
        let polls = talk.world.polls;
        talk.host.send_frame(&mut talk.world, &frame);
        talk.world.advance(20 * SECOND);
        assert!(
            talk.world.polls - polls < 400,
            "{}",
            talk.world.polls - polls
        );
    }
}

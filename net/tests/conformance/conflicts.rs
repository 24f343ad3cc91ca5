//! Addresses that others use or probe for (RFC 5227, RFC 4862), and invalid ARP packets.

use std::net::IpAddr;

use net::InterfaceConfig;
use net::sim::packet::Ip;
use net::sim::{Bench, Host, World};

use crate::neighbors::{EVERYONE, HOST, OTHER, arp, arps, fixed, has, unconfigured};
use crate::support::{MS, SECOND, Talk, V4, address};

const OURS: [u8; 4] = [10, 0, 0, 1];
const THEIRS: [u8; 4] = [10, 0, 0, 9];

fn dropped(world: &World, reason: &str) -> u64 {
    let mut drops = world.stacks[0].drops();
    drops.find(|(name, _)| *name == reason).expect("a reason").1
}

/// The ARP packets that immediately follow a frame.
fn answers(world: &mut World, host: &mut Host, frame: &[u8]) -> Vec<Vec<u8>> {
    host.send_frame(world, frame);
    let frames = host.take(world);
    arps(&frames).iter().map(|arp| arp.to_vec()).collect()
}

/// The times of packets about an address for which `find` returns true, until none has followed for
/// long.
fn times(world: &mut World, host: &mut Host, mut find: impl FnMut(&[u8]) -> bool) -> Vec<u64> {
    let mut found = Vec::new();
    let end_ns = world.now_ns + 30 * SECOND;
    while world.now_ns < end_ns {
        for frame in host.take(world) {
            if find(&frame) {
                found.push(world.now_ns);
            }
        }
        world.step(end_ns - world.now_ns);
    }
    found
}

fn careful(addresses: &[&str]) -> InterfaceConfig {
    InterfaceConfig {
        careful: true,
        ..fixed(addresses)
    }
}

/// Sender and target of an ARP request.
fn request(frame: &[u8]) -> Option<([u8; 4], [u8; 4])> {
    if frame[12..14] != [8, 6] || frame[20..22] != [0, 1] {
        return None;
    }
    Some((
        frame[28..32].try_into().ok()?,
        frame[38..42].try_into().ok()?,
    ))
}

/// RFC 5227, 2.1.1 and 2.3: three probes, one to two seconds apart; two seconds later the address
/// is announced, and two seconds after that once more.
#[test]
fn a_careful_machine_probes_for_seconds() {
    let Bench {
        mut world,
        mut host,
    } = unconfigured(&careful(&["10.0.0.1/24"]));
    let mut probes = 0;
    let at_ns = times(&mut world, &mut host, |frame| match request(frame) {
        Some((from, OURS)) if from == [0; 4] => {
            probes += 1;
            true
        }
        Some((OURS, OURS)) => true,
        _ => false,
    });
    assert_eq!((probes, at_ns.len()), (3, 5));
    let gaps: Vec<u64> = at_ns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps[..2]
            .iter()
            .all(|gap| (SECOND..=2 * SECOND).contains(gap))
    );
    assert_eq!(gaps[2..], [2 * SECOND, 2 * SECOND]);
    assert!(gaps[0] != gaps[1], "a random time");
}

/// Without `careful` a fixed address is announced at once, and in use.
#[test]
fn a_fixed_address_is_used_at_once() {
    let Bench {
        mut world,
        mut host,
    } = unconfigured(&fixed(&["10.0.0.1/24"]));
    let ask = arp(1, (HOST, THEIRS), ([0; 6], OURS), EVERYONE);
    let seen = answers(&mut world, &mut host, &ask);
    assert!(seen.iter().any(|arp| arp[7] == 2));
    let announced = |frame: &[u8]| request(frame) == Some((OURS, OURS));
    let already = seen.iter().filter(|arp| arp[7] == 1).count();
    let later = times(&mut world, &mut host, announced);
    assert_eq!((already, later), (1, vec![2 * SECOND]));
}

/// RFC 4862, 5.4.2: the configured number of probes, a second apart, and another second of silence.
/// RFC 4861, 7.2.6: then two announcements.
#[test]
fn ipv6_probes_as_often_as_is_wanted() {
    let interface = InterfaceConfig {
        dad_transmits: 2,
        ..fixed(&["fd00::1/64"])
    };
    let Bench {
        mut world,
        mut host,
    } = unconfigured(&interface);
    let target = "fd00::1".parse::<std::net::Ipv6Addr>().expect("an address");
    let about = |frame: &[u8], kind: u8| {
        Ip::parse(frame).is_some_and(|ip| {
            ip.protocol == 58
                && ip.payload[0] == kind
                && ip.payload.get(8..24) == Some(&target.octets()[..])
        })
    };
    let at_ns = times(&mut world, &mut host, |frame| {
        about(frame, 135) || about(frame, 136)
    });
    let begin_ns = at_ns[0];
    let at_s: Vec<u64> = at_ns.iter().map(|at| (at - begin_ns) / MS).collect();
    assert_eq!(at_s, [0, 1000, 2000, 4000]);
}

/// RFC 5227, 2.1.1: during probing, a packet from the address and a probe for it are conflicts, and
/// the address is never used; a request for it, and a reply to the unspecified address, aren't.
#[test]
fn what_ends_a_probe_and_what_does_not() {
    for (operation, from, conflict) in [
        (1, OURS, true),
        (2, OURS, true),
        (1, [0; 4], true),
        (2, [0; 4], false),
        (1, THEIRS, false),
    ] {
        let Bench {
            mut world,
            mut host,
        } = unconfigured(&careful(&["10.0.0.1/24"]));
        world.advance(SECOND / 2);
        let frame = arp(operation, (OTHER, from), ([0; 6], OURS), EVERYONE);
        let seen = answers(&mut world, &mut host, &frame);
        // It isn't ours yet: nothing is answered or defended.
        assert!(seen.iter().all(|arp| arp[14..18] == [0; 4]), "{seen:?}");
        world.advance(20 * SECOND);
        assert_eq!(has(&world, "10.0.0.1"), !conflict, "{operation} {from:?}");
    }
}

/// RFC 5227, 2.4 (c): a fixed address is still defended, but once in ten seconds, each on its own.
#[test]
fn each_fixed_address_is_defended_once_in_ten_seconds() {
    let Bench {
        mut world,
        mut host,
    } = unconfigured(&fixed(&["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"]));
    world.advance(10 * SECOND);
    host.take(&mut world);
    let mut defences = |world: &mut World, last: u8| {
        let ours = [10, 0, 0, last];
        let claim = arp(1, (OTHER, ours), ([0; 6], ours), EVERYONE);
        let seen = answers(world, &mut host, &claim);
        assert!(seen.iter().all(|arp| arp[14..18] == ours && arp[7] == 1));
        seen.len()
    };
    for last in [2, 3, 1] {
        assert_eq!(defences(&mut world, last), 1, "{last}");
        assert_eq!(defences(&mut world, last), 0, "{last}");
    }
    world.advance(10 * SECOND - 1);
    assert_eq!(defences(&mut world, 2), 0);
    world.advance(1);
    assert_eq!(defences(&mut world, 2), 1);
    for text in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        assert!(has(&world, text));
    }
    assert_eq!(dropped(&world, "drop.answer-queue-full"), 0);
}

/// RFC 826 and RFC 1122, 2.3.2: no host has a multicast or broadcast address, and there are two
/// operations. A frame that returns through a loop in the network is our own.
#[test]
fn arp_that_makes_no_sense_is_ignored() {
    let mut talk = Talk::new(V4);
    let Talk { world, host, .. } = &mut talk;
    let ours = ([0; 6], OURS);
    let group = [1, 0, 0x5e, 0, 0, 9];
    for (n, frame) in [
        arp(3, (HOST, THEIRS), ours, EVERYONE),
        arp(0, (HOST, THEIRS), ours, EVERYONE),
        arp(1, (HOST, [224, 0, 0, 9]), ours, EVERYONE),
        arp(1, (HOST, [255; 4]), ours, EVERYONE),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(answers(world, host, &frame).is_empty(), "{n}");
        assert_eq!(dropped(world, "drop.bad-arp"), n as u64 + 1);
    }
    // The frame's source is a host, the packet's isn't.
    let mut frame = arp(1, (HOST, THEIRS), ours, EVERYONE);
    frame[22..28].copy_from_slice(&group);
    assert!(answers(world, host, &frame).is_empty());
    let mut own = arp(1, (HOST, OURS), ours, EVERYONE);
    own[22..28].copy_from_slice(&World::mac(0));
    assert!(answers(world, host, &own).is_empty());
    let reply = arp(2, (HOST, THEIRS), ours, World::mac(0));
    assert!(
        answers(world, host, &reply).is_empty(),
        "no answer to an answer"
    );
    let sound = arp(1, (HOST, THEIRS), ours, EVERYONE);
    assert_eq!(answers(world, host, &sound).len(), 1);
}

/// RFC 826: a request for us resolves an on-link sender: packets to it need no request.
#[test]
fn a_host_that_solicits_us_is_known() {
    for (last, asked) in [(77, false), (78, true)] {
        let Bench {
            mut world,
            mut host,
        } = Bench::new(5);
        let theirs = [10, 0, 0, last];
        let target = if asked { [10, 0, 0, 99] } else { OURS };
        let frame = arp(1, (HOST, theirs), ([0; 6], target), EVERYONE);
        assert_eq!(
            answers(&mut world, &mut host, &frame).len(),
            usize::from(!asked)
        );
        let socket = world.stacks[0]
            .udp_bind(address("0.0.0.0:5000"))
            .expect("free");
        let to = (IpAddr::from(theirs), 9).into();
        world.stacks[0].udp_send_to(socket, b"x", to).expect("room");
        let frames = host.take(&mut world);
        assert_eq!(arps(&frames).len(), usize::from(asked), "{last}");
        let sent = frames.iter().filter(|frame| frame.ends_with(b"x")).count();
        assert_eq!(sent, usize::from(!asked));
    }
}

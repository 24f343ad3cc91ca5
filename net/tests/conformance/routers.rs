//! Router advertisements (RFC 4861, RFC 4862).

use std::net::{IpAddr, Ipv6Addr};

use net::InterfaceConfig;
use net::sim::packet::{self, Ip};
use net::sim::{Bench, World};

use crate::neighbors::{HOST, status, unconfigured};
use crate::support::SECOND;

/// A router advertisement with these options appended.
fn advertisement(lifetime: u16, options: &[u8]) -> Vec<u8> {
    advertised(0xff, lifetime, options)
}

fn advertised(hop_limit: u8, lifetime: u16, options: &[u8]) -> Vec<u8> {
    let router: IpAddr = "fe80::9".parse().expect("an address");
    let all: IpAddr = "ff02::1".parse().expect("a group");
    let rest = u32::from_be_bytes([64, 0, lifetime.to_be_bytes()[0], lifetime.to_be_bytes()[1]]);
    let payload = [&[0; 8][..], options].concat();
    let macs = (HOST, [0x33, 0x33, 0, 0, 0, 1]);
    let mut frame = packet::icmp(macs, router, all, (134, 0), rest, &payload);
    frame[21] = hop_limit;
    frame
}

/// A prefix option (RFC 4861, 4.6.2), on-link and autonomous.
fn prefix(text: &str, len: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let prefix: Ipv6Addr = text.parse().expect("a prefix");
    [
        &[3, 4, len, 0xc0][..],
        &valid.to_be_bytes(),
        &preferred.to_be_bytes(),
        &[0; 4],
        &prefix.octets(),
    ]
    .concat()
}

fn slaac() -> Bench {
    let interface = InterfaceConfig {
        slaac: true,
        ..Default::default()
    };
    let Bench {
        mut world,
        mut host,
    } = unconfigured(&interface);
    host.addresses.push("fe80::9".parse().expect("an address"));
    host.listen(&mut world, 3 * SECOND);
    Bench { world, host }
}

/// The same with an address from a prefix of these lifetimes, in seconds, and a gateway.
fn configured(valid: u32, preferred: u32) -> Bench {
    let Bench {
        mut world,
        mut host,
    } = slaac();
    let options = prefix("2001:db8:1::", 64, valid, preferred);
    host.send_frame(&mut world, &advertisement(1800, &options));
    host.listen(&mut world, 3 * SECOND);
    assert_eq!(global(&world).len(), 1);
    Bench { world, host }
}

fn global(world: &World) -> Vec<Ipv6Addr> {
    let mut found: Vec<_> = status(world)
        .addresses
        .iter()
        .filter_map(|cidr| match cidr.address {
            IpAddr::V6(v6) if v6.segments()[0] != 0xfe80 => Some(v6),
            _ => None,
        })
        .collect();
    found.sort();
    found
}

/// RFC 4861, 6.3.7: router solicitations are sent, a few times.
#[test]
fn routers_are_asked_for() {
    let interface = InterfaceConfig {
        slaac: true,
        ..Default::default()
    };
    let Bench {
        mut world,
        mut host,
    } = unconfigured(&interface);
    let mut asked = 0;
    for _ in 0..100 {
        world.advance(SECOND);
        for frame in host.take(&mut world) {
            asked += u32::from(
                Ip::parse(&frame)
                    .is_some_and(|ip| ip.payload.first() == Some(&133) && ip.hop_limit == 255),
            );
        }
    }
    assert!((1..=20).contains(&asked), "{asked} solicitations");
}

/// RFC 4861, 6.3.7: a random delay of up to a second precedes the first solicitation.
#[test]
fn machines_that_start_together_ask_at_different_times() {
    let interface = InterfaceConfig {
        slaac: true,
        ..Default::default()
    };
    let mut times = Vec::new();
    for seed in 1..9 {
        let config = net::Config::default();
        let offloads = net::sim::Offloads::default();
        let Bench {
            mut world,
            mut host,
        } = Bench::unconfigured(config, &interface, 1500, offloads, seed);
        host.expect(&mut world, SECOND, |frame| {
            Ip::parse(frame).filter(|ip| ip.payload.first() == Some(&133))
        });
        times.push(world.now_ns);
    }
    times.sort();
    times.dedup();
    assert!(times.len() > 4 && times.iter().all(|at_ns| *at_ns <= SECOND));
}

/// RFC 4861, 6.3.4: the routers set Retrans Timer and Cur Hop Limit, if specified.
#[test]
fn routers_say_how_often_to_ask_and_how_far_to_send() {
    let Bench {
        mut world,
        mut host,
    } = configured(7200, 3600);
    let said = |hops: u8, retransmit_ms: u32| {
        let mut frame = advertisement(1800, &[]);
        frame[58] = hops;
        frame[66..70].copy_from_slice(&retransmit_ms.to_be_bytes());
        frame[56..58].fill(0);
        let pseudo = packet::pseudo(&frame[22..54], 58, frame.len() - 54);
        let sum = !packet::sum(pseudo, &frame[54..]);
        frame[56..58].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let any = "[::]:5000".parse().expect("an address");
    let socket = world.stacks[0].udp_bind(any).expect("free");
    // The solicitations of a missing neighbor, and the hop limit of packets to the router.
    let mut n = 0;
    let mut observe = |world: &mut World, host: &mut net::sim::Host| {
        n += 1;
        let nobody = format!("[2001:db8:1::{n:x}]:9");
        let far = "[2001:db8:2::1]:9".parse().expect("an address");
        let stack = &mut world.stacks[0];
        stack
            .udp_send_to(socket, b"x", nobody.parse().expect("an address"))
            .expect("room");
        stack.udp_send_to(socket, b"x", far).expect("room");
        let (mut times, mut hops) = (Vec::new(), 0);
        let end_ns = world.now_ns + 35 * SECOND;
        while world.now_ns < end_ns {
            for frame in host.take(world) {
                let Some(ip) = Ip::parse(&frame) else {
                    continue;
                };
                let to_nobody = ip.payload.get(22..24) == Some(&[0, n as u8]);
                if ip.protocol == 58 && ip.payload[0] == 135 && to_nobody {
                    times.push(world.now_ns);
                } else if ip.protocol == 17 {
                    hops = ip.hop_limit;
                }
            }
            world.step(end_ns - world.now_ns);
        }
        assert_eq!(times.len(), 3, "{times:?}");
        (times[1] - times[0], hops)
    };
    // 64 and a second are the defaults; zero is unspecified.
    host.send_frame(&mut world, &said(0, 0));
    assert_eq!(observe(&mut world, &mut host), (SECOND, 64));
    host.send_frame(&mut world, &said(17, 3000));
    assert_eq!(observe(&mut world, &mut host), (3 * SECOND, 17));
    host.send_frame(&mut world, &said(0, 0));
    assert_eq!(observe(&mut world, &mut host), (3 * SECOND, 17));
    // Bounds keep solicitations from flooding the link, and from stopping.
    host.send_frame(&mut world, &said(64, 1));
    assert_eq!(observe(&mut world, &mut host), (SECOND / 10, 64));
    host.send_frame(&mut world, &said(64, u32::MAX));
    assert_eq!(observe(&mut world, &mut host), (10 * SECOND, 64));
}

/// RFC 4862, 5.5.3 and 5.5.4; RFC 4861, 6.3.4: an address and a gateway come and go with
/// advertisements, and with time.
#[test]
fn addresses_and_gateways_come_and_go_with_their_lifetimes() {
    let Bench {
        mut world,
        mut host,
    } = configured(7200, 3600);
    assert_eq!(global(&world)[0].segments()[..3], [0x2001, 0xdb8, 1]);
    assert_eq!(
        status(&world).gateways,
        ["fe80::9".parse::<IpAddr>().expect("an address")]
    );
    // The gateway's lifetime becomes zero: it is removed at once (a known failure of others).
    host.send_frame(&mut world, &advertisement(0, &[]));
    assert_eq!(status(&world).gateways, Vec::<IpAddr>::new());
    assert_eq!(global(&world).len(), 1);
    // It returns, for ten seconds, and then for longer.
    host.send_frame(&mut world, &advertisement(10, &[]));
    host.listen(&mut world, 5 * SECOND);
    assert_eq!(status(&world).gateways.len(), 1);
    host.send_frame(&mut world, &advertisement(30, &[]));
    host.listen(&mut world, 20 * SECOND);
    assert_eq!(status(&world).gateways.len(), 1);
    host.listen(&mut world, 20 * SECOND);
    assert_eq!(status(&world).gateways.len(), 0);
    // The address ends with its own lifetime.
    host.listen(&mut world, 7300 * SECOND);
    assert_eq!(global(&world).len(), 0);
}

/// RFC 4862, 5.5.3 (e): a forged short lifetime can't remove an address at once: two hours remain.
#[test]
fn a_short_lifetime_leaves_two_hours() {
    let Bench {
        mut world,
        mut host,
    } = configured(86_400, 43_200);
    let short = advertisement(1800, &prefix("2001:db8:1::", 64, 1, 0));
    host.send_frame(&mut world, &short);
    host.listen(&mut world, 7000 * SECOND);
    assert_eq!(global(&world).len(), 1);
    host.listen(&mut world, 400 * SECOND);
    assert_eq!(global(&world).len(), 0);
}

/// RFC 4862, 5.5.3 and RFC 4861, 6.1.2: invalid prefixes, and advertisements from elsewhere.
#[test]
fn impossible_advertisements_are_ignored() {
    let Bench {
        mut world,
        mut host,
    } = slaac();
    let odd = [
        prefix("fe80::", 64, 7200, 3600),
        prefix("ff05::", 64, 7200, 3600),
        prefix("2001:db8:1::", 64, 0, 0),
        prefix("2001:db8:1::", 64, 100, 200),
        prefix("2001:db8:1::", 0, 7200, 3600),
        prefix("2001:db8:1::", 63, 7200, 3600),
        prefix("2001:db8:1::", 129, 7200, 3600),
        prefix("2001:db8:1::", 255, 7200, 3600),
        vec![3, 0, 64, 0xc0],
        vec![3, 4, 64, 0xc0],
        vec![3, 255, 64, 0xc0, 0, 0, 0, 0],
        vec![
            3, 3, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0,
        ],
    ];
    for options in odd {
        host.send_frame(&mut world, &advertisement(0, &options));
        host.listen(&mut world, 3 * SECOND);
        assert!(global(&world).is_empty(), "{options:02x?}");
    }
    let good = prefix("2001:db8:1::", 64, 7200, 3600);
    host.send_frame(&mut world, &advertised(254, 1800, &good));
    host.listen(&mut world, 3 * SECOND);
    assert!(global(&world).is_empty() && status(&world).gateways.is_empty());
    // From an address off the link.
    let macs = (HOST, [0x33, 0x33, 0, 0, 0, 1]);
    let all: IpAddr = "ff02::1".parse().expect("a group");
    let far: IpAddr = "2001:db8::9".parse().expect("an address");
    let payload = [&[0; 8][..], &good].concat();
    let frame = packet::icmp(macs, far, all, (134, 0), 0x4000_0708, &payload);
    host.send_frame(&mut world, &frame);
    host.listen(&mut world, 3 * SECOND);
    assert!(global(&world).is_empty() && status(&world).gateways.is_empty());
}

/// A thousand routers and prefixes, and as many again (RFC 6104): the tables are bounded, and
/// existing entries continue to work.
#[test]
fn a_flood_of_advertisements_is_bounded() {
    let Bench {
        mut world,
        mut host,
    } = slaac();
    for n in 0..1000u32 {
        let text = format!("2001:db8:{:x}::", n + 1);
        let mut frame = advertisement(1800, &prefix(&text, 64, 7200, 3600));
        frame[36..38].copy_from_slice(&(n as u16).to_be_bytes());
        // The checksum of the changed source.
        frame[56..58].fill(0);
        let pseudo = packet::pseudo(&frame[22..54], 58, frame.len() - 54);
        let sum = !packet::sum(pseudo, &frame[54..]);
        frame[56..58].copy_from_slice(&sum.to_be_bytes());
        host.send_frame(&mut world, &frame);
    }
    host.listen(&mut world, 3 * SECOND);
    // As net/ip.md says: eight routers, and four addresses beside the link's own.
    assert!((1..=8).contains(&status(&world).gateways.len()));
    let first = global(&world);
    assert!(first.len() <= 4 && status(&world).addresses.len() <= 5);
    assert!(first.iter().any(|v6| v6.segments()[2] == 1), "{first:?}");
    let polls = world.polls;
    world.advance(60 * SECOND);
    assert!(world.polls - polls < 20_000, "{}", world.polls - polls);
}

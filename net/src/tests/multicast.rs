//! Multicast: reports about groups, and their datagrams.

use core::net::IpAddr;

use super::{SECOND, address, fixed, frames, ip, ready, scripted, wire};
use crate::Error;
use crate::ip::wire::checksum;
use crate::sim::packet::Ip;
use crate::sim::{Script, World};

#[test]
fn rfc3376_and_rfc3810_groups_are_reported_and_their_datagrams_received() {
    for (group, to, kind) in [
        ("239.1.2.3", "224.0.0.22", 0x22),
        ("ff05::1:3", "ff02::16", 143),
    ] {
        let (mut world, scripts, _) = scripted(&[fixed(&["10.0.0.1/24", "fd00::1/64"])]);
        world.advance(10 * SECOND);
        frames(&scripts[0]);
        let stack = &mut world.stacks[0];
        let any = if group.contains(':') {
            "[::]:5353"
        } else {
            "0.0.0.0:5353"
        };
        let socket = stack.udp_bind(address(any)).unwrap();
        let group = ip(group);
        let from = if group.is_ipv4() {
            "10.0.0.9:7"
        } else {
            "[fd00::9]:7"
        };
        let mac = crate::ip::group_mac(group).unwrap();
        let datagram = wire::udp(
            address(from),
            core::net::SocketAddr::new(group, 5353),
            mac,
            b"x",
        );
        let mut buffer = [0; 10];
        // Not joined yet.
        scripts[0].inject(&datagram);
        world.run_now();
        assert!(ready(world.stacks[0].udp_recv_from(socket, &mut buffer)).is_none());
        world.stacks[0].udp_join(socket, group, None).unwrap();
        world.advance(5 * SECOND);
        let reports = |frames: &[Vec<u8>], record: u8| -> usize {
            let v4 = group.is_ipv4();
            let (ttl, l4) = if v4 { (22, 38) } else { (21, 62) };
            let report = |frame: &&Vec<u8>| {
                frame.len() > l4 + 9
                    && frame[ttl] == 1
                    && frame[l4] == kind
                    && frame[l4 + 8] == record
            };
            frames.iter().filter(report).count()
        };
        let to = crate::ip::group_mac(ip(to)).unwrap();
        let seen = frames(&scripts[0]);
        assert_eq!(reports(&seen, 4), 2, "twice, as robustness has it");
        assert!(seen.iter().filter(|f| f[..6] == to).count() >= 2);
        scripts[0].inject(&datagram);
        world.run_now();
        assert_eq!(
            world.stacks[0]
                .udp_recv_from(socket, &mut buffer)
                .unwrap()
                .0,
            1
        );
        // A general query is answered.
        let query = if group.is_ipv4() {
            let mut query = wire::udp(
                address("10.0.0.9:1"),
                address("224.0.0.1:1"),
                [1, 0, 0x5e, 0, 0, 1],
                &[0; 4],
            );
            query[23] = 2;
            query[24..26].fill(0);
            let sum = !checksum::sum(&query[14..34]);
            query[24..26].copy_from_slice(&sum.to_be_bytes());
            query[34..46].copy_from_slice(&[0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0]);
            let sum = !checksum::sum(&query[34..46]);
            query[36..38].copy_from_slice(&sum.to_be_bytes());
            query
        } else {
            let mut message = vec![130, 0, 0, 0, 3, 0xe8, 0, 0];
            message.extend([0; 16]);
            message.extend([2, 125, 0, 0]);
            wire::icmp6("ff02::1", 1, &message)
        };
        scripts[0].inject(&query);
        world.advance(2 * SECOND);
        assert_eq!(reports(&frames(&scripts[0]), 2), 1);
        // Left when the socket is closed.
        world.stacks[0].close(socket).unwrap();
        world.advance(5 * SECOND);
        assert_eq!(reports(&frames(&scripts[0]), 3), 2);
        let socket = world.stacks[0].udp_bind(address(any)).unwrap();
        assert_eq!(
            world.stacks[0].udp_join(socket, ip("10.0.0.2"), None),
            Err(Error::InvalidArgument)
        );
    }
}

/// A query of a router, as IGMP or MLD message: type 0x11 or 130, for all groups.
fn query(v4: bool, older: bool, code: u8) -> Vec<u8> {
    let (kind, len) = match (v4, older) {
        (true, true) => (0x11, 8),
        (true, false) => (0x11, 12),
        (false, true) => (130, 24),
        (false, false) => (130, 28),
    };
    let mut message = vec![0; len];
    message[0] = kind;
    if v4 {
        message[1] = code;
        let sum = !checksum::sum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    } else {
        message[4] = code;
    }
    message
}

fn query_frame(v4: bool, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    if !v4 {
        return wire::icmp6("ff02::1", hop_limit, message);
    }
    let macs = (wire::SCRIPT, [1, 0, 0x5e, 0, 0, 1]);
    let (from, all) = (ip("10.0.0.9"), ip("224.0.0.1"));
    crate::sim::packet::ip(macs, from, all, 2, hop_limit, message)
}

/// Reports about a group: destination, type and time.
fn reported(
    world: &mut World,
    script: &Script,
    group: IpAddr,
    seconds: u64,
) -> Vec<(IpAddr, u8, u64)> {
    let octets = match group {
        IpAddr::V4(group) => group.octets().to_vec(),
        IpAddr::V6(group) => group.octets().to_vec(),
    };
    let (mut found, begin_ns) = (Vec::new(), world.now_ns);
    while world.now_ns < begin_ns + seconds * SECOND {
        for frame in frames(script) {
            if let Some(ip) = Ip::parse(&frame)
                && ip.payload.windows(octets.len()).any(|part| part == octets)
                && ip.hop_limit == 1
            {
                let kind = match frame[12] {
                    8 => frame[38],
                    _ => ip.payload[0],
                };
                found.push((ip.to, kind, world.now_ns - begin_ns));
            }
        }
        world.step(begin_ns + seconds * SECOND - world.now_ns);
    }
    found
}

/// RFC 2236 and RFC 2710; RFC 3376, 7.2.1, and RFC 3810, 8.2.1: a querier of the older version gets
/// reports of that version, until it has been silent for long; routers get a leave message at the
/// end of a group.
#[test]
fn a_router_of_the_older_version_gets_its_reports() {
    for (group, routers, report, leave, newer) in [
        ("239.1.2.3", "224.0.0.2", 0x16, 0x17, 0x22),
        ("ff05::1:3", "ff02::2", 131, 132, 143),
    ] {
        let (group, routers) = (ip(group), ip(routers));
        let v4 = group.is_ipv4();
        let (mut world, scripts, _) = scripted(&[fixed(&["10.0.0.1/24", "fd00::1/64"])]);
        let any = if v4 { "0.0.0.0:5353" } else { "[::]:5353" };
        let socket = world.stacks[0].udp_bind(address(any)).unwrap();
        world.stacks[0].udp_join(socket, group, None).unwrap();
        world.advance(10 * SECOND);
        frames(&scripts[0]);
        // Within two seconds.
        let code = if v4 { 20 } else { 7 };
        let question = query_frame(v4, 1, &query(v4, true, code));
        scripts[0].inject(&question);
        let seen = reported(&mut world, &scripts[0], group, 30);
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((seen[0].0, seen[0].1), (group, report));
        assert!(seen[0].2 <= 2 * SECOND);
        world.stacks[0].udp_leave(socket, group, None).unwrap();
        let seen = reported(&mut world, &scripts[0], group, 10);
        assert!(!seen.is_empty());
        assert!(
            seen.iter()
                .all(|(to, kind, _)| (*to, *kind) == (routers, leave))
        );
        world.advance(1000 * SECOND);
        frames(&scripts[0]);
        world.stacks[0].udp_join(socket, group, None).unwrap();
        let seen = reported(&mut world, &scripts[0], group, 10);
        assert!(!seen.is_empty() && seen.iter().all(|(_, kind, _)| *kind == newer));
    }
}

/// RFC 3376, 9.1 and RFC 3810, 5.1.14 and 6.2: messages that aren't a router's queries get no
/// report.
#[test]
fn only_queries_are_answered() {
    for group in ["239.1.2.3", "ff05::1:3"] {
        let group = ip(group);
        let v4 = group.is_ipv4();
        let (mut world, scripts, _) = scripted(&[fixed(&["10.0.0.1/24", "fd00::1/64"])]);
        let any = if v4 { "0.0.0.0:5353" } else { "[::]:5353" };
        let socket = world.stacks[0].udp_bind(address(any)).unwrap();
        world.stacks[0].udp_join(socket, group, None).unwrap();
        world.advance(10 * SECOND);
        frames(&scripts[0]);
        let sound = query(v4, false, 10);
        let mut others = sound.clone();
        others[0] = if v4 { 0x12 } else { 131 };
        let mut frames_of = vec![query_frame(v4, 1, &others)];
        if v4 {
            others[0] = 0x11;
            others[3] ^= 1;
            frames_of.push(query_frame(v4, 1, &others));
        } else {
            frames_of.push(query_frame(v4, 2, &sound));
        }
        for frame in frames_of {
            scripts[0].inject(&frame);
            assert_eq!(reported(&mut world, &scripts[0], group, 30), []);
        }
        scripts[0].inject(&query_frame(v4, 1, &sound));
        assert_eq!(reported(&mut world, &scripts[0], group, 30).len(), 1);
    }
}

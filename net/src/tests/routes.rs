//! The route to an address, and changes of it.

use super::{MAC, MS, SECOND, address, connected, fixed, frames, ip, pair, scripted, wire};
use crate::ip::wire::checksum;
use crate::sim::World;
use crate::{Error, InterfaceConfig};

#[test]
fn the_longest_prefix_and_the_source_choose_the_way() {
    let first = InterfaceConfig {
        gateways: vec![ip("10.0.0.254")],
        ..fixed(&["10.0.0.1/24"])
    };
    let second = InterfaceConfig {
        gateways: vec![ip("10.1.0.254")],
        ..fixed(&["10.1.0.1/24"])
    };
    let (mut world, _, ids) = scripted(&[first, second]);
    world.run_now();
    let stack = &mut world.stacks[0];
    stack
        .add_route((ip("172.16.0.0"), 12), ids[1], Some(ip("10.1.0.9")))
        .unwrap();
    stack
        .add_route((ip("172.16.5.0"), 24), ids[0], None)
        .unwrap();
    assert!(
        stack
            .add_route((ip("172.16.0.0"), 33), ids[0], None)
            .is_err()
    );
    assert!(
        stack
            .add_route((ip("::"), 0), ids[0], Some(ip("10.0.0.9")))
            .is_err()
    );
    let way = |to: &str, from: Option<&str>| {
        let route = stack.ip.route(ip(to), 0, from.map(ip)).unwrap();
        (route.interface, route.next_hop, route.source)
    };
    let one = ip("10.0.0.1");
    let two = ip("10.1.0.1");
    assert_eq!(way("10.1.0.7", None), (2, ip("10.1.0.7"), two));
    assert_eq!(way("8.8.8.8", None), (1, ip("10.0.0.254"), one));
    assert_eq!(way("8.8.8.8", Some("10.1.0.1")), (2, ip("10.1.0.254"), two));
    assert_eq!(way("172.20.1.1", None), (2, ip("10.1.0.9"), two));
    assert_eq!(way("172.16.5.5", None), (1, ip("172.16.5.5"), one));
    assert_eq!(way("10.1.0.1", None).0, 0, "an own address");
    assert_eq!(
        way("10.0.0.255", None).0,
        1,
        "a network's broadcast address"
    );
}

/// RFC 4007: an address without a zone is on the specified link, else on that of the source, else
/// on the first that has an address for it; a specified link that can't be used is an error,
/// another one isn't.
#[test]
fn an_address_of_any_link_is_sought_on_the_named_one_then_on_the_sources() {
    let both = fixed(&["10.1.0.1/24", "2001:db8::1/64"]);
    let configs = [fixed(&["10.0.0.1/24"]), both, fixed(&["fd00::1/64"])];
    let (mut world, _, _) = scripted(&configs);
    world.run_now();
    let (group, group6, neighbor) = ("224.0.0.9", "ff02::9", "fe80::9");
    for (remote, scope, source, interface) in [
        (group, 0, None, Some(1)),
        (group, 0, Some("10.1.0.1"), Some(2)),
        (group, 1, Some("10.1.0.1"), Some(1)),
        // The loopback has no groups, and the third link no address of the family.
        (group, 0, Some("127.0.0.1"), Some(1)),
        (group, 3, None, None),
        (group, 9, None, None),
        (group6, 0, None, Some(1)),
        (group6, 0, Some("fd00::1"), Some(3)),
        (group6, 2, Some("fd00::1"), Some(2)),
        (group6, 0, Some("::1"), Some(1)),
        (neighbor, 0, None, Some(1)),
        (neighbor, 0, Some("2001:db8::1"), Some(2)),
        (neighbor, 3, Some("2001:db8::1"), Some(3)),
        (neighbor, 0, Some("::1"), Some(1)),
        (neighbor, 9, None, None),
    ] {
        let route = world.stacks[0].ip.route(ip(remote), scope, source.map(ip));
        let found = route.ok().map(|route| route.interface);
        assert_eq!(found, interface, "{remote} {scope} {source:?}");
    }
}

#[test]
fn rfc4861_section_6_3_6_a_dead_gateway_is_passed_over() {
    let config = InterfaceConfig {
        slaac: true,
        ..fixed(&["2001:db8::1/64"])
    };
    let (mut world, scripts, _) = scripted(&[config]);
    // fe80::9 is preferred and silent; fe80::a answers.
    scripts[0].inject(&wire::advertisement(600, 0x08, &[]));
    let mut other = wire::advertisement(600, 0x00, &[]);
    other[37] = 10;
    let sum = u16::from_be_bytes([other[56], other[57]]);
    other[56..58].copy_from_slice(&checksum::add(sum, 0xffff - 1).to_be_bytes());
    scripts[0].inject(&other);
    world.run_now();
    let socket = world.stacks[0].udp_bind(address("[::]:9")).unwrap();
    let to = address("[2001:db8:7::1]:7");
    world.stacks[0].udp_connect(socket, Some(to)).unwrap();
    world.stacks[0].udp_send(socket, b"x").unwrap();
    world.advance(5 * SECOND);
    assert_eq!(
        world.stacks[0].udp_recv_from(socket, &mut [0; 9]),
        Err(Error::Unreachable)
    );
    let stack = &world.stacks[0];
    let route = stack.ip.route(to.ip(), 0, None).unwrap();
    assert_eq!(route.next_hop, ip("fe80::a"));
}

#[test]
fn a_lost_address_ends_its_connections() {
    let mut world = pair();
    let (client, _) = connected(&mut world);
    let net = &mut world.stacks[0].ip.net;
    net.interfaces[1]
        .config
        .addresses
        .retain(|cidr| cidr.address.is_ipv6());
    net.configure(1);
    world.run_now();
    let mut buffer = [0; 4];
    assert_eq!(
        world.stacks[0].tcp_read(client, &mut buffer),
        Err(Error::ConnectionAborted)
    );
    assert_eq!(
        world.stacks[0].tcp_connect(address("10.0.0.2:80"), None),
        Err(Error::Unreachable)
    );
}

#[test]
fn a_smaller_path_makes_fragments_for_ten_minutes() {
    let (mut world, scripts, _) = scripted(&[fixed(&["10.0.0.1/24", "fd00::1/64"])]);
    let socket = world.stacks[0].udp_bind(address("0.0.0.0:9")).unwrap();
    let send = |world: &mut World| {
        let to = address("10.0.0.9:7");
        world.stacks[0].udp_send_to(socket, &[1; 1400], to).unwrap();
        world.run_now();
        let mut seen = frames(&scripts[0]);
        for reply in seen.iter().filter_map(|frame| wire::arp_reply(frame)) {
            scripts[0].inject(&reply);
        }
        world.run_now();
        seen.extend(frames(&scripts[0]));
        seen.retain(|frame| frame[12..14] == [8, 0] && frame[23] == 17);
        seen
    };
    let whole = send(&mut world);
    assert_eq!(whole.len(), 1);
    // RFC 1191, 4: fragmentation needed, next hop's MTU 1000; one is about an unused port.
    for (port, pieces) in [(8, 1), (9, 2)] {
        let mut quoted = whole[0][14..70].to_vec();
        quoted[21] = port;
        let mut error = wire::udp(address("10.0.0.9:1"), address("10.0.0.1:1"), MAC, &[0; 56]);
        error[23] = 1;
        error[24..26].fill(0);
        let sum = !checksum::sum(&error[14..34]);
        error[24..26].copy_from_slice(&sum.to_be_bytes());
        error[34..42].copy_from_slice(&[3, 4, 0, 0, 0, 0, 0x03, 0xe8]);
        error[42..].copy_from_slice(&quoted);
        let sum = !checksum::sum(&error[34..]);
        error[36..38].copy_from_slice(&sum.to_be_bytes());
        scripts[0].inject(&error);
        world.run_now();
        let sent = send(&mut world);
        assert_eq!(sent.len(), pieces);
        assert!(
            sent.iter()
                .all(|frame| frame.len() <= if pieces == 2 { 1014 } else { 1514 })
        );
    }
    world.advance(601 * SECOND);
    assert_eq!(send(&mut world).len(), 1);
}

#[test]
fn echo_requests_are_answered_or_not() {
    let mut world = pair();
    for (to, len) in [("10.0.0.2:0", 56), ("[fd00::2]:0", 0), ("10.0.0.2:0", 9000)] {
        let echo = world.stacks[0].ping(address(to), len).unwrap();
        assert_eq!(world.stacks[0].ping_result(echo), Err(Error::WouldBlock));
        world.advance(10 * MS);
        let reply = world.stacks[0].ping_result(echo).unwrap();
        assert!(
            reply.rtt_ns >= 200_000 && reply.hop_limit == 64,
            "{reply:?}"
        );
        world.stacks[0].close(echo).unwrap();
    }
    let echo = world.stacks[0].ping(address("10.0.0.77:0"), 56).unwrap();
    world.advance(5 * SECOND);
    assert_eq!(world.stacks[0].ping_result(echo), Err(Error::Unreachable));
    let own = world.stacks[0].ping(address("127.0.0.1:0"), 56).unwrap();
    world.advance(MS);
    assert!(world.stacks[0].ping_result(own).is_ok());
}

#[test]
fn routes_are_listed_and_taken_back() {
    let config = InterfaceConfig {
        gateways: vec![ip("10.0.0.254")],
        ..fixed(&["10.0.0.1/24"])
    };
    let (mut world, _, ids) = scripted(&[config]);
    world.run_now();
    let stack = &mut world.stacks[0];
    let network = (ip("172.16.0.0"), 12);
    let way = |stack: &crate::Stack| {
        stack
            .ip
            .route(ip("172.16.0.1"), 0, None)
            .map(|r| r.next_hop)
    };
    let before: Vec<_> = stack.routes();
    stack
        .add_route(network, ids[0], Some(ip("10.0.0.9")))
        .unwrap();
    assert_eq!(way(stack), Ok(ip("10.0.0.9")));
    let added: Vec<_> = stack
        .routes()
        .into_iter()
        .filter(|r| !before.contains(r))
        .collect();
    assert_eq!(added.len(), 1);
    assert_eq!((added[0].network, added[0].prefix_len), network);
    assert_eq!(
        (added[0].interface, added[0].gateway),
        (ids[0], Some(ip("10.0.0.9")))
    );
    assert!(!stack.remove_route((network.0, 13), ids[0]));
    assert!(stack.remove_route(network, ids[0]) && !stack.remove_route(network, ids[0]));
    assert_eq!(way(stack), Ok(ip("10.0.0.254")));
    assert_eq!(stack.routes(), before);
    // A route that wasn't added isn't removed.
    assert!(!stack.remove_route((ip("10.0.0.0"), 24), ids[0]));
}

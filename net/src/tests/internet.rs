//! What the IP layer does beyond what a peer sees of any host: groups, VLANs, raw frames, routes,
//! autoconfiguration's rarer options, the filter.

use core::net::{IpAddr, Ipv6Addr};

use super::{MS, SECOND, address, pair, ready, wire};
use crate::checksum;
use crate::ip::{FilterAction, FilterDirection, FilterRule, FilterState};
use crate::sim::{Cable, Impairment, Offloads, Script, World};
use crate::{Config, Error, InterfaceConfig, InterfaceId};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn fixed(addresses: &[&str]) -> InterfaceConfig {
    InterfaceConfig {
        addresses: addresses
            .iter()
            .map(|a| a.parse().expect("a prefix"))
            .collect(),
        dad_transmits: 0,
        ..Default::default()
    }
}

/// A stack with an interface for each configuration, each before a script.
fn scripted(configs: &[InterfaceConfig]) -> (World, Vec<Script>, Vec<InterfaceId>) {
    let mut world = World::new();
    let mut stack = world.stack(Config::default(), 70);
    let (mut scripts, mut ids) = (Vec::new(), Vec::new());
    for (n, config) in configs.iter().enumerate() {
        let cable = Cable::new(Impairment::default(), n as u64);
        let link = cable.link(0, MAC, 1500, Offloads::default());
        ids.push(stack.add_interface(link, config).unwrap());
        scripts.push(cable.script(1));
        world.cables.push(cable);
    }
    world.stacks.push(stack);
    (world, scripts, ids)
}

fn frames(script: &Script) -> Vec<Vec<u8>> {
    core::iter::from_fn(|| script.take()).collect()
}

/// An ICMPv6 message to all nodes or to one, from fe80::9 at the script.
fn icmp6(to: &str, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let to: Ipv6Addr = to.parse().expect("an address");
    let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    let mut addresses = from.octets().to_vec();
    addresses.extend(to.octets());
    let mut message = message.to_vec();
    let pseudo = checksum::pseudo_header(&addresses, 58, message.len());
    let sum = !checksum::add(pseudo, checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let [.., a, b, c, d] = to.octets();
    let mut frame = if to.is_multicast() {
        vec![0x33, 0x33, a, b, c, d]
    } else {
        MAC.to_vec()
    };
    frame.extend(wire::SCRIPT);
    frame.extend([
        0x86,
        0xdd,
        0x60,
        0,
        0,
        0,
        0,
        message.len() as u8,
        58,
        hop_limit,
    ]);
    frame.extend(addresses);
    frame.extend(message);
    frame
}

/// A router advertisement from fe80::9.
fn advertisement(lifetime_s: u16, flags: u8, options: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, flags];
    message.extend(lifetime_s.to_be_bytes());
    message.extend([0; 8]);
    options.iter().for_each(|option| message.extend(*option));
    icmp6("ff02::1", 255, &message)
}

fn prefix(text: &str, valid_s: u32) -> Vec<u8> {
    let mut option = vec![3, 4, 64, 0xc0];
    option.extend(valid_s.to_be_bytes());
    option.extend(valid_s.to_be_bytes());
    option.extend([0; 4]);
    option.extend(text.parse::<Ipv6Addr>().expect("a prefix").octets());
    option
}

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
        world.settle();
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
        world.settle();
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
            icmp6("ff02::1", 1, &message)
        };
        scripts[0].inject(&query);
        world.advance(2 * SECOND);
        assert_eq!(reports(&frames(&scripts[0]), 2), 1);
        // Left with the socket.
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

#[test]
fn ieee8021q_tags_are_put_on_and_taken_off() {
    let (mut world, scripts, ids) = scripted(&[fixed(&["10.0.0.1/24"])]);
    let stack = &mut world.stacks[0];
    let vlan = stack.add_vlan(ids[0], 7, &fixed(&["10.0.7.1/24"])).unwrap();
    for id in [0, 7, 4095] {
        assert_eq!(
            stack.add_vlan(ids[0], id, &InterfaceConfig::default()),
            Err(Error::InvalidArgument)
        );
    }
    assert!(
        stack
            .add_vlan(vlan, 8, &InterfaceConfig::default())
            .is_err()
    );
    let socket = stack.udp_bind(address("0.0.0.0:9")).unwrap();
    let tagged = |id: u8, from: &str, to: &str| {
        let mut frame = wire::udp(address(from), address(to), MAC, b"hello");
        frame.splice(12..12, [0x81, 0, 0x60, id]);
        frame
    };
    world.settle();
    frames(&scripts[0]);
    for frame in [
        tagged(7, "10.0.7.9:5", "10.0.7.1:9"),
        // A VLAN that isn't here, and an address of the other interface.
        tagged(8, "10.0.7.9:5", "10.0.7.1:9"),
        tagged(7, "10.0.0.9:5", "10.0.0.1:9"),
        // Only a priority: no VLAN.
        tagged(0, "10.0.0.9:6", "10.0.0.1:9"),
    ] {
        scripts[0].inject(&frame);
    }
    world.settle();
    let stack = &mut world.stacks[0];
    let mut senders = Vec::new();
    while let Some((_, from)) = ready(stack.udp_recv_from(socket, &mut [0; 9])) {
        senders.push(from);
    }
    assert_eq!(senders, [address("10.0.7.9:5"), address("10.0.0.9:6")]);
    stack.udp_send_to(socket, b"back", senders[0]).unwrap();
    world.settle();
    let asked = frames(&scripts[0]).pop().unwrap();
    assert_eq!(asked[12..18], [0x81, 0, 0, 7, 8, 6]);
    let mut untagged = asked.clone();
    untagged.drain(12..16);
    let mut reply = wire::arp_reply(&untagged).unwrap();
    reply.splice(12..12, [0x81, 0, 0, 7]);
    scripts[0].inject(&reply);
    world.settle();
    let sent = frames(&scripts[0]).pop().unwrap();
    assert_eq!(sent[12..18], [0x81, 0, 0, 7, 8, 0]);
    assert_eq!(sent[sent.len() - 4..], *b"back");
}

#[test]
fn raw_frames_of_a_type_go_both_ways() {
    let (mut world, scripts, ids) = scripted(&[fixed(&["10.0.0.1/24"])]);
    let stack = &mut world.stacks[0];
    for own in [0x0800, 0x86dd, 0x0806, 0x8100, 46] {
        assert_eq!(
            stack.ethernet_open(ids[0], own),
            Err(Error::InvalidArgument)
        );
    }
    let socket = stack.ethernet_open(ids[0], 0x88b5).unwrap();
    assert_eq!(
        stack.ethernet_open(ids[0], 0x88b5),
        Err(Error::AddressInUse)
    );
    stack.ethernet_send(socket, [0xff; 6], b"to all").unwrap();
    assert_eq!(
        stack.ethernet_send(socket, [0xff; 6], &[0; 1501]),
        Err(Error::MessageTooLong)
    );
    world.settle();
    let sent = frames(&scripts[0])
        .into_iter()
        .find(|f| f[12..14] == [0x88, 0xb5])
        .unwrap();
    assert_eq!((&sent[6..12], &sent[14..]), (&MAC[..], &b"to all"[..]));
    let mut buffer = [0; 3];
    assert_eq!(
        world.stacks[0].ethernet_recv(socket, &mut buffer),
        Err(Error::WouldBlock)
    );
    let mut frame = MAC.to_vec();
    frame.extend(wire::SCRIPT);
    frame.extend([0x88, 0xb5, 1, 2, 3, 4]);
    for _ in 0..1000 {
        scripts[0].inject(&frame);
    }
    world.settle();
    let mut told = Vec::new();
    world.stacks[0].take_events(&mut |handle| told.push(handle));
    assert_eq!(told, [socket]);
    let got = world.stacks[0].ethernet_recv(socket, &mut buffer).unwrap();
    assert_eq!((got, buffer), ((4, wire::SCRIPT, MAC), [1, 2, 3]));
    let mut count = 1;
    while world.stacks[0].ethernet_recv(socket, &mut buffer).is_ok() {
        count += 1;
    }
    assert_eq!(count, 256, "the queue is bounded");
    world.stacks[0].close(socket).unwrap();
    world.stacks[0].ethernet_open(ids[0], 0x88b5).unwrap();
}

#[test]
fn echo_requests_are_answered_or_not() {
    let mut world = pair();
    for (to, len) in [("10.0.0.2:0", 56), ("[fd00::2]:0", 0), ("10.0.0.2:0", 9000)] {
        let echo = world.stacks[0].echo(address(to), len).unwrap();
        assert_eq!(world.stacks[0].echo_result(echo), Err(Error::WouldBlock));
        world.advance(10 * MS);
        let reply = world.stacks[0].echo_result(echo).unwrap();
        assert!(
            reply.rtt_ns >= 200_000 && reply.hop_limit == 64,
            "{reply:?}"
        );
        world.stacks[0].close(echo).unwrap();
    }
    let echo = world.stacks[0].echo(address("10.0.0.77:0"), 56).unwrap();
    world.advance(5 * SECOND);
    assert_eq!(world.stacks[0].echo_result(echo), Err(Error::Unreachable));
    let own = world.stacks[0].echo(address("127.0.0.1:0"), 56).unwrap();
    world.advance(MS);
    assert!(world.stacks[0].echo_result(own).is_ok());
}

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
    world.settle();
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

#[test]
fn rfc4191_rfc8106_and_rfc4861_options_of_routers() {
    let config = InterfaceConfig {
        slaac: true,
        ..fixed(&[])
    };
    let (mut world, scripts, ids) = scripted(&[config]);
    let mut servers = vec![25, 3, 0, 0, 0, 0, 2, 88];
    servers.extend("fd00::53".parse::<Ipv6Addr>().unwrap().octets());
    let mut route = vec![24, 3, 48, 0x08, 0, 0, 2, 88];
    route.extend("fd77::".parse::<Ipv6Addr>().unwrap().octets());
    let domains = *b"\x1f\x02\0\0\0\0\x02\x58\x03lan\0\0\0\0";
    let options: [&[u8]; 5] = [
        &domains,
        &prefix("2001:db8::", 7200),
        &servers,
        &route,
        &[5, 1, 0, 0, 0, 0, 5, 0],
    ];
    // Low preference; then another router with a high one, by changing the last byte of fe80::9.
    scripts[0].inject(&advertisement(600, 0x18, &options));
    let mut other = advertisement(600, 0x08, &[]);
    other[37] = 10;
    let (sum, after) = (u16::from_be_bytes([other[56], other[57]]), 0xffff_u16 - 1);
    other[56..58].copy_from_slice(&checksum::add(sum, after).to_be_bytes());
    scripts[0].inject(&other);
    world.advance(SECOND);
    let status = world.stacks[0].interface_status(ids[0]).unwrap();
    assert_eq!(status.dns_servers, [ip("fd00::53")]);
    assert_eq!(status.search_domains, ["lan"]);
    assert_eq!(status.gateways, [ip("fe80::a"), ip("fe80::9")]);
    let way = |world: &World, to: &str| {
        let ip_layer = &world.stacks[0].ip;
        let route = ip_layer.route(ip(to), 0, None).unwrap();
        (route.next_hop, ip_layer.net.path_mtu(&route))
    };
    assert_eq!(way(&world, "2001:db8:9::1"), (ip("fe80::a"), 1280));
    assert_eq!(way(&world, "fd77::1").0, ip("fe80::9"));
    assert_eq!(
        way(&world, "2001:db8::1").0,
        ip("2001:db8::1"),
        "on the link"
    );
    // Everything for its time.
    world.advance(601 * SECOND);
    let status = world.stacks[0].interface_status(ids[0]).unwrap();
    assert!(status.dns_servers.is_empty() && status.gateways.is_empty());
    assert!(status.search_domains.is_empty());
    assert!(world.stacks[0].ip.route(ip("fd77::1"), 0, None).is_err());
}

#[test]
fn rfc8981_temporary_addresses_are_preferred_and_renewed() {
    let config = InterfaceConfig {
        slaac: true,
        temporary_addresses: true,
        ..fixed(&[])
    };
    let (mut world, scripts, ids) = scripted(&[config]);
    let mut seen = Vec::new();
    for _ in 0..10 {
        scripts[0].inject(&advertisement(
            1800,
            0,
            &[&prefix("2001:db8::", 86_400 * 7)],
        ));
        world.advance(43_200 * SECOND);
        frames(&scripts[0]);
        let source =
            world.stacks[0].ip.net.interfaces[1].source_for(ip("2001:db8:1::1"), world.now_ns);
        let source = source.unwrap();
        if !seen.contains(&source) {
            seen.push(source);
        }
        let addresses = world.stacks[0].interface_status(ids[0]).unwrap().addresses;
        assert!(addresses.len() <= 6, "{addresses:?}");
    }
    assert!(seen.len() >= 4, "a new one each day or so: {seen:?}");
    assert!(!seen.contains(&ip("2001:db8::ff:fe00:1")));
}

#[test]
fn rfc8415_dhcpv6_when_the_router_says_so() {
    let config = InterfaceConfig {
        slaac: true,
        ..fixed(&[])
    };
    let (mut world, scripts, _) = scripted(&[config]);
    world.advance(2 * SECOND);
    let asked = |frames: Vec<Vec<u8>>| -> Vec<u8> {
        let to_server = |f: &Vec<u8>| f.len() > 62 && f[20] == 17 && f[56..58] == [2, 35];
        frames
            .iter()
            .filter(|f| to_server(f))
            .map(|f| f[62])
            .collect()
    };
    assert_eq!(asked(frames(&scripts[0])), [0; 0]);
    scripts[0].inject(&advertisement(0, 0x40, &[]));
    world.advance(SECOND / 2);
    assert_eq!(asked(frames(&scripts[0])), [11]);
    scripts[0].inject(&advertisement(0, 0x80, &[]));
    world.advance(SECOND / 2);
    assert_eq!(asked(frames(&scripts[0])), [1]);
}

#[test]
fn a_smaller_path_makes_fragments_for_ten_minutes() {
    let (mut world, scripts, _) = scripted(&[fixed(&["10.0.0.1/24", "fd00::1/64"])]);
    let socket = world.stacks[0].udp_bind(address("0.0.0.0:9")).unwrap();
    let send = |world: &mut World| {
        let to = address("10.0.0.9:7");
        world.stacks[0].udp_send_to(socket, &[1; 1400], to).unwrap();
        world.settle();
        let mut seen = frames(&scripts[0]);
        for reply in seen.iter().filter_map(|frame| wire::arp_reply(frame)) {
            scripts[0].inject(&reply);
        }
        world.settle();
        seen.extend(frames(&scripts[0]));
        seen.retain(|frame| frame[12..14] == [8, 0] && frame[23] == 17);
        seen
    };
    let whole = send(&mut world);
    assert_eq!(whole.len(), 1);
    // RFC 1191, 4: fragmentation needed, next hop's MTU 1000; once about a port that nobody has.
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
        world.settle();
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
fn a_connected_socket_hears_its_peer_only() {
    let mut world = pair();
    let server = world.stacks[1].udp_bind(address("10.0.0.2:9")).unwrap();
    let other = world.stacks[1].udp_bind(address("10.0.0.2:10")).unwrap();
    let client = world.stacks[0].udp_bind(address("10.0.0.1:5")).unwrap();
    assert_eq!(
        world.stacks[0].udp_send(client, b"x"),
        Err(Error::NotConnected)
    );
    world.stacks[0]
        .udp_connect(client, Some(address("10.0.0.2:9")))
        .unwrap();
    assert_eq!(
        world.stacks[0].peer_address(client),
        Ok(address("10.0.0.2:9"))
    );
    world.stacks[0].udp_send(client, b"hello").unwrap();
    let stranger = address("10.0.0.1:5");
    world.stacks[1].udp_connect(other, Some(stranger)).unwrap();
    world.stacks[1].udp_send(other, b"not wanted").unwrap();
    let batch: Vec<(&[u8], _)> = vec![
        (b"a", address("10.0.0.1:5")),
        (b"bc", address("10.0.0.1:5")),
    ];
    assert_eq!(world.stacks[1].udp_send_batch(server, &batch), Ok(2));
    world.advance(10 * MS);
    let mut got = Vec::new();
    let mut take = |data: &[u8], from| got.push((data.to_vec(), from));
    assert_eq!(world.stacks[0].udp_recv_batch(client, 10, &mut take), Ok(2));
    let from = address("10.0.0.2:9");
    assert_eq!(got, [(b"a".to_vec(), from), (b"bc".to_vec(), from)]);
    // The other one was told that nobody hears it.
    let refused = world.stacks[1].udp_recv_from(other, &mut [0; 9]);
    assert_eq!(refused, Err(Error::ConnectionRefused));
    let nothing = world.stacks[0].udp_recv_batch(client, 10, &mut |_, _| {});
    assert_eq!(nothing, Err(Error::WouldBlock));
}

#[test]
fn broadcasts_reach_all_sockets_of_the_port() {
    let mut world = pair();
    let server = world.stacks[1].udp_bind(address("0.0.0.0:9")).unwrap();
    let own = world.stacks[1].udp_bind(address("10.0.0.2:10")).unwrap();
    let client = world.stacks[0].udp_bind(address("0.0.0.0:0")).unwrap();
    for to in ["255.255.255.255", "10.0.0.255"] {
        for port in [9, 10] {
            let to = core::net::SocketAddr::new(ip(to), port);
            world.stacks[0].udp_send_to(client, b"x", to).unwrap();
        }
    }
    world.advance(10 * MS);
    for socket in [server, own] {
        let count = world.stacks[1].udp_recv_batch(socket, 10, &mut |_, _| {});
        assert_eq!(count, Ok(2));
    }
}

#[test]
fn the_filter_drops_and_counts() {
    let mut world = pair();
    let rule = |action, direction| FilterRule::new(action, direction);
    world.stacks[1]
        .set_filter(&[
            FilterRule {
                protocol: Some(6),
                local_port: Some(80..=80),
                state: Some(FilterState::New),
                ..rule(FilterAction::Deny, FilterDirection::In)
            },
            FilterRule {
                protocol: Some(17),
                remote_port: Some(7..=7),
                ..rule(FilterAction::Deny, FilterDirection::Out)
            },
        ])
        .unwrap();
    for port in [80, 81] {
        let server = address(&format!("10.0.0.2:{port}"));
        world.stacks[1].tcp_listen(server, 8).unwrap();
        let client = world.stacks[0].tcp_connect(server, None).unwrap();
        world.advance(10 * MS);
        let result = world.stacks[0].tcp_connect_result(client);
        assert_eq!(result.is_ok(), port == 81, "{result:?}");
    }
    let socket = world.stacks[1].udp_bind(address("0.0.0.0:5")).unwrap();
    world.stacks[1]
        .udp_send_to(socket, b"x", address("10.0.0.1:7"))
        .unwrap();
    world.advance(10 * MS);
    assert!(ready(world.stacks[1].udp_recv_from(socket, &mut [0; 9])).is_none());
    let filtered = world.stacks[1]
        .drops()
        .find(|(name, _)| *name == "drop.filtered")
        .unwrap()
        .1;
    assert!(filtered >= 2, "{filtered}");
    let bad = FilterRule {
        remote: Some((ip("10.0.0.0"), 33)),
        ..rule(FilterAction::Deny, FilterDirection::In)
    };
    assert_eq!(
        world.stacks[1].set_filter(&[bad]),
        Err(Error::InvalidArgument)
    );
}

#[test]
fn rfc4861_section_6_3_6_a_dead_gateway_is_passed_over() {
    let config = InterfaceConfig {
        slaac: true,
        ..fixed(&["2001:db8::1/64"])
    };
    let (mut world, scripts, _) = scripted(&[config]);
    // fe80::9 is preferred and silent; fe80::a answers.
    scripts[0].inject(&advertisement(600, 0x08, &[]));
    let mut other = advertisement(600, 0x00, &[]);
    other[37] = 10;
    let sum = u16::from_be_bytes([other[56], other[57]]);
    other[56..58].copy_from_slice(&checksum::add(sum, 0xffff - 1).to_be_bytes());
    scripts[0].inject(&other);
    world.settle();
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
    let (client, _) = super::connected(&mut world);
    let net = &mut world.stacks[0].ip.net;
    net.interfaces[1]
        .config
        .addresses
        .retain(|cidr| cidr.address.is_ipv6());
    net.configure(1);
    world.settle();
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
fn rfc4862_section_5_4_packets_wait_until_the_address_is_known_to_be_ours() {
    let config = InterfaceConfig {
        dad_transmits: 1,
        ..fixed(&["10.0.0.1/24", "fd00::1/64"])
    };
    let (mut world, scripts, _) = scripted(&[config]);
    world.settle();
    let socket = world.stacks[0].udp_bind(address("[::]:9")).unwrap();
    world.stacks[0]
        .udp_send_to(socket, b"later", address("[fd00::9]:7"))
        .unwrap();
    world.stacks[0]
        .udp_send_to(socket, b"now", address("10.0.0.255:7"))
        .unwrap();
    world.advance(SECOND / 2);
    let is_datagram = |frame: &&Vec<u8>| frame.ends_with(b"now");
    assert_eq!(frames(&scripts[0]).iter().filter(is_datagram).count(), 1);
    let generation = world.stacks[0].configuration_generation();
    // Nobody objected: the neighbour is asked for, at once.
    world.advance(SECOND / 2);
    assert_ne!(world.stacks[0].configuration_generation(), generation);
    let asked = |frame: &&Vec<u8>| frame[20] == 58 && frame[54] == 135 && frame[38..54] != [0; 16];
    assert!(frames(&scripts[0]).iter().filter(asked).count() >= 1);
}

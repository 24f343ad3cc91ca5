//! Addresses from DHCP, DHCPv6 and router advertisements, and the configuration that accompanies
//! them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{DHCP_MAX_DNS_SERVER_COUNT, DhcpMessageType, DhcpPacket, DhcpRepr};

use super::{MS, SECOND, address, fixed, frames, ip, scripted, wire};
use crate::ip::wire::checksum;
use crate::sim::{Cable, Impairment, Offloads, Script, World};
use crate::{Config, Dhcp, InterfaceConfig, InterfaceId};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LEASE_S: u32 = 600;

/// A stack at one end of a cable, and a script at the other.
fn dynamic(config: &InterfaceConfig, impairment: Impairment) -> (World, Script, InterfaceId) {
    let mut world = World::new();
    let cable = Cable::new(impairment, 30);
    let mut stack = world.stack(Config::default(), 30);
    let link = cable.link(0, MAC, 1500, Offloads::default());
    let id = stack.add_interface(link, config).unwrap();
    world.stacks.push(stack);
    let script = cable.script(1);
    world.cables.push(cable);
    (world, script, id)
}

/// Answers a DHCP client's message as a server at 10.0.0.254 does.
fn serve(frame: &[u8]) -> Option<Vec<u8>> {
    let (from, to, payload) = wire::parse_udp(frame)?;
    if to.port() != 67 || !from.ip().is_unspecified() && from.ip() != Ipv4Addr::new(10, 0, 0, 7) {
        return None;
    }
    let packet = DhcpPacket::new_checked(&payload[..]).ok()?;
    let request = DhcpRepr::parse(&packet).ok()?;
    let answer = match request.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request => DhcpMessageType::Ack,
        _ => return None,
    };
    let server = Ipv4Addr::new(10, 0, 0, 254);
    let mut dns_servers = smoltcp_vec();
    let _ = dns_servers.push(Ipv4Addr::new(10, 0, 0, 253));
    let repr = DhcpRepr {
        message_type: answer,
        your_ip: Ipv4Addr::new(10, 0, 0, 7),
        server_ip: server,
        server_identifier: Some(server),
        router: Some(server),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        lease_duration: Some(LEASE_S),
        dns_servers: Some(dns_servers),
        requested_ip: None,
        client_identifier: None,
        parameter_request_list: None,
        max_size: None,
        ..request
    };
    let mut buffer = vec![0; repr.buffer_len()];
    repr.emit(&mut DhcpPacket::new_unchecked(&mut buffer[..]))
        .ok()?;
    let to = address("255.255.255.255:68");
    Some(wire::udp(address("10.0.0.254:67"), to, MAC, &buffer))
}

fn smoltcp_vec() -> heapless::Vec<Ipv4Addr, DHCP_MAX_DNS_SERVER_COUNT> {
    heapless::Vec::new()
}

#[test]
fn dhcp_gives_address_gateway_and_servers_and_renews_the_lease() {
    let config = InterfaceConfig {
        dhcp: true,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: MS,
        ..Default::default()
    };
    let (mut world, script, id) = dynamic(&config, impairment);
    let generation = world.stacks[0].configuration_generation();
    assert_eq!(
        world.stacks[0].interface_status(id).unwrap().dhcp,
        Dhcp::Searching
    );
    world.run(SECOND, |world| {
        while let Some(frame) = script.take() {
            serve(&frame)
                .iter()
                .for_each(|answer| script.inject(answer));
        }
        world.stacks[0].interface_status(id).unwrap().dhcp == Dhcp::Bound
    });
    assert_ne!(world.stacks[0].configuration_generation(), generation);
    let status = world.stacks[0].interface_status(id).unwrap();
    assert!(status.addresses.contains(&"10.0.0.7/24".parse().unwrap()));
    assert_eq!(status.gateways, [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254))]);
    assert_eq!(status.dns_servers, [address("10.0.0.253:53")]);
    assert!(world.now_ns < 100 * MS, "{} ms", world.now_ns / MS);
    // The lease is renewed as long as the server responds.
    let end_ns = world.now_ns + 10 * u64::from(LEASE_S) * SECOND;
    let mut renewals = 0;
    while world.now_ns < end_ns {
        world.step(SECOND);
        while let Some(frame) = script.take() {
            wire::arp_reply(&frame)
                .iter()
                .for_each(|answer| script.inject(answer));
            if let Some(answer) = serve(&frame) {
                renewals += 1;
                script.inject(&answer);
            }
        }
        assert_eq!(
            world.stacks[0].interface_status(id).unwrap().dhcp,
            Dhcp::Bound
        );
    }
    assert!((10..=30).contains(&renewals), "{renewals}");
    // And lost when it doesn't.
    world.advance(2 * u64::from(LEASE_S) * SECOND);
    let status = world.stacks[0].interface_status(id).unwrap();
    assert_eq!(status.dhcp, Dhcp::Searching);
    assert!(status.gateways.is_empty() && status.dns_servers.is_empty());
    assert!(!status.addresses.iter().any(|cidr| cidr.address.is_ipv4()));
}

#[test]
fn new_addresses_are_announced_twice() {
    let config = InterfaceConfig {
        addresses: vec![
            "10.0.0.7/24".parse().unwrap(),
            "fd00::7/64".parse().unwrap(),
        ],
        ..Default::default()
    };
    let (mut world, script, _) = dynamic(&config, Impairment::default());
    world.advance(60 * SECOND);
    let frames: Vec<Vec<u8>> = core::iter::from_fn(|| script.take()).collect();
    let arp = |frame: &&Vec<u8>| frame[12..14] == [8, 6];
    assert_eq!(frames.iter().filter(arp).count(), 2);
    for frame in frames.iter().filter(arp) {
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(
            (&frame[28..32], &frame[38..42]),
            (&[10, 0, 0, 7][..], &[10, 0, 0, 7][..])
        );
    }
    // The link-local address too. Before that, duplicate address detection probed each address (RFC
    // 4862, 5.4.2), and its group was reported twice (RFC 3810, 6.1).
    let sent = |kind: u8| {
        let of_kind = |frame: &&Vec<u8>| !arp(frame) && frame[20] == 58 && frame[54] == kind;
        frames.iter().filter(of_kind).count()
    };
    assert_eq!((sent(136), sent(135)), (4, 2));
    let reports = frames.iter().filter(|frame| !arp(frame) && frame[20] == 0);
    assert!((2..=4).contains(&reports.clone().count()));
    assert!(reports.clone().all(|frame| frame[62] == 143));
    assert_eq!(frames.len(), 8 + reports.count());
}

#[test]
fn dhcp_completes_in_spite_of_loss() {
    let config = InterfaceConfig {
        dhcp: true,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: MS,
        loss: 500_000,
        ..Default::default()
    };
    let (mut world, script, id) = dynamic(&config, impairment);
    world.run(120 * SECOND, |world| {
        while let Some(frame) = script.take() {
            serve(&frame)
                .iter()
                .for_each(|answer| script.inject(answer));
        }
        world.stacks[0].interface_status(id).unwrap().dhcp == Dhcp::Bound
    });
}

/// A router advertisement from fe80::1 with one prefix option.
fn advertisement(lifetime_s: u16, prefix: Ipv6Addr, len: u8, valid_s: u32) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend(lifetime_s.to_be_bytes());
    message.extend([0; 8]);
    message.extend([3, 4, len, 0xc0]);
    message.extend(valid_s.to_be_bytes());
    message.extend(valid_s.to_be_bytes());
    message.extend([0; 4]);
    message.extend(prefix.octets());
    let mut addresses = Vec::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets());
    addresses.extend(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets());
    let pseudo = checksum::pseudo_header(&addresses, 58, message.len());
    let sum = !checksum::add(pseudo, checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(wire::SCRIPT);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, message.len() as u8, 58, 255]);
    frame.extend(addresses);
    frame.extend(message);
    frame
}

#[test]
fn slaac_gives_an_address_and_a_gateway_for_their_lifetimes() {
    let config = InterfaceConfig {
        slaac: true,
        ..Default::default()
    };
    let (mut world, script, id) = dynamic(&config, Impairment::default());
    world.advance(20 * SECOND);
    let asked = core::iter::from_fn(|| script.take())
        .filter(|frame| frame[12..14] == [0x86, 0xdd] && frame[54] == 133)
        .count();
    assert_eq!(asked, 3, "router solicitations");
    let polls = world.polls;
    world.advance(40 * SECOND);
    assert!(
        world.polls - polls < 200,
        "no router, and no rest: {}",
        world.polls - polls
    );
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);
    script.inject(&advertisement(1800, prefix, 64, 86_400));
    world.advance(SECOND);
    let status = world.stacks[0].interface_status(id).unwrap();
    assert!(
        status
            .addresses
            .contains(&"2001:db8:0:1:0:ff:fe00:1/64".parse().unwrap())
    );
    assert_eq!(status.gateways, ["fe80::1".parse::<IpAddr>().unwrap()]);
    world.advance(1801 * SECOND);
    assert!(
        world.stacks[0]
            .interface_status(id)
            .unwrap()
            .gateways
            .is_empty()
    );
    world.advance(86_400 * SECOND);
    assert_eq!(
        world.stacks[0]
            .interface_status(id)
            .unwrap()
            .addresses
            .len(),
        1
    );
}

#[test]
fn nonsense_from_a_router_changes_nothing() {
    let config = InterfaceConfig {
        slaac: true,
        ..Default::default()
    };
    let (mut world, script, id) = dynamic(&config, Impairment::default());
    let multicast = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0);
    let global = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);
    script.inject(&advertisement(0, multicast, 64, 86_400));
    script.inject(&advertisement(0, global, 200, 86_400));
    script.inject(&advertisement(0, Ipv6Addr::UNSPECIFIED, 64, 86_400));
    for n in 0..100 {
        script.inject(&advertisement(
            0,
            Ipv6Addr::new(0x2001, n, 0, 1, 0, 0, 0, 0),
            64,
            9000,
        ));
    }
    world.advance(SECOND);
    assert_eq!(
        world.stacks[0]
            .interface_status(id)
            .unwrap()
            .addresses
            .len(),
        // One link-local, and four prefixes at most.
        5
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
        &wire::prefix("2001:db8::", 7200),
        &servers,
        &route,
        &[5, 1, 0, 0, 0, 0, 5, 0],
    ];
    // Low preference; then another router with a high one, by changing the last byte of fe80::9.
    scripts[0].inject(&wire::advertisement(600, 0x18, &options));
    let mut other = wire::advertisement(600, 0x08, &[]);
    other[37] = 10;
    let (sum, after) = (u16::from_be_bytes([other[56], other[57]]), 0xffff_u16 - 1);
    other[56..58].copy_from_slice(&checksum::add(sum, after).to_be_bytes());
    scripts[0].inject(&other);
    world.advance(SECOND);
    let status = world.stacks[0].interface_status(ids[0]).unwrap();
    assert_eq!(status.dns_servers, [address("[fd00::53]:53")]);
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
    // Everything expires at its time.
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
        scripts[0].inject(&wire::advertisement(
            1800,
            0,
            &[&wire::prefix("2001:db8::", 86_400 * 7)],
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
    // A random delay of up to a second precedes (18.2.1 and 18.2.6).
    scripts[0].inject(&wire::advertisement(0, 0x40, &[]));
    world.advance(SECOND);
    assert_eq!(asked(frames(&scripts[0])), [11]);
    scripts[0].inject(&wire::advertisement(0, 0x80, &[]));
    world.advance(SECOND);
    assert_eq!(asked(frames(&scripts[0])), [1]);
}

#[test]
fn rfc4862_section_5_4_packets_wait_until_the_address_is_known_to_be_ours() {
    let config = InterfaceConfig {
        dad_transmits: 1,
        ..fixed(&["10.0.0.1/24", "fd00::1/64"])
    };
    let (mut world, scripts, _) = scripted(&[config]);
    world.run_now();
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
    // No conflict: the neighbor is solicited at once.
    world.advance(SECOND / 2);
    assert_ne!(world.stacks[0].configuration_generation(), generation);
    let asked = |frame: &&Vec<u8>| frame[20] == 58 && frame[54] == 135 && frame[38..54] != [0; 16];
    assert!(frames(&scripts[0]).iter().filter(asked).count() >= 1);
}

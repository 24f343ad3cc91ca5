//! Router advertisements and the addresses that follow from them.

use core::net::Ipv6Addr;

use super::{SECOND, address, fixed, frames, ip, scripted, wire};
use crate::InterfaceConfig;
use crate::ip as checksum;
use crate::sim::World;

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
    // A random time of up to a second comes first (18.2.1 and 18.2.6).
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
    // Nobody objected: the neighbor is asked for, at once.
    world.advance(SECOND / 2);
    assert_ne!(world.stacks[0].configuration_generation(), generation);
    let asked = |frame: &&Vec<u8>| frame[20] == 58 && frame[54] == 135 && frame[38..54] != [0; 16];
    assert!(frames(&scripts[0]).iter().filter(asked).count() >= 1);
}

//! From configuration, leases and advertisements to the addresses, routes and ports in force.

use core::net::{IpAddr, Ipv6Addr};

use super::{SECOND, address, fixed, frames, ip, ready, scripted, wire};

use crate::sim::{Script, World};
use crate::{Error, InterfaceConfig};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OWN: &str = "fe80::ff:fe00:1";

fn slaac() -> InterfaceConfig {
    InterfaceConfig {
        slaac: true,
        ..fixed(&[])
    }
}

/// Preferred and valid until, in seconds; `None` without such an address.
fn lifetimes(world: &World, text: &str) -> Option<(u64, u64)> {
    let addresses = &world.stacks[0].ip.net.interfaces[1].addresses;
    let found = addresses.iter().find(|a| a.ip() == ip(text))?;
    Some((
        found.preferred_until_ns / SECOND,
        found.valid_until_ns / SECOND,
    ))
}

fn option(code: u16, content: &[u8]) -> Vec<u8> {
    let len = content.len() as u16;
    [&code.to_be_bytes()[..], &len.to_be_bytes(), content].concat()
}

/// Messages of a DHCPv6 client: source, type and message.
fn questions(script: &Script) -> Vec<(IpAddr, u8, Vec<u8>)> {
    let mut found = Vec::new();
    for frame in frames(script) {
        if frame.len() > 66 && frame[20] == 17 && frame[54..58] == [2, 34, 2, 35] {
            // The length in the header is that of the datagram.
            let len = usize::from(u16::from_be_bytes([frame[58], frame[59]]));
            assert_eq!(len, frame.len() - 54);
            assert_eq!(frame[..6], [0x33, 0x33, 0, 1, 0, 2]);
            let octets: [u8; 16] = frame[22..38].try_into().unwrap();
            found.push((octets.into(), frame[62], frame[62..].to_vec()));
        }
    }
    found
}

/// A server's answer, which leases fd00::7.
fn answer(question: &[u8], kind: u8, (preferred, valid): (u32, u32)) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(&question[1..4]);
    message.extend(option(1, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]));
    message.extend(option(2, b"server"));
    message.extend(option(
        23,
        &"fd00::53".parse::<Ipv6Addr>().unwrap().octets(),
    ));
    let mut lease = "fd00::7".parse::<Ipv6Addr>().unwrap().octets().to_vec();
    lease.extend(preferred.to_be_bytes());
    lease.extend(valid.to_be_bytes());
    let ia = [
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &option(5, &lease),
    ]
    .concat();
    message.extend(option(3, &ia));
    let (from, to) = (address("[fe80::9]:547"), format!("[{OWN}]:546"));
    wire::udp(from, address(&to), MAC, &message)
}

/// Sends an unsolicited neighbor advertisement about an address to all nodes.
fn claim(script: &Script, target: &str, flags: u8) {
    let mut message = vec![136, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.parse::<Ipv6Addr>().unwrap().octets());
    message.extend([2, 1]);
    message.extend(wire::SCRIPT);
    script.inject(&wire::icmp6("ff02::1", 255, &message));
}

#[test]
fn rfc8415_section_18_a_lease_is_asked_for_used_renewed_and_lost() {
    let (mut world, scripts, ids) = scripted(&[slaac()]);
    world.advance(2 * SECOND);
    scripts[0].inject(&wire::advertisement(0, 0x80, &[]));
    world.advance(2 * SECOND);
    let asked = questions(&scripts[0]);
    assert_eq!((asked[0].0, asked[0].1), (ip(OWN), 1));
    scripts[0].inject(&answer(&asked[0].2, 2, (1000, 2000)));
    world.run_now();
    let asked = questions(&scripts[0]);
    assert_eq!((asked[0].0, asked[0].1), (ip(OWN), 3));
    scripts[0].inject(&answer(&asked[0].2, 7, (1000, 2000)));
    world.run_now();
    let until = world.now_ns / SECOND;
    let status = world.stacks[0].interface_status(ids[0]).unwrap();
    assert!(status.addresses.contains(&"fd00::7/128".parse().unwrap()));
    assert_eq!(status.dns_servers, [address("[fd00::53]:53")]);
    assert_eq!(
        lifetimes(&world, "fd00::7"),
        Some((until + 1000, until + 2000))
    );
    // It is renewed at half of its time, with other times.
    world.advance(501 * SECOND);
    let asked = questions(&scripts[0]);
    assert_eq!(asked[0].1, 5);
    scripts[0].inject(&answer(&asked[0].2, 7, (300, 400)));
    world.run_now();
    let until = world.now_ns / SECOND;
    assert_eq!(
        lifetimes(&world, "fd00::7"),
        Some((until + 300, until + 400))
    );
    world.advance(399 * SECOND);
    assert!(lifetimes(&world, "fd00::7").is_some());
    world.advance(2 * SECOND);
    assert_eq!(lifetimes(&world, "fd00::7"), None);
}

/// RFC 8415, 18.2.8; RFC 4862, 5.4.5: an address that another host has is declined.
#[test]
fn a_leased_ipv6_address_that_another_one_has_is_declined() {
    let (mut world, scripts, _) = scripted(&[InterfaceConfig {
        dad_transmits: 1,
        ..slaac()
    }]);
    world.advance(2 * SECOND);
    scripts[0].inject(&wire::advertisement(0, 0x80, &[]));
    world.advance(2 * SECOND);
    let asked = questions(&scripts[0]);
    scripts[0].inject(&answer(&asked[0].2, 2, (1000, 2000)));
    world.run_now();
    let asked = questions(&scripts[0]);
    scripts[0].inject(&answer(&asked[0].2, 7, (1000, 2000)));
    world.run_now();
    assert!(lifetimes(&world, "fd00::7").is_some());
    claim(&scripts[0], "fd00::7", 0x20);
    world.run_now();
    assert_eq!(lifetimes(&world, "fd00::7"), None);
    assert_eq!(questions(&scripts[0])[0].1, 9);
}

/// RFC 8981, 3.4: a temporary address that another host has is replaced by another number.
#[test]
fn a_temporary_address_that_another_one_has_is_replaced() {
    let (mut world, scripts, _) = scripted(&[InterfaceConfig {
        temporary_addresses: true,
        dad_transmits: 1,
        ..slaac()
    }]);
    world.advance(2 * SECOND);
    let prefix = wire::prefix("2001:db8::", 86_400);
    scripts[0].inject(&wire::advertisement(600, 0, &[&prefix]));
    world.run_now();
    let stable = ip("2001:db8::ff:fe00:1");
    let temporary = |world: &World| {
        let addresses = &world.stacks[0].ip.net.interfaces[1].addresses;
        let mut found = addresses.iter().map(|address| address.ip());
        found.find(|a| a.to_string().starts_with("2001:db8:") && *a != stable)
    };
    let before = temporary(&world).expect("an address");
    claim(&scripts[0], &before.to_string(), 0x20);
    world.run_now();
    let after = temporary(&world).expect("another one");
    assert_ne!(after, before);
}

#[test]
fn an_address_has_the_lifetimes_that_routers_say_last() {
    let (mut world, scripts, _) = scripted(&[slaac()]);
    for (seconds, begin) in [(9000, 0), (20_000, 100)] {
        let prefix = wire::prefix("2001:db8::", seconds);
        scripts[0].inject(&wire::advertisement(600, 0, &[&prefix]));
        world.run_now();
        let until = begin + u64::from(seconds);
        let found = lifetimes(&world, "2001:db8::ff:fe00:1");
        assert_eq!(found, Some((until, until)));
        world.advance(100 * SECOND);
    }
}

/// RFC 4861, 7.2.5: a router that becomes a host is no longer a gateway.
#[test]
fn a_router_may_become_a_host() {
    let (mut world, scripts, ids) = scripted(&[slaac()]);
    let prefix = wire::prefix("2001:db8::", 86_400);
    scripts[0].inject(&wire::advertisement(600, 0, &[&prefix]));
    world.run_now();
    // It is a neighbor, since traffic goes through it.
    let socket = world.stacks[0].udp_bind(address("[::]:9")).unwrap();
    let far = address("[2001:db8:1::1]:7");
    world.stacks[0].udp_send_to(socket, b"x", far).unwrap();
    world.run_now();
    for (flags, gateways) in [(0xa0, 1), (0x20, 0)] {
        claim(&scripts[0], "fe80::9", flags);
        world.run_now();
        let status = world.stacks[0].interface_status(ids[0]).unwrap();
        assert_eq!(status.gateways.len(), gateways);
        let sent = world.stacks[0].udp_send_to(socket, b"x", far);
        assert_eq!(sent == Err(Error::Unreachable), gateways == 0);
    }
}

/// A configured gateway takes precedence over those that routers prefer.
#[test]
fn a_fixed_gateway_is_preferred() {
    let (mut world, scripts, _) = scripted(&[InterfaceConfig {
        gateways: vec![ip("fd00::fe")],
        slaac: true,
        ..fixed(&["fd00::1/64"])
    }]);
    scripts[0].inject(&wire::advertisement(600, 0x08, &[]));
    world.run_now();
    let route = world.stacks[0]
        .ip
        .route(ip("2001:db8::1"), 0, None)
        .unwrap();
    assert_eq!(route.next_hop, ip("fd00::fe"));
}

/// An address that another host has makes no prefix on-link.
#[test]
fn a_duplicate_address_has_no_network() {
    let (mut world, scripts, _) = scripted(&[InterfaceConfig {
        dad_transmits: 1,
        ..fixed(&["fd00::1/64", "fd01::1/64"])
    }]);
    world.run_now();
    claim(&scripts[0], "fd00::1", 0x20);
    world.advance(5 * SECOND);
    let ip_layer = &world.stacks[0].ip;
    assert!(ip_layer.route(ip("fd00::5"), 0, None).is_err());
    assert!(ip_layer.route(ip("fd01::5"), 0, None).is_ok());
}

/// RFC 4862, 5.4 and RFC 4861, 6.3.7: until the link-local address is confirmed as unique, router
/// solicitations have the unspecified source.
#[test]
fn nothing_is_sent_from_an_address_that_is_being_probed_for() {
    let (mut world, scripts, _) = scripted(&[InterfaceConfig {
        dad_transmits: 3,
        ..slaac()
    }]);
    world.advance(20 * SECOND);
    let mut sources = Vec::new();
    for frame in frames(&scripts[0]) {
        if frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 133 {
            let octets: [u8; 16] = frame[22..38].try_into().unwrap();
            sources.push(Ipv6Addr::from(octets));
        }
    }
    let own: Ipv6Addr = OWN.parse().unwrap();
    assert_eq!(sources, [Ipv6Addr::UNSPECIFIED, own, own]);
}

/// The clients' ports are reserved only while there are clients, and no others are.
#[test]
fn datagrams_to_other_ports_than_the_clients_reach_their_sockets() {
    let dynamic = InterfaceConfig {
        dhcp: true,
        ..slaac()
    };
    for (config, from, at, received) in [
        (fixed(&[]), 67, 68, true),
        (dynamic.clone(), 67, 68, false),
        (dynamic.clone(), 66, 68, true),
        (dynamic.clone(), 67, 5000, true),
        (fixed(&[]), 547, 546, true),
        (dynamic.clone(), 547, 546, false),
        (dynamic.clone(), 548, 546, true),
        (dynamic, 547, 5000, true),
    ] {
        let v4 = from < 100;
        let (mut world, scripts, _) = scripted(&[InterfaceConfig {
            addresses: fixed(&["10.0.0.1/24", "fd00::1/64"]).addresses,
            ..config
        }]);
        let any = if v4 { "0.0.0.0" } else { "[::]" };
        let socket = world.stacks[0]
            .udp_bind(address(&format!("{any}:{at}")))
            .unwrap();
        let (host, own) = if v4 {
            ("10.0.0.9", "10.0.0.1")
        } else {
            ("[fd00::9]", "[fd00::1]")
        };
        let (from, to) = (format!("{host}:{from}"), format!("{own}:{at}"));
        let datagram = wire::udp(address(&from), address(&to), MAC, b"hello");
        scripts[0].inject(&datagram);
        world.run_now();
        let read = ready(world.stacks[0].udp_recv_from(socket, &mut [0; 9]));
        assert_eq!(read.is_some(), received, "{from} to {to}");
    }
}

//! Addresses from DHCP and router advertisements, and names.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{DHCP_MAX_DNS_SERVER_COUNT, DhcpMessageType, DhcpPacket, DhcpRepr};

use super::{MS, SECOND, address, ready, wire};
use crate::checksum;
use crate::sim::{Cable, Impairment, Offloads, Script, World};
use crate::{AddressFamily, Config, Dhcp, Error, InterfaceConfig, InterfaceId};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LEASE_S: u32 = 600;

/// A stack at one end of a cable, and a script at the other.
fn scripted(config: &InterfaceConfig, impairment: Impairment) -> (World, Script, InterfaceId) {
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
    let (mut world, script, id) = scripted(&config, impairment);
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
    assert_eq!(
        status.dns_servers,
        [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 253))]
    );
    assert!(world.now_ns < 100 * MS, "{} ms", world.now_ns / MS);
    // The lease is renewed as long as the server answers.
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
    let (mut world, script, _) = scripted(&config, Impairment::default());
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
    // The link-local address too.
    let advertised = frames
        .iter()
        .filter(|frame| !arp(frame) && frame[54] == 136)
        .count();
    assert_eq!((advertised, frames.len()), (4, 6));
}

#[test]
fn dhcp_survives_loss() {
    let config = InterfaceConfig {
        dhcp: true,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: MS,
        loss: 500_000,
        ..Default::default()
    };
    let (mut world, script, id) = scripted(&config, impairment);
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
    let (mut world, script, id) = scripted(&config, Impairment::default());
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
    let (mut world, script, id) = scripted(&config, Impairment::default());
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
        3
    );
}

/// Answers as a name server: `records` are (type, data) in the answer section, for the name asked.
fn answer(frame: &[u8], code: u8, records: &[(u16, &[u8])]) -> Option<Vec<u8>> {
    let (from, to, query) = wire::parse_udp(frame)?;
    if to.port() != 53 {
        return None;
    }
    // The header and the question, without what comes after them (RFC 6891).
    let question = 12 + query[12..].iter().position(|byte| *byte == 0)? + 5;
    let mut message = query[..question].to_vec();
    message[11] = 0;
    message[2] = 0x81;
    message[3] = 0x80 | code;
    message[7] = records.len() as u8;
    for (kind, data) in records {
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        message.extend(*data);
    }
    Some(wire::udp(to, from, MAC, &message))
}

/// Runs a lookup against a script that makes the answers.
fn look_up(
    servers: &[&str],
    mut serve: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> (Result<Vec<IpAddr>, Error>, u64) {
    let config = InterfaceConfig {
        addresses: vec!["10.0.0.7/24".parse().unwrap()],
        dns_servers: servers
            .iter()
            .map(|server| server.parse().unwrap())
            .collect(),
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: MS,
        ..Default::default()
    };
    let (mut world, script, _) = scripted(&config, impairment);
    let lookup = world.stacks[0]
        .dns_lookup("www.example.org", AddressFamily::Any)
        .unwrap();
    let mut result = Err(Error::WouldBlock);
    world.run(60 * SECOND, |world| {
        while let Some(frame) = script.take() {
            wire::arp_reply(&frame)
                .iter()
                .for_each(|answer| script.inject(answer));
            serve(&frame)
                .iter()
                .for_each(|answer| script.inject(answer));
        }
        result = world.stacks[0].dns_result(lookup);
        result != Err(Error::WouldBlock)
    });
    let mut told = Vec::new();
    world.stacks[0].take_events(&mut |handle| told.push(handle));
    assert_eq!(told, [lookup]);
    assert_eq!(world.stacks[0].dns_result(lookup), result);
    world.stacks[0].close(lookup).unwrap();
    assert_eq!(world.stacks[0].core.sockets.len(), 0);
    assert!(world.stacks[0].core.udp_ports.is_empty());
    (result, world.now_ns)
}

#[test]
fn names_are_looked_up() {
    let (result, at_ns) = look_up(&["10.0.0.53"], |frame| {
        answer(frame, 0, &[(1, &[192, 0, 2, 1]), (1, &[192, 0, 2, 2])])
    });
    let expected = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
    assert_eq!(result.unwrap(), expected);
    assert!(at_ns < 100 * MS);
}

#[test]
fn aliases_are_followed_and_broken_ones_end() {
    // An alias for "x" and a name for it: the owner of the second record is spelt out.
    let (result, _) = look_up(&["10.0.0.53"], |frame| {
        let mut reply = answer(frame, 0, &[(5, &[1, b'x', 0])])?;
        let at = reply.len();
        reply.extend([1, b'X', 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
        let mut payload = reply[42..].to_vec();
        payload[7] = 2;
        let _ = at;
        let (to, from, _) = wire::parse_udp(frame)?;
        Some(wire::udp(from, to, MAC, &payload))
    });
    assert_eq!(result.unwrap(), ["192.0.2.9".parse::<IpAddr>().unwrap()]);
    let (result, _) = look_up(&["10.0.0.53"], |frame| {
        answer(frame, 0, &[(5, &[0xc0, 12])])
    });
    assert_eq!(result, Err(Error::NameNotFound));
}

#[test]
fn a_server_that_is_silent_or_broken_is_passed_over() {
    let (result, at_ns) = look_up(&["10.0.0.53", "10.0.0.54"], |frame| {
        let (_, to, _) = wire::parse_udp(frame)?;
        (to.ip() == Ipv4Addr::new(10, 0, 0, 54)).then(|| answer(frame, 0, &[(1, &[1, 2, 3, 4])]))?
    });
    assert!(
        result.is_ok() && at_ns < 3 * SECOND,
        "{result:?} after {} ms",
        at_ns / MS
    );
    let (result, at_ns) = look_up(&["10.0.0.53", "10.0.0.54"], |frame| {
        let (_, to, _) = wire::parse_udp(frame)?;
        let code = if to.ip() == Ipv4Addr::new(10, 0, 0, 53) {
            2
        } else {
            0
        };
        answer(frame, code, &[(1, &[1, 2, 3, 4])])
    });
    assert!(
        result.is_ok() && at_ns < 1200 * MS,
        "{result:?} after {} ms",
        at_ns / MS
    );
}

#[test]
fn failures_of_names() {
    let (result, _) = look_up(&["10.0.0.53"], |frame| answer(frame, 3, &[]));
    assert_eq!(result, Err(Error::NameNotFound));
    let (result, at_ns) = look_up(&["10.0.0.53"], |_| None);
    assert_eq!(result, Err(Error::TimedOut));
    assert!((19 * SECOND..22 * SECOND).contains(&at_ns));
    // Answers of others, or to other questions, count for nothing.
    let (result, _) = look_up(&["10.0.0.53"], |frame| {
        let mut forged = answer(frame, 0, &[(1, &[6, 6, 6, 6])])?;
        let (to, from, _) = wire::parse_udp(frame)?;
        forged[42] ^= 1;
        Some(wire::udp(from, to, MAC, &forged[42..]))
    });
    assert_eq!(result, Err(Error::TimedOut));
    let (result, _) = look_up(&["10.0.0.53"], |frame| {
        let mut forged = answer(frame, 0, &[(1, &[6, 6, 6, 6])])?;
        let (to, from, _) = wire::parse_udp(frame)?;
        // The second letter of the name.
        forged[42 + 14] ^= 1;
        Some(wire::udp(from, to, MAC, &forged[42..]))
    });
    assert_eq!(result, Err(Error::TimedOut));
}

#[test]
fn names_that_need_no_server() {
    let (mut world, _, _) = scripted(&InterfaceConfig::default(), Impairment::default());
    let stack = &mut world.stacks[0];
    let mut ask = |name: &str, family| {
        let lookup = stack.dns_lookup(name, family)?;
        stack.dns_result(lookup)
    };
    let v4 = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
    assert_eq!(ask("192.0.2.7", AddressFamily::Any), Ok(v4("192.0.2.7")));
    assert_eq!(
        ask("[2001:db8::7]", AddressFamily::V6),
        Ok(v4("2001:db8::7"))
    );
    assert_eq!(
        ask("192.0.2.7", AddressFamily::V6),
        Err(Error::NameNotFound)
    );
    assert_eq!(ask("LocalHost.", AddressFamily::V4), Ok(v4("127.0.0.1")));
    assert_eq!(ask("a.localhost", AddressFamily::Any).unwrap().len(), 2);
    assert_eq!(
        ask("example.org", AddressFamily::Any),
        Err(Error::NoNameServer)
    );
    for name in [
        "",
        ".",
        "a..b",
        "a b",
        "ä.example",
        &"x".repeat(64),
        &"x.".repeat(200),
    ] {
        assert_eq!(
            ask(name, AddressFamily::Any),
            Err(Error::InvalidArgument),
            "{name}"
        );
    }
    let _ = ready::<()>(Err(Error::WouldBlock));
}

//! UDP: groups, broadcast, connected sockets.

use std::net::{IpAddr, SocketAddr};

use net::Error;
use net::sim::packet::{self, Ip};

use crate::support::{FAMILIES, Family, SECOND, Talk, V4, V6, address};

/// A group of each family, and its Ethernet address (RFC 1112, 6.4; RFC 2464, 7).
const GROUPS: [(Family, &str, [u8; 6]); 2] = [
    (V4, "239.1.2.3", [1, 0, 0x5e, 1, 2, 3]),
    (V6, "ff15::1:2", [0x33, 0x33, 0, 1, 0, 2]),
];

/// Whether a frame contains a report of a host about `group`: IGMPv3 to 224.0.0.22 or MLDv2 to
/// ff02::16, each link-local only.
fn reports(frame: &[u8], group: IpAddr) -> bool {
    let Some(ip) = Ip::parse(frame) else {
        return false;
    };
    let octets = match group {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let kind = ip.payload.first().copied();
    let expected: (u8, Option<u8>, IpAddr) = match group {
        IpAddr::V4(_) => (2, Some(0x22), [224, 0, 0, 22].into()),
        IpAddr::V6(_) => (58, Some(143), address("[ff02::16]:0").ip()),
    };
    (ip.protocol, kind, ip.to) == expected
        && ip.hop_limit == 1
        && ip.payload.windows(octets.len()).any(|part| part == octets)
}

fn joined(family: Family, group: IpAddr) -> (Talk, net::Handle) {
    let mut talk = Talk::new(family);
    let any = match family.host.contains(':') {
        true => address("[::]:6000"),
        false => address("0.0.0.0:6000"),
    };
    let socket = talk.stack().udp_bind(any).expect("a free port");
    talk.host.take(&mut talk.world);
    talk.stack().udp_join(socket, group, None).expect("a group");
    (talk, socket)
}

fn received(talk: &mut Talk, socket: net::Handle) -> Option<(Vec<u8>, SocketAddr)> {
    talk.world.run_now();
    let mut buffer = [0; 2000];
    match talk.stack().udp_recv_from(socket, &mut buffer) {
        Ok((len, from)) => Some((buffer[..len].to_vec(), from)),
        Err(Error::WouldBlock) => None,
        Err(error) => panic!("{error}"),
    }
}

/// RFC 3376, 4.2 and 5.1; RFC 3810, 5.2 and 6.1: joining and leaving is reported, more than once.
#[test]
fn joining_and_leaving_is_reported() {
    for (family, text, _) in GROUPS {
        let group: IpAddr = text.parse().expect("a group");
        let (mut talk, socket) = joined(family, group);
        let mut count = 0;
        for _ in 0..100 {
            talk.world.advance(SECOND / 10);
            let frames = talk.host.take(&mut talk.world);
            count += frames.iter().filter(|frame| reports(frame, group)).count();
        }
        assert!((2..=4).contains(&count), "{count} reports of {group}");
        talk.stack().udp_leave(socket, group, None).expect("joined");
        talk.world.advance(5 * SECOND);
        let frames = talk.host.take(&mut talk.world);
        assert!(frames.iter().any(|frame| reports(frame, group)), "{group}");
    }
}

/// RFC 3376, 5.2 and RFC 3810, 6.2: a query gets a report within its maximum response time.
#[test]
fn queries_are_answered() {
    for (family, text, _) in GROUPS {
        let group: IpAddr = text.parse().expect("a group");
        let (mut talk, _) = joined(family, group);
        talk.world.advance(20 * SECOND);
        talk.host.take(&mut talk.world);
        let query = match group {
            IpAddr::V4(_) => {
                let body = [0x11, 50, 0, 0, 0, 0, 0, 0, 2, 60, 0, 0];
                let sum = !packet::sum(0, &body);
                let mut body = body.to_vec();
                body[2..4].copy_from_slice(&sum.to_be_bytes());
                let plain = packet::ip(
                    (talk.host.mac, [1, 0, 0x5e, 0, 0, 1]),
                    family.host(0).ip(),
                    [224, 0, 0, 1].into(),
                    2,
                    1,
                    &body,
                );
                router_alert(plain)
            }
            IpAddr::V6(_) => {
                let from = address("[fe80::9]:0").ip();
                let to = address("[ff02::1]:0").ip();
                let macs = (talk.host.mac, [0x33, 0x33, 0, 0, 0, 1]);
                let body = [&[0; 16][..], &[2, 60, 0, 0]].concat();
                let plain = packet::icmp(macs, from, to, (130, 0), 5000 << 16, &body);
                hop_by_hop(&plain)
            }
        };
        talk.host.send_frame(&mut talk.world, &query);
        talk.host.expect(&mut talk.world, 6 * SECOND, |frame| {
            reports(frame, group).then_some(())
        });
    }
}

/// The IPv4 packet with the Router Alert option (RFC 2113).
fn router_alert(frame: Vec<u8>) -> Vec<u8> {
    let mut frame = [&frame[..34], &[0x94, 4, 0, 0], &frame[34..]].concat();
    frame[14] = 0x46;
    let len = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&len.to_be_bytes());
    frame[24..26].fill(0);
    let sum = !packet::sum(0, &frame[14..38]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The IPv6 packet with the same (RFC 2711), and a hop limit of 1.
fn hop_by_hop(frame: &[u8]) -> Vec<u8> {
    let mut frame = [&frame[..54], &[58, 0, 5, 2, 0, 0, 1, 0], &frame[54..]].concat();
    frame[20..22].copy_from_slice(&[0, 1]);
    let len = (frame.len() - 54) as u16;
    frame[18..20].copy_from_slice(&len.to_be_bytes());
    frame
}

/// RFC 1112, 7.2: a datagram to a group reaches the sockets that joined it, and no others.
#[test]
fn datagrams_to_a_group_reach_its_members() {
    for (family, text, mac) in GROUPS {
        let group: IpAddr = text.parse().expect("a group");
        let (mut talk, socket) = joined(family, group);
        let from = family.host(5000);
        let macs = (talk.host.mac, mac);
        let to = SocketAddr::new(group, 6000);
        let datagram = packet::udp(macs, from, to, b"to all of you");
        talk.host.send_frame(&mut talk.world, &datagram);
        let found = received(&mut talk, socket);
        assert_eq!(found, Some((b"to all of you".to_vec(), from)), "{group}");
        talk.stack().udp_leave(socket, group, None).expect("joined");
        talk.world.advance(SECOND);
        talk.host.send_frame(&mut talk.world, &datagram);
        assert_eq!(received(&mut talk, socket), None, "{group}");
    }
}

/// RFC 1122, 3.3.6 and 4.1.3.4: a broadcast is received from any valid source address.
#[test]
fn broadcasts_are_received_from_one() {
    let mut talk = Talk::new(V4);
    let socket = talk
        .stack()
        .udp_bind(address("0.0.0.0:6000"))
        .expect("a free port");
    let macs = (talk.host.mac, [0xff; 6]);
    for to in ["255.255.255.255:6000", "10.0.0.255:6000"] {
        let datagram = packet::udp(macs, V4.host(5000), address(to), b"everyone");
        talk.host.send_frame(&mut talk.world, &datagram);
        assert!(received(&mut talk, socket).is_some(), "{to}");
    }
    for from in ["10.0.0.255:5000", "224.0.0.1:5000", "255.255.255.255:5000"] {
        let datagram = packet::udp(macs, address(from), address("10.0.0.1:6000"), b"many");
        talk.host.send_frame(&mut talk.world, &datagram);
        assert_eq!(received(&mut talk, socket), None, "{from}");
    }
}

/// RFC 1122, 4.1.3.5: a connected socket receives from its peer only.
#[test]
fn a_connected_socket_receives_from_its_peer_only() {
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        let at = family.stack(6000);
        let socket = talk.stack().udp_bind(at).expect("a free port");
        let peer = family.host(7000);
        talk.stack()
            .udp_connect(socket, Some(peer))
            .expect("a route");
        for (port, accepted) in [(7001, false), (7000, true)] {
            let from = family.host(port);
            let datagram = packet::udp(talk.host.macs(), from, at, b"me");
            talk.host.send_frame(&mut talk.world, &datagram);
            assert_eq!(received(&mut talk, socket).is_some(), accepted, "{from}");
        }
        talk.stack().udp_send(socket, b"you").expect("room");
        talk.host.expect(&mut talk.world, SECOND, |frame| {
            Ip::parse(frame).filter(|ip| ip.protocol == 17 && ip.payload[2..4] == [0x1b, 0x58])
        });
    }
}

//! UDP, ICMP and fragments.

use super::{MS, SECOND, address, ip, pair, pattern, ready};
use crate::sim::{Impairment, Offloads, World};
use crate::{Config, Error, Source};

#[test]
fn datagrams_keep_their_boundaries() {
    for (any, to) in [
        ("0.0.0.0:53", "10.0.0.2:53"),
        ("[::]:53", "[fd00::2]:53"),
        ("[::]:53", "10.0.0.2:53"),
        ("10.0.0.2:53", "10.0.0.2:53"),
    ] {
        let mut world = pair();
        let server = world.stacks[1].udp_bind(address(any)).unwrap();
        let client = world.stacks[0].udp_bind(address("[::]:0")).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(
            world.stacks[1].udp_recv_from(server, &mut buffer),
            Err(Error::WouldBlock)
        );
        for text in ["one", "", "three"] {
            world.stacks[0]
                .udp_send_to(client, text.as_bytes(), address(to))
                .unwrap();
        }
        world.advance(10 * MS);
        let mut told = Vec::new();
        world.stacks[1].take_events(&mut |handle| told.push(handle));
        assert_eq!(told, [server]);
        let mut from = None;
        for text in ["one", "", "three"] {
            let (len, sender) = world.stacks[1].udp_recv_from(server, &mut buffer).unwrap();
            assert_eq!(&buffer[..len], text.as_bytes());
            from = Some(sender);
        }
        world.stacks[1]
            .udp_send_to(server, b"answer", from.unwrap())
            .unwrap();
        world.advance(10 * MS);
        let (len, sender) = world.stacks[0]
            .udp_recv_from(client, &mut buffer[..3])
            .unwrap();
        assert_eq!((len, sender, &buffer[..3]), (6, address(to), &b"ans"[..]));
    }
}

#[test]
fn a_large_datagram_goes_in_fragments() {
    let offloads = Offloads {
        queue: 2,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: 1000,
        ..Default::default()
    };
    let mut world = World::pair(Config::default(), impairment, [offloads; 2], 20);
    let server = world.stacks[1].udp_bind(address("0.0.0.0:9")).unwrap();
    let client = world.stacks[0].udp_bind(address("0.0.0.0:0")).unwrap();
    let data = pattern(9000);
    for _ in 0..3 {
        world.stacks[0]
            .udp_send_to(client, &data, address("10.0.0.2:9"))
            .unwrap();
    }
    let mut buffer = vec![0; 10_000];
    for _ in 0..3 {
        let mut len = None;
        world.run(10 * SECOND, |world| {
            len = ready(world.stacks[1].udp_recv_from(server, &mut buffer));
            len.is_some()
        });
        assert_eq!(len.unwrap().0, data.len());
        assert!(buffer[..data.len()] == data);
    }
    let too_long = world.stacks[0].udp_send_to(client, &[0; 65_508], address("10.0.0.2:9"));
    assert_eq!(too_long, Err(Error::MessageTooLong));
    let too_long = world.stacks[0].udp_send_to(client, &[0; 1453], address("[fd00::2]:9"));
    assert_eq!(too_long, Err(Error::InvalidArgument));
}

/// RFC 768, RFC 8200: the length field includes the UDP header. IPv4's total length includes its
/// own header. Datagrams that exceed the queue's capacity are refused.
#[test]
fn the_largest_datagram_is_taken_and_no_larger_one() {
    let roomy = 1 << 20;
    for (queue, to, largest) in [
        (roomy, "10.0.0.2:9", 65_507),
        (roomy, "[fd00::2]:9", 65_527),
        (3000, "10.0.0.2:9", 3000),
    ] {
        let config = Config {
            udp_queue: queue,
            ..Config::default()
        };
        let offloads = [Offloads::default(); 2];
        let mut world = World::pair(config, Impairment::default(), offloads, 1);
        let client = world.stacks[0].udp_bind(address("[::]:0")).unwrap();
        let mut send = |len| world.stacks[0].udp_send_to(client, &vec![0; len], address(to));
        assert_eq!(send(largest + 1), Err(Error::MessageTooLong), "{to}");
        assert_eq!(send(largest), Ok(()), "{to}");
    }
}

#[test]
fn a_full_queue_says_so_and_drops_no_order() {
    let mut world = pair();
    let server = world.stacks[1].udp_bind(address("0.0.0.0:9")).unwrap();
    let client = world.stacks[0].udp_bind(address("0.0.0.0:0")).unwrap();
    let mut sent = 0u32;
    loop {
        let bytes = sent.to_be_bytes();
        match world.stacks[0].udp_send_to(client, &bytes, address("10.0.0.2:9")) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert_eq!(error, Error::WouldBlock);
                break;
            }
        }
    }
    assert_eq!(sent, 64);
    world.advance(SECOND);
    let mut told = Vec::new();
    world.stacks[0].take_events(&mut |handle| told.push(handle));
    assert_eq!(told, [client]);
    for expected in 0..sent {
        let mut buffer = [0; 4];
        world.stacks[1].udp_recv_from(server, &mut buffer).unwrap();
        assert_eq!(u32::from_be_bytes(buffer), expected);
    }
}

#[test]
fn an_unreachable_neighbor_delays_no_other() {
    let mut world = pair();
    let server = world.stacks[1].udp_bind(address("0.0.0.0:9")).unwrap();
    let client = world.stacks[0].udp_bind(address("0.0.0.0:0")).unwrap();
    for n in 0..30 {
        let gone = address(&format!("10.0.0.{}:9", 100 + n % 10));
        world.stacks[0]
            .udp_send_to(client, b"to nobody", gone)
            .unwrap();
        world.stacks[0]
            .udp_send_to(client, &[n], address("10.0.0.2:9"))
            .unwrap();
    }
    world.advance(10 * MS);
    for n in 0..30 {
        let mut buffer = [0; 4];
        assert_eq!(
            world.stacks[1]
                .udp_recv_from(server, &mut buffer)
                .unwrap()
                .0,
            1
        );
        assert_eq!(buffer[0], n);
    }
    world.advance(10 * SECOND);
    let polls = world.polls;
    world.advance(20 * SECOND);
    assert!(world.polls - polls < 200, "they are given up");
    let room = |world: &mut World| world.stacks[0].readiness(client).unwrap().writable;
    assert!(room(&mut world));
}

#[test]
fn closing_sends_what_is_queued() {
    let mut world = pair();
    let server = world.stacks[1].udp_bind(address("0.0.0.0:9")).unwrap();
    let client = world.stacks[0].udp_bind(address("0.0.0.0:5")).unwrap();
    for n in 0..20 {
        world.stacks[0]
            .udp_send_to(client, &[n], address("10.0.0.2:9"))
            .unwrap();
    }
    world.stacks[0]
        .udp_send_to(client, b"to nobody", address("10.0.0.77:9"))
        .unwrap();
    world.stacks[0].close(client).unwrap();
    assert_eq!(world.stacks[0].close(client), Err(Error::BadHandle));
    world.stacks[0].udp_bind(address("0.0.0.0:5")).unwrap();
    world.advance(10 * MS);
    let mut buffer = [0; 4];
    for n in 0..20 {
        world.stacks[1].udp_recv_from(server, &mut buffer).unwrap();
        assert_eq!(buffer[0], n);
    }
    world.advance(10 * SECOND);
    assert_eq!(world.stacks[0].sockets.table.len(), 1);
}

#[test]
fn a_closed_port_is_reported_once() {
    let mut world = pair();
    let client = world.stacks[0].udp_bind(address("0.0.0.0:0")).unwrap();
    let to = address("10.0.0.2:9");
    world.stacks[0].udp_connect(client, Some(to)).unwrap();
    world.stacks[0].udp_send(client, b"x").unwrap();
    world.advance(10 * MS);
    let mut buffer = [0; 4];
    let mut receive = || world.stacks[0].udp_recv_from(client, &mut buffer);
    assert_eq!(receive(), Err(Error::ConnectionRefused));
    assert_eq!(receive(), Err(Error::WouldBlock));
}

#[test]
fn ports_are_taken_and_given_back() {
    let mut world = pair();
    let stack = &mut world.stacks[0];
    let first = stack.udp_bind(address("0.0.0.0:53")).unwrap();
    assert_eq!(
        stack.udp_bind(address("10.0.0.1:53")),
        Err(Error::AddressInUse)
    );
    assert_eq!(
        stack.udp_bind(address("10.0.0.3:54")),
        Err(Error::AddressNotAvailable)
    );
    stack.close(first).unwrap();
    stack.udp_bind(address("10.0.0.1:53")).unwrap();
    let other = stack.udp_bind(address("127.0.0.1:53")).unwrap();
    // To this host, over the loopback.
    let client = stack.udp_bind(address("0.0.0.0:0")).unwrap();
    stack
        .udp_send_to(client, b"me", address("127.0.0.1:53"))
        .unwrap();
    world.advance(MS);
    let mut buffer = [0; 4];
    let (len, from) = world.stacks[0].udp_recv_from(other, &mut buffer).unwrap();
    assert_eq!(len, 2);
    assert_eq!(from.ip(), address("127.0.0.1:0").ip());
}

#[test]
fn a_connected_socket_receives_from_its_peer_only() {
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
    // The other one got port unreachable.
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

/// RFC 1122, 4.1.3.5: a server with several addresses answers from the one that it was asked at.
#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let mut world = pair();
    let stack = &mut world.stacks[0];
    let mut buffer = [0; 9];
    for any in ["0.0.0.0:53", "[::]:53"] {
        let server = stack.udp_bind(address(any)).unwrap();
        let client = stack.udp_bind(address("127.0.0.1:0")).unwrap();
        let asked = address("127.0.0.5:53");
        stack.udp_connect(client, Some(asked)).unwrap();
        for expected in [false, true] {
            stack.udp_send(client, b"?").unwrap();
            stack.poll(0, 1000);
            let question = stack.udp_receive(server, &mut buffer).unwrap();
            assert_eq!((question.to, question.local), (asked.ip(), asked.ip()));
            let source = match expected {
                true => Source {
                    address: Some(question.local),
                    interface: Some(question.interface),
                },
                false => Source::default(),
            };
            stack
                .udp_send_from(server, b"!", question.from, &source)
                .unwrap();
            stack.poll(0, 1000);
            let answer = ready(stack.udp_recv_from(client, &mut buffer));
            assert_eq!(answer, expected.then_some((1, asked)), "{any}");
        }
        let strange = |own: &str| Source {
            address: Some(ip(own)),
            interface: None,
        };
        let mut send = |own| stack.udp_send_from(server, b"!", asked, &strange(own));
        assert_eq!(send("10.0.0.3"), Err(Error::AddressNotAvailable));
        assert_eq!(send("10.0.0.255"), Err(Error::AddressNotAvailable));
        assert_eq!(send("::1"), Err(Error::InvalidArgument));
        stack.close(server).unwrap();
    }
}

#[test]
fn broadcasts_and_groups_are_answered_from_an_address_of_the_link() {
    for (any, to, own) in [
        ("0.0.0.0:9", "255.255.255.255:9", "10.0.0.2"),
        ("0.0.0.0:9", "10.0.0.255:9", "10.0.0.2"),
        ("0.0.0.0:9", "239.1.2.3:9", "10.0.0.2"),
        ("[::]:9", "[ff05::9]:9", "fd00::2"),
        ("[::]:9", "[fd00::2]:9", "fd00::2"),
    ] {
        let mut world = pair();
        let server = world.stacks[1].udp_bind(address(any)).unwrap();
        let to = address(to);
        if to.ip().is_multicast() {
            world.stacks[1].udp_join(server, to.ip(), None).unwrap();
        }
        let client = world.stacks[0].udp_bind(address("[::]:0")).unwrap();
        world.stacks[0].udp_send_to(client, b"?", to).unwrap();
        world.advance(SECOND);
        let mut buffer = [0; 9];
        let question = world.stacks[1].udp_receive(server, &mut buffer).unwrap();
        assert_eq!((question.to, question.local), (to.ip(), ip(own)));
        assert_eq!(question.interface, world.stacks[1].interfaces()[0]);
        let source = Source {
            address: Some(question.local),
            interface: Some(question.interface),
        };
        world.stacks[1]
            .udp_send_from(server, b"!", question.from, &source)
            .unwrap();
        world.advance(SECOND);
        let (_, from) = world.stacks[0].udp_recv_from(client, &mut buffer).unwrap();
        assert_eq!(from.ip(), ip(own));
    }
}

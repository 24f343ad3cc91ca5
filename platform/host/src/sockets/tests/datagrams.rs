//! Datagrams, and sockets of both families.

use super::{at, with_each};
use net::{Error, Source, Transport};
use std::net::SocketAddr;

#[test]
fn a_socket_of_both_families_has_peers_of_both() {
    with_each(|world| {
        let (listener, address) = world.listener("[::]:0");
        for peer in ["127.0.0.1", "::1"] {
            let to = SocketAddr::new(peer.parse().expect("an address"), address.port());
            // A machine may have no IPv6.
            let Ok(client) = world.sockets.tcp_connect(to, None) else {
                continue;
            };
            let server = world.until(|s| s.accept(listener)).expect("a connection");
            let from = world.sockets.peer_address(server).expect("connected");
            assert_eq!(
                from,
                world.sockets.local_address(client).expect("connected")
            );
            assert_eq!(from.ip(), to.ip());
        }
    });
}

#[test]
fn a_socket_of_every_address_answers_from_the_one_that_was_asked() {
    with_each(|world| {
        for (any, asked) in [
            ("0.0.0.0:0", "127.0.0.5"),
            ("[::]:0", "127.0.0.5"),
            ("[::]:0", "::1"),
        ] {
            // A machine may have no IPv6.
            let Ok(server) = world.sockets.udp_open(at(any), false) else {
                continue;
            };
            let port = world.sockets.local_address(server).expect("bound").port();
            let asked = SocketAddr::new(asked.parse().expect("an address"), port);
            let own = SocketAddr::new(asked.ip(), 0);
            let home = if own.is_ipv4() {
                at("127.0.0.1:0")
            } else {
                own
            };
            let Ok(client) = world.sockets.udp_open(home, false) else {
                continue;
            };
            assert_eq!(world.sockets.udp_restrict(client, Some(asked)), Ok(()));
            let none = Source::default();
            assert_eq!(world.sockets.udp_send(client, b"ask", asked, &none), Ok(()));
            let mut room = [0; 4];
            let question = world
                .until(|s| s.udp_take(server, &mut room))
                .expect("a datagram");
            assert_eq!((question.to, question.local), (asked.ip(), asked.ip()));
            assert_eq!(world.sockets.interface_name(question.interface), "lo");
            let source = Source {
                address: Some(question.local),
                interface: Some(question.interface),
            };
            let to = question.from;
            assert_eq!(world.sockets.udp_send(server, b"tell", to, &source), Ok(()));
            let answer = world.until(|s| s.udp_take(client, &mut room));
            assert_eq!(answer.map(|answer| answer.from), Ok(asked));
            let strange = Source {
                address: Some("192.0.2.1".parse().expect("an address")),
                interface: None,
            };
            let refused = world.sockets.udp_send(server, b"tell", to, &strange);
            let expected = match to.is_ipv4() {
                true => Error::AddressNotAvailable,
                false => Error::InvalidArgument,
            };
            assert_eq!(refused, Err(expected));
        }
    });
}

#[test]
fn datagrams_have_senders_and_a_restricted_socket_receives_from_its_peer_only() {
    with_each(|world| {
        let any = at("127.0.0.1:0");
        let [one, two, three] =
            [any; 3].map(|any| world.sockets.udp_open(any, false).expect("a port"));
        let [first, second, _] =
            [one, two, three].map(|s| world.sockets.local_address(s).expect("bound"));
        let mut room = [0; 4];
        assert_eq!(
            world
                .sockets
                .udp_send(two, b"longer", first, &Source::default()),
            Ok(())
        );
        let received = world.until(|s| s.udp_take(one, &mut room));
        let received = received.map(|received| (received.len, received.from));
        assert_eq!((received, &room), (Ok((6, second)), b"long"));
        // Queued datagrams of others aren't received either.
        assert_eq!(
            world
                .sockets
                .udp_send(three, b"no", first, &Source::default()),
            Ok(())
        );
        assert_eq!(world.sockets.udp_restrict(one, Some(second)), Ok(()));
        assert_eq!(
            world
                .sockets
                .udp_send(two, b"yes", first, &Source::default()),
            Ok(())
        );
        let received = world.until(|s| s.udp_take(one, &mut room));
        assert!(received.is_ok_and(|received| (received.len, received.from) == (3, second)));
        // ICMP reports once that the peer is gone.
        assert_eq!(world.sockets.close(two), Ok(()));
        assert_eq!(
            world
                .sockets
                .udp_send(one, b"gone", second, &Source::default()),
            Ok(())
        );
        let told = world.until(|s| s.udp_take(one, &mut room));
        assert_eq!(told, Err(Error::ConnectionRefused));
        assert_eq!(world.sockets.udp_restrict(one, None), Ok(()));
        assert_eq!(world.sockets.local_address(one), Ok(first));
        assert_eq!(
            world
                .sockets
                .udp_send(three, b"now", first, &Source::default()),
            Ok(())
        );
        assert!(
            world
                .until(|s| s.udp_take(one, &mut room))
                .is_ok_and(|received| received.len == 3)
        );
    });
}

//! TCP's requirements of the layers below: path MTU, neighbors, local addresses.

use net::sim::packet::{self, SYN, Tcp};
use net::sim::{Bench, Offloads};
use net::{Config, Error, InterfaceConfig};

use crate::icmp::packet_too_big;
use crate::support::{MS, SECOND, Talk, V4, V6, address, pattern};

/// RFC 1191, 6.3 and RFC 8201, 5.2: the next connection starts with the known path MTU.
#[test]
fn a_new_connection_knows_the_path() {
    for (family, headers) in [(V4, 40), (V6, 60)] {
        let (mut talk, begin) = packet_too_big(family, 1400);
        talk.expect(300 * MS, |segment| segment.seq == begin);
        talk.own.set_port(4001);
        let syn = talk.syn().mss(1440);
        let mut talk = talk.accepted_with(syn);
        let handle = talk.handle();
        talk.stack()
            .tcp_write(handle, &pattern(6000))
            .expect("room");
        let first = talk.expect(SECOND, |segment| !segment.payload.is_empty());
        assert!(first.payload.len() <= 1400 - headers);
    }
}

/// RFC 1122, 2.3.2.2: packets queued for a neighbor aren't lost, not even the last segment of a
/// connection to a neighbor that was never resolved because all replies went back to the source of
/// a frame.
#[test]
fn a_reset_to_an_unknown_neighbor_is_not_lost() {
    for family in [V4, V6] {
        let Bench {
            mut world,
            mut host,
        } = Bench::new(8);
        let listener = world.stacks[0]
            .tcp_listen(family.stack(80), 4)
            .expect("a free port");
        let syn = Tcp::between(family.host(4000), family.stack(80))
            .seq(7)
            .flags(SYN);
        host.send(&mut world, &syn);
        let answer = host.expect_tcp(&mut world, SECOND, |segment| segment.has(SYN));
        let question = syn.reply_to(&answer).payload(b"unread");
        host.send(&mut world, &question);
        let connection = world.stacks[0].tcp_accept(listener).expect("a connection");
        world.stacks[0].close(connection).expect("an open handle");
        host.expect_tcp(&mut world, SECOND, |segment| segment.has(packet::RST));
    }
}

/// RFC 9293, 3.9.1.1 (MUST-46): no host has a network's broadcast address.
#[test]
fn a_connect_to_a_broadcast_address_is_refused() {
    let mut talk = Talk::new(V4);
    let everyone = address("10.0.0.255:80");
    assert_eq!(
        talk.stack().tcp_connect(everyone, None),
        Err(Error::InvalidArgument)
    );
}

/// RFC 1122, 3.2.2.2: a redirect from a host that is no gateway is ignored.
#[test]
fn without_a_gateway_others_are_unreachable() {
    let interface = InterfaceConfig {
        addresses: vec!["10.0.0.1/24".parse().expect("an address")],
        ..Default::default()
    };
    let bench = Bench::with(Config::default(), &interface, 1500, Offloads::default(), 1);
    let mut talk = Talk::on(bench, V4);
    let stack = talk.stack();
    assert_eq!(
        stack.tcp_connect(address("192.0.2.1:80"), None),
        Err(Error::Unreachable)
    );
    // Ignores a redirect from a host that is no gateway.
    let (from, to) = (V4.host(0).ip(), V4.stack(0).ip());
    let about = Tcp::between(V4.stack(5000), address("192.0.2.1:80")).flags(SYN);
    let quoted = about.frame(talk.host.macs());
    let redirect = packet::icmp(
        talk.host.macs(),
        from,
        to,
        (5, 1),
        0x0a00_0009,
        &quoted[14..42],
    );
    talk.host.send_frame(&mut talk.world, &redirect);
    assert_eq!(
        talk.stack().tcp_connect(address("192.0.2.1:80"), None),
        Err(Error::Unreachable)
    );
}

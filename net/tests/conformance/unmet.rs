//! What isn't met yet: `cargo test -p net --features unmet --test conformance unmet`.

use net::Error;
use net::sim::Bench;
use net::sim::packet::{self, SYN};

use crate::icmp::{error, too_big};
use crate::support::{MS, SECOND, Talk, V4, V6, address, pattern};

/// RFC 1191, 6.3 and RFC 8201, 5.2: the next connection knows the path already.
#[test]
fn a_new_connection_knows_the_path() {
    for (family, headers) in [(V4, 40), (V6, 60)] {
        let mut talk = Talk::accepted(family);
        talk.listen(300 * MS);
        let begin = talk.ack;
        let handle = talk.handle();
        talk.stack()
            .tcp_write(handle, &pattern(6000))
            .expect("room");
        let sent = talk.listen(MS);
        talk.ack = begin;
        let (kind, rest) = too_big(family, 1400);
        error(&mut talk, &sent[0], kind, rest);
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

/// RFC 1122, 2.3.2.2: what waits for a neighbour isn't lost, the last segment of a connection to one who was never asked for,
/// since all before it went back where a frame had come from.
#[test]
fn a_reset_to_an_unknown_neighbour_is_not_lost() {
    for family in [V4, V6] {
        let Bench {
            mut world,
            mut host,
        } = Bench::new(8);
        let listener = world.stacks[0]
            .tcp_listen(family.stack(80), 4)
            .expect("a free port");
        let syn = packet::Tcp::between(family.host(4000), family.stack(80))
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

/// RFC 9293, 3.9.1.1 (MUST-46): a network's broadcast address is nobody's.
#[test]
fn a_connect_to_a_broadcast_address_is_refused() {
    let mut talk = Talk::new(V4);
    let everyone = address("10.0.0.255:80");
    assert_eq!(
        talk.stack().tcp_connect(everyone, None),
        Err(Error::InvalidArgument)
    );
}

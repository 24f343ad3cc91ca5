//! The life of a connection: its initial options, notifications of its owner, counters at its end,
//! and what remains of it.

use super::{MS, SECOND, address, connect, connected, drain, pair, pattern, ready};
use crate::sim::packet::{ACK, FIN, RST, SYN, Tcp};
use crate::sim::{Bench, Impairment, Offloads, World};
use crate::tcp::flow::FlowKey;
use crate::tcp::machine::{Seq, TcpOptions};
use crate::{Config, Congestion, Error, Handle, InterfaceConfig, Stack};

fn dead() -> Impairment {
    Impairment {
        loss: 1_000_000,
        ..Default::default()
    }
}

/// A stack with a listener on port 80 before a scripted host.
fn bench(config: Config) -> (Bench, Handle) {
    let interface = InterfaceConfig {
        addresses: vec!["10.0.0.1/24".parse().unwrap()],
        ..Default::default()
    };
    let mut bench = Bench::with(config, &interface, 1500, Offloads::default(), 7);
    let at = address("10.0.0.1:80");
    let listener = bench.world.stacks[0].tcp_listen(at, 16).unwrap();
    (bench, listener)
}

fn syn() -> Tcp {
    let (host, stack) = (address("10.0.0.9:4000"), address("10.0.0.1:80"));
    Tcp::between(host, stack).flags(SYN).seq(1000).mss(1460)
}

/// The reply to a segment.
fn one(bench: &mut Bench, segment: &Tcp) -> Tcp {
    bench.host.send(&mut bench.world, segment);
    let mut seen = bench.host.take_tcp(&mut bench.world);
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

/// Completes a handshake; returns the acknowledgement, whose numbers are the next ones.
fn accepted(bench: &mut Bench, listener: Handle) -> (Tcp, Handle) {
    let answer = one(bench, &syn());
    let ack = syn().reply_to(&answer).window(60_000);
    bench.host.send(&mut bench.world, &ack);
    let handle = bench.world.stacks[0].tcp_accept(listener).unwrap();
    (ack, handle)
}

fn events(stack: &mut Stack) -> Vec<Handle> {
    let mut seen = Vec::new();
    stack.take_events(&mut |handle| seen.push(handle));
    seen
}

/// Connections inherit the configuration of the stack.
#[test]
fn a_connection_begins_as_the_stack_is_configured() {
    let config = Config {
        tcp_buffer_max: 1 << 20,
        tcp_buffer_min: 128 << 10,
        congestion: Congestion::NewReno,
        ecn: true,
        time_wait_ns: 3 * SECOND,
        connect_timeout_ns: 4 * SECOND,
        send_timeout_ns: 5 * SECOND,
        ..Config::default()
    };
    let (bench, _) = bench(config);
    let Stack { ip, sockets, .. } = &bench.world.stacks[0];
    let begin = |port: u16| {
        let (own, other) = (address("10.0.0.1:80"), address("10.0.0.9:1"));
        let key = FlowKey::new((own.ip(), own.port()), (other.ip(), port));
        sockets.setup(&ip.net, 1, &key, Seq(9), &TcpOptions::default())
    };
    let setup = begin(1);
    assert_eq!((setup.iss, setup.mss, setup.path_mss), (9, 1460, 1460));
    assert_eq!((setup.congestion, setup.ecn), (Congestion::NewReno, true));
    assert_eq!(setup.ip_header, 20);
    assert_eq!(setup.time_wait_ns, 3 * SECOND);
    assert_eq!(setup.handshake_timeout_ns, 4 * SECOND);
    assert_eq!(setup.user_timeout_ns, 5 * SECOND);
    let (first, most) = (128 << 10, 1 << 20);
    assert_eq!((setup.receive_initial, setup.receive_max), (first, most));
    assert_eq!((setup.send_initial, setup.send_max), (first, most));
    // RFC 7323, 5.4: the clock that one peer sees reveals nothing of the one that another sees.
    assert_ne!(setup.timestamp_offset, begin(2).timestamp_offset);
    assert_eq!(setup.timestamp_offset, begin(1).timestamp_offset);
}

/// RFC 9293, 3.10.7.4: an unacknowledged SYN-ACK is retransmitted, and counted, until the handshake
/// is abandoned.
#[test]
fn an_abandoned_handshake_is_counted() {
    let (mut bench, _) = bench(Config::default());
    let before = bench.world.stacks[0].tcp_counters().segments_out;
    one(&mut bench, &syn());
    let again = bench.host.listen(&mut bench.world, 200 * SECOND);
    assert_eq!(again.len(), 5);
    let counters = bench.world.stacks[0].tcp_counters();
    assert_eq!(counters.segments_out - before, 6);
    assert_eq!(counters.handshakes_given_up, 1);
}

/// A later segment may complete the handshake, if the first is lost: its data is kept.
#[test]
fn a_later_segment_ends_a_handshake() {
    let (mut bench, listener) = bench(Config::default());
    let answer = one(&mut bench, &syn());
    let first = syn().reply_to(&answer);
    let later = first
        .clone()
        .seq(first.seq.wrapping_add(5))
        .payload(b"world");
    bench.host.send(&mut bench.world, &later.flags(FIN | ACK));
    let stack = &mut bench.world.stacks[0];
    let handle = stack.tcp_accept(listener).unwrap();
    let mut seen = Vec::new();
    assert_eq!(drain(stack, handle, &mut seen), Some(()), "not the end yet");
    assert!(seen.is_empty());
    bench.host.send(&mut bench.world, &first.payload(b"hello"));
    let stack = &mut bench.world.stacks[0];
    assert_eq!(drain(stack, handle, &mut seen), None);
    assert_eq!(seen, b"helloworld");
}

/// A writer wakes when there is enough room: half of its data in flight, if the buffer is small.
#[test]
fn a_writer_is_notified_when_half_is_acknowledged() {
    let config = Config {
        tcp_buffer_max: 8 << 10,
        tcp_buffer_min: 8 << 10,
        ..Config::default()
    };
    let (mut bench, listener) = bench(config);
    let (ack, handle) = accepted(&mut bench, listener);
    let stack = &mut bench.world.stacks[0];
    let written = stack.tcp_write(handle, &pattern(20_000)).unwrap();
    assert_eq!(written, 8 << 10);
    assert_eq!(stack.tcp_write(handle, b"x"), Err(Error::WouldBlock));
    assert!(!stack.readiness(handle).unwrap().writable);
    events(stack);
    let begin = ack.ack;
    for (acknowledged, notified) in [(1000, false), (4095, false), (4096, true)] {
        let mut ack = ack.clone();
        ack.ack = begin.wrapping_add(acknowledged);
        bench.host.send(&mut bench.world, &ack);
        let stack = &mut bench.world.stacks[0];
        let expected = if notified { vec![handle] } else { Vec::new() };
        assert_eq!(events(stack), expected, "{acknowledged}");
    }
    let stack = &mut bench.world.stacks[0];
    assert!(stack.readiness(handle).unwrap().writable);
}

/// A waiting reader isn't woken for room to write, nor a waiting writer for data.
#[test]
fn events_are_of_what_is_waited_for() {
    let (mut bench, listener) = bench(Config::default());
    let (ack, handle) = accepted(&mut bench, listener);
    let stack = &mut bench.world.stacks[0];
    assert_eq!(stack.tcp_write(handle, &[7; 100]), Ok(100));
    assert_eq!(stack.tcp_read(handle, &mut [0; 9]), Err(Error::WouldBlock));
    bench.world.run_now();
    events(&mut bench.world.stacks[0]);
    let mut more = ack.clone();
    more.ack = ack.ack.wrapping_add(100);
    bench.host.send(&mut bench.world, &more);
    assert_eq!(events(&mut bench.world.stacks[0]), []);
    bench.host.send(&mut bench.world, &more.payload(b"x"));
    assert_eq!(events(&mut bench.world.stacks[0]), [handle]);
}

/// A connection that was reset is ready for everything, although there is unread data and no room
/// to write: there is nothing to wait for.
#[test]
fn what_is_over_is_ready_for_everything() {
    let (mut bench, listener) = bench(Config::default());
    let (ack, handle) = accepted(&mut bench, listener);
    bench
        .host
        .send(&mut bench.world, &ack.clone().payload(b"unread"));
    let stack = &mut bench.world.stacks[0];
    while ready(stack.tcp_write(handle, &[7; 100_000])).is_some() {}
    let before = stack.readiness(handle).unwrap();
    assert!(before.readable && !before.writable && !before.hangup && !before.error);
    let reset = ack.clone().seq(ack.seq.wrapping_add(6)).flags(RST);
    bench.host.send(&mut bench.world, &reset);
    let stack = &mut bench.world.stacks[0];
    let after = stack.readiness(handle).unwrap();
    assert!(after.readable && after.writable && after.hangup && after.error);
    assert_eq!(stack.tcp_counters().timeouts, 0);
    let mut seen = [0; 9];
    assert_eq!(stack.tcp_read(handle, &mut seen), Ok(6));
    assert_eq!(stack.tcp_memory_used(), 0);
}

/// Ends are counted by their kind.
#[test]
fn failures_are_counted_by_their_kind() {
    let mut world = pair();
    let client = world.stacks[0].tcp_connect(address("10.0.0.2:81"), None);
    world.advance(10 * MS);
    let refused = world.stacks[0].tcp_connect_result(client.unwrap());
    assert_eq!(refused, Err(Error::ConnectionRefused));
    let counters = world.stacks[0].tcp_counters();
    assert_eq!((counters.failed_connects, counters.timeouts), (1, 0));
    let (client, _) = connected(&mut world);
    world.stacks[0].tcp_write(client, &pattern(5000)).unwrap();
    world.cables[0].set_impairment(dead());
    world.advance(200 * SECOND);
    let counters = world.stacks[0].tcp_counters();
    assert_eq!((counters.failed_connects, counters.timeouts), (1, 1));
    assert_eq!((counters.time_waits, counters.time_wait_overflows), (0, 0));
    // Its memory is freed with the connection, not with its handle.
    assert_eq!(world.stacks[0].tcp_memory_used(), 0);
    assert!(counters.retransmitted > 0);
    // A peer that never responded doesn't count as a lost connection.
    let late = world.stacks[0].tcp_connect(address("10.0.0.2:80"), None);
    world.advance(400 * SECOND);
    assert!(world.stacks[0].tcp_connect_result(late.unwrap()).is_err());
    let counters = world.stacks[0].tcp_counters();
    assert_eq!((counters.failed_connects, counters.timeouts), (2, 1));
}

/// RFC 9293, 3.4.2: the record is counted; with room for one the second evicts the first.
#[test]
fn records_of_time_wait_are_counted() {
    let config = Config {
        time_wait_max: 1,
        ..Config::default()
    };
    let impairment = Impairment::delay(MS);
    let mut world = World::pair(config, impairment, Default::default(), 3);
    for (n, overflows) in [(1, 0), (2, 1)] {
        let (client, server) = connected(&mut world);
        world.stacks[0].close(client).unwrap();
        world.advance(10 * MS);
        world.stacks[1].close(server).unwrap();
        world.advance(10 * MS);
        let counters = world.stacks[0].tcp_counters();
        let seen = (counters.time_waits, counters.time_wait_overflows);
        assert_eq!(seen, (n, overflows));
    }
}

/// A connect without a neighbor fails after the configured time.
#[test]
fn a_neighbor_has_as_long_as_is_configured() {
    let config = Config {
        neighbor_timeout_ns: 700 * MS,
        ..Config::default()
    };
    let (mut bench, _) = bench(config);
    let stack = &mut bench.world.stacks[0];
    let client = stack.tcp_connect(address("10.0.0.77:80"), None).unwrap();
    bench.world.advance(699 * MS);
    let stack = &mut bench.world.stacks[0];
    assert_eq!(stack.tcp_connect_result(client), Err(Error::WouldBlock));
    bench.world.advance(2 * MS);
    let stack = &mut bench.world.stacks[0];
    assert_eq!(stack.tcp_connect_result(client), Err(Error::Unreachable));
    assert_eq!(stack.tcp_counters().failed_connects, 1);
}

/// A reply that arrived while the machine was suspended counts, although its timeout has passed.
#[test]
fn what_arrived_comes_before_the_timers() {
    for late_ns in [4 * SECOND, 100 * SECOND] {
        let impairment = Impairment::delay(MS);
        let mut world = World::pair(Config::default(), impairment, Default::default(), 3);
        let server = address("10.0.0.2:80");
        world.stacks[1].tcp_listen(server, 8).unwrap();
        let client = world.stacks[0].tcp_connect(server, None).unwrap();
        world.run_now();
        // The peer answers the request for its address, and this machine isn't run meanwhile.
        world.now_ns += 2 * MS;
        world.cables[0].set_now(world.now_ns);
        world.stacks[1].poll(world.now_ns, 64);
        world.now_ns += late_ns;
        world.advance(10 * MS);
        assert_eq!(world.stacks[0].tcp_connect_result(client), Ok(()));
    }
}

/// A new connection of the same ports isn't affected when the handle of the old one is closed.
#[test]
fn an_old_handle_is_closed_beside_its_successor() {
    let (mut bench, listener) = bench(Config::default());
    let (ack, old) = accepted(&mut bench, listener);
    bench.host.send(&mut bench.world, &ack.flags(RST));
    let (ack, new) = accepted(&mut bench, listener);
    bench.world.stacks[0].close(old).unwrap();
    bench.host.send(&mut bench.world, &ack.payload(b"hello"));
    let mut seen = Vec::new();
    drain(&mut bench.world.stacks[0], new, &mut seen);
    assert_eq!(seen, b"hello");
}

/// An aborted one reports that once.
#[test]
fn an_abort_is_said_once() {
    let (mut bench, listener) = bench(Config::default());
    let (_, handle) = accepted(&mut bench, listener);
    bench.world.stacks[0].abort(handle).unwrap();
    let seen = bench.host.listen(&mut bench.world, 10 * SECOND);
    assert_eq!(seen.len(), 1);
    assert!(seen[0].has(RST));
    assert_eq!(bench.world.stacks[0].sockets.table.len(), 1, "the listener");
}

/// A lost address ends the connections from it, and no others; ended connections keep their state,
/// and closed ones are removed.
#[test]
fn a_lost_address_leaves_what_is_over() {
    let mut world = pair();
    let mut servers = Vec::new();
    for server in ["10.0.0.2:80", "10.0.0.2:81", "[fd00::2]:82"] {
        let server = address(server);
        let listener = world.stacks[1].tcp_listen(server, 8).unwrap();
        servers.push(connect(&mut world, listener, server));
    }
    let [(reset, peer), (orphan, _), (other, _)] = servers[..] else {
        panic!()
    };
    world.stacks[1].tcp_write(peer, b"last words").unwrap();
    world.advance(10 * MS);
    world.stacks[1].abort(peer).unwrap();
    world.advance(10 * MS);
    world.stacks[0].close(orphan).unwrap();
    world.advance(10 * MS);
    assert_eq!(world.stacks[0].sockets.tcp.orphans.len(), 1);
    let net = &mut world.stacks[0].ip.net;
    let addresses = &mut net.interfaces[1].config.addresses;
    addresses.retain(|cidr| cidr.address.is_ipv6());
    net.configure(1);
    world.run_now();
    let stack = &mut world.stacks[0];
    assert_eq!(stack.sockets.tcp.orphans.len(), 0);
    assert_eq!(stack.socket_error(reset), Ok(Some(Error::ConnectionReset)));
    assert_eq!(stack.tcp_read(reset, &mut [0; 10]), Ok(10));
    assert_eq!(stack.socket_error(other), Ok(None));
    assert_eq!(stack.tcp_write(other, b"alive"), Ok(5));
}

//! Many connections: their cost, and what remains of them.

use super::{MS, SECOND, address, connect, connected, drain, ready};
use crate::sim::{Impairment, Offloads, World};
use crate::{Config, Handle};

#[test]
fn idle_connections_cost_a_packet_nothing() {
    let config = Config {
        tcp_memory: 1 << 30,
        tcp_buffer_min: 2048,
        tcp_buffer_max: 8192,
        half_open_max: 100_000,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: 10_000,
        ..Default::default()
    };
    let mut world = World::pair(config, impairment, [Offloads::default(); 2], 10);
    let mut cost = Vec::new();
    for idle in [0, 10_000] {
        for _ in 0..idle {
            // Stack 1 connects to four ports of stack 0, more than ports allow for one.
            let port = 1000 + world.stacks[1].sockets.table.len() % 4;
            let server = address(&format!("10.0.0.1:{port}"));
            if world.stacks[0].sockets.listeners.len() < 4 {
                for port in 1000..1004 {
                    let at = address(&format!("0.0.0.0:{port}"));
                    world.stacks[0].tcp_listen(at, 100_000).unwrap();
                }
            }
            world.stacks[1].tcp_connect(server, None).unwrap();
        }
        world.advance(SECOND);
        let (client, server) = connected(&mut world);
        world.advance(SECOND);
        let before = (
            world.stacks[0].sockets.work,
            world.stacks[1].sockets.work,
            world.polls,
        );
        for _ in 0..100 {
            world.stacks[0].tcp_write(client, b"question").unwrap();
            let mut seen = Vec::new();
            world.run(SECOND, |world| {
                drain(&mut world.stacks[1], server, &mut seen);
                seen.len() == 8
            });
            world.stacks[1].tcp_write(server, b"an answer").unwrap();
            let mut seen = Vec::new();
            world.run(SECOND, |world| {
                drain(&mut world.stacks[0], client, &mut seen);
                seen.len() == 9
            });
        }
        cost.push((
            world.stacks[0].sockets.work - before.0,
            world.stacks[1].sockets.work - before.1,
            world.polls - before.2,
        ));
    }
    assert!(world.stacks[0].sockets.table.len() > 10_000);
    assert_eq!(cost[0], cost[1], "frames and turns, and polls");
}

#[test]
fn an_idle_stack_asks_for_nothing() {
    let config = Config::default();
    let mut world = World::pair(config, Impairment::default(), Default::default(), 11);
    let (_client, _server) = connected(&mut world);
    // The addresses are announced, the groups reported, the neighbors confirmed.
    world.advance(20 * SECOND);
    let polls = world.polls;
    world.advance(50 * SECOND);
    // `advance` polls at least once a second in any case: count the polls that the stacks
    // requested.
    assert!(world.polls - polls < 20, "{} polls", world.polls - polls);
}

#[test]
fn sequential_connections_leave_nothing_behind() {
    let config = Config {
        time_wait_max: 1000,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: 10_000,
        ..Default::default()
    };
    let mut world = World::pair(config, impairment, [Offloads::default(); 2], 12);
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 1024).unwrap();
    let mut at_tenth = Vec::new();
    let count = if cfg!(debug_assertions) {
        10_000
    } else {
        100_000
    };
    for n in 0..count {
        let ends = connect(&mut world, listener, server);
        world.stacks[0].tcp_write(ends.0, b"GET /").unwrap();
        let mut seen = Vec::new();
        world.run(SECOND, |world| {
            drain(&mut world.stacks[1], ends.1, &mut seen);
            seen.len() == 5
        });
        world.stacks[1].tcp_write(ends.1, b"200").unwrap();
        // Either side may be the first to close.
        if n % 2 == 0 {
            world.stacks[1].close(ends.1).unwrap();
            let mut seen = Vec::new();
            world.run(SECOND, |world| {
                drain(&mut world.stacks[0], ends.0, &mut seen).is_none()
            });
            world.stacks[0].close(ends.0).unwrap();
        } else {
            world.advance(MS);
            let mut seen = Vec::new();
            drain(&mut world.stacks[0], ends.0, &mut seen);
            world.stacks[0].close(ends.0).unwrap();
            let mut seen = Vec::new();
            world.run(SECOND, |world| {
                drain(&mut world.stacks[1], ends.1, &mut seen).is_none()
            });
            world.stacks[1].close(ends.1).unwrap();
        }
        world.advance(MS);
        let places: Vec<_> = world
            .stacks
            .iter()
            .map(|s| s.sockets.table.capacity())
            .collect();
        if n == count / 10 {
            at_tenth = places;
        } else if n + 1 == count {
            assert_eq!(places, at_tenth);
        }
    }
    for stack in &world.stacks {
        let sockets = &stack.sockets;
        assert_eq!(stack.tcp_memory_used(), 0);
        assert!(
            sockets.tcp.flows.len() == 0
                && sockets.tcp.time_wait.len() <= 1000
                && sockets.timers.len() <= 128,
            "{:?}",
            sockets.timers
        );
        assert!(
            sockets.dirty.is_empty()
                && sockets.tcp.half_open.len() == 0
                && sockets.table.len() <= 1
        );
        let net = &stack.ip.net;
        assert!(net.interfaces.iter().all(|i| i.waiting.is_empty()));
        assert!(net.queues.iter().all(|queue| queue.blocked.is_empty()));
    }
}

#[test]
fn a_thousand_connections_move_bytes_at_the_same_time() {
    let config = Config {
        tcp_memory: 16 << 20,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: 100_000,
        ..Default::default()
    };
    let mut world = World::pair(config, impairment, [Offloads::default(); 2], 13);
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 1024).unwrap();
    let clients: Vec<Handle> = (0..1024)
        .map(|_| world.stacks[0].tcp_connect(server, None).unwrap())
        .collect();
    let mut servers = Vec::new();
    world.run(10 * SECOND, |world| {
        servers.extend(ready(world.stacks[1].tcp_accept(listener)));
        while let Some(server) = ready(world.stacks[1].tcp_accept(listener)) {
            servers.push(server);
        }
        servers.len() == clients.len()
    });
    let data = super::pattern(20_000);
    let mut sent = vec![0; clients.len()];
    let mut received = vec![Vec::new(); clients.len()];
    world.run(60 * SECOND, |world| {
        for (n, client) in clients.iter().enumerate() {
            while sent[n] < data.len()
                && let Some(len) = ready(world.stacks[0].tcp_write(*client, &data[sent[n]..]))
            {
                sent[n] += len;
            }
        }
        for (server, received) in servers.iter().zip(&mut received) {
            drain(&mut world.stacks[1], *server, received);
        }
        received.iter().all(|received| received.len() == data.len())
    });
    assert!(received.iter().all(|received| *received == data));
}

/// The rule of `budget.rs`: the limit holds for any number of peers that send data without a
/// reader. Once there are readers, all data arrives.
#[test]
fn memory_stays_within_its_limit_and_no_connection_stands_still() {
    let config = Config {
        tcp_memory: 512 << 10,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: MS,
        loss: 5_000,
        ..Default::default()
    };
    let mut world = World::pair(config, impairment, [Offloads::default(); 2], 14);
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 64).unwrap();
    let ends: Vec<_> = (0..40)
        .map(|_| connect(&mut world, listener, server))
        .collect();
    let data = super::pattern(60_000);
    let mut sent = vec![0; ends.len()];
    let mut received = vec![Vec::<u8>::new(); ends.len()];
    let begun_ns = world.now_ns;
    let mut most = 0;
    world.run(600 * SECOND, |world| {
        for (n, (client, server)) in ends.iter().enumerate() {
            while sent[n] < data.len()
                && let Some(len) = ready(world.stacks[0].tcp_write(*client, &data[sent[n]..]))
            {
                sent[n] += len;
            }
            // Reads nothing for a while.
            if world.now_ns - begun_ns > 5 * SECOND {
                drain(&mut world.stacks[1], *server, &mut received[n]);
            }
        }
        for stack in &world.stacks {
            most = most.max(stack.tcp_memory_used());
        }
        received.iter().all(|received| received.len() == data.len())
    });
    assert!(received.iter().all(|received| *received == data));
    assert!((64 << 10..512 << 10).contains(&most), "{most} bytes");
    assert!(world.now_ns - begun_ns < 120 * SECOND);
    // There is room for a few more, but not for any number.
    let more = (0..100).take_while(|_| world.stacks[0].tcp_connect(server, None).is_ok());
    assert!((1..20).contains(&more.count()));
}

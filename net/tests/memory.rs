//! Memory in use, counted by the allocator: connections that are over leave no memory behind.
#![allow(missing_docs)]

use std::alloc::System;
use std::sync::Mutex;

use net::sim::{Impairment, Offloads, World};
use net::{Config, Error, Handle};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[allow(dead_code)]
#[path = "conformance/support.rs"]
mod support;

use support::{FAMILIES, Family, Talk};

const SECOND: u64 = 1_000_000_000;

/// Each test counts the allocations of the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    // These already include what `realloc` adds or frees.
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Sends a window of data in a round trip of 20 ms, and reads it: the window grows.
fn fill(talk: &mut Talk) {
    let mut room = talk.window;
    while room > 0 {
        let len = room.min(1400);
        let segment = talk.segment().payload(&vec![3; len as usize]);
        talk.host.inject(&segment.frame(talk.host.macs()));
        talk.seq = segment.end();
        room -= len;
    }
    talk.world.run_now();
    let (handle, mut buffer) = (talk.handle(), vec![0; 1 << 20]);
    while let Ok(1..) = talk.stack().tcp_read(handle, &mut buffer) {}
    if let Some((value, _)) = &mut talk.stamp {
        *value += 20;
    }
    talk.listen(20_000_000);
}

/// Bytes allocated for each of `count` segments of `len` bytes, the last first, separated by gaps
/// of `gap` bytes.
fn backwards(family: Family, count: u32, len: u32, gap: u32) -> usize {
    let mut talk = Talk::accepted_full(family);
    for _ in 0..60 {
        if talk.window >= count * (len + gap) {
            break;
        }
        fill(&mut talk);
    }
    assert!(talk.window >= count * (len + gap), "{}", talk.window);
    let first = talk.seq;
    let base = talk.segment().payload(&vec![1; len as usize]);
    let before = ALLOCATOR.stats().bytes_allocated;
    for n in (1..=count).rev() {
        let segment = base.clone().seq(first.wrapping_add(n * (len + gap)));
        talk.host.inject(&segment.frame(talk.host.macs()));
        if n % 16 == 0 {
            talk.host.take(&mut talk.world);
        }
    }
    talk.host.take(&mut talk.world);
    assert_eq!(talk.error(), None);
    (ALLOCATOR.stats().bytes_allocated - before) / count as usize
}

/// Work per packet doesn't grow with the number of earlier ones (a known failure of others:
/// quadratic reassembly). Counted in allocated bytes: moved data needs a destination.
#[test]
fn segments_out_of_order_cost_the_same_each() {
    let _guard = ONE_AT_A_TIME.lock();
    for family in FAMILIES {
        for (len, gap, few, many) in [
            (1, 0, 500, 16_000),
            (1, 2, 500, 16_000),
            (1400, 0, 100, 1500),
        ] {
            let each = [few, many].map(|count| backwards(family, count, len, gap));
            println!("{len} bytes, gaps of {gap}: {each:?} bytes for each");
            assert!(
                each[1] < 2 * each[0],
                "{len} bytes, gaps of {gap}: {each:?}"
            );
        }
    }
}

/// One request and response on a connection of its own, closed by either side first.
fn exchange(world: &mut World, listener: Handle, server_first: bool) {
    let server = "10.0.0.2:80".parse().expect("an address");
    let client = world.stacks[0].tcp_connect(server, None).expect("a route");
    let mut accepted = None;
    let mut buffer = [0; 2000];
    let mut asked = false;
    let mut answered = 0;
    world.run(90 * SECOND, |world| {
        if !asked && world.stacks[0].tcp_connect_result(client) == Ok(()) {
            world.stacks[0]
                .tcp_write(client, b"GET / HTTP/1.1\r\n\r\n")
                .expect("room");
            asked = true;
        }
        accepted = accepted.or(world.stacks[1].tcp_accept(listener).ok());
        if let Some(connection) = accepted
            && world.stacks[1].tcp_read(connection, &mut buffer).is_ok()
        {
            world.stacks[1]
                .tcp_write(connection, &[b'x'; 1100])
                .expect("room");
        }
        if let Ok(len) = world.stacks[0].tcp_read(client, &mut buffer) {
            answered += len;
        }
        answered == 1100
    });
    let ends = [(0, client), (1, accepted.expect("a connection"))];
    let (first, second) = (
        ends[usize::from(server_first)],
        ends[usize::from(!server_first)],
    );
    world.stacks[first.0]
        .close(first.1)
        .expect("an open handle");
    world.run(90 * SECOND, |world| {
        match world.stacks[second.0].tcp_read(second.1, &mut buffer) {
            Ok(len) => len == 0,
            Err(error) => error != Error::WouldBlock,
        }
    });
    world.stacks[second.0]
        .close(second.1)
        .expect("an open handle");
    world.advance(1_000_000);
}

#[test]
fn memory_in_use_stays_the_same_over_many_connections() {
    let _guard = ONE_AT_A_TIME.lock();
    let config = Config {
        time_wait_max: 200,
        tcp_memory: 16 << 20,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: 10_000,
        ..Default::default()
    };
    let mut world = World::pair(config, impairment, [Offloads::default(); 2], 50);
    let listener = world.stacks[1]
        .tcp_listen("0.0.0.0:80".parse().expect("an address"), 1024)
        .expect("a free port");
    // The full count is for release builds; debug builds show the same shape.
    let count = if cfg!(debug_assertions) {
        10_000
    } else {
        100_000
    };
    let mut at_tenth = 0;
    for n in 0..count {
        exchange(&mut world, listener, n % 2 == 0);
        for stack in &mut world.stacks {
            stack.take_events(&mut |_| {});
        }
        if n == count / 10 {
            at_tenth = in_use();
        }
    }
    let (before, after) = (at_tenth as f64, in_use() as f64);
    assert!(
        (after / before - 1.0).abs() < 0.01,
        "{before} bytes, then {after}"
    );
    assert_eq!(
        world.stacks[0].tcp_memory_used() + world.stacks[1].tcp_memory_used(),
        0
    );
}

#[test]
fn ten_thousand_idle_connections_take_little_each() {
    let _guard = ONE_AT_A_TIME.lock();
    let config = Config {
        tcp_memory: 128 << 20,
        ..Default::default()
    };
    let mut world = World::pair(config, Impairment::default(), [Offloads::default(); 2], 51);
    let listener = world.stacks[1]
        .tcp_listen("0.0.0.0:80".parse().expect("an address"), 1024)
        .expect("a free port");
    let before = in_use();
    let mut ends = Vec::new();
    let mut buffer = [0; 4000];
    for _ in 0..10_000 {
        let server = "10.0.0.2:80".parse().expect("an address");
        let client = world.stacks[0].tcp_connect(server, None).expect("room");
        world.run_now();
        ends.push((
            client,
            world.stacks[1].tcp_accept(listener).expect("a connection"),
        ));
    }
    // Each has worked once, in both directions.
    for (client, server) in &ends {
        world.stacks[0]
            .tcp_write(*client, &[1; 3000])
            .expect("room");
        world.run_now();
        let len = world.stacks[1]
            .tcp_read(*server, &mut buffer)
            .expect("bytes");
        assert_eq!(world.stacks[1].tcp_write(*server, &buffer[..len]), Ok(len));
        world.run_now();
        assert_eq!(world.stacks[0].tcp_read(*client, &mut buffer), Ok(len));
    }
    world.advance(10 * SECOND);
    for stack in &world.stacks {
        assert_eq!(stack.tcp_memory_used(), 0);
        assert_eq!(stack.connections(), 10_000);
    }
    let each = (in_use() - before) / 20_000;
    println!("{each} bytes for each end of an idle connection");
    assert!(each <= 10_000, "{each} bytes");
    for (client, server) in ends {
        world.stacks[0].close(client).expect("an open handle");
        world.stacks[1].close(server).expect("an open handle");
        world.run_now();
    }
    world.advance(70 * SECOND);
    for stack in &mut world.stacks {
        stack.take_events(&mut |_| {});
        assert_eq!(stack.connections(), 0);
    }
}

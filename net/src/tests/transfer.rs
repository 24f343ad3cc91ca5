//! Bytes arrive, whatever the cable does.

use super::{MS, SECOND, address, connect, connected, drain, pair, pattern, ready};
use crate::sim::{Impairment, Offloads, Random, World};
use crate::{Config, Error, Handle};

/// Sends `data` from stack `from` to the other one and checks what arrives, then closes both ends.
fn transfer(world: &mut World, ends: (Handle, Handle), from: usize, data: &[u8], limit_ns: u64) {
    let handles = [ends.0, ends.1];
    let (sender, receiver) = (handles[from], handles[1 - from]);
    let mut sent = 0;
    let mut received = Vec::new();
    let mut shut = false;
    world.run(limit_ns, |world| {
        while sent < data.len() {
            match world.stacks[from].tcp_write(sender, &data[sent..]) {
                Ok(len) => sent += len,
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if sent == data.len() && !shut {
            world.stacks[from]
                .tcp_shutdown(sender)
                .expect("an open connection");
            shut = true;
        }
        drain(&mut world.stacks[1 - from], receiver, &mut received).is_none()
    });
    assert!(
        received == data,
        "{} bytes of {} differ",
        received.len(),
        data.len()
    );
    world.stacks[0].close(ends.0).expect("an open handle");
    world.stacks[1].close(ends.1).expect("an open handle");
}

#[test]
fn bytes_come_back_from_an_echo_server() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    assert_eq!(world.stacks[0].tcp_write(client, b"hello"), Ok(5));
    let mut seen = Vec::new();
    world.run(SECOND, |world| {
        drain(&mut world.stacks[1], server, &mut seen);
        seen == b"hello"
    });
    assert_eq!(world.stacks[1].tcp_write(server, &seen), Ok(5));
    let mut back = Vec::new();
    world.run(SECOND, |world| {
        drain(&mut world.stacks[0], client, &mut back);
        back == b"hello"
    });
    // Two round trips, of ARP and the TCP handshake, and two trips: nothing waited for a timer.
    assert!(world.now_ns < 5 * MS, "{} ns", world.now_ns);
}

/// A task that is about to wait needn't wait for the next poll: its earlier writes are sent at
/// once, and nothing is sent twice.
#[test]
fn sends_now_what_was_written() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    let frames = |world: &World| world.cables[0].statistics().frames;
    let before = frames(&world);
    let now_ns = world.now_ns;
    let stack = &mut world.stacks[0];
    stack.send_now(client, now_ns);
    assert_eq!(stack.tcp_write(client, b"hel"), Ok(3));
    assert_eq!(stack.tcp_write(client, b"lo"), Ok(2));
    stack.send_now(client, now_ns);
    stack.send_now(client, now_ns);
    stack.poll(now_ns, 64);
    assert_eq!(frames(&world) - before, 1);
    let mut seen = Vec::new();
    world.run(SECOND, |world| {
        drain(&mut world.stacks[1], server, &mut seen);
        seen == b"hello"
    });
    // A window that opens again is advertised with the next poll.
    let data = pattern(200_000);
    let mut sent = 0;
    world.run(SECOND, |world| {
        while let Some(len) = ready(world.stacks[0].tcp_write(client, &data[sent..])) {
            sent += len;
            if sent == data.len() {
                break;
            }
        }
        world.stacks[1].tcp_info(server).expect("open").unread >= 60_000
    });
    drain(&mut world.stacks[1], server, &mut seen);
    let (before, now_ns) = (frames(&world), world.now_ns);
    world.stacks[1].send_now(server, now_ns);
    assert_eq!(frames(&world), before);
    world.stacks[1].poll(now_ns, 64);
    assert_eq!(frames(&world) - before, 1);
    world.stacks[0].close(client).expect("an open handle");
    world.stacks[0].send_now(client, now_ns);
}

#[test]
fn bulk_both_ways_over_both_families() {
    for server in ["10.0.0.2:5001", "[fd00::2]:5001"] {
        for from in [0, 1] {
            let mut world = pair();
            let server = address(server);
            let listener = world.stacks[1].tcp_listen(server, 8).expect("a free port");
            let ends = connect(&mut world, listener, server);
            transfer(&mut world, ends, from, &pattern(3_000_000), 20 * SECOND);
        }
    }
}

#[test]
fn segments_cut_by_the_device_carry_right_checksums() {
    let offloads = Offloads {
        tx_checksum: true,
        tso4: true,
        tso6: true,
        ..Default::default()
    };
    for both in [[offloads, Offloads::default()], [offloads, offloads]] {
        for server in ["10.0.0.2:80", "[fd00::2]:80"] {
            let impairment = Impairment {
                delay_ns: 50_000,
                ..Default::default()
            };
            let mut world = World::pair(Config::default(), impairment, both, 3);
            let server = address(server);
            let listener = world.stacks[1].tcp_listen(server, 8).expect("a free port");
            let ends = connect(&mut world, listener, server);
            transfer(&mut world, ends, 0, &pattern(5_000_000), 20 * SECOND);
            let statistics = world.cables[0].statistics();
            assert!(statistics.cut > 50, "{statistics:?}");
        }
    }
}

#[test]
fn a_full_device_queue_loses_nothing() {
    let offloads = Offloads {
        queue: 3,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: 50_000,
        ..Default::default()
    };
    let mut world = World::pair(Config::default(), impairment, [offloads; 2], 4);
    let ends = connected(&mut world);
    let began_ns = world.now_ns;
    transfer(&mut world, ends, 0, &pattern(2_000_000), 20 * SECOND);
    // A frame lost on the way out costs at least a second.
    assert!(
        world.now_ns - began_ns < SECOND,
        "{} ms",
        (world.now_ns - began_ns) / MS
    );
}

#[test]
fn bulk_survives_loss_reorder_and_duplicates() {
    for seed in 0..12 {
        let impairment = Impairment {
            delay_ns: 2 * MS,
            jitter_ns: if seed % 2 == 0 { 0 } else { MS },
            loss: 20_000,
            duplicate: 10_000,
            corrupt: 5_000,
            ..Default::default()
        };
        let offloads = Offloads {
            tx_checksum: seed % 3 == 0,
            tso4: seed % 3 == 0,
            queue: 0,
            ..Default::default()
        };
        let mut world = World::pair(Config::default(), impairment, [offloads; 2], seed);
        let ends = connected(&mut world);
        transfer(
            &mut world,
            ends,
            (seed % 2) as usize,
            &pattern(300_000),
            1000 * SECOND,
        );
    }
}

#[test]
fn a_slow_reader_stops_the_writer_and_lets_it_go_on() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    let data = pattern(1_500_000);
    let mut sent = 0;
    let mut received = Vec::<u8>::new();
    let mut buffer = vec![0; 3000];
    world.run(3000 * SECOND, |world| {
        while sent < data.len() {
            match world.stacks[0].tcp_write(client, &data[sent..]) {
                Ok(len) => sent += len,
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("{error}"),
            }
        }
        // One small read per step of the clock.
        world.advance(MS);
        if let Some(len) = ready(world.stacks[1].tcp_read(server, &mut buffer)) {
            received.extend(&buffer[..len]);
        }
        received.len() == data.len()
    });
    assert_eq!(received, data);
}

#[test]
fn loopback_connections_work_to_every_own_address() {
    for server in [
        "127.0.0.1:7",
        "[::1]:7",
        "10.0.0.1:7",
        "[fd00::1]:7",
        "127.8.8.8:7",
    ] {
        let mut world = pair();
        let any = if server.starts_with('[') {
            "[::]:7"
        } else {
            "0.0.0.0:7"
        };
        // New addresses are announced first.
        world.advance(5 * SECOND);
        let frames = world.cables[0].statistics().frames;
        let stack = &mut world.stacks[0];
        let listener = stack.tcp_listen(address(any), 8).expect("a free port");
        let client = stack.tcp_connect(address(server), None).expect("a route");
        let data = pattern(500_000);
        let (mut sent, mut received) = (0, Vec::new());
        let mut accepted = None;
        world.run(SECOND, |world| {
            let stack = &mut world.stacks[0];
            accepted = accepted.or(ready(stack.tcp_accept(listener)));
            let Some(accepted) = accepted else {
                return false;
            };
            assert_eq!(stack.peer_address(client).unwrap(), address(server));
            assert_eq!(stack.local_address(accepted).unwrap(), address(server));
            while sent < data.len()
                && let Some(len) = ready(stack.tcp_write(client, &data[sent..]))
            {
                sent += len;
            }
            drain(stack, accepted, &mut received);
            received.len() == data.len()
        });
        assert_eq!(received, data);
        assert_eq!(
            world.cables[0].statistics().frames,
            frames,
            "nothing left the machine"
        );
    }
}

/// Both ends write and read in pieces of odd sizes, in both directions at once, and either may stop
/// reading for a while; windows fill to the last byte, close and open again.
fn both_ways(seed: u64) {
    let mut random = Random::new(seed);
    let impairment = Impairment {
        delay_ns: random.below(3 * MS),
        jitter_ns: random.below(2) * random.below(2 * MS),
        loss: (random.below(2) * random.below(20_000)) as u32,
        duplicate: (random.below(2) * random.below(10_000)) as u32,
        corrupt: 0,
        ..Default::default()
    };
    let config = Config {
        tcp_memory: 1 << 20 << random.below(6),
        tcp_buffer_min: 2048,
        ..Default::default()
    };
    let offloads = Offloads {
        tx_checksum: true,
        tso4: random.below(2) == 0,
        queue: 0,
        ..Default::default()
    };
    let mut world = World::pair(config, impairment, [offloads; 2], seed);
    let ends = connected(&mut world);
    let handles = [ends.0, ends.1];
    let data = pattern(150_000 + random.below(100_000) as usize);
    let (mut sent, mut received) = ([0; 2], [const { Vec::<u8>::new() }; 2]);
    let mut pause = [0; 2];
    let mut buffer = vec![0; 40_000];
    world.run(2000 * SECOND, |world| {
        for side in 0..2 {
            let (stack, handle) = (&mut world.stacks[side], handles[side]);
            let until = data
                .len()
                .min(sent[side] + 1 + random.below(20_000) as usize);
            if let Some(len) = ready(stack.tcp_write(handle, &data[sent[side]..until])) {
                sent[side] += len;
            }
            pause[side] = match pause[side] {
                0 if random.chance(5_000) => random.below(200),
                pause => u64::saturating_sub(pause, 1),
            };
            let piece = 1 + random.below(buffer.len() as u64 - 1) as usize;
            if pause[side] == 0
                && let Some(len) = ready(stack.tcp_read(handle, &mut buffer[..piece]))
            {
                received[side].extend(&buffer[..len]);
            }
        }
        // Time passes even if no task waits.
        world.now_ns += 100_000;
        received.iter().all(|received| received.len() == data.len())
    });
    assert!(received.iter().all(|received| *received == data));
}

#[test]
fn both_ways_at_once_never_stall() {
    let seeds = if cfg!(debug_assertions) { 40 } else { 5000 };
    for seed in 0..seeds {
        both_ways(seed);
    }
}

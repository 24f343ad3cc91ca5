//! Windows, small segments, delayed acknowledgements, and memory.

use super::super::{Flags, GUARANTEED, LARGE, Machine, Pressure, SMALL, SendBuffer, Setup, State};
use super::link::{MS, SECOND, World, pattern};
use super::script::{Script, header, ours, setup, theirs};
use crate::tests::Page;
use alloc::sync::Arc;

const RTT: u64 = 20 * MS;

/// RFC 9293, 3.8.6.1: a reader that stops, lost window updates, and probes without an end.
#[test]
fn a_closed_window_opens_again_though_updates_are_lost() {
    let mut world = World::standard(RTT / 2);
    let data = pattern(1_000_000);
    world.write(0, &data);
    world.ends[1].reads = false;
    world.run(600 * SECOND);
    let window = world.ends[1].machine.unread();
    assert!((60_000..70_000).contains(&window), "{window}");
    assert_eq!(
        world.ends[0].machine.error(),
        None,
        "no timeout while the peer answers"
    );
    assert_eq!(world.ends[0].machine.info().send_window, 0);
    // Probes are sent at growing intervals (MUST-36).
    let probes: Vec<u64> = world
        .sent(0)
        .filter(|sent| sent.at_ns > world.now_ns - 400 * SECOND && sent.len() > 0)
        .map(|sent| sent.at_ns)
        .collect();
    assert!((5..12).contains(&probes.len()), "{}", probes.len());
    // The reader continues; the first updates are lost.
    let until = world.now_ns + 3 * SECOND;
    world.rule = Box::new(move |sent| {
        if sent.from == 1 && sent.at_ns < until {
            None
        } else {
            Some(0)
        }
    });
    world.ends[1].reads = true;
    assert!(
        world.run_until(200 * SECOND, |world| world.ends[1].received.len()
            == data.len())
    );
    assert!(world.ends[1].received == data);
}

/// An accepted byte of a window probe counts (RFC 9293, 3.8.6.1).
#[test]
fn the_byte_of_a_probe_is_data() {
    let mut script = Script::established(&setup());
    let mut close = header(Flags::ACK, 1, 1);
    close.window = 0;
    script.give(&close, b"");
    assert_eq!(script.write(b"abcdef"), 6);
    assert!(script.out().is_empty());
    let probe = script.wait(SECOND * 2);
    assert_eq!(
        (probe[0].1.as_slice(), ours(probe[0].0.seq)),
        (&b"a"[..], 1)
    );
    let mut open = header(Flags::ACK, 1, 2);
    open.window = 10;
    let rest = script.give(&open, b"");
    assert_eq!(
        (rest[0].1.as_slice(), ours(rest[0].0.seq)),
        (&b"bcdef"[..], 2)
    );
}

/// Each probe of a closed window doubles the time to the next one (RFC 9293, 3.8.6.1). A window
/// that opens ends that: a loss afterwards is repaired after one RTO (RFC 6298, 2 and 5.5).
#[test]
fn an_opening_window_forgets_the_probes_back_off() {
    let mut script = Script::established(&setup());
    let mut close = header(Flags::ACK, 1, 1);
    close.window = 0;
    script.give(&close, b"");
    assert_eq!(script.write(b"abcdef"), 6);
    let mut probes = script.out();
    while probes.len() < 6 {
        probes.extend(script.wait(SECOND));
        script.give(&close, b"");
    }
    assert!(probes.iter().all(|(probe, _)| ours(probe.seq) == 1));
    let sent = script.give(&header(Flags::ACK, 1, 1), b"");
    assert_eq!(
        sent.last().map(|(_, payload)| payload.as_slice()),
        Some(&b"abcdef"[..])
    );
    // That is lost, and so is the tail loss probe (RFC 8985, 7.3): the RTO applies.
    let repaired = script.wait(3 * SECOND);
    assert!(repaired.len() >= 2, "{repaired:?}");
    assert!(repaired.iter().all(|(header, _)| ours(header.seq) == 1));
}

/// RFC 9293, 3.8.6.2: a reader that reads a byte at a time causes no segments of a byte.
#[test]
fn silly_windows_neither_offered_nor_used() {
    let mut world = World::standard(RTT / 2);
    let data = pattern(300_000);
    world.write(0, &data);
    world.ends[1].reads = false;
    for _ in 0..20_000 {
        world.run(MS / 5);
        let end = &mut world.ends[1];
        let bytes = end.machine.peek();
        let taken = bytes[..bytes.len().min(11)].to_vec();
        end.machine
            .consume(&mut end.memory, taken.len(), world.now_ns);
        end.received.extend(taken);
    }
    assert!(data.starts_with(&world.ends[1].received));
    let small = world
        .sent(0)
        .filter(|sent| sent.len() > 0 && sent.len() < 1400)
        .count();
    assert!(small < 6, "{small}");
    // The sender's part: small offered windows (RFC 9293, 3.8.6.2.1) aren't used byte by byte.
    let mut script = Script::established(&setup());
    script.write(&pattern(20_000));
    let sent: u32 = script
        .out()
        .iter()
        .map(|(_, payload)| payload.len() as u32)
        .sum();
    let mut ack = header(Flags::ACK, 1, 1 + i64::from(sent));
    ack.window = 100;
    assert!(script.give(&ack, b"").is_empty());
    // Until the override timeout.
    let late = script.wait(SECOND * 3);
    assert_eq!(late[0].1.len(), 100);
}

/// The window follows the path: 100 ms and 200 Mbit/s need 2.5 MB.
#[test]
fn windows_grow_to_what_the_path_takes_and_no_further() {
    let mut world = World::standard(50 * MS);
    world.keep_log = false;
    world.rate = 25_000_000;
    world.queue = 2_500_000;
    let data = pattern(100_000_000);
    world.write(0, &data);
    let begun = world.now_ns;
    assert!(
        world.run_until(60 * SECOND, |world| world.ends[1].received.len()
            == data.len())
    );
    let seconds = (world.now_ns - begun) as f64 / 1e9;
    assert!(
        seconds < 5.5,
        "{seconds} s instead of 4: {:?}",
        world.ends[0].machine.info()
    );
    assert!(world.ends[0].machine.info().send_window >= 2_500_000);
    // A short path needs little.
    let mut world = World::standard(MS / 10);
    world.keep_log = false;
    world.rate = 25_000_000;
    world.queue = 100_000;
    world.write(0, &data[..20_000_000]);
    assert!(
        world.run_until(60 * SECOND, |world| world.ends[1].received.len()
            == 20_000_000)
    );
    assert!(
        world.ends[0].memory.peak < 1_500_000,
        "{}",
        world.ends[0].memory.peak
    );
}

/// RFC 9293, 3.7.4 (Nagle), in Minshall's form, and TCP_NODELAY.
#[test]
fn small_writes_are_coalesced_unless_nodelay_is_set() {
    for nodelay in [false, true] {
        let setup = Setup {
            nodelay,
            ..Setup::default()
        };
        let mut world = World::connected(RTT / 2, &setup, &setup);
        for _ in 0..20 {
            world.write(0, b"0123456789");
            world.run(MS);
        }
        let segments = world.sent(0).filter(|sent| sent.len() > 0).count();
        if nodelay {
            assert_eq!(segments, 20);
        } else {
            assert!(segments <= 4, "{segments}");
        }
        world.run(SECOND);
        assert_eq!(world.ends[1].received.len(), 200);
    }
    // Full segments don't wait for small ones, and a small one follows full ones at once.
    let mut world = World::standard(RTT / 2);
    world.write(0, &pattern(1448 * 3 + 100));
    world.run(0);
    assert_eq!(world.sent(0).filter(|sent| sent.len() > 0).count(), 4);
}

/// RFC 9293, 3.8.6.3 and RFC 5681, 4.2.
#[test]
fn acknowledgements_wait_for_a_second_segment_or_40_ms() {
    let mut script = Script::established(&setup());
    let begun = script.now_ns;
    assert!(
        script
            .give(&header(Flags::ACK, 1, 1), &[1; 1460])
            .is_empty()
    );
    let out = script.give(&header(Flags::ACK, 1461, 1), &[1; 1460]);
    assert_eq!((out.len(), theirs(out[0].0.ack)), (1, 2921));
    assert!(
        script
            .give(&header(Flags::ACK, 2921, 1), &[1; 100])
            .is_empty()
    );
    assert_eq!(script.machine.deadline_ns(), Some(begun + 40 * MS));
    let out = script.wait(40 * MS);
    assert_eq!((out.len(), theirs(out[0].0.ack)), (1, 3021));
    // Data of ours carries it.
    script.give(&header(Flags::ACK, 3021, 1), &[1; 100]);
    script.write(b"answer");
    let out = script.out();
    assert_eq!((out.len(), theirs(out[0].0.ack)), (1, 3121));
    // Out of order, and filling the gap: at once.
    let out = script.give(&header(Flags::ACK, 3221, 7), &[1; 100]);
    assert_eq!((out.len(), theirs(out[0].0.ack)), (1, 3121));
    let out = script.give(&header(Flags::ACK, 3121, 7), &[1; 100]);
    assert_eq!((out.len(), theirs(out[0].0.ack)), (1, 3321));
}

/// Memory: counted, bounded, and returned, however small the segments are.
#[test]
fn small_segments_out_of_order_take_little_more_than_their_bytes() {
    let mut script = Script::established(&setup());
    // Every other byte of the window, then the others.
    for seq in (2..60_000).step_by(2) {
        script.give(&header(Flags::ACK, seq, 1), b"x");
    }
    assert!(
        script.memory.used <= 64 * SMALL,
        "64 runs: {}",
        script.memory.used
    );
    for seq in 1..60_000 {
        script.give(&header(Flags::ACK, seq, 1), b"y");
    }
    assert_eq!(script.machine.unread(), 59_999);
    assert!(
        script.memory.used <= 2 * 60_000 + LARGE,
        "{}",
        script.memory.used
    );
    let bytes = script.read();
    assert!(bytes.iter().filter(|byte| **byte == b'x').count() >= 64);
    assert_eq!(script.memory.used, 0);
}

/// With an exhausted budget a connection still makes progress, and uses at most its guaranteed
/// memory.
#[test]
fn a_connection_moves_on_without_memory() {
    let mut world = World::standard(RTT / 2);
    for end in &mut world.ends {
        end.memory.pressure = Pressure::Hard;
        end.memory.limit = Some(0);
    }
    let (there, back) = (pattern(100_000), pattern(50_000));
    world.write(0, &there);
    world.write(1, &back);
    assert!(world.run_until(600 * SECOND, |world| {
        world.ends[1].received.len() == there.len() && world.ends[0].received.len() == back.len()
    }));
    assert!(world.ends[1].received == there && world.ends[0].received == back);
    assert!(
        world
            .ends
            .iter()
            .all(|end| end.memory.peak <= 2 * GUARANTEED)
    );
}

/// Shared buffers are sent in place, retransmitted if lost, and dropped once acknowledged.
#[test]
fn shared_buffers_are_kept_until_acknowledged() {
    let mut world = World::standard(RTT / 2);
    let mut n = 0u64;
    world.rule = Box::new(move |_| {
        n += 1;
        (!n.is_multiple_of(17)).then_some(0)
    });
    let shared: Arc<dyn SendBuffer> = Arc::new(Page(pattern(300_000)));
    world.ends[0].tap.tso = 64_000;
    let end = &mut world.ends[0];
    assert_eq!(end.machine.write(&mut end.memory, b"head"), 4);
    end.machine
        .write_shared(&mut end.memory, shared.clone())
        .unwrap_or_else(|_| panic!("room"));
    assert!(
        end.machine
            .write_shared(&mut end.memory, shared.clone())
            .is_err(),
        "full"
    );
    assert!(world.run_until(60 * SECOND, |world| world.ends[1].received.len() == 300_004));
    world.run(SECOND);
    assert!(
        &world.ends[1].received[..4] == b"head" && world.ends[1].received[4..] == pattern(300_000)
    );
    assert_eq!(Arc::strong_count(&shared), 1);
    assert_eq!(world.ends[0].memory.used, 0);
}

/// A full link: unsent data isn't counted as sent.
#[test]
fn a_link_without_room_loses_nothing() {
    let mut script = Script::established(&setup());
    script.write(&pattern(10_000));
    script.tap.room = 2;
    assert_eq!(
        script.machine.output(script.now_ns, 100, &mut script.tap),
        super::super::Outcome::Blocked
    );
    assert!(script.machine.wants_output());
    assert_eq!(script.machine.unacknowledged(), 10_000);
    script.tap.room = 100;
    let all: Vec<u8> = script
        .out()
        .into_iter()
        .flat_map(|(_, payload)| payload)
        .collect();
    assert!(all == pattern(10_000));
    // In turns of one segment.
    let mut script = Script::established(&setup());
    script.write(&pattern(5_000));
    let mut turns = 0;
    while script.machine.output(script.now_ns, 1, &mut script.tap) == super::super::Outcome::More {
        turns += 1;
    }
    assert_eq!((turns, script.tap.out.len()), (4, 4));
}

/// On a short path a window that grows without loss doesn't count as demand for buffers.
#[test]
fn the_send_buffer_stays_small_on_a_short_path() {
    let limit_after = |delay_ns| {
        let mut world = World::standard(delay_ns);
        world.write(0, &pattern(20_000_000));
        assert!(world.run_until(200 * SECOND, |world| {
            world.ends[1].received.len() == 20_000_000
        }));
        world.ends[0].machine.send_buffer_limit
    };
    assert_eq!(limit_after(50_000), 512 << 10);
    assert!(limit_after(RTT / 2) > 1 << 20);
}

/// Both ends are in TIME-WAIT or removed, and hold nothing.
#[test]
fn an_idle_connection_holds_no_memory() {
    let mut world = World::standard(RTT / 2);
    for _ in 0..5 {
        world.write(0, &pattern(5000));
        world.write(1, &pattern(300));
        world.run(SECOND);
    }
    for end in &world.ends {
        assert_eq!(end.memory.used, 0);
        assert_eq!(end.machine.state(), State::Established);
        assert_eq!(
            end.machine.deadline_ns(),
            None,
            "an idle connection has no timer"
        );
    }
    let _: fn(&Machine) -> bool = Machine::wants_output;
}

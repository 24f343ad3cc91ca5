//! Losses: detected early, repaired once, and undone if they were spurious.

use super::super::{Flags, Setup};
use super::link::{MS, SECOND, Sent, World, pattern};
use crate::types::Congestion;

const RTT: u64 = 50 * MS;

/// Drops the segments of end 0 with these bytes (counted from the start of the transfer), once
/// each.
fn drop_once(offsets: &[usize], base: u32) -> super::link::LinkRule {
    let mut left = offsets.to_vec();
    Box::new(move |sent: &Sent| {
        let first = sent.header.seq.0.wrapping_sub(base) as usize;
        let hit = left.iter().position(|at| {
            sent.from == 0 && sent.len() > 0 && (first..first + sent.len()).contains(at)
        });
        match hit {
            Some(n) => {
                left.remove(n);
                None
            }
            None => Some(0),
        }
    })
}

/// Sends `len` bytes from end 0; returns the time until they were acknowledged.
fn transfer(world: &mut World, len: usize) -> u64 {
    let data = pattern(len);
    let (begun, had) = (world.now_ns, world.ends[1].received.len());
    world.write(0, &data);
    assert!(
        world.run_until(600 * SECOND, |world| {
            world.ends[1].received.len() == had + len && world.ends[0].machine.unacknowledged() == 0
        }),
        "{:?}",
        world.ends[0].machine.info()
    );
    assert!(world.ends[1].received[had..] == data);
    world.now_ns - begun
}

fn base(world: &World) -> u32 {
    world.ends[0].machine.snd_nxt.0
}

/// RFC 8985, 6.2 and RFC 6675: any number of losses is repaired within one round trip, without a
/// timeout.
#[test]
fn losses_in_the_middle_are_repaired_in_a_round_trip() {
    let mut world = World::standard(RTT / 2);
    transfer(&mut world, 60_000);
    let clean = transfer(&mut world, 60_000);
    for lost in [
        &[1][..],
        &[1, 15_000],
        &[5_000, 6_500, 30_000, 31_000, 33_000],
    ] {
        let at = base(&world);
        world.rule = drop_once(lost, at);
        let before = world.ends[0].machine.info();
        let took = transfer(&mut world, 60_000);
        let after = world.ends[0].machine.info();
        assert_eq!(after.timeouts, before.timeouts, "{lost:?}");
        assert_eq!(
            after.retransmitted - before.retransmitted,
            lost.len() as u32,
            "{lost:?}"
        );
        assert!(
            took <= clean + 3 * RTT,
            "{lost:?}: {took} {clean}\n{}",
            world.trace(world.now_ns - took)
        );
    }
}

/// RFC 8985, 7: the end of a flight is lost.
#[test]
fn a_lost_tail_is_probed_for_within_two_round_trips() {
    let mut world = World::standard(RTT / 2);
    transfer(&mut world, 20_000);
    for lost in [1, 2, 3] {
        let at = base(&world);
        let last: Vec<usize> = (0..lost).map(|n| 9_990 - n * 1448).collect();
        world.rule = drop_once(&last, at);
        let before = world.ends[0].machine.info();
        let took = transfer(&mut world, 10_000);
        let after = world.ends[0].machine.info();
        assert_eq!(
            after.timeouts, before.timeouts,
            "by a probe, not by the timeout"
        );
        assert_eq!(after.probes, before.probes + 1);
        // The acknowledgement of a single segment may be delayed by 200 ms (RFC 8985, 7.2).
        let delay = if lost == 1 { 200 * MS } else { 0 };
        assert!(
            took < 7 * RTT + delay,
            "{lost}: {took}\n{}",
            world.trace(world.now_ns - took)
        );
        // RFC 8985, 7.4.2: a loss is a sign of congestion even if the probe repaired it.
        assert!(after.ssthresh < u32::MAX);
    }
}

/// RFC 8985, 6.2: lost retransmissions.
#[test]
fn a_lost_retransmission_is_found_without_a_timeout() {
    let mut world = World::standard(RTT / 2);
    transfer(&mut world, 60_000);
    let at = base(&world);
    world.rule = drop_once(&[3000, 3000, 3000], at);
    let before = world.ends[0].machine.info();
    let took = transfer(&mut world, 120_000);
    let after = world.ends[0].machine.info();
    assert_eq!(after.timeouts, before.timeouts);
    assert_eq!(after.retransmitted - before.retransmitted, 3);
    assert!(took < 8 * RTT, "{took}");
}

/// RFC 6298, 5 and RFC 5681, 3.1: everything is lost.
#[test]
fn a_dead_path_backs_off_and_comes_back() {
    let mut world = World::standard(RTT / 2);
    transfer(&mut world, 100_000);
    world.log.clear();
    world.rule = Box::new(|_| None);
    world.write(0, &pattern(30_000));
    world.run(10 * SECOND);
    let starts: Vec<u64> = world
        .sent(0)
        .filter(|sent| sent.header.seq == world.ends[0].machine.snd_una)
        .map(|sent| sent.at_ns)
        .collect();
    assert!((5..9).contains(&starts.len()), "{starts:?}");
    for triple in starts.windows(3).skip(1) {
        let (first, second) = (triple[1] - triple[0], triple[2] - triple[1]);
        assert!(
            (second as f64 / first as f64 - 2.0).abs() < 0.01,
            "doubled: {first} {second}"
        );
    }
    assert!(world.ends[0].machine.info().cwnd <= 2 * 1460);
    world.rule = Box::new(|_| Some(0));
    assert!(
        world.run_until(20 * SECOND, |world| world.ends[0].machine.unacknowledged()
            == 0)
    );
    assert_eq!(world.ends[0].machine.rtt.backoff(), 0);
}

/// A round trip that exceeds the timeout for a moment. With timestamps RFC 3522 shows that nothing
/// was lost, without them RFC 5682.
#[test]
fn a_spurious_timeout_is_undone() {
    for timestamps in [true, false] {
        for sack in [true, false] {
            let setup = Setup {
                timestamps,
                sack,
                ..Setup::default()
            };
            let mut world = World::connected(RTT / 2, &setup, &setup);
            transfer(&mut world, 200_000);
            let cwnd = world.ends[0].machine.info().cwnd;
            let begun = world.now_ns;
            // Segments that end 0 sends in the next 600 ms arrive after them, one by one.
            let mut count = 0;
            world.rule = Box::new(move |sent| {
                let waits = (begun + 600 * MS).saturating_sub(sent.at_ns);
                count += u64::from(sent.from == 0 && waits > 0);
                Some(if sent.from == 0 && waits > 0 {
                    waits + count * MS
                } else {
                    0
                })
            });
            let before = world.ends[0].machine.info();
            transfer(&mut world, 300_000);
            let after = world.ends[0].machine.info();
            let case = format!("timestamps {timestamps}, sack {sack}: {after:?}");
            assert!(after.timeouts > before.timeouts, "{case}");
            assert!(
                after.spurious > before.spurious,
                "{case}\n{}",
                world.trace(begun)
            );
            assert!(after.cwnd >= cwnd, "{case}");
            // A few, when new data overtakes late segments; not the whole window.
            assert!(
                after.retransmitted - before.retransmitted <= 12,
                "{case}\n{}",
                world.trace(begun)
            );
        }
    }
}

/// RFC 8985, 6.2: reordering without loss. Timestamps show that a repair was spurious, and later
/// the reordering window is wide enough.
#[test]
fn reordering_is_learnt() {
    let setup = Setup {
        pacing: false,
        ..Setup::default()
    };
    let mut world = World::connected(RTT / 2, &setup, &setup);
    transfer(&mut world, 100_000);
    let mut count = 0u64;
    // Every 20th segment is 8 ms late.
    world.rule = Box::new(move |sent| {
        count += u64::from(sent.from == 0);
        Some(if sent.from == 0 && count.is_multiple_of(20) {
            8 * MS
        } else {
            0
        })
    });
    transfer(&mut world, 2_000_000);
    let before = world.ends[0].machine.info();
    transfer(&mut world, 4_000_000);
    let after = world.ends[0].machine.info();
    assert_eq!(after.retransmitted, before.retransmitted, "{after:?}");
    assert_eq!(after.timeouts, 0);
}

/// RFC 2883, 3708: the peer reports that it had received everything.
#[test]
fn duplicates_reported_by_the_peer_undo_a_reduction() {
    let setup = Setup {
        timestamps: false,
        pacing: false,
        ..Setup::default()
    };
    let mut world = World::connected(RTT / 2, &setup, &setup);
    transfer(&mut world, 100_000);
    let at = base(&world);
    let mut late = false;
    world.rule = Box::new(move |sent| {
        let hit = sent.from == 0 && sent.header.seq.0 == at && !late;
        late |= hit;
        Some(if hit { 70 * MS } else { 0 })
    });
    let before = world.ends[0].machine.info();
    let begun = world.now_ns;
    transfer(&mut world, 400_000);
    let after = world.ends[0].machine.info();
    assert_eq!(after.retransmitted - before.retransmitted, 1, "{after:?}");
    assert_eq!(
        after.spurious - before.spurious,
        1,
        "{after:?}\n{}",
        world.trace(begun)
    );
    assert!(after.cwnd >= before.cwnd, "{before:?} {after:?}");
}

/// RFC 2883, 4.
#[test]
fn what_comes_twice_is_reported() {
    let mut world = World::standard(RTT / 2);
    world.write(0, &pattern(1000));
    world.run(SECOND);
    let sent = world
        .sent(0)
        .find(|sent| sent.len() == 1000)
        .cloned()
        .unwrap();
    world.log.clear();
    world.give(1, &sent.header, &sent.payload, None);
    world.run(SECOND);
    let answer = world.sent(1).next().unwrap();
    let first = sent.header.seq;
    assert_eq!(answer.header.options.sack.blocks(), [(first, first + 1000)]);
    assert_eq!(answer.header.ack, first + 1000);
}

/// RFC 2018, 4: the latest block first, three with timestamps.
#[test]
fn blocks_out_of_order_are_reported_latest_first() {
    let mut world = World::standard(RTT / 2);
    let at = base(&world);
    world.rule = drop_once(&[1, 3_000, 6_000, 9_000], at);
    world.write(0, &pattern(14_000));
    world.run_until(SECOND, |world| {
        world
            .sent(1)
            .any(|sent| sent.header.options.sack.blocks().len() == 3)
    });
    let answer = world
        .sent(1)
        .find(|sent| sent.header.options.sack.blocks().len() == 3)
        .unwrap();
    let blocks = answer.header.options.sack.blocks();
    assert!(
        blocks[0].0.after(blocks[1].0) && blocks[1].0.after(blocks[2].0),
        "{blocks:?}"
    );
    assert_eq!(answer.header.ack.0, at);
}

/// RFC 5681, 3.2 and RFC 6582, for a peer without SACK and timestamps.
#[test]
fn a_peer_without_sack_is_served_too() {
    for congestion in [Congestion::Cubic, Congestion::NewReno] {
        let setup = Setup {
            sack: false,
            timestamps: false,
            congestion,
            ..Setup::default()
        };
        let mut world = World::connected(RTT / 2, &setup, &setup);
        transfer(&mut world, 100_000);
        let at = base(&world);
        world.rule = drop_once(&[20_000, 40_000], at);
        let before = world.ends[0].machine.info();
        let took = transfer(&mut world, 100_000);
        let after = world.ends[0].machine.info();
        assert_eq!(after.timeouts, before.timeouts, "{after:?}");
        assert_eq!(after.retransmitted - before.retransmitted, 2);
        assert!(took < 8 * RTT, "{took}");
    }
}

/// RFC 9937: during a repair, sending continues at the reduced rate, as far as the peer's window
/// allows.
#[test]
fn a_window_is_reduced_without_a_pause() {
    let setup = Setup {
        receive_initial: 4 << 20,
        ..Setup::default()
    };
    let mut world = World::connected(RTT / 2, &setup, &setup);
    world.rate = 2_500_000;
    transfer(&mut world, 1_000_000);
    let at = base(&world);
    world.rule = drop_once(&[100_000], at);
    world.log.clear();
    transfer(&mut world, 1_000_000);
    let times: Vec<u64> = world
        .sent(0)
        .filter(|sent| sent.len() > 0)
        .map(|sent| sent.at_ns)
        .collect();
    let pause = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    assert!(pause < RTT, "{pause}");
}

/// Throughput with random losses, in bits per second, at 50 ms.
fn speed(loss_per_mille: u64, congestion: Congestion, tso: usize) -> f64 {
    let setup = Setup {
        congestion,
        ..Setup::default()
    };
    let mut bits = 0.0;
    for seed in 1..=4u64 {
        let mut world = World::connected(RTT / 2, &setup, &setup);
        world.keep_log = false;
        world.ends[0].tap.tso = tso;
        world.rate = 125_000_000;
        world.queue = 250_000;
        let mut state = 0x9e37_79b9_7f4a_7c15 ^ (seed << 7);
        world.rule = Box::new(move |sent| {
            if sent.from == 1 || sent.len() == 0 {
                return Some(0);
            }
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state % 1000 < loss_per_mille {
                None
            } else {
                Some(0)
            }
        });
        let len = 8_000_000;
        let took = transfer(&mut world, len);
        let info = world.ends[0].machine.info();
        println!(
            "{loss_per_mille}/1000 {congestion:?} tso {tso}: {:.1} Mbit/s {info:?}",
            len as f64 * 8000.0 / took as f64
        );
        bits += len as f64 * 8e9 / took as f64;
    }
    bits / 4.0
}

/// CUBIC at 1 % and 50 ms is about 1.2 · MSS/RTT · 1/√p in its Reno-friendly region (RFC 9438,
/// 5.1): 3 Mbit/s.
#[test]
fn random_loss_costs_what_it_must_and_no_more() {
    let cubic = speed(10, Congestion::Cubic, 0);
    assert!(cubic > 2.7e6, "{cubic}");
    let offloaded = speed(10, Congestion::Cubic, 65_000);
    assert!(offloaded > 0.85 * cubic, "{offloaded} {cubic}");
    let little = speed(1, Congestion::Cubic, 0);
    assert!(little > 9e6, "{little}");
}

/// A burst of losses, and the sender's reaction to each, in order and once.
#[test]
fn bursts_are_repaired_without_repeating_what_arrived() {
    let mut world = World::standard(RTT / 2);
    transfer(&mut world, 400_000);
    let at = base(&world);
    let burst: Vec<usize> = (0..40).map(|n| 20_000 + n * 1448).collect();
    world.rule = drop_once(&burst, at);
    let before = world.ends[0].machine.info();
    transfer(&mut world, 400_000);
    let after = world.ends[0].machine.info();
    assert_eq!(after.timeouts, before.timeouts);
    assert_eq!(after.retransmitted - before.retransmitted, 40, "{after:?}");
    let mut seen = std::collections::BTreeMap::new();
    for sent in world
        .sent(0)
        .filter(|sent| sent.len() > 0 && !sent.has(Flags::SYN))
    {
        *seen.entry(sent.header.seq.0).or_insert(0) += 1;
    }
    assert!(seen.values().all(|count| *count <= 2));
}

/// RFC 5681, 4.1 and RFC 6928: after a pause the window is the initial window.
#[test]
fn a_pause_ends_what_was_known_of_the_path() {
    let mut world = World::standard(RTT / 2);
    transfer(&mut world, 2_000_000);
    assert!(world.ends[0].machine.info().cwnd > 100_000);
    world.run(SECOND);
    world.log.clear();
    let begun = world.now_ns;
    world.write(0, &pattern(100_000));
    world.run(RTT - MS);
    let burst: usize = world
        .sent(0)
        .filter(|sent| sent.at_ns < begun + RTT)
        .map(Sent::len)
        .sum();
    assert_eq!(burst, 14_480);
}

/// RFC 9438, 4.2 and RFC 5681, 3.1: an unused window doesn't grow.
#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut world = World::standard(RTT / 2);
    for _ in 0..100 {
        transfer(&mut world, 3000);
    }
    assert_eq!(world.ends[0].machine.info().cwnd, 14_480);
}

/// RFC 9293, 3.4: sequence numbers wrap during a transfer with losses.
#[test]
fn numbers_wrap_around_under_loss() {
    let client = Setup {
        iss: 0xffff_ffff - 300_000,
        ..Setup::default()
    };
    let server = Setup {
        iss: 0x7fff_ffff - 10,
        ..Setup::default()
    };
    let mut world = World::connected(RTT / 2, &client, &server);
    let mut count = 0u64;
    world.rule = Box::new(move |_| {
        count += 1;
        (!count.is_multiple_of(41)).then_some(0)
    });
    transfer(&mut world, 1_000_000);
    assert!(world.ends[0].machine.snd_una.0 < 1_000_000);
}

//! Parts of loss recovery one by one, against a scripted peer: which of several rules decides.

use super::super::{Flags, Header, Options, Setup, TcpOptions};
use super::link::MS;
use super::script::{Out, Script, header, ours, setup, theirs};

const RTT: u64 = 40 * MS;

/// Payload bytes of a full segment.
fn mss(script: &Script) -> i64 {
    i64::from(script.machine.mss())
}

/// An acknowledgement with SACK blocks; numbers count from the SYN.
fn ack(ack: i64, blocks: &[(i64, i64)]) -> Header {
    let mut acknowledgement = header(Flags::ACK, 1, ack);
    let number = |at: i64| header(Flags::ACK, 1, at).ack;
    for (first, end) in blocks {
        acknowledgement
            .options
            .sack
            .push(number(*first), number(*end));
    }
    acknowledgement
}

/// Established, and a round trip of [`RTT`] was measured several times.
fn measured() -> (Script, i64) {
    let mut script = Script::established(&setup());
    let mut next = 1;
    for _ in 0..8 {
        next = flight(&mut script, 2, next);
        script.wait(RTT);
        script.give(&ack(next, &[]), b"");
    }
    (script, next)
}

/// Sends `count` full segments, the first with number `next`; returns the number after them.
fn flight(script: &mut Script, count: i64, next: i64) -> i64 {
    let len = count * mss(script);
    assert_eq!(script.write(&vec![7; len as usize]), len as usize);
    assert_eq!(script.out().len(), count as usize);
    next + len
}

/// Time from now until the segment with this number is retransmitted, in milliseconds.
fn until_repaired(script: &mut Script, first: i64) -> u64 {
    for ms in 0..1000 {
        let sent = script.wait(if ms == 0 { 0 } else { MS });
        if sent
            .iter()
            .any(|(header, _)| i64::from(ours(header.seq)) == first)
        {
            return ms;
        }
    }
    panic!("never repaired");
}

/// RFC 3522, 3.2 and RFC 4015: an acknowledgement that echoes a time from before the retransmission
/// shows that it was spurious; without a timeout, so that F-RTO plays no part, and without DSACK.
#[test]
fn rfc3522_an_old_echo_takes_a_fast_recovery_back() {
    for spurious in [true, false] {
        let with_timestamps = Setup {
            timestamps: true,
            ..setup()
        };
        let mut script = Script::established(&with_timestamps);
        let stamped = |number: i64, blocks: &[(i64, i64)], echo: u32| Header {
            options: Options {
                timestamps: Some((7000, echo)),
                ..ack(number, blocks).options
            },
            ..ack(number, blocks)
        };
        let size = mss(&script);
        let sent_at = script.machine.stamp(script.now_ns);
        let next = flight(&mut script, 10, 1);
        let before = script.machine.info();
        script.wait(20 * MS);
        let resent_at = script.machine.stamp(script.now_ns);
        let lost = stamped(1, &[(1 + size, 1 + 4 * size)], sent_at);
        let again = script.give(&lost, b"");
        assert_eq!(ours(again[0].0.seq), 1, "{again:?}");
        assert!(script.machine.info().ssthresh < u32::MAX);
        script.wait(5 * MS);
        let echo = if spurious { sent_at } else { resent_at };
        let all = stamped(next, &[], echo);
        script.give(&all, b"");
        let after = script.machine.info();
        assert_eq!(after.timeouts, 0);
        assert_eq!(after.spurious - before.spurious, u32::from(spurious));
        assert_eq!(after.cwnd >= before.cwnd, spurious, "{after:?}");
        assert_eq!(after.ssthresh == before.ssthresh, spurious, "{after:?}");
    }
}

/// RFC 8985, 6.2 step 4: each round with a report of a duplicate widens the reordering window by a
/// quarter of the minimum round trip, up to a smoothed one; sixteen recoveries without one reset
/// it.
#[test]
fn rfc8985_section_6_2_duplicates_widen_the_reordering_window() {
    let (mut script, mut next) = measured();
    let mut round = |script: &mut Script, duplicate: bool| {
        let (size, first) = (mss(script), next);
        next = flight(script, 2, next);
        script.wait(RTT);
        script.give(&ack(first, &[(first + size, next)]), b"");
        let took = until_repaired(script, first);
        // The acknowledgement of both, optionally with a DSACK of the first one.
        let blocks = [(first, first + size)];
        let blocks = if duplicate { &blocks[..] } else { &[] };
        script.give(&ack(next, blocks), b"");
        took
    };
    let took: Vec<u64> = (0..6).map(|_| round(&mut script, true)).collect();
    for (n, took) in took.iter().enumerate() {
        let expected = (10 * (n as u64 + 1)).min(40);
        assert!((expected..=expected + 2).contains(took), "{took:?} at {n}");
    }
    let later: Vec<u64> = (0..18).map(|_| round(&mut script, false)).collect();
    assert!(later[..15].iter().all(|took| *took >= 38), "{later:?}");
    assert!(later[17] <= 12, "{later:?}");
}

/// RFC 8985, 6.2 step 3 and 4: once reordering was seen, three segments beyond a gap don't prove a
/// loss: the sender waits for a quarter of a round trip.
#[test]
fn rfc8985_section_6_2_reordering_is_waited_for_once_it_was_seen() {
    let gap = |script: &mut Script, next: &mut i64| {
        let (size, first) = (mss(script), *next);
        *next = flight(script, 5, *next);
        script.wait(RTT);
        let sent = script.give(&ack(first, &[(first + size, first + 4 * size)]), b"");
        let at_once = sent
            .iter()
            .any(|(header, _)| i64::from(ours(header.seq)) == first);
        let took = if at_once {
            0
        } else {
            until_repaired(script, first)
        };
        script.give(&ack(*next, &[]), b"");
        took
    };
    let (mut script, mut next) = measured();
    assert_eq!(gap(&mut script, &mut next), 0);
    // A segment is overtaken by the next.
    let (mut script, mut next) = measured();
    let (size, first) = (mss(&script), next);
    next = flight(&mut script, 3, next);
    script.wait(RTT);
    let overtaken = ack(first, &[(first + size, first + 2 * size)]);
    assert!(script.give(&overtaken, b"").is_empty());
    script.wait(MS);
    script.give(&ack(first + 2 * size, &[]), b"");
    script.give(&ack(next, &[]), b"");
    assert_eq!(script.machine.info().retransmitted, 0);
    let took = gap(&mut script, &mut next);
    assert!((9..=12).contains(&took), "{took}");
}

/// RFC 8985, 7.2: an acknowledgement that advances delays the probe to two round trips from now.
#[test]
fn rfc8985_section_7_2_acknowledgements_put_the_probe_off() {
    let (mut script, mut next) = measured();
    let (size, first) = (mss(&script), next);
    next = flight(&mut script, 4, next);
    script.wait(60 * MS);
    assert!(script.give(&ack(first + size, &[]), b"").is_empty());
    assert!(script.wait(79 * MS).is_empty(), "too early");
    let probe = script.wait(20 * MS);
    assert_eq!(probe.len(), 1, "{probe:?}");
    assert_eq!(i64::from(ours(probe[0].0.seq)), next - size);
    assert_eq!(script.machine.info().probes, 1);
}

/// The numbers of the sent segments, in segments from `first` on.
fn segments(script: &Script, out: &Out, first: i64) -> Vec<i64> {
    let number = |header: &Header| (i64::from(ours(header.seq)) - first) / mss(script);
    out.iter().map(|(header, _)| number(header)).collect()
}

/// Ten segments are in flight, which fill the congestion window, and more are queued; [`RTT`] has
/// passed. Returns the number of the first.
fn full_window() -> (Script, i64) {
    let (mut script, first) = measured();
    let size = mss(&script);
    script.write(&vec![7; 40 * size as usize]);
    assert_eq!(script.out().len(), 10);
    script.wait(RTT);
    (script, first)
}

/// RFC 3042, 2, and RFC 5681, 3.1: each of the first duplicate acknowledgements releases one new
/// segment, and the window grows by acknowledged data, not by reported data.
#[test]
fn rfc3042_section_2_a_duplicate_acknowledgement_sends_one_segment() {
    let (mut script, first) = full_window();
    let size = mss(&script);
    let cwnd = script.machine.info().cwnd;
    for n in 1..3 {
        let report = ack(first, &[(first + size, first + (n + 1) * size)]);
        let sent = script.give(&report, b"");
        assert_eq!(segments(&script, &sent, first), [9 + n]);
        assert_eq!(script.machine.info().cwnd, cwnd);
    }
    // The first one was late, not lost.
    let sent = script.give(&ack(first + 3 * size, &[]), b"");
    assert_eq!(script.machine.info().cwnd, cwnd + 3 * size as u32);
    assert_eq!(segments(&script, &sent, first), [12, 13, 14, 15]);
}

/// RFC 9937, 4: while less than the threshold is in flight, as much is sent as arrives, and another
/// segment only after an acknowledgement that advances and shows no other loss.
#[test]
fn rfc9937_section_4_recovery_speeds_up_only_when_it_gets_on() {
    let (mut script, first) = measured();
    let size = mss(&script);
    flight(&mut script, 10, first);
    script.wait(RTT);
    let report = |una: i64, blocks: &[(i64, i64)]| {
        let at = |n: i64| first + n * size;
        let blocks: Vec<_> = blocks.iter().map(|(a, b)| (at(*a), at(*b))).collect();
        ack(at(una), &blocks)
    };
    // The first six are lost.
    for n in 7..9 {
        assert!(script.give(&report(0, &[(6, n)]), b"").is_empty());
    }
    let sent = script.give(&report(0, &[(6, 9)]), b"");
    assert_eq!(segments(&script, &sent, first), [0]);
    let sent = script.give(&report(0, &[(6, 10)]), b"");
    assert_eq!(segments(&script, &sent, first), [1]);
    script.wait(RTT);
    let sent = script.give(&report(1, &[(6, 10)]), b"");
    assert_eq!(segments(&script, &sent, first), [2, 3]);
    script.wait(RTT);
    // It advances, but the third segment is lost once more.
    let sent = script.give(&report(2, &[(3, 4), (6, 10)]), b"");
    assert_eq!(segments(&script, &sent, first), [2, 4]);
    assert_eq!(script.machine.info().timeouts, 0);
}

/// RFC 9937, 4: the share is that of the data in flight when recovery began, without what had
/// arrived by then.
#[test]
fn rfc9937_section_4_the_window_is_reduced_in_proportion() {
    let (mut script, first) = measured();
    let size = mss(&script);
    script.machine.setup.pacing = false;
    script.machine.control.cwnd = 30 * size as u32;
    script.write(&vec![7; 44 * size as usize]);
    assert_eq!(script.out().len(), 30);
    script.wait(RTT);
    let mut arrive = |n: i64| {
        let report = ack(first, &[(first + size, first + (n + 1) * size)]);
        let out = script.give(&report, b"");
        segments(&script, &out, first)
    };
    assert_eq!([arrive(1), arrive(2)], [[30], [31]], "limited transmit");
    // Then 0.7 of a segment for each that arrives: 30 of 32 hadn't.
    let mut sent = Vec::new();
    let mut count = Vec::new();
    for n in 3..16 {
        sent.extend(arrive(n));
        count.push(sent.len());
    }
    assert_eq!(sent, [0, 32, 33, 34, 35, 36, 37, 38, 39]);
    assert_eq!(count, [1, 1, 2, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9]);
}

/// RFC 6675, 4: the SACK blocks of an overtaken acknowledgement count; those below SND.UNA are no
/// duplicates (RFC 2883, 4).
#[test]
fn rfc6675_section_4_an_overtaken_acknowledgement_reports_too() {
    let (mut script, first) = measured();
    let size = mss(&script);
    flight(&mut script, 10, first);
    script.wait(RTT);
    let at = |n: i64| first + n * size;
    assert!(script.give(&ack(at(3), &[]), b"").is_empty());
    let sent = script.give(&ack(at(2), &[(at(5), at(8))]), b"");
    assert_eq!(segments(&script, &sent, first), [3, 4]);
    script.wait(RTT);
    script.give(&ack(at(5), &[(at(5), at(8))]), b"");
    script.give(&ack(at(10), &[]), b"");
    let info = script.machine.info();
    script.give(&ack(at(3), &[(at(5), at(8))]), b"");
    assert_eq!(script.machine.info(), info);
    assert_eq!((info.spurious, info.timeouts), (0, 0));
}

/// RFC 7661, 4.4: a window used up to its last segment counts as used; otherwise it doesn't grow.
#[test]
fn a_window_that_is_just_filled_grows() {
    for (count, grows) in [(10, true), (9, false)] {
        let (mut script, first) = measured();
        let cwnd = script.machine.info().cwnd;
        let next = flight(&mut script, count, first);
        script.wait(RTT);
        script.give(&ack(next, &[]), b"");
        assert_eq!(script.machine.info().cwnd > cwnd, grows, "{count}");
    }
}

/// RFC 2883, 4.3: the received part of a segment is reported even if the rest of it is new.
#[test]
fn rfc2883_section_4_3_a_part_that_comes_twice_is_reported() {
    let mut script = Script::established(&setup());
    let mut give = |first: i64, len: usize| {
        let out = script.give(&header(Flags::ACK, first, 1), &vec![1; len]);
        let last = out.last().map(|(header, _)| *header);
        last.map(|last| {
            let blocks = last.options.sack.blocks().iter();
            let blocks = blocks.map(|(first, end)| (theirs(*first), theirs(*end)));
            (theirs(last.ack), blocks.collect::<Vec<_>>())
        })
    };
    assert_eq!(give(1, 1000), None);
    assert_eq!(give(501, 1000), Some((1501, vec![(501, 1001)])));
    // Once is enough.
    assert_eq!(give(2501, 500), Some((1501, vec![(2501, 3001)])));
    // A segment that fills a gap, and repeats some of the stored data.
    assert_eq!(give(1501, 1200), Some((3001, vec![(2501, 2701)])));
    // Of several parts the first (4.3).
    assert_eq!(give(4001, 500), Some((3001, vec![(4001, 4501)])));
    let twice = Some((4501, vec![(2901, 3001)]));
    assert_eq!(give(2901, 1600), twice);
}

/// RFC 2883, 4: a block has bytes. A FIN alone within a stored run has none, and reports no
/// duplicate.
#[test]
fn rfc2883_section_4_a_bare_fin_within_a_run_is_no_duplicate() {
    let mut script = Script::established(&setup());
    script.give(&header(Flags::ACK, 1001, 1), &[1; 1000]);
    let out = script.give(&header(Flags::ACK | Flags::FIN, 1501, 1), b"");
    let blocks = out[0].0.options.sack.blocks().iter();
    let blocks = blocks.map(|(first, end)| (theirs(*first), theirs(*end)));
    assert_eq!(blocks.collect::<Vec<_>>(), [(1001, 2001)]);
}

/// RFC 2883, 4: another segment out of order that arrives before the acknowledgement is sent
/// doesn't discard the report.
#[test]
fn rfc2883_section_4_a_report_waits_for_the_acknowledgement() {
    let mut script = Script::established(&setup());
    script.give(&header(Flags::ACK, 1, 1), &[1; 1000]);
    script.receive(&header(Flags::ACK, 1, 1), &[1; 1000]);
    script.receive(&header(Flags::ACK, 2001, 1), &[1; 100]);
    let out = script.out();
    let blocks = out[0].0.options.sack.blocks().iter();
    let blocks = blocks.map(|(first, end)| (theirs(*first), theirs(*end)));
    assert_eq!(blocks.collect::<Vec<_>>(), [(1, 1001), (2001, 2101)]);
}

/// RFC 6298, 5.1: data sent while the timer runs doesn't delay it.
#[test]
fn rfc6298_section_5_1_new_data_does_not_put_the_timeout_off() {
    // Without SACK, so that no probe interferes (RFC 8985, 7.3).
    let mut script = Script::established(&Setup {
        sack: false,
        ..setup()
    });
    flight(&mut script, 1, 1);
    let mut next = 1 + mss(&script);
    for _ in 0..4 {
        assert!(script.wait(240 * MS).is_empty());
        next = flight(&mut script, 1, next);
    }
    assert!(script.wait(39 * MS).is_empty());
    let sent = script.wait(2 * MS);
    assert_eq!((sent.len(), ours(sent[0].0.seq)), (1, 1));
    assert_eq!(script.machine.info().timeouts, 1);
}

/// RFC 6298, 5.4: nothing reveals a lost retransmission when no data follows it; the timer runs in
/// any case.
#[test]
fn rfc6298_section_5_4_a_lost_retransmission_with_nothing_behind_it_is_sent_again() {
    // The first of five, found by SACK; and the only one, which a probe repeats.
    for count in [5, 1] {
        let (mut script, first) = measured();
        let size = mss(&script);
        let next = flight(&mut script, count, first);
        script.wait(RTT);
        let mut sent = Vec::new();
        if count > 1 {
            sent = script.give(&ack(first, &[(first + size, next)]), b"");
            assert_eq!(segments(&script, &sent, first), [0]);
        }
        let mut times = Vec::new();
        let begun_ns = script.now_ns;
        for _ in 0..1500 {
            sent.extend(script.wait(MS));
            times.resize(sent.len(), (script.now_ns - begun_ns) / MS);
        }
        assert!(
            sent.iter()
                .all(|(header, _)| i64::from(ours(header.seq)) == first)
        );
        // The timeout is 40 ms and the 200 ms of the variation's minimum, doubled each time.
        let timeouts: Vec<u64> = times[1..]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert!(!timeouts.is_empty() && times[1] <= 500, "{times:?}");
        assert!((478..=482).contains(&timeouts[0]), "{times:?}");
        assert!(script.machine.info().timeouts >= 2);
        script.give(&ack(next, &[]), b"");
        assert_eq!(script.wait(60_000 * MS).len(), 0, "all is there");
    }
}

/// Without pacing a window is sent at once; switching it off releases the segments that wait for
/// their time.
#[test]
fn pacing_can_be_switched_off() {
    for early in [true, false] {
        let (mut script, _) = measured();
        let size = mss(&script);
        script.machine.control.cwnd = 40 * size as u32;
        let off = TcpOptions {
            pacing: false,
            ..TcpOptions::default()
        };
        if early {
            script.machine.set_options(&off);
        }
        script.write(&vec![7; 40 * size as usize]);
        let sent = script.out().len();
        assert_eq!(sent, if early { 40 } else { 10 });
        script.machine.set_options(&off);
        assert_eq!(sent + script.out().len(), 40);
    }
}

/// RFC 6691: segments shrink to a configured size at once, and stay as they are if that is larger.
#[test]
fn segments_can_be_made_smaller() {
    for (asked, size) in [(700, 700), (1, 88), (9000, 1460), (0, 1460)] {
        let (mut script, _) = measured();
        let options = TcpOptions {
            mss: asked,
            ..script.machine.options()
        };
        script.machine.set_options(&options);
        script.write(&[7; 3000]);
        let sent = script.out();
        assert_eq!(sent[0].1.len(), size);
        assert_eq!(script.machine.options().mss, size as u16);
    }
}

/// RFC 9293, 3.10.7.4: a window update repeats both numbers of the previous segment, and is
/// processed.
#[test]
fn a_window_update_repeats_its_numbers() {
    let mut script = Script::established(&setup());
    let mut closed = header(Flags::ACK, 1, 1);
    closed.window = 0;
    script.give(&closed, b"");
    script.write(b"waits");
    assert!(script.out().is_empty());
    let mut update = header(Flags::ACK, 1, 1);
    update.window = 1000;
    assert_eq!(script.give(&update, b"").len(), 1);
    assert_eq!(script.machine.info().send_window, 1000);
}

/// RFC 5482, 3: the user timeout is for unacknowledged data; nothing is due once all is
/// acknowledged.
#[test]
fn what_is_acknowledged_is_no_longer_waited_for() {
    let mut script = Script::established(&setup());
    script.write(b"heard");
    assert_eq!(script.out().len(), 1);
    script.give(&ack(6, &[]), b"");
    assert_eq!(script.machine.deadline_ns(), None);
    assert!(script.wait(3600 * 1000 * MS).is_empty());
    assert_eq!(script.machine.error(), None);
}

/// RFC 6298, 5.7: the peer responds, so that the next timeout counts as a first one, though a
/// retransmission yields no measurement.
#[test]
fn an_answer_ends_the_backoff() {
    let (mut script, first) = measured();
    let size = mss(&script);
    flight(&mut script, 1, first);
    script.wait(2000 * MS);
    assert!(script.machine.timeouts_in_row() >= 2);
    script.give(&ack(first + size, &[]), b"");
    assert_eq!(script.machine.timeouts_in_row(), 0);
}

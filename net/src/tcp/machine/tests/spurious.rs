//! Detection of spurious retransmissions, one acknowledgement at a time.

use super::super::{Flags, Header, Setup};
use super::link::MS;
use super::script::{Out, Script, header, ours, setup};

/// A full segment: small enough that no timeout shrinks it.
const SIZE: i64 = 512;

/// An acknowledgement of `segments` segments, with SACK blocks that count in segments too.
fn ack(segments: i64, blocks: &[(i64, i64)]) -> Header {
    let mut ack = header(Flags::ACK, 1, 1 + segments * SIZE);
    for (first, end) in blocks {
        let number = |at: &i64| header(Flags::ACK, 1, 1 + at * SIZE).ack;
        ack.options.sack.push(number(first), number(end));
    }
    ack
}

/// The numbers of the sent data, in segments.
fn numbers(out: &Out) -> Vec<i64> {
    let number = |header: &Header| (i64::from(ours(header.seq)) - 1) / SIZE;
    out.iter().map(|(header, _)| number(header)).collect()
}

/// An established connection without pacing or a measured round trip; `segments` segments are
/// written.
fn written(sack: bool, segments: i64) -> Script {
    let mut script = Script::established(&Setup {
        sack,
        pacing: false,
        mss: SIZE as u16,
        path_mss: SIZE as u16,
        ..setup()
    });
    let len = (segments * SIZE) as usize;
    assert_eq!(script.write(&vec![7; len]), len);
    script
}

/// Ten segments were sent, `more` are queued, and the timer has expired `timeouts` times. Without
/// SACK only the first segment was retransmitted, each time.
fn timed_out(sack: bool, more: i64, timeouts: u32) -> Script {
    let mut script = written(sack, 10 + more);
    assert_eq!(script.out().len(), 10);
    while script.machine.info().timeouts < timeouts {
        script.wait(10 * MS);
    }
    script
}

/// RFC 5682, 2.1 and 3.1, step by step: the acknowledgement, the first segments that it releases,
/// and whether the timeout is known to be spurious by then.
#[test]
fn rfc5682_two_acknowledgements_decide() {
    type Step<'a> = (i64, &'a [(i64, i64)], &'a [i64], bool);
    let cases: &[(&str, bool, i64, u32, &[Step<'_>])] = &[
        (
            "both are of what was sent once",
            false,
            5,
            1,
            &[(2, &[], &[10, 11], false), (3, &[], &[12], true)],
        ),
        (
            "the second one is a duplicate",
            false,
            5,
            1,
            &[(2, &[], &[10, 11], false), (2, &[], &[2], false)],
        ),
        (
            "the first one is a duplicate",
            false,
            5,
            1,
            &[
                (0, &[], &[1], false),
                (2, &[], &[2], false),
                (8, &[], &[8], false),
            ],
        ),
        (
            "all was acknowledged",
            false,
            5,
            1,
            &[(10, &[], &[10], false)],
        ),
        (
            "nothing new is there to be sent",
            false,
            0,
            1,
            &[(2, &[], &[2], false), (8, &[], &[8], false)],
        ),
        (
            "one new segment is",
            false,
            1,
            1,
            &[(2, &[], &[10], false), (3, &[], &[], true)],
        ),
        (
            "the second timeout of the same data",
            false,
            5,
            2,
            &[(2, &[], &[2], false), (8, &[], &[8], false)],
        ),
        // With SACK a probe has sent segment 10 before the timer expired.
        (
            "the first one has more than what was sent again",
            true,
            5,
            1,
            &[(2, &[], &[], true)],
        ),
        (
            "the first one reports something in flight",
            true,
            5,
            1,
            &[(0, &[(2, 3)], &[], true)],
        ),
        (
            "the second one reports something in flight",
            true,
            5,
            1,
            &[(1, &[], &[11, 12], false), (1, &[(3, 4)], &[], true)],
        ),
        (
            "the second one reports new data only",
            true,
            5,
            1,
            &[(1, &[], &[11, 12], false), (1, &[(11, 12)], &[1], false)],
        ),
    ];
    for (name, sack, more, timeouts, steps) in cases {
        let mut script = timed_out(*sack, *more, *timeouts);
        let before = script.machine.info();
        assert!(
            before.ssthresh < u32::MAX && before.cwnd == SIZE as u32,
            "{name}"
        );
        for (n, (segments, blocks, expected, spurious)) in steps.iter().enumerate() {
            let out = numbers(&script.give(&ack(*segments, blocks), b""));
            assert!(out.starts_with(expected), "{name}, {n}: {out:?}");
            if expected.len() == 2 {
                assert_eq!(out.len(), 2, "{name}, {n}");
            }
            let info = script.machine.info();
            assert_eq!(info.spurious, u32::from(*spurious), "{name}, {n}");
            assert_eq!(info.ssthresh == u32::MAX, *spurious, "{name}, {n}");
            if *spurious {
                assert!(info.cwnd >= 10 * SIZE as u32, "{name}, {n}");
                assert_eq!((info.phase, info.lost), ("Open", 0), "{name}, {n}");
            }
        }
    }
}

/// RFC 3708, 3: a recovery was spurious once the peer has reported all of its retransmissions as
/// duplicates, and nothing else is missing; late reports count for another flight.
#[test]
fn rfc3708_all_that_was_repeated_has_to_come_twice() {
    let recovered = || {
        let mut script = written(true, 12);
        assert_eq!(script.out().len(), 10);
        let sent = numbers(&script.give(&ack(0, &[(2, 10)]), b""));
        assert!(sent.starts_with(&[0, 1]), "{sent:?}");
        script.give(&ack(12, &[]), b"");
        assert_eq!(script.write(&[7; 100]), 100);
        script.out();
        assert_eq!(script.machine.info().phase, "Open");
        script
    };
    for (reports, spurious) in [
        (&[(0, 1)][..], false),
        (&[(1, 2)], false),
        (&[(0, 1), (1, 2)], true),
        (&[(0, 2)], true),
        (&[(-2, 0)], false),
    ] {
        let mut script = recovered();
        let reduced = script.machine.info().ssthresh;
        for report in reports {
            script.give(&ack(12, &[*report]), b"");
        }
        let info = script.machine.info();
        assert_eq!(info.spurious, u32::from(spurious), "{reports:?}");
        let expected = if spurious { u32::MAX } else { reduced };
        assert_eq!(info.ssthresh, expected, "{reports:?}");
    }
    // After a timeout, while the rest of the flight is still considered lost.
    let mut script = timed_out(true, 0, 1);
    script.give(&ack(1, &[(0, 1)]), b"");
    assert!(script.machine.info().lost > 0);
    assert_eq!(script.machine.info().spurious, 0);
}

/// RFC 3042 and RFC 5681, 3.2: without SACK the first two duplicates release a new segment each,
/// the third one retransmits the first segment, and further ones release more: each means a segment
/// that has left the network.
#[test]
fn rfc5681_section_3_2_each_duplicate_stands_for_a_segment() {
    let mut script = written(false, 30);
    assert_eq!(script.out().len(), 10);
    let duplicate = |script: &mut Script| numbers(&script.give(&ack(0, &[]), b""));
    assert_eq!(duplicate(&mut script), [10]);
    assert_eq!(duplicate(&mut script), [11]);
    assert_eq!(duplicate(&mut script), [0]);
    let info = script.machine.info();
    assert_eq!(info.phase, "Recovery");
    // RFC 9438, 4.6: seven tenths of ten segments.
    assert_eq!(info.ssthresh, 7 * SIZE as u32);
    let later: Vec<i64> = (0..8).flat_map(|_| duplicate(&mut script)).collect();
    assert!(
        (5..=8).contains(&later.len()) && later[0] == 12,
        "{later:?}"
    );
    // A partial acknowledgement: the next hole is repaired before anything new is sent (RFC 6582,
    // 3.2).
    let mut next = numbers(&script.give(&ack(4, &[]), b""));
    next.extend((0..4).flat_map(|_| numbers(&script.give(&ack(4, &[]), b""))));
    assert_eq!(next[0], 4, "{next:?}");
    assert_eq!(script.machine.info().phase, "Recovery");
    // All data that had been sent when it began.
    script.give(&ack(12, &[]), b"");
    let info = script.machine.info();
    assert_eq!(info.phase, "Open");
    assert!(
        (7 * SIZE..8 * SIZE).contains(&i64::from(info.cwnd)),
        "{info:?}"
    );
    // Segments with data are no duplicates.
    let mut script = written(false, 30);
    script.out();
    for n in 0..5 {
        let mut data = ack(0, &[]);
        data.seq += n;
        script.give(&data, b"x");
    }
    assert_eq!(script.machine.info().phase, "Open");
}

/// RFC 4015, 3.2: after a timeout during a recovery the window from before both is restored.
#[test]
fn a_timeout_in_a_recovery_keeps_what_was_before_both() {
    let mut script = written(true, 10);
    assert_eq!(script.out().len(), 10);
    let sent = numbers(&script.give(&ack(0, &[(1, 9)]), b""));
    assert_eq!(sent[0], 0);
    assert!(script.machine.info().ssthresh < u32::MAX);
    while script.machine.info().timeouts == 0 {
        script.wait(10 * MS);
    }
    let info = script.machine.info();
    assert_eq!((info.phase, info.cwnd), ("Loss", SIZE as u32));
    // No F-RTO during a recovery (RFC 5682, 3.1): the hole at the end is next, and its
    // acknowledgement is no proof.
    let sent = numbers(&script.give(&ack(9, &[]), b""));
    assert_eq!((sent, script.machine.info().spurious), (vec![9], 0));
    script.write(&[7; 100]);
    script.give(&ack(10, &[]), b"");
    script.give(&ack(10, &[(0, 1)]), b"");
    assert_eq!(script.machine.info().spurious, 0);
    script.give(&ack(10, &[(9, 10)]), b"");
    let info = script.machine.info();
    assert_eq!((info.spurious, info.ssthresh), (1, u32::MAX));
}

/// A connection that is over reports no losses.
#[test]
fn the_end_forgets_losses() {
    let mut script = written(true, 10);
    script.out();
    script.give(&ack(0, &[(2, 9)]), b"");
    let info = script.machine.info();
    assert_eq!((info.phase, info.sacked), ("Recovery", 7 * SIZE as u32));
    script.machine.abort(&mut script.memory);
    let info = script.machine.info();
    assert_eq!((info.phase, info.sacked, info.lost), ("Open", 0, 0));
}

/// RFC 5682, 2.1 step 2b: a small segment that Nagle's algorithm holds back is no new data that
/// could be sent.
#[test]
fn what_is_held_back_does_not_hold_up_repairs() {
    let mut script = written(false, 9);
    script.write(&[7; 100]);
    assert_eq!(script.out().len(), 10);
    script.write(&[8; 50]);
    assert!(script.out().is_empty());
    while script.machine.info().timeouts == 0 {
        script.wait(10 * MS);
    }
    let sent = numbers(&script.give(&ack(2, &[]), b""));
    assert_eq!(sent.first(), Some(&2), "{sent:?}");
}

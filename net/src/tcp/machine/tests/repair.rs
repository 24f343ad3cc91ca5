//! Parts of loss recovery one by one, against a peer by hand: which of several rules it was that decided.

use super::super::{Flags, Header, Options, Setup};
use super::link::MS;
use super::script::{Script, header, ours, setup};

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

/// Sends `count` full segments, the first with number `next`; the number after them.
fn flight(script: &mut Script, count: i64, next: i64) -> i64 {
    let len = count * mss(script);
    assert_eq!(script.write(&vec![7; len as usize]), len as usize);
    assert_eq!(script.out().len(), count as usize);
    next + len
}

/// How long it takes from now until the segment with this number is sent again, in milliseconds.
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

/// RFC 3522, 3.2 and RFC 4015: an acknowledgement that echoes a time from before the retransmission shows
/// that it wasn't needed; without a timeout, so that F-RTO has no part in it, and without DSACK.
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

/// RFC 8985, 6.2 step 4: each round with a report of a duplicate widens the reordering window by a quarter of the
/// least round trip, up to a smoothed one; sixteen recoveries without one make it narrow again.
#[test]
fn rfc8985_section_6_2_duplicates_widen_the_reordering_window() {
    let (mut script, mut next) = measured();
    let mut round = |script: &mut Script, duplicate: bool| {
        let (size, first) = (mss(script), next);
        next = flight(script, 2, next);
        script.wait(RTT);
        script.give(&ack(first, &[(first + size, next)]), b"");
        let took = until_repaired(script, first);
        // The acknowledgement of both, and perhaps that the first one came twice.
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

/// RFC 8985, 6.2 step 3 and 4: once something came out of order without being sent again, three segments
/// beyond a gap are no proof of a loss: a quarter of a round trip is waited for.
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
    // Another one, on which a segment is overtaken by the next.
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

/// RFC 8985, 7.2: an acknowledgement that moves on puts the probe off, to two round trips from now.
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

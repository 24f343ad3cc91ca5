//! Loss: a sender's retransmissions and their times, and a receiver's reports.

use net::sim::packet::Tcp;
use net::sim::{Bench, Impairment};

use crate::support::{FAMILIES, MS, SECOND, Talk, V4, pattern};

/// An established connection with all options over a path of 40 ms, warmed up so that the stack
/// knows the round trip and may send `window` bytes at once.
fn warm(family: crate::support::Family, window: usize) -> Talk {
    let Bench { world, host } = Bench::new(3);
    world.cables[0].set_impairment(Impairment::delay(20 * MS));
    let talk = Talk::on(Bench { world, host }, family).listening();
    let syn = talk.full_syn().window(65_535);
    let mut talk = accept_slowly(talk, syn);
    let handle = talk.handle();
    let mut acknowledged = 0;
    while acknowledged < 4 * window {
        let _ = talk.stack().tcp_write(handle, &pattern(window));
        for segment in talk.listen(MS) {
            acknowledged += segment.payload.len();
            tick(&mut talk);
            talk.acknowledge();
        }
    }
    // The rest, and its acknowledgements; shorter than the pause after which the window is small
    // again.
    for _ in 0..150 {
        if !talk.listen(MS).is_empty() {
            tick(&mut talk);
            talk.acknowledge();
        }
    }
    talk
}

fn accept_slowly(mut talk: Talk, syn: Tcp) -> Talk {
    talk.send(&syn);
    let answer = talk.expect(SECOND, |segment| segment.flags == 0x12);
    talk.seq = syn.end();
    talk.shift = answer.found_scale();
    talk.stamp = answer.found_timestamps().map(|(value, _)| (5040, value));
    talk.acknowledge();
    talk.world.advance(150 * MS);
    let listener = talk.listener.expect("a listener");
    talk.handle = talk.stack().tcp_accept(listener).ok();
    talk
}

/// Advances the host's clock.
fn tick(talk: &mut Talk) {
    let now = (talk.world.now_ns / MS) as u32;
    talk.stamp = talk.stamp.map(|(_, echo)| (now, echo));
}

/// Lets the stack send this much; returns the segments that arrive until it pauses.
fn send(talk: &mut Talk, len: usize) -> Vec<Tcp> {
    let handle = talk.handle();
    talk.stack().tcp_write(handle, &pattern(len)).expect("room");
    // 20 ms to here; paced within a round trip, and no probe is that early.
    talk.listen(55 * MS)
}

/// RFC 6928, 2: ten segments at the beginning.
#[test]
fn the_initial_window_is_ten_segments() {
    for family in FAMILIES {
        let Bench { world, host } = Bench::new(3);
        world.cables[0].set_impairment(Impairment::delay(100 * MS));
        let talk = Talk::on(Bench { world, host }, family).listening();
        let syn = talk.full_syn();
        let mut talk = accept_slowly(talk, syn);
        talk.listen(300 * MS);
        let handle = talk.handle();
        talk.stack()
            .tcp_write(handle, &pattern(40_000))
            .expect("room");
        let received = talk.listen(190 * MS);
        let sum: usize = received.iter().map(|segment| segment.payload.len()).sum();
        assert!((13_000..=14_600).contains(&sum), "{sum} bytes");
    }
}

/// RFC 8985, 6 (and RFC 6675): a hole among SACK blocks is repaired within about a round trip,
/// without a timeout, and nothing else is retransmitted.
#[test]
fn only_holes_are_repeated_and_at_once() {
    for family in FAMILIES {
        let mut talk = warm(family, 20_000);
        let sent = send(&mut talk, 20_000);
        assert!(sent.len() >= 12, "{} segments", sent.len());
        let lost = [2, 3, 7];
        let blocks = [
            (sent[8].seq, sent[sent.len() - 1].end()),
            (sent[4].seq, sent[6].end()),
        ];
        tick(&mut talk);
        talk.ack = sent[2].seq;
        // As a receiver reports it: one acknowledgement per segment.
        let report = talk.segment().sack(&[(sent[4].seq, sent[4].end())]);
        talk.send(&report);
        let report = talk.segment().sack(&[(sent[4].seq, sent[6].end())]);
        talk.send(&report);
        for n in 8..sent.len() {
            let report = talk
                .segment()
                .sack(&[(sent[8].seq, sent[n].end()), blocks[1]]);
            talk.send(&report);
        }
        let begun_ns = talk.world.now_ns;
        let mut missing: Vec<_> = lost.map(|n| sent[n].seq).to_vec();
        while !missing.is_empty() {
            let again = talk.expect(160 * MS, |segment| !segment.payload.is_empty());
            let place = missing.iter().position(|seq| *seq == again.seq);
            let place = place.unwrap_or_else(|| panic!("{} wasn't lost", again.seq));
            missing.remove(place);
        }
        assert!(talk.world.now_ns - begun_ns < 170 * MS);
    }
}

/// RFC 8985, 7: the last segment of a flight is lost, and a probe repairs it before the timeout.
#[test]
fn a_lost_tail_is_probed_before_the_timeout() {
    for family in FAMILIES {
        let mut talk = warm(family, 10_000);
        let sent = send(&mut talk, 10_000);
        let last = sent.last().expect("segments").clone();
        tick(&mut talk);
        talk.ack = sent[sent.len() - 2].seq;
        talk.acknowledge();
        let begun_ns = talk.world.now_ns;
        let probe = talk.expect(400 * MS, |segment| !segment.payload.is_empty());
        assert_eq!(probe.end(), last.end());
        // Two round trips after the acknowledgement's arrival, and the way; the timeout is at least
        // 240 ms.
        let waited_ns = talk.world.now_ns - begun_ns;
        assert!(waited_ns <= 180 * MS, "{} ms", waited_ns / MS);
    }
}

/// RFC 5681, 3.2 and RFC 9293, 3.8.1: without SACK three duplicates are enough.
#[test]
fn three_duplicates_repeat_a_segment() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        talk.listen(300 * MS);
        let begin = talk.ack;
        let handle = talk.handle();
        talk.stack()
            .tcp_write(handle, &pattern(10_000))
            .expect("room");
        let sent = talk.listen(MS);
        assert!(sent.len() >= 5, "{} segments", sent.len());
        talk.ack = begin;
        for _ in 0..4 {
            talk.acknowledge();
        }
        let again = talk.expect(100 * MS, |segment| !segment.payload.is_empty());
        assert_eq!(again.seq, begin);
    }
}

/// RFC 2018, 4: stored data after a gap is reported, the newest first, and as many blocks as fit.
#[test]
fn gaps_are_reported_newest_first() {
    for family in FAMILIES {
        let mut talk = Talk::accepted_full(family);
        let begin = talk.seq;
        let mut last = None;
        for n in [2u32, 4, 6, 8] {
            let segment = talk
                .segment()
                .seq(begin.wrapping_add(100 * n))
                .payload(&[n as u8; 100]);
            talk.send(&segment);
            last = talk.receive().pop();
        }
        let blocks = last.expect("an acknowledgement").found_sack();
        let block = |n: u32| {
            (
                begin.wrapping_add(100 * n),
                begin.wrapping_add(100 * n + 100),
            )
        };
        assert_eq!(blocks, [block(8), block(6), block(4)]);
        let joining = talk
            .segment()
            .seq(begin.wrapping_add(300))
            .payload(&[3; 100]);
        talk.send(&joining);
        let blocks = talk
            .receive()
            .pop()
            .expect("an acknowledgement")
            .found_sack();
        assert_eq!(blocks[0], (block(2).0, block(4).1));
        assert!(blocks.contains(&block(8)) && blocks.contains(&block(6)));
        let all = talk.segment().payload(&[0; 200]);
        talk.send(&all);
        let answer = talk.receive().pop().expect("an acknowledgement");
        assert_eq!(answer.ack, begin.wrapping_add(500));
        let rest = [block(8), block(6)];
        assert!(rest.iter().all(|block| answer.found_sack().contains(block)));
    }
}

/// RFC 2018, 5: data reported by SACK may have been dropped nevertheless; after a timeout it is
/// retransmitted.
#[test]
fn reneging_is_survived() {
    let mut talk = warm(V4, 10_000);
    let sent = send(&mut talk, 10_000);
    talk.ack = sent[0].seq;
    let report = talk
        .segment()
        .sack(&[(sent[1].seq, sent[sent.len() - 1].end())]);
    talk.send(&report);
    // The report is not repeated: the data was dropped.
    let mut next = sent[0].seq;
    let end = sent[sent.len() - 1].end();
    while next != end {
        talk.ack = next;
        let segment = talk.expect(20 * SECOND, |segment| {
            !segment.payload.is_empty() && segment.seq == next
        });
        next = segment.end();
        talk.ack = next;
        talk.acknowledge();
    }
    assert_eq!(talk.error(), None);
}

/// Blocks outside the sent data, overlapping, empty or reversed ones are harmless (RFC 2018, 5; RFC
/// 2883, 4: one below the acknowledgement reports a duplicate).
#[test]
fn nonsense_in_sack_is_ignored() {
    let mut talk = warm(V4, 10_000);
    let sent = send(&mut talk, 10_000);
    let (begin, end) = (sent[0].seq, sent[sent.len() - 1].end());
    talk.ack = begin;
    let odd = [
        (begin, begin),
        (end, begin),
        (end, end.wrapping_add(50_000)),
        (begin.wrapping_sub(1000), begin),
        (begin.wrapping_add(1 << 31), begin.wrapping_add(1 << 30)),
        (begin.wrapping_add(7), begin.wrapping_add(9)),
        (0, u32::MAX),
    ];
    for pair in odd.windows(2) {
        let report = talk.segment().sack(pair);
        talk.send(&report);
    }
    let broken = talk.segment().option(&[1, 5, 7, 1, 2, 3, 4, 5]);
    talk.send(&broken);
    talk.listen(SECOND);
    talk.ack = end;
    talk.acknowledge();
    let more = send(&mut talk, 3000);
    assert_eq!(more[0].seq, end);
    assert_eq!(talk.error(), None);
}

/// RFC 5682, RFC 4015 or RFC 7323: a timeout because of a single delay of the path doesn't count as
/// the loss of everything: data that has arrived meanwhile isn't retransmitted.
#[test]
fn a_spurious_timeout_repeats_little() {
    for family in FAMILIES {
        let mut talk = warm(family, 30_000);
        let sent = send(&mut talk, 30_000);
        assert!(sent.len() >= 16, "{} segments", sent.len());
        // Everything was received, but the acknowledgements take 1.5 s longer.
        let early = talk.listen(1500 * MS);
        let mut again: usize = early.iter().map(|segment| segment.payload.len()).sum();
        tick(&mut talk);
        let stamp = talk.stamp;
        for segment in &sent {
            talk.ack = segment.end();
            // They acknowledge the first transmissions, not the later ones.
            talk.stamp = stamp.map(|(value, _)| {
                let first = segment.found_timestamps().map_or(0, |stamps| stamps.0);
                (value, first)
            });
            talk.acknowledge();
            talk.world.advance(MS);
        }
        talk.stamp = stamp;
        for segment in talk.listen(500 * MS) {
            if segment.seq.wrapping_sub(sent[sent.len() - 1].end()) as i32 >= 0 {
                continue;
            }
            again += segment.payload.len();
        }
        assert!(again <= 8 * 1440, "{again} bytes were sent again");
    }
}

/// RFC 5681, 3.1, RFC 3465: acknowledging a segment in pieces doesn't make the sender faster than
/// permitted.
#[test]
fn split_acknowledgements_do_not_open_the_window() {
    let grown = |pieces: u32| {
        let mut talk = warm(V4, 10_000);
        let handle = talk.handle();
        talk.stack()
            .tcp_write(handle, &pattern(200_000))
            .expect("room");
        let sent = talk.listen(60 * MS);
        tick(&mut talk);
        let (begin, end) = (sent[0].seq, sent[sent.len() - 1].end());
        let each = end.wrapping_sub(begin).div_ceil(pieces * sent.len() as u32);
        let mut ack = begin;
        while ack != end {
            ack = ack.wrapping_add(each.min(end.wrapping_sub(ack)));
            talk.ack = ack;
            talk.host.inject(&talk.segment().frame(talk.host.macs()));
        }
        let next = talk.listen(70 * MS);
        next.iter()
            .map(|segment| segment.payload.len())
            .sum::<usize>()
    };
    let (whole, split) = (grown(1), grown(40));
    assert!(
        split <= whole * 5 / 4,
        "{whole} bytes, {split} with split ones"
    );
}

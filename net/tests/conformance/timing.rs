//! Timers and timestamps.

use net::sim::packet::{ACK, RST, SYN, Tcp};
use net::{Error, Keepalive};

use crate::support::{FAMILIES, MS, SECOND, Talk, V4};

fn write(talk: &mut Talk, bytes: &[u8]) {
    let handle = talk.handle();
    assert_eq!(talk.stack().tcp_write(handle, bytes), Ok(bytes.len()));
}

/// RFC 6298, 2.4 with the floor of 200 ms, 5.5 and 5.6: unacknowledged data is retransmitted at
/// growing intervals, and RFC 9293, 3.8.3 (MUST-20 to MUST-23): in the end the connection is
/// aborted.
#[test]
fn unacknowledged_data_is_repeated_with_backoff_and_given_up() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        write(&mut talk, &[1; 100]);
        let first = talk.expect(SECOND, |segment| segment.payload.len() == 100);
        let mut times = vec![talk.world.now_ns];
        // Configured: 120 s; the standard requires at least 100 s.
        while talk.error().is_none() {
            assert!(talk.world.now_ns - times[0] < 400 * SECOND);
            for again in talk.listen(10 * MS) {
                assert_eq!(again.seq, first.seq);
                times.push(talk.world.now_ns);
            }
        }
        assert_eq!(talk.error(), Some(Error::TimedOut));
        let lasted_ns = talk.world.now_ns - times[0];
        assert!((100 * SECOND..=130 * SECOND).contains(&lasted_ns));
        let pauses: Vec<_> = times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) / MS)
            .collect();
        // A tail loss probe may come first (RFC 8985, 7).
        assert!((6..20).contains(&pauses.len()), "{pauses:?} ms");
        let backoff = &pauses[2..pauses.len() - 1];
        for pair in backoff.windows(2) {
            let ratio = pair[1] * 100 / pair[0].max(1);
            assert!(
                (180..=220).contains(&ratio) || pair[1] >= 50_000,
                "{pauses:?} ms"
            );
        }
        assert!(pauses.iter().sum::<u64>() > 50_000, "{pauses:?} ms");
    }
}

/// Whether a frame solicits the host's Ethernet address: ARP (RFC 826) or a solicitation (RFC 4861,
/// 4.3).
fn is_neighbor_query(frame: &[u8]) -> bool {
    let arp = frame.get(12..14) == Some(&[8, 6]) && frame.get(21) == Some(&1);
    arp || frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(54) == Some(&135)
}

/// RFC 9293, 3.8.3 (MUST-20, SHLD-10): after R1, three retransmissions, the network layer is
/// notified that the first hop may be dead (RFC 1122, 3.3.1.4), and probes it; not before. The
/// program can read the number of timeouts (SHLD-9), and isn't notified until R2.
#[test]
fn after_r1_the_first_hop_is_probed() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        write(&mut talk, &[1; 100]);
        let mut sent = 0;
        // Its own replies hide the solicitations.
        talk.host.addresses.clear();
        // Confirmed a second ago, it would be probed after 20 s at the earliest.
        talk.host.expect(&mut talk.world, 10 * SECOND, |frame| {
            sent += u32::from(!is_neighbor_query(frame));
            is_neighbor_query(frame).then_some(())
        });
        assert!(sent >= 4, "{sent} segments before the question");
        let timeouts = talk.stack().tcp_info(handle).expect("open").timeouts;
        assert!((3..=6).contains(&timeouts) && talk.error().is_none());
        // One whose segments are acknowledged isn't probed.
        let mut talk = Talk::accepted(family);
        talk.host.addresses.clear();
        for _ in 0..10 {
            write(&mut talk, &[1; 100]);
            talk.expect(SECOND, |segment| !segment.payload.is_empty());
            talk.acknowledge();
            talk.world.advance(SECOND);
            assert!(
                !talk
                    .host
                    .take(&mut talk.world)
                    .iter()
                    .any(|frame| is_neighbor_query(frame))
            );
        }
    }
}

/// RFC 9293, 3.8.4 (MUST-24, MUST-25): nothing is sent on an idle connection by default.
#[test]
fn idle_connections_are_silent() {
    for family in FAMILIES {
        let mut talk = Talk::accepted_full(family);
        talk.listen(10 * SECOND);
        assert_eq!(talk.listen(5 * 3600 * SECOND), []);
        talk.data(b"still there");
        assert_eq!(talk.read().0, b"still there");
    }
}

/// RFC 9293, 3.8.4 (MUST-26 to MUST-29): a live peer acknowledges keepalive probes, and several
/// unanswered ones, not a single one, end the connection to a dead peer.
#[test]
fn keepalive_tells_the_dead_from_the_silent() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.stack()
            .tcp_set_keepalive(handle, Some(Keepalive::every(10 * SECOND)))
            .expect("a connection");
        for _ in 0..20 {
            let before_ns = talk.world.now_ns;
            let probe = talk.expect(11 * SECOND, |_| true);
            assert!(talk.world.now_ns - before_ns > 9 * SECOND);
            assert!(probe.payload.len() <= 1);
            assert_eq!(probe.seq, talk.ack.wrapping_sub(1), "a probe is old");
            talk.acknowledge();
        }
        assert_eq!(talk.error(), None);
        let mut probes = 0;
        let begun_ns = talk.world.now_ns;
        while talk.error().is_none() {
            probes += talk.listen(SECOND).len();
            assert!(talk.world.now_ns - begun_ns < 200 * SECOND);
        }
        assert_eq!(talk.error(), Some(Error::TimedOut));
        assert!(probes >= 2, "{probes} probes");
    }
}

/// RFC 7323, 5.3: an old duplicate is recognized by its timestamp, acknowledged and dropped; a
/// reset is not subject to it.
#[test]
fn old_timestamps_are_dropped() {
    for family in FAMILIES {
        let mut talk = Talk::accepted_full(family);
        for _ in 0..3 {
            talk.listen(SECOND);
            talk.stamp = talk.stamp.map(|(value, echo)| (value + 1000, echo));
            talk.data(b"new ");
        }
        assert_eq!(talk.read().0, b"new new new ");
        talk.listen(SECOND);
        let old = Tcp::between(talk.own, talk.other)
            .seq(talk.seq)
            .ack(talk.ack)
            .timestamps(6000, talk.stamp.expect("stamps").1)
            .payload(b"old ");
        talk.send(&old);
        let answer = talk.expect(SECOND, |_| true);
        assert_eq!((answer.flags, answer.ack), (ACK, old.seq));
        assert_eq!(talk.read().0, b"");
        let reset = Tcp::between(talk.own, talk.other)
            .seq(talk.seq)
            .ack(talk.ack)
            .timestamps(6000, 0)
            .flags(RST | ACK);
        talk.send(&reset);
        assert_eq!(talk.error(), Some(Error::ConnectionReset));
    }
}

/// RFC 7323, 5.5: a timestamp that is 24 days old is invalid.
#[test]
fn timestamps_age_with_the_connection() {
    let mut talk = Talk::accepted_full(V4);
    talk.data(b"first ");
    talk.listen(25 * 24 * 3600 * SECOND);
    // 25 days of milliseconds, so that the value has wrapped to before the old one.
    talk.stamp = talk
        .stamp
        .map(|(value, echo)| (value.wrapping_add(2_160_000_000), echo));
    talk.data(b"second");
    assert_eq!(talk.read().0, b"first second");
}

/// RFC 7323, 4.3: the echo is that of the segment that the acknowledgement covers, and not of one
/// after a gap.
#[test]
fn timestamps_are_echoed_from_the_edge() {
    for family in FAMILIES {
        let mut talk = Talk::accepted_full(family);
        talk.listen(SECOND);
        let stamped = |talk: &Talk, value: u32, offset: u32| {
            Tcp::between(talk.own, talk.other)
                .seq(talk.seq.wrapping_add(offset))
                .ack(talk.ack)
                .timestamps(value, talk.stamp.map_or(0, |stamp| stamp.1))
                .payload(&[1; 1000])
        };
        let behind = stamped(&talk, 7000, 1000);
        talk.send(&behind);
        let answer = talk.expect(SECOND, |_| true);
        assert_eq!(answer.found_timestamps().map(|stamps| stamps.1), Some(5000));
        let filling = stamped(&talk, 8000, 0);
        talk.send(&filling);
        let answer = talk.expect(SECOND, |segment| segment.ack == behind.end());
        assert_eq!(answer.found_timestamps().map(|stamps| stamps.1), Some(8000));
        // Each segment carries them (3.2).
        write(&mut talk, &[1; 3000]);
        for segment in talk.listen(10 * MS) {
            assert!(segment.found_timestamps().is_some());
        }
    }
}

/// RFC 7323, 3.2: a segment without the negotiated timestamps is dropped, a reset isn't.
#[test]
fn segments_without_agreed_timestamps_are_dropped() {
    let mut talk = Talk::accepted_full(V4);
    let bare = Tcp::between(talk.own, talk.other)
        .seq(talk.seq)
        .ack(talk.ack)
        .payload(b"bare");
    talk.send(&bare);
    assert_eq!(talk.read().0, b"");
    talk.data(b"good");
    assert_eq!(talk.read().0, b"good");
    let reset = Tcp::between(talk.own, talk.other).seq(talk.seq).flags(RST);
    talk.send(&reset);
    assert_eq!(talk.error(), Some(Error::ConnectionReset));
}

/// RFC 5961, 7: challenge acknowledgements are rate-limited; an attacker can't cause any number of
/// them.
#[test]
fn challenges_are_limited() {
    let mut talk = Talk::accepted(V4);
    let mut received = 0;
    for n in 0..20_000u32 {
        let syn = talk.syn().seq(talk.seq.wrapping_add(n));
        talk.host.inject(&syn.frame(talk.host.macs()));
        if n % 100 == 99 {
            received += talk.listen(MS).len();
        }
    }
    assert!((1..=2000).contains(&received), "{received}");
    // It is available again after a while.
    talk.listen(5 * SECOND);
    let syn = talk.syn().flags(SYN);
    talk.send(&syn);
    assert_eq!(talk.expect(SECOND, |_| true).flags, ACK);
}

/// A clock that jumped because the machine was paused (a known failure of others): no timeout
/// expires before the peer had a chance to respond.
#[test]
fn a_jump_of_the_clock_ends_nothing() {
    for family in FAMILIES {
        let mut talk = Talk::accepted_full(family);
        let handle = talk.handle();
        talk.stack()
            .tcp_set_keepalive(handle, Some(Keepalive::every(60 * SECOND)))
            .expect("a connection");
        write(&mut talk, &[1; 100]);
        talk.receive();
        // A week without a poll.
        talk.world.now_ns += 7 * 24 * 3600 * SECOND;
        talk.receive();
        talk.acknowledge();
        talk.listen(SECOND);
        talk.data(b"still here");
        assert_eq!(talk.read().0, b"still here");
        assert_eq!(talk.error(), None);
        // Idle this time.
        talk.world.now_ns += 7 * 24 * 3600 * SECOND;
        talk.receive();
        talk.acknowledge();
        talk.data(b" and here");
        assert_eq!(talk.read().0, b" and here");
        assert_eq!(talk.error(), None);
    }
}

/// RFC 5482, 3 and RFC 9293, 3.8.3 (MUST-21): the program sets the timeout.
#[test]
fn the_user_timeout_is_the_programs() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.stack()
            .tcp_set_user_timeout(handle, 30 * SECOND)
            .expect("a connection");
        talk.listen(100 * SECOND);
        assert_eq!(talk.error(), None, "idle is no silence");
        write(&mut talk, &[1; 100]);
        talk.listen(28 * SECOND);
        assert_eq!(talk.error(), None);
        talk.listen(5 * SECOND);
        assert_eq!(talk.error(), Some(Error::TimedOut));
    }
}

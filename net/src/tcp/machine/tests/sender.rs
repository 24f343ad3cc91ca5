//! The sender under acknowledgements, windows, timers and ICMP, at the limits of its rules.

use alloc::sync::Arc;

use super::super::{Flags, Header, IcmpError, SendBuffer, Seq, Setup, State};
use super::link::{MS, SECOND, pattern};
use super::script::{ISS, Out, Script, header, ours, setup};
use crate::tests::Page;
use crate::types::Error;
use crate::types::Keepalive;

/// RFC 5961, 5.2: an acknowledgement at most the largest window behind is old; one further behind
/// doesn't belong to this connection. Windows of less than 64 KiB count as 64 KiB.
#[test]
fn how_old_an_acknowledgement_may_be() {
    let mut script = Script::established(&Setup {
        pacing: false,
        ..setup()
    });
    let (mut acked, total) = (0, 70_000);
    let data = pattern(total);
    for _ in 0..100 {
        let written = acked + script.machine.unacknowledged();
        script.write(&data[written..]);
        let sent: usize = script.out().iter().map(|(_, bytes)| bytes.len()).sum();
        acked += sent;
        script.receive(&header(Flags::ACK, 1, 1 + acked as i64), b"");
    }
    assert_eq!(script.machine.info().bytes_acknowledged, 70_000);
    let una = 1 + total as i64;
    script.give(&header(Flags::ACK, 1, una - 65_537), b"x");
    assert_eq!(script.machine.unread(), 0);
    script.give(&header(Flags::ACK, 1, una - 65_536), b"x");
    assert_eq!(script.machine.unread(), 1);
}

/// RFC 9293, 3.10.7.4, fifth: the window is that of the newest segment, not of an overtaken one.
#[test]
fn an_overtaken_segment_does_not_change_the_window() {
    let mut script = Script::established(&setup());
    let window = |window: u16, seq: i64| Header {
        window,
        ..header(Flags::ACK, seq, 1)
    };
    script.give(&window(2000, 1), b"0123456789");
    assert_eq!(script.machine.info().send_window, 2000);
    script.give(&window(2000, 11), b"");
    script.give(&window(500, 5), b"456789abcd");
    assert_eq!(script.machine.info().send_window, 2000);
    script.give(&window(600, 15), b"");
    assert_eq!(script.machine.info().send_window, 600);
    script.give(&window(700, 15), b"");
    assert_eq!(script.machine.info().send_window, 700);
}

/// RFC 5482, 3: segments that acknowledge nothing don't keep unacknowledged data alive, unless it
/// waits for the window (RFC 9293, 3.8.6.1).
#[test]
fn only_a_closed_window_outlasts_the_user_timeout() {
    for (first, closed) in [(60_000, false), (0, true)] {
        let mut script = Script::established(&Setup {
            user_timeout_ns: 7 * SECOND,
            ..setup()
        });
        let window = |window: u16| Header {
            window,
            ..header(Flags::ACK, 1, 1)
        };
        script.give(&window(first), b"");
        script.write(b"anybody?");
        script.out();
        for n in 1..6 {
            script.wait(2 * SECOND);
            script.give(&window(if closed { 0 } else { 50_000 + n }), b"");
        }
        let alive = script.machine.state() == State::Established;
        assert_eq!(alive, closed, "{first}");
    }
}

/// RFC 9293, 3.8.6.2.1: too small a window is used after the override timeout, although the peer
/// continues sending and repeats it each time.
#[test]
fn a_small_window_is_used_at_last() {
    let mut script = Script::established(&setup());
    let small = |seq: i64| Header {
        window: 100,
        ..header(Flags::ACK, seq, 1)
    };
    script.give(&small(1), b"");
    assert_eq!(script.write(&pattern(5000)), 5000);
    let mut sent = script.out();
    for n in 0..30 {
        sent.extend(script.give(&small(1 + n), b"x"));
        script.read();
        sent.extend(script.wait(100 * MS));
    }
    let data: Vec<usize> = sent
        .iter()
        .map(|(_, bytes)| bytes.len())
        .filter(|n| *n > 0)
        .collect();
    assert_eq!(data.first(), Some(&100), "{data:?}");
    // A FIN held back by the window is sent as soon as it opens.
    let mut script = Script::established(&setup());
    let window = |window: u16| Header {
        window,
        ..header(Flags::ACK, 1, 1)
    };
    script.give(&window(5), b"");
    script.write(b"12345");
    script.machine.shutdown_send();
    let out = script.out();
    assert_eq!((out.len(), out[0].0.flags.has(Flags::FIN)), (1, false));
    let out = script.give(&window(100), b"");
    assert_eq!(out.len(), 1);
    assert_eq!(
        (ours(out[0].0.seq), out[0].0.flags.has(Flags::FIN)),
        (6, true)
    );
}

/// RFC 7323, 4.1: the echo of a timestamp measures a round trip even of a retransmission, if it is
/// plausible.
#[test]
fn echoes_measure_what_was_sent_again() {
    let with_timestamps = Setup {
        timestamps: true,
        ..setup()
    };
    // The acknowledgement, the echo in ms before it, and the measurement.
    let most = 1 << 20;
    for (acknowledged, before_ms, rtt_ms) in [
        (101, Some(30), 30),
        (101, Some(0), 1),
        (101, Some(most), most),
        (101, Some(most + 1), 0),
        (101, None, 0),
        (1, Some(30), 0),
    ] {
        let mut script = Script::established(&with_timestamps);
        script.write(&pattern(100));
        script.out();
        assert!(!script.wait(3 * SECOND).is_empty());
        let now = script.machine.stamp(script.now_ns);
        let echo = before_ms.map_or(0, |ms: u32| now.wrapping_sub(ms));
        let mut ack = header(Flags::ACK, 1, acknowledged);
        ack.options.timestamps = Some((7001, echo));
        script.give(&ack, b"");
        let measured = script.machine.info().rtt_ns;
        assert_eq!(
            measured,
            u64::from(rtt_ms) * MS,
            "{acknowledged} {before_ms:?}"
        );
    }
}

/// RFC 7323, appendix G: each of the many acknowledgements in a round trip has its share.
#[test]
fn measurements_of_a_large_flight_weigh_little() {
    let mut script = Script::established(&Setup {
        pacing: false,
        ..setup()
    });
    let mut number = 1;
    for count in [10, 20] {
        let len = count * 1460;
        script.write(&pattern(len as usize));
        assert_eq!(script.out().len() as i64, count);
        script.wait(if count == 10 { 40 * MS } else { 80 * MS });
        let segments = if count == 10 { count } else { 2 };
        number += segments * 1460;
        script.give(&header(Flags::ACK, 1, number), b"");
    }
    // 40 ms more weigh an eighth of a tenth.
    let grown = script.machine.info().rtt_ns - 40 * MS;
    assert!((MS / 4..MS).contains(&grown), "{grown}");
}

/// RFC 5927, 4 and 7; RFC 1191, 6.3; RFC 5461: effects of ICMP messages.
#[test]
fn icmp_is_believed_as_far_as_it_can_be_true() {
    let first = Seq(ISS);
    for (error, state, expected) in [
        (
            IcmpError::Refused,
            State::Closed,
            Some(Error::ConnectionRefused),
        ),
        (
            IcmpError::Unreachable,
            State::Closed,
            Some(Error::Unreachable),
        ),
        (IcmpError::TooBig(300), State::SynSent, None),
    ] {
        let mut script = Script::connecting(&setup());
        script
            .machine
            .icmp(&mut script.memory, error, first, script.now_ns);
        assert_eq!(
            (script.machine.state(), script.machine.error()),
            (state, expected)
        );
        assert_eq!(script.machine.info().phase, "Open");
        assert!(script.out().is_empty());
    }
    // Bytes in flight, the MTU, and the segments that are retransmitted at once, and their size.
    for (len, mtu, again, mss) in [
        (1000, 1080, 0, 1460),
        (1000, 1079, 1, 1039),
        (1000, 600, 2, 560),
        (1000, 0, 1, 1452),
        (100, 600, 0, 1460),
        (1460, 1500, 0, 1460),
        (1460, 1499, 2, 1459),
    ] {
        let mut script = Script::established(&setup());
        script.write(&pattern(len));
        assert_eq!(script.out().len(), 1);
        let too_big = IcmpError::TooBig(mtu);
        script
            .machine
            .icmp(&mut script.memory, too_big, first + 1, script.now_ns);
        assert_eq!(
            (script.out().len(), script.machine.info().mss),
            (again, mss),
            "{len} {mtu}"
        );
    }
    // Two of the new size may be sent at once, however small the window is.
    let mut script = Script::established(&setup());
    script.write(&pattern(14_600));
    script.out();
    while script.machine.info().timeouts == 0 {
        script.wait(10 * MS);
    }
    assert_eq!(script.machine.info().cwnd, 1460);
    let una = first + 1;
    let too_big = IcmpError::TooBig(1400);
    script
        .machine
        .icmp(&mut script.memory, too_big, una, script.now_ns);
    assert_eq!(script.machine.info().cwnd, 2 * 1360);
}

/// RFC 9293, 3.8.4: a peer that has just responded is probed after the idle time, a silent one
/// repeatedly.
#[test]
fn keepalives_count_from_the_last_segment() {
    let mut script = Script::established(&Setup {
        keepalive: Some(Keepalive {
            idle_ns: 10 * SECOND,
            interval_ns: SECOND,
            probes: 3,
        }),
        ..setup()
    });
    script.wait(6 * SECOND);
    script.give(&header(Flags::ACK, 1, 1), b"heard");
    assert!(
        script
            .wait(9 * SECOND)
            .iter()
            .all(|(header, _)| ours(header.seq) == 1)
    );
    let asked = script.wait(2 * SECOND);
    assert_eq!((asked.len(), ours(asked[0].0.seq)), (2, 0));
    // With data in flight the retransmissions serve as probes.
    script.give(&header(Flags::ACK, 6, 1), b"");
    script.write(b"data");
    let asked = script.wait(15 * SECOND);
    assert!(asked.iter().all(|(_, bytes)| bytes == b"data"));
    assert_eq!(script.machine.state(), State::Established);
}

/// Data in more pieces than a segment holds is sent as whole segments first, and the rest
/// afterwards.
#[test]
fn many_pieces_leave_in_whole_segments() {
    for (piece, count) in [(200, 60), (100, 30), (1460, 30), (1, 50)] {
        let mut script = Script::established(&Setup {
            pacing: false,
            ..setup()
        });
        script.tap.tso = 65_000;
        let bytes = pattern(piece * count);
        for page in bytes.chunks(piece) {
            let page: Arc<dyn SendBuffer> = Arc::new(Page(page.to_vec()));
            let taken = script.machine.write_shared(&mut script.memory, page);
            assert!(taken.is_ok());
        }
        let (mut sent, mut next) = (Vec::new(), 1);
        for _ in 0..200 {
            let out = script.out();
            for (n, (header, payload)) in out.iter().enumerate() {
                assert_eq!(ours(header.seq), next);
                // Only the last one before a wait is smaller, and only the last one has PSH.
                assert!(payload.len() == 1460 || n + 1 == out.len() || piece * 20 < 1460);
                next += payload.len() as u32;
                sent.extend_from_slice(payload);
                assert_eq!(header.flags.has(Flags::PSH), sent.len() == bytes.len());
            }
            script.receive(&header(Flags::ACK, 1, i64::from(next)), b"");
        }
        assert!(sent == bytes, "{piece} {count}: {}", sent.len());
    }
}

fn lengths(out: &Out) -> Vec<usize> {
    out.iter().map(|(_, payload)| payload.len()).collect()
}

/// RFC 9293, 3.7.4, in Minshall's form: less than a full segment waits while another small one
/// isn't acknowledged, whether the device segments or not, and unless nothing will follow.
#[test]
fn a_small_rest_waits_for_a_small_segment_alone() {
    for tso in [0, 65_000] {
        let mut script = Script::established(&Setup {
            nodelay: false,
            pacing: false,
            ..setup()
        });
        script.tap.tso = tso;
        let write = |script: &mut Script, len: usize| {
            script.write(&vec![7; len]);
            lengths(&script.out())
        };
        assert_eq!(write(&mut script, 10), [10]);
        assert_eq!(write(&mut script, 2 * 1460 + 100), [1460, 1460]);
        assert_eq!(write(&mut script, 1360), [1460]);
        assert_eq!(write(&mut script, 10), []);
        // The small one was acknowledged, the full ones weren't.
        let out = script.give(&header(Flags::ACK, 1, 11), b"");
        assert_eq!(lengths(&out), [10]);
        assert_eq!(write(&mut script, 20), []);
        script.machine.shutdown_send();
        let out = script.out();
        assert_eq!(lengths(&out), [20]);
        assert!(out[0].0.flags.has(Flags::FIN));
    }
}

/// A retransmission of the last byte carries the FIN if the FIN was sent; no other retransmission
/// does.
#[test]
fn a_fin_is_sent_again_with_the_last_byte() {
    for (received, later) in [
        (1, false),
        (1, true),
        (1461, false),
        (3001, false),
        (3001, true),
    ] {
        let mut script = Script::established(&Setup {
            pacing: false,
            ..setup()
        });
        script.write(&pattern(3000));
        let mut sent = Vec::new();
        if later {
            sent.extend(script.out());
        }
        script.machine.shutdown_send();
        sent.extend(script.out());
        assert!(sent.iter().any(|(header, _)| header.flags.has(Flags::FIN)));
        sent = script.give(&header(Flags::ACK, 1, received), b"");
        // A tail loss probe, then timeouts; the acknowledgements let all of it be repaired.
        for _ in 0..3 {
            sent.extend(script.wait(3 * SECOND));
        }
        sent.extend(script.give(&header(Flags::ACK, 1, received.max(1461)), b""));
        sent.extend(script.wait(3 * SECOND));
        sent.extend(script.give(&header(Flags::ACK, 1, received.max(2921)), b""));
        sent.extend(script.wait(3 * SECOND));
        for (header, payload) in &sent {
            let end = ours(header.seq) + payload.len() as u32;
            assert_eq!(
                header.flags.has(Flags::FIN),
                end == 3001,
                "{received} {later}"
            );
        }
        assert!(sent.iter().any(|(header, _)| header.flags.has(Flags::FIN)));
        assert!(script.give(&header(Flags::ACK, 1, 3002), b"").is_empty());
        assert!(script.wait(100 * SECOND).is_empty());
    }
}

/// RFC 8985, 7.3: unsent data makes the better probe, also with its FIN if the peer has room for
/// that.
#[test]
fn a_tail_probe_takes_new_data() {
    for (shut, beyond, fin) in [
        (false, 9000, false),
        (true, 9000, true),
        (true, 501, true),
        (true, 500, false),
    ] {
        let mut script = Script::established(&Setup {
            pacing: false,
            ..setup()
        });
        let window = Header {
            window: 14_600 + beyond,
            ..header(Flags::ACK, 1, 1)
        };
        script.give(&window, b"");
        script.write(&pattern(14_600 + 500));
        if shut {
            script.machine.shutdown_send();
        }
        assert_eq!(lengths(&script.out()), [1460; 10]);
        let probe = &script.wait(3 * SECOND)[0];
        assert_eq!((ours(probe.0.seq), probe.1.len()), (14_601, 500));
        assert_eq!(probe.0.flags.has(Flags::FIN), fin, "{beyond}");
    }
}

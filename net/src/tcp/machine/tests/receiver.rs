//! Effects of a segment on the receiver and the state at the limits of the rules: with one more
//! byte, flag or moment the result changes.

use super::super::{Flags, Header, Machine, Options, Outcome, Pressure, Segment, Setup, State};
use super::link::{MS, SECOND, pattern};
use super::script::{Script, header, setup, theirs};
use crate::types::Error;

/// The peer's SYN-ACK.
fn answer(echo: Option<u32>) -> Header {
    Header {
        options: Options {
            mss: Some(1460),
            timestamps: echo.map(|echo| (7000, echo)),
            ..Options::default()
        },
        ..header(Flags::SYN | Flags::ACK, 0, 1)
    }
}

/// RFC 6298, 2 and RFC 7323, 3.2 and 4.1: the first round trip is that of the SYN; of a
/// retransmitted one, the echo determines it, if it is of one of ours.
#[test]
fn the_handshake_measures_the_round_trip() {
    let with_timestamps = Setup {
        timestamps: true,
        ..setup()
    };
    // SYNs sent before the SYN-ACK, which arrives 30 ms after the last; the echo, in ms after the
    // first; the round trip in ms.
    for (again, echo, rtt_ms) in [
        (false, Some(0), 30),
        (false, None, 30),
        (true, Some(1000), 30),
        (true, Some(0), 1030),
        (true, Some(1030), 1),
        (true, Some(1031), 0),
        (true, Some(-1), 0),
        (true, None, 0),
    ] {
        let mut script = Script::connecting(&with_timestamps);
        let first = script.machine.stamp(script.now_ns);
        if again {
            assert_eq!(script.wait(SECOND).len(), 1);
        }
        script.wait(30 * MS);
        let echo = echo.map(|ms: i32| first.wrapping_add(ms as u32));
        script.receive(&answer(echo), b"");
        let info = script.machine.info();
        assert_eq!(info.rtt_ns, rtt_ms * MS, "{again} {echo:?}");
        // One measurement, RFC 6298, 2.2.
        assert_eq!(info.rtt_variation_ns, rtt_ms * MS / 2);
        // RFC 5681, 3.1: a SYN was lost.
        assert_eq!(info.cwnd == info.mss.into(), again);
        if rtt_ms == 0 {
            // RFC 6298, 5.7.
            assert_eq!(info.rto_ns, 3 * SECOND);
        }
    }
}

/// RFC 3168, 6.1.1: both ends negotiate ECN if the response to an ECN-setup SYN has ECE and not
/// CWR.
#[test]
fn ecn_is_negotiated() {
    let (ece, cwr) = (Flags::ECE, Flags::CWR);
    for (asks, again, flags, agreed) in [
        (true, false, Flags::ACK | ece, true),
        (true, false, Flags::ACK | ece | cwr, false),
        (true, false, Flags::ACK | cwr, false),
        (true, false, Flags::ACK, false),
        (true, true, Flags::ACK | ece, false),
        (false, false, Flags::ACK | ece, false),
        // Simultaneous open.
        (true, false, ece, false),
    ] {
        let mut script = Script::connecting(&Setup {
            ecn: asks,
            ..setup()
        });
        if again {
            script.wait(SECOND);
        }
        let mut answer = answer(None);
        answer.flags = Flags::SYN | flags;
        script.give(&answer, b"");
        assert_eq!(
            script.machine.info().ecn,
            agreed,
            "{asks} {again} {flags:?}"
        );
    }
}

/// RFC 9293, 3.10.7.3: the peer may send up to the window that our SYN offered, to the byte.
#[test]
fn the_window_of_a_syn_is_counted_from_the_first_byte() {
    let mut script = Script::connecting(&setup());
    script.receive(&answer(None), b"");
    assert_eq!(script.machine.info().receive_window, 0xffff);
    // Pending data is sent with the handshake's last acknowledgement.
    let mut script = Script::connecting(&setup());
    assert_eq!(script.write(b"early"), 5);
    let out = script.give(&answer(None), b"");
    assert_eq!((out.len(), &out[0].1[..]), (1, &b"early"[..]));
}

/// A handshake that takes too long, and a connection that exceeds its limit.
#[test]
fn handshakes_are_limited_and_connections_are_not() {
    let limited = Setup {
        handshake_timeout_ns: 5 * SECOND,
        ..setup()
    };
    for mut script in [Script::connecting(&limited), Script::accepting(&limited)] {
        script.wait(4 * SECOND);
        assert_ne!(script.machine.state(), State::Closed);
        script.wait(2 * SECOND);
        assert_eq!(script.machine.state(), State::Closed);
        assert_eq!(script.machine.error(), Some(Error::TimedOut));
    }
    let mut script = Script::established(&limited);
    script.wait(100 * SECOND);
    assert_eq!(script.machine.state(), State::Established);
    // One that the program has closed before is limited by its linger time.
    let mut script = Script::accepting(&setup());
    script
        .machine
        .close(&mut script.memory, 5 * SECOND, script.now_ns);
    script.give(&header(Flags::ACK, 1, 1), b"");
    script.give(&header(Flags::ACK, 1, 2), b"");
    script.wait(4 * SECOND);
    assert_eq!(script.machine.state(), State::FinWait2);
    script.wait(2 * SECOND);
    assert_eq!(script.machine.state(), State::Closed);
}

/// Established, and the peer has filled our window: RCV.NXT is the returned number.
fn filled(setup: &Setup) -> (Script, i64) {
    let mut script = Script::established(&Setup {
        receive_initial: 4096,
        receive_max: 4096,
        ..*setup
    });
    let room = script.machine.info().receive_window;
    let out = script.give(&header(Flags::ACK, 1, 1), &pattern(room as usize));
    assert_eq!(out.last().unwrap().0.window, 0);
    assert_eq!(script.machine.info().receive_window, 0);
    (script, 1 + i64::from(room))
}

/// RFC 9293, 3.10.7.4: with a closed window an RST, an acknowledgement and a SYN are processed at
/// RCV.NXT only.
#[test]
fn a_closed_window_takes_what_is_at_its_edge() {
    for (off, bytes, ended) in [
        (0, 0, true),
        (0, 1, true),
        (1, 1, false),
        (-1, 1, false),
        (1, 0, false),
        (-1, 0, false),
    ] {
        let (mut script, next) = filled(&setup());
        script.give(&header(Flags::RST, next + off, 1), &b"x"[..bytes]);
        let closed = script.machine.state() == State::Closed;
        assert_eq!(closed, ended, "{off} {bytes}");
    }
    for (off, bytes, counts) in [
        (0, 1, true),
        (1, 1, false),
        (-1, 1, false),
        (-500, 600, false),
    ] {
        let (mut script, next) = filled(&setup());
        assert_eq!(script.write(b"question"), 8);
        script.out();
        let segment = header(Flags::ACK, next + off, 9);
        let out = script.give(&segment, &pattern(600)[..bytes]);
        assert_eq!(script.machine.unacknowledged() == 0, counts, "{off}");
        // It is acknowledged in any case (RFC 9293, 3.8.6.1), and its bytes aren't accepted.
        assert_eq!((out.len(), theirs(out[0].0.ack)), (1, next as u32));
    }
}

/// RFC 9293, 3.10.7.4: bytes beyond the window are trimmed, with a FIN after them.
#[test]
fn a_fin_beyond_the_window_is_cut_off() {
    for (beyond, ends) in [(-1, true), (0, true), (1, false)] {
        let mut script = Script::established(&Setup {
            receive_initial: 4096,
            receive_max: 4096,
            ..setup()
        });
        let room = i64::from(script.machine.info().receive_window);
        let bytes = pattern((room + beyond) as usize);
        script.give(&header(Flags::FIN | Flags::ACK, 1, 1), &bytes);
        assert_eq!(script.machine.unread() as i64, room + beyond.min(0));
        let ended = script.machine.state() == State::CloseWait;
        assert_eq!(ended, ends, "{beyond}");
    }
}

/// RFC 9293, 3.5, figure 8: in a simultaneous open the peer's SYN-ACK ends the handshake if it
/// acknowledges our SYN.
#[test]
fn a_simultaneous_open_needs_our_syn_acknowledged() {
    for (ack, state) in [
        (0, State::SynReceived),
        (1, State::Established),
        (2, State::SynReceived),
    ] {
        let mut script = Script::connecting(&setup());
        let mut syn = answer(None);
        syn.flags = Flags::SYN;
        let out = script.give(&syn, b"");
        assert_eq!(out[0].0.flags, Flags::SYN | Flags::ACK);
        let out = script.give(&header(Flags::SYN | Flags::ACK, 0, ack), b"");
        assert_eq!(script.machine.state(), state, "{ack}");
        assert_eq!((out.len(), out[0].0.flags), (1, Flags::ACK), "{ack}");
        // This end began: the peer refuses (RFC 9293, 3.10.7.4, second).
        if state == State::SynReceived {
            script.give(&header(Flags::RST, 1, 1), b"");
            assert_eq!(script.machine.error(), Some(Error::ConnectionRefused));
        }
    }
    let mut script = Script::in_state(State::SynReceived);
    script.give(&header(Flags::RST, 1, 1), b"");
    assert_eq!(script.machine.error(), Some(Error::ConnectionReset));
}

/// RFC 9293, 3.10.7.4: a repeated FIN restarts TIME-WAIT, and delays the end of no other state.
#[test]
fn a_repeated_fin_ends_nothing() {
    let mut script = Script::established(&setup());
    script.give(&header(Flags::FIN | Flags::ACK, 1, 1), b"abc");
    assert_eq!(script.machine.state(), State::CloseWait);
    script.give(&header(Flags::FIN | Flags::ACK, 1, 1), b"abc");
    script.wait(300 * SECOND);
    assert_eq!(script.machine.state(), State::CloseWait);
    // Duplicates are reported after the FIN as well (RFC 2883, 4)...
    let out = script.give(&header(Flags::ACK, 1, 1), b"abc");
    let blocks = out[0].0.options.sack;
    let blocks: Vec<(u32, u32)> = blocks
        .blocks()
        .iter()
        .map(|(first, end)| (theirs(*first), theirs(*end)))
        .collect();
    assert_eq!(blocks, [(1, 4)]);
    // ... but not to a peer that doesn't support such reports.
    let mut script = Script::established(&Setup {
        sack: false,
        ..setup()
    });
    script.give(&header(Flags::ACK, 1, 1), b"abc");
    let out = script.give(&header(Flags::ACK, 1, 1), b"abc");
    assert!(out[0].0.options.sack.is_empty());
    // Nor does such a peer report anything in an overtaken acknowledgement.
    script.write(&pattern(4000));
    script.out();
    script.give(&header(Flags::ACK, 4, 1461), b"");
    let mut old = header(Flags::ACK, 4, 1);
    let number = |at: i64| header(Flags::ACK, 1, at).ack;
    old.options.sack.push(number(2921), number(4001));
    script.give(&old, b"");
    assert_eq!(script.machine.info().sacked, 0);
}

/// RFC 9293, 3.10.7.4, second: a reset at the end causes no error if the peer has acknowledged all
/// data.
#[test]
fn a_reset_in_last_ack_is_complete_only_without_data_in_flight() {
    for (fin, acked, complete) in [
        (true, true, true),
        (true, false, false),
        (false, false, false),
    ] {
        let mut script = Script::in_state(State::CloseWait);
        if !fin {
            // The window is closed: neither the data nor the FIN can be sent.
            let mut closed = header(Flags::ACK, 2, 1);
            closed.window = 0;
            script.give(&closed, b"");
        }
        script.write(b"bye");
        script.machine.shutdown_send();
        assert_eq!(script.out().len(), usize::from(fin));
        assert_eq!(script.machine.state(), State::LastAck);
        if acked {
            script.give(&header(Flags::ACK, 2, 4), b"");
        }
        script.give(&header(Flags::RST, 2, 0), b"");
        assert_eq!(script.machine.state(), State::Closed);
        assert_eq!(script.machine.complete(), complete, "{fin} {acked}");
    }
}

/// Data for which there is no memory isn't acknowledged, and the peer is notified at once.
#[test]
fn without_memory_the_peer_is_notified_at_once() {
    let mut script = Script::established(&setup());
    script.memory.pressure = Pressure::Hard;
    let bytes = pattern(1000);
    let mut next = 1;
    for _ in 0..20 {
        let out = script.give(&header(Flags::ACK, next, 1), &bytes);
        let unread = script.machine.unread() as i64;
        if unread < next - 1 + 1000 {
            assert_eq!(out.len(), 1);
            assert_eq!(i64::from(theirs(out[0].0.ack)), 1 + unread);
            assert_eq!(script.read(), [&bytes[..]; 20].concat()[..unread as usize]);
            return;
        }
        next += 1000;
    }
    panic!("no limit");
}

/// After the program has released the connection, received data is dropped (RFC 9293, 3.10.4), and
/// unread data causes a reset.
#[test]
fn nothing_is_kept_without_a_reader() {
    let mut script = Script::established(&setup());
    script.write(b"bye");
    script
        .machine
        .close(&mut script.memory, 60 * SECOND, script.now_ns);
    script.out();
    script.give(&header(Flags::ACK, 1, 4), b"");
    let used = script.memory.used;
    script.give(&header(Flags::ACK, 11, 4), b"out of order");
    assert_eq!(
        (script.memory.used, script.machine.info().out_of_order),
        (used, 0)
    );
    // In order or not, the peer gets the reset once all of ours is acknowledged.
    let out = script.give(&header(Flags::ACK, 1, 5), b"");
    assert_eq!((out.len(), out[0].0.flags), (1, Flags::RST | Flags::ACK));
    let mut script = Script::established(&setup());
    script
        .machine
        .close(&mut script.memory, 60 * SECOND, script.now_ns);
    script.out();
    script.give(&header(Flags::ACK, 1, 2), b"");
    assert_eq!(script.machine.state(), State::FinWait2);
    let out = script.give(&header(Flags::ACK, 1, 2), b"in order");
    assert_eq!((out.len(), out[0].0.flags), (1, Flags::RST | Flags::ACK));
}

/// RFC 9293, 3.8.6.3 and RFC 5681, 4.2: segments that are acknowledged at once, and those whose
/// acknowledgement is delayed, counted from the first of them.
#[test]
fn delayed_acknowledgements_are_sent_early_for_a_reason() {
    let give = |script: &mut Script, gro: Option<u16>, bytes: &[u8]| {
        let unread = script.machine.unread() as i64;
        let mut wire = vec![0; 60 + bytes.len()];
        let len = header(Flags::ACK, 1 + unread, 1)
            .write(1, 2, &mut wire)
            .unwrap();
        wire[len..len + bytes.len()].copy_from_slice(bytes);
        let mut segment = Segment::parse(&wire[..len + bytes.len()]).unwrap();
        segment.gro = gro;
        script
            .machine
            .input(&mut script.memory, &mut || true, &segment, script.now_ns);
        script.out().len()
    };
    // Segments merged by the device.
    let mut script = Script::established(&setup());
    assert_eq!(give(&mut script, None, &[1; 100]), 0);
    assert_eq!(give(&mut script, Some(100), &[1; 200]), 1);
    // A connection without delayed acknowledgements.
    let mut script = Script::established(&Setup {
        delayed_ack_ns: 0,
        ..setup()
    });
    assert_eq!(give(&mut script, None, b"x"), 1);
    // The second full segment.
    let mut script = Script::established(&setup());
    assert_eq!(give(&mut script, None, &[1; 1460]), 0);
    assert_eq!(give(&mut script, None, &[1; 1459]), 0);
    assert_eq!(give(&mut script, None, &[1; 1]), 1);
    // 40 ms after the first, regardless of the number of small ones that follow.
    let mut script = Script::established(&setup());
    for _ in 0..4 {
        assert_eq!(give(&mut script, None, b"x"), 0);
        assert!(script.wait(9 * MS).is_empty());
    }
    assert_eq!(script.wait(5 * MS).len(), 1);
}

/// Queries of the stack: whether data is due, and whether both directions are closed.
#[test]
fn status_queries_of_the_stack() {
    for (state, over) in [
        (State::SynSent, false),
        (State::SynReceived, false),
        (State::Established, false),
        (State::FinWait1, false),
        (State::FinWait2, false),
        (State::CloseWait, false),
        (State::Closing, false),
        (State::LastAck, false),
        (State::TimeWait, true),
        (State::Closed, true),
    ] {
        assert_eq!(Script::in_state(state).machine.hangup(), over, "{state:?}");
    }
    let mut script = Script::established(&setup());
    assert!(!script.machine.wants_data());
    script.receive(&header(Flags::ACK, 2, 1), b"later");
    assert!(script.machine.wants_output() && !script.machine.wants_data());
    script.write(b"x");
    assert!(script.machine.wants_data());
}

/// A connection from a cookie: the duration of its handshake, and that its SYN-ACK was lost.
#[test]
fn a_cookie_may_be_acknowledged_late() {
    let ack = header(Flags::ACK, 1, 1);
    let mut bytes = [0; 60];
    let len = ack.write(1, 2, &mut bytes).unwrap();
    let segment = Segment::parse(&bytes[..len]).unwrap();
    for repeated in [false, true] {
        let negotiated = super::super::Negotiated::from_syn(&Options::default());
        let mut machine = Machine::accept_cookie(&setup(), negotiated, &segment, SECOND);
        if repeated {
            machine.handshake_repeated();
        }
        machine.set_handshake_rtt(30 * MS, SECOND);
        let mut script = Script::new(machine, SECOND);
        script.give(&ack, b"");
        let info = script.machine.info();
        assert_eq!((info.state, info.rtt_ns), ("ESTABLISHED", 30 * MS));
        // RFC 5681, 3.1.
        assert_eq!(info.cwnd == info.mss.into(), repeated, "{info:?}");
        let outcome = script.machine.output(SECOND, 1, &mut script.tap);
        assert_eq!(outcome, Outcome::Done);
    }
}

/// RFC 8985, 7.2: the probe of a lone segment also waits for the maximum delay of its
/// acknowledgement.
#[test]
fn a_lone_segment_is_probed_later() {
    for (len, probed_ms) in [(100, 1000), (1460, 1000), (1461, 800)] {
        let mut script = Script::connecting(&setup());
        script.wait(400 * MS);
        let mut answer = answer(None);
        answer.options.sack_permitted = true;
        script.give(&answer, b"");
        script.write(&pattern(len));
        assert!(!script.out().is_empty());
        assert!(script.wait((probed_ms - 10) * MS).is_empty(), "{len}");
        assert_eq!(script.wait(20 * MS).len(), 1, "{len}");
        let info = script.machine.info();
        assert_eq!((info.probes, info.timeouts), (1, 0), "{len}");
    }
}

/// RFC 8985, 7.2: an acknowledgement of nothing new doesn't delay the probe.
#[test]
fn duplicates_do_not_put_off_the_probe() {
    let mut script = Script::connecting(&setup());
    script.wait(400 * MS);
    let mut answer = answer(None);
    answer.options.sack_permitted = true;
    script.give(&answer, b"");
    script.write(&pattern(2000));
    let mut sent = script.out().len();
    for _ in 0..7 {
        sent += script.wait(100 * MS).len();
        sent += script.give(&header(Flags::ACK, 1, 1), b"").len();
    }
    assert_eq!(sent, 2);
    assert_eq!(script.wait(150 * MS).len(), 1);
    assert_eq!(script.machine.info().probes, 1);
}

//! Each state and each kind of segment: the rules of RFC 9293, 3.10.7 and RFC 5961.

use super::super::{Flags, Header, Options, Setup, State};
use super::link::SECOND;
use super::script::{Out, Script, header, ours, setup, theirs};
use crate::types::Error;

const SYNCHRONIZED: [State; 6] = [
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
];

/// RCV.NXT, counted from the peer's SYN.
fn expected(state: State) -> i64 {
    match state {
        State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 => 1,
        _ => 2,
    }
}

/// SND.NXT, counted from ours.
fn next(state: State) -> i64 {
    match state {
        State::SynReceived | State::Established | State::CloseWait => 1,
        _ => 2,
    }
}

/// Exactly one acknowledgement of the received data, as of now.
fn is_ack(out: &Out, state: State) {
    assert_eq!(out.len(), 1, "{state:?} {out:?}");
    let (header, payload) = &out[0];
    assert_eq!(header.flags, Flags::ACK, "{state:?}");
    assert_eq!(theirs(header.ack), expected(state) as u32, "{state:?}");
    assert_eq!(ours(header.seq), next(state) as u32, "{state:?}");
    assert!(payload.is_empty());
}

fn is_reset(out: &Out, seq: i64, state: State) {
    assert_eq!(out.len(), 1, "{state:?} {out:?}");
    assert_eq!(out[0].0.flags, Flags::RST, "{state:?}");
    assert_eq!(ours(out[0].0.seq), seq as u32, "{state:?}");
}

/// RFC 9293, 3.10.7.3.
#[test]
fn syn_sent_takes_a_syn_and_refuses_bad_acknowledgements() {
    let state = State::SynSent;
    let cases: [(Flags, i64, Option<State>, Option<i64>); 12] = [
        // An unacceptable acknowledgement gets a reset, unless it is one.
        (Flags::ACK, 0, Some(state), Some(0)),
        (Flags::ACK, 2, Some(state), Some(2)),
        (Flags::SYN | Flags::ACK, 0, Some(state), Some(0)),
        (Flags::SYN | Flags::ACK, 2, Some(state), Some(2)),
        (Flags::FIN | Flags::ACK, 9, Some(state), Some(9)),
        (Flags::RST | Flags::ACK, 0, Some(state), None),
        (Flags::RST | Flags::ACK, 2, Some(state), None),
        // Without one a reset has no effect (RFC 5961, 3.2 keeps that).
        (Flags::RST, 1, Some(state), None),
        // Neither SYN nor RST.
        (Flags::ACK, 1, Some(state), None),
        (Flags::FIN, 1, Some(state), None),
        (Flags::NONE, 0, Some(state), None),
        (Flags::FIN | Flags::ACK, 1, Some(state), None),
    ];
    for (flags, ack, after, reset) in cases {
        let mut script = Script::in_state(state);
        let out = script.give(&header(flags, 0, ack), b"");
        assert_eq!(Some(script.machine.state()), after, "{flags:?} {ack}");
        match reset {
            Some(seq) => is_reset(&out, seq, state),
            None => assert!(out.is_empty(), "{flags:?} {ack} {out:?}"),
        }
    }
    let mut script = Script::in_state(state);
    assert!(
        script
            .give(&header(Flags::RST | Flags::ACK, 0, 1), b"")
            .is_empty()
    );
    assert_eq!(script.machine.error(), Some(Error::ConnectionRefused));
    assert!(script.machine.is_over());

    let mut script = Script::in_state(state);
    let out = script.give(&header(Flags::SYN | Flags::ACK, 0, 1), b"");
    is_ack(&out, State::Established);
    assert_eq!(script.machine.state(), State::Established);
    // Its data is processed as well.
    let mut script = Script::in_state(state);
    let out = script.give(&header(Flags::SYN | Flags::ACK, 0, 1), b"hello");
    assert_eq!(
        (script.read(), theirs(out[0].0.ack)),
        (b"hello".to_vec(), 6)
    );
}

/// RFC 9293, 3.5, figure 8: both ends begin at once.
#[test]
fn simultaneous_open_establishes_both() {
    let mut script = Script::in_state(State::SynSent);
    let out = script.give(&header(Flags::SYN, 0, 0), b"");
    assert_eq!(script.machine.state(), State::SynReceived);
    assert_eq!(
        (out[0].0.flags, ours(out[0].0.seq), theirs(out[0].0.ack)),
        (Flags::SYN | Flags::ACK, 0, 1)
    );
    // The peer's SYN-ACK is such a segment as well; or it just acknowledges.
    for flags in [Flags::SYN | Flags::ACK, Flags::ACK] {
        let mut script = Script::in_state(State::SynSent);
        script.give(&header(Flags::SYN, 0, 0), b"");
        let seq = if flags == Flags::ACK { 1 } else { 0 };
        script.give(&header(flags, seq, 1), b"");
        assert_eq!(script.machine.state(), State::Established, "{flags:?}");
    }
    // And it can be refused.
    script.give(&header(Flags::RST, 1, 0), b"");
    assert_eq!(script.machine.error(), Some(Error::ConnectionRefused));
}

/// RFC 9293, 3.10.7.4 for SYN-RECEIVED.
#[test]
fn syn_received_is_established_by_the_right_acknowledgement() {
    let state = State::SynReceived;
    // The same SYN again: the same SYN-ACK.
    let mut script = Script::in_state(state);
    let out = script.give(&header(Flags::SYN, 0, 0), b"");
    assert_eq!(
        (out[0].0.flags, ours(out[0].0.seq)),
        (Flags::SYN | Flags::ACK, 0)
    );
    // A bad acknowledgement: a reset.
    for ack in [0, 2, -5, 900] {
        let mut script = Script::in_state(state);
        let out = script.give(&header(Flags::ACK, 1, ack), b"");
        is_reset(&out, ack, state);
        assert_eq!(script.machine.state(), state);
    }
    // A reset in the window, but not at its left edge: a challenge. At the edge: the end, which is
    // no error at this end.
    let mut script = Script::in_state(state);
    is_ack(&script.give(&header(Flags::RST, 5, 0), b""), state);
    assert!(script.give(&header(Flags::RST, 1, 0), b"").is_empty());
    assert_eq!(script.machine.state(), State::Closed);
    assert!(script.machine.is_over());
    // Data or a FIN completes the handshake as well.
    let mut script = Script::in_state(state);
    script.give(&header(Flags::ACK, 1, 1), b"abc");
    assert_eq!(
        (script.machine.state(), script.read()),
        (State::Established, b"abc".to_vec())
    );
    let mut script = Script::in_state(state);
    script.give(&header(Flags::FIN | Flags::ACK, 1, 1), b"abc");
    assert_eq!(
        (script.machine.state(), script.read()),
        (State::CloseWait, b"abc".to_vec())
    );
}

/// RFC 5961, 3.2 and RFC 9293, 3.10.7.4: the exact number ends the connection, one in the window is
/// challenged, others are ignored.
#[test]
fn resets_count_at_the_exact_number_only() {
    for state in SYNCHRONIZED {
        let at = expected(state);
        let window = i64::from(
            Script::in_state(state)
                .machine
                .rcv_wnd
                .offered(super::super::Seq(
                    super::script::IRS.wrapping_add(at as u32),
                )),
        );
        for flags in [Flags::RST, Flags::RST | Flags::ACK] {
            for (seq, answered) in [
                (at + 1, true),
                (at + window - 1, true),
                (at - 1, false),
                (at + window, false),
                (at - 70_000, false),
            ] {
                let mut script = Script::in_state(state);
                let out = script.give(&header(flags, seq, next(state)), b"");
                assert_eq!(script.machine.state(), state, "{seq}");
                if answered {
                    is_ack(&out, state);
                } else {
                    assert!(out.is_empty(), "{state:?} {seq} {out:?}");
                }
            }
            let mut script = Script::in_state(state);
            assert!(script.give(&header(flags, at, next(state)), b"").is_empty());
            assert_eq!(script.machine.state(), State::Closed);
            assert_eq!(script.machine.error(), Some(Error::ConnectionReset));
            // Nothing is missing if both have sent their FIN.
            let complete = matches!(state, State::Closing | State::LastAck);
            assert_eq!(script.machine.complete(), complete, "{state:?}");
            assert!(script.machine.is_over() && script.machine.deadline_ns().is_none());
        }
    }
}

/// RFC 5961, 4.2: a SYN is challenged at any number.
#[test]
fn syns_in_a_connection_are_challenged() {
    for state in SYNCHRONIZED {
        for flags in [Flags::SYN, Flags::SYN | Flags::ACK] {
            for seq in [
                0,
                expected(state),
                expected(state) + 10,
                1 << 30,
                -(1 << 30),
            ] {
                let mut script = Script::in_state(state);
                is_ack(&script.give(&header(flags, seq, next(state)), b""), state);
                assert_eq!(script.machine.state(), state);
            }
        }
    }
}

/// RFC 9293, 3.10.7.4, first: an unacceptable segment is acknowledged and dropped.
#[test]
fn segments_outside_the_window_are_acknowledged_and_dropped() {
    for state in SYNCHRONIZED {
        for payload in [&b""[..], b"x"] {
            for seq in [
                expected(state) - 2,
                expected(state) + 200_000,
                expected(state) - 100_000,
            ] {
                for flags in [Flags::ACK, Flags::ACK | Flags::FIN] {
                    let mut script = Script::in_state(state);
                    let out = script.give(&header(flags, seq, next(state)), payload);
                    is_ack(&out, state);
                    assert_eq!(script.machine.state(), state, "{seq} {flags:?}");
                    assert_eq!(script.machine.unread(), 0);
                }
            }
        }
    }
}

/// RFC 9293, 3.10.7.4, fifth: without ACK a segment is dropped.
#[test]
fn segments_without_ack_are_dropped() {
    for state in SYNCHRONIZED {
        for flags in [Flags::NONE, Flags::FIN, Flags::PSH] {
            let mut script = Script::in_state(state);
            let out = script.give(&header(flags, expected(state), 0), b"data");
            assert!(out.is_empty());
            assert_eq!(
                (script.machine.state(), script.machine.unread()),
                (state, 0)
            );
        }
    }
}

/// RFC 9293, 3.10.7.4, fifth and RFC 5961, 5.2.
#[test]
fn unacceptable_acknowledgements_are_answered_and_their_text_is_dropped() {
    for state in SYNCHRONIZED {
        // Of unsent data.
        let mut script = Script::in_state(state);
        is_ack(
            &script.give(
                &header(Flags::ACK, expected(state), next(state) + 1),
                b"zzz",
            ),
            state,
        );
        assert_eq!(script.machine.unread(), 0);
        // Too old: dropped.
        let mut script = Script::in_state(state);
        is_ack(
            &script.give(&header(Flags::ACK, expected(state), -200_000), b"zzz"),
            state,
        );
        assert_eq!(script.machine.unread(), 0);
        // Old, but not too old: the data is processed.
        let mut script = Script::in_state(state);
        script.give(&header(Flags::ACK, expected(state), 0), b"zzz");
        let taken = if matches!(
            state,
            State::Established | State::FinWait1 | State::FinWait2
        ) {
            3
        } else {
            0
        };
        assert_eq!(script.machine.unread(), taken, "{state:?}");
    }
    // Of our FIN.
    for (state, after) in [
        (State::FinWait1, State::FinWait2),
        (State::Closing, State::TimeWait),
        (State::LastAck, State::Closed),
    ] {
        let mut script = Script::in_state(state);
        script.give(&header(Flags::ACK, expected(state), 2), b"");
        assert_eq!(script.machine.state(), after);
        assert_eq!(script.machine.error(), None);
    }
}

/// RFC 9293, 3.10.7.4, seventh: text is accepted in three states, and ignored after the peer's FIN.
#[test]
fn text_is_taken_in_states_that_receive() {
    for state in SYNCHRONIZED {
        let mut script = Script::in_state(state);
        let out = script.give(
            &header(Flags::ACK | Flags::PSH, expected(state), next(state)),
            b"text",
        );
        if matches!(
            state,
            State::Established | State::FinWait1 | State::FinWait2
        ) {
            assert!(out.is_empty(), "delayed");
            let out = script.wait(SECOND / 2);
            assert_eq!(theirs(out[0].0.ack) as i64, expected(state) + 4);
            assert_eq!(script.read(), b"text");
        } else {
            assert_eq!(script.machine.unread(), 0);
        }
    }
}

/// RFC 9293, 3.10.7.4, eighth.
#[test]
fn fins_move_each_state_on() {
    for (state, ack, after) in [
        (State::Established, 1, State::CloseWait),
        (State::FinWait1, 1, State::Closing),
        (State::FinWait1, 2, State::TimeWait),
        (State::FinWait2, 2, State::TimeWait),
        (State::CloseWait, 1, State::CloseWait),
        (State::Closing, 1, State::Closing),
        (State::LastAck, 1, State::LastAck),
    ] {
        let mut script = Script::in_state(state);
        let seq = expected(state) - i64::from(expected(state) == 2);
        let out = script.give(&header(Flags::FIN | Flags::ACK, seq, ack), b"");
        assert_eq!(script.machine.state(), after, "{state:?}");
        assert_eq!(out.len(), 1, "{state:?} {out:?}");
        assert_eq!((out[0].0.flags, theirs(out[0].0.ack)), (Flags::ACK, 2));
        assert!(script.machine.at_end());
    }
    // Out of order it waits for the data before it (RFC 9293, 3.10.7.4: the order of sequence
    // numbers).
    let mut script = Script::in_state(State::Established);
    script.give(&header(Flags::FIN | Flags::ACK, 4, 1), b"def");
    assert_eq!(script.machine.state(), State::Established);
    let out = script.give(&header(Flags::ACK, 1, 1), b"abc");
    assert_eq!(script.machine.state(), State::CloseWait);
    assert_eq!(theirs(out[0].0.ack), 8);
    assert!(!script.machine.at_end());
    assert_eq!(script.read(), b"abcdef");
    assert!(script.machine.at_end());
}

/// RFC 9293, 3.10.7.4: TIME-WAIT acknowledges, a FIN restarts it, and it ends.
#[test]
fn time_wait_acknowledges_a_repeated_fin() {
    let mut script = Script::in_state(State::TimeWait);
    let record = script.machine.time_wait().unwrap();
    assert_eq!((ours(record.snd_nxt), theirs(record.rcv_nxt)), (2, 2));
    script.wait(50 * SECOND);
    is_ack(
        &script.give(&header(Flags::FIN | Flags::ACK, 1, 2), b""),
        State::TimeWait,
    );
    // RFC 1337, 3, F1.
    assert!(script.give(&header(Flags::RST, 2, 2), b"").is_empty());
    script.wait(50 * SECOND);
    assert_eq!(script.machine.state(), State::TimeWait);
    script.wait(11 * SECOND);
    assert_eq!(
        (script.machine.state(), script.machine.error()),
        (State::Closed, None)
    );
}

/// RFC 9293, 3.10.5: ABORT.
#[test]
fn aborts_send_a_reset_in_synchronized_states() {
    for (state, reset) in [
        (State::SynSent, false),
        (State::SynReceived, true),
        (State::Established, true),
        (State::FinWait1, true),
        (State::FinWait2, true),
        (State::CloseWait, true),
        (State::Closing, false),
        (State::LastAck, false),
        (State::TimeWait, false),
    ] {
        let mut script = Script::in_state(state);
        script.machine.abort(&mut script.memory);
        assert_eq!(script.machine.state(), State::Closed);
        assert_eq!(script.machine.is_over(), !reset, "{state:?}");
        let out = script.out();
        assert_eq!(out.len(), usize::from(reset), "{state:?}");
        if let [(Header { flags, seq, .. }, _)] = &out[..] {
            assert_eq!(
                (*flags, ours(*seq)),
                (Flags::RST | Flags::ACK, next(state) as u32)
            );
        }
        assert!(script.machine.is_over());
    }
}

/// A reset has no window and doesn't acknowledge data out of order, but has its timestamp (RFC
/// 7323, 3.2); after it the machine sends nothing more. The same holds for a refusal.
#[test]
fn a_reset_and_a_refusal_are_said_once() {
    let setup = Setup {
        timestamps: true,
        ..setup()
    };
    let mut script = Script::established(&setup);
    let mut late = header(Flags::ACK, 101, 1);
    late.options.timestamps = Some((7000, script.machine.stamp(script.now_ns)));
    let told = script.give(&late, &[7; 100]);
    assert_ne!(told[0].0.options.sack, Options::default().sack);
    script.machine.abort(&mut script.memory);
    let out = script.out();
    let reset = &out[0].0;
    assert_eq!((out.len(), reset.window), (1, 0));
    assert_eq!(reset.options.sack, Options::default().sack);
    assert!(reset.options.timestamps.is_some());
    let mut refusing = Script::in_state(State::SynSent);
    let out = refusing.give(&header(Flags::ACK, 1, 5), b"");
    assert_eq!((out.len(), out[0].0.flags), (1, Flags::RST));
    for script in [&mut script, &mut refusing] {
        script.machine.output(script.now_ns, 100, &mut script.tap);
        assert!(script.out().is_empty());
    }
}

/// RFC 9293, 3.10.4: CLOSE.
#[test]
fn close_has_its_effect_in_each_state() {
    for (state, after, fin) in [
        (State::SynSent, State::Closed, false),
        (State::Established, State::FinWait1, true),
        (State::FinWait1, State::FinWait1, false),
        (State::FinWait2, State::FinWait2, false),
        (State::CloseWait, State::LastAck, true),
        (State::Closing, State::Closing, false),
        (State::LastAck, State::LastAck, false),
        (State::TimeWait, State::TimeWait, false),
    ] {
        let mut script = Script::in_state(state);
        script
            .machine
            .close(&mut script.memory, 60 * SECOND, script.now_ns);
        assert_eq!(script.machine.state(), after, "{state:?}");
        let out = script.out();
        assert_eq!(out.len(), usize::from(fin), "{state:?} {out:?}");
        assert!(out.iter().all(|(header, _)| header.flags.has(Flags::FIN)));
    }
    // In SYN-RECEIVED the FIN waits for the handshake.
    let mut script = Script::in_state(State::SynReceived);
    script
        .machine
        .close(&mut script.memory, 60 * SECOND, script.now_ns);
    assert!(script.out().is_empty());
    let out = script.give(&header(Flags::ACK, 1, 1), b"");
    assert_eq!(
        (script.machine.state(), out[0].0.flags),
        (State::FinWait1, Flags::FIN | Flags::ACK)
    );
}

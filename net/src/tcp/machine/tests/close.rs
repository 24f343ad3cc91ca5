//! The ends of connections: orderly, by timeout, by reset.

use super::super::{Flags, IcmpError, Machine, Negotiated, Options, Segment, Seq, Setup, State};
use super::link::{MS, SECOND, World, pattern};
use super::script::{IRS, ISS, Script, header, ours, setup, theirs};
use crate::types::Error;
use crate::types::Keepalive;

const RTT: u64 = 20 * MS;

/// RFC 9293, 3.6: after one direction is closed, the other carries data for any time.
#[test]
fn half_a_connection_lives_on() {
    let mut world = World::standard(RTT / 2);
    world.write(0, b"request");
    world.ends[0].shut = true;
    world.run(SECOND);
    assert_eq!(world.ends[0].machine.state(), State::FinWait2);
    assert_eq!(world.ends[1].machine.state(), State::CloseWait);
    assert!(world.ends[1].machine.at_end());
    world.run(500 * SECOND);
    let answer = pattern(700_000);
    world.write(1, &answer);
    world.ends[1].shut = true;
    world.run(10 * SECOND);
    assert!(world.ends[0].received == answer && world.ends[0].machine.at_end());
    assert_eq!(world.ends[0].machine.state(), State::TimeWait);
    assert_eq!(world.ends[1].machine.state(), State::Closed);
    assert_eq!(world.ends[1].machine.error(), None);
    world.assert_released();
}

/// RFC 9293, 3.6, figure 13: both ends close at once.
#[test]
fn both_ends_close_at_once() {
    let mut world = World::standard(RTT / 2);
    world.write(0, b"a");
    world.write(1, b"b");
    world.ends[0].shut = true;
    world.ends[1].shut = true;
    world.run(SECOND);
    for end in &world.ends {
        assert_eq!(end.machine.state(), State::TimeWait);
        assert_eq!(end.received.len(), 1);
    }
}

/// RFC 9293, 3.10.4 and RFC 2525, 2.17: unread data at a close causes a reset, after all of ours
/// was delivered.
#[test]
fn closing_with_unread_bytes_resets() {
    let mut world = World::standard(RTT / 2);
    world.ends[1].reads = false;
    world.write(0, &pattern(10_000));
    world.run(SECOND);
    let now_ns = world.now_ns;
    let answer = pattern(50_000);
    let end = &mut world.ends[1];
    assert_eq!(end.machine.write(&mut end.memory, &answer), answer.len());
    end.machine.close(&mut end.memory, 60 * SECOND, now_ns);
    world.run(SECOND);
    assert!(world.ends[0].received == answer);
    assert_eq!(world.ends[0].machine.error(), Some(Error::ConnectionReset));
    assert!(world.ends[1].machine.is_over());
    // At once if there is nothing to deliver.
    let mut script = Script::established(&setup());
    script.give(&header(Flags::ACK, 1, 1), b"unread");
    script
        .machine
        .close(&mut script.memory, 60 * SECOND, script.now_ns);
    assert_eq!(script.out()[0].0.flags, Flags::RST | Flags::ACK);
    // Later data is accepted while ours is in flight, and refused afterwards.
    let mut script = Script::established(&setup());
    script.write(b"bye");
    script
        .machine
        .close(&mut script.memory, 60 * SECOND, script.now_ns);
    script.out();
    let out = script.give(&header(Flags::ACK, 1, 1), b"late");
    assert!(out.iter().all(|(header, _)| !header.flags.has(Flags::RST)));
    let out = script.give(&header(Flags::ACK, 5, 5), b"");
    assert_eq!(out[0].0.flags, Flags::RST | Flags::ACK);
    assert_eq!(script.memory.used, 0);
}

/// Bytes received before a FIN or an RST stay readable.
#[test]
fn what_came_before_a_reset_is_read_first() {
    let mut script = Script::established(&setup());
    script.give(&header(Flags::ACK, 1, 1), b"last words");
    script.give(&header(Flags::RST, 11, 0), b"");
    assert_eq!(script.machine.error(), Some(Error::ConnectionReset));
    assert!(script.machine.readable());
    assert_eq!(script.read(), b"last words");
    assert_eq!(script.memory.used, 0);
}

/// A closed connection whose peer is silent ends.
#[test]
fn lingering_is_bounded() {
    let mut script = Script::established(&setup());
    script
        .machine
        .close(&mut script.memory, 5 * SECOND, script.now_ns);
    script.out();
    script.give(&header(Flags::ACK, 1, 2), b"");
    assert_eq!(script.machine.state(), State::FinWait2);
    let out = script.wait(6 * SECOND);
    assert_eq!(out[0].0.flags, Flags::RST | Flags::ACK);
    assert!(script.machine.is_over() && script.machine.deadline_ns().is_none());
}

/// RFC 5482, 3 and RFC 9293, 3.8.3.
#[test]
fn the_user_timeout_ends_what_isnt_acknowledged() {
    let mut script = Script::established(&Setup {
        user_timeout_ns: 7 * SECOND,
        ..setup()
    });
    script.wait(100 * SECOND);
    assert_eq!(
        script.machine.state(),
        State::Established,
        "an idle connection lives"
    );
    script.write(b"anybody?");
    script.wait(6 * SECOND);
    // Progress counts.
    script.give(&header(Flags::ACK, 1, 4), b"");
    script.wait(6 * SECOND);
    assert_eq!(script.machine.state(), State::Established);
    let out = script.wait(2 * SECOND);
    assert!(out.iter().all(|(header, _)| !header.flags.has(Flags::RST)));
    assert_eq!(
        (script.machine.state(), script.machine.error()),
        (State::Closed, Some(Error::TimedOut))
    );
    assert_eq!(script.memory.used, 0);
}

/// RFC 9293, 3.8.4: off by default; then acknowledged probes keep a connection, and unanswered ones
/// end it.
#[test]
fn unanswered_keepalives_end_a_connection() {
    let mut script = Script::established(&setup());
    assert!(script.wait(100_000 * SECOND).is_empty());
    let keepalive = Keepalive {
        idle_ns: 60 * SECOND,
        interval_ns: 10 * SECOND,
        probes: 3,
    };
    script.machine.set_keepalive(Some(keepalive), script.now_ns);
    let out = script.wait(SECOND);
    assert_eq!(out.len(), 1);
    // Below SND.NXT, so that it must be acknowledged.
    assert_eq!((ours(out[0].0.seq), out[0].1.len()), (0, 0));
    script.give(&header(Flags::ACK, 1, 1), b"");
    assert!(script.wait(59 * SECOND).is_empty());
    assert_eq!(script.wait(21 * SECOND + SECOND / 2).len(), 3);
    let out = script.wait(10 * SECOND);
    assert_eq!(out[0].0.flags, Flags::RST | Flags::ACK);
    assert_eq!(script.machine.error(), Some(Error::TimedOut));
}

/// Setting keep-alive again restarts it: with the new times, with all of its probes, and off
/// without any.
#[test]
fn keepalives_that_are_set_again_begin_again() {
    let times = |idle: u64, interval: u64| Keepalive {
        idle_ns: idle * SECOND,
        interval_ns: interval * SECOND,
        probes: 3,
    };
    let mut script = Script::established(&setup());
    let set = |script: &mut Script, to: Option<Keepalive>| {
        script.machine.set_keepalive(to, script.now_ns);
    };
    set(&mut script, Some(times(60, 10)));
    assert_eq!(script.wait(75 * SECOND).len(), 2);
    // Two were unanswered: three more may be.
    set(&mut script, Some(times(5, 20)));
    assert_eq!(script.wait(SECOND).len(), 1, "it is idle for long enough");
    assert_eq!(script.wait(41 * SECOND).len(), 2);
    assert_eq!(script.machine.state(), State::Established);
    set(&mut script, None);
    assert!(script.wait(1000 * SECOND).is_empty());
    set(&mut script, Some(times(5, 20)));
    let out = script.wait(61 * SECOND);
    let resets = out
        .iter()
        .filter(|(header, _)| header.flags.has(Flags::RST));
    assert_eq!((out.len(), resets.count()), (4, 1));
    assert_eq!(script.machine.error(), Some(Error::TimedOut));
}

/// A handshake that takes too long times out: ours, unanswered or simultaneous, and the peer's.
#[test]
fn a_handshake_that_nobody_completes_times_out() {
    let limited = Setup {
        handshake_timeout_ns: 75 * SECOND,
        ..setup()
    };
    let mut simultaneous = Script::connecting(&limited);
    simultaneous.give(&header(Flags::SYN, 0, 0), b"");
    let (asked, answered) = (Script::connecting(&limited), Script::accepting(&limited));
    for (mut script, resets) in [(asked, 0), (simultaneous, 1), (answered, 1)] {
        let from = script.machine.state();
        let out = script.wait(76 * SECOND);
        let sent = out
            .iter()
            .filter(|(header, _)| header.flags.has(Flags::RST));
        assert_eq!(sent.count(), resets, "{from:?}");
        assert_eq!(
            (script.machine.state(), script.machine.error()),
            (State::Closed, Some(Error::TimedOut)),
            "{from:?}"
        );
    }
}

/// RFC 9293, 3.8.4: ours are acknowledgements of the peer's.
#[test]
fn keepalives_of_the_peer_are_answered() {
    let mut script = Script::established(&setup());
    for payload in [&b""[..], b"?"] {
        let out = script.give(&header(Flags::ACK, 0, 1), payload);
        assert_eq!((out.len(), theirs(out[0].0.ack)), (1, 1));
        assert_eq!(script.machine.unread(), 0);
    }
}

/// RFC 6298, 2.1, 5.5 and 5.7; RFC 5681, 3.1.
#[test]
fn a_syn_is_repeated_and_then_given_up() {
    let mut script = Script::connecting(&setup());
    let begun = script.now_ns;
    let mut times = Vec::new();
    for _ in 0..40 {
        for (header, _) in script.wait(SECOND) {
            assert_eq!((header.flags, ours(header.seq)), (Flags::SYN, 0));
            times.push((script.now_ns - begun) / SECOND);
        }
    }
    assert_eq!(times, [1, 3, 7, 15, 31]);
    let answered = Script::give(&mut script, &header(Flags::SYN | Flags::ACK, 0, 1), b"");
    assert_eq!(answered.len(), 1);
    // After a lost SYN: one segment, and three seconds.
    script.write(&pattern(5000));
    assert_eq!(script.out().len(), 1);
    assert_eq!(script.machine.info().rto_ns, 3 * SECOND);
    let mut script = Script::connecting(&Setup {
        handshake_timeout_ns: 75 * SECOND,
        ..setup()
    });
    script.wait(76 * SECOND);
    assert_eq!(script.machine.error(), Some(Error::TimedOut));
    assert!(script.machine.is_over());
}

/// RFC 9293, 3.8.3 (MUST-23).
#[test]
fn no_peer_is_given_up_before_three_minutes() {
    let setup = Setup {
        handshake_timeout_ns: crate::types::Config::default().connect_timeout_ns,
        ..setup()
    };
    let mut script = Script::connecting(&setup);
    script.wait(179 * SECOND);
    assert_eq!(script.machine.error(), None);
    script.wait(2 * SECOND);
    assert_eq!(script.machine.error(), Some(Error::TimedOut));
}

/// RFC 7323, 5.3: old duplicates by their timestamp, acknowledged and dropped; an RST needs none.
#[test]
fn old_timestamps_are_rejected() {
    let mut script = Script::established(&Setup {
        timestamps: true,
        ..setup()
    });
    let mut segment = header(Flags::ACK, 1, 1);
    segment.options.timestamps = Some((8000, 0));
    script.give(&segment, b"new");
    segment.options.timestamps = Some((7999, 0));
    segment.seq += 3;
    let out = script.give(&segment, b"old");
    assert_eq!((out.len(), theirs(out[0].0.ack)), (1, 4));
    assert_eq!(
        out[0].0.options.timestamps.map(|(_, echo)| echo),
        Some(8000)
    );
    assert_eq!(script.read(), b"new");
    // Without timestamps it isn't a segment of this connection.
    segment.options.timestamps = None;
    assert!(script.give(&segment, b"none").is_empty());
    assert_eq!(script.machine.unread(), 0);
    // After 24 days the old timestamp is invalid.
    script.now_ns += 25 * 86_400 * SECOND;
    segment.options.timestamps = Some((8000_u32.wrapping_add(1 << 31) + 5, 0));
    script.give(&segment, b"much later");
    assert_eq!(script.read(), b"much later");
    let mut reset = header(Flags::RST, 14, 0);
    reset.options.timestamps = None;
    script.give(&reset, b"");
    assert_eq!(script.machine.state(), State::Closed);
}

/// RFC 7323, 4.3: the echoed timestamp is that of the earliest segment that isn't acknowledged.
#[test]
fn delayed_acknowledgements_echo_the_first_timestamp() {
    let mut script = Script::established(&Setup {
        timestamps: true,
        ..setup()
    });
    for (seq, stamp) in [(1, 8000), (1401, 8005)] {
        let mut segment = header(Flags::ACK, seq, 1);
        segment.options.timestamps = Some((stamp, 0));
        let out = script.give(&segment, &[0; 1400]);
        if seq > 1 {
            assert_eq!(
                out[0].0.options.timestamps.map(|(_, echo)| echo),
                Some(8000)
            );
        }
    }
    // A gap doesn't change it either; the next segment in order does.
    for (seq, stamp, echoed) in [(5000, 8010, 8000), (2801, 8011, 8011)] {
        let mut segment = header(Flags::ACK, seq, 1);
        segment.options.timestamps = Some((stamp, 0));
        let out = script.give(&segment, &[0; 100]);
        assert_eq!(out.len(), 1);
        let echo = out[0].0.options.timestamps.map(|(_, echo)| echo);
        assert_eq!(echo, Some(echoed));
    }
}

/// RFC 5927, 4.1 and 5.2; RFC 9293, 3.9.2.2.
#[test]
fn icmp_errors_end_handshakes_and_only_note_later() {
    let unreachable = |script: &mut Script, error, seq: u32| {
        script.machine.icmp(
            &mut script.memory,
            error,
            Seq(ISS.wrapping_add(seq)),
            script.now_ns,
        );
    };
    let mut script = Script::connecting(&setup());
    unreachable(&mut script, IcmpError::Refused, 5);
    assert_eq!(
        script.machine.state(),
        State::SynSent,
        "not a number of ours"
    );
    unreachable(&mut script, IcmpError::Refused, 0);
    assert_eq!(script.machine.error(), Some(Error::ConnectionRefused));
    // Established connections survive it, and report the reason when they end.
    let mut script = Script::established(&Setup {
        user_timeout_ns: 5 * SECOND,
        ..setup()
    });
    script.write(b"data");
    script.out();
    unreachable(&mut script, IcmpError::Unreachable, 1);
    assert_eq!(script.machine.state(), State::Established);
    script.wait(6 * SECOND);
    assert_eq!(script.machine.error(), Some(Error::Unreachable));
}

/// RFC 1191, 6 and RFC 8201, 5.4: segments become smaller at once, without a congestion response.
#[test]
fn a_router_tells_of_a_smaller_mtu() {
    let mut script = Script::established(&setup());
    script.write(&pattern(14_000));
    let cwnd = script.machine.info().cwnd;
    assert!(
        script
            .out()
            .iter()
            .any(|(_, payload)| payload.len() == 1460)
    );
    // Nothing for a segment that isn't in flight, or wasn't that large.
    script.machine.icmp(
        &mut script.memory,
        IcmpError::TooBig(1000),
        Seq(ISS.wrapping_add(90_000)),
        script.now_ns,
    );
    assert!(script.out().is_empty());
    script.machine.icmp(
        &mut script.memory,
        IcmpError::TooBig(1000),
        Seq(ISS.wrapping_add(1)),
        script.now_ns,
    );
    let out = script.out();
    assert_eq!((out[0].1.len(), ours(out[0].0.seq)), (960, 1));
    let bytes: usize = out.iter().map(|(_, payload)| payload.len()).sum();
    assert_eq!(bytes, 14_000);
    assert_eq!(script.machine.info().cwnd, cwnd);
}

/// RFC 4821, 7.7 and RFC 8899, 4.3: large segments are lost without an ICMP error.
#[test]
fn a_black_hole_is_escaped() {
    let mut world = World::standard(RTT / 2);
    world.rule = Box::new(|sent| (sent.len() + 52 <= 1300).then_some(0));
    let data = pattern(3_000_000);
    world.write(0, &data);
    assert!(
        world.run_until(60 * SECOND, |world| world.ends[1].received.len()
            == data.len()),
        "{:?}",
        world.ends[0].machine.info()
    );
    assert!(world.ends[1].received == data);
    // Ten seconds later the path MTU has been measured.
    world.run(11 * SECOND);
    world.write(0, &data);
    world.run(100 * SECOND);
    let mss = world.ends[0].machine.info().mss;
    assert!((1216..=1248).contains(&mss), "{mss}");
    assert_eq!(world.ends[1].received.len(), 2 * data.len());
    // And the larger MTU of a new path is found ten minutes later.
    world.rule = Box::new(|_| Some(0));
    world.run(700 * SECOND);
    world.write(0, &data[..300_000]);
    world.run(10 * SECOND);
    assert_eq!(world.ends[0].machine.info().mss, 1448);
}

/// RFC 4987: a connection from a cookie continues as any other.
#[test]
fn a_connection_from_a_cookie() {
    let now_ns = 500 * SECOND;
    let setup = Setup {
        timestamps: true,
        ..setup()
    };
    let mut ack = header(Flags::ACK, 1, 1);
    ack.options.timestamps = Some((9000, 5));
    let mut bytes = [0; 64];
    let len = ack.write(1, 2, &mut bytes).unwrap();
    bytes[len..len + 3].copy_from_slice(b"GET");
    let segment = Segment::parse(&bytes[..len + 3]).unwrap();
    let negotiated = Negotiated {
        mss: 1300,
        window_scale: Some(3),
        sack: true,
        timestamps: true,
        ecn: false,
    };
    let mut script = Script::new(
        Machine::accept_cookie(&setup, negotiated, &segment, now_ns),
        now_ns,
    );
    assert!(!script.machine.wants_output());
    script
        .machine
        .input(&mut script.memory, &mut || true, &segment, now_ns);
    assert_eq!(
        (script.machine.state(), script.read()),
        (State::Established, b"GET".to_vec())
    );
    assert_eq!(script.machine.info().send_window, 60_000 << 3);
    assert_eq!(script.machine.info().mss, 1300 - 12);
    script.write(&pattern(1288));
    assert_eq!(script.out()[0].1.len(), 1288);
}

/// RFC 7323, 2.2 and 2.3; RFC 2018, 2: options that the peer doesn't offer aren't used.
#[test]
fn an_answer_has_what_was_offered_only() {
    let syn = header(Flags::SYN, 0, 0);
    let mut bytes = [0; 60];
    let len = syn.write(1, 2, &mut bytes).unwrap();
    let segment = Segment::parse(&bytes[..len]).unwrap();
    let setup = Setup {
        timestamps: true,
        ..setup()
    };
    let mut script = Script::new(Machine::accept(&setup, &segment, 0), 0);
    let out = script.out();
    let options = out[0].0.options;
    assert_eq!(
        options,
        Options {
            mss: Some(1460),
            ..Options::default()
        }
    );
    assert_eq!(out[0].0.window, 65_535);
    script.give(&header(Flags::ACK, 1, 1), b"");
    script.write(&pattern(3000));
    // RFC 9293, 3.7.1: 536 bytes if the peer sends no MSS.
    assert!(
        script
            .out()
            .iter()
            .all(|(header, payload)| payload.len() <= 536 && header.options == Options::default())
    );
    // 1220 over IPv6.
    let setup = Setup {
        ip_header: 40,
        ..setup
    };
    let machine = Machine::accept(&setup, &segment, 0);
    assert_eq!(machine.info().mss, 1220);
    assert_eq!(theirs(Seq(IRS)), 0);
}

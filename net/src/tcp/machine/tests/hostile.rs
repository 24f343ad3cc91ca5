//! Arbitrary behaviour of peers and links.

use super::super::options::Sack;
use super::super::{Flags, Header, IcmpError, Options, Pressure, Seq, Setup, State};
use super::link::{MS, SECOND, World, pattern};
use super::script::{IRS, ISS, Script, setup};
use crate::types::Congestion;
use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
use proptest::test_runner::Config;

/// A number near a significant one.
fn near() -> impl Strategy<Value = u32> {
    prop_oneof![
        (-3i32..3).prop_map(|n| n as u32),
        (0u32..70_000),
        (60_000u32..70_000),
        any::<u32>(),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Segment {
        flags: u8,
        seq: u32,
        ack: u32,
        window: u16,
        len: usize,
        sack: Vec<(u32, u32)>,
        stamp: Option<(u32, u32)>,
        gro: bool,
    },
    Wait(u64),
    Write(usize),
    Read(usize),
    Shut,
    Close,
    Icmp(u32, u32),
    Pressure(u8),
    Full(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![
        4 => proptest::strategy::Just(Flags::ACK.0),
        1 => proptest::strategy::Just((Flags::ACK | Flags::FIN).0),
        1 => any::<u8>(),
    ];
    let sack = prop::collection::vec((near(), near()), 0..4);
    let segment = (
        flags,
        near(),
        near(),
        any::<u16>(),
        0usize..4000,
        sack,
        any::<Option<(u32, u32)>>(),
        any::<bool>(),
    )
        .prop_map(
            |(flags, seq, ack, window, len, sack, stamp, gro)| Step::Segment {
                flags,
                seq,
                ack,
                window,
                len,
                sack,
                stamp,
                gro,
            },
        );
    prop_oneof![
        12 => segment,
        3 => (0u64..2_000).prop_map(|ms| Step::Wait(ms * MS)),
        1 => (0u64..200).prop_map(|s| Step::Wait(s * SECOND)),
        3 => (0usize..20_000).prop_map(Step::Write),
        3 => (0usize..20_000).prop_map(Step::Read),
        1 => proptest::strategy::Just(Step::Shut),
        1 => proptest::strategy::Just(Step::Close),
        1 => (near(), 0u32..2000).prop_map(|(seq, mtu)| Step::Icmp(seq, mtu)),
        1 => (0u8..3).prop_map(Step::Pressure),
        1 => any::<bool>().prop_map(Step::Full),
    ]
}

/// Invariants that hold for any input.
struct Watch {
    edge: Option<Seq>,
    acked: Option<Seq>,
}

impl Watch {
    fn check(&mut self, script: &mut Script) {
        let scale = script.machine.rcv_wnd.scale;
        script.tap.calls = 0;
        let blocked = script.tap.room == 0;
        while script.machine.wants_output() {
            let outcome = script.machine.output(script.now_ns, 100, &mut script.tap);
            if outcome == super::super::Outcome::Blocked {
                assert!(blocked);
                break;
            }
        }
        assert!(
            script.tap.calls < 3000,
            "{} segments for one event",
            script.tap.calls
        );
        for (header, payload) in core::mem::take(&mut script.tap.out) {
            let state = script.machine.state();
            if !header.flags.has(Flags::ACK)
                || header.flags.has(Flags::RST)
                || state == State::SynSent
            {
                continue;
            }
            // The window of a SYN isn't scaled, so that it has a smaller range than others.
            if header.flags.has(Flags::SYN) {
                continue;
            }
            let edge = header.ack + (u32::from(header.window) << scale);
            // RFC 9293, 3.8.6: the window never shrinks, and acknowledgements never move back.
            if let Some(old) = self.edge {
                assert!(edge.at_least(old), "{header:?}");
            }
            if let Some(old) = self.acked {
                assert!(header.ack.at_least(old), "{header:?}");
            }
            (self.edge, self.acked) = (Some(edge), Some(header.ack));
            assert!(payload.len() <= 1460, "no more than a segment");
        }
        let limit =
            script.machine.rcv_wnd.limit() as usize + script.machine.send_buffer_limit as usize;
        let used = script.memory.used;
        assert!(used <= 3 * limit + 400_000, "{used} bytes");
        assert!(script.machine.pipe() <= script.machine.snd_nxt - script.machine.snd_una);
    }
}

fn play(state: State, timestamps: bool, sack: bool, steps: Vec<Step>) {
    let setup = Setup {
        timestamps,
        sack,
        receive_max: 1 << 18,
        send_max: 1 << 18,
        ..setup()
    };
    let mut script = match state {
        State::SynSent => Script::connecting(&setup),
        State::SynReceived => Script::accepting(&setup),
        _ => Script::established(&setup),
    };
    let mut watch = Watch {
        edge: None,
        acked: None,
    };
    let (mut written, mut taken) = (0, 0);
    for step in steps {
        match step {
            Step::Segment {
                flags,
                seq,
                ack,
                window,
                len,
                sack,
                stamp,
                gro,
            } => {
                let mut blocks = Sack::default();
                for (first, end) in sack {
                    blocks.push(
                        script.machine.snd_una + first,
                        script.machine.snd_una + first + (end & 0xffff),
                    );
                }
                let header = Header {
                    seq: script.machine.rcv_nxt + seq,
                    ack: script.machine.snd_una + ack,
                    // Resets usually end it too soon.
                    flags: if seq.is_multiple_of(3) {
                        Flags(flags)
                    } else {
                        Flags(flags & !Flags::RST.0)
                    },
                    window,
                    options: Options {
                        timestamps: stamp.map(|(value, echo)| {
                            (
                                script.machine.ts_recent.wrapping_add(value % 2000),
                                script
                                    .machine
                                    .stamp(script.now_ns)
                                    .wrapping_sub(echo % 2000),
                            )
                        }),
                        sack: blocks,
                        ..Options::default()
                    },
                    urgent: window,
                    ..Header::default()
                };
                let payload = vec![7; len];
                let mut bytes = vec![0; 60 + len];
                let at = header.write(1, 2, &mut bytes).unwrap();
                bytes[at..at + len].copy_from_slice(&payload);
                let mut segment = super::super::Segment::parse(&bytes[..at + len]).unwrap();
                segment.gro = gro.then_some((len / 3) as u16);
                script
                    .machine
                    .input(&mut script.memory, &mut || true, &segment, script.now_ns);
            }
            Step::Wait(duration_ns) => {
                let until = script.now_ns + duration_ns;
                for round in 0.. {
                    assert!(round < 5000, "timers without end");
                    match script.machine.deadline_ns() {
                        Some(at_ns) if at_ns <= until => {
                            script.now_ns = script.now_ns.max(at_ns);
                            script.machine.timer(&mut script.memory, script.now_ns);
                            watch.check(&mut script);
                        }
                        _ => break,
                    }
                }
                script.now_ns = until;
            }
            Step::Write(len) => written += script.write(&vec![3; len]),
            Step::Read(len) => {
                let len = len.min(script.machine.unread());
                script
                    .machine
                    .consume(&mut script.memory, len, script.now_ns);
                taken += len;
            }
            Step::Shut => script.machine.shutdown_send(),
            Step::Close => script
                .machine
                .close(&mut script.memory, 60 * SECOND, script.now_ns),
            Step::Icmp(seq, mtu) => {
                let at = script.machine.snd_una + seq;
                script.machine.icmp(
                    &mut script.memory,
                    IcmpError::TooBig(mtu),
                    at,
                    script.now_ns,
                );
            }
            Step::Pressure(level) => {
                script.memory.pressure =
                    [Pressure::None, Pressure::Moderate, Pressure::Hard][usize::from(level)];
            }
            Step::Full(full) => script.tap.room = if full { 0 } else { usize::MAX },
        }
        watch.check(&mut script);
        let _ = script.machine.info();
    }
    // Each byte is accounted for: read or unread, acknowledged or outstanding.
    let machine = &script.machine;
    let info = machine.info();
    let unread = u64::from(info.unread);
    if !machine.orphan {
        assert_eq!(info.bytes_received, taken as u64 + unread);
    }
    let unacknowledged = u64::from(info.unacknowledged);
    if machine.state() == State::Closed {
        assert!(info.bytes_acknowledged <= written as u64 && unacknowledged == 0);
    } else {
        assert_eq!(info.bytes_acknowledged + unacknowledged, written as u64);
    }
    script.machine.release(&mut script.memory);
    assert_eq!(script.memory.used, 0, "all memory comes back");
    let _ = (ISS, IRS);
}

proptest! {
    #![proptest_config(Config { cases: 400, ..Config::default() })]

    #[test]
    fn nothing_that_a_peer_sends_does_harm(
        which in 0usize..3, timestamps in any::<bool>(), sack in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        play(
            [State::SynSent, State::SynReceived, State::Established][which],
            timestamps,
            sack,
            steps,
        );
    }
}

#[derive(Clone, Debug)]
struct Path {
    seed: u64,
    loss: u64,
    late: u64,
    twice: u64,
    delay_ms: u64,
}

fn path() -> impl Strategy<Value = Path> {
    (any::<u64>(), 0u64..80, 0u64..200, 0u64..100, 0u64..60).prop_map(
        |(seed, loss, late, twice, delay_ms)| Path {
            seed,
            loss,
            late,
            twice,
            delay_ms,
        },
    )
}

fn ends() -> impl Strategy<Value = Setup> {
    (
        any::<u32>(),
        any::<bool>(),
        any::<bool>(),
        536u16..1460,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        8u32..64,
    )
        .prop_map(
            |(iss, timestamps, sack, mss, cubic, pacing, nodelay, window)| Setup {
                iss,
                timestamps,
                sack,
                mss,
                path_mss: mss,
                congestion: if cubic {
                    Congestion::Cubic
                } else {
                    Congestion::NewReno
                },
                pacing,
                nodelay,
                receive_initial: window << 10,
                receive_max: window << 12,
                user_timeout_ns: 0,
                ..Setup::default()
            },
        )
}

proptest! {
    #![proptest_config(Config { cases: 60, ..Config::default() })]

    /// The bytes arrive as written, for any behaviour of the link and any negotiated options.
    #[test]
    fn data_is_delivered_exactly(
        path in path(),
        client in ends(),
        server in ends(),
        offload in any::<(bool, bool)>(),
        there in 0usize..150_000,
        back in 0usize..60_000,
    ) {
        let mut world = World::new(path.delay_ms * MS / 2 + 1, &client, &server);
        world.keep_log = false;
        for end in &mut world.ends {
            end.tap.tso = if offload.0 { 65_000 } else { 0 };
            end.gro = if offload.1 { 65_000 } else { 0 };
        }
        let mut state = path.seed | 1;
        let Path { loss, late, twice, .. } = path;
        world.twice = twice;
        world.rule = Box::new(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let chance = state % 1000;
            if chance < loss {
                None
            } else if chance < loss + late {
                Some((state >> 20) % (40 * MS))
            } else {
                Some(0)
            }
        });
        let (there, back) = (pattern(there), pattern(back));
        world.write(0, &there);
        world.run_until(100 * SECOND, |world| world.ends[1].machine.state() == State::Established);
        world.write(1, &back);
        world.ends[0].shut = true;
        world.ends[1].shut = true;
        let done = world.run_until(3000 * SECOND, |world| {
            world.ends.iter().all(
                |end| matches!(end.machine.state(), State::TimeWait | State::Closed),
            )
        });
        assert!(done, "{:?} {:?}", world.ends[0].machine.info(), world.ends[1].machine.info());
        assert!(
            world.ends[1].received == there,
            "{} of {}",
            world.ends[1].received.len(),
            there.len(),
        );
        assert!(world.ends[0].received == back);
        assert!(world.ends.iter().all(|end| end.machine.error().is_none()));
        world.assert_released();
    }
}

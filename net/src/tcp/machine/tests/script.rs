//! One machine and a scripted peer.

use super::super::{Flags, Header, Machine, Options, Outcome, Segment, Seq, Setup, State};
use super::link::{Memory, SECOND, Tap};

/// Our initial sequence number, and the peer's: both near the wrap-around.
pub(crate) const ISS: u32 = 0xffff_fff0;
pub(crate) const IRS: u32 = 0x7fff_fff8;

pub(crate) struct Script {
    pub(crate) machine: Machine,
    pub(crate) memory: Memory,
    pub(crate) now_ns: u64,
    pub(crate) tap: Tap,
}

/// Segments that the machine sent: header and payload.
pub(crate) type Out = Vec<(Header, Vec<u8>)>;

pub(crate) fn setup() -> Setup {
    Setup {
        iss: ISS,
        timestamps: false,
        ..Setup::default()
    }
}

/// A header of the peer: sequence numbers count from its SYN, acknowledgements from ours.
pub(crate) fn header(flags: Flags, seq: i64, ack: i64) -> Header {
    Header {
        seq: Seq(IRS.wrapping_add(seq as u32)),
        ack: Seq(ISS.wrapping_add(ack as u32)),
        flags,
        window: 60_000,
        ..Header::default()
    }
}

impl Script {
    pub(crate) fn new(machine: Machine, now_ns: u64) -> Script {
        Script {
            machine,
            memory: Memory::default(),
            now_ns,
            tap: Tap::new(0),
        }
    }

    /// In SYN-SENT; the SYN was sent.
    pub(crate) fn connecting(setup: &Setup) -> Script {
        let now_ns = 500 * SECOND;
        let mut script = Script::new(Machine::connect(setup, now_ns), now_ns);
        assert_eq!(script.out().len(), 1);
        script
    }

    /// In SYN-RECEIVED, after a SYN of the peer; ours was sent.
    pub(crate) fn accepting(setup: &Setup) -> Script {
        let now_ns = 500 * SECOND;
        let syn = Header {
            options: Options {
                mss: Some(1460),
                sack_permitted: true,
                window_scale: Some(0),
                timestamps: setup.timestamps.then_some((7000, 0)),
                ..Options::default()
            },
            ..header(Flags::SYN, 0, 0)
        };
        let mut bytes = [0; 60];
        let len = syn.write(1, 2, &mut bytes).unwrap();
        let segment = Segment::parse(&bytes[..len]).unwrap();
        let mut script = Script::new(Machine::accept(setup, &segment, now_ns), now_ns);
        assert_eq!(script.out()[0].0.flags, Flags::SYN | Flags::ACK);
        script
    }

    pub(crate) fn established(setup: &Setup) -> Script {
        let mut script = Script::accepting(setup);
        let mut ack = header(Flags::ACK, 1, 1);
        if setup.timestamps {
            ack.options.timestamps = Some((7000, script.machine.stamp(script.now_ns)));
        }
        assert!(script.give(&ack, b"").is_empty());
        assert_eq!(script.machine.state(), State::Established);
        script
    }

    /// A connection in that state; in the states that require it the peer has sent its FIN.
    pub(crate) fn in_state(state: State) -> Script {
        let setup = setup();
        let fin = |script: &mut Script| script.give(&header(Flags::FIN | Flags::ACK, 1, 1), b"");
        let mut script = match state {
            State::SynSent => return Script::connecting(&setup),
            State::SynReceived => return Script::accepting(&setup),
            _ => Script::established(&setup),
        };
        match state {
            State::CloseWait => {
                fin(&mut script);
            }
            State::FinWait1 | State::FinWait2 | State::Closing | State::TimeWait => {
                script.machine.shutdown_send();
                assert_eq!(script.out()[0].0.flags, Flags::FIN | Flags::ACK);
                if matches!(state, State::FinWait2 | State::TimeWait) {
                    script.give(&header(Flags::ACK, 1, 2), b"");
                }
                if state == State::TimeWait {
                    script.give(&header(Flags::FIN | Flags::ACK, 1, 2), b"");
                }
                if state == State::Closing {
                    fin(&mut script);
                }
            }
            State::LastAck => {
                fin(&mut script);
                script.machine.shutdown_send();
                script.out();
            }
            State::Closed => {
                script.machine.abort(&mut script.memory);
                script.out();
            }
            _ => {}
        }
        assert_eq!(script.machine.state(), state);
        script
    }

    /// Returns the segments that the machine sends now.
    pub(crate) fn out(&mut self) -> Out {
        while self.machine.wants_output() {
            let outcome = self.machine.output(self.now_ns, 100, &mut self.tap);
            assert_ne!(outcome, Outcome::Blocked);
        }
        core::mem::take(&mut self.tap.out)
    }

    /// Delivers a segment of the peer; returns the immediate replies.
    pub(crate) fn give(&mut self, header: &Header, payload: &[u8]) -> Out {
        self.receive(header, payload);
        self.out()
    }

    /// Delivers a segment of the peer, without the machine's turn.
    pub(crate) fn receive(&mut self, header: &Header, payload: &[u8]) {
        let mut bytes = vec![0; 60 + payload.len()];
        let len = header.write(1, 2, &mut bytes).unwrap();
        bytes[len..len + payload.len()].copy_from_slice(payload);
        let segment = Segment::parse(&bytes[..len + payload.len()]).unwrap();
        self.machine
            .input(&mut self.memory, &mut || true, &segment, self.now_ns);
    }

    /// Advances the time; returns the segments sent meanwhile.
    pub(crate) fn wait(&mut self, duration_ns: u64) -> Out {
        let until = self.now_ns + duration_ns;
        let mut all = self.out();
        for _ in 0..100_000 {
            match self.machine.deadline_ns() {
                Some(at_ns) if at_ns <= until => {
                    self.now_ns = self.now_ns.max(at_ns);
                    self.machine.timer(&mut self.memory, self.now_ns);
                    all.extend(self.out());
                }
                _ => {
                    self.now_ns = until;
                    return all;
                }
            }
        }
        panic!("timers that don't end");
    }

    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.machine.peek().is_empty() {
            let bytes = self.machine.peek().to_vec();
            self.machine
                .consume(&mut self.memory, bytes.len(), self.now_ns);
            all.extend(bytes);
        }
        all
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        self.machine.write(&mut self.memory, bytes)
    }
}

/// Number of a sequence number of ours, counted from our SYN.
pub(crate) fn ours(seq: Seq) -> u32 {
    seq.0.wrapping_sub(ISS)
}

/// Number of a sequence number of the peer, counted from its SYN.
pub(crate) fn theirs(seq: Seq) -> u32 {
    seq.0.wrapping_sub(IRS)
}

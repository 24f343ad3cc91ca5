//! SYN and RST.

use super::options::{Options, Sack};
use super::segment::{Flags, Header};
use super::seq::Seq;
use super::state::State;
use super::tcb::{Emit, Machine, due};

impl Machine {
    /// RST and SYN. False: no room.
    pub(super) fn send_control(
        &mut self,
        left: &mut usize,
        now_ns: u64,
        emit: &mut dyn Emit,
    ) -> bool {
        if self.due & due::REFUSAL != 0 {
            let header = Header {
                seq: self.refusal_seq,
                flags: Flags::RST,
                ..Header::default()
            };
            if !emit.segment(&header, &[]) {
                return false;
            }
            self.due &= !due::REFUSAL;
        }
        if self.due & due::RESET != 0 {
            let (header, _) = self.header(self.snd_nxt, Flags::RST | Flags::ACK, now_ns);
            let header = Header {
                options: Options {
                    sack: Sack::default(),
                    ..header.options
                },
                window: 0,
                ..header
            };
            if !emit.segment(&header, &[]) {
                return false;
            }
            self.due &= !due::RESET;
        }
        if self.due & due::SYN != 0 {
            if matches!(self.state, State::SynSent | State::SynReceived)
                && !self.send_syn(now_ns, emit)
            {
                return false;
            }
            self.due &= !due::SYN;
        }
        *left = left.saturating_sub(1);
        true
    }

    /// SYN, or SYN and ACK (RFC 9293, 3.5; RFC 7323, 1.3 and 2018, 2: a SYN-ACK has only the
    /// options that were offered).
    fn send_syn(&mut self, now_ns: u64, emit: &mut dyn Emit) -> bool {
        let answer = self.state == State::SynReceived;
        let mut window = self.rcv_wnd;
        let field = window.offer_syn(self.rcv_nxt);
        let scaled = if answer {
            self.window_scaling
        } else {
            self.setup.scaling
        };
        let flags = if answer {
            Flags::SYN | Flags::ACK
        } else if self.setup.ecn && self.syns_sent == 0 {
            // RFC 3168, 6.1.1; not on a retransmission, since a middlebox may drop such SYNs
            // (6.1.1.1).
            Flags::SYN | Flags::ECE | Flags::CWR
        } else {
            Flags::SYN
        };
        let header = Header {
            seq: self.snd_una,
            ack: if answer { self.rcv_nxt } else { Seq(0) },
            flags,
            window: field,
            options: Options {
                mss: Some(self.setup.mss),
                window_scale: scaled.then_some(window.scale),
                sack_permitted: self.sack_permitted,
                timestamps: self
                    .timestamps_enabled
                    .then(|| (self.stamp(now_ns), if answer { self.ts_recent } else { 0 })),
                user_timeout: self.adv_uto(),
                sack: Sack::default(),
            },
            ..Header::default()
        };
        if !emit.segment(&header, &[]) {
            return false;
        }
        if answer {
            self.acknowledged_by(window);
        }
        if self.syns_sent == 0 {
            self.first_syn_ns = now_ns;
        } else {
            self.segments_retransmitted = self.segments_retransmitted.wrapping_add(1);
        }
        self.syns_sent = self.syns_sent.saturating_add(1);
        self.snd_nxt = self.snd_una + 1;
        self.snd_max = self.snd_nxt;
        self.timers.retransmit = now_ns.saturating_add(self.rtt.rto_ns(&self.setup));
        true
    }
}

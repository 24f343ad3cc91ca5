//! Timer expiry and ICMP errors.

use super::budget::Budget;
use super::segment::HEADER;
use super::seq::Seq;
use super::state::State;
use super::tcb::{Machine, due};
use super::timers::{OFF, Timers};
use crate::types::Error;

/// An ICMP error, as it affects a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpError {
    /// From the destination: protocol or port unreachable.
    Refused,
    /// From a router: network or host unreachable, time exceeded, administratively prohibited.
    Unreachable,
    /// Packet too big, or fragmentation needed and DF set: the next hop's MTU, 0 if unknown.
    TooBig(u32),
}

impl Machine {
    /// Runs the expired timers. Call it at [`Machine::deadline_ns`]; an earlier call is harmless.
    pub(crate) fn timer(&mut self, budget: &mut dyn Budget, now_ns: u64) {
        if Timers::expired(&mut self.timers.lifetime, now_ns) {
            self.lifetime_over(budget);
        }
        if Timers::expired(&mut self.timers.user, now_ns) {
            // RFC 5482, 3; RFC 9293, 3.8.3 (R2).
            return self.give_up(budget);
        }
        if self.state == State::Closed {
            return;
        }
        if Timers::expired(&mut self.timers.acknowledge, now_ns) {
            self.due |= due::ACK;
        }
        if Timers::expired(&mut self.timers.pace, now_ns) {
            self.due |= due::DATA;
        }
        if Timers::expired(&mut self.timers.reorder, now_ns) {
            let ack = self.ack_at(&[], now_ns);
            self.timers.reorder = self
                .recovery
                .on_timer(&ack, &mut self.control)
                .unwrap_or(OFF);
            self.due |= due::DATA;
        }
        if Timers::expired(&mut self.timers.probe, now_ns) {
            self.due |= due::PROBE;
            // The probe is sent first, then a separate timeout starts (RFC 8985, 7.3).
            self.timers.retransmit = self
                .timers
                .retransmit
                .max(now_ns.saturating_add(self.rtt.rto_ns(&self.setup)));
        }
        if Timers::expired(&mut self.timers.persist, now_ns) {
            self.rtt.back_off();
            self.due |= due::PERSIST | due::DATA;
            self.arm_persist(now_ns);
        }
        if Timers::expired(&mut self.timers.retransmit, now_ns) {
            self.retransmit(now_ns);
        }
        if Timers::expired(&mut self.timers.keepalive, now_ns) {
            self.keepalive(budget, now_ns);
        }
    }

    /// The handshake or lingering timed out, or TIME-WAIT is over.
    fn lifetime_over(&mut self, budget: &mut dyn Budget) {
        match self.state {
            State::TimeWait => self.end(budget, None),
            State::SynSent => self.give_up(budget),
            _ => {
                self.abort(budget);
                if !self.orphan {
                    self.error = Some(Error::TimedOut);
                }
            }
        }
    }

    fn give_up(&mut self, budget: &mut dyn Budget) {
        let error = self.soft_error.unwrap_or(Error::TimedOut);
        self.end(budget, Some(error));
    }

    /// RFC 6298, 5.4 to 5.6.
    fn retransmit(&mut self, now_ns: u64) {
        self.rtt.back_off();
        self.retransmission_timeouts = self.retransmission_timeouts.wrapping_add(1);
        match self.state {
            State::SynSent | State::SynReceived => {
                self.due |= due::SYN;
                self.timers.retransmit = now_ns.saturating_add(self.rtt.rto_ns(&self.setup));
            }
            _ if self.outstanding() => {
                // The size of the lost segment, for path MTU discovery.
                let full = self.snd_nxt - self.snd_una >= self.mss();
                if full {
                    self.pmtu.timeout(self.rtt.backoff(), now_ns);
                }
                let mss = self.mss();
                self.recovery
                    .timeout(self.snd_una, self.snd_nxt, mss, &mut self.control);
                self.timers.probe = OFF;
                self.timers.reorder = OFF;
                self.timers.retransmit = now_ns.saturating_add(self.rtt.rto_ns(&self.setup));
                self.due |= due::DATA;
            }
            _ => {}
        }
    }

    /// RFC 9293, 3.8.4.
    fn keepalive(&mut self, budget: &mut dyn Budget, now_ns: u64) {
        let Some(keepalive) = self.setup.keepalive else {
            return;
        };
        let quiet_ns = self.last_received_ns.saturating_add(keepalive.idle_ns);
        if quiet_ns > now_ns || self.outstanding() {
            // A segment has arrived since, or another timer already probes the peer.
            self.timers.keepalive = if quiet_ns > now_ns {
                quiet_ns
            } else {
                now_ns.saturating_add(keepalive.interval_ns.max(1))
            };
            return;
        }
        if self.keepalive_probes >= keepalive.probes {
            let error = self.soft_error.unwrap_or(Error::TimedOut);
            self.abort(budget);
            self.error = Some(error);
            return;
        }
        self.keepalive_probes += 1;
        self.due |= due::KEEPALIVE;
        self.timers.keepalive = now_ns.saturating_add(keepalive.interval_ns.max(1));
    }

    /// Handles an ICMP error about a segment of ours with the sequence number `seq`. Ignored unless
    /// that is in flight (RFC 5927, 4.1).
    pub(crate) fn icmp(
        &mut self,
        budget: &mut dyn Budget,
        error: IcmpError,
        seq: Seq,
        now_ns: u64,
    ) {
        if self.state == State::Closed || !seq.within(self.snd_una, self.snd_max) {
            return;
        }
        match (error, self.state) {
            (IcmpError::TooBig(mtu), _) => self.too_big(mtu, now_ns),
            (IcmpError::Refused, State::SynSent) => {
                self.end(budget, Some(Error::ConnectionRefused));
            }
            (IcmpError::Unreachable, State::SynSent) => self.end(budget, Some(Error::Unreachable)),
            // RFC 5927, 5.2: an established connection survives it.
            _ => self.soft_error = Some(Error::Unreachable),
        }
    }

    /// RFC 1191, 6.3; RFC 8201, 5.4. Accepted only if a packet of that size was sent.
    fn too_big(&mut self, mtu: u32, now_ns: u64) {
        let headers = u32::from(self.setup.ip_header) + HEADER as u32;
        let flight = self.snd_nxt - self.snd_una;
        if mtu != 0 && flight + headers + 40 <= mtu {
            return;
        }
        if self.pmtu.too_big(mtu, now_ns) && self.state.is_synchronized() && self.outstanding() {
            self.recovery.too_big(self.snd_una, self.snd_nxt);
            self.control.cwnd = self.control.cwnd.max(2 * self.mss());
            self.due |= due::DATA;
        }
    }
}

//! User calls of a connection (RFC 9293, 3.9.1 and 3.10).

use alloc::sync::Arc;

use super::budget::{Block, Budget, GUARANTEED, Pressure, SendBuffer};
use super::options::user_timeout;
use super::seq::Seq;
use super::setup::Options;
use super::state::State;
use super::tcb::{Machine, due};
use super::timers::{OFF, Timers};
use crate::types::{Congestion, Error, Keepalive};

/// How far the urgent pointer may precede the bytes, in bytes: a quarter of the sequence numbers
/// that count as later.
const MAX_URGENT: u32 = 1 << 29;

/// Receiving.
impl Machine {
    /// Copies the first received bytes that were not consumed yet, as many as fit; returns their
    /// number.
    pub(crate) fn copy(&self, into: &mut [u8]) -> usize {
        self.receive_buffer.copy(into)
    }

    /// The first received bytes that were not consumed yet, in place; empty if there are none. More
    /// may follow after them. They stay readable after FIN, RST and errors.
    pub(crate) fn peek(&self) -> &[u8] {
        self.receive_buffer.peek()
    }

    /// Removes `len` bytes from the front of what was received.
    pub(crate) fn consume(&mut self, budget: &mut dyn Budget, len: usize, now_ns: u64) {
        let len = len.min(self.receive_buffer.len() as usize);
        self.receive_buffer.consume(budget, len);
        self.consumed(len, budget, now_ns);
    }

    /// Takes the first received bytes out, without a copy. Their memory counts until it is returned
    /// to the budget.
    pub(crate) fn take(&mut self, budget: &dyn Budget, now_ns: u64) -> Option<Block> {
        let block = self.receive_buffer.take()?;
        self.consumed(block.len(), budget, now_ns);
        Some(block)
    }

    fn consumed(&mut self, len: usize, budget: &dyn Budget, now_ns: u64) {
        self.urgent.read_past(self.first_unread());
        self.rcv_wnd.consumed(len as u32, budget.pressure(), now_ns);
        if self.state.can_receive()
            && self
                .rcv_wnd
                .wants_update(self.rcv_nxt, self.receive_buffer.len())
        {
            self.due |= due::ACK;
        }
    }

    /// The first unread byte.
    pub(super) fn first_unread(&self) -> Seq {
        self.rcv_nxt - self.receive_buffer.len()
    }

    /// Number of bytes up to the end of the urgent ones, unread or still to arrive. The last `back`
    /// bytes that were read count as unread.
    pub(crate) fn urgent_left(&self, back: u32) -> u32 {
        self.urgent.left(self.first_unread() - back)
    }

    /// Whether the urgent pointer has advanced since the last call.
    pub(crate) fn take_urgent_advance(&mut self) -> bool {
        self.urgent.take_advance()
    }
}

/// Sending.
impl Machine {
    /// Marks the bytes written so far and the next `len` ones, at most [`MAX_URGENT`], as urgent;
    /// the peer gets the pointer at once, even if its window is closed.
    pub(crate) fn send_urgent(&mut self, len: u32) {
        let end = self.send_queue.end() + len.min(MAX_URGENT);
        if self.state.can_send() && !self.fin_queued && end.after(self.snd_una) {
            self.urgent.send_until(end);
            self.due |= due::ACK | due::DATA;
        }
    }

    /// Bytes that a write accepts now, by this connection's own limit.
    pub(crate) fn write_room(&self) -> usize {
        if !self.state.can_send() || self.fin_queued {
            return 0;
        }
        self.send_buffer_limit.saturating_sub(self.send_queue.len()) as usize
    }

    fn writable(&self, budget: &dyn Budget) -> usize {
        let room = self.write_room();
        match budget.pressure() {
            Pressure::None => room,
            Pressure::Moderate => {
                let limit = self.setup.send_initial.min(self.send_buffer_limit);
                room.min(limit.saturating_sub(self.send_queue.len()) as usize)
            }
            Pressure::Hard => room.min(GUARANTEED.saturating_sub(self.send_queue.len() as usize)),
        }
    }

    fn written(&mut self, len: usize) -> usize {
        if len > 0 {
            self.due |= due::DATA;
        }
        len
    }

    /// Queues bytes to send, as many as fit; returns their number. 0 also if this end may not send.
    pub(crate) fn write(&mut self, budget: &mut dyn Budget, bytes: &[u8]) -> usize {
        let room = self.writable(budget);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let len = self.send_queue.append(budget, bytes);
        self.written(len)
    }

    /// Queues bytes to send without copying them; they are dropped once they are acknowledged, or
    /// the connection is over. All or nothing: returns the buffer if there is no room. (It is
    /// accepted if any room is left, and may exceed the limit by itself.)
    pub(crate) fn write_shared(
        &mut self,
        budget: &mut dyn Budget,
        bytes: Arc<dyn SendBuffer>,
    ) -> Result<(), Arc<dyn SendBuffer>> {
        if self.writable(budget) == 0 || !self.send_queue.append_shared(budget, &bytes) {
            return Err(bytes);
        }
        self.due |= due::DATA;
        Ok(())
    }

    /// Ends this direction: FIN follows what was written (RFC 9293, 3.10.4).
    pub(crate) fn shutdown_send(&mut self) {
        if !self.state.can_send() || self.fin_queued {
            return;
        }
        self.fin_queued = true;
        self.due |= due::DATA;
        self.state = match self.state {
            State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            // The FIN waits until the connection is established.
            same => same,
        };
    }
}

/// Ending.
impl Machine {
    /// The application closes: written data is still delivered, then FIN; after `linger_ns` the
    /// connection is aborted. If bytes are unread or arrive later, the peer gets an RST once
    /// everything written was acknowledged (RFC 9293, 3.10.4; RFC 2525, 2.17).
    pub(crate) fn close(&mut self, budget: &mut dyn Budget, linger_ns: u64, now_ns: u64) {
        self.orphan = true;
        self.unread_at_close = self.receive_buffer.len() > 0;
        self.receive_buffer.clear(budget);
        match self.state {
            State::Closed => return,
            // RFC 9293, 3.10.4: nothing was negotiated.
            State::SynSent => return self.end(budget, Some(Error::ConnectionAborted)),
            State::TimeWait => return,
            _ => {}
        }
        if self.unread_at_close && self.send_queue.len() == 0 {
            return self.abort(budget);
        }
        self.shutdown_send();
        self.timers.lifetime = now_ns.saturating_add(linger_ns);
    }

    /// Ends the connection, with an RST where RFC 9293, 3.10.5 requires it. Unsent data is lost.
    pub(crate) fn abort(&mut self, budget: &mut dyn Budget) {
        match self.state {
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => self.due |= due::RESET,
            // RFC 9293 has these states only once the FIN was sent.
            State::Closing | State::LastAck if !self.fin_sent => self.due |= due::RESET,
            _ => {}
        }
        self.end(budget, Some(Error::ConnectionAborted));
    }

    /// Discards the pending reset of a connection that has ended, when the peer is unreachable.
    pub(crate) fn discard_reset(&mut self) {
        self.due = 0;
    }

    /// Returns all memory. The last call, before the connection is dropped.
    pub(crate) fn release(&mut self, budget: &mut dyn Budget) {
        self.state = State::Closed;
        self.due = 0;
        self.timers = Timers::new();
        self.send_queue.clear(budget);
        self.receive_buffer.clear(budget);
        self.recovery.clear();
    }
}

/// Options.
impl Machine {
    /// See [`super::Setup::nodelay`]. Turning it on sends a segment that is held back.
    pub(crate) fn set_nodelay(&mut self, nodelay: bool) {
        self.setup.nodelay = nodelay;
        if nodelay && self.send_queue.len() > 0 {
            self.due |= due::DATA;
        }
    }

    /// Changes the congestion control (RFC 9438 or RFC 5681).
    pub(crate) fn set_congestion(&mut self, congestion: Congestion) {
        self.setup.congestion = congestion;
        self.control.choose(congestion);
    }

    /// See [`super::Setup::send_max`]: the new limit of unacknowledged bytes, unless memory is
    /// scarce.
    pub(crate) fn set_send_max(&mut self, bytes: u32) {
        self.setup.send_max = bytes.clamp(GUARANTEED as u32, 1 << 30);
        self.setup.send_initial = self.setup.send_initial.min(self.setup.send_max);
        self.send_buffer_limit = self.setup.send_max;
    }

    /// Applies the [`Options`] that can still be changed.
    pub(crate) fn set_options(&mut self, options: &Options) {
        options.change(&mut self.setup);
        if options.mss > 0 {
            self.pmtu.limit(self.setup.mss);
        }
        if self.setup.delayed_ack_ns == 0 && self.timers.acknowledge != OFF {
            self.due |= due::ACK;
        }
        if !self.setup.pacing && self.timers.pace != OFF {
            self.timers.pace = OFF;
            self.due |= due::DATA;
        }
    }

    /// See [`super::Setup::receive_max`].
    pub(crate) fn set_receive_max(&mut self, bytes: u32) {
        self.rcv_wnd.set_max(bytes);
    }

    /// See [`super::Setup::keepalive`]; `None` turns it off.
    pub(crate) fn set_keepalive(&mut self, keepalive: Option<Keepalive>, now_ns: u64) {
        self.setup.keepalive = keepalive;
        self.keepalive_probes = 0;
        self.arm_keepalive(now_ns);
    }

    pub(super) fn arm_keepalive(&mut self, now_ns: u64) {
        self.timers.keepalive = match self.setup.keepalive {
            Some(keepalive) if self.state.is_synchronized() && self.state != State::TimeWait => {
                self.last_received_ns
                    .saturating_add(keepalive.idle_ns)
                    .max(now_ns)
            }
            _ => OFF,
        };
    }

    /// See [`super::Setup::user_timeout_ns`]; counts from now.
    pub(crate) fn set_user_timeout(&mut self, user_timeout_ns: u64, now_ns: u64) {
        self.setup.user_timeout_ns = user_timeout_ns;
        self.user_timeout_due = self.setup.advertise_uto && user_timeout_ns > 0;
        if self.user_timeout_due && self.state.is_synchronized() && self.state != State::TimeWait {
            self.due |= due::ACK;
        }
        if self.timers.user != OFF || self.outstanding() {
            self.arm_user(now_ns);
        }
    }

    /// ADV_UTO, the user timeout to advertise to the peer (RFC 5482, 3.1).
    pub(super) fn adv_uto(&self) -> Option<u16> {
        let uto = self.user_timeout_due.then_some(self.setup.user_timeout_ns);
        uto.and_then(user_timeout)
    }

    /// Data waits for an acknowledgement from now on.
    pub(super) fn arm_user(&mut self, now_ns: u64) {
        self.timers.user = match self.setup.user_timeout_ns {
            0 => OFF,
            timeout => now_ns.saturating_add(timeout),
        };
    }
}

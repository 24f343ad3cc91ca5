//! What a connection sends, what becomes of it after each step, and when it is looked at next.

use smoltcp::socket::tcp::State;

use crate::flow::Flow;
use crate::interface::Interface;
use crate::shared::{Core, Socket, Turn, park};
use crate::tcp::connection::{Connection, Phase};
use crate::{Error, Handle};

/// Segments that one connection may send before it is the next one's turn.
const TURN: u32 = 16;
/// smoltcp says that there is something to send now and sends nothing: look again after this.
const STALL_NS: u64 = 10_000_000;
/// How long a reset may wait for room in the link.
const RESET_NS: u64 = 1_000_000_000;
/// Keep-alive probes that a peer may leave unanswered.
const PROBES: u64 = 4;

impl Core {
    /// Sends what a connection has to send.
    pub(crate) fn send_connection(&mut self, interfaces: &mut [Interface], handle: Handle) -> Turn {
        let now_ns = self.now_ns;
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return Turn::Done(0);
        };
        let Some(interface) = interfaces.get_mut(connection.interface) else {
            return Turn::Done(0);
        };
        if connection.over {
            return Turn::Done(0);
        }
        let mut segments = 0;
        let mut next_ns = None;
        let mut unresolved = false;
        let turn = loop {
            let Some(io) = &mut connection.io else {
                break Turn::Done(segments);
            };
            let sent = interface.send(now_ns, &mut io.set, connection.send_max);
            self.work += 1;
            connection.note(&sent);
            segments += sent.segments;
            connection.waiting &= sent.segments == 0;
            if sent.refused {
                park(&mut interface.end.blocked, &mut connection.blocked, handle);
                break Turn::Blocked(segments);
            }
            let io = connection.io.as_ref();
            let next = io.and_then(|io| interface.end.poll_at(now_ns, &io.set));
            if sent.segments == 0 {
                if sent.tokens > 0 {
                    // It wanted to, but the neighbour's address isn't known.
                    park(&mut interface.end.waiting, &mut connection.waiting, handle);
                    interface.ask(now_ns, connection.remote.ip(), &sent);
                    unresolved = true;
                }
                next_ns = next.map(|at| if at <= now_ns { now_ns + STALL_NS } else { at });
                break Turn::Done(segments);
            }
            match next {
                Some(at) if at <= now_ns && segments >= TURN => break Turn::More(segments),
                Some(at) if at <= now_ns => {}
                other => {
                    next_ns = other;
                    break Turn::Done(segments);
                }
            }
        };
        // The reset of an aborted connection is sent once, or not at all.
        if unresolved && connection.state() == State::Closed {
            self.over(handle);
            return turn;
        }
        self.settle(handle);
        self.set_timer(handle, next_ns);
        turn
    }

    /// Puts the connection's next deadline into the heap: that of smoltcp and its own.
    pub(crate) fn set_timer(&mut self, handle: Handle, next_ns: Option<u64>) {
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        let Some(io) = &connection.io else { return };
        if io.outstanding() {
            connection.owed_ns.get_or_insert(self.now_ns);
        } else {
            connection.owed_ns = None;
        }
        let own = [
            connection.limit_ns,
            connection.neighbor_deadline(self.config.neighbor_timeout_ns),
        ];
        let silence = connection.silence_deadline(self.config.send_timeout_ns);
        let next = own.into_iter().chain([silence, next_ns]).flatten().min();
        if let Some(at_ns) = next {
            self.timers.set(&mut connection.timer_ns, at_ns, handle);
        }
    }

    /// Looks at a connection after something happened to it: moves it on in its life, and tells who
    /// waits.
    pub(crate) fn settle(&mut self, handle: Handle) {
        let now_ns = self.now_ns;
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        let Some(io) = &connection.io else { return };
        let socket = io.socket();
        let state = socket.state();
        let reset_pending = state == State::Closed && socket.remote_endpoint().is_some();
        match (connection.phase, state) {
            (Phase::HalfOpen(_), State::Listen | State::Closed) => return self.discard(handle),
            (Phase::HalfOpen(_), State::SynReceived) => {}
            (Phase::HalfOpen(listener), _) => {
                connection.phase = Phase::Queued(listener);
                connection.limit_ns = None;
                self.half_open -= 1;
                let Some(queue) = self.listener_mut(listener) else {
                    return self.abort_connection(handle);
                };
                queue.half_open -= 1;
                queue.queue.push_back(handle);
                if core::mem::take(&mut queue.wakes.read) {
                    self.tell(listener);
                }
            }
            (Phase::Connecting, State::SynSent | State::SynReceived) => {}
            (Phase::Connecting, State::Closed) => {
                let error = connection.error.unwrap_or(Error::ConnectionAborted);
                return self.fail(handle, error);
            }
            (Phase::Connecting, _) => {
                connection.phase = Phase::Open;
                connection.limit_ns = None;
            }
            (Phase::Orphan, State::Closed) if !reset_pending => return self.discard(handle),
            (Phase::Orphan, _) => self.settle_orphan(handle),
            (_, State::Closed) if !reset_pending => {
                // Without an error, both FINs were exchanged, or the local address went away.
                if connection.error.is_none() && !connection.peer_ended {
                    connection.error = Some(Error::ConnectionAborted);
                }
                self.over(handle);
            }
            _ => {}
        }
        if state == State::TimeWait {
            self.enter_time_wait(handle, now_ns);
        }
        self.wake(handle);
    }

    /// A connection that the program has closed: what the peer still sends isn't wanted. While our
    /// data is on its way it is swallowed, afterwards answered with a reset.
    fn settle_orphan(&mut self, handle: Handle) {
        let now_ns = self.now_ns;
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        let Some(io) = &mut connection.io else { return };
        let socket = io.socket_mut();
        if !socket.can_recv() {
            return;
        }
        let delivered = matches!(socket.state(), State::FinWait2 | State::TimeWait);
        // `recv` fails only where `can_recv` is false.
        let swallowed = socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap_or(0);
        connection.unread = connection.unread.wrapping_add(swallowed as u32);
        if delivered {
            socket.abort();
            connection.limit_ns = Some(now_ns.saturating_add(RESET_NS));
        }
        self.mark_dirty(handle);
    }

    fn enter_time_wait(&mut self, handle: Handle, now_ns: u64) {
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        let Some(send_next) = connection.send_max else {
            return;
        };
        let receive_next = connection.receive_next();
        if !connection.fin_acknowledged() {
            return;
        }
        let key = connection.key;
        let orphan = connection.phase == Phase::Orphan;
        self.over(handle);
        self.time_wait
            .insert(&mut self.flows, key, send_next, receive_next, now_ns);
        if orphan {
            self.discard(handle);
        }
    }

    /// The deadline of a connection came: its own deadlines are checked here, smoltcp's when it is
    /// sent from.
    pub(crate) fn connection_timer(&mut self, handle: Handle) {
        let now_ns = self.now_ns;
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now_ns);
        let limit = due(connection.limit_ns);
        match connection.phase {
            Phase::HalfOpen(_) if limit => return self.discard(handle),
            Phase::Connecting if limit => return self.fail(handle, Error::TimedOut),
            Phase::Connecting
                if due(connection.neighbor_deadline(self.config.neighbor_timeout_ns)) =>
            {
                return self.fail(handle, Error::Unreachable);
            }
            Phase::Orphan if limit => {
                let already = connection.state() == State::Closed;
                connection.limit_ns = None;
                if already {
                    return self.discard(handle);
                }
                return self.abort_connection(handle);
            }
            _ if due(connection.silence_deadline(self.config.send_timeout_ns)) => {
                connection.error.get_or_insert(Error::TimedOut);
                connection.keepalive_ns = None;
                connection.owed_ns = None;
                if let Some(io) = &mut connection.io {
                    io.socket_mut().abort();
                }
                self.wake(handle);
            }
            _ => {}
        }
        self.mark_dirty(handle);
    }

    /// Ends a connect without result.
    pub(crate) fn fail(&mut self, handle: Handle, error: Error) {
        if let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) {
            connection.error = Some(error);
            connection.phase = Phase::Open;
            connection.limit_ns = None;
        }
        self.over(handle);
        self.wake(handle);
    }

    /// The peer has no more part in the connection: its flow is free, and its buffers are too unless
    /// there is something to read. An orphan is gone altogether.
    pub(crate) fn over(&mut self, handle: Handle) {
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        let key = connection.key;
        let unread = connection
            .io
            .as_ref()
            .is_some_and(|io| io.socket().can_recv());
        if let Some(Flow::Connection(owner)) = self.flows.get(&key)
            && *owner == handle
        {
            self.flows.remove(&key);
        }
        if connection.phase == Phase::Orphan {
            return self.discard(handle);
        }
        connection.over = true;
        if !unread && let Some(io) = connection.io.take() {
            self.budget.give_back(io);
        }
    }

    /// Removes a connection and everything that belongs to it, without a word to the peer.
    pub(crate) fn discard(&mut self, handle: Handle) {
        let Some(Socket::Connection(connection)) = self.sockets.remove(handle) else {
            return;
        };
        if let Some(io) = connection.io {
            self.budget.give_back(io);
        }
        if let Some(Flow::Connection(owner)) = self.flows.get(&connection.key)
            && *owner == handle
        {
            self.flows.remove(&connection.key);
        }
        if let Phase::HalfOpen(listener) = connection.phase {
            self.half_open -= 1;
            if let Some(queue) = self.listener_mut(listener) {
                queue.half_open -= 1;
            }
        }
    }

    /// Ends a connection with a reset, and lets go of its handle.
    pub(crate) fn abort_connection(&mut self, handle: Handle) {
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        if matches!(connection.phase, Phase::HalfOpen(_) | Phase::Connecting) {
            return self.discard(handle);
        }
        connection.phase = Phase::Orphan;
        connection.limit_ns = Some(self.now_ns.saturating_add(RESET_NS));
        let Some(io) = &mut connection.io else {
            return self.discard(handle);
        };
        let socket = io.socket_mut();
        let over = socket.remote_endpoint().is_none() || socket.state() == State::TimeWait;
        socket.abort();
        if over {
            return self.discard(handle);
        }
        self.mark_dirty(handle);
    }

    /// The listener of a connection in handshake.
    pub(crate) fn half_open_of(&self, handle: Handle) -> Option<Handle> {
        match self.sockets.get(handle) {
            Some(Socket::Connection(connection)) => match connection.phase {
                Phase::HalfOpen(listener) => Some(listener),
                _ => None,
            },
            _ => None,
        }
    }

    /// Lists the handle as an event if somebody waits for what it now is.
    pub(crate) fn wake(&mut self, handle: Handle) {
        if let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle)
            && connection.take_wake()
        {
            self.tell(handle);
        }
    }
}

impl Connection {
    /// Until when somebody must answer for the peer's address on the link.
    fn neighbor_deadline(&self, timeout_ns: u64) -> Option<u64> {
        let unsent = self.phase == Phase::Connecting && self.send_max.is_none();
        unsent.then(|| self.began_ns.saturating_add(timeout_ns))
    }

    /// Until when the peer must be heard, because it owes an answer or is probed.
    fn silence_deadline(&self, timeout_ns: u64) -> Option<u64> {
        if self.state() == State::Closed {
            return None;
        }
        let owed = self
            .owed_ns
            .map(|since| since.max(self.heard_ns).saturating_add(timeout_ns));
        let probed = self.keepalive_ns.map(|interval| {
            self.heard_ns
                .saturating_add(interval.saturating_mul(PROBES + 1))
        });
        [owed, probed].into_iter().flatten().min()
    }
}

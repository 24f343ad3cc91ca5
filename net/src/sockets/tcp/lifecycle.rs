//! The lifecycle of a connection: state changes after an event, its timer, its end.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::ip::Net;
use crate::sockets::table::Table;
use crate::sockets::{Socket, Sockets};
use crate::tcp::connection::Phase;
use crate::tcp::counters::count;
use crate::tcp::machine::{Machine, State};
use crate::types::{Error, Handle};

/// Interval at which a connection solicits an unresolved neighbor.
const RESOLVE_INTERVAL_NS: u64 = 1_000_000_000;

/// Places for new connections that are kept free while orphans hold memory.
const SPARE: usize = 16;

/// Whether a new connection gets its share of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// Not now: orphans have ended for it.
    Later,
    /// The connections that hold the memory belong to the program.
    Refused,
}

/// The machine of an orphan.
fn orphan_machine(table: &Table<Socket>, handle: Handle) -> Option<&Machine> {
    match table.get(handle) {
        Some(Socket::Connection(connection)) if connection.phase == Phase::Orphan => {
            connection.machine.as_ref()
        }
        _ => None,
    }
}

impl Sockets {
    /// After an operation on a connection: schedules its turn to send, or its timer, and updates
    /// its state.
    pub(crate) fn touched(&mut self, handle: Handle) {
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return;
        };
        let Some(machine) = &connection.machine else {
            return;
        };
        if machine.wants_output() && !connection.over {
            // Its turn updates it.
            let later = connection.phase != Phase::Connecting && !machine.is_over();
            self.mark_dirty(handle);
            if later {
                return;
            }
        }
        self.update(handle);
    }

    /// Sets a connection's next deadline.
    fn set_timer(&mut self, handle: Handle) {
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return;
        };
        let machine = connection.machine.as_ref();
        let machine_ns = machine.and_then(Machine::deadline_ns);
        // An unresolved neighbor is solicited again.
        let ask_ns = connection
            .waiting
            .then(|| self.now_ns + RESOLVE_INTERVAL_NS);
        let next = [machine_ns, connection.neighbor_ns, ask_ns];
        let next_ns = next.into_iter().flatten().min();
        self.timers.set_deadline(handle, next_ns);
    }

    /// Updates a connection after an event: advances its state and wakes the waiting tasks.
    pub(crate) fn update(&mut self, handle: Handle) {
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return;
        };
        let Some(machine) = &connection.machine else {
            return;
        };
        if connection.over {
            return;
        }
        let state = machine.state();
        if connection.phase == Phase::Connecting
            && !matches!(state, State::SynSent | State::SynReceived | State::Closed)
        {
            connection.phase = Phase::Open;
            connection.neighbor_ns = None;
        }
        if machine.is_over() {
            let error = connection.error();
            let unanswered = error == Some(Error::TimedOut);
            let connecting = connection.phase == Phase::Connecting;
            self.tcp.counters.timeouts += u64::from(unanswered && !connecting);
            self.tcp.counters.failed_connects += u64::from(connecting);
            self.over(handle);
        } else if !machine.wants_output()
            && let Some(state) = machine.time_wait()
        {
            // The acknowledgement of the peer's FIN was sent: the TIME-WAIT record takes over.
            let key = connection.key;
            self.over(handle);
            count(&mut self.tcp.counters.time_waits);
            if !self.tcp.time_wait.insert(key, state, self.now_ns) {
                count(&mut self.tcp.counters.time_wait_overflows);
            }
        } else {
            self.set_timer(handle);
        }
        self.wake(handle);
    }

    /// Handles an expired deadline of a connection.
    pub(crate) fn connection_timer(&mut self, handle: Handle) {
        let now_ns = self.now_ns;
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return;
        };
        connection.prefetch();
        if connection.over {
            return;
        }
        if connection.neighbor_ns.is_some_and(|at_ns| at_ns <= now_ns) {
            connection.neighbor_ns = None;
            if connection.phase == Phase::Connecting {
                count(&mut self.tcp.counters.failed_connects);
                return self.fail(handle, Error::Unreachable);
            }
        }
        if let Some(machine) = &mut connection.machine {
            machine.timer(&mut self.budget, now_ns);
        }
        if connection.waiting {
            self.mark_dirty(handle);
        }
        self.touched(handle);
    }

    /// The connection is over for the peer: frees its flow, and its buffers unless there is unread
    /// data. Removes an orphan.
    pub(crate) fn over(&mut self, handle: Handle) {
        self.remove_flow(handle);
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return;
        };
        if connection.phase == Phase::Connecting {
            connection.phase = Phase::Open;
        }
        connection.over = true;
        connection.neighbor_ns = None;
        self.timers.set_deadline(handle, None);
        connection.error = connection.error();
        let unread = connection
            .machine
            .as_ref()
            .map_or(0, |machine| machine.unread());
        if connection.phase == Phase::Orphan {
            self.discard(handle);
        } else if unread == 0 {
            self.release(handle);
        }
    }

    /// Releases the memory of a connection that is over.
    pub(crate) fn release(&mut self, handle: Handle) {
        if let Some(Socket::Connection(connection)) = self.table.get_mut(handle)
            && let Some(mut machine) = connection.machine.take()
        {
            connection.complete = machine.complete();
            let again = u64::from(machine.info().retransmitted);
            let counter = &mut self.tcp.counters.retransmitted;
            *counter = counter.wrapping_add(again);
            machine.release(&mut self.budget);
        }
    }

    /// Removes a connection and everything that belongs to it, without notifying the peer.
    pub(crate) fn discard(&mut self, handle: Handle) {
        let over = match self.table.get(handle) {
            Some(Socket::Connection(connection)) => connection.over,
            _ => return,
        };
        if !over {
            self.remove_flow(handle);
        }
        self.release(handle);
        if let Some(Socket::Connection(connection)) = self.table.remove(handle) {
            self.budget.leave();
            if connection.phase == Phase::Orphan {
                self.tcp.orphans.remove();
            }
        }
    }

    /// The program closes a connection. See [`crate::Stack::close`].
    pub(crate) fn close_connection(&mut self, handle: Handle) {
        let now_ns = self.now_ns;
        let most = self.config.orphan_max;
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return;
        };
        let linger_ns = connection.linger_ns.unwrap_or(self.config.linger_ns);
        if linger_ns == 0 {
            return self.abort_connection(handle);
        }
        if self.tcp.orphans.len() >= most {
            count(&mut self.tcp.counters.orphans_aborted);
            return self.abort_connection(handle);
        }
        let Some(machine) = connection.machine.as_mut().filter(|_| !connection.over) else {
            return self.discard(handle);
        };
        machine.close(&mut self.budget, linger_ns, now_ns);
        self.orphan(handle);
    }

    /// Ends a connection with a reset, and releases its handle.
    pub(crate) fn abort_connection(&mut self, handle: Handle) {
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return;
        };
        let Some(machine) = connection.machine.as_mut().filter(|_| !connection.over) else {
            return self.discard(handle);
        };
        machine.abort(&mut self.budget);
        // Its reset is sent once, or not at all if the peer is unreachable: see `output`.
        self.orphan(handle);
    }

    fn orphan(&mut self, handle: Handle) {
        if let Some(Socket::Connection(connection)) = self.table.get_mut(handle)
            && connection.phase != Phase::Orphan
        {
            connection.phase = Phase::Orphan;
            let Sockets {
                tcp, table, now_ns, ..
            } = self;
            let is_orphan = |handle| orphan_machine(table, handle).is_some();
            tcp.orphans.add(handle, *now_ns, is_orphan);
            self.touched(handle);
        }
    }

    /// Takes the share of a new connection. Once there is room for few, orphans end: those that have
    /// delivered everything, and those that had a second for it.
    pub(crate) fn admit(&mut self) -> Admission {
        let mut ended = 0;
        while ended < SPARE && !self.budget.admits(SPARE - ended) && self.end_orphan() {
            ended += 1;
        }
        match (self.budget.admit(), ended) {
            (true, _) => Admission::Admitted,
            (false, 0) => Admission::Refused,
            (false, _) => Admission::Later,
        }
    }

    /// Ends an orphan that may: with a reset, unless its peer has got everything. Then a FIN that
    /// still comes gets one.
    fn end_orphan(&mut self) -> bool {
        let table = &self.table;
        let state = |handle| orphan_machine(table, handle).map(Machine::state);
        let may_go = |handle, late| match state(handle)? {
            State::Closed => None,
            state => Some(late || state == State::FinWait2),
        };
        let Some(handle) = self.tcp.orphans.take(self.now_ns, may_go) else {
            return false;
        };
        let is_delivered = state(handle) == Some(State::FinWait2);
        count(&mut self.tcp.counters.orphans_aborted);
        if is_delivered {
            self.discard(handle);
        } else if let Some(Socket::Connection(connection)) = self.table.get_mut(handle)
            && let Some(machine) = &mut connection.machine
        {
            machine.abort(&mut self.budget);
            self.touched(handle);
        }
        true
    }

    /// Addresses are no longer ours: their connections end. The peer gets no reset, since none
    /// could be sent from them.
    pub(crate) fn addresses_lost(&mut self, net: &Net, lost: &[IpAddr]) {
        let is_lost = |ip: IpAddr| lost.contains(&ip) && !net.has_address(ip);
        let handles: Vec<Handle> = self
            .table
            .handles()
            .filter(|handle| match self.table.get(*handle) {
                Some(Socket::Connection(connection)) => is_lost(connection.local.ip()),
                _ => false,
            })
            .collect();
        for handle in handles {
            match self.table.get(handle) {
                Some(Socket::Connection(connection)) if connection.over => {}
                Some(Socket::Connection(connection)) if connection.phase == Phase::Orphan => {
                    self.discard(handle);
                }
                _ => self.fail(handle, Error::ConnectionAborted),
            }
        }
    }

    /// Queues an event if the owner waits for what is ready now.
    pub(crate) fn wake(&mut self, handle: Handle) {
        if let Some(Socket::Connection(connection)) = self.table.get_mut(handle)
            && connection.take_wake()
        {
            self.queue_event(handle);
        }
    }
}

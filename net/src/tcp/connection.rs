//! A connection in the table of sockets: its machine, owner and flags.

use core::net::SocketAddr;

use super::machine::Machine;
use crate::ip::{HeaderFields, Route};
use crate::tcp::flow::FlowKey;
use crate::types::{Error, Handle, Readiness, WakeFlags};

/// Free bytes in the send buffer from which on a writer is woken.
const LOW_WATER: usize = 16 << 10;

/// The owner of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The listener's, waiting to be accepted.
    Queued(Handle),
    /// The program's, during the handshake.
    Connecting,
    /// The program's.
    Open,
    /// None: closed by the program, still delivering.
    Orphan,
}

/// One connection, from its first segment to the last use of its handle.
pub(crate) struct Connection {
    /// `None` once the connection is over and all received data was read.
    pub(crate) machine: Option<Machine>,
    pub(crate) phase: Phase,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) key: FlowKey,
    pub(crate) route: Route,
    /// Why it failed, if the machine doesn't know, or was dropped.
    pub(crate) error: Option<Error>,
    pub(crate) wakes: WakeFlags,
    /// The handle is in the list of sockets to be sent from.
    pub(crate) dirty: bool,
    /// The handle is in its interface's list of blocked sockets.
    pub(crate) blocked: bool,
    /// The handle is in its interface's list of sockets that wait for a neighbor.
    pub(crate) waiting: bool,
    /// Nothing is sent or received any more; there may be unread data.
    pub(crate) over: bool,
    /// See [`Machine::complete`]; kept when the machine is dropped.
    pub(crate) complete: bool,
    /// Something was sent.
    pub(crate) sent: bool,
    /// Deadline for its neighbor's reply, while nothing could be sent.
    pub(crate) neighbor_ns: Option<u64>,
    /// Maximum time of delivery after a close, if the program has set it.
    pub(crate) linger_ns: Option<u64>,
    /// Hop limit and traffic class of its segments.
    pub(crate) header_fields: HeaderFields,
}

impl Connection {
    pub(crate) fn new(
        machine: Machine,
        phase: Phase,
        local: SocketAddr,
        remote: SocketAddr,
        route: Route,
    ) -> Connection {
        Connection {
            machine: Some(machine),
            phase,
            local,
            remote,
            key: FlowKey::new((local.ip(), local.port()), (remote.ip(), remote.port())),
            route,
            error: None,
            wakes: WakeFlags::default(),
            dirty: false,
            blocked: false,
            waiting: false,
            over: false,
            complete: false,
            sent: false,
            neighbor_ns: None,
            linger_ns: None,
            header_fields: HeaderFields::default(),
        }
    }

    /// Reads from each cache line of the connection, so that the processor fetches all of them in
    /// parallel.
    pub(crate) fn prefetch(&self) {
        let machine = self.machine.as_ref().map_or(0, Machine::prefetch);
        let own = self.linger_ns.unwrap_or(0)
            ^ u64::from(self.local.port())
            ^ self.route.interface as u64
            ^ u64::from(self.over);
        core::hint::black_box(machine ^ own);
    }

    /// Whether the input is complete although the connection failed.
    pub(crate) fn is_complete(&self) -> bool {
        let machine = self.machine.as_ref();
        self.complete || machine.is_some_and(Machine::complete)
    }

    /// Why it failed.
    pub(crate) fn error(&self) -> Option<Error> {
        let machine = self.machine.as_ref();
        self.error.or_else(|| machine.and_then(Machine::error))
    }

    /// Readiness, where `room` bytes in the send buffer count as writable.
    fn readiness_with(&self, room: usize) -> Readiness {
        let failure = self.error();
        let error = failure.is_some();
        let Some(machine) = &self.machine else {
            return Readiness {
                readable: true,
                writable: true,
                hangup: true,
                error,
            };
        };
        if self.phase == Phase::Connecting && !error {
            return Readiness::default();
        }
        let free = machine.write_room();
        let writable = free >= room || free > 0 && free >= machine.unacknowledged();
        Readiness {
            readable: machine.readable() || error || self.over,
            writable: error || self.over || !machine.state().can_send() || writable,
            hangup: self.over || machine.hangup(),
            error,
        }
    }

    /// Readiness.
    pub(crate) fn readiness(&self) -> Readiness {
        self.readiness_with(1)
    }

    /// Whether a reader and a writer are registered as waiting although the connection is ready.
    #[cfg(test)]
    pub(crate) fn lost_wakeups(&self) -> (bool, bool) {
        let ready = self.readiness_with(LOW_WATER);
        (
            self.wakes.read && ready.readable,
            self.wakes.write && ready.writable,
        )
    }

    /// Whether the owner waits for something that is ready now; true once.
    pub(crate) fn take_wake(&mut self) -> bool {
        if !self.wakes.read && !self.wakes.write {
            return false;
        }
        // RFC 9293, 3.8.5, MUST-32: urgent data also wakes a waiting owner.
        let machine = self.machine.as_mut();
        let urgent = machine.is_some_and(Machine::take_urgent_advance);
        let ready = self.readiness_with(LOW_WATER);
        let read = self.wakes.read && ready.readable;
        let write = self.wakes.write && ready.writable;
        self.wakes.read &= !read;
        self.wakes.write &= !write;
        urgent || read || write
    }
}

//! What a connection sends when its turn comes.

use super::connection::Phase;
use super::frames::{Ends, Way};
use super::machine::{Outcome, State};
use crate::Handle;
use crate::interface::Interface;
use crate::shared::{Core, Socket, Turn, park};

/// Segments that one connection may send before it is the next one's turn.
const TURN: usize = 16;

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
        let Some(machine) = connection.machine.as_mut().filter(|_| !connection.over) else {
            return Turn::Done(0);
        };
        if !machine.wants_output() {
            return Turn::Done(0);
        }
        self.work += 1;
        let Some(mac) = interface.neighbor(connection.remote.ip(), now_ns) else {
            // Nobody waits for the reset of an aborted connection.
            if machine.state() == State::Closed {
                self.over(handle);
                return Turn::Done(0);
            }
            if connection.phase == Phase::Connecting && !connection.sent {
                let until_ns = now_ns.saturating_add(self.config.neighbor_timeout_ns);
                connection.neighbor_ns.get_or_insert(until_ns);
            }
            park(&mut interface.end.waiting, &mut connection.waiting, handle);
            self.settle(handle);
            return Turn::Done(0);
        };
        let ends = Ends {
            local: (connection.local.ip(), connection.local.port()),
            remote: (connection.remote.ip(), connection.remote.port()),
            mac,
        };
        let mut way = Way {
            interface,
            ends,
            sent: 0,
        };
        let outcome = machine.output(now_ns, TURN, &mut way);
        let sent = way.sent;
        connection.waiting = false;
        if sent > 0 {
            connection.sent = true;
            connection.neighbor_ns = None;
        }
        if outcome == Outcome::Blocked {
            park(&mut interface.end.blocked, &mut connection.blocked, handle);
        }
        let counter = &mut self.tcp.counters.segments_out;
        *counter = counter.wrapping_add(u64::from(sent));
        self.settle(handle);
        match outcome {
            Outcome::Done => Turn::Done(sent),
            Outcome::More => Turn::More(sent),
            Outcome::Blocked => Turn::Blocked(sent),
        }
    }
}

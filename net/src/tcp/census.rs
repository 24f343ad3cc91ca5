//! How many connections there are.

use super::TcpCounters;
use super::connection::{Connection, Phase};
use super::machine::State;
use crate::Stack;
use crate::shared::Socket;

/// All sockets.
impl Stack {
    fn connections_where(&self, f: impl Fn(&Connection) -> bool) -> usize {
        let sockets = &self.core.sockets;
        let connections = sockets
            .handles()
            .filter(|handle| match sockets.get(*handle) {
                Some(Socket::Connection(connection)) => f(connection),
                _ => false,
            });
        connections.count()
    }

    /// Connections in any state: those in handshake, those that nobody has accepted yet, those that
    /// are closed and still deliver, and the records of TIME-WAIT among them. Takes time in
    /// proportion to the sockets.
    pub fn connections(&self) -> usize {
        let tcp = &self.core.tcp;
        self.connections_where(|_| true) + tcp.half_open.len() + tcp.time_wait.len()
    }

    /// Connections that the program has closed and whose peer has not acknowledged everything yet,
    /// the FIN included: what would be lost if the machine were switched off now.
    pub fn undelivered(&self) -> usize {
        self.connections_where(|connection| {
            let state = connection.machine.as_ref().map(|machine| machine.state());
            connection.phase == Phase::Orphan
                && matches!(
                    state,
                    Some(State::FinWait1 | State::Closing | State::LastAck)
                )
        })
    }

    /// What happened to TCP since the stack was made.
    pub fn tcp_counters(&self) -> TcpCounters {
        self.core.tcp.counters
    }
}

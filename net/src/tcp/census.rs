//! How many connections there are.

use smoltcp::socket::tcp::State;

use crate::Stack;
use crate::shared::Socket;
use crate::tcp::connection::{Connection, Phase};

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
        self.connections_where(|_| true) + self.core.time_wait.len()
    }

    /// Connections that the program has closed and whose peer has not acknowledged everything yet,
    /// the FIN included: what would be lost if the machine were switched off now.
    pub fn undelivered(&self) -> usize {
        self.connections_where(|connection| {
            let state = connection.io.as_ref().map(|io| io.socket().state());
            connection.phase == Phase::Orphan
                && matches!(
                    state,
                    Some(State::FinWait1 | State::Closing | State::LastAck)
                )
        })
    }
}

//! Options of one connection that a few programs choose.

use super::machine::Congestion;
use crate::{Error, Handle, Stack};

/// What is chosen for a connection before its SYN leaves; the default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// See [`Stack::set_hop_limit`].
    pub hop_limit: u8,
    /// See [`Stack::set_dscp`].
    pub dscp: u8,
    /// Whether to ask for congestion marks (RFC 3168, 6.1.1); `None`: what [`crate::Config::ecn`] says.
    pub ecn: Option<bool>,
}

impl Stack {
    /// Chooses how the sending rate of a connection is found, from now on. A new connection has
    /// [`crate::Config::congestion`].
    pub fn tcp_set_congestion(
        &mut self,
        connection: Handle,
        congestion: Congestion,
    ) -> Result<(), Error> {
        self.core
            .change(connection, |machine| machine.set_congestion(congestion))
    }

    /// How many bytes may be written and not acknowledged, at most: 4 KiB to 1 GiB, brought into that range. What is there already
    /// stays. A new connection has [`crate::Config::tcp_buffer_max`].
    pub fn tcp_set_send_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.core
            .change(connection, |machine| machine.set_send_max(bytes))
    }

    /// How many bytes may wait to be read, at most: 4 KiB to what the window's scale allows, which was agreed on for
    /// [`crate::Config::tcp_buffer_max`]. What the peer was offered stays offered.
    pub fn tcp_set_receive_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.core
            .change(connection, |machine| machine.set_receive_max(bytes))
    }
}

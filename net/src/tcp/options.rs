//! Options of one connection that a few programs choose.

use super::machine::{Congestion, TcpOptions};
use crate::shared::Socket;
use crate::{Error, Handle, Stack};

/// What is chosen for a connection before its SYN leaves; the default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// See [`Stack::set_hop_limit`].
    pub hop_limit: u8,
    /// See [`Stack::set_dscp`].
    pub dscp: u8,
    /// Whether to ask for congestion marks (RFC 3168, 6.1.1); `None`: what [`crate::Config::ecn`]
    /// says.
    pub ecn: Option<bool>,
    /// See [`Stack::tcp_set_options`].
    pub tcp: TcpOptions,
}

impl Stack {
    /// Chooses what a connection does, from now on as far as its SYN hasn't settled it; or the
    /// connections that a listener establishes, or the one that begins from [`Stack::tcp_bind`].
    /// The state of a new one is [`TcpOptions::default`].
    pub fn tcp_set_options(&mut self, handle: Handle, options: &TcpOptions) -> Result<(), Error> {
        if let Some(Socket::Listener(listener)) = self.core.owned_mut(handle) {
            listener.options = *options;
            return Ok(());
        }
        self.core
            .change(handle, |machine| machine.set_options(options))
    }

    /// What was chosen, as it is in force; the default once the connection is over. What both ends
    /// agreed on is in [`Stack::tcp_info`].
    pub fn tcp_options(&self, handle: Handle) -> Result<TcpOptions, Error> {
        if let Some(Socket::Listener(listener)) = self.core.owned(handle) {
            return Ok(listener.options);
        }
        let machine = self.core.machine(handle)?;
        Ok(machine.map_or(TcpOptions::default(), |machine| machine.options()))
    }

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

    /// How many bytes may be written and not acknowledged: 4 KiB to 1 GiB, brought into that range;
    /// less while memory is scarce. What is there already stays. A new connection has 64 KiB, and
    /// more as its path needs it, up to [`crate::Config::tcp_buffer_max`].
    pub fn tcp_set_send_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.core
            .change(connection, |machine| machine.set_send_max(bytes))
    }

    /// How many bytes may wait to be read, at most: 4 KiB to what the window's scale allows, which
    /// was agreed on for [`crate::Config::tcp_buffer_max`]. What the peer was offered stays
    /// offered.
    pub fn tcp_set_receive_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.core
            .change(connection, |machine| machine.set_receive_max(bytes))
    }
}

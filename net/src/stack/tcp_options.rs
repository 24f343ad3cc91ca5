//! Options of a connection that few programs set.

use super::Stack;
use crate::sockets::Socket;
use crate::tcp::machine::TcpOptions;
use crate::types::{Congestion, Error, Handle};

impl Stack {
    /// Chooses what a connection does, from now on as far as its SYN hasn't settled it; or the
    /// connections that a listener establishes, or the one that begins from [`Stack::tcp_bind`].
    /// The state of a new one is [`TcpOptions::default`].
    pub fn tcp_set_options(&mut self, handle: Handle, options: &TcpOptions) -> Result<(), Error> {
        if let Some(Socket::Listener(listener)) = self.sockets.owned_mut(handle) {
            listener.options = *options;
            return Ok(());
        }
        self.sockets
            .change(handle, |machine| machine.set_options(options))
    }

    /// Returns the options in force; the defaults once the connection is over. [`Stack::tcp_info`]
    /// has the options that both ends negotiated.
    pub fn tcp_options(&self, handle: Handle) -> Result<TcpOptions, Error> {
        if let Some(Socket::Listener(listener)) = self.sockets.owned(handle) {
            return Ok(listener.options);
        }
        let machine = self.sockets.machine(handle)?;
        Ok(machine.map_or(TcpOptions::default(), |machine| machine.options()))
    }

    /// Chooses how the sending rate of a connection is found, from now on. A new connection has
    /// [`crate::Config::congestion`].
    pub fn tcp_set_congestion(
        &mut self,
        connection: Handle,
        congestion: Congestion,
    ) -> Result<(), Error> {
        self.sockets
            .change(connection, |machine| machine.set_congestion(congestion))
    }

    /// How many bytes may be written and not acknowledged: 4 KiB to 1 GiB, brought into that range;
    /// less while memory is scarce. What is there already stays. A new connection has 64 KiB, and
    /// more as its path needs it, up to [`crate::Config::tcp_buffer_max`].
    pub fn tcp_set_send_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.sockets
            .change(connection, |machine| machine.set_send_max(bytes))
    }

    /// How many bytes may wait to be read, at most: 4 KiB to what the window's scale allows, which
    /// was agreed on for [`crate::Config::tcp_buffer_max`]. What the peer was offered stays
    /// offered.
    pub fn tcp_set_receive_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.sockets
            .change(connection, |machine| machine.set_receive_max(bytes))
    }
}

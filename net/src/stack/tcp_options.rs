//! Options of a connection that few programs set.

use super::Stack;
use crate::sockets::Socket;
use crate::tcp::machine::TcpOptions;
use crate::types::{Congestion, Error, Handle};

impl Stack {
    /// Sets options of a connection, in force from now on unless its SYN has fixed them. On a
    /// listener or a handle of [`Stack::tcp_bind`], sets those of its connections. The default is
    /// [`TcpOptions::default`].
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

    /// Selects the congestion control of a connection from now on. The default is
    /// [`crate::Config::congestion`].
    pub fn tcp_set_congestion(
        &mut self,
        connection: Handle,
        congestion: Congestion,
    ) -> Result<(), Error> {
        self.sockets
            .change(connection, |machine| machine.set_congestion(congestion))
    }

    /// Sets the send buffer: bytes written and not acknowledged, clamped to 4 KiB to 1 GiB; less
    /// while memory is scarce. Buffered data stays. A new connection has 64 KiB, and grows as its
    /// path needs it, up to [`crate::Config::tcp_buffer_max`].
    pub fn tcp_set_send_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.sockets
            .change(connection, |machine| machine.set_send_max(bytes))
    }

    /// Sets the receive buffer: the maximum of unread bytes, from 4 KiB to the limit of the window
    /// scale negotiated for [`crate::Config::tcp_buffer_max`]. The window offered to the peer
    /// doesn't shrink.
    pub fn tcp_set_receive_buffer(&mut self, connection: Handle, bytes: u32) -> Result<(), Error> {
        self.sockets
            .change(connection, |machine| machine.set_receive_max(bytes))
    }
}

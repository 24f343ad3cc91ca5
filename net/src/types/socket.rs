//! Types, readiness and wake-up conditions of sockets.

/// The operations on a socket that would not block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read returns data, end of input or an error; an accept returns a connection; a datagram is
    /// available.
    pub readable: bool,
    /// A write accepts data or returns an error; a connect has completed, successfully or not.
    pub writable: bool,
    /// Both directions of the connection are closed.
    pub hangup: bool,
    /// The connection failed; [`Stack::socket_error`](crate::Stack::socket_error) returns the
    /// reason.
    pub error: bool,
}

/// Type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A TCP listener.
    Listener,
    /// A TCP connection.
    Connection,
    /// A UDP socket.
    Udp,
    /// A socket for raw frames.
    Ethernet,
    /// An echo request.
    Ping,
}

/// Directions that the owner of a socket waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WakeFlags {
    /// The owner gets an event once the socket is readable.
    pub(crate) read: bool,
    /// The owner gets an event once the socket is writable.
    pub(crate) write: bool,
    /// The list of events contains the handle.
    pub(crate) listed: bool,
}

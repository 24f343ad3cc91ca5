//! Sockets as their owner sees them: type, readiness, and what wakes the owner.

/// The operations on a socket that would not block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read gives bytes, end of input or an error; an accept gives a connection; a datagram is
    /// there.
    pub readable: bool,
    /// A write takes bytes or gives an error; a connect has finished, well or not.
    pub writable: bool,
    /// Both directions of the connection are over.
    pub hangup: bool,
    /// The connection failed; [`Stack::socket_error`](crate::Stack::socket_error) tells why.
    pub error: bool,
}

/// The type of the socket that a handle names.
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

/// The directions that the owner of a socket waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WakeFlags {
    /// Named as an event once it is readable.
    pub(crate) read: bool,
    /// Named as an event once it is writable.
    pub(crate) write: bool,
    /// The handle is in the list of events.
    pub(crate) listed: bool,
}

//! The one error type of the stack.

use core::fmt;

/// Why an operation did not succeed.
///
/// `WouldBlock` is no failure: the operation is to be tried again when
/// [`crate::Stack::take_events`] names the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// Not yet; an event will tell.
    WouldBlock,
    /// The handle was closed, or never given out.
    BadHandle,
    /// The handle names a socket of another kind, or the socket is in the wrong state for this.
    InvalidOperation,
    /// An argument makes no sense: port 0 of a peer, a multicast address for TCP, an empty name.
    InvalidArgument,
    /// Another socket has this local address and port.
    AddressInUse,
    /// No interface has this local address.
    AddressNotAvailable,
    /// No ephemeral port is left for this peer.
    PortsExhausted,
    /// The peer answered the SYN with RST.
    ConnectionRefused,
    /// The peer sent RST on an established connection.
    ConnectionReset,
    /// The connection was taken down on this side (its address was lost, or it was aborted).
    ConnectionAborted,
    /// The peer did not answer, or stopped answering, for longer than the time allowed.
    TimedOut,
    /// There is no route to the peer, or no machine on the link answers for it (ARP, neighbor
    /// discovery), or a router said so (ICMP).
    Unreachable,
    /// The connection is not established yet.
    NotConnected,
    /// The sending side was shut down.
    BrokenPipe,
    /// The datagram does not fit the socket's queue or the path.
    MessageTooLong,
    /// The memory set aside for sockets is used up, or a table is full.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::WouldBlock => "operation would block",
            Error::BadHandle => "no such socket",
            Error::InvalidOperation => "operation not possible on this socket",
            Error::InvalidArgument => "invalid argument",
            Error::AddressInUse => "address in use",
            Error::AddressNotAvailable => "address not available on any interface",
            Error::PortsExhausted => "no free local port",
            Error::ConnectionRefused => "connection refused",
            Error::ConnectionReset => "connection reset by peer",
            Error::ConnectionAborted => "connection aborted",
            Error::TimedOut => "timed out",
            Error::Unreachable => "host unreachable",
            Error::NotConnected => "not connected",
            Error::BrokenPipe => "sending side is shut down",
            Error::MessageTooLong => "message too long",
            Error::OutOfMemory => "out of network memory",
        })
    }
}

impl core::error::Error for Error {}

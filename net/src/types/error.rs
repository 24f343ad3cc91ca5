//! Error type of the stack.

use core::fmt;

/// Reasons why an operation didn't succeed.
///
/// `WouldBlock` is no failure: retry the operation when [`crate::Stack::take_events`] reports the
/// handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// Not ready; an event follows.
    WouldBlock,
    /// The handle is closed, or was never issued.
    BadHandle,
    /// The socket has another type, or is in the wrong state for the operation.
    InvalidOperation,
    /// An argument is invalid: port 0 of a peer, a multicast address for TCP, an empty name.
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
    /// The connection was aborted locally (its address was lost, or the program aborted it).
    ConnectionAborted,
    /// The peer did not answer, or stopped answering, for longer than the time allowed.
    TimedOut,
    /// There is no route to the peer, or no host on the link answers for it (ARP, neighbor
    /// discovery), or a router reported it unreachable (ICMP).
    Unreachable,
    /// The connection is not established yet.
    NotConnected,
    /// The sending side was shut down.
    BrokenPipe,
    /// The datagram exceeds the socket's queue or the path's limit.
    MessageTooLong,
    /// The memory for sockets is used up, or a table is full.
    OutOfMemory,
    /// The system that has the sockets doesn't permit it, such as a port below 1024. A stack
    /// permits all.
    PermissionDenied,
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
            Error::PermissionDenied => "not permitted by the host",
        })
    }
}

impl core::error::Error for Error {}

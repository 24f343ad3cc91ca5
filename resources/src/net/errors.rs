//! Converts failures of the stack to those of the interface.

use alloc::format;
use platform::error::{Error, Failure, Stop};

/// Returns a failure with its message.
pub fn refused(failure: ::net::Error) -> Failure {
    Failure::new(error(failure), format!("{failure}"))
}

/// Returns the error code of a failure.
pub fn error(error: ::net::Error) -> Error {
    use ::net::Error as E;
    match error {
        E::BadHandle => Error::Closed,
        E::InvalidOperation => Error::WrongKind,
        E::AddressInUse => Error::AddressInUse,
        E::AddressNotAvailable => Error::AddressNotAvailable,
        E::PortsExhausted => Error::TooManyOpen,
        E::ConnectionRefused => Error::ConnectionRefused,
        E::ConnectionReset | E::ConnectionAborted => Error::ConnectionReset,
        E::TimedOut => Error::TimedOut,
        E::Unreachable => Error::Unreachable,
        E::NotConnected => Error::NotConnected,
        E::BrokenPipe => Error::BrokenPipe,
        E::MessageTooLong => Error::MessageTooLong,
        E::OutOfMemory => Error::OutOfMemory,
        E::PermissionDenied => Error::PermissionDenied,
        _ => Error::Invalid,
    }
}

/// Returns the code of a failure where the stack may also report that an operation would block.
pub fn stop(failure: ::net::Error) -> Stop {
    match failure {
        ::net::Error::WouldBlock => Stop::WouldBlock,
        failure => error(failure).into(),
    }
}

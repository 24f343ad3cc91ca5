//! The network.

use crate::error::{Answer, Error};
use crate::runtime::Runtime;
use crate::table::Fd;
use crate::ty::Int;

/// See the function of that name in `abi`.
pub fn up(_rt: &mut Runtime, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn interfaces(_rt: &mut Runtime) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn interface(_rt: &mut Runtime, _index: Int, _into: &mut [u8]) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn local(_rt: &mut Runtime, _fd: Fd, _into: &mut [u8]) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn peer(_rt: &mut Runtime, _fd: Fd, _into: &mut [u8]) -> Answer {
    Err(Error::Unsupported.into())
}

/// tcp.
pub mod tcp {
    use super::{Answer, Error, Fd, Int, Runtime};

    /// See the function of that name in `abi`.
    pub fn listen(_rt: &mut Runtime, _endpoint: &[u8], _backlog: Int) -> Answer {
        Err(Error::Unsupported.into())
    }

    /// See the function of that name in `abi`.
    pub fn accept(_rt: &mut Runtime, _fd: Fd) -> Answer {
        Err(Error::Unsupported.into())
    }

    /// See the function of that name in `abi`.
    pub fn connect(_rt: &mut Runtime, _endpoint: &[u8]) -> Answer {
        Err(Error::Unsupported.into())
    }

    /// See the function of that name in `abi`.
    pub fn connected(_rt: &mut Runtime, _fd: Fd) -> Answer {
        Err(Error::Unsupported.into())
    }

    /// See the function of that name in `abi`.
    pub fn set_nodelay(_rt: &mut Runtime, _fd: Fd, _on: bool) -> Answer {
        Err(Error::Unsupported.into())
    }

    /// See the function of that name in `abi`.
    pub fn keepalive(_rt: &mut Runtime, _fd: Fd, _ns: u64) -> Answer {
        Err(Error::Unsupported.into())
    }

    /// See the function of that name in `abi`.
    pub fn abort(_rt: &mut Runtime, _fd: Fd) -> Answer {
        Err(Error::Unsupported.into())
    }
}

/// udp.
pub mod udp {
    use super::{Answer, Error, Fd, Runtime};

    /// See the function of that name in `abi`.
    pub fn bind(_rt: &mut Runtime, _endpoint: &[u8]) -> Answer {
        Err(Error::Unsupported.into())
    }

    /// See the function of that name in `abi`.
    pub fn send(_rt: &mut Runtime, _fd: Fd, _to: &[u8], _from: &[u8]) -> Answer {
        Err(Error::Unsupported.into())
    }

    /// See the function of that name in `abi`.
    pub fn receive(
        _rt: &mut Runtime,
        _fd: Fd,
        _into: &mut [u8],
    ) -> Result<(usize, [u8; 18]), crate::error::Stop> {
        Err(Error::Unsupported.into())
    }
}

/// dns.
pub mod dns {
    use super::{Answer, Error, Int, Runtime};

    /// See the function of that name in `abi`.
    pub fn lookup(
        _rt: &mut Runtime,
        _name: &str,
        _family: Int,
        _results: crate::ty::Piece,
        _token: Int,
    ) -> Answer {
        Err(Error::Unsupported.into())
    }
}

//! Files and directories.

use crate::error::{Answer, Error};
use crate::runtime::Runtime;
use crate::table::Fd;
use crate::ty::{Int, IntsPiece, Piece};

/// See the function of that name in `abi`.
pub fn open(_rt: &mut Runtime, _path: &str, _flags: Int, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn read(_rt: &mut Runtime, _fd: Fd, _into: Piece, _position: Int, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn write(_rt: &mut Runtime, _fd: Fd, _from: Piece, _position: Int, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn size(_rt: &mut Runtime, _fd: Fd, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn truncate(_rt: &mut Runtime, _fd: Fd, _size: u64, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn seek(_rt: &mut Runtime, _fd: Fd, _offset: Int, _whence: Int, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn file_sync(_rt: &mut Runtime, _fd: Fd, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn stat(_rt: &mut Runtime, _path: &str, _into: IntsPiece, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn directory(_rt: &mut Runtime, _path: &str, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn directory_next(_rt: &mut Runtime, _fd: Fd, _into: Piece, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn mkdir(_rt: &mut Runtime, _path: &str, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn remove_directory(_rt: &mut Runtime, _path: &str, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn rename(_rt: &mut Runtime, _from: &str, _to: &str, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn unlink(_rt: &mut Runtime, _path: &str, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn sync(_rt: &mut Runtime, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn space(_rt: &mut Runtime, _path: &str, _into: IntsPiece, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

/// See the function of that name in `abi`.
pub fn mount(_rt: &mut Runtime, _spec: &str, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}

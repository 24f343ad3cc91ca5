//! Block devices.

use crate::error::{Answer, Error};
use crate::runtime::Runtime;
use crate::table::Fd;
use crate::ty::{Int, Piece};

/// See `soil_block_open`.
pub fn open(_rt: &mut Runtime, _name: &str, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}
/// See `soil_block_info`.
pub fn info(_rt: &mut Runtime, _fd: Fd) -> Result<[Int; 4], Error> {
    Err(Error::Unsupported)
}
/// See `soil_block_read`.
pub fn read(_rt: &mut Runtime, _fd: Fd, _sector: u64, _into: Piece, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}
/// See `soil_block_write`.
pub fn write(_rt: &mut Runtime, _fd: Fd, _sector: u64, _from: Piece, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}
/// See `soil_block_flush`.
pub fn flush(_rt: &mut Runtime, _fd: Fd, _token: Int) -> Answer {
    Err(Error::Unsupported.into())
}
/// See `soil_block_name`.
pub fn name(_rt: &mut Runtime, _index: Int, _into: &mut [u8]) -> Answer {
    Err(Error::NotFound.into())
}

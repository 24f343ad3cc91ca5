//! The program's memory: the kernel's checked functions, with errors as numbers.

use crate::errors::Result;
use kernel::memory as program;
pub use kernel::memory::is_empty;

/// The `len` bytes at `start`, for reading.
pub fn bytes<'a>(start: u64, len: u64) -> Result<&'a [u8]> {
    Ok(program::bytes(start, len)?)
}

/// The `len` bytes at `start`, for writing.
pub fn bytes_mut<'a>(start: u64, len: u64) -> Result<&'a mut [u8]> {
    Ok(program::bytes_mut(start, len)?)
}

/// The path at `start`.
pub fn path<'a>(start: u64) -> Result<&'a [u8]> {
    Ok(program::path(start)?)
}

/// Copies `data` to the buffer of `room` bytes at `start`.
pub fn copy_out(start: u64, room: u64, data: &[u8]) -> Result<()> {
    Ok(program::copy_out(start, room, data)?)
}

/// Stores words at `start`.
pub fn store(start: u64, words: &[u64]) -> Result<u64> {
    Ok(program::store(start, words)?)
}

/// Loads words from `start`.
pub fn load<const N: usize>(start: u64) -> Result<[u64; N]> {
    Ok(program::load(start)?)
}

/// As [`store`], while another call may take the memory away.
pub fn store_shared(start: u64, words: &[u64]) -> Result<u64> {
    Ok(program::store_shared(start, words)?)
}

/// As [`load`], while another call may take the memory away.
pub fn load_shared<const N: usize>(start: u64) -> Result<[u64; N]> {
    Ok(program::load_shared(start)?)
}

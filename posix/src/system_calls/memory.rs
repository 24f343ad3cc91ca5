//! The program's memory: the kernel's checked functions, with errors as numbers.

use super::from_kernel;
use crate::errors::{Errno, Result};
use kernel::memory as program;
pub use kernel::memory::is_empty;

/// See [`from_kernel`].
pub fn number(errno: kernel::errno::Errno) -> Errno {
    from_kernel(errno)
}

/// The `len` bytes at `start`, for reading.
pub fn bytes<'a>(start: u64, len: u64) -> Result<&'a [u8]> {
    program::bytes(start, len).map_err(number)
}

/// The `len` bytes at `start`, for writing.
pub fn bytes_mut<'a>(start: u64, len: u64) -> Result<&'a mut [u8]> {
    program::bytes_mut(start, len).map_err(number)
}

/// The path at `start`.
pub fn path<'a>(start: u64) -> Result<&'a [u8]> {
    program::path(start).map_err(number)
}

/// Stores words at `start`.
pub fn store(start: u64, words: &[u64]) -> Result<u64> {
    program::store(start, words).map_err(number)
}

/// Loads words from `start`.
pub fn load<const N: usize>(start: u64) -> Result<[u64; N]> {
    program::load(start).map_err(number)
}

//! File system in memory, lost when the program ends: for `/tmp`.
//!
//! Takes at most the given number of bytes, names and records of files included, and fails with
//! [`NoSpace`](crate::Error::NoSpace) beyond. Contents are in chunks of 16 KiB, allocated when
//! first written. Supports hard and symbolic links; a file that is removed or replaced while it is
//! open exists until it is closed. Listings are in order of creation, and keep their position while
//! entries are added and removed.

mod contents;
mod memory_volume;
mod nodes;

use alloc::boxed::Box;

use crate::{Clock, Volume};

/// Creates an empty file system that may take `limit_bytes` of memory. Without a clock, all times
/// are 1970-01-01.
pub fn new(limit_bytes: u64, clock: Option<&'static Clock>) -> Box<dyn Volume> {
    Box::new(memory_volume::Memory::new(limit_bytes, clock))
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

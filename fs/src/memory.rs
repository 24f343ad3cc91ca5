//! A file system in memory, gone when the program ends: for `/tmp`.
//!
//! It holds at most the bytes that it was given, names and records of files included, and says
//! [`NoSpace`](crate::Error::NoSpace) beyond. Contents are kept in chunks of 16 KiB, of which only
//! those exist that were written to. Hard and symbolic links; a file that is removed or replaced
//! while it is open lives on until it is closed. Listings are in the order in which entries were
//! made, and don't lose their place when others come and go.

mod contents;
mod nodes;
mod volume;

use alloc::boxed::Box;

use crate::{Clock, Volume};

/// An empty file system that may take `limit_bytes` of memory. Without a clock, everything is
/// dated 1970-01-01.
pub fn new(limit_bytes: u64, clock: Option<&'static Clock>) -> Box<dyn Volume> {
    Box::new(volume::Memory::new(limit_bytes, clock))
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

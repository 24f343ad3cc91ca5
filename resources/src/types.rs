//! The types of arguments and results: numbers, memory, and records of numbers.

pub mod constants;
mod memory;
pub mod records;

#[cfg(test)]
pub use memory::fake;
pub use memory::{Before, IntsPiece, Piece, Proxy, View, copy};

/// A number of the program's: 63 significant bits.
pub type Int = isize;

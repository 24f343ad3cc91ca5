//! Access to a running program, whichever form it has.

/// The memory of the program.
pub trait Access {
    /// Reads bytes, all of them or none.
    fn read(&mut self, address: u64, len: u64) -> Option<Vec<u8>>;
    /// Writes a word.
    fn write(&mut self, address: u64, word: u64) -> Option<()>;
}

//! Access to a running program of either form.

/// The memory of the program.
pub trait Access {
    /// Reads `len` bytes; `None` unless all are readable.
    fn read(&mut self, address: u64, len: u64) -> Option<Vec<u8>>;
    /// Writes a word.
    fn write(&mut self, address: u64, word: u64) -> Option<()>;
}

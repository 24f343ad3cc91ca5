//! A signal's handler, and what a frame has of it on every architecture.

/// A handler that is to run.
pub struct Handler {
    /// The signal's number.
    pub signal: u64,
    /// Address of the function.
    pub function: u64,
    /// The mask to restore after it.
    pub mask: u64,
    /// `si_code`, `si_pid` and `si_uid`, `si_value`.
    pub information: [u64; 3],
}

impl Handler {
    /// Writes the handler to a frame, which has the mask and the information at these words.
    #[inline(always)]
    pub fn fill(&self, words: &mut [u64], mask: usize, information: usize) {
        words[0] = self.signal;
        words[1] = self.function;
        words[mask] = self.mask;
        words[information] = self.signal;
        words[information + 1..information + 4].copy_from_slice(&self.information);
    }
}

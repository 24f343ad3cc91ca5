//! A signal's handler, and what a frame has of it on every architecture.

use super::signals::{FRAME, INFORMATION, MASK};

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
    /// Sets what a frame has of the handler.
    #[inline(always)]
    pub fn fill(&self, words: &mut [u64; FRAME]) {
        words[0] = self.signal;
        words[1] = self.function;
        words[MASK] = self.mask;
        words[INFORMATION] = self.signal;
        [
            words[INFORMATION + 1],
            words[INFORMATION + 2],
            words[INFORMATION + 3],
        ] = self.information;
    }
}

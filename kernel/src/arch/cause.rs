//! The cause of a trap.

/// Why a trap happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An access that the page tables don't allow.
    PageFault {
        /// The address.
        address: u64,
        /// It was a write.
        write: bool,
        /// It was the fetch of an instruction.
        fetch: bool,
    },
    /// Any other exception.
    Exception,
    /// An interrupt of a device or the timer.
    Interrupt,
}

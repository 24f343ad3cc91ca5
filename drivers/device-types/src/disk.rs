//! Disks.

/// Operation on sectors that transfers no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// Discards the sectors; later reads return unspecified data.
    Discard,
    /// Zeroes the sectors.
    Zeroes {
        /// The disk may deallocate the sectors.
        unmap: bool,
    },
}

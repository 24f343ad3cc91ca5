//! Handles of sockets.

/// Identifies one socket: a listener, a connection or a UDP socket.
///
/// A closed handle never identifies another socket (for 2^32 reuses of its slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Handle {
    /// Returns the handle as a number, for tables of the caller.
    pub fn to_raw(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Converts a number to a handle. Operations on one that was never issued return
    /// [`crate::Error::BadHandle`].
    pub fn from_raw(raw: u64) -> Handle {
        Handle {
            index: raw as u32,
            generation: (raw >> 32) as u32,
        }
    }
}

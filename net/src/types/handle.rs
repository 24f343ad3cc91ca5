//! Handles: names of sockets.

/// Names one socket: a listener, a connection or a UDP socket.
///
/// A handle that was closed never names another socket again (for 2^32 reuses of its place).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Handle {
    /// The handle as a number, for tables of the caller.
    pub fn to_raw(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The handle of a number; one that was never given out is answered with
    /// [`crate::Error::BadHandle`] where it is used.
    pub fn from_raw(raw: u64) -> Handle {
        Handle {
            index: raw as u32,
            generation: (raw >> 32) as u32,
        }
    }
}

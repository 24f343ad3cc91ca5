//! The operations on the host, with volumes in memory.

//! Sending without a transport.

use super::Error;

/// Sends on a connection without the transport, which others use meanwhile. From any thread.
pub trait Sender: Send + Sync {
    /// Sends a part of `data`, at least one byte of it, and returns its length. Doesn't block. An
    /// answer other than the whole length is for `Transport::tcp_sent`.
    ///
    /// # Errors
    /// Those of [`Stack::tcp_write`](crate::Stack::tcp_write).
    fn send(&self, data: &[u8]) -> Result<usize, Error>;
}

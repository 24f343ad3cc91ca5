//! Received bytes that the program reads in place, for longer than a call.

use super::machine::Block;

/// The first bytes that a connection had received, taken out of its buffer without a copy.
///
/// They count as used memory until [`Stack::tcp_return`](crate::Stack::tcp_return), so that a
/// program which keeps leases makes all windows smaller. Dropping one leaves its bytes counted for
/// good.
#[must_use = "its memory is counted until it is given back with Stack::tcp_return"]
pub struct Lease(pub(crate) Block);

impl Lease {
    /// The bytes, at least one. They are the holder's to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

//! Received bytes that the program reads in place, for longer than a call.

use super::machine::Block;

/// The first bytes in a connection's receive buffer, taken out without a copy.
///
/// They count as used memory until [`Stack::tcp_return`](crate::Stack::tcp_return), so that a
/// program that keeps leases shrinks all windows. The bytes of a dropped lease count forever.
#[must_use = "its memory is counted until it is given back with Stack::tcp_return"]
pub struct Lease(pub(crate) Block);

impl Lease {
    /// A lease of a copy of `bytes`, at most 65 535, for a [`Transport`](crate::Transport) whose
    /// memory can't be leased. `None` if there is no memory.
    pub fn copied(bytes: &[u8]) -> Option<Lease> {
        let mut block = Block::try_new(bytes.len())?;
        block.append(bytes);
        Some(Lease(block))
    }

    /// The bytes, at least one. The holder may change them.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

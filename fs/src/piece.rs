//! Chunks of memory in the page cache, which leases keep.

use alloc::sync::Arc;
use core::ops::Deref;

use crate::budget::CacheBudget;
use crate::buffer::Buffer;

/// Bytes in a chunk.
pub(crate) const CHUNK: usize = 64 << 10;

/// Memory of a chunk with its bookkeeping.
pub(crate) const COST: usize = CHUNK + 1024;

/// Memory of a chunk, with its share of the budget; lives until the last reference is dropped.
pub(crate) struct Piece {
    pub data: Buffer,
    budget: &'static CacheBudget,
}

impl Piece {
    /// `None` when the budget or memory is exhausted.
    pub fn new(budget: &'static CacheBudget) -> Option<Arc<Self>> {
        if !budget.take(COST) {
            return None;
        }
        let mut piece = Self {
            data: Buffer::default(),
            budget,
        };
        piece.data.try_grow_optional(CHUNK).then(|| Arc::new(piece))
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.budget.release(COST);
    }
}

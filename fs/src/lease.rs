//! Leases: contents of files, read in place.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Deref, Range};

use crate::Error;
use crate::piece::Piece;

/// Bytes to copy at once if a file system has no stable memory to lend.
const COPIED: usize = 64 << 10;

/// Bytes of a file as they were when they were lent ([`crate::Volume::lend`]): no write to the file
/// changes them, nor does closing or removing it. A lease keeps their memory until it is dropped.
pub struct Lease(Memory);

enum Memory {
    /// Part of a volume's cache; its budget still counts the memory.
    Cached(Arc<Piece>, Range<usize>),
    /// Part of a file in memory, or a copy.
    Shared(Arc<Vec<u8>>, Range<usize>),
    /// Part of the program image.
    Always(&'static [u8]),
}

impl Lease {
    pub(crate) fn cached(piece: Arc<Piece>, range: Range<usize>) -> Self {
        Self(Memory::Cached(piece, range))
    }

    pub(crate) fn shared(bytes: Arc<Vec<u8>>, range: Range<usize>) -> Self {
        Self(Memory::Shared(bytes, range))
    }

    pub(crate) fn always(bytes: &'static [u8]) -> Self {
        Self(Memory::Always(bytes))
    }

    /// Creates a lease of `len` bytes that `read` copies, or of fewer if `read` returns fewer.
    pub(crate) fn copied(
        len: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, Error>,
    ) -> Result<Self, Error> {
        let len = len.min(COPIED);
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(len)
            .map_err(|_| Error::OutOfMemory)?;
        bytes.resize(len, 0);
        let count = read(&mut bytes)?;
        Ok(Self::shared(Arc::new(bytes), 0..count.min(len)))
    }

    /// Whether the bytes are part of the program image, so that lending them takes no memory.
    pub fn is_always(&self) -> bool {
        matches!(self.0, Memory::Always(_))
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Cached(piece, range) => piece.get(range.clone()).unwrap_or_default(),
            Memory::Shared(bytes, range) => bytes.get(range.clone()).unwrap_or_default(),
            Memory::Always(bytes) => bytes,
        }
    }
}

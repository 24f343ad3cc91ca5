//! Leases: bytes of files that are read where they lie.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Deref, Range};

use crate::cache::Piece;
use crate::{Error, FileId, Volume, fat};

/// Bytes that are copied at once where a file system has none that stay where they are.
const COPIED: usize = 64 << 10;

/// Bytes of a file as they were when they were lent ([`lend`]): a write to the file doesn't change
/// them, nor does closing or removing it. Their memory is kept until this is dropped.
pub struct Lease(Memory);

enum Memory {
    /// A part of a volume's cache, which goes on counting in its budget.
    Cached(Arc<Piece>, Range<usize>),
    /// A part of a file in memory, or a copy.
    Shared(Arc<Vec<u8>>, Range<usize>),
    /// A part of the program itself.
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

    /// `len` bytes that `read` copies, or fewer if it says so.
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

    /// Whether they are part of the program, so that lending them takes no memory.
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

/// Lends at most `len` bytes of a file from byte `offset` on where they lie, after having read what
/// isn't in memory: adds them to `out` in their order, nothing at or past the end of the file.
/// There may be fewer than `len`, and at least one before the end. What has no memory that can be
/// lent, as zeros that take no room, or contents that aren't kept, is copied first.
///
/// What is lent stays as it is, whatever becomes of the file. Errors are those of
/// [`Volume::read_at`].
pub fn lend(
    volume: &mut dyn Volume,
    file: FileId,
    offset: u64,
    len: usize,
    out: &mut Vec<Lease>,
) -> Result<(), Error> {
    match fat::lend(volume, file, offset, len, out) {
        Some(lent) => lent,
        None => volume.lend(file, offset, len, out),
    }
}

/// What [`Volume::lend`] does of itself: copies what there is, unless `out` has something already.
pub(crate) fn or_copy<V: Volume + ?Sized>(
    volume: &mut V,
    file: FileId,
    offset: u64,
    len: usize,
    out: &mut Vec<Lease>,
) -> Result<(), Error> {
    if out.is_empty() {
        let copy = Lease::copied(len, |bytes| volume.read_at(file, offset, bytes))?;
        if !copy.is_empty() {
            out.push(copy);
        }
    }
    Ok(())
}

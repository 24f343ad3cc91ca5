//! The interface to the memory that all connections share. The stack implements it.

use alloc::vec::Vec;

/// Bytes of a small block: an Ethernet segment fits.
pub(crate) const SMALL: usize = 2 << 10;
/// Bytes of a large block, for streams.
pub(crate) const LARGE: usize = 16 << 10;
/// Bytes of received data that a connection may hold regardless of the budget, so that it doesn't
/// stall.
pub(crate) const GUARANTEED: usize = 2 * SMALL;

/// Memory pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// Windows grow as paths need.
    #[default]
    None,
    /// Windows stop growing, and shrink as far as possible without taking back what was offered.
    Moderate,
    /// Data out of order is dropped, other data is accepted up to [`GUARANTEED`] per connection.
    Hard,
}

/// Memory for the data of connections.
pub(crate) trait Budget {
    /// An empty block of `SMALL` bytes (`wanted` ≤ `SMALL`) or `LARGE` ones; `None` if the budget
    /// is used up. Counts its capacity until it is returned.
    fn block(&mut self, wanted: usize) -> Option<Block>;
    /// A block of `SMALL` bytes that is never refused: a connection holds at most [`GUARANTEED`] in
    /// each direction.
    fn guaranteed(&mut self) -> Block;
    /// Returns a block.
    fn recycle(&mut self, block: Block);
    /// Counts `bytes` that the program allocated (shared buffers); `false` if there is no room.
    fn take(&mut self, bytes: usize) -> bool;
    /// Undoes [`Budget::take`].
    fn give(&mut self, bytes: usize);
    /// Memory pressure now.
    fn pressure(&self) -> Pressure;
}

/// Bytes to be sent without a copy: held until they are acknowledged, then dropped.
pub trait SendBuffer: Send + Sync {
    /// The bytes; each call returns the same.
    fn bytes(&self) -> &[u8];
    /// The peer has acknowledged all of them. Called before they are dropped, unless the connection
    /// ended first.
    fn acknowledged(&self) {}
}

/// A memory block with its bytes in the middle.
pub(crate) struct Block {
    /// Never longer than `capacity`, so that it is never reallocated. Memory is touched only when
    /// bytes are written to it.
    bytes: Vec<u8>,
    capacity: u16,
    first: u16,
    end: u16,
}

impl core::fmt::Debug for Block {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Block({}..{} of {})",
            self.first,
            self.end,
            self.capacity()
        )
    }
}

impl Block {
    /// A new block with room for `capacity` bytes, at most 65 535.
    pub(crate) fn new(capacity: usize) -> Block {
        let capacity = capacity.min(usize::from(u16::MAX)) as u16;
        Block {
            bytes: Vec::with_capacity(usize::from(capacity)),
            capacity,
            first: 0,
            end: 0,
        }
    }

    /// The same, if there is memory for it.
    pub(crate) fn try_new(capacity: usize) -> Option<Block> {
        let mut block = Block::new(0);
        block.bytes.try_reserve_exact(capacity).ok()?;
        block.capacity = capacity.min(usize::from(u16::MAX)) as u16;
        Some(block)
    }

    /// Bytes of memory.
    pub(crate) fn capacity(&self) -> usize {
        usize::from(self.capacity)
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.end - self.first)
    }

    /// Room after the bytes.
    pub(crate) fn room(&self) -> usize {
        usize::from(self.capacity - self.end)
    }

    /// Removes all bytes.
    pub(crate) fn clear(&mut self) {
        self.first = 0;
        self.end = 0;
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
            .get(usize::from(self.first)..usize::from(self.end))
            .unwrap_or_default()
    }

    /// The bytes, mutable.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(usize::from(self.first)..usize::from(self.end))
            .unwrap_or_default()
    }

    /// Appends as much as there is room for; returns its length.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room());
        let bytes = bytes.get(..len).unwrap_or_default();
        // Older contents are overwritten.
        self.bytes.truncate(usize::from(self.end));
        self.bytes.extend_from_slice(bytes);
        self.end += len as u16;
        len
    }

    /// Removes up to `len` bytes from the front.
    pub(crate) fn consume(&mut self, len: usize) {
        self.first += len.min(self.len()) as u16;
    }
}

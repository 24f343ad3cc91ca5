//! Physical memory, as the parsers read it, and its map.

/// A range of memory: `[start, end)`, physical addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// Reads physical memory by its addresses. The bytes stay unchanged while the slice lives.
pub trait Physical {
    /// The `len` bytes at `address`, or `None` if they can't be read.
    fn read(&self, address: u64, len: usize) -> Option<&[u8]>;
}

/// The loader's memory map.
pub trait MemoryMap {
    /// The usable regions, in the loader's order, without what the loader left and must still be
    /// read above the image. The map itself may be below.
    fn usable<M: Physical>(&self, memory: &M) -> impl Iterator<Item = Region>;
}

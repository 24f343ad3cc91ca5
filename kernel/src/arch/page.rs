//! Pages: their size, and their uses, which tables' entries express.

/// Bytes in a page and in a frame.
pub const PAGE: u64 = 4096;

/// The use of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Memory that is read and executed.
    Code,
    /// Memory that is only read.
    Constant,
    /// Memory that is read and written.
    Data,
    /// Registers of a device: accesses stay as they are, in order (on arm64 Device-nGnRE), and
    /// aren't cached. Not freed with the mapping.
    Registers,
    /// Memory that firmware or the host keeps, to be read: cached, as its writers have it. Not
    /// freed with the mapping.
    Firmware,
    /// Video memory: writes are combined after `cpu::enable_write_combining`; on arm64, whose hosts
    /// read through their caches, accesses are cached. Not freed with the mapping.
    Video,
}

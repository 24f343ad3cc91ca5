//! The optional parts of the table: their slots, and the operations that rows of every image
//! request from them.

use crate::errors::Result;
use kernel::part::Slot as _;
use kernel::syscall::SystemCall;

/// Files, pipes, timers and the like, and `poll`.
pub trait Files: Sync {
    /// The row of a call of this part.
    fn row(&self, number: u64) -> Option<SystemCall>;

    /// `fcntl` on locks.
    fn lock(&self, descriptor: u64, command: i32, record: u64) -> Result<u64>;

    /// `ppoll`.
    fn poll(&self, arguments: [u64; 6]) -> Result<u64>;

    /// `mmap` of a file.
    fn map(&self, arguments: [u64; 6]) -> Result<u64>;

    /// Unmaps one of several mappings that share memory: `false` for any other range.
    fn leave(&self, start: u64, len: u64) -> bool;

    /// Writes back memory that is about to be unmapped or replaced.
    fn forget(&self, start: u64, len: u64) -> Result<()>;

    /// Whether a range contains shared mappings, which can't be moved.
    fn is_shared(&self, start: u64, len: u64) -> bool;
}

kernel::slot! {
    /// The part with files, if it was linked.
    pub enum FilesSlot: &'static dyn Files = "files";
}

/// The part with files, if it was linked.
pub fn files() -> Option<&'static dyn Files> {
    FilesSlot::parts().first().copied()
}

/// Sockets.
pub trait Sockets: Sync {
    /// The row of a call of this part.
    fn row(&self, number: u64) -> Option<SystemCall>;

    /// Writes the name servers into the file from which the C library reads them. Called before
    /// that file is opened.
    fn update_resolver(&self);
}

kernel::slot! {
    /// The part with sockets, if it was linked.
    pub enum SocketsSlot: &'static dyn Sockets = "sockets";
}

/// The part with sockets, if it was linked.
pub fn sockets() -> Option<&'static dyn Sockets> {
    SocketsSlot::parts().first().copied()
}

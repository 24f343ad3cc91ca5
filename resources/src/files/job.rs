//! Jobs: what a volume does for an operation, and what is made of the result.

use super::request::{Request, entry};
use super::resolution::Resolution;
use crate::types::{Int, IntsPiece, Piece, records};
use ::fs::Stat;
use alloc::boxed::Box;
use platform::error::Failure;

/// How an operation ends: with a number, or a failure.
pub type Ended = Result<usize, Failure>;

/// An open file or directory. The serial number tells it from a later one with the same key: a job
/// may end after its descriptor was closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpenId {
    /// The key in the table of open files.
    pub key: u32,
    /// No other open file ever has it.
    pub serial: u64,
}

/// How a job's value becomes the answer of an operation.
#[derive(Clone, Copy)]
pub enum Output {
    /// The number that the job gave.
    Number,
    /// A new descriptor.
    Descriptor {
        /// Of a directory.
        directory: bool,
        /// Writes go to the end.
        append: bool,
    },
    /// The number; the file's position, at which the job began, moves on.
    Position(OpenId),
    /// The file's new position: its size plus `offset`.
    End {
        /// The open file.
        file: OpenId,
        /// Bytes, negative for positions before the end.
        offset: i64,
    },
    /// Entries of a directory, packed there; its position moves on.
    Entries(OpenId, Piece),
    /// Attributes of a file, or address and length of its contents.
    Numbers(IntsPiece),
    /// The room on a volume, and a text about it.
    Space(IntsPiece, Piece),
    /// A text.
    Text(Piece),
    /// A lease of what the volume has lent.
    Lease,
}

/// Receiver of a job's result.
#[derive(Clone, Copy)]
pub enum Waiter {
    /// The result is dropped.
    None,
    /// The operation with this token.
    Operation(u64, Output),
    /// One volume's part of the `sync` of all volumes with this token.
    Sync(u64),
    /// A mount. If it fails the volume is forgotten.
    Mount(u64),
    /// An unmount. The volume is forgotten, or its mount point restored if it fails.
    Unmount(u64),
    /// A mount that has timed out: the volume is unmounted again.
    AbandonedMount,
    /// An unmount that has timed out.
    AbandonedUnmount,
}

impl Waiter {
    /// The operation's token; 0 if there is none.
    pub const fn token(self) -> u64 {
        match self {
            Waiter::Operation(token, _)
            | Waiter::Sync(token)
            | Waiter::Mount(token)
            | Waiter::Unmount(token) => token,
            Waiter::None | Waiter::AbandonedMount | Waiter::AbandonedUnmount => 0,
        }
    }

    /// The waiter that is left after the operation has been told that the job timed out.
    pub const fn abandoned(self) -> Waiter {
        match self {
            Waiter::None | Waiter::Operation(..) | Waiter::Sync(_) => Waiter::None,
            Waiter::Mount(_) | Waiter::AbandonedMount => Waiter::AbandonedMount,
            Waiter::Unmount(_) | Waiter::AbandonedUnmount => Waiter::AbandonedUnmount,
        }
    }
}

/// A request in the queue of its volume.
pub struct Job {
    /// Receiver of the result.
    pub waiter: Waiter,
    /// The work.
    pub request: Request,
    /// The path that it is a step of.
    pub resolution: Option<Box<Resolution>>,
}

impl Job {
    /// A job that is about no path.
    pub const fn new(waiter: Waiter, request: Request) -> Job {
        Job {
            waiter,
            request,
            resolution: None,
        }
    }
}

/// Writes what `soil_fs_stat` gives for a file of this volume. The operation that the memory
/// belongs to has not completed.
pub fn write_stat(into: IntsPiece, stat: &Stat, volume: Int) {
    let record = records::Stat {
        size: stat.size as Int,
        kind: entry(stat.kind),
        modified: stat.modified.seconds as Int,
        modified_ns: stat.modified.nanoseconds as Int,
        accessed: stat.accessed.seconds as Int,
        changed: stat.changed.seconds as Int,
        links: stat.links as Int,
        // OCaml's integers have a bit less.
        inode: (stat.inode & (u64::MAX >> 2)) as Int,
        read_only: stat.read_only.into(),
        accessed_ns: stat.accessed.nanoseconds as Int,
        changed_ns: stat.changed.nanoseconds as Int,
        volume,
    };
    // SAFETY: the operation has not completed.
    unsafe { into.fill(&record.numbers()) };
}

/// Writes as much of a text as fits; the length of all of it. The operation that the memory belongs
/// to has not completed.
pub fn write_text(text: &str, into: Piece) -> usize {
    // SAFETY: the operation has not completed.
    let into = unsafe { into.as_mut_slice() };
    for (to, from) in into.iter_mut().zip(text.as_bytes()) {
        *to = *from;
    }
    text.len()
}

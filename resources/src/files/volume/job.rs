//! Jobs: what a volume does for an operation, and what is made of the result.

pub mod request;
pub mod resolution;

use crate::Operations;
use crate::files::open_files::OpenId;
use crate::types::{IntsPiece, Piece};
use alloc::boxed::Box;
use platform::error::Failure;
use request::Request;
use resolution::Resolution;

/// How an operation ends: with a number, or a failure.
pub type Ended = Result<usize, Failure>;

/// How a job's value becomes the answer of an operation.
#[derive(Clone, Copy)]
pub enum Output {
    /// The number that the job gave.
    Number,
    /// A new descriptor.
    Descriptor {
        /// Its operations.
        operations: &'static Operations,
        /// Of a directory.
        directory: bool,
        /// Writes go to the end.
        append: bool,
    },
    /// The bytes of a transfer that began at the file's position, which moves to its end.
    Position(OpenId),
    /// The file's new position: its size plus `offset`.
    End {
        /// The open file.
        file: OpenId,
        /// Bytes, negative for positions before the end.
        offset: i64,
    },
    /// Entries of a directory, packed there; its position moves behind them.
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

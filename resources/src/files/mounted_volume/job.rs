//! Jobs: the work of a volume for an operation, and how its result is returned.

pub mod request;
pub mod resolution;

use crate::Operations;
use crate::files::open_files::OpenId;
use crate::types::{IntsPiece, Piece};
use alloc::boxed::Box;
use platform::error::Failure;
use request::Request;
use resolution::Resolution;

/// Result of an operation: a number, or a failure.
pub type Ended = Result<usize, Failure>;

/// How a job's value becomes the result of an operation.
#[derive(Clone, Copy)]
pub enum Output {
    /// The job's number.
    Number,
    /// A new descriptor.
    Descriptor {
        /// Operations of the descriptor.
        operations: &'static Operations,
        /// Whether it is a directory.
        directory: bool,
        /// Whether every write goes to the end of the file.
        append: bool,
    },
    /// Number of bytes of a transfer at the file's position, which advances to the end of the
    /// transfer.
    Position(OpenId),
    /// The file's new position: its size plus `offset`.
    End {
        /// The open file.
        file: OpenId,
        /// Offset in bytes, negative for positions before the end.
        offset: i64,
    },
    /// Packed directory entries; the position advances behind them.
    Entries(OpenId, Piece),
    /// Attributes of a file, or address and length of its contents.
    Numbers(IntsPiece),
    /// Space on a volume, and a text about it.
    Space(IntsPiece, Piece),
    /// A text.
    Text(Piece),
    /// A new lease of the slices that the volume has lent.
    Lease,
}

/// Receiver of a job's result.
#[derive(Clone, Copy)]
pub enum Waiter {
    /// Nobody: the result is dropped.
    None,
    /// The operation with this token.
    Operation(u64, Output),
    /// One volume's part of the `sync` of all volumes with this token.
    Sync(u64),
    /// One volume's part of the freeze with this number.
    Freeze(u32),
    /// A mount. The volume is removed if it fails.
    Mount(u64),
    /// An unmount. The volume is removed, or its mount point restored if it fails.
    Unmount(u64),
    /// A mount that timed out: the volume is unmounted again.
    AbandonedMount,
    /// An unmount that timed out.
    AbandonedUnmount,
}

impl Waiter {
    /// Returns the operation's token; 0 if there is none.
    pub const fn token(self) -> u64 {
        match self {
            Waiter::Operation(token, _)
            | Waiter::Sync(token)
            | Waiter::Mount(token)
            | Waiter::Unmount(token) => token,
            Waiter::None
            | Waiter::Freeze(_)
            | Waiter::AbandonedMount
            | Waiter::AbandonedUnmount => 0,
        }
    }

    /// Returns the waiter that remains after the operation failed with a timeout.
    pub const fn abandoned(self) -> Waiter {
        match self {
            Waiter::None | Waiter::Operation(..) | Waiter::Sync(_) => Waiter::None,
            Waiter::Freeze(number) => Waiter::Freeze(number),
            Waiter::Mount(_) | Waiter::AbandonedMount => Waiter::AbandonedMount,
            Waiter::Unmount(_) | Waiter::AbandonedUnmount => Waiter::AbandonedUnmount,
        }
    }
}

/// A request in the queue of its volume.
pub struct Job {
    /// Receiver of the result.
    pub waiter: Waiter,
    /// The request.
    pub request: Request,
    /// The path of which this is a step.
    pub resolution: Option<Box<Resolution>>,
}

impl Job {
    /// Creates a job without a path.
    pub const fn new(waiter: Waiter, request: Request) -> Job {
        Job {
            waiter,
            request,
            resolution: None,
        }
    }
}

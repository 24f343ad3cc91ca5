//! What several threads or processors share: `core`'s atomics and cells, or loom's where the
//! compiler has `--cfg loom` (tokio's `loom` module does the same), and the protocols that more
//! than one crate uses.
//!
//! `tools/models` runs the protocols of the crates that import from here under loom.

#![cfg_attr(not(any(loom, feature = "checks")), no_std)]

extern crate alloc;

pub mod lock;
#[cfg(loom)]
pub mod model;
pub mod mutex;
pub mod once;

/// `core::sync::atomic`.
pub mod atomic {
    #[cfg(loom)]
    pub use crate::model::atomic::{
        AtomicBool, AtomicI8, AtomicI32, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
        AtomicUsize, fence,
    };
    #[cfg(not(loom))]
    pub use core::sync::atomic::{
        AtomicBool, AtomicI8, AtomicI32, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
        AtomicUsize, fence,
    };
    pub use core::sync::atomic::{Ordering, compiler_fence};
}

/// `core::cell::UnsafeCell`.
pub mod cell {
    #[cfg(loom)]
    pub use crate::model::cell::UnsafeCell;
    #[cfg(not(loom))]
    pub use core::cell::UnsafeCell;
}

/// `core::hint::spin_loop`.
pub mod hint {
    #[cfg(not(loom))]
    pub use core::hint::spin_loop;
    #[cfg(loom)]
    pub use loom::hint::spin_loop;
}

#[cfg(loom)]
pub use crate::model::arc::Arc;
#[cfg(not(loom))]
pub use alloc::sync::Arc;

//! The protocols of threads and devices, whose orderings the tests try on weakly ordered memory.
//!
//! `cargo loom` runs them: the crates of the protocols are compiled with `--cfg loom`, by which
//! their atomics and cells (the crate `sync`) are loom's. Without it this crate is empty.

#![cfg(loom)]
#![allow(
    clippy::arc_with_non_send_sync,
    reason = "loom's threads are one of the system's"
)]

pub mod checks;
pub mod image;

/// As in `kernel`.
pub mod arch;
pub mod halt;
pub mod signals;
pub mod smp;
pub mod time;

/// As in `kernel`.
pub use kernel::cell;

pub use kernel::errno;

/// As in `kernel`: the models' threads have no stacks.
pub mod memory {
    /// None is left.
    pub fn kernel_stack() -> Option<u64> {
        None
    }

    /// The running thread's stack.
    pub fn set_stack(_: core::ops::Range<u64>) {}
}

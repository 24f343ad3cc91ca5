//! `drivers`' memory, and what `kernel` has under the same name.

#[rustfmt::skip]
#[path = "../../../drivers/src/memory.rs"]
mod drivers;

pub use drivers::*;

/// As in `kernel`: the models' threads have no stacks.
pub fn set_stack(_: core::ops::Range<u64>) {}

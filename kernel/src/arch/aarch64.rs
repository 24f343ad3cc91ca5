//! The arm64 processor: exceptions, page tables, registers, and the image's entry.
//!
//! The program and the runtime run at EL1 with SP_EL0 ("EL1t"); exceptions and system calls run at
//! EL1 with SP_EL1 ("EL1h"), so that they never use the program's stack. Source: Arm Architecture
//! Reference Manual for A-profile (DDI 0487), "Arm ARM" below.

pub mod counter;
pub mod cpu;
mod entries;
mod features;
pub mod float;
pub mod gates;
pub mod gic;
pub mod host;
mod image;
pub mod interrupts;
pub mod ipi;
pub mod mmu;
pub mod processor;
pub mod random;
#[cfg_attr(any(test, loom), allow(dead_code, reason = "tests start no processor"))]
pub mod secondary;
pub mod signals;
pub mod smccc;
pub mod stacks;
#[cfg_attr(
    test,
    allow(dead_code, reason = "tests don't have the first instructions")
)]
pub mod start;
pub mod strings;
pub mod syndrome;
pub mod thread_pointer;
pub mod timer;

/// Page tables: their entries, and what makes a new one be used.
pub mod paging {
    pub use super::entries::*;
    pub use super::mmu::publish;
}

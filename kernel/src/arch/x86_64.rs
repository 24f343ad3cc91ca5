//! The x86-64 processor: descriptor tables, page tables, registers, the time stamp counter.
//!
//! Each module uses nothing else of the kernel: the caller maps memory, and sets what handles traps
//! with [`gates::set_up`].

pub mod apic;
pub mod avx;
pub mod counter;
pub mod cpu;
#[cfg_attr(any(test, loom), allow(dead_code, reason = "tests start no processor"))]
mod entry;
mod exceptions;
pub mod float;
pub mod gates;
pub mod host;
#[cfg_attr(loom, allow(unused_imports, reason = "a model has its own"))]
pub mod interrupts;
pub mod ipi;
pub mod mmu;
pub mod paging;
pub mod processor;
pub mod random;
#[cfg_attr(any(test, loom), allow(dead_code, reason = "tests start no processor"))]
pub mod secondary;
pub mod signals;
pub mod stacks;
pub mod start;
pub mod strings;
pub mod thread_pointer;

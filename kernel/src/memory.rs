//! Memory: frames, page tables, the program's address space, and memory shared with devices.
//!
//! The pure parts (`clear`, `frames`, `vma`, `reserve`, `tlb`, `windows`) do the bookkeeping;
//! `space` holds them with the page tables behind one cell, and the other modules are its
//! operations. What takes memory away has the other processors forget it first ([`crate::smp`]).
//! They run in system calls, page faults and calls of the runtime, and never in an interrupt of a
//! device: at a tick the runtime may request memory only because no tick interrupts the use of a
//! cell.
//!
//! Addresses (one address space, everything in ring 0):
//!
//! | from | contents |
//! |---|---|
//! | 0 | nothing, up to the image: a null pointer faults |
//! | 1 MiB | the image, at its physical address; W^X by the page |
//! | [`PROGRAM`] | the program's mappings, from a random page on; its stack, at a random page |
//! | `DIRECT` | all RAM at `DIRECT + physical`, not executable, without the image |
//! | `HEAP` | the kernel's heap, from a random page on |
//! | `STACKS` | the kernel's stacks of the program's threads, each above a guard |
//! | `DEVICES` | device registers, uncached, mapped on demand, in `windows` |

pub mod aslr;
mod clear;
mod describe;
mod device;
mod frames;
mod heap;
mod layout;
mod mapping;
mod physical;
mod reserve;
mod space;
mod stacks;
mod start;
mod tables;
mod tlb;
mod user;
mod vma;
mod windows;

pub use describe::{describe, is_readable, mappings};
pub use device::{
    allocate_contiguous, free_contiguous, is_ram, map_device, map_firmware, map_video,
    overlaps_ram, segments,
};
pub use heap::is_free as is_heap_free;
pub use layout::{DIRECT, PROGRAM, STACK_SIZE, image, set_stack, stack, stack_end};
pub use mapping::{
    MapError, discard, is_free, map, protect, protection, remap, set_written, take_written, unmap,
};
pub use physical::BootMemory;
pub use reserve::{
    begin_collection, end_collection, is_collection_requested, request_collection,
    take_collection_request,
};
pub use space::{
    Fault, Statistics, fault, grow_tlb, is_nearly_full, is_short, set_promised, statistics,
    was_refused,
};
pub use stacks::{grow_on_demand, kernel_stack};
pub use start::start_page;
pub use start::{DirectMemory, KEPT, SetupError, initrd, kept, release_kept, release_low, set_up};
pub use user::{
    atomic_word, bytes, bytes_mut, copy_out, is_empty, load, load_shared, path, store,
    store_shared, vectors,
};
pub use vma::Protection;

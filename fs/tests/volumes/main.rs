//! Volumes through the public interface: against models, with power cuts, faults and damage, and
//! against other systems' tools. One program, since each would be compiled and linked separately.
#![allow(missing_docs)]

mod common;

mod corrupt;
mod crash;
mod edges;
mod ext4_cases;
mod ext4_corrupt;
mod ext4_crash;
mod ext4_cuts;
mod ext4_depths;
mod ext4_faults;
mod ext4_grow;
mod ext4_interop;
mod ext4_layouts;
mod ext4_linux;
mod ext4_mutations;
mod ext4_states;
mod ext4_stress;
mod faults;
mod freezing;
mod interop;
mod model;
mod names;
mod ranges;
mod renaming;
mod times;

#[global_allocator]
static ALLOCATOR: common::memory::Counting = common::memory::Counting;

//! Device descriptions that drivers produce and the platform passes on, in the terms of virtio and
//! Linux: plain data, no operations.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod disk;
pub mod display;
pub mod input;

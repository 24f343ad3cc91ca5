//! Data about devices that the drivers give and the platform passes on, in the words of virtio and
//! Linux: no device, no operation.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod disk;
pub mod display;
pub mod input;

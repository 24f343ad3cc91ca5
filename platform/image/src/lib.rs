//! The platform of an image: [`Image`] implements the traits of `platform` on `kernel`, and on the
//! virtio devices of `drivers`.
//!
//! A call of the program, or a tick that interrupts it, uses devices under the runtime's lock, so
//! `Rc` is enough; the wait looks at them without it (`kernel::guarded`). The statics of `found`
//! and `entropy` are in the kernel's `ExclusiveCell`. An interrupt of a device only ends the halt
//! (`idle`).

#![no_std]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]

extern crate alloc;

mod console;
mod consoles;
mod descriptors;
mod devices;
mod disks;
mod displays;
mod entropy;
mod found;
mod idle;
mod inputs;
mod links;
pub mod metadata;
mod ports;
mod screen;
mod system;
mod ticks;
mod vsock;

pub use idle::{Interest, LinkWake, Offload, Source};
pub use kernel::{boot, environment, part, wait::Ticks};

use platform::{Folders, folders};

/// The platform of an image.
#[derive(Clone, Copy)]
pub struct Image;

impl Folders for Image {
    const FOLDERS: Option<folders::Folders<Offload>> = None;
}

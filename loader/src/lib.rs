//! The parts of the disk loaders that need no firmware: the ELF image, the settings, the memory
//! map, and what the image gets: the start info (x86-64) or a device tree (arm64). `README.md` has
//! the contract with the disk.

#![cfg_attr(not(test), no_std)]

pub mod acpi;
pub mod confidential;
pub mod digests;
pub mod elf;
pub mod fat;
pub mod frame_buffer;
pub mod handover;
pub mod map;
#[cfg(any(feature = "bios", feature = "uefi"))]
mod memory;
pub mod place;
pub mod settings;
pub mod time;
pub mod tree;

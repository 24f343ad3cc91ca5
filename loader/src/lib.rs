//! The parts of the disk loaders that need no firmware: the ELF image, the settings, the memory map
//! and the start info. `README.md` has the contract with the disk.

#![cfg_attr(not(test), no_std)]

pub mod digests;
pub mod elf;
pub mod fat;
pub mod frame_buffer;
pub mod handover;
pub mod settings;
pub mod start_info;

//! The machine's descriptions by its firmware and its loader, as loaders, the kernel and the
//! `soil` command read and write them.
//!
//! The parsers are pure. They trust no length, offset or address that they read, and each of their
//! loops ends after as many steps as its input has bytes, or at a limit.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod acpi;
pub mod aml;
pub mod bytes;
#[cfg(feature = "alloc")]
pub mod command_line;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod fdt;
#[cfg(feature = "alloc")]
pub mod fw_cfg;
pub mod memory;
pub mod pvh;
pub mod vmclock;

/// Bytes of a seed for a generator of random numbers that a loader hands over.
pub const SEED: usize = 32;

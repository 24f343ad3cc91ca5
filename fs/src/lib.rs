//! File systems on block devices.
//!
//! A [`Block`] is a disk; [`fat::mount`] makes a [`Volume`] of it; [`Mounts`] maps a path to its
//! volume. From the top down:
//!
//! - [`volume`]: the trait, its flags and records; [`path`], [`walk`] and [`mounts`]: names.
//! - [`fat`]: FAT12, FAT16 and FAT32 with long names.
//! - [`ext4`]: ext4 with its journal.
//! - `cache`: write-back, read-ahead, commits.
//! - [`Lease`]: contents of files, read in place.
//! - [`barrier`]: order of writes around a flush, for the driver of a device.
//! - [`block`]: the device trait; `fake` (a feature): devices in memory that fail on request.
//!
//! The crate depends on no operating system, allocates through `alloc`, blocks only in the device's
//! calls, and validates everything that it reads from a disk. `README.md` in this folder describes
//! the guarantees after a crash.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod barrier;
pub mod block;
mod budget;
mod buffer;
mod bytes;
mod cache;
pub mod cpio;
pub mod embedded;
pub mod error;
pub mod ext4;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod fat;
pub mod handles;
mod lease;
pub mod memory;
mod memory_pressure;
pub mod mounts;
mod options;
pub mod partition;
pub mod path;
mod piece;
pub mod tar;
mod tree;
pub mod volume;
pub mod walk;

pub use block::{Block, BlockError, read_bytes};
pub use budget::{CacheBudget, CacheCounters, CacheCounts, CacheStatistics};
pub use error::{Error, MountError};
pub use lease::Lease;
pub use memory_pressure::set_memory_short;
pub use mounts::Mounts;
pub use options::VolumeOptions;
pub use volume::{
    Clock, Cursor, DirEntry, Fallocate, FileId, Health, Kind, OpenFlags, Renaming, Seek, Space,
    Stat, Time, Volume, Walk,
};

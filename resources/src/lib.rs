//! What a program owns: console, pipes, sockets, files and block devices, each behind descriptors
//! and as operations of the reactor.
//!
//! - [`runtime`]: the one global, which is the reactor with the state of these resources.
//! - [`console`], [`pipe`], [`net`], [`files`], [`blocks`]: what descriptors stand for. The last
//!   three are registered in the runtime by their first use, so that the linker leaves them out of
//!   a program that never calls them.
//! - [`disks`]: the devices below `files` and `blocks`.
//! - [`ffi`]: the types in which the program's memory and numbers come.
//! - [`current`]: the platform of this build (crates `host` and `image`).

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod blocks;
pub mod console;
pub mod current;
pub mod disks;
pub mod ffi;
pub mod files;
pub mod log_sink;
pub mod net;
pub mod pipe;
pub mod random;
pub mod runtime;

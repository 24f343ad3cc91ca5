//! The C interface of Soil: what OCaml calls.
//!
//! - [`abi`]: the functions, and nothing else; [`ffi`] and [`error`] are their vocabulary.
//! - `runtime`: the one global: descriptors (`table`), outstanding operations and completions;
//!   `wait` runs everything.
//! - `console`, `pipe`, `net`, `files`, `blocks`: what descriptors stand for. The last three are
//!   registered in the runtime by their first use, so that the linker leaves them out of a program
//!   that never calls them.
//! - `current`: the platform of this build (crates `host` and `image`).
//!
//! The crate is `no_std` in both forms; without either feature it is built on `std` for `cargo
//! test`.

#![cfg_attr(any(feature = "image", feature = "process"), no_std)]
#![allow(
    dead_code,
    reason = "parts of the runtime whose users are being written"
)]

#[cfg(all(feature = "image", feature = "process"))]
compile_error!(
    "features `image` and `process` exclude each other: build the two archives one after the other"
);

extern crate alloc;

pub mod abi;
mod blocks;
mod console;
mod current;
mod disks;
pub mod ffi;
mod files;
mod log_sink;
mod net;
mod pipe;
#[cfg(any(feature = "image", feature = "process"))]
mod printexc;
mod random;
mod runtime;
#[cfg(any(feature = "image", feature = "process"))]
mod shims;
mod wait;

pub use platform::error;

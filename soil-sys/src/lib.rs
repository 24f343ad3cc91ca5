//! The C interface of Soil: what OCaml calls.
//!
//! [`abi`] has the functions, each one call of a function in the crate `resources`; [`ffi`] the
//! types of their arguments; `bytecode` the same functions for OCaml's interpreter; `wait` is the
//! boundary's side of the one wait.
//!
//! The crate is `no_std` in both forms; without either feature it is built on `std` for `cargo
//! test`.

#![cfg_attr(any(feature = "image", feature = "process"), no_std)]

#[cfg(all(feature = "image", feature = "process"))]
compile_error!(
    "features `image` and `process` exclude each other: build the two archives one after the other"
);

extern crate alloc;
// A part of images that the link driver asks for where a program needs it; no code names it.
#[cfg(feature = "image")]
extern crate posix as _;

pub mod abi;
#[cfg(feature = "process")]
mod bytecode;
#[cfg(feature = "image")]
mod domains;
pub mod ffi;
#[cfg(any(feature = "image", feature = "process"))]
mod shims;
mod wait;
#[cfg(any(feature = "image", feature = "process"))]
mod weak;

//! The C interface of Soil, which OCaml calls.
//!
//! [`abi`] contains the functions, each of which calls one function of the crate `resources`;
//! [`ffi`] the types of their arguments; `bytecode` the same functions for OCaml's interpreter;
//! `wait` this interface's side of the reactor's wait.
//!
//! Both forms of the crate are `no_std`; without either feature it uses `std`, for `cargo test`.

#![cfg_attr(any(feature = "image", feature = "process"), no_std)]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]

#[cfg(all(feature = "image", feature = "process"))]
compile_error!(
    "features `image` and `process` exclude each other: build the two archives one after the other"
);

extern crate alloc;
// The linker refers to its symbols, and to those of `posix` below it; no code does.
#[cfg(any(feature = "image", feature = "process"))]
extern crate libc_compat as _;

pub mod abi;
#[cfg(feature = "process")]
mod bytecode;
mod completions;
pub mod ffi;

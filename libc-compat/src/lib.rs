//! The C library of an OCaml program: the symbols that the program's objects and OCaml's runtime
//! expect of it, and that neither musl (in images) nor glibc (in processes) has as Soil needs them.
//!
//! | module | symbols | form |
//! |---|---|---|
//! | `glibc` | the names that only glibc has | image |
//! | `malloc` | the cache of freed blocks in front of `malloc`, for several processors | image |
//! | `resolver` | lookups of names, in front of musl's | image |
//! | `domains`, `collector` | functions of OCaml's runtime that images change | image |
//! | `modules` | references to OCaml's modules that link nothing | both |
//! | `shims` | Rust's personality, and a process's allocator and panic handler | both |
//!
//! Only the linker calls these functions, by their names. `exports` and the two lists for a
//! processor say which symbols of an image's archive are global (`archive` makes it); the link
//! driver redirects functions to this crate with `--wrap` (`tools/src/link.rs`).
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]

#[cfg(feature = "image")]
extern crate alloc;

#[cfg(feature = "image")]
mod collector;
#[cfg(feature = "image")]
mod domains;
#[cfg(any(test, feature = "image"))]
mod free_lists;
#[cfg(feature = "image")]
mod glibc;
#[cfg(feature = "image")]
mod malloc;
#[cfg(any(feature = "image", feature = "process"))]
mod modules;
#[cfg(feature = "image")]
#[cfg(feature = "image")]
mod resolver;
#[cfg(any(feature = "image", feature = "process"))]
mod shims;

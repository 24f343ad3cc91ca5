//! The boundary between OCaml and Rust: every function that OCaml can call, and the only exported
//! symbols of the archive.
//!
//! `soil_raw*.ml` are generated from this file and its parts (`abi/*.rs`) by `soil-sys/bindgen`;
//! `dune build @bindings` checks that they are up to date.
//!
//! # Arguments
//! `Int` is an OCaml `int`; `Bytes` and `Text` are an OCaml `bytes` and `string`; `Buffer` is a
//! bigarray of bytes, `Buffers` an array of those, `Ints` a bigarray of OCaml integers, and
//! `Pixels` a bigarray of rows of 32-bit numbers. Offsets
//! and lengths are in bytes and are checked against the real length here: a wrong argument is `-1`
//! (`Invalid`), never undefined behaviour. Times are nanoseconds.
//!
//! # Results
//! `>= 0`: success, the number documented. `-1 ..= -999`: minus an `Error`. [`PENDING`]: the
//! operation was started and will complete with its token and result through `soil_wait`.
//! [`WOULD_BLOCK`]: nothing was done; `soil_fd_park` and try again.
//!
//! # Tokens
//! Chosen by the caller, `1 ..= MAX_TOKEN`, unique among its outstanding operations. Those from
//! `FIRST_TOKEN_OF_THREADS` on complete through [`soil_await`], others through [`soil_wait`], which
//! is for one thread of each domain. A completion
//! with token 0 says that the machine asks the program to stop (SIGTERM, SIGINT, power button); its
//! result counts these requests: 1, 2, ….
//!
//! # Blocking
//! Only functions marked `@ocaml blocking` can wait; all others return at once and are
//! `[@@noalloc]` on the OCaml side. They serve all threads of the OCaml domain that called
//! `soil_start`, and of those that called `soil_domain_join`, one at a time; a call in another
//! domain, or made while one of the same thread is inside, is answered `-15` (`Busy`).
//!
//! # Ownership
//! A `Bytes`, a `Text` or the array of a `Buffers` is used only during the call. A `Buffer` or
//! `Ints` given to an operation that answers [`PENDING`] must be kept alive by the caller until its
//! completion was seen, or `soil_cancel` answered 1.

mod blocks;
mod descriptors;
mod display;
mod draw;
mod ext4;
mod files;
mod initrd;
mod input;
mod machine;
mod mdns;
mod memory;
mod metrics;
mod net;
mod password;
mod runtime;
mod screen;
mod sha256;
mod simulation;
mod tar;
mod tcp;
mod tls;
mod tls_roots;
mod trace;
mod udp;
mod vsock;

pub use blocks::*;
pub use descriptors::*;
pub use display::*;
pub use draw::*;
pub use ext4::*;
pub use files::*;
pub use initrd::*;
pub use input::*;
pub use machine::*;
pub use mdns::*;
pub use memory::*;
pub use metrics::*;
pub use net::*;
pub use password::*;
pub use resources::types::constants::*;
pub use runtime::*;
pub use screen::*;
pub use sha256::*;
pub use simulation::*;
pub use tar::*;
pub use tcp::*;
pub use tls::*;
pub use tls_roots::*;
pub use trace::*;
pub use udp::*;
pub use vsock::*;

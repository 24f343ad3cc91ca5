//! Domains, of which an image has one.
//!
//! The link driver lets `Domain.spawn` lead here in place of OCaml's runtime
//! (`tools/src/link.rs`): a domain that shares its only processor would make each collection wait
//! for a turn of every other one.

use core::ffi::{CStr, c_char};

const ONE_PROCESSOR: &CStr = c"Domain.spawn: an image runs on one processor, so that a second \
    domain can't be added; use threads, or tasks of Soil";

unsafe extern "C" {
    fn caml_failwith(text: *const c_char) -> !;
}

/// In place of `caml_domain_spawn`, with its two arguments: raises `Failure`, as OCaml does where
/// no domain can be had.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_domain_spawn(_: usize, _: usize) -> ! {
    // SAFETY: a string that stays, in a call from OCaml.
    unsafe { caml_failwith(ONE_PROCESSOR.as_ptr()) }
}

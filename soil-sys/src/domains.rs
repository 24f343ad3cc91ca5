//! Domains, of which an image has one.
//!
//! The link driver lets `Domain.spawn` lead here in place of OCaml's runtime
//! (`tools/src/link.rs`): a domain that shares its only processor would make each collection wait
//! for a turn of every other one.

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null;

const ONE_PROCESSOR: &CStr = c"Domain.spawn: an image runs on one processor, so that a second \
    domain can't be added; use threads, or tasks of Soil";

const PARAMETERS: [&CStr; 2] = [c"OCAMLRUNPARAM", c"CAMLRUNPARAM"];
/// OCaml's parameter for the most domains; of two the last counts.
const ONE_DOMAIN: &[u8] = b",d=1\0";

unsafe extern "C" {
    fn caml_failwith(text: *const c_char) -> !;
    fn __real_caml_parse_ocamlrunparam();
    fn getenv(name: *const c_char) -> *const c_char;
    fn setenv(name: *const c_char, value: *const c_char, replace: c_int) -> c_int;
    fn unsetenv(name: *const c_char) -> c_int;
}

/// In place of `caml_domain_spawn`, with its two arguments: raises `Failure`, as OCaml does where
/// no domain can be had.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_domain_spawn(_: usize, _: usize) -> ! {
    // SAFETY: a string that stays, in a call from OCaml.
    unsafe { caml_failwith(ONE_PROCESSOR.as_ptr()) }
}

/// In place of `caml_stop_all_domains`, which the runtime (since OCaml 5.4) calls at its end if
/// there are other domains than the last one: there are none. The runtime's own function cancels
/// threads and would bring that part of the C library.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_stop_all_domains() {}

/// In place of `caml_parse_ocamlrunparam` in programs with `Runtime_events`, which the runtime
/// calls first of all: reads the parameters with one for the most domains, 1. The runtime has a
/// ring of events for each possible domain, 64 MiB of memory for its 128.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_parse_ocamlrunparam() {
    let name = PARAMETERS[0].as_ptr();
    let values = PARAMETERS.map(|name| {
        // SAFETY: the program hasn't begun, and no thread changes the environment meanwhile.
        let value = unsafe { getenv(name.as_ptr()) };
        // SAFETY: strings of the environment, which end with zero.
        let value = (value != null()).then(|| unsafe { CStr::from_ptr(value) });
        // A copy: the string may be freed with the variable.
        value.map(|value| value.to_bytes_with_nul().to_vec())
    });
    let [own, older] = &values;
    let given = own
        .as_ref()
        .or(older.as_ref())
        .map_or(&[][..], Vec::as_slice);
    let mut wanted = given.strip_suffix(b"\0").unwrap_or(given).to_vec();
    wanted.extend_from_slice(ONE_DOMAIN);
    // SAFETY: as above, and all strings end with zero. What can't be set for want of memory leaves
    // the parameters as they are.
    unsafe {
        setenv(name, wanted.as_ptr().cast(), 1);
        __real_caml_parse_ocamlrunparam();
        match own {
            Some(value) => setenv(name, value.as_ptr().cast(), 1),
            None => unsetenv(name),
        };
    }
}

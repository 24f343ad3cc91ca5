//! Domains: an image supports only one.
//!
//! The link driver redirects `Domain.spawn` from OCaml's runtime to this module
//! (`tools/src/link.rs`): with several domains on one processor, each garbage collection would have
//! to wait until every domain has been scheduled.

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null;

const ONE_PROCESSOR: &CStr = c"Domain.spawn: an image runs on one processor, so that a second \
    domain can't be added; use threads, or tasks of Soil";

const PARAMETERS: [&CStr; 2] = [c"OCAMLRUNPARAM", c"CAMLRUNPARAM"];
/// OCaml's parameter for the maximum number of domains; the last of several settings wins.
const ONE_DOMAIN: &[u8] = b",d=1\0";

unsafe extern "C" {
    fn caml_failwith(text: *const c_char) -> !;
    fn __real_caml_parse_ocamlrunparam();
    fn getenv(name: *const c_char) -> *const c_char;
    fn setenv(name: *const c_char, value: *const c_char, replace: c_int) -> c_int;
    fn unsetenv(name: *const c_char) -> c_int;
}

/// Replaces `caml_domain_spawn`, with its two arguments: raises `Failure`, as OCaml does when it
/// can't create a domain.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_domain_spawn(_: usize, _: usize) -> ! {
    // SAFETY: a static string, in a call from OCaml.
    unsafe { caml_failwith(ONE_PROCESSOR.as_ptr()) }
}

/// Replaces `caml_stop_all_domains`, which the runtime (since OCaml 5.4) calls at exit to stop
/// other domains, of which there are none. The runtime's own function cancels threads and would
/// link that part of the C library.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_stop_all_domains() {}

/// Replaces `caml_parse_ocamlrunparam`, the runtime's first call, in programs with
/// `Runtime_events`: adds a maximum of one domain to the parameters. The runtime allocates a ring
/// of events for each possible domain, 64 MiB for its default of 128.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_parse_ocamlrunparam() {
    let name = PARAMETERS[0].as_ptr();
    let values = PARAMETERS.map(|name| {
        // SAFETY: the program hasn't started, and no other thread changes the environment.
        let value = unsafe { getenv(name.as_ptr()) };
        // SAFETY: strings of the environment end with a zero byte.
        let value = (value != null()).then(|| unsafe { CStr::from_ptr(value) });
        // A copy, because `setenv` may free the string.
        value.map(|value| value.to_bytes_with_nul().to_vec())
    });
    let [own, older] = &values;
    let given = own
        .as_ref()
        .or(older.as_ref())
        .map_or(&[][..], Vec::as_slice);
    let mut wanted = given.strip_suffix(b"\0").unwrap_or(given).to_vec();
    wanted.extend_from_slice(ONE_DOMAIN);
    // SAFETY: as above, and all strings end with a zero byte. If memory is short, the parameters
    // stay unchanged.
    unsafe {
        setenv(name, wanted.as_ptr().cast(), 1);
        __real_caml_parse_ocamlrunparam();
        match own {
            Some(value) => setenv(name, value.as_ptr().cast(), 1),
            None => unsetenv(name),
        };
    }
}

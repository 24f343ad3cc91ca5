//! What images change of OCaml's domains.
//!
//! The link driver redirects functions of OCaml's runtime to this module (`tools/src/link.rs`). A
//! program that refers to `Domain.spawn` contains the kernel's part for several processors, and the
//! runtime's own function spawns its domains. All others contain neither.

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null;
use core::sync::atomic::{AtomicUsize, Ordering};

const NO_PART: &CStr =
    c"Domain.spawn: this image was linked without the kernel's part for several \
    processors: refer to Domain.spawn in a module that the linker sees";

const PARAMETERS: [&CStr; 2] = [c"OCAMLRUNPARAM", c"CAMLRUNPARAM"];
/// OCaml's parameter for the maximum number of domains; the last of several settings wins.
const ONE_DOMAIN: &[u8] = b",d=1\0";

unsafe extern "C" {
    static caml_num_domains_running: AtomicUsize;
    fn __real_caml_domain_spawn(function: usize, result: usize) -> usize;
    safe fn soil_processors_expect(domains: usize);
    fn caml_failwith(text: *const c_char) -> !;
    fn __real_caml_parse_ocamlrunparam();
    fn getenv(name: *const c_char) -> *const c_char;
    fn setenv(name: *const c_char, value: *const c_char, replace: c_int) -> c_int;
    fn unsetenv(name: *const c_char) -> c_int;
}

/// Replaces `caml_domain_spawn`, with its two arguments, in programs without the part for several
/// processors: raises `Failure`, as OCaml does when it can't create a domain. The runtime's own
/// function would link threads into every program.
#[unsafe(no_mangle)]
extern "C" fn soil_spawn_no_domain(_: usize, _: usize) -> ! {
    // SAFETY: a static string, in a call from OCaml.
    unsafe { caml_failwith(NO_PART.as_ptr()) }
}

/// Replaces it in programs with that part: reports the number of domains to it.
#[unsafe(no_mangle)]
extern "C" fn soil_spawn_domain(function: usize, result: usize) -> usize {
    // SAFETY: the runtime runs, and changes the number atomically.
    soil_processors_expect(unsafe { caml_num_domains_running.load(Ordering::Relaxed) } + 1);
    // SAFETY: the arguments are those of the call.
    unsafe { __real_caml_domain_spawn(function, result) }
}

/// Replaces `caml_stop_all_domains`, which the runtime (since OCaml 5.4) calls at exit to stop
/// other domains, in programs that have none. The runtime's own function cancels threads and would
/// link that part of the C library.
#[unsafe(no_mangle)]
extern "C" fn soil_stop_no_domains() {}

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

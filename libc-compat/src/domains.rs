//! What images change of OCaml's domains.
//!
//! The link driver redirects functions of OCaml's runtime to this module (`tools/src/link.rs`).

use alloc::format;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::{console, processors};

/// Domains for which there is room in a program with `Runtime_events`, even on one processor: their
/// rings take 4 MiB.
const MIN_ROOM: usize = 8;

/// Domains that the runtime has room for, where [`__wrap_caml_parse_ocamlrunparam`] has chosen it;
/// else 0.
static ROOM: AtomicUsize = AtomicUsize::new(0);

const PARAMETERS: [&CStr; 2] = [c"OCAMLRUNPARAM", c"CAMLRUNPARAM"];

unsafe extern "C" {
    static caml_num_domains_running: AtomicUsize;
    fn __real_caml_domain_spawn(function: usize, result: usize) -> usize;
    fn __real_caml_parse_ocamlrunparam();
}

/// Replaces `caml_domain_spawn`: tells the kernel the number of domains first, which starts the
/// other processors.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_domain_spawn(function: usize, result: usize) -> usize {
    // SAFETY: the runtime runs, and changes the number atomically.
    let domains = unsafe { caml_num_domains_running.load(Ordering::Relaxed) } + 1;
    processors::expect_domains(domains);
    let room = ROOM.load(Ordering::Relaxed);
    if room != 0 && domains > room {
        // The exception only says that the runtime failed to allocate one.
        console::line(format_args!(
            "Domain.spawn fails: a program with Runtime_events has room for {room} domains on this \
             machine: give more processors (soil run --cpus), or OCAMLRUNPARAM=d={domains}"
        ));
    }
    // SAFETY: the arguments are those of the call.
    unsafe { __real_caml_domain_spawn(function, result) }
}

/// Replaces `caml_parse_ocamlrunparam`, the runtime's first call, in programs with
/// `Runtime_events`: the maximum number of domains is the number of processors, or [`MIN_ROOM`],
/// unless the parameters have another one. The runtime allocates a ring of events for each possible
/// domain, 64 MiB for its default of 128.
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_parse_ocamlrunparam() {
    let name = PARAMETERS[0].as_ptr();
    let values = PARAMETERS.map(|name| {
        // SAFETY: the program hasn't started, and no other thread changes the environment.
        let value = unsafe { libc::getenv(name.as_ptr()) };
        // SAFETY: strings of the environment end with a zero byte.
        let value = (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) });
        // A copy, because `setenv` may free the string.
        value.map(|value| value.to_bytes_with_nul().to_vec())
    });
    let [own, older] = &values;
    let given = own
        .as_ref()
        .or(older.as_ref())
        .map_or(&[][..], Vec::as_slice);
    let given = given.strip_suffix(b"\0").unwrap_or(given);
    let room = processors::available().max(MIN_ROOM);
    let is_chosen = given
        .split(|byte| *byte == b',')
        .any(|word| word.starts_with(b"d="));
    if !is_chosen {
        ROOM.store(room, Ordering::Relaxed);
    }
    // The last of several settings wins.
    let mut wanted = format!("d={room},").into_bytes();
    wanted.extend_from_slice(given);
    wanted.push(0);
    // SAFETY: as above, and all strings end with a zero byte. If memory is short, the parameters
    // stay unchanged.
    unsafe {
        libc::setenv(name, wanted.as_ptr().cast(), 1);
        __real_caml_parse_ocamlrunparam();
        match own {
            Some(value) => libc::setenv(name, value.as_ptr().cast(), 1),
            None => libc::unsetenv(name),
        };
    }
}

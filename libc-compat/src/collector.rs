//! Collections of OCaml's garbage: what the kernel does for them, and those that it requests.
//!
//! Minor collections get memory that the program doesn't (`kernel/src/memory/reserve.rs`): refused,
//! they end it.
//!
//! OCaml collects its major heap as it allocates. Where allocations fail, or the program waits, it
//! doesn't collect, and a program whose memory is full of garbage can't go on. So the kernel requests
//! a collection when the program is nearly full or was refused memory. It happens at the end of the
//! program's next blocking section: other threads may collect during one, so code in C keeps no
//! value across it that a collection doesn't know. No code in OCaml runs there; finalisers run later,
//! as after each collection.

use core::ffi::c_int;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use kernel::boot;
use kernel::memory::{
    begin_collection, end_collection, is_collection_requested, take_collection_request,
};
use kernel::part::keep;
use kernel::time::monotonic_ns;

type Hook = extern "C" fn();

unsafe extern "C" {
    /// Called by the runtime as a minor collection begins (`caml/misc.h`, since OCaml 5.0).
    static caml_minor_gc_begin_hook: AtomicPtr<()>;
    /// Called as it ends.
    static caml_minor_gc_end_hook: AtomicPtr<()>;
    /// Takes the runtime's lock after a call that blocked (`caml/signals.h`).
    safe fn __real_caml_leave_blocking_section();
    /// Finishes the cycle of the major collection (`caml/major_gc.h`, since OCaml 5.2), in all
    /// domains; and compacts the heap.
    fn caml_finish_major_cycle(compacts: c_int);
    safe fn __errno_location() -> *mut c_int;
}

/// Cycles until all garbage is collected, as in `Gc.full_major`.
const CYCLES: usize = 3;
/// Collections use a fifth of the time at most, and there is at most one in a second.
const PAUSE: u64 = 4;
const MIN_PAUSE_NS: u64 = 1_000_000_000;

/// The earliest time of the next collection.
static NOT_BEFORE: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_begin() {
    begin_collection();
}

extern "C" fn on_end() {
    end_collection();
}

kernel::part! {
    /// Before the program, since OCaml's runtime collects from its start on.
    static SET_HOOKS: boot::Hooks = set_hooks, in ".soil_part.boot.collector";
}

extern "C" fn set_hooks() {
    let [begin, end]: [Hook; 2] = [on_begin, on_end];
    // SAFETY: the runtime's variables, which are atomic; it calls what is in them without arguments.
    unsafe {
        caml_minor_gc_begin_hook.store(begin as *mut (), Ordering::Relaxed);
        caml_minor_gc_end_hook.store(end as *mut (), Ordering::Relaxed);
    }
}

/// Replaces `caml_leave_blocking_section` (`tools/src/link.rs`).
#[unsafe(no_mangle)]
extern "C" fn __wrap_caml_leave_blocking_section() {
    // In each program with OCaml's runtime.
    keep(&SET_HOOKS);
    __real_caml_leave_blocking_section();
    if is_collection_requested() {
        collect();
    }
}

/// Collects all garbage, unless it was done recently: then the request stays.
#[cold]
fn collect() {
    let begun = monotonic_ns();
    if begun < NOT_BEFORE.load(Ordering::Relaxed) || !take_collection_request() {
        return;
    }
    // The caller's, of the call that blocked.
    let errno = __errno_location();
    // SAFETY: the running thread's.
    let saved = unsafe { errno.read() };
    // What it needs, such as for the mark stack, is small, and frees more.
    begin_collection();
    for _ in 0..CYCLES {
        // SAFETY: this thread has the runtime's lock and is at the end of a blocking section.
        unsafe { caml_finish_major_cycle(0) };
    }
    end_collection();
    // SAFETY: as above.
    unsafe { errno.write(saved) };
    let ended = monotonic_ns();
    let pause = (PAUSE * (ended - begun)).max(MIN_PAUSE_NS);
    NOT_BEFORE.store(ended + pause, Ordering::Relaxed);
}

//! Minor collections of OCaml, which get memory that the program doesn't
//! (`kernel/src/memory/reserve.rs`): refused, they end it.

use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::memory::{begin_collection, end_collection};

type Hook = extern "C" fn();

unsafe extern "C" {
    /// Called by the runtime as a minor collection begins (`caml/misc.h`, since OCaml 5.0).
    static caml_minor_gc_begin_hook: AtomicPtr<()>;
    /// Called as it ends.
    static caml_minor_gc_end_hook: AtomicPtr<()>;
}

extern "C" fn on_begin() {
    begin_collection();
}

extern "C" fn on_end() {
    end_collection();
}

/// Among the functions that the C library calls before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static SET_HOOKS: Hook = set_hooks;

extern "C" fn set_hooks() {
    let [begin, end]: [Hook; 2] = [on_begin, on_end];
    // SAFETY: the runtime's variables, which are atomic; it calls what is in them without arguments.
    unsafe {
        caml_minor_gc_begin_hook.store(begin as *mut (), Ordering::Relaxed);
        caml_minor_gc_end_hook.store(end as *mut (), Ordering::Relaxed);
    }
}

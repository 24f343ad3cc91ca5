//! Functions of other crates that run before the program, which may add to its environment.
//!
//! A hook is a static in the section `.soil_boot.NAME`, and is linked if something refers to it
//! ([`keep`]): what needs it brings it along, and a program without that contains neither.

use super::recovery;
use crate::arch::start::call_on;
use crate::{memory, threads};

/// A hook. It runs with interrupts disabled but for its halts, on a stack that grows on demand;
/// memory, devices, clocks and the console can be used.
pub type Hook = extern "C" fn();

unsafe extern "C" {
    // The linker script places the linked hooks between the two.
    static soil_boot_start: Hook;
    static soil_boot_end: Hook;
}

/// Makes the linker keep a hook wherever it keeps the caller.
#[inline(always)]
pub fn keep(hook: &'static Hook) {
    core::hint::black_box(hook);
}

/// Runs the hooks, in the order of the linker script, on the program's stack, which nothing uses
/// yet; at last that of this crate.
pub(super) fn run() {
    let (start, end) = (&raw const soil_boot_start, &raw const soil_boot_end);
    let count = (end as usize - start as usize) / size_of::<Hook>();
    // SAFETY: the linker script puts whole pointers to functions of this type between the two.
    let hooks = unsafe { core::slice::from_raw_parts(start, count) };
    threads::set_in_call(true);
    let own: Hook = recovery::recover;
    for hook in hooks.iter().chain([&own]) {
        // SAFETY: the stack is mapped, aligned, and nothing else is on it.
        unsafe { call_on(memory::stack_end() - 16, *hook) };
    }
    threads::set_in_call(false);
}

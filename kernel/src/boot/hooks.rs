//! Functions of other crates that run before the program, which may add to its environment.

use super::recovery;
use crate::arch::start::call_on;
use crate::part::Slot as _;
use crate::{memory, threads};

/// A hook. It runs with interrupts disabled but for its halts, on a stack that grows on demand;
/// memory, devices, clocks and the console can be used.
pub type Hook = extern "C" fn();

crate::slot! {
    /// The hooks, which run in the order of the linker script.
    pub enum Hooks: Hook = "boot";
}

/// Runs the hooks on the program's stack, which nothing uses yet; at last that of this crate.
pub(super) fn run() {
    threads::set_in_call(true);
    let own: Hook = recovery::recover;
    for hook in Hooks::parts().iter().chain([&own]) {
        // SAFETY: the stack is mapped, aligned, and nothing else is on it.
        unsafe { call_on(memory::stack_end() - 16, *hook) };
    }
    threads::set_in_call(false);
}

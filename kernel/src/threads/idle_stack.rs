//! The stack on which a processor idles once its last thread is for other processors only.

use super::{State, own};
use crate::arch::gates::{self, Context, SystemCallFrame};
use crate::arch::local;
use crate::signals;
use core::sync::atomic::Ordering;

/// The running processor, which has never run a thread, has a stack for system calls that it only
/// needs when it has to leave one.
pub(super) fn begin() {
    let stack = gates::system_call_stack();
    local::get().idle_stack.store(stack, Ordering::Relaxed);
}

/// The running processor, which has found no thread at the time `now`, leaves the stack of the one
/// that ran last, if that isn't for it any more; returns where that one's registers go: `ended` if
/// it has ended. [`switch_to`] must follow.
pub(super) fn leave(state: &mut State, now: u64, ended: *mut Context) -> Option<*mut Context> {
    let previous = state.scheduler.leave(own())?;
    state.charge(previous, now);
    let from = match state.scheduler.thread(previous) {
        Some(thread) => {
            signals::exchange(&mut thread.signals);
            &raw mut thread.context
        }
        None => ended,
    };
    signals::exchange(&mut signals::Thread::ENDED.clone());
    Some(from)
}

/// Switches to the processor's own stack, where it has no thread, and runs `then` there.
///
/// # Safety
/// As for [`gates::switch`].
pub(super) unsafe fn switch_to(from: *mut Context, then: extern "C" fn()) {
    let top = local::get().idle_stack.load(Ordering::Relaxed);
    // SAFETY: the caller's promise. The processor has left that stack, if it has used it, by the
    // switch to a thread; what is on it isn't used again.
    unsafe {
        let idle = Context::new(SystemCallFrame::new(0, 0), top, then);
        gates::switch(from, idle, top, 0);
    }
}

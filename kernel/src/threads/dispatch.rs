//! Which thread a processor runs next, and the switch to it.

use super::scheduler::bit;
use super::{STATE, has_threads, own};
use crate::arch::gates::{self, Context};
use crate::arch::local;
use crate::{halt, memory, signals, time};
use sync::atomic::Ordering;

/// The thread that calls [`switch`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// One of the program's. It is ready, waits, or has ended.
    Program,
    /// The processor's idle thread.
    Idle,
}

/// Runs the next ready thread, or the idle one while there is none. Returns when the caller's runs
/// again, on any processor; it is ready, waits, or has ended, and doesn't hold the lock of system
/// calls.
pub(super) fn run_next() {
    switch(time::monotonic_ns(), Caller::Program);
}

/// Switches at the time `now` to the next ready thread, or to the idle thread if there is none.
/// Returns when the calling thread runs.
pub(super) fn switch(now: u64, caller: Caller) {
    debug_assert!(has_threads(), "there is no idle thread");
    let mut guard = STATE.lock();
    let state = &mut *guard;
    let processor = own();
    let local = local::get();
    // Before it asks: what comes later is seen.
    local.called.store(false, Ordering::Relaxed);
    state.keep_stack();
    let previous = state.scheduler.current(processor);
    state.scheduler.expire(now);
    let next = state.scheduler.next(processor);
    state.charge(previous, now);
    let number = match next.and_then(|next| state.scheduler.thread(next)) {
        Some(next) => {
            state.busy |= bit(processor);
            next.number
        }
        None => {
            state.busy &= !bit(processor);
            0
        }
    };
    local.thread.store(number, Ordering::Relaxed);
    if next.is_some() {
        let contended = state.scheduler.has_ready();
        halt::resume_with(now, state.alarm(), contended);
    }
    let stays = match next {
        Some(next) => next == previous,
        None => caller == Caller::Idle,
    };
    if stays {
        let calls = state.take_calls();
        drop(guard);
        return calls.make();
    }
    let mut ended = Context::RUNNING;
    let from = match state.scheduler.thread(previous) {
        Some(thread) => {
            signals::exchange(&mut thread.signals);
            if next.is_none() {
                signals::set_idle_after(&thread.signals);
            }
            &raw mut thread.context
        }
        None if caller == Caller::Idle => &raw mut state.idle[processor].context,
        None => &raw mut ended,
    };
    let (to, kernel_stack, pointer) = match next.and_then(|next| state.scheduler.thread(next)) {
        Some(thread) => {
            signals::exchange(&mut thread.signals);
            memory::set_stack(thread.stack.clone());
            (thread.context, thread.kernel_stack, thread.pointer)
        }
        None => {
            let idle = &state.idle[processor];
            (idle.context, idle.kernel_stack, 0)
        }
    };
    // The next thread ends this use of the state.
    core::mem::forget(guard);
    // SAFETY: interrupts are disabled; the next thread was suspended here or is new, and the
    // caller's context is written before anything can move it: the cell stays in use.
    unsafe { gates::switch(from, to, kernel_stack, pointer) };
    end_switch();
}

/// Ends the use of the state in which the thread that ran before has switched to this one. A new
/// thread begins with it.
pub(super) extern "C" fn end_switch() {
    // SAFETY: `switch` forgot the guard, on this processor.
    let mut guard = unsafe { STATE.make_guard_unchecked() };
    let calls = guard.take_calls();
    drop(guard);
    calls.make();
}

//! Which thread a processor runs next: the switch to it, and the wait for one.

use super::notify::{Calls, with};
use super::program_timers::send_expired;
use super::scheduler::bit;
use super::{STATE, State, has_threads, idle_stack, interrupt_for_process, own};
use crate::arch::gates::{self, Context};
use crate::arch::{interrupts, local};
use crate::halt::{self, polling};
use crate::{memory, peers, signals, time};
use sync::atomic::Ordering;

/// Runs the next ready thread, once there is one. Returns when that is the caller's thread, on any
/// processor; it is ready, waits, or has ended, and doesn't hold the lock of system calls.
pub(super) fn run_next() {
    let mut since = None;
    loop {
        let own = local::get();
        // Before it asks: what comes later is seen.
        own.called.store(false, Ordering::Relaxed);
        let now = time::monotonic_ns();
        if let Some(since) = since {
            let poll_ns = polling::next(own.poll_ns.load(Ordering::Relaxed), now - since);
            own.poll_ns.store(poll_ns, Ordering::Relaxed);
        }
        if take_next(now) {
            break;
        }
        since = idle(now);
    }
}

/// Runs the next ready thread; false if there is none. Returns true when that is the caller's.
fn take_next(now: u64) -> bool {
    let mut found = false;
    let mut calls = Calls::NONE;
    let mut ended = Context::RUNNING;
    let switch = |place: *mut State| {
        // SAFETY: the cell is in this thread's use, and the reference ends before the switch.
        let state = unsafe { &mut *place };
        let processor = own();
        let previous = state.scheduler.current(processor);
        state.scheduler.expire(now);
        let Some(next) = state.scheduler.next(processor) else {
            state.busy &= !bit(processor);
            local::get().thread.store(0, Ordering::Relaxed);
            if let Some(from) = idle_stack::leave(state, now, &raw mut ended) {
                found = true;
                // SAFETY: interrupts are disabled, and the cell stays in use, as below.
                unsafe { idle_stack::switch_to(from, be_idle) };
                // SAFETY: as below.
                unsafe { (*place).switched() };
            }
            // SAFETY: as below.
            calls = unsafe { (*place).take_calls() };
            return;
        };
        found = true;
        state.busy |= bit(processor);
        let number = state.scheduler.thread(next).map_or(0, |next| next.number);
        local::get().thread.store(number, Ordering::Relaxed);
        state.charge(previous, now);
        let contended = state.scheduler.has_ready();
        // Without threads or ticks no timer is set: the program may compute for long.
        if has_threads() || local::get().ticks.load(Ordering::Relaxed) {
            halt::resume_with(now, state.alarm(), contended);
        }
        if next != previous {
            let from: *mut Context = match state.scheduler.thread(previous) {
                Some(thread) => {
                    signals::exchange(&mut thread.signals);
                    &raw mut thread.context
                }
                None => &raw mut ended,
            };
            let Some(thread) = state.scheduler.thread(next) else {
                return;
            };
            signals::exchange(&mut thread.signals);
            memory::set_stack(thread.stack.clone());
            let (to, kernel_stack, pointer) = (thread.context, thread.kernel_stack, thread.pointer);
            // SAFETY: interrupts are disabled; the next thread was suspended here or is new, and
            // the previous one's context is written before anything can move it: the cell stays in
            // use.
            unsafe { gates::switch(from, to, kernel_stack, pointer) };
        }
        // SAFETY: another thread has taken the cell, perhaps on another processor, and has switched
        // to this one.
        let state = unsafe { &mut *place };
        state.switched();
        calls = state.take_calls();
    };
    // SAFETY: each thread that is switched to ends here or in `begun`.
    unsafe { STATE.hand_over(switch) };
    calls.make();
    found
}

/// A new thread begins, after the switch to it.
pub(super) extern "C" fn begun() {
    let mut calls = Calls::NONE;
    let begin = |state: &mut State| {
        state.switched();
        calls = state.take_calls();
    };
    // SAFETY: `take_next` took the cell.
    unsafe { STATE.take_over(begin) };
    calls.make();
}

/// Runs on a processor's own stack, after the switch to it.
extern "C" fn be_idle() {
    begun();
    loop {
        // The switch to a thread leaves this stack.
        run_next();
    }
}

/// Waits at the time `now` on a processor without a thread, until there may be one or something
/// else is to be done. Returns `now` if it has polled for one first.
fn idle(now: u64) -> Option<u64> {
    let several = local::several();
    if several {
        peers::set_idle(true);
        poll(now);
    }
    let (halts, earliest, quiet) = with(|state| {
        let halts = state.scheduler.halt(own());
        let earliest = if halts { state.alarm() } else { None };
        (halts, earliest, state.polling > 0)
    });
    if halts {
        halt::sleep(earliest, quiet);
        with(|state| state.scheduler.wake_processor(own()));
    }
    if several {
        peers::set_idle(false);
    }
    send_expired();
    signals::poll_power_button();
    if signals::is_ready() {
        with(|state| {
            let current = state.scheduler.current(own());
            if state.scheduler.thread(current).is_some() {
                state.scheduler.interrupt(current);
            }
        });
    }
    interrupt_for_process();
    several.then_some(now)
}

/// Polls for a thread for a while: other processors need no interrupt for it.
fn poll(now: u64) {
    let own = local::get();
    let end = now + own.poll_ns.load(Ordering::Relaxed);
    interrupts::enable();
    while !own.called.load(Ordering::Relaxed) && time::monotonic_ns() < end {
        sync::hint::spin_loop();
    }
    interrupts::disable();
}

/// Runs threads on a processor that has none, for good. With interrupts disabled.
pub fn run() -> ! {
    with(|state| state.scheduler.set_several());
    idle_stack::begin();
    if local::several() {
        peers::set_idle(false);
    }
    loop {
        // The switch to the first thread leaves this stack.
        run_next();
    }
}

//! The running thread's waits.
//!
//! `tools/models` checks these, the notification of processors ([`super::notify`]) and idle
//! processors ([`super::dispatch`]) under loom.

use super::notify::{is_signalled, with};
use super::scheduler::{Wait, bit};
use super::{calls, dispatch, has_threads, own, resume, take_note};
use crate::arch::interrupts::without_interrupts;
use crate::arch::local;
use crate::cell;
use crate::halt::{self, For};
use crate::{signals, smp, time};
use sync::atomic::AtomicU32;

/// Runs the next ready thread, see [`dispatch::run_next`]. Meanwhile system calls of others run.
pub(super) fn run_next() {
    let held = calls::give_up();
    dispatch::run_next();
    calls::take_back(held);
}

/// Suspends the running thread until its event, the deadline or a signal, unless [`take_note`] has
/// an event for it; the only thread halts the processor. May return early. With interrupts
/// disabled.
pub fn pause(wait: For, deadline: Option<u64>) {
    let polls = wait == For::Devices;
    if !has_threads() {
        if !take_note(wait) {
            halt::sleep(deadline, matches!(wait, For::Devices | For::Call));
        }
        return;
    }
    if cell::any_in_use() {
        if take_note(wait) {
            return;
        }
        // No other thread may run: such waits are short.
        if local::is_smp() {
            // Interrupts may be another processor's.
            return smp::relax();
        }
        with(|state| state.busy = 0);
        halt::sleep(deadline, polls);
        with(|state| state.busy = bit(own()));
        return resume(time::monotonic_ns());
    }
    let is_noted = || take_note(wait) || is_signalled();
    let event = match wait {
        For::Time => Wait::Time,
        For::Interrupt(_) | For::Devices | For::Call => Wait::Event,
    };
    let waits = with(|state| {
        let waits = state
            .scheduler
            .wait_unless(own(), is_noted, event, deadline);
        state.polling += usize::from(waits && polls);
        waits
    });
    if waits {
        run_next();
        with(|state| state.polling -= usize::from(polls));
    }
}

/// Suspends the running thread while the word has this value, until [`super::wake`], the deadline
/// or a signal.
pub fn await_change(word: &AtomicU32, value: u32, deadline: Option<u64>) {
    without_interrupts(|| {
        if !signals::is_ready() {
            pause_while(word, value, deadline, is_signalled);
        }
    });
}

/// The same without a deadline, regardless of signals.
pub fn await_release(word: &AtomicU32, value: u32) {
    without_interrupts(|| pause_while(word, value, None, || false));
}

/// Suspends the running thread, if a word has this value and `is_over` is false. With interrupts
/// disabled.
pub(super) fn pause_while(
    word: &AtomicU32,
    value: u32,
    deadline: Option<u64>,
    is_over: fn() -> bool,
) {
    if with(|state| {
        let scheduler = &mut state.scheduler;
        !is_over() && scheduler.wait_while(own(), word, value, u32::MAX, deadline)
    }) {
        run_next();
    }
}

pub(super) fn yield_now() {
    with(|state| state.scheduler.yield_now(own()));
    run_next();
}

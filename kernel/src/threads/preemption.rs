//! Interrupts of a program that has threads: the end of a slice, and what another processor sends.

use super::notify::{interrupt, with};
use super::program_timers::send_expired;
use super::scheduler::bit;
use super::waits::yield_now;
use super::{has_threads, limit_turn, local_of, own};
use crate::arch::float;
use crate::arch::gates::{self, Frame};
use crate::arch::local::{self, MAX};
use crate::halt::Interrupt;
use crate::halt::timer::SLICE_NS;
use crate::{cell, signals, time};
use core::ptr::null_mut;
use sync::atomic::Ordering;

/// A thread that has run for less time isn't preempted for those that were ready before: one that
/// was woken and soon waits again would lose a slice to a thread that computes. Somewhat less than
/// a slice, whose timer is set before the thread's time begins.
const MIN_TURN_NS: u64 = SLICE_NS - 100_000;

/// Handles an interrupt of `frame`. Returns the frame to leave it by, see [`gates::Trap`]: null to
/// resume in place, else another thread runs.
pub fn interrupted(frame: &mut Frame, interrupt: Interrupt) -> *mut Frame {
    if !has_threads() {
        return null_mut();
    }
    let local = local::get();
    let (busy, woken) = with(|state| {
        let busy = state.busy & bit(own()) != 0;
        if !busy {
            // It takes what the interrupt makes ready without another one.
            state.scheduler.wake_processor(own());
        }
        let woken = interrupt == Interrupt::Device && state.scheduler.event();
        (busy, woken)
    });
    if !busy {
        local.called.store(true, Ordering::Relaxed);
        return null_mut();
    }
    if interrupt == Interrupt::Device && !woken {
        return null_mut();
    }
    if cell::any_in_use() {
        limit_turn();
        return null_mut();
    }
    let now = time::monotonic_ns();
    send_expired();
    let preempts = with(|state| {
        state.scheduler.expire(now);
        let used = local.used_ns(now);
        let had_turn = used.saturating_sub(local.since.load(Ordering::Relaxed)) >= MIN_TURN_NS;
        let preempts = state.scheduler.has_ready() && (had_turn || state.scheduler.is_urgent());
        preempts || !state.scheduler.may_stay(own())
    });
    match interrupt {
        // Also for a processor that has called `limit_another`.
        _ if !preempts => limit_turn(),
        Interrupt::Timer if local::is_smp() => limit_another(),
        _ => {}
    }
    if !preempts && !signals::is_ready() {
        return null_mut();
    }
    // SAFETY: the program was interrupted outside of system calls, so its kernel stack is empty.
    unsafe { gates::move_frame(frame, gates::system_call_stack()) }
}

/// Has another processor, whose thread runs without a limit, let others run, too: more threads are
/// ready than the slices of this one serve.
#[cold]
fn limit_another() {
    let busy = with(|state| state.busy);
    let others = (0..MAX).filter(|processor| busy & bit(*processor) & !bit(own()) != 0);
    let mut unlimited = others.filter(|processor| {
        let local = local_of(*processor);
        local.is_some_and(|local| !local.limited.load(Ordering::Relaxed))
    });
    if let Some(processor) = unlimited.next() {
        interrupt(bit(processor));
    }
}

/// Lets other threads run in place of the one that was interrupted, whose frame has been moved.
pub fn preempted() {
    let set_interrupted = |interrupted| {
        with(|state| {
            if let Some(thread) = state.running() {
                thread.interrupted = interrupted;
            }
        });
    };
    set_interrupted(true);
    float::preserving(yield_now);
    set_interrupted(false);
}

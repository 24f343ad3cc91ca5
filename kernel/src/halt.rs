//! The processor halts, and its timer ends the halt, or the slice of the thread that runs.
//!
//! Interrupts are disabled before the timer is set for a halt and enabled by the halt itself. An
//! interrupt since the caller armed its devices was recorded or is pending, and ends the halt at
//! once: no wake-up is lost.
//!
//! [`Local`](crate::arch::local::Local) has the state of each processor's timer and halt.

pub mod polling;
pub mod timer;

use crate::arch::{interrupts, local};
use crate::board::timer as alarm;
use crate::time;
use core::sync::atomic::Ordering;

/// The event that ends a wait, in addition to its deadline and a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Nothing else.
    Time,
    /// Any interrupt after so many events ([`crate::interrupts::events`]).
    Interrupt(u64),
    /// Any interrupt, for the thread that polls all devices when it returns.
    Devices,
    /// The same, for a call of the runtime that waits for one device.
    Call,
}

/// Why a processor was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// By its timer.
    Timer,
    /// By a device.
    Device,
    /// By another processor, to see what there is to do.
    Ipi,
}

/// Halts the processor until an interrupt, at `deadline` at the latest; no tick is needed if
/// `quiet`. With interrupts disabled.
pub fn sleep(deadline: Option<u64>, quiet: bool) {
    let now = time::monotonic_ns();
    let quiet = quiet || !has_ticks();
    let deadline = match quiet {
        true => deadline,
        false => {
            let tick = now.saturating_add(timer::TICK_NS);
            Some(deadline.map_or(tick, |deadline| deadline.min(tick)))
        }
    };
    let own = local::get();
    if let Some(at) = timer::before_sleep(own.timer_set.load(Ordering::Relaxed), now, deadline) {
        set_timer(now, at);
    }
    own.halted.store(quiet, Ordering::Relaxed);
    own.set_halted(now);
    interrupts::enable_and_halt();
    interrupts::disable();
    own.halted.store(false, Ordering::Relaxed);
    own.set_running(time::monotonic_ns());
}

/// The time of all processors since their start in which they didn't halt, in nanoseconds. Polling
/// before a halt counts. Never goes back.
pub fn process_ns() -> u64 {
    let now = time::monotonic_ns();
    match local::is_smp() {
        true => local::all().map(|each| each.used_ns(now)).sum(),
        false => local::get().used_ns(now),
    }
}

fn set_timer(now: u64, at: u64) {
    let own = local::get();
    own.timer_set.store(at, Ordering::Relaxed);
    own.limited.store(false, Ordering::Relaxed);
    alarm::set(at.saturating_sub(now));
}

/// Whether the program's ticks are this processor's.
fn has_ticks() -> bool {
    local::get().ticks.load(Ordering::Relaxed)
}

/// The timer has interrupted: it isn't set any more. Returns whether it has interrupted a halt
/// without ticks, whose caller sets it again.
pub fn timer_expired() -> bool {
    let own = local::get();
    let due = own.timer_set.swap(0, Ordering::Relaxed);
    if due != 0 {
        time::note_timer(due);
    }
    own.limited.store(false, Ordering::Relaxed);
    own.halted.load(Ordering::Relaxed)
}

/// Sets the timer for a thread that runs from `now` on: `earliest` is the first deadline that this
/// processor has to see to, and others are ready if it is `contended`. With interrupts disabled.
pub fn resume_with(now: u64, earliest: Option<u64>, contended: bool) {
    let own = local::get();
    // Of several processors, one ticks.
    let most = match contended {
        true => Some(timer::SLICE_NS),
        false => has_ticks().then_some(timer::TICK_NS),
    };
    let set = own.timer_set.load(Ordering::Relaxed);
    if let Some(at) = timer::before_run(set, now, earliest, most) {
        set_timer(now, at);
    }
    if contended {
        own.limited.store(true, Ordering::Relaxed);
    }
}

//! Halting until something happens, and the ticks of a program that computes.
//!
//! Interrupts are disabled before the timer is set for a halt and enabled by the halt itself. An
//! interrupt that came since the caller armed its devices was noted or is pending, and ends the
//! halt at once: no wake-up is lost.
//!
//! [`start_ticks`] enables interrupts for good, while the program's code and the Rust code that it
//! called run (system calls and faults keep them disabled). The timer then interrupts the program
//! every few milliseconds, and the function given to `start_ticks` runs on a stack of its own, with
//! interrupts disabled.
//!
//! One processor halts. A second would need the statics below for itself.

pub mod polling;
pub mod timer;

use crate::arch::{apic, cpu, gates, sse};
use crate::{interrupts, power, signals, time};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use x86_64::instructions::interrupts as processor;

/// The function that runs at a tick; null before [`start_ticks`], which writes it once.
static TICK: AtomicPtr<()> = AtomicPtr::new(null_mut());
/// The time that the timer is set to, for the rules of [`timer`]. Written with interrupts disabled
/// or by the timer's interrupt.
static TIMER_SET: AtomicU64 = AtomicU64::new(0);
/// Halted in [`wait_until`], whose caller polls everything when it returns: no tick is needed.
/// Written with interrupts disabled.
static HALTED: AtomicBool = AtomicBool::new(false);
/// For how long the next [`watch`] polls before it halts, in nanoseconds.
static POLL_NS: AtomicU64 = AtomicU64::new(0);

/// Halts until any interrupt or, if given, until the monotonic clock shows `deadline_ns`. May
/// return early; the caller checks its condition and calls again. No tick runs meanwhile.
pub fn wait_until(deadline_ns: Option<u64>) {
    halt(deadline_ns, true);
}

/// As [`wait_until`], for a caller whose devices show completions in memory: `pending` is polled
/// for a while first, by the rule of [`polling`]. `arm` enables the devices' interrupts before the
/// halt and returns whether something is pending already. True when a handler of the program's for
/// a signal has run.
pub fn watch(
    deadline_ns: Option<u64>,
    pending: &mut dyn FnMut() -> bool,
    arm: &mut dyn FnMut() -> bool,
) -> bool {
    poll_and_halt(deadline_ns, pending, arm);
    signals::run_handlers()
}

fn poll_and_halt(
    deadline_ns: Option<u64>,
    pending: &mut dyn FnMut() -> bool,
    arm: &mut dyn FnMut() -> bool,
) {
    let began = time::monotonic_ns();
    // While interrupts are disabled, one of another device wouldn't be noted.
    let polling = match processor::are_enabled() {
        true => POLL_NS.load(Ordering::Relaxed),
        false => 0,
    };
    let end = deadline_ns.map_or(began + polling, |at| at.min(began + polling));
    while time::monotonic_ns() < end {
        if interrupts::take_noted() || pending() {
            return signals::obey_button();
        }
    }
    if !arm() {
        wait_until(deadline_ns);
    }
    if cpu::is_emulated() {
        let waited = time::monotonic_ns() - began;
        POLL_NS.store(polling::next(polling, waited), Ordering::Relaxed);
    }
}

/// As [`wait_until`], for a system call, whose caller polls no network: ticks go on.
pub fn pause_until(deadline_ns: Option<u64>) {
    if TICK.load(Ordering::Relaxed).is_null() {
        return wait_until(deadline_ns);
    }
    let tick = time::monotonic_ns().saturating_add(timer::TICK_NS);
    halt(
        Some(deadline_ns.map_or(tick, |deadline| deadline.min(tick))),
        false,
    );
}

fn halt(deadline: Option<u64>, quiet: bool) {
    power::listen();
    let open = processor::are_enabled();
    processor::disable();
    if !interrupts::take_noted() {
        let now = time::monotonic_ns();
        if deadline.is_none_or(|deadline| deadline > now) {
            if let Some(at) = timer::before_sleep(TIMER_SET.load(Ordering::Relaxed), now, deadline)
            {
                set_timer(now, at);
            }
            HALTED.store(quiet, Ordering::Relaxed);
            processor::enable_and_hlt();
            processor::disable();
            HALTED.store(false, Ordering::Relaxed);
            interrupts::clear_noted();
        }
    }
    if open {
        processor::enable();
    }
    signals::obey_button();
}

fn set_timer(now: u64, at: u64) {
    TIMER_SET.store(at, Ordering::Relaxed);
    apic::set_timer(time::bus_clocks(at - now));
}

/// Sets the timer for the next tick when the program runs on, at time `now`.
pub fn resume(now: u64) {
    if !TICK.load(Ordering::Relaxed).is_null()
        && let Some(at) = timer::before_work(TIMER_SET.load(Ordering::Relaxed), now)
    {
        set_timer(now, at);
    }
}

/// Runs `tick` every [`timer::TICK_NS`] while the program computes, as an interrupt, on the stack
/// that ends at `stack`: `tick` has to find out whether it interrupted Rust code whose data it
/// needs. Interrupts stay enabled from now on.
pub fn start_ticks(tick: fn(), stack: NonNull<u8>) {
    gates::set_interrupt_stack(stack.as_ptr() as u64);
    // Hidden from the compiler, which would otherwise call the only value ever stored by name where
    // it is loaded: then every program would carry what `tick` needs.
    TICK.store(core::hint::black_box(tick as *mut ()), Ordering::Release);
    resume(time::monotonic_ns());
    processor::enable();
}

/// Handles the timer's interrupt.
pub fn timer_interrupt() {
    TIMER_SET.store(0, Ordering::Relaxed);
    if HALTED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: only `start_ticks` stores there, a function of this type; null is `None`.
    let tick =
        unsafe { core::mem::transmute::<*mut (), Option<fn()>>(TICK.load(Ordering::Acquire)) };
    if let Some(tick) = tick {
        sse::with_default_rounding(tick);
        resume(time::monotonic_ns());
    }
}

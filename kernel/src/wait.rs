//! Halting until something happens, and the ticks of a program that doesn't halt.
//!
//! Interrupts are closed before the timer is set for a halt and opened by it. One that came since
//! the caller began to ask its devices for them, which they answer when there is something already,
//! was noted or is pending and ends the halt at once: no wake-up is lost.
//!
//! [`start_ticks`] opens interrupts for good, while the program's code and Rust code that it called
//! run (system calls and faults stay closed). The timer then interrupts every few milliseconds what
//! doesn't halt by itself, and what was given to `start_ticks` runs, on a stack of its own, with
//! interrupts closed.

use crate::{apic, interrupts, machine, polling, power, signals, time, timer};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use x86_64::instructions::interrupts as processor;

/// What runs at a tick; null before [`start_ticks`].
static TICK: AtomicPtr<()> = AtomicPtr::new(null_mut());
/// When the timer interrupts, as [`timer`] has it.
static TIMER_SET: AtomicU64 = AtomicU64::new(0);
/// A device has interrupted since the last halt.
static NOTED: AtomicBool = AtomicBool::new(false);
/// Halted by one who looks after everything when it wakes.
static HALTED: AtomicBool = AtomicBool::new(false);
/// For how long the next [`watch`] looks before it halts, in nanoseconds.
static LOOK_NS: AtomicU64 = AtomicU64::new(0);

/// Halts until any interrupt or, if given, until the monotonic clock shows `deadline_ns`. May
/// return early; the caller looks at what it waits for and calls again. Nothing of the caller's
/// runs meanwhile, nor does a tick.
pub fn wait_until(deadline_ns: Option<u64>) {
    halt(deadline_ns, true);
}

/// As [`wait_until`], for one whose devices tell in memory when there is something to do: `news` is
/// asked for a while first, by the rule of [`polling`]. `arm` asks for interrupts before the halt
/// and says whether there is news already. True when a handler of the program's for a signal has
/// run.
pub fn watch(
    deadline_ns: Option<u64>,
    news: &mut dyn FnMut() -> bool,
    arm: &mut dyn FnMut() -> bool,
) -> bool {
    look_and_halt(deadline_ns, news, arm);
    signals::run_handlers()
}

fn look_and_halt(
    deadline_ns: Option<u64>,
    news: &mut dyn FnMut() -> bool,
    arm: &mut dyn FnMut() -> bool,
) {
    let began = time::monotonic_ns();
    // Where interrupts are closed, one of another device wouldn't be noted.
    let looked = match processor::are_enabled() {
        true => LOOK_NS.load(Ordering::Relaxed),
        false => 0,
    };
    let end = deadline_ns.map_or(began + looked, |at| at.min(began + looked));
    while time::monotonic_ns() < end {
        if NOTED.swap(false, Ordering::Relaxed) || news() {
            return power::obey();
        }
    }
    if !arm() {
        wait_until(deadline_ns);
    }
    if machine::is_emulated() {
        let waited = time::monotonic_ns() - began;
        LOOK_NS.store(polling::next(looked, waited), Ordering::Relaxed);
    }
}

/// As [`wait_until`], for a system call that waits for something else than the network: ticks go
/// on.
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
    if !NOTED.swap(false, Ordering::Relaxed) {
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
            NOTED.store(false, Ordering::Relaxed);
        }
    }
    if open {
        processor::enable();
    }
    power::obey();
}

fn set_timer(now: u64, at: u64) {
    TIMER_SET.store(at, Ordering::Relaxed);
    apic::set_timer(time::bus_clocks(at - now));
}

/// Says that the program runs on, at time `now`.
pub fn resume(now: u64) {
    if !TICK.load(Ordering::Relaxed).is_null()
        && let Some(at) = timer::before_work(TIMER_SET.load(Ordering::Relaxed), now)
    {
        set_timer(now, at);
    }
}

/// Runs `tick` every [`timer::TICK_NS`] while the program computes, in the middle of whatever it
/// does, on the stack that ends at `stack`: `tick` has to find out whether it interrupted Rust code
/// whose data it needs. Interrupts are open from now on.
pub fn start_ticks(tick: fn(), stack: NonNull<u8>) {
    interrupts::set_stack(stack.as_ptr() as u64);
    // Hidden, for a compiler that knows the one value that is ever stored calls it by name where it
    // is loaded: then every program would carry what `tick` needs.
    TICK.store(core::hint::black_box(tick as *mut ()), Ordering::Release);
    resume(time::monotonic_ns());
    processor::enable();
}

/// A device has interrupted.
pub fn note() {
    NOTED.store(true, Ordering::Relaxed);
}

/// The timer has interrupted.
pub fn timer_interrupt() {
    TIMER_SET.store(0, Ordering::Relaxed);
    if HALTED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: only `start_ticks` stores there, a function of this type; null is `None`.
    let tick =
        unsafe { core::mem::transmute::<*mut (), Option<fn()>>(TICK.load(Ordering::Acquire)) };
    if let Some(tick) = tick {
        with_own_rounding(tick);
        resume(time::monotonic_ns());
    }
}

/// Runs `f` with the usual rounding and no floating-point traps, and gives the program's settings
/// and flags back.
fn with_own_rounding(f: fn()) {
    /// What the processor starts with: every trap masked, rounding to the nearest.
    static DEFAULT: u32 = 0x1f80;
    let mut program = 0u32;
    // SAFETY: stores MXCSR, and loads a valid value.
    unsafe {
        core::arch::asm!(
            "stmxcsr [{}]", "ldmxcsr [{}]",
            in(reg) &raw mut program, in(reg) &raw const DEFAULT,
            options(nostack)
        );
    }
    f();
    // SAFETY: loads what was there before.
    unsafe { core::arch::asm!("ldmxcsr [{}]", in(reg) &raw const program, options(nostack)) };
}

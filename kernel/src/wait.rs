//! Waits of the runtime and of system calls, and the ticks of a program that computes.
//!
//! [`start_ticks`] enables interrupts for good, while the program's code and the Rust code that it
//! called run (system calls and faults keep them disabled). The timer then interrupts the program
//! every few milliseconds, and the parts of [`Ticks`] run on a stack of their own, with interrupts
//! disabled.
//!
//! In a program with threads a wait suspends one of them, and the processor halts when none can run
//! ([`threads`]). The only thread of a program halts the processor itself.

pub use crate::halt::For;
pub use crate::threads::{has_threads, resume, wake};

use crate::arch::{cpu, float, gates, host, interrupts as processor, local};
use crate::errno::Errno;
use crate::halt::{self, polling};
use crate::part::Slot as _;
use crate::smp::{resume_interrupts, suspend_interrupts};
use crate::{cell, console, devices, interrupts, power, signals, threads, time};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use sync::atomic::AtomicU32;

/// Whether other threads of the program may run while the caller waits, which isn't a system call:
/// these have interrupts disabled.
pub fn is_shared() -> bool {
    has_threads() && processor::are_enabled()
}

/// The number of the running thread.
pub fn thread() -> u64 {
    processor::without_interrupts(threads::number)
}

/// Ends the wait of the thread that waits for devices, at once if it is about to begin. From calls
/// and ticks.
pub fn nudge() {
    threads::nudge();
}

/// Waits while `word` has this value, until [`wake`], the deadline or a signal, whose handlers have
/// then run. May return early; does nothing in a program with one thread.
pub fn await_change(word: &AtomicU32, value: u32, deadline_ns: Option<u64>) {
    if has_threads() {
        threads::await_change(word, value, deadline_ns);
        signals::run_handlers();
    }
}

/// Waits while `word` has this value, until [`wake`]; no handler of a signal runs. May return
/// early; does nothing in a program with one thread.
pub fn await_release(word: &AtomicU32, value: u32) {
    if has_threads() {
        threads::await_release(word, value);
    }
}

crate::slot! {
    /// The functions that run at a tick, unless that interrupted the use of a cell: the heap's and
    /// the random numbers' are used also by calls that hold no lock. Each function has to find out
    /// whether it interrupted other Rust code whose data it needs.
    pub enum Ticks: fn() = "ticks";
}

/// The ticks have begun, see [`start_ticks`].
static TICKING: AtomicBool = AtomicBool::new(false);
/// For how long the next [`watch`] polls before it halts, in nanoseconds.
static POLL_NS: AtomicU64 = AtomicU64::new(0);

/// Halts until any interrupt or, if given, until the monotonic clock reaches `deadline_ns`. May
/// return early; the caller checks its condition and calls again. No tick runs meanwhile.
pub fn wait_until(deadline_ns: Option<u64>) {
    halt(For::Call, deadline_ns);
}

/// As [`wait_until`], for a caller whose devices show completions in memory: `pending` is polled
/// for a while first, by the rule of [`polling`]. `arm` enables the devices' interrupts before the
/// halt and returns whether something is pending already. Both run with interrupts disabled, so
/// that no tick and no other thread uses the devices meanwhile. Returns true when a signal handler
/// of the program has run.
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
    // While interrupts are disabled, one of another device wouldn't be recorded.
    let alone = !threads::has_ready();
    let polling = match processor::are_enabled() && alone {
        true => POLL_NS.load(Ordering::Relaxed),
        false => 0,
    };
    let end = deadline_ns.map_or(began + polling, |at| at.min(began + polling));
    while time::monotonic_ns() < end {
        for _ in 0..cpu::POLLS_PER_TIME {
            if interrupts::take_pending() || processor::without_interrupts(&mut *pending) {
                return signals::poll_power_button();
            }
        }
    }
    if !processor::without_interrupts(arm) {
        halt(For::Devices, deadline_ns);
    }
    if cpu::is_emulated() || host::is_dedicated() {
        let waited = time::monotonic_ns() - began;
        POLL_NS.store(polling::next(polling, waited), Ordering::Relaxed);
    }
}

/// Sleeps in a system call until the deadline (monotonic nanoseconds), or forever. Polls no device.
///
/// # Errors
/// EINTR when a signal is to be handled.
pub fn sleep(deadline: Option<u64>) -> Result<(), Errno> {
    while deadline.is_none_or(|deadline| time::monotonic_ns() < deadline) {
        if signals::is_ready() {
            return Err(Errno::EINTR);
        }
        pause_until(For::Time, deadline);
    }
    Ok(())
}

/// Waits in a system call, whose caller polls no network: ticks continue. May return early.
pub fn pause_until(wait: For, deadline_ns: Option<u64>) {
    halt(wait, deadline_ns);
}

fn halt(wait: For, deadline: Option<u64>) {
    let deadline = match wait {
        For::Devices | For::Call => devices::deadline(deadline, time::monotonic_ns),
        For::Time | For::Interrupt(_) => deadline,
    };
    power::listen();
    console::waits();
    let open = processor::are_enabled();
    processor::disable();
    if deadline.is_none_or(|deadline| deadline > time::monotonic_ns()) {
        threads::pause(wait, deadline);
    }
    // What woke it.
    threads::take_note(wait);
    if open {
        processor::enable();
    }
    signals::poll_power_button();
}

/// Runs the parts of [`Ticks`] every [`halt::timer::TICK_NS`] while the program computes, as an
/// interrupt, on the stack that ends at `stack`. The program's interrupts stay enabled from now on,
/// or from the end of the current system call. With threads they already are. Does nothing if the
/// ticks have begun.
pub fn start_ticks(stack: NonNull<u8>) {
    // The processor that has the stack also has the ticks.
    let suspended = suspend_interrupts();
    if !has_ticks() {
        gates::set_interrupt_stack(stack.as_ptr() as u64);
        local::get().ticks.store(true, Ordering::Relaxed);
        TICKING.store(true, Ordering::Relaxed);
    }
    resume(time::monotonic_ns());
    resume_interrupts(suspended);
    if !has_threads() && !local::get().in_call.load(Ordering::Relaxed) {
        processor::enable();
    }
}

/// Whether ticks have begun.
pub fn has_ticks() -> bool {
    TICKING.load(Ordering::Relaxed)
}

/// Handles the timer's interrupt.
pub fn timer_interrupt(_: u8) {
    if halt::timer_expired() {
        return;
    }
    if local::get().ticks.load(Ordering::Relaxed) && !cell::any_in_use() {
        float::with_default_rounding(|| Ticks::parts().iter().for_each(|tick| tick()));
    }
    // With threads their deadlines come first ([`threads::interrupted`]).
    if !has_threads() {
        resume(time::monotonic_ns());
    }
}

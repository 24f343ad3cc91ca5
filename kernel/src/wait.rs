//! Halting until an event, and the ticks of a program that computes.
//!
//! Interrupts are disabled before the timer is set for a halt and enabled by the halt itself. An
//! interrupt since the caller armed its devices was recorded or is pending, and ends the halt at
//! once: no wake-up is lost.
//!
//! [`start_ticks`] enables interrupts for good, while the program's code and the Rust code that it
//! called run (system calls and faults keep them disabled). The timer then interrupts the program
//! every few milliseconds, and the function given to `start_ticks` runs on a stack of its own, with
//! interrupts disabled.
//!
//! In a program with threads a wait suspends one of them, and the processor halts when none can run
//! ([`Threads`], which [`crate::threads`] sets: this module knows of one thread).
//!
//! [`Local`](crate::arch::local::Local) has the state of each processor's timer and halt.

pub mod polling;
pub mod timer;

use crate::arch::gates::{Frame, SystemCallFrame};
use crate::arch::{cpu, float, gates, interrupts as processor, local};
use crate::board::timer as alarm;
use crate::peers::{self, resume_interrupts, suspend_interrupts};
use crate::{console, interrupts, power, signals, time};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use sync::atomic::AtomicU32;

/// The event that ends a wait, in addition to its deadline and a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Nothing else.
    Time,
    /// Any interrupt.
    Interrupt,
    /// The same, for the thread that polls all devices when it returns.
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
    Peer,
}

/// The functions of a program that has more than one thread.
pub struct Threads {
    /// Suspends the running thread, unless [`take_note`] has an event for it. With interrupts
    /// disabled.
    pub pause: fn(For, Option<u64>),
    /// Handles an interrupt; returns the frame to leave it by, see [`gates::Trap`].
    pub interrupted: fn(&mut Frame, Interrupt) -> *mut Frame,
    /// The earliest deadline of a thread that waits, if this processor has to see to it.
    pub earliest: fn() -> Option<u64>,
    /// Whether another thread could run, for which no processor is free.
    pub has_ready: fn() -> bool,
    /// The number of the running thread.
    pub number: fn() -> u64,
    /// Wakes the threads that wait for an interrupt.
    pub event: fn(),
    /// Suspends the running thread while the word has this value, until [`Threads::wake`], the
    /// deadline or a signal.
    pub await_change: fn(&AtomicU32, u32, Option<u64>),
    /// The same without a deadline, regardless of signals.
    pub await_release: fn(&AtomicU32, u32),
    /// Wakes the threads that wait for a change of the word.
    pub wake: fn(&AtomicU32),
    /// Runs threads on a processor that has none, for good. With interrupts disabled.
    pub run: fn() -> !,
    /// A system call begins: it may wait for those of other processors.
    pub begin_call: fn(&SystemCallFrame),
    /// It ends.
    pub end_call: fn(),
}

/// Null in a program with one thread. Written once, by [`set_threads`].
static THREADS: AtomicPtr<Threads> = AtomicPtr::new(null_mut());

/// From now on a wait suspends one thread, and the timer interrupts the program for the others.
pub fn set_threads(threads: &'static Threads) {
    // Hidden from the compiler, as in `start_ticks`: otherwise every program would link the
    // functions. Release: the first thread exists before any function runs.
    let threads: *const Threads = core::hint::black_box(threads);
    THREADS.store(threads.cast_mut(), Ordering::Release);
}

/// Whether other threads of the program may run while the caller waits, which isn't a system call:
/// these have interrupts disabled.
pub fn is_shared() -> bool {
    threads().is_some() && processor::are_enabled()
}

/// Whether the program has had more than one thread.
pub fn has_threads() -> bool {
    threads().is_some()
}

/// The number of the running thread.
pub fn thread() -> u64 {
    threads().map_or(signals::PID, |threads| (threads.number)())
}

/// Ends the wait of the thread that waits for devices, at once if it is about to begin. From calls
/// and ticks.
pub fn nudge() {
    interrupts::note();
    if let Some(threads) = threads() {
        (threads.event)();
    }
}

/// Waits while `word` has this value, until [`wake`], the deadline or a signal, whose handlers have
/// then run. May return early; does nothing in a program with one thread.
pub fn await_change(word: &AtomicU32, value: u32, deadline_ns: Option<u64>) {
    if let Some(threads) = threads() {
        (threads.await_change)(word, value, deadline_ns);
        signals::run_handlers();
    }
}

/// Waits while `word` has this value, until [`wake`]; no handler of a signal runs. May return
/// early; does nothing in a program with one thread.
pub fn await_release(word: &AtomicU32, value: u32) {
    if let Some(threads) = threads() {
        (threads.await_release)(word, value);
    }
}

/// Wakes the threads that wait for a change of `word`.
pub fn wake(word: &AtomicU32) {
    if let Some(threads) = threads() {
        (threads.wake)(word);
    }
}

/// Runs the program's threads on a processor that has none, for good, if there are threads. With
/// interrupts disabled.
pub fn run_threads() {
    if let Some(threads) = threads() {
        (threads.run)();
    }
}

fn threads() -> Option<&'static Threads> {
    // Acquire: pairs with `set_threads`. SAFETY: only that stores there.
    unsafe { THREADS.load(Ordering::Acquire).as_ref() }
}

/// The function that runs at a tick; null before the first [`start_ticks`].
static TICK: AtomicPtr<()> = AtomicPtr::new(null_mut());
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
    let alone = threads().is_none_or(|threads| !(threads.has_ready)());
    let polling = match processor::are_enabled() && alone {
        true => POLL_NS.load(Ordering::Relaxed),
        false => 0,
    };
    let end = deadline_ns.map_or(began + polling, |at| at.min(began + polling));
    while time::monotonic_ns() < end {
        for _ in 0..cpu::LOOKS_PER_TIME {
            if interrupts::take_pending() || processor::without_interrupts(&mut *pending) {
                return signals::poll_power_button();
            }
        }
    }
    if !processor::without_interrupts(arm) {
        halt(For::Devices, deadline_ns);
    }
    if cpu::is_emulated() {
        let waited = time::monotonic_ns() - began;
        POLL_NS.store(polling::next(polling, waited), Ordering::Relaxed);
    }
}

/// Waits in a system call, whose caller polls no network: ticks continue. May return early.
pub fn pause_until(wait: For, deadline_ns: Option<u64>) {
    halt(wait, deadline_ns);
}

fn halt(wait: For, deadline: Option<u64>) {
    power::listen();
    console::waits();
    let open = processor::are_enabled();
    processor::disable();
    if deadline.is_none_or(|deadline| deadline > time::monotonic_ns()) {
        match threads() {
            Some(threads) => (threads.pause)(wait, deadline),
            None if take_note(wait) => {}
            None => sleep(deadline, matches!(wait, For::Devices | For::Call)),
        }
    }
    // What woke it.
    take_note(wait);
    if open {
        processor::enable();
    }
    signals::poll_power_button();
}

/// Takes the note of an event that ends such a wait, if there is one. Of threads that wait for any
/// interrupt, or for none, each checks its own condition when it is woken.
pub fn take_note(wait: For) -> bool {
    match (threads(), wait) {
        (Some(_), For::Time | For::Interrupt) => false,
        (Some(_), For::Call) => interrupts::take_pending_for_call(),
        _ => interrupts::take_pending(),
    }
}

/// Halts the processor until an interrupt, at `deadline` at the latest; no tick is needed if
/// `quiet`. With interrupts disabled.
pub fn sleep(deadline: Option<u64>, quiet: bool) {
    let now = time::monotonic_ns();
    let deadline = match quiet || !has_ticks() {
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
    processor::enable_and_halt();
    processor::disable();
    own.halted.store(false, Ordering::Relaxed);
    own.set_running(time::monotonic_ns());
}

/// The time of this processor since its start in which it didn't halt, in nanoseconds. Polling
/// before a halt counts. Never goes back. With interrupts disabled, or by the only thread.
pub fn used_ns() -> u64 {
    local::get().used_ns(time::monotonic_ns())
}

/// The same of all processors.
pub fn process_ns() -> u64 {
    let now = time::monotonic_ns();
    match peers::get() {
        Some(peers) => (peers.used_ns)(now),
        None => local::get().used_ns(now),
    }
}

/// Handles an interrupt of `frame` for the program's threads. Returns the frame to continue with on
/// another stack, or null.
pub fn interrupted(frame: &mut Frame, interrupt: Interrupt) -> *mut Frame {
    match threads() {
        Some(threads) => (threads.interrupted)(frame, interrupt),
        None => null_mut(),
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
    !TICK.load(Ordering::Relaxed).is_null() && local::get().ticks.load(Ordering::Relaxed)
}

/// Sets the timer for the next tick, or an earlier deadline of another thread, or the end of a
/// slice if one is ready, when the program resumes at time `now` or has made a thread ready.
pub fn resume(now: u64) {
    let threads = threads();
    if TICK.load(Ordering::Relaxed).is_null() && threads.is_none() {
        return;
    }
    let suspended = suspend_interrupts();
    let earliest = threads.and_then(|threads| (threads.earliest)());
    let contended = threads.is_some_and(|threads| (threads.has_ready)());
    resume_with(now, earliest, contended);
    resume_interrupts(suspended);
}

/// [`resume`] of a thread, where `earliest` is the first deadline that this processor has to see
/// to, and others are ready if it is `contended`. With interrupts disabled.
pub fn resume_with(now: u64, earliest: Option<u64>, contended: bool) {
    let own = local::get();
    // Of several processors, one ticks.
    if contended || earliest.is_some() || !local::several() || has_ticks() {
        let set = own.timer_set.load(Ordering::Relaxed);
        if let Some(at) = timer::before_run(set, now, earliest, contended) {
            set_timer(now, at);
        }
        if contended {
            own.limited.store(true, Ordering::Relaxed);
        }
    }
}

/// Gives the running thread no more than a slice from now on, if it has made another one ready.
/// With interrupts disabled.
pub fn limit_turn() {
    // Threads wake each other far more often than slices end: without the clocks.
    if !local::get().limited.load(Ordering::Relaxed) {
        resume(time::monotonic_ns());
    }
}

/// A system call is in progress, or a hook of the boot. Used in a program with one thread.
static IN_CALL: AtomicBool = AtomicBool::new(false);

/// Notes that interrupts stay disabled until a later system call: the program hasn't started.
pub fn set_in_call(in_call: bool) {
    IN_CALL.store(in_call, Ordering::Relaxed);
}

/// Handles a system call with `f`, during which interrupts are disabled.
pub fn in_call<T>(call: &mut SystemCallFrame, f: impl FnOnce(&mut SystemCallFrame) -> T) -> T {
    IN_CALL.store(true, Ordering::Relaxed);
    if local::several() {
        begin_call(call);
    }
    let answer = f(call);
    // Other processors may run since the call began.
    if local::several() {
        end_call();
    }
    IN_CALL.store(false, Ordering::Relaxed);
    if !TICK.load(Ordering::Relaxed).is_null() {
        // Also after the call in which the ticks began.
        call.enable_interrupts();
    }
    answer
}

/// A system call begins, where several processors run: it may wait for theirs.
#[cold]
#[inline(never)]
pub fn begin_call(call: &SystemCallFrame) {
    if let Some(threads) = threads() {
        (threads.begin_call)(call);
    }
}

#[cold]
#[inline(never)]
fn end_call() {
    if let Some(threads) = threads() {
        (threads.end_call)();
    }
}

/// Runs `tick` every [`timer::TICK_NS`] while the program computes, as an interrupt, on the stack
/// that ends at `stack`: `tick` has to find out whether it interrupted Rust code whose data it
/// needs. The program's interrupts stay enabled from now on, or from the end of the current system
/// call. With threads they already are.
pub fn start_ticks(tick: fn(), stack: NonNull<u8>) {
    // The processor that has the stack also has the ticks.
    let suspended = suspend_interrupts();
    gates::set_interrupt_stack(stack.as_ptr() as u64);
    local::get().ticks.store(true, Ordering::Relaxed);
    // Hidden from the compiler, which would otherwise replace the load by a call of the only value
    // ever stored: then every program would link what `tick` needs. Release: the interrupt that
    // calls it sees what was prepared for it.
    TICK.store(core::hint::black_box(tick as *mut ()), Ordering::Release);
    resume(time::monotonic_ns());
    resume_interrupts(suspended);
    if threads().is_none() && !IN_CALL.load(Ordering::Relaxed) {
        processor::enable();
    }
}

/// Makes `tick` the function that runs at ticks; returns the previous one if it is another. Does
/// nothing if ticks have not begun: they have no stack.
pub fn replace_tick(tick: fn()) -> Option<fn()> {
    let begun = |before: *mut ()| (!before.is_null()).then_some(tick as *mut ());
    // Release: what `tick` needs. Acquire, too: the caller calls the previous one.
    let before = TICK.fetch_update(Ordering::AcqRel, Ordering::Acquire, begun);
    let (Ok(before) | Err(before)) = before;
    // SAFETY: only functions of this type are stored there; null is `None`.
    let before = unsafe { core::mem::transmute::<*mut (), Option<fn()>>(before) };
    before.filter(|before| *before as *mut () != tick as *mut ())
}

/// Handles the timer's interrupt.
pub fn timer_interrupt(_: u8) {
    let own = local::get();
    let due = own.timer_set.swap(0, Ordering::Relaxed);
    if due != 0 {
        time::note_timer(due);
    }
    own.limited.store(false, Ordering::Relaxed);
    if own.halted.load(Ordering::Relaxed) {
        return;
    }
    // Acquire: pairs with `start_ticks` and `replace_tick`. SAFETY: only these store there,
    // functions of this type; null is `None`.
    let tick =
        unsafe { core::mem::transmute::<*mut (), Option<fn()>>(TICK.load(Ordering::Acquire)) };
    if let Some(tick) = tick.filter(|_| own.ticks.load(Ordering::Relaxed)) {
        float::with_default_rounding(tick);
    }
    resume(time::monotonic_ns());
}

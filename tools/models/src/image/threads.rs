//! Threads' waits, wake-ups and idle processors, without what one thread has for itself: each
//! thread stays on its processor.

// The models use a part of these.
#[allow(dead_code, reason = "see above")]
#[path = "../../../../kernel/src/threads/dispatch.rs"]
mod dispatch;
// The models use a part of these.
#[allow(dead_code, reason = "see above")]
#[path = "../../../../kernel/src/threads/idle.rs"]
mod idle;
#[path = "../../../../kernel/src/threads/notify.rs"]
mod notify;
#[path = "../../../../kernel/src/threads/preemption.rs"]
mod preemption;
#[allow(dead_code, reason = "see above")]
#[path = "../../../../kernel/src/threads/waits.rs"]
mod waits;

use super::scheduler::{self, Index, Scheduler};
use crate::arch::gates::{Context, Frame};
use crate::arch::local::{self, Local, MAX};
use crate::cell::{ExclusiveCell, are_abandoned, rank};
use crate::checks::bell::Bell;
use crate::halt::{For, Interrupt};
use crate::signals;
use crate::smp::Set;
use core::ops::Range;
use idle::Idle;
use kernel::arch::model::set_uncounted;
use kernel::interrupts::{events, take_pending, take_pending_for_call};
use notify::with;
use preemption::{interrupted, preempted};
use std::cell::Cell;
use sync::atomic::{AtomicU32, Ordering};

/// Faults around the sources.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// An interrupt for a halted processor is lost.
    KickLost,
    /// A processor that polls doesn't learn that it has a thread.
    CallLost,
    /// A note is taken before the step that queues the thread.
    NotedOutside,
    /// The events are counted after the check after which the thread waits.
    CountedLate,
    /// An event is noted after those that wait for one are woken.
    NotedLate,
    /// A word changes after those that wait for it are woken.
    ChangedLate,
    /// Cells in use aren't counted.
    Uncounted,
}

thread_local! {
    /// Of this model.
    static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// Gives the model this fault.
pub fn set(fault: Fault) {
    FAULT.set(fault);
    set_uncounted(fault == Fault::Uncounted);
}

/// Whether the model has this fault.
pub fn has(fault: Fault) -> bool {
    FAULT.get() == fault
}

/// As in `kernel`.
struct Thread {
    number: u64,
    context: Context,
    kernel_stack: u64,
    pointer: u64,
    stack: Range<u64>,
    signals: signals::Thread,
    interrupted: bool,
}

/// As in `kernel`.
struct State {
    scheduler: Scheduler<Thread, MAX>,
    idle: [Idle; MAX],
    busy: Set,
    polling: usize,
}

loom::lazy_static! {
    static ref STATE: ExclusiveCell<State, rank::Threads> = ExclusiveCell::new(State {
        scheduler: Scheduler::new(),
        idle: [Idle::NONE; MAX],
        busy: 0,
        polling: 0,
    });
    /// Interrupts of each processor, pending while it doesn't halt.
    static ref INTERRUPTS: [Bell; MAX] = std::array::from_fn(|_| Bell::new());
}

impl State {
    fn running(&mut self) -> Option<&mut Thread> {
        let current = self.scheduler.current(own());
        self.scheduler.thread(current)
    }

    /// No wait has a deadline.
    fn alarm(&mut self) -> Option<u64> {
        None
    }

    fn charge(&mut self, _: Index, _: u64) {}

    fn keep_stack(&mut self) {}
}

/// As in `kernel`.
mod calls {
    pub fn give_up() -> bool {
        false
    }

    pub fn take_back(_: bool) {}
}

/// The idle thread of a processor, after the switch to it and until it switches to the processor's
/// thread.
pub fn be_idle() {
    dispatch::end_switch();
    loop {
        idle::wait();
        dispatch::switch(0, dispatch::Caller::Idle);
        if with(|state| state.running().is_some()) {
            // The thread ends the use of the state in which it was switched to.
            return std::mem::forget(STATE.lock());
        }
    }
}

/// As in `kernel`.
mod program_timers {
    pub fn send_expired() {}
}

fn interrupt_for_process() {}

/// As in `kernel`, in a program with threads.
fn take_note(wait: For) -> bool {
    match wait {
        _ if has(Fault::NotedOutside) => false,
        For::Time => false,
        For::Interrupt(seen) => events() != seen,
        For::Devices => take_pending(),
        For::Call => take_pending_for_call(),
    }
}

/// As in `kernel`.
fn has_threads() -> bool {
    true
}

/// No timer is set.
fn resume(_: u64) {}

/// No slice ends.
fn limit_turn() {}

fn own() -> usize {
    local::get().number().into()
}

fn local_of(processor: usize) -> Option<&'static Local> {
    local::of(processor).filter(|_| !has(Fault::CallLost))
}

/// A thread runs on each processor, which polls before it halts, or does so at once. The caller is
/// the first.
pub fn begin(fault: Fault, polls: bool) {
    set(fault);
    // Begins the flag.
    assert!(!are_abandoned());
    local::set_smp();
    for number in 0..MAX {
        let local = local::of(number).expect("a processor");
        local.called.store(false, Ordering::Relaxed);
        local.poll_ns.store(u64::from(polls), Ordering::Relaxed);
    }
    with(|state| {
        state.scheduler.set_smp();
        for number in 0..MAX {
            let thread = Thread {
                number: number as u64 + 1,
                context: Context::Program,
                kernel_stack: 0,
                pointer: 0,
                stack: 0..0,
                signals: signals::Thread::ENDED,
                interrupted: false,
            };
            let own = scheduler::bit(number);
            assert!(state.scheduler.add_for(thread, own).is_ok());
            state.scheduler.next(number);
            state.busy |= scheduler::bit(number);
        }
    });
}

/// Handles an interrupt of a device, which may end the running thread's turn.
pub fn interrupt() {
    if !interrupted(&mut Frame, Interrupt::Device).is_null() {
        preempted();
    }
}

/// The running thread waits for an interrupt of a device.
pub fn await_device() {
    waits::pause(For::Devices, None);
}

/// The running thread waits for an interrupt after so many events.
pub fn await_interrupt(seen: u64) {
    waits::pause(For::Interrupt(seen), None);
}

/// The running thread waits while a word has this value.
pub fn pause_while(word: &AtomicU32, value: u32) {
    waits::pause_while(word, value, None, || false);
}

/// Wakes the threads that wait for a change of the word.
pub fn wake(word: &AtomicU32) {
    with(|state| state.scheduler.wake_next(word.as_ptr() as u64));
}

/// Wakes one of those that wait for the word at this address.
pub fn wake_one(address: u64) {
    with(|state| state.scheduler.wake(address, u32::MAX, 1));
}

/// `halt::sleep`: halts until an interrupt of another processor.
pub fn sleep(_: Option<u64>, _: bool) {
    INTERRUPTS[own()].wait();
    interrupted(&mut Frame, Interrupt::Ipi);
}

/// Interrupts processors.
pub fn kick(processors: Set) {
    for (number, interrupt) in INTERRUPTS.iter().enumerate() {
        if processors & scheduler::bit(number) != 0 && !has(Fault::KickLost) {
            interrupt.ring();
        }
    }
}

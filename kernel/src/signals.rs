//! Signals: those that the program sends to itself, and SIGTERM for the power button.
//!
//! A handler runs when a system call returns, or when an interrupted thread resumes; on the
//! program's stack or the one of `sigaltstack`. Faults aren't signals here; they end in
//! [`crate::crash`]. Source: signal(7), sigaction(2), sigaltstack(2).

mod state;

pub use state::{
    DEFAULT, Delivery, IGNORE, RESTART, SENT_BY_KILL, Target, Thread, is_ignored_by_default,
};

use crate::arch::{gates, local, numbers};
use crate::cell::{ExclusiveCell, Guard, rank};
use crate::errno::Errno;
use crate::power;
use crate::smp::is_smp;
use core::sync::atomic::{AtomicU64, Ordering};
pub use state::Action;
use state::{During, State, TERMINATE, check_signal};

/// The process number, of the only process.
pub const PID: u64 = 1;

/// Used by system calls and by the runtime when it waits; by an interrupt only if no cell is in
/// use. With interrupts disabled where several processors run.
static STATE: ExclusiveCell<State, rank::Signals> = ExclusiveCell::new(State::new());

/// Runs `f` on the state, in which this processor runs a thread.
fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    let mut state = begin();
    let result = f(&mut state);
    end(state);
    result
}

/// Outlined from [`with`], which is compiled for each use.
#[inline(never)]
fn begin() -> Guard<'static, State, rank::Signals> {
    let mut state = STATE.lock();
    if is_smp() {
        state.set_processor(local::get().number());
    }
    state
}

/// See [`begin`].
#[inline(never)]
fn end(state: Guard<'static, State, rank::Signals>) {
    drop(state);
}

/// The sender of a signal, as `siginfo_t` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `si_code`.
    pub code: u64,
    /// `si_pid` and `si_uid`, or the two words in their place.
    pub sender: u64,
    /// `si_value`.
    pub value: u64,
}

/// Sets the action of a signal, if one is given; returns the previous one.
///
/// # Errors
/// EINVAL for a number that is no signal, or one whose action can't be changed.
pub fn set_action(signal: u64, new: Option<Action>) -> Result<Action, Errno> {
    check_signal(signal, new.is_some())?;
    let previous = with(|state| state.set_action(signal, new));
    if new.is_some() && signal == TERMINATE {
        power::leave_requests();
    }
    Ok(previous)
}

/// Changes the running thread's mask by `set`, if one is given; returns the previous one.
///
/// # Errors
/// EINVAL for another `how`.
pub fn change_mask(how: u64, set: Option<u64>) -> Result<u64, Errno> {
    with(|state| state.change_mask(how, set))
}

/// The pending signals that the running thread blocks.
pub fn blocked() -> u64 {
    with(|state| state.blocked())
}

/// Sets the mask in place of the running thread's until the system call ends. Handlers of signals
/// that end its wait run before the old mask is restored.
pub fn replace_mask(set: u64) {
    with(|state| state.replace_mask(set));
}

/// Whether a signal is deliverable: a wait then ends with EINTR.
pub fn is_ready() -> bool {
    with(|state| state.is_ready())
}

/// Whether a signal of `set` is pending for the running thread, blocked or not.
pub fn is_pending(set: u64) -> bool {
    with(|state| state.is_pending(set))
}

/// Takes the pending signal of `set` with the lowest number, whose handler doesn't run, and its
/// `si_code` if it was `kill` or `tkill`.
pub fn take(set: u64) -> Option<(u64, u64)> {
    with(|state| state.take(set))
}

/// Takes the next signal of the running thread, whose handler is to run.
pub fn next() -> Option<Delivery> {
    with(State::next)
}

/// The end of the alternate stack, if a handler with these flags runs there in a program whose
/// stack pointer is `pointer`.
pub fn other_stack(flags: u64, pointer: u64) -> Option<u64> {
    with(|state| state.other_stack(flags, pointer))
}

/// # Errors
/// EINVAL for a number that is no signal.
pub fn check(signal: u64) -> Result<(), Errno> {
    check_signal(signal, false)
}

/// Sets the alternate stack, if one is given as the words of `stack_t`, of a program whose stack
/// pointer is `pointer`; returns the previous one.
///
/// # Errors
/// EINVAL for unknown flags, ENOMEM for too small a stack, EPERM while a handler runs on it.
pub fn set_stack(new: Option<[u64; 3]>, pointer: u64) -> Result<[u64; 3], Errno> {
    with(|state| state.set_stack(new, pointer))
}

/// `kill` and `tgkill`: sends `signal` to process (or, if `to_thread`, thread) `target`; only
/// [`PID`] exists. Returns whether it is pending now: an ignored signal isn't.
pub fn send_to(target: u64, signal: u64, to_thread: bool) -> Result<bool, Errno> {
    // 0 and -1 are groups of processes with this one in them.
    if target != PID && target != 0 && target as i32 != -1 {
        return Err(Errno::ESRCH);
    }
    let target = match to_thread {
        true => Target::Running,
        false => Target::Process,
    };
    with(|state| state.send(signal, target))
}

/// Sends `signal` to a thread that doesn't run; returns whether it is pending now.
pub fn send_to_thread(signal: u64, thread: &mut Thread) -> Result<bool, Errno> {
    with(|state| state.send(signal, Target::Thread(thread)))
}

/// As [`send_to_thread`], to the thread that runs, or ran last, on this processor.
pub fn send_on(processor: usize, signal: u64) -> Result<bool, Errno> {
    with(|state| {
        state.set_processor(processor as u8);
        state.send(signal, Target::Running)
    })
}

/// Whether the thread that runs, or ran last, on this processor would handle one of `signals` now,
/// or end its wait for one.
pub fn accepts_on(processor: usize, signals: u64) -> bool {
    with(|state| {
        state.set_processor(processor as u8);
        state.thread().accepts(signals)
    })
}

/// Signals that were sent to threads. Written by system calls and interrupts.
static SENT_TO_THREADS: AtomicU64 = AtomicU64::new(0);

/// Records that `signal` is sent to a thread.
pub fn note_sent_to_thread(signal: u64) {
    if check(signal).is_ok() {
        SENT_TO_THREADS.fetch_or(1 << (signal - 1), Ordering::Relaxed);
    }
}

/// Whether a signal of `set` was sent to a thread since the last call. The thread may wait to take
/// it.
pub fn take_sent_to_threads(set: u64) -> bool {
    SENT_TO_THREADS.fetch_and(!set, Ordering::Relaxed) & set != 0
}

/// The signals of a thread that the running one creates.
pub fn of_child() -> Thread {
    with(|state| state.thread().child())
}

/// Exchanges the signals of the running thread and those of `thread`, on a thread switch.
pub fn exchange(thread: &mut Thread) {
    with(|state| core::mem::swap(state.thread(), thread));
}

/// The processor idles, on which the thread with these signals ran last.
pub fn set_idle_after(thread: &Thread) {
    with(|state| *state.thread() = Thread::idle_after(thread));
}

/// Signals that were sent to the process and that the running thread blocks.
pub fn for_others() -> u64 {
    with(|state| state.process_pending() & state.blocked())
}

/// The end of a handler: `rt_sigreturn`, which here restores the mask. [`crate::delivery`] runs the
/// next handler with the same frame, or lets the program restore the registers from it.
pub fn end_handler(mask: u64) {
    with(|state| state.restore_mask(mask));
}

/// Sends the program a signal if the power button was pressed and the program doesn't handle that
/// itself.
pub fn poll_power_button() {
    if power::take_unseen() && !power::is_handled() {
        with(State::request_stop);
    }
}

/// Runs `wait`, the runtime's wait in a system call: handlers run when the call returns, since they
/// may make system calls themselves. A signal ends the wait ([`run_handlers`]) or, if it isn't
/// `interruptible`, is ignored until then.
pub fn within_call<T>(interruptible: bool, wait: impl FnOnce() -> T) -> T {
    let during = match interruptible {
        true => During::Wait,
        false => During::UninterruptibleWait,
    };
    let before = with(|state| state.thread().set_during(during));
    let result = wait();
    with(|state| state.thread().set_during(before));
    result
}

/// Runs the handlers of signals that [`poll_power_button`] has sent, in a program that waits by
/// other means than system calls; returns whether there are any.
pub fn run_handlers() -> bool {
    let (ready, during) = with(|state| (state.is_ready(), state.thread().during()));
    if ready && during == During::Program {
        gates::call(numbers::SCHED_YIELD);
    }
    ready
}

//! Which processors may run a thread: `sched_setaffinity` and `sched_getaffinity`, once there are
//! threads.
//!
//! A thread that runs elsewhere is interrupted, and its processor takes another one. If that finds
//! none it goes on idle on a stack of its own, so that the thread's is free ([`prepare`]).

use super::dispatch::{begun, run_next};
use super::scheduler::bit;
use super::waits::{interrupt, with, yield_now};
use super::{Index, State, Thread, own};
use crate::arch::gates::{self, Context, SystemCallFrame};
use crate::arch::local;
use crate::errno::Errno;
use crate::memory;
use crate::peers::Set;
use crate::signals;
use core::sync::atomic::Ordering;

/// The processors that run.
fn running() -> Set {
    if !local::several() {
        return bit(0);
    }
    local::all().fold(0, |set, each| set | bit(each.number().into()))
}

/// The thread with this number; 0 for the running one.
fn find(state: &State, number: u64) -> Result<Index, Errno> {
    // Linux's `pid_t`.
    let number = u64::from(number as u32);
    if number == 0 {
        return Ok(state.scheduler.current(own()));
    }
    let is_it = |(_, thread): &(Index, &Thread)| thread.number == number;
    let found = state.scheduler.threads().find(is_it);
    found.map(|(index, _)| index).ok_or(Errno::ESRCH)
}

/// The number of the thread with this number; 0 for the running one.
///
/// # Errors
/// ESRCH if there is none.
pub fn number_of(thread: u64) -> Result<u64, Errno> {
    with(|state| {
        let index = find(state, thread)?;
        let thread = state.scheduler.thread(index).ok_or(Errno::ESRCH)?;
        Ok(thread.number)
    })
}

/// Sets the processors that may run a thread; 0 is the running one. Returns once it no longer runs
/// elsewhere.
///
/// # Errors
/// ESRCH; EINVAL for a set without a running processor; ENOMEM.
pub fn set(thread: u64, wanted: Set) -> Result<(), Errno> {
    let index = with(|state| find(state, thread))?;
    let all = running();
    let allowed = match wanted & all {
        0 => return Err(Errno::EINVAL),
        // Those that start late, too.
        same if same == all => Set::MAX,
        some => some,
    };
    if allowed != Set::MAX {
        prepare()?;
    }
    restrict(index, allowed);
    Ok(())
}

/// Returns once the thread no longer runs elsewhere.
fn restrict(index: Index, allowed: Set) {
    let mut elsewhere = with(|state| state.scheduler.restrict(index, allowed));
    while let Some(processor) = elsewhere {
        // Again each time: it isn't preempted while it uses a cell.
        interrupt(bit(processor));
        yield_now();
        elsewhere = with(|state| state.scheduler.misplaced(index));
    }
}

/// The processors that may run a thread; 0 is the running one.
///
/// # Errors
/// ESRCH.
pub fn get(thread: u64) -> Result<Set, Errno> {
    let allowed = with(|state| find(state, thread).map(|index| state.scheduler.allowed(index)))?;
    Ok(allowed & running())
}

/// Gives the processor that has booted a stack for its idle time.
fn prepare() -> Result<(), Errno> {
    let Some(first) = local::of(0) else {
        return Ok(());
    };
    if first.idle_stack.load(Ordering::Relaxed) == 0 {
        let stack = memory::kernel_stack().ok_or(Errno::ENOMEM)?;
        // Under the lock of system calls. Release: its memory is there.
        first.idle_stack.store(stack, Ordering::Release);
    }
    Ok(())
}

/// The running processor, which has found no thread at the time `now`, leaves the stack of the one
/// that ran last, if that isn't for it any more; returns where that one's registers go: `ended` if
/// it has ended. [`switch_to_idle`] must follow.
pub(super) fn leave(state: &mut State, now: u64, ended: *mut Context) -> Option<*mut Context> {
    let previous = state.scheduler.leave(own())?;
    state.charge(previous, now);
    let from = match state.scheduler.thread(previous) {
        Some(thread) => {
            signals::exchange(&mut thread.signals);
            &raw mut thread.context
        }
        None => ended,
    };
    signals::exchange(&mut signals::Thread::ENDED.clone());
    Some(from)
}

/// Switches to the processor's own stack, where it has no thread.
///
/// # Safety
/// As for [`gates::switch`].
pub(super) unsafe fn switch_to_idle(from: *mut Context) {
    let top = local::get().idle_stack.load(Ordering::Relaxed);
    // SAFETY: the caller's promise. The processor has left that stack, if it has used it, by the
    // switch to a thread; what is on it isn't used again.
    unsafe {
        let idle = Context::new(SystemCallFrame::new(0, 0), top, be_idle);
        gates::switch(from, idle, top, 0);
    }
}

/// Runs on a processor's own stack, after the switch to it.
extern "C" fn be_idle() {
    begun();
    loop {
        // The switch to a thread leaves this stack.
        run_next();
    }
}

/// The running processor, which has never run a thread, has a stack for system calls that it only
/// needs when it has to leave one.
pub(super) fn begin() {
    let stack = gates::system_call_stack();
    local::get().idle_stack.store(stack, Ordering::Relaxed);
}

/// Applies to the first thread, which calls this, what the program has asked for before there were
/// several.
pub fn restrict_first_thread() -> Result<(), Errno> {
    let allowed = local::AFFINITY.load(Ordering::Relaxed);
    if allowed != Set::MAX && allowed & running() != 0 {
        prepare()?;
        let index = with(|state| state.scheduler.current(own()));
        restrict(index, allowed);
    }
    Ok(())
}

//! Which processors may run a thread: `sched_setaffinity` and `sched_getaffinity`, once there are
//! threads.
//!
//! A thread that runs elsewhere is interrupted, and its processor takes another one.

use super::notify::{interrupt, with};
use super::scheduler::bit;
use super::waits::yield_now;
use super::{Index, State, Thread, be_preempted, own};
use crate::arch::local;
use crate::errno::Errno;
use crate::smp::Set;
use core::sync::atomic::Ordering;

/// The processors that run.
fn running() -> Set {
    if !local::is_smp() {
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
/// ESRCH; EINVAL for a set without a running processor; EAGAIN: memory is short.
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
        // It may leave its processor, which then runs its idle thread.
        be_preempted()?;
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

/// Applies to the first thread, which calls this, what the program has asked for before there were
/// several.
pub fn restrict_first_thread() {
    let allowed = local::AFFINITY.load(Ordering::Relaxed);
    if allowed != Set::MAX && allowed & running() != 0 {
        let index = with(|state| state.scheduler.current(own()));
        restrict(index, allowed);
    }
}

//! One system call at a time where several processors run, as on one, but for those that change
//! nothing that others use.
//!
//! A processor in a system call has interrupts disabled, so the holder of the lock always runs. It
//! gives the lock up where its thread waits, as one processor would run others there, and takes it
//! back before the call continues ([`give_up`], [`take_back`]). With one processor it stays free.
//!
//! Changes of mappings are among these calls, although a cell guards the address space: the holder
//! of the lock waits until the other processors have forgotten translations. Those that wait for
//! the lock sleep meanwhile, and idle processors needn't answer. Where the host runs fewer
//! processors than the machine has, processors that spin would keep it from the one that has to.
//!
//! A thread that makes one long call after another takes the lock back before a woken one comes,
//! once: then it is handed over ([`Lock`]).

use super::notify::with;
use super::{dispatch, has_threads, limit_turn, own};
use crate::arch::local;
use crate::smp;
use core::sync::atomic::Ordering;
use sync::lock::Lock;

/// Used by system calls, with interrupts disabled.
static LOCK: Lock = Lock::new();

/// How often to try a lock that another processor holds before this one runs other threads: most
/// calls take some microseconds.
const SPINS: usize = 200;

/// A system call begins that runs one at a time, or the kernel makes one. With one processor there
/// is no other: the call only notes that it runs.
pub fn begin() {
    if is_shared() {
        take();
    } else {
        local::get().in_call.store(true, Ordering::Relaxed);
    }
}

/// Whether calls of several threads may come at a time. Without threads, secondary processors run
/// the program's work, whose calls don't wait.
fn is_shared() -> bool {
    local::is_smp() && has_threads()
}

/// A call has begun, and from now on calls of other threads may begin: it holds the lock.
pub fn begin_smp() {
    if is_shared() && local::get().in_call.load(Ordering::Relaxed) {
        take();
    }
}

/// Notes whether hooks of the boot run, which are as a call.
pub fn set_in_call(in_call: bool) {
    local::get().in_call.store(in_call, Ordering::Relaxed);
}

/// A system call ends. A thread that waits for the lock gets its turn: others can't take a lock
/// that was handed over.
pub fn end() {
    if release() == Released::HandedOver {
        limit_turn();
    }
}

/// The running thread waits; returns whether it had the lock.
pub(super) fn give_up() -> bool {
    release() != Released::NotHeld
}

/// The outcome of [`release`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Released {
    /// The running thread didn't have the lock.
    NotHeld,
    /// No thread waited for it.
    Free,
    /// A thread was woken for it.
    HandedOver,
}

fn release() -> Released {
    let in_call = &local::get().in_call;
    // Of this processor: no exchange, which one processor would pay for at each switch.
    if !in_call.load(Ordering::Relaxed) {
        return Released::NotHeld;
    }
    in_call.store(false, Ordering::Relaxed);
    let mut released = Released::Free;
    if is_shared() {
        LOCK.release(|word| {
            with(|state| state.scheduler.wake_one_next(word.as_ptr() as u64));
            released = Released::HandedOver;
        });
    }
    released
}

/// Its wait has ended; `held` is what [`give_up`] returned.
pub(super) fn take_back(held: bool) {
    if held {
        begin();
    }
}

fn take() {
    if !LOCK.take() {
        await_release();
    }
    // After the wait: it may end on another processor.
    local::get().in_call.store(true, Ordering::Relaxed);
}

#[cold]
fn await_release() {
    for _ in 0..SPINS {
        if LOCK.is_free() && LOCK.take() {
            return;
        }
        smp::relax();
    }
    LOCK.await_release(|word, value| {
        if with(|state| {
            state
                .scheduler
                .wait_while(own(), word, value, u32::MAX, None)
        }) {
            dispatch::run_next();
        }
    });
}

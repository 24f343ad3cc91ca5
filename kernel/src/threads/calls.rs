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
//! A thread that makes one long call after another takes the lock back before a woken one comes.
//! That is faster than a change of threads for each call; but after some times calls leave the free
//! lock to the woken thread, for longer each time ([`give_way`]).

pub mod lock;

use super::waits::{pause_while, with};
use crate::arch::local;
use crate::peers;
use crate::time;
use core::sync::atomic::{AtomicU32, Ordering};
use lock::Lock;

/// Used by system calls, with interrupts disabled.
static LOCK: Lock = Lock::new();

/// How often to look at a lock that another processor holds before this one runs other threads:
/// most calls take some microseconds.
const LOOKS: usize = 200;

/// How often in succession a thread that was woken for the lock found it taken again, at most
/// [`REFUSALS_MAX`].
static REFUSALS: AtomicU32 = AtomicU32::new(0);
const REFUSALS_MAX: u32 = PATIENCE + 20;
/// Number of refusals before calls give way.
const PATIENCE: u32 = 8;

/// How long a call leaves the free lock to a woken thread for each further one, in nanoseconds.
const GIVE_WAY_NS: u64 = 100_000;

/// A system call begins that runs one at a time, or the kernel makes one. With one processor there
/// is no other: the call only notes that it runs.
pub fn begin() {
    if local::several() {
        take();
    } else {
        local::get().in_call.store(true, Ordering::Relaxed);
    }
}

/// A call has begun on the only processor, and others are about to start: it holds the lock.
pub fn begin_smp() {
    if local::get().in_call.load(Ordering::Relaxed) {
        LOCK.take();
    }
}

/// Notes whether hooks of the boot run, which are as a call.
pub fn set_in_call(in_call: bool) {
    local::get().in_call.store(in_call, Ordering::Relaxed);
}

/// A system call ends.
pub fn end() {
    give_up();
}

/// The running thread waits; returns whether it had the lock.
pub(super) fn give_up() -> bool {
    let in_call = &local::get().in_call;
    // Of this processor: no exchange, which one processor would pay for at each switch.
    let held = in_call.load(Ordering::Relaxed);
    if held {
        in_call.store(false, Ordering::Relaxed);
        if local::several() && LOCK.release() {
            with(|state| state.scheduler.wake(LOCK.address(), u32::MAX, 1));
        }
    }
    held
}

/// Its wait has ended; `held` is what [`give_up`] returned.
pub(super) fn take_back(held: bool) {
    if held {
        begin();
    }
}

fn take() {
    let refusals = REFUSALS.load(Ordering::Relaxed);
    if refusals > PATIENCE {
        give_way(refusals - PATIENCE);
    }
    if !LOCK.take() {
        await_release();
    }
    // After the wait: it may end on another processor.
    local::get().in_call.store(true, Ordering::Relaxed);
}

/// Waits until another thread takes the free lock, or its time is over.
#[cold]
fn give_way(times: u32) {
    let until = time::monotonic_ns() + u64::from(times) * GIVE_WAY_NS;
    while LOCK.is_free() && time::monotonic_ns() < until {
        peers::relax();
    }
}

#[cold]
fn await_release() {
    for _ in 0..LOOKS {
        if LOCK.is_free() && REFUSALS.load(Ordering::Relaxed) <= PATIENCE && LOCK.take() {
            return;
        }
        peers::relax();
    }
    let mut was_woken = false;
    while !LOCK.take_or_mark() {
        if was_woken {
            let refusals = REFUSALS.load(Ordering::Relaxed);
            REFUSALS.store((refusals + 1).min(REFUSALS_MAX), Ordering::Relaxed);
        }
        let (word, marked) = LOCK.word();
        pause_while(word, marked, None, || false);
        was_woken = true;
    }
    if was_woken {
        // Each thread that was refused comes here.
        REFUSALS.store(0, Ordering::Relaxed);
    }
}

//! Futexes: futex(2), and the robust ones of a thread that ends.

use super::notify::{is_signalled, with};
use super::scheduler::{Wait, Woken};
use super::waits::pause;
use super::{calls, dispatch, has_threads, limit_turn, own};
use crate::errno::Errno;
use crate::halt::For;
use crate::memory::{atomic_word, load};
use crate::{console, power, signals, time};
use core::sync::atomic::AtomicBool;
use sync::atomic::Ordering;

const ALL_BITS: u32 = u32::MAX;

/// Waits while the word at `address` is `value`, until the deadline (monotonic nanoseconds) at the
/// latest.
///
/// # Errors
/// EAGAIN if it has another value; ETIMEDOUT; EINTR or ERESTARTSYS when a signal is to be handled;
/// EINVAL and EFAULT for the address.
pub fn wait(address: u64, value: u32, bits: u32, deadline: Option<u64>) -> Result<(), Errno> {
    if !has_threads() {
        // As before each halt for the only thread.
        power::listen();
        console::waits();
    }
    loop {
        let word = atomic_word(address, false)?;
        // Relaxed: the program loads it again when the system call returns. A hint, which also
        // makes the page present while no cell is in use.
        if word.load(Ordering::Relaxed) != value {
            return Err(Errno::EAGAIN);
        }
        if signals::is_ready() {
            // As on Linux: a wait that would restart with its whole timeout doesn't.
            return Err(match deadline {
                None => Errno::ERESTARTSYS,
                Some(_) => Errno::EINTR,
            });
        }
        if !has_threads() {
            if deadline.is_some_and(|deadline| time::monotonic_ns() >= deadline) {
                return Err(Errno::ETIMEDOUT);
            }
            if deadline.is_none() {
                report_alone();
            }
            pause(For::Time, deadline);
            signals::poll_power_button();
            continue;
        }
        let waits = with(|state| {
            if is_signalled() {
                return None;
            }
            let scheduler = &mut state.scheduler;
            // Relaxed: as in `Scheduler::wait_while`.
            let is_over = || word.load(Ordering::Relaxed) != value;
            let wait = Wait::Futex(address, bits);
            Some(scheduler.wait_unless(own(), is_over, wait, deadline))
        });
        let woken;
        match waits {
            // Checked again.
            None => continue,
            Some(false) => return Err(Errno::EAGAIN),
            Some(true) => {
                let held = calls::give_up();
                dispatch::run_next();
                // Before a wait for the lock of calls, which overwrites it.
                woken = with(|state| state.scheduler.woken(own()));
                calls::take_back(held);
            }
        }
        match woken {
            Woken::Done => return Ok(()),
            Woken::Expired => return Err(Errno::ETIMEDOUT),
            Woken::Interrupted => {}
        }
    }
}

/// Says, once, that the program's only thread waits for a lock.
#[cold]
fn report_alone() {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        console::line(format_args!(
            "the program waits for a lock that no other thread can release"
        ));
    }
}

/// Wakes up to `count` threads that wait at `address`; returns their number.
///
/// # Errors
/// EINVAL unless the address is aligned.
pub fn wake(address: u64, bits: u32, count: u64) -> Result<u64, Errno> {
    Ok(limit_turn_after(wake_only(address, bits, count)?))
}

/// Gives the running thread no more than a slice, if it has woken threads.
fn limit_turn_after(woken: u64) -> u64 {
    if woken > 0 {
        limit_turn();
    }
    woken
}

/// As [`wake`], at the end of a thread.
pub(super) fn wake_only(address: u64, bits: u32, count: u64) -> Result<u64, Errno> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    Ok(with(|state| state.scheduler.wake(address, bits, count)))
}

/// Wakes up to `wake` threads that wait at `from`, and makes up to `move_` others wait at `to`; if
/// `expected` is given, only while the word at `from` has that value. Returns their number.
///
/// # Errors
/// EAGAIN if it has another value; EINVAL and EFAULT for the addresses.
pub fn requeue(
    from: u64,
    to: u64,
    wake: u64,
    move_: u64,
    expected: Option<u32>,
) -> Result<u64, Errno> {
    if !from.is_multiple_of(4) || !to.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let expected = match expected {
        Some(value) => Some((atomic_word(from, false)?, value)),
        None => None,
    };
    let woken = with(|state| {
        // Relaxed: as in `Scheduler::wait_while`, within the same use of the scheduler.
        if expected.is_some_and(|(word, value)| word.load(Ordering::Relaxed) != value) {
            return Err(Errno::EAGAIN);
        }
        let woken = state.scheduler.wake(from, ALL_BITS, wake);
        Ok(woken + state.scheduler.requeue(from, to, move_))
    })?;
    Ok(limit_turn_after(woken))
}

/// Marks the robust futexes that the ending thread `number` holds, and wakes a waiter of each.
/// `head` is the argument of `set_robust_list`.
pub(super) fn release_robust(head: u64, number: u64) {
    /// As on Linux: a list may be circular.
    const MAX_ENTRIES: usize = 2048;
    let Ok([first, offset, pending]) = load::<3>(head) else {
        return;
    };
    let mut entry = first & !1;
    for _ in 0..MAX_ENTRIES {
        if entry == head {
            break;
        }
        let Ok([next]) = load::<1>(entry) else { return };
        if entry != pending & !1 {
            owner_died(entry.wrapping_add(offset), number);
        }
        entry = next & !1;
    }
    if pending != 0 {
        owner_died((pending & !1).wrapping_add(offset), number);
    }
}

fn owner_died(address: u64, number: u64) {
    const WAITERS: u32 = 0x8000_0000;
    const OWNER_DIED: u32 = 0x4000_0000;
    const NUMBER: u32 = 0x3fff_ffff;
    let Ok(word) = atomic_word(address, true) else {
        return;
    };
    let died = |value: u32| {
        let is_its = u64::from(value & NUMBER) == number;
        is_its.then_some(value & WAITERS | OWNER_DIED)
    };
    // Release: the next owner sees what this one wrote. An exchange, since others that want it set
    // the bit for waiters meanwhile.
    let before = word.fetch_update(Ordering::Release, Ordering::Relaxed, died);
    if before.is_ok_and(|before| before & WAITERS != 0) {
        let _ = wake_only(address, ALL_BITS, 1);
    }
}

//! Futexes: futex(2), and the robust ones of a thread that ends.

use super::dispatch::run_next;
use super::scheduler::{Wait, Woken};
use super::waits::{is_signalled, with};
use super::{has_threads, limit_turn, own};
use crate::arch::gates::SystemCallFrame;
use crate::errno::Errno;
use crate::memory::{atomic_word, load};
use crate::time::spans::{absolute_deadline, deadline};
use crate::{console, signals};
use core::sync::atomic::AtomicBool;
use sync::atomic::Ordering;

const ALL_BITS: u32 = u32::MAX;

/// The bits of an operation without its options.
const OPERATION: u64 = 0x7f;
const WAIT: u64 = 0;
const WAIT_BITSET: u64 = 9;

/// Whether a call waits until a time that it loads from the program's memory.
pub fn has_timeout(call: &SystemCallFrame) -> bool {
    let [_, operation, _, fourth, ..] = call.arguments();
    matches!(operation & OPERATION, WAIT | WAIT_BITSET) && fourth != 0
}

/// `futex`: the wait of one thread, and wake-ups of others.
pub fn call(call: &SystemCallFrame) -> Result<u64, Errno> {
    const WAKE: u64 = 1;
    const REQUEUE: u64 = 3;
    const COMPARE_AND_REQUEUE: u64 = 4;
    const WAKE_BITSET: u64 = 10;
    const REAL_TIME: u64 = 256;
    let [address, operation, value, fourth, other, sixth] = call.arguments();
    let count = u64::from(value as u32);
    let bits = Some(sixth as u32).filter(|bits| *bits != 0);
    let result = match operation & OPERATION {
        WAIT => {
            let deadline = deadline(fourth, 1)?;
            wait(address, value as u32, ALL_BITS, deadline)
        }
        WAIT_BITSET => {
            let real = operation & REAL_TIME != 0;
            let deadline = absolute_deadline(fourth, real)?;
            wait(address, value as u32, bits.ok_or(Errno::EINVAL)?, deadline)
        }
        WAKE => wake(address, ALL_BITS, count),
        WAKE_BITSET => wake(address, bits.ok_or(Errno::EINVAL)?, count),
        REQUEUE => requeue(address, other, count, fourth, None),
        COMPARE_AND_REQUEUE => requeue(address, other, count, fourth, Some(sixth as u32)),
        _ => Err(Errno::ENOSYS),
    };
    if matches!(result, Ok(1..)) {
        // It has woken threads.
        limit_turn();
    }
    result
}

/// Waits while the word at `address` is `value`.
fn wait(address: u64, value: u32, bits: u32, deadline: Option<u64>) -> Result<u64, Errno> {
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
        match waits {
            // Checked again.
            None => continue,
            Some(false) => return Err(Errno::EAGAIN),
            Some(true) => {
                if deadline.is_none() && !has_threads() {
                    report_alone();
                }
                run_next();
            }
        }
        match with(|state| state.scheduler.woken(own())) {
            Woken::Done => return Ok(0),
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
pub(super) fn wake(address: u64, bits: u32, count: u64) -> Result<u64, Errno> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    Ok(with(|state| state.scheduler.wake(address, bits, count)))
}

/// Wakes up to `wake` threads that wait at `from`, and makes up to `move_` others wait at `to`; if
/// `expected` is given, only while the word at `from` has that value. Returns their number.
fn requeue(from: u64, to: u64, wake: u64, move_: u64, expected: Option<u32>) -> Result<u64, Errno> {
    if !from.is_multiple_of(4) || !to.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let expected = match expected {
        Some(value) => Some((atomic_word(from, false)?, value)),
        None => None,
    };
    with(|state| {
        // Relaxed: as in `Scheduler::wait_while`, within the same use of the scheduler.
        if expected.is_some_and(|(word, value)| word.load(Ordering::Relaxed) != value) {
            return Err(Errno::EAGAIN);
        }
        let woken = state.scheduler.wake(from, ALL_BITS, wake);
        Ok(woken + state.scheduler.requeue(from, to, u64::from(move_ as u32)))
    })
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
        let _ = wake(address, ALL_BITS, 1);
    }
}

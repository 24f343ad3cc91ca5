//! Clocks, sleeps and signal masks where several processors run: these calls change nothing that
//! others use, and run beside them (`threads/calls.rs`). Another one may take away the memory that
//! their arguments point to, which they therefore access by its frames.

use super::MONOTONIC;
use super::clocks::{clock, sleep_by};
use crate::arch::gates::SystemCallFrame;
use crate::arch::numbers as n;
use crate::errno::Errno;
use crate::memory::{load_shared, store_shared};
use crate::threads::futex;
use crate::time::spans::{span_of, timespec};
use crate::{signals, time};

/// Whether a call runs beside others: it accesses the program's memory by its frames, since another
/// call may take that away.
pub fn runs_beside_others(call: &SystemCallFrame) -> bool {
    match call.number() {
        _ if has_answer(call) => true,
        n::FUTEX => !futex::has_timeout(call),
        n::SCHED_YIELD
        | n::GETTID
        | n::GETPID
        | n::SET_TID_ADDRESS
        | n::SET_ROBUST_LIST
        | n::RT_SIGRETURN
        | n::TKILL
        | n::TGKILL => true,
        _ => false,
    }
}

/// Whether [`answer`] has one.
fn has_answer(call: &SystemCallFrame) -> bool {
    let [clock, ..] = call.arguments();
    match call.number() {
        n::NANOSLEEP | n::RT_SIGPROCMASK => true,
        n::GETTIMEOFDAY => time::has_wall_for_all(),
        n::CLOCK_GETTIME | n::CLOCK_NANOSLEEP => match clock {
            0 | 5 => time::has_wall_for_all(),
            1 | 4 | 6 | 7 => true,
            // Processor time is the threads'.
            _ => false,
        },
        _ => false,
    }
}

/// The result of the call, if it is one of these.
pub fn answer(call: &SystemCallFrame) -> Option<Result<u64, Errno>> {
    if !has_answer(call) {
        return None;
    }
    let [a, b, c, d, ..] = call.arguments();
    Some(match call.number() {
        n::CLOCK_GETTIME => clock(a).and_then(|now| store_shared(b, &timespec(now))),
        n::GETTIMEOFDAY => {
            let now = time::wall_ns();
            store_shared(a, &[now / 1_000_000_000, now / 1000 % 1_000_000])
        }
        n::NANOSLEEP => sleep(MONOTONIC, 0, a, b),
        n::CLOCK_NANOSLEEP => sleep(a, b, c, d),
        n::RT_SIGPROCMASK => set_mask(a, b, c, d),
        _ => return None,
    })
}

fn sleep(which: u64, flags: u64, request: u64, remaining: u64) -> Result<u64, Errno> {
    let span = span_of(load_shared(request)?, 1)?;
    sleep_by(which, flags, span, |rest| match remaining {
        0 => Ok(0),
        _ => store_shared(remaining, &timespec(rest)),
    })
}

fn set_mask(how: u64, new: u64, old: u64, size: u64) -> Result<u64, Errno> {
    signals::check_size(size)?;
    let set = match new {
        0 => None,
        _ => Some(load_shared(new)?),
    };
    let previous = signals::change_mask(how, set.map(|[set]| set))?;
    match old {
        0 => Ok(0),
        _ => store_shared(old, &[previous]),
    }
}

//! The one wait: runs what there is to run, then sleeps until something happens.

use crate::console;
use crate::current::{Current, Interest};
use crate::error::{Answer, Error};
use crate::ffi::Int;
use crate::runtime::Runtime;
use platform::{Clock, Interest as _, System, Wait, Woken};

/// Every part of the runtime does a bounded amount of its work.
fn step(rt: &mut Runtime, now: u64) {
    for driver in rt.drivers().iter().flatten() {
        (driver.poll)(rt, now);
    }
    let stops = Current::stop_requests();
    while rt.stops < stops {
        rt.stops += 1;
        rt.request_stop(rt.stops);
    }
    console::poll(rt);
}

/// Sleeps until something happens or `until` comes; whether it was a signal.
fn sleep(rt: &mut Runtime, until: Option<u64>) -> Woken {
    // Taken out for the drivers' sake, and put back for its memory.
    let mut interest = core::mem::replace(&mut rt.interest, Interest::EMPTY);
    interest.clear();
    console::interest(rt, &mut interest);
    for driver in rt.drivers().iter().flatten() {
        (driver.interest)(rt, &mut interest);
    }
    rt.sleeps += 1;
    let since = Current::monotonic_ns();
    let woken = Current::wait(&mut interest, until);
    rt.slept_ns += Current::monotonic_ns().saturating_sub(since);
    rt.interest = interest;
    woken
}

/// The earlier of `until` and what the drivers ask for.
fn earliest(rt: &mut Runtime, until: Option<u64>) -> Option<u64> {
    let mut until = until;
    for driver in rt.drivers().iter().flatten() {
        let wanted = (driver.deadline)(rt);
        until = match (until, wanted) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    until
}

/// See `soil_wait`.
pub fn wait(rt: &mut Runtime, deadline: Int, completions: &mut [Int], max: Int) -> Answer {
    let max = usize::try_from(max).map_err(|_| Error::Invalid)?;
    let until = match deadline {
        -1 => None,
        deadline => Some(u64::try_from(deadline).map_err(|_| Error::Invalid)?),
    };
    if max == 0 || completions.len() < 2 {
        return Err(Error::Invalid.into());
    }
    rt.start()?;
    loop {
        let now = Current::monotonic_ns();
        step(rt, now);
        if rt.has_completions() || until.is_some_and(|until| until <= now) {
            rt.interest.submit();
            Current::resume(now);
            return Ok(fetch(rt, completions, max));
        }
        let until = earliest(rt, until);
        if until.is_some_and(|until| until <= now) {
            continue;
        }
        if sleep(rt, until) == Woken::Interrupted {
            let now = Current::monotonic_ns();
            step(rt, now);
            rt.interest.submit();
            Current::resume(now);
            return Ok(fetch(rt, completions, max));
        }
    }
}

/// Moves completions to the caller's array; how many.
fn fetch(rt: &mut Runtime, completions: &mut [Int], max: usize) -> usize {
    let mut n = 0;
    for pair in completions.chunks_exact_mut(2).take(max) {
        let [token, result] = pair else { break };
        let Some(completion) = rt.next_completion() else {
            break;
        };
        *token = completion.0 as Int;
        *result = completion.1;
        n += 1;
    }
    n
}

/// See `soil_sync_all`.
pub fn sync_all(rt: &mut Runtime, grace: u64) -> Answer {
    let until = Current::monotonic_ns().saturating_add(grace);
    loop {
        let now = Current::monotonic_ns();
        step(rt, now);
        let mut finished = true;
        for driver in rt.drivers().iter().flatten() {
            finished &= (driver.finish)(rt);
        }
        if finished {
            rt.interest.submit();
            return Ok(0);
        }
        if now >= until {
            return Err(Error::TimedOut.into());
        }
        let next = earliest(rt, Some(until));
        if next.is_some_and(|next| next > now) {
            sleep(rt, next);
        }
    }
}

#[cfg(test)]
mod tests;

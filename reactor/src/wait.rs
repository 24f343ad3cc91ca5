//! The one wait: runs what there is to run, then sleeps until something happens.

use crate::{Interest, Resources, Runtime};
use platform::error::{Answer, Error, Stop};
use platform::{Clock, Interest as _, System, Wait, Woken};

/// Lets every driver do a bounded amount of work.
fn step<R: Resources>(rt: &mut Runtime<R>, now: u64) {
    for driver in rt.drivers().iter().flatten() {
        (driver.poll)(rt, now);
    }
    let stops = R::Platform::stop_requests();
    while rt.stops < stops {
        rt.stops += 1;
        rt.request_stop(rt.stops);
    }
}

/// Sleeps until something happens or `until` comes; whether it was a signal.
fn sleep<R: Resources>(rt: &mut Runtime<R>, until: Option<u64>) -> Woken {
    // Taken out for the drivers' sake, and put back for its memory.
    let mut interest =
        core::mem::replace(&mut rt.interest, <Interest<R> as platform::Interest>::EMPTY);
    interest.clear();
    for driver in rt.drivers().iter().flatten() {
        (driver.interest)(rt, &mut interest);
    }
    rt.sleeps += 1;
    let since = R::Platform::monotonic_ns();
    let woken = R::Platform::wait(&mut interest, until);
    rt.slept_ns += R::Platform::monotonic_ns().saturating_sub(since);
    rt.interest = interest;
    woken
}

/// The earlier of `until` and what the drivers ask for.
fn earliest<R: Resources>(rt: &mut Runtime<R>, until: Option<u64>) -> Option<u64> {
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

/// Runs the drivers until there are completions, the time `until` (monotonic nanoseconds) comes, or
/// a signal arrives. Blocks.
pub fn wait<R: Resources>(rt: &mut Runtime<R>, until: Option<u64>) -> Result<(), Stop> {
    rt.start()?;
    loop {
        let now = R::Platform::monotonic_ns();
        step(rt, now);
        if rt.has_completions() || until.is_some_and(|until| until <= now) {
            run_on(rt, now);
            return Ok(());
        }
        let until = earliest(rt, until);
        if until.is_some_and(|until| until <= now) {
            continue;
        }
        if sleep(rt, until) == Woken::Interrupted {
            let now = R::Platform::monotonic_ns();
            step(rt, now);
            run_on(rt, now);
            return Ok(());
        }
    }
}

/// Runs the drivers until the operation `token` has completed, and returns its result. Completions
/// of others stay queued; signals don't end the wait. Blocks.
pub fn wait_for<R: Resources>(rt: &mut Runtime<R>, token: u64) -> Answer {
    loop {
        let now = R::Platform::monotonic_ns();
        step(rt, now);
        if let Some(answer) = rt.take_completion(token) {
            run_on(rt, now);
            return answer;
        }
        let until = earliest(rt, None);
        if until.is_none_or(|until| until > now) {
            sleep(rt, until);
        }
    }
}

/// Before the program runs on: submits what the drivers have queued.
fn run_on<R: Resources>(rt: &mut Runtime<R>, now: u64) {
    rt.interest.submit();
    R::Platform::resume(now);
}

/// Runs the drivers until all have finished, for at most `grace` nanoseconds. Blocks.
pub fn sync_all<R: Resources>(rt: &mut Runtime<R>, grace: u64) -> Answer {
    let until = R::Platform::monotonic_ns().saturating_add(grace);
    loop {
        let now = R::Platform::monotonic_ns();
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

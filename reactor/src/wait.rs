//! The one wait: runs pending work, then sleeps until an event. Of several waiting threads, one
//! does that for all (`completions`).
//!
//! # Several domains
//! A leader whose steps had work for other schedulers only leaves the lead, and so does a nudged
//! leader: these domains run, are about to wait, and lead then. Their calls and next events wake no
//! other thread. The previous leader stands by: it is a follower that wakes after [`STANDBY_NS`],
//! and leads again if none has led meanwhile, because they compute. While one stands by, a leader
//! that resumes wakes no follower to lead.

pub use crate::completions::{FINISH, FIRST_OF_THREADS, SCHEDULER, SCHEDULERS, scheduler};
use crate::completions::{FOLLOWS, LEADS, Leader, scheduled_domain};
use crate::{Resources, Runtime};
use platform::error::Stop;
use platform::{Clock, Interest as _, Signals, System, Wait, Woken};
use sync::Arc;
use sync::atomic::{AtomicU32, Ordering};

/// A sleep of the platform of `R`.
pub(crate) type Sleep<R> = <<R as Resources>::Platform as Wait>::Sleep;

/// For how long no domain may have led before the one that stands by does.
const STANDBY_NS: u64 = 1_000_000;

/// The time for which a follower stands by.
#[derive(Clone, Copy)]
pub(crate) struct Standby {
    /// When it ends, in monotonic nanoseconds.
    pub(crate) until: u64,
    /// [`Runtime::leads`] when it began.
    leads: usize,
}

/// The previous state of a waiting thread, with the runtime's lock.
pub(crate) enum From<R: Resources> {
    /// A new call.
    Call,
    /// The leader's sleep.
    Sleep(Sleep<R>),
    /// A follower's sleep, on this word.
    Following(Arc<AtomicU32>, Option<Standby>),
}

/// The next step of a waiting thread, without the lock.
pub(crate) enum Next<R: Resources> {
    /// Its wait is over.
    Return,
    /// Sleeps as the leader.
    Sleep(Sleep<R>),
    /// Sleeps while the word is [`FOLLOWS`], and not after the end of the standby.
    Follow(Arc<AtomicU32>, Option<Standby>),
}

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

/// Prepares a sleep of `waiter` until an event or the time `until`.
fn prepare<R: Resources>(rt: &mut Runtime<R>, waiter: u64, until: Option<u64>) -> Sleep<R> {
    rt.interest.clear();
    // Moved out since the drivers get both.
    let mut interest = core::mem::replace(&mut rt.interest, platform::Interest::EMPTY);
    for driver in rt.drivers().iter().flatten() {
        (driver.interest)(rt, &mut interest);
    }
    rt.interest = interest;
    rt.sleeps += 1;
    // Not the time before the drivers ran: their work is no sleep.
    rt.asleep_since = R::Platform::monotonic_ns();
    let signals = match waiter {
        FINISH => Signals::Ignored,
        _ => Signals::End,
    };
    R::Platform::prepare(&mut rt.interest, until, signals)
}

/// Ends a sleep; returns what ended it, and the time.
fn finish<R: Resources>(rt: &mut Runtime<R>, sleep: Sleep<R>) -> (Woken, u64) {
    rt.leader = Leader::Awake;
    let woken = R::Platform::finish(&mut rt.interest, sleep);
    let now = R::Platform::monotonic_ns();
    rt.slept_ns += now.saturating_sub(rt.asleep_since);
    (woken, now)
}

/// The earlier of `until` and the drivers' deadlines.
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

/// Whether all drivers have finished.
pub(crate) fn finished<R: Resources>(rt: &mut Runtime<R>) -> bool {
    let mut finished = true;
    for driver in rt.drivers().iter().flatten() {
        finished &= (driver.finish)(rt);
    }
    finished
}

fn is_due<R: Resources>(rt: &mut Runtime<R>, waiter: u64) -> bool {
    if waiter == FINISH {
        finished(rt)
    } else {
        rt.is_due(waiter)
    }
}

/// Continues the wait of `waiter`, which ends with a completion for it, at the time `until`, or
/// with a signal. With the lock.
pub(crate) fn continue_wait<R: Resources>(
    rt: &mut Runtime<R>,
    waiter: u64,
    until: Option<u64>,
    from: From<R>,
) -> Result<Next<R>, Stop> {
    // The time, where it is known: a wait has few other costs.
    let mut now = None;
    let (mut nudged, mut stands_by, mut stood_by) = (false, None, false);
    let (leads, woken) = match from {
        From::Call => {
            rt.start()?;
            (is_free(rt), Woken::Event)
        }
        From::Sleep(sleep) => {
            nudged = rt.leader == Leader::Nudged;
            let (woken, woken_at) = finish(rt, sleep);
            now = Some(woken_at);
            (true, woken)
        }
        From::Following(word, standby) => {
            rt.completions.unfollow(waiter);
            // Acquire: pairs with the store of the thread that notified it. What that did to the
            // runtime is seen anyway, by the lock.
            let state = word.load(Ordering::Acquire);
            let over = standby
                .filter(|standby| state == FOLLOWS && standby.until <= R::Platform::monotonic_ns());
            stood_by = standby.is_some();
            if stood_by {
                rt.standby_until = 0;
            }
            // Before the time, only a signal ends its sleep without a notification.
            let woken = match state {
                FOLLOWS if over.is_none() => Woken::Interrupted,
                _ => Woken::Event,
            };
            stands_by = over;
            // No thread leads any more: a follower wakes to lead.
            let unled = |standby: Standby| is_free(rt) && standby.leads == rt.leads;
            (state == LEADS || over.is_some_and(unled), woken)
        }
    };
    let next = if leads {
        let now = now.unwrap_or_else(R::Platform::monotonic_ns);
        Ok(lead(rt, waiter, now, until, woken, nudged))
    } else {
        follow(rt, waiter, until, woken, stands_by)
    };
    if stood_by && rt.leader == Leader::Absent && !matches!(next, Ok(Next::Follow(_, Some(_)))) {
        // Those for which it stood by may compute.
        promote(rt);
    }
    next
}

/// Whether no other thread leads.
fn is_free<R: Resources>(rt: &mut Runtime<R>) -> bool {
    rt.leader == Leader::Absent || is_inherited(rt)
}

/// Whether the leader is a thread of the parent process. The child has only the one that forked.
#[cold]
fn is_inherited<R: Resources>(rt: &mut Runtime<R>) -> bool {
    let inherited = rt.led_in != R::Platform::forks();
    if inherited {
        rt.completions.forget_followers();
    }
    inherited
}

/// Leads from `now` on: runs the drivers until `waiter`'s wait is over, or there is nothing to run.
fn lead<R: Resources>(
    rt: &mut Runtime<R>,
    waiter: u64,
    mut now: u64,
    until: Option<u64>,
    woken: Woken,
    nudged: bool,
) -> Next<R> {
    rt.leader = Leader::Awake;
    rt.led_by = waiter;
    rt.led_in = R::Platform::forks();
    rt.leads = rt.leads.wrapping_add(1);
    let woken_before = rt.completions.woken_schedulers;
    loop {
        step(rt, now);
        let interrupted = woken == Woken::Interrupted && waiter != FINISH;
        if is_due(rt, waiter) || until.is_some_and(|until| until <= now) || interrupted {
            leave_lead(rt, waiter, now);
            return Next::Return;
        }
        if waiter != FINISH
            && rt.completions.has_finisher()
            && let Ok(word) = rt.completions.follow(waiter)
        {
            promote(rt);
            return Next::Follow(word, None);
        }
        let until = earliest(rt, until);
        if until.is_none_or(|until| until > now) {
            let others_run = nudged || rt.completions.woken_schedulers != woken_before;
            if rt.is_shared
                && others_run
                && scheduled_domain(waiter).is_some()
                && let Ok(word) = rt.completions.follow(waiter)
            {
                return leave_to_others(rt, word, now);
            }
            let sleep = prepare(rt, waiter, until);
            rt.leader = Leader::Asleep;
            return Next::Sleep(sleep);
        }
        now = R::Platform::monotonic_ns();
    }
}

/// Before the leader's thread resumes: submits what the drivers have queued, and hands over the
/// lead.
fn leave_lead<R: Resources>(rt: &mut Runtime<R>, waiter: u64, now: u64) {
    rt.interest.submit();
    if waiter != FINISH {
        R::Platform::resume(now);
    }
    if rt.standby_until > now {
        rt.leader = Leader::Absent;
    } else {
        promote(rt);
    }
}

/// Hands the lead over to a follower, if there is one.
fn promote<R: Resources>(rt: &mut Runtime<R>) {
    match rt.completions.promote_follower::<R::Platform>() {
        Some(waiter) => {
            rt.leader = Leader::Awake;
            rt.led_by = waiter;
        }
        None => rt.leader = Leader::Absent,
    }
}

/// Leaves the lead to a scheduler that runs, and stands by.
fn leave_to_others<R: Resources>(rt: &mut Runtime<R>, word: Arc<AtomicU32>, now: u64) -> Next<R> {
    rt.interest.submit();
    rt.leader = Leader::Absent;
    Next::Follow(word, Some(stand_by(rt, now)))
}

fn stand_by<R: Resources>(rt: &mut Runtime<R>, now: u64) -> Standby {
    rt.standby_until = now.saturating_add(STANDBY_NS);
    Standby {
        until: rt.standby_until,
        leads: rt.leads,
    }
}

/// Follows another thread, unless the wait of `waiter` is over.
#[cold]
fn follow<R: Resources>(
    rt: &mut Runtime<R>,
    waiter: u64,
    until: Option<u64>,
    woken: Woken,
    stands_by: Option<Standby>,
) -> Result<Next<R>, Stop> {
    let interrupted = woken == Woken::Interrupted && waiter != FINISH;
    let late = until.is_some_and(|until| until <= R::Platform::monotonic_ns());
    if is_due(rt, waiter) || late || interrupted {
        return Ok(Next::Return);
    }
    let word = rt.completions.follow(waiter)?;
    if waiter == FINISH && rt.leader == Leader::Asleep {
        // It hands over the lead.
        rt.nudge();
    }
    // While a leader sleeps, none has to stand by.
    let stands_by = stands_by.filter(|_| matches!(rt.leader, Leader::Absent | Leader::Awake));
    let watch = stands_by.map(|_| stand_by(rt, R::Platform::monotonic_ns()));
    Ok(Next::Follow(word, watch))
}

impl<R: Resources> Runtime<R> {
    /// Whether a leader waits for the devices, or is about to run their drivers after that.
    pub(crate) fn is_watched(&self) -> bool {
        matches!(self.leader, Leader::Asleep | Leader::Nudged)
            && self.led_in == R::Platform::forks()
    }

    /// Ends the leader's sleep, which began before the current call changed its interest.
    #[cold]
    pub(crate) fn nudge(&mut self) {
        if is_inherited(self) {
            self.leader = Leader::Absent;
        } else {
            self.leader = Leader::Nudged;
            R::Platform::nudge();
        }
    }
}

/// [`crate::cell::Cell::wait`] on a runtime without other threads.
pub fn wait<R: Resources>(rt: &mut Runtime<R>, until: Option<u64>) -> Result<(), Stop> {
    let mut from = From::Call;
    loop {
        from = match continue_wait(rt, SCHEDULER, until, from)? {
            Next::Return | Next::Follow(..) => return Ok(()),
            Next::Sleep(mut sleep) => {
                R::Platform::sleep(&mut sleep);
                From::Sleep(sleep)
            }
        };
    }
}

#[cfg(test)]
mod tests;

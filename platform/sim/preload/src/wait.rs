//! Calls that block: they try, and let virtual time pass until they succeed.

pub use crate::kernel::now;
use crate::signals::{self, Signal};
use crate::state::{self, State};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Waits without a limit.
pub const FOREVER: u64 = u64::MAX;
/// Doesn't wait.
pub const NOT: u64 = 0;

/// The time `after` nanoseconds from now; 0 is [`NOT`].
pub fn after(after: u64) -> u64 {
    if after == 0 {
        NOT
    } else {
        now().saturating_add(after)
    }
}

/// Requests to stop that were passed on.
static STOPS: AtomicUsize = AtomicUsize::new(0);

/// Raises SIGTERM for a request of the coordinator, unless it is blocked, by `mask` or by the
/// program's mask.
fn pass_on(mask: Option<u64>) -> Signal {
    let stops = sim::stops();
    if STOPS.load(Ordering::Relaxed) == stops || signals::is_blocked(mask, libc::SIGTERM) {
        return Signal::Ignored;
    }
    STOPS.store(stops, Ordering::Relaxed);
    signals::with_mask(mask, || signals::raise(libc::SIGTERM))
}

/// The program is about to replace its mask: a signal that was blocked ends the process, or a
/// request that was blocked is passed on.
pub fn unblock(how: i32, set: u64) {
    let old = sim::signals::exchange_mask(None);
    let new = match how {
        libc::SIG_BLOCK => return,
        libc::SIG_UNBLOCK => old & !set,
        _ => set,
    };
    signals::end_if_due(new);
    pass_on(Some(new));
}

/// Passes on signals; whether that ends a call with a mask of its own.
fn is_interrupted(call: Interrupted, mask: Option<u64>) -> bool {
    if mask.is_some_and(signals::run_pending) {
        return true;
    }
    match pass_on(mask) {
        Signal::Ignored => false,
        Signal::Handled => true,
        Signal::Restarts => call == Interrupted::Fails,
    }
}

/// The continuation of a call after a handler with `SA_RESTART` (signal(7)). After any other
/// handler the call fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    Continues,
    Fails,
}

/// Calls `attempt` with the stack up to date, and passes on what it sends.
fn run<T>(
    state: &mut State,
    attempt: &mut impl FnMut(&mut State) -> Result<T, i32>,
) -> Result<T, i32> {
    state.poll();
    let result = attempt(state);
    state.poll();
    if !matches!(result, Err(libc::EAGAIN)) {
        return result;
    }
    // The stack has delivered what the process sends to itself.
    let result = attempt(state);
    state.poll();
    result
}

/// Calls `attempt` until it returns something other than `EAGAIN`, or until a time of the
/// monotonic clock.
///
/// # Errors
/// Those of `attempt`; `EAGAIN` at the time; `EINTR` after a signal without `SA_RESTART`.
pub fn block<T>(until: u64, attempt: impl FnMut(&mut State) -> Result<T, i32>) -> Result<T, i32> {
    block_as(Interrupted::Continues, None, until, attempt)
}

/// The same for a call that a signal interrupts so, and that may have a mask of blocked signals.
pub fn block_as<T>(
    call: Interrupted,
    mask: Option<u64>,
    until: u64,
    mut attempt: impl FnMut(&mut State) -> Result<T, i32>,
) -> Result<T, i32> {
    loop {
        let (result, wake) = state::with(|state| (run(state, &mut attempt), state.deadline()));
        if !matches!(result, Err(libc::EAGAIN)) || until <= now() {
            return result;
        }
        if is_interrupted(call, mask) {
            return Err(libc::EINTR);
        }
        sim::wait(Some(until.min(wake)).filter(|time| *time != u64::MAX));
        if is_interrupted(call, mask) {
            return Err(libc::EINTR);
        }
    }
}

/// Lets time pass until a time of the monotonic clock: 0, or `EINTR`.
pub fn sleep(until: u64) -> Result<isize, i32> {
    match block_as(Interrupted::Fails, None, until, |_| {
        Err::<(), i32>(libc::EAGAIN)
    }) {
        Err(libc::EINTR) => Err(libc::EINTR),
        _ => Ok(0),
    }
}

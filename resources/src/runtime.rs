//! The program's only runtime, its entry by a call or a tick, and the encoding of answers.

use crate::current::Current;
use crate::types::Int;
use crate::types::constants::{
    COUNTER_BLOCK_REQUESTS, COUNTER_CONNECTIONS, COUNTER_DESCRIPTORS, COUNTER_LOCK_WAIT_MAX,
    COUNTER_LOCK_WAITS, COUNTER_MEMORY, COUNTER_OPERATIONS, COUNTER_SLEEPS, FIRST_TOKEN_OF_THREADS,
    MAX_TOKEN, PARK_READ, PARK_WRITE, PENDING, WOULD_BLOCK,
};
use crate::{Resources, Runtime};
use platform::error::{Answer, Error, Stop};
use platform::{Direction, Memory, System};
use reactor::cell::Cell;

const _: () = assert!(MAX_TOKEN as u64 == reactor::runtime::MAX_TOKEN);
const _: () = assert!(FIRST_TOKEN_OF_THREADS as u64 == reactor::wait::FIRST_OF_THREADS);

static RUNTIME: Cell<Resources> = Cell::new();

/// From now on [`call`] serves the threads of the current OCaml domain; `false`: its number is too
/// high.
pub fn join() -> bool {
    RUNTIME.join()
}

/// Ends what [`join`] began, before the domain ends.
pub fn leave_domain() {
    RUNTIME.leave_domain();
}

/// Whether [`call`] serves the threads of the current OCaml domain.
pub fn serves() -> bool {
    RUNTIME.serves()
}

/// Whether [`call`] serves threads of several OCaml domains.
pub fn is_shared() -> bool {
    RUNTIME.is_shared()
}

/// Encodes an answer for the interface.
pub fn encode(answer: Answer) -> Int {
    match answer {
        Ok(n) => Int::try_from(n).unwrap_or(Int::MAX >> 1),
        Err(Stop::Error(error)) => -(error as Int),
        Err(Stop::WouldBlock) => WOULD_BLOCK,
        Err(Stop::Pending) => PENDING,
    }
}

/// Returns the next completion of the domain's scheduler, encoded for the interface.
pub fn next_completion(rt: &mut Runtime, domain: usize) -> Option<(u64, Int)> {
    let (token, answer) = rt.next_completion(domain)?;
    Some((token, encode(answer)))
}

/// Decodes the direction in which a task parks.
pub fn decode_direction(direction: Int) -> Result<Direction, Error> {
    match direction {
        PARK_READ => Ok(Direction::Read),
        PARK_WRITE => Ok(Direction::Write),
        _ => Err(Error::Invalid),
    }
}

/// Runs `f` on the runtime. Returns `Busy` for a call within a call (an OCaml finalizer), or from a
/// domain that isn't served.
pub fn enter(f: impl FnOnce(&mut Runtime) -> Answer) -> Answer {
    RUNTIME.call(f)
}

/// From now on the program handles requests to stop, through the library.
pub fn take_power_button() {
    Current::take_power_button();
}

/// [`enter`], with an encoded answer.
pub fn call(f: impl FnOnce(&mut Runtime) -> Answer) -> Int {
    RUNTIME.call_as(f, encode)
}

/// [`call`] for threads of any domain, see [`Cell::call_from_anywhere`].
pub fn call_from_anywhere(f: impl FnOnce(&mut Runtime) -> Answer) -> Int {
    RUNTIME.call_from_anywhere(f, encode)
}

/// [`enter`] for system calls, which threads of any domain make, and threads that OCaml doesn't
/// know.
pub fn enter_from_anywhere(f: impl FnOnce(&mut Runtime) -> Answer) -> Answer {
    RUNTIME.call_from_anywhere(f, |answer| answer)
}

/// [`wait`] for the same.
pub fn wait_from_anywhere(
    waiter: u64,
    until: Option<u64>,
    fetch: impl FnOnce(&mut Runtime) -> Answer,
) -> Answer {
    RUNTIME.wait_from_anywhere(waiter, until, fetch)
}

/// Waits like [`Cell::wait`].
pub fn wait(waiter: u64, until: Option<u64>, fetch: impl FnOnce(&mut Runtime) -> Answer) -> Answer {
    RUNTIME.wait(waiter, until, fetch)
}

/// See `soil_sync_all`.
pub fn finish(grace: u64) -> Answer {
    RUNTIME.finish(grace)
}

/// Runs `f` on the runtime from a tick; does nothing during a call.
pub fn tick(f: impl FnOnce(&mut Runtime)) {
    RUNTIME.tick(f);
}

/// Takes the runtime's lock for a fork; `false` within a call.
pub fn lock() -> bool {
    RUNTIME.lock()
}

/// Releases the lock that [`lock`] took.
pub fn unlock() {
    RUNTIME.unlock();
}

/// See `soil_counters`.
pub fn counter(rt: &mut Runtime, which: Int) -> Answer {
    Ok(match which {
        COUNTER_MEMORY => Current::memory().get(1).copied().unwrap_or(0) as usize,
        COUNTER_DESCRIPTORS => rt.table.count(),
        COUNTER_OPERATIONS => rt.outstanding(),
        COUNTER_SLEEPS => rt.sleeps,
        COUNTER_LOCK_WAITS => RUNTIME.lock_waits()[0],
        COUNTER_LOCK_WAIT_MAX => RUNTIME.lock_waits()[1],
        COUNTER_CONNECTIONS..=COUNTER_BLOCK_REQUESTS => rt.counter(which),
        _ => return Err(Error::Invalid.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::{counter, decode_direction};
    use crate::Runtime;
    use crate::pipe;
    use crate::types::constants::{
        COUNTER_BLOCK_REQUESTS, COUNTER_DESCRIPTORS, COUNTER_LOCK_WAIT_MAX, COUNTER_MEMORY,
        COUNTER_OPERATIONS, COUNTER_SLEEPS, PARK_READ, PARK_WRITE,
    };
    use platform::Direction;
    use platform::error::{Error, Stop};

    #[test]
    fn counters_are_the_reactors_and_those_of_the_resources() {
        let mut rt = Runtime::new();
        let (reader, _writer) = pipe::open(&mut rt, 8).expect("memory");
        let parked = rt.park(reader, Direction::Read, 5);
        assert_eq!(parked, Err(Stop::Pending));
        rt.sleeps = 77;
        let counts = [COUNTER_DESCRIPTORS, COUNTER_OPERATIONS, COUNTER_SLEEPS];
        let counts = counts.map(|which| counter(&mut rt, which));
        assert_eq!(counts, [Ok(2), Ok(1), Ok(77)]);
        assert_eq!(counter(&mut rt, COUNTER_BLOCK_REQUESTS), Ok(0));
        assert!(counter(&mut rt, COUNTER_MEMORY).is_ok_and(|bytes| bytes > 4096));
        for other in [-1, COUNTER_LOCK_WAIT_MAX + 1] {
            let refused = Err(Stop::Error(Error::Invalid));
            assert_eq!(counter(&mut rt, other), refused, "{other}");
        }
    }

    #[test]
    fn directions_are_told_apart() {
        let decoded = [PARK_READ, PARK_WRITE].map(decode_direction);
        assert_eq!(decoded, [Ok(Direction::Read), Ok(Direction::Write)]);
        assert_ne!(PARK_READ, PARK_WRITE);
        for other in [-1, PARK_READ.max(PARK_WRITE) + 1, isize::MAX] {
            assert_eq!(decode_direction(other), Err(Error::Invalid), "{other}");
        }
    }
}

//! Start, the one wait, also of several threads, cancellation, error details, time, exit.

use super::SOIL_ABI;
use crate::completions;
use crate::ffi::{Bytes, Int, Ints, Text};
use platform::error::Error;
use platform::{Simulation, System, Wait};
use resources::clock;
use resources::current::Current;
use resources::log_sink;
use resources::runtime::{
    call, call_from_anywhere, counter, encode, finish, join, leave_domain, take_power_button,
};

/// The number of this interface, [`SOIL_ABI`].
#[unsafe(no_mangle)]
pub extern "C" fn soil_abi_version() -> Int {
    SOIL_ABI
}

/// Starts the platform: log level, signals or power button. No device is touched. Calling it again
/// does nothing. All other functions but [`soil_event_set`], [`soil_domain_call`] and
/// [`soil_sync_all`] serve the OCaml domain of the calling thread from then on: in others they
/// answer `Busy`, until [`soil_domain_join`]. Errors: `Bad_configuration` with a detail.
#[unsafe(no_mangle)]
pub extern "C" fn soil_start() -> Int {
    join();
    call(|rt| {
        rt.start()?;
        take_power_button();
        Ok(0)
    })
}

/// Runs stack and devices until at least one operation completes, the time `deadline` (monotonic
/// nanoseconds; -1 = none; 0 = only look) comes, or a signal arrives; then fills `completions[2i]`
/// with a token and `completions[2i + 1]` with its result, for at most `max` operations (at most
/// half the length of `completions`), and returns their number: 0 after the deadline, a signal or
/// [`soil_domain_call`]. Other OCaml threads may run meanwhile. For one thread of each domain, which
/// gets the completions of tokens with the domain's index in the bits from 32 to 38.
/// @ocaml blocking
#[unsafe(no_mangle)]
pub extern "C" fn soil_wait(deadline: Int, mut completions: Ints, max: Int) -> Int {
    encode(completions::wait(deadline, completions.all(), max))
}

/// Waits as `soil_wait` does, on any thread, until the operation `token`, from
/// `FIRST_TOKEN_OF_THREADS` on, completes; returns its result, or `PENDING` after the deadline or a
/// signal. Also for a token without an operation, which never completes. Of several threads that
/// wait, here or in `soil_wait`, one runs stack and devices for all. A token is waited for by one
/// thread at a time. Errors: `Invalid` (a smaller token).
/// @ocaml blocking
#[unsafe(no_mangle)]
pub extern "C" fn soil_await(token: Int, deadline: Int) -> Int {
    encode(completions::wait_for(token, deadline))
}

/// Says that other threads than the first will wait, as `soil.threads` does when it starts; 0.
/// From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn soil_expect_threads() -> Int {
    Current::expect_threads();
    0
}

/// Serves the calling thread's OCaml domain, too, from now on; 0. Errors: `Invalid` (its index is
/// 128 or more).
#[unsafe(no_mangle)]
pub extern "C" fn soil_domain_join() -> Int {
    Current::expect_threads();
    encode(if join() {
        Ok(0)
    } else {
        Err(Error::Invalid.into())
    })
}

/// Ends the service of the calling thread's OCaml domain, which has joined, before its end; 0. Its
/// operations have completed, or were cancelled.
#[unsafe(no_mangle)]
pub extern "C" fn soil_domain_leave() -> Int {
    leave_domain();
    0
}

/// Ends the [`soil_wait`] of the OCaml domain with this index, or its next one, without a
/// completion; 0. From any thread of any OCaml domain. Errors: `Invalid` (the index).
#[unsafe(no_mangle)]
pub extern "C" fn soil_domain_call(domain: Int) -> Int {
    call_from_anywhere(|rt| {
        let domain = usize::try_from(domain).map_err(|_| Error::Invalid)?;
        rt.call_domain(domain)
    })
}

/// Starts an operation that [`soil_event_set`] completes, with 0.
#[unsafe(no_mangle)]
pub extern "C" fn soil_event(token: Int) -> Int {
    call(|rt| rt.event(token))
}

/// Completes the operation that [`soil_event`] has started; from any thread of any OCaml domain. 1:
/// done. 0: there is no such operation.
#[unsafe(no_mangle)]
pub extern "C" fn soil_event_set(token: Int) -> Int {
    call_from_anywhere(|rt| rt.set_event(token))
}

/// Takes the operation `token` back. 1: done, no completion will come and its buffer is the
/// caller's again. 0: there is no such operation, or its completion is already on the way.
/// [`PENDING`](super::PENDING): a device has the buffer; the completion will come.
#[unsafe(no_mangle)]
pub extern "C" fn soil_cancel(token: Int) -> Int {
    call(|rt| rt.cancel(token))
}

/// Copies the detail of the thread's last call that failed (UTF-8, one line, no final newline) to
/// `into[off .. off + len]`, cut where it doesn't fit; returns its length, 0 if that failure had
/// none.
#[unsafe(no_mangle)]
pub extern "C" fn soil_error_detail(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| Ok(rt.messages.last(Current::thread(), into.range(off, len)?)))
}

/// The same for the operation that completed with `token`; it is forgotten by this call.
#[unsafe(no_mangle)]
pub extern "C" fn soil_error_detail_of(token: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| Ok(rt.messages.take(token, into.range(off, len)?)))
}

/// Before exit: writes back all volumes, drains the console, ends lingering connections, for at
/// most `grace` nanoseconds.
/// @ocaml blocking
#[unsafe(no_mangle)]
pub extern "C" fn soil_sync_all(grace: Int) -> Int {
    encode(match u64::try_from(grace) {
        Ok(grace) => finish(grace),
        Err(_) => Err(Error::Invalid.into()),
    })
}

/// Ends the process or the machine at once with `status` (its low 8 bits). Does not return.
#[unsafe(no_mangle)]
pub extern "C" fn soil_exit(status: Int) -> Int {
    Current::exit((status & 0xff) as u8)
}

/// A counter of the running system; `which` is one of the `COUNTER_*`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_counters(which: Int) -> Int {
    call(|rt| counter(rt, which))
}

/// A number of the running thread that no other living one has, not 0: by it the OCaml side, whose
/// scheduler is one thread's, tells others.
#[unsafe(no_mangle)]
pub extern "C" fn soil_thread() -> Int {
    Current::thread() as Int
}

/// A number below `bound`, by the seed of `soil simulate`: the ready task that runs next. 0 without
/// a simulation. With a `bound` of 0: 1 in a simulation, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn soil_choose(bound: Int) -> Int {
    match usize::try_from(bound) {
        Ok(0) => Int::from(Current::is_simulated()),
        Ok(bound) => Current::choose(bound) as Int,
        Err(_) => 0,
    }
}

/// 1 in the image, 0 in the process.
#[unsafe(no_mangle)]
pub extern "C" fn soil_on_vm() -> Int {
    Int::from(Current::ON_VM)
}

/// Logs one line at `level` (1 … 4).
#[unsafe(no_mangle)]
pub extern "C" fn soil_log(level: Int, text: Text, off: Int, len: Int) -> Int {
    let line = text
        .range(off, len)
        .and_then(|line| log_sink::log_bytes(level, line));
    encode(line.map(|()| 0).map_err(Into::into))
}

/// Nanoseconds of a clock that never jumps; its zero is some time before the program's start. See
/// [`soil_clock_set_virtual`](super::soil_clock_set_virtual).
#[unsafe(no_mangle)]
pub extern "C" fn soil_clock_monotonic_ns() -> Int {
    Int::try_from(clock::monotonic_ns()).unwrap_or(Int::MAX >> 1)
}

/// Nanoseconds since 1970-01-01 00:00 UTC.
#[unsafe(no_mangle)]
pub extern "C" fn soil_clock_wall_ns() -> Int {
    Int::try_from(clock::wall_ns()).unwrap_or(Int::MAX >> 1)
}

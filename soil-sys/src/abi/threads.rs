//! Waiting on several threads: a part of its own, so that programs of one thread don't carry it.

use crate::ffi::Int;
use crate::wait;
use platform::Wait;
use resources::current::Current;
use resources::runtime::{call, encode};

/// Waits as `soil_wait` does, on any thread, until the operation `token`, from
/// `FIRST_TOKEN_OF_THREADS` on, completes; returns its result, or `PENDING` after the deadline or a
/// signal. Also for a token without an operation, which never completes. Of several threads that
/// wait, here or in `soil_wait`, one runs stack and devices for all. A token is waited for by one
/// thread at a time. Errors: `Invalid` (a smaller token).
/// @ocaml blocking
#[unsafe(no_mangle)]
pub extern "C" fn soil_await(token: Int, deadline: Int) -> Int {
    encode(wait::wait_for(token, deadline))
}

/// Says that other threads than the first will wait, as `soil.threads` does when it starts; 0.
/// From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn soil_expect_threads() -> Int {
    Current::expect_threads();
    0
}

/// Starts an operation that [`soil_event_set`] completes, with 0.
#[unsafe(no_mangle)]
pub extern "C" fn soil_event(token: Int) -> Int {
    call(|rt| rt.event(token))
}

/// Completes the operation that [`soil_event`] has started; from any thread. 1: done. 0: there is
/// no such operation.
#[unsafe(no_mangle)]
pub extern "C" fn soil_event_set(token: Int) -> Int {
    call(|rt| rt.set_event(token))
}

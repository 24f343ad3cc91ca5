//! Waiting: the one place where a system call waits for an operation of the reactor.

use crate::errors::{Errno, Result, errno};
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};
use platform::System;
use platform::error::{Answer, Stop};
use resources::Runtime;
use resources::current::Current;
use resources::runtime::{enter, wait};
use resources::types::Int;
use resources::types::constants::MAX_TOKEN;

/// Number of tokens that system calls use in turn, from the largest down: threads that call the
/// library count from the least one of threads up.
const TOKENS: u64 = 1 << 20;
/// The turn.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Starts an operation with a token of its own and waits for its result. Signals don't end it, as
/// for files of Linux.
pub fn block(start: impl FnOnce(&mut Runtime, Int) -> Answer) -> Result<usize> {
    let turn = NEXT.fetch_add(1, Ordering::Relaxed) % TOKENS;
    let token = MAX_TOKEN as u64 - turn;
    let mut answer = enter(|rt| start(rt, token as Int));
    while answer == Err(Stop::Pending) {
        answer = without_handlers(|| {
            wait(token, None, |rt| {
                rt.take_completion(token).unwrap_or(Err(Stop::Pending))
            })
        });
    }
    if matches!(answer, Err(Stop::Error(error)) if errno(error) == libc::EIO) {
        report(token);
    }
    answer.map_err(number)
}

/// Logs why an operation failed where errno says only that it is the disk: its system call has no
/// room for the reason.
#[cold]
fn report(token: u64) {
    let mut text = [0; 256];
    let copied = enter(|rt| match rt.messages.take(token as Int, &mut text) {
        0 => Ok(rt.messages.last(Current::thread(), &mut text)),
        len => Ok(len),
    });
    let line = text.get(..copied.unwrap_or(0)).unwrap_or_default();
    if !line.is_empty() {
        log::error!("{}", String::from_utf8_lossy(line));
    }
}

/// Does an operation that waits for nothing. [`libc::EAGAIN`] if it would have to.
pub fn at_once(operation: impl FnOnce(&mut Runtime) -> Answer) -> Result<usize> {
    enter(operation).map_err(number)
}

fn number(stop: Stop) -> Errno {
    match stop {
        Stop::Error(error) => errno(error),
        Stop::WouldBlock | Stop::Pending => libc::EAGAIN,
    }
}

/// Runs `wait` so that no handler of a signal runs meanwhile: handlers run when the system call
/// returns.
#[cfg(feature = "image")]
pub fn without_handlers<T>(wait: impl FnOnce() -> T) -> T {
    kernel::signals::hold(wait)
}

/// Runs `wait`: the host's handlers don't run here.
#[cfg(not(feature = "image"))]
pub fn without_handlers<T>(wait: impl FnOnce() -> T) -> T {
    wait()
}

//! Waiting: the only place where a system call waits for an operation of the reactor. Waiting for
//! any of several descriptors is in [`super::readiness`].

use super::signals::{is_interrupted, within_call};
use crate::errors::{Errno, RESTART, Result, errno};
use alloc::string::String;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use platform::error::{Answer, Error, Stop};
use platform::{Clock, Direction, System, Wait};
use reactor::table::Fd;
use resources::Runtime;
use resources::current::Current;
use resources::runtime::{enter_from_anywhere as enter, wait_from_anywhere as wait};
use resources::types::constants::MAX_TOKEN;
use resources::types::{Int, Piece};

/// Number of tokens of system calls, from the largest down: threads that call the library count
/// upwards from the smallest one of threads.
const TOKENS: u64 = 1 << 38;

/// The token of the running thread's system call, which waits for one operation at a time. Numbers
/// of threads are smaller than [`TOKENS`] in an image; on the host, where they are addresses, those
/// of living threads differ in these bits.
pub fn token() -> u64 {
    MAX_TOKEN as u64 - Current::thread() as u64 % TOKENS
}

/// The memory of a system call in the form of the operations. The system call waits for the
/// operation's end, and keeps it until then.
pub fn piece(bytes: &mut [u8]) -> Piece {
    // SAFETY: `block` doesn't return before the operation has ended.
    unsafe { Piece::new(NonNull::from(&mut *bytes).cast(), bytes.len()) }
}

/// As [`piece`], for memory that the operation only reads.
pub fn read_only(bytes: &[u8]) -> Piece {
    // SAFETY: as above; a write reads the memory of its piece and doesn't change it.
    unsafe { Piece::new(NonNull::from(bytes).cast(), bytes.len()) }
}

/// Starts an operation with its own token and waits for its result. Signals don't end it, as for
/// files of Linux.
pub fn block(start: impl FnOnce(&mut Runtime, Int) -> Answer) -> Result<usize> {
    let token = token();
    let mut answer = enter(|rt| start(rt, token as Int));
    while answer == Err(Stop::Pending) {
        answer = within_call(false, || {
            wait(token, None, |rt| {
                rt.take_completion(token).unwrap_or(Err(Stop::Pending))
            })
        });
        if answer.is_err() && is_outstanding(token) {
            // The wait has failed, but not the operation, which still uses the caller's buffer.
            pause();
            answer = Err(Stop::Pending);
        }
    }
    if let Err(Stop::Error(error)) = answer {
        report(token, lacks_reason(error));
    }
    answer.map_err(number)
}

/// Waits until reading or writing a descriptor of the runtime is worth a try.
///
/// # Errors
/// [`RESTART`] for a signal; [`libc::EAGAIN`] at the deadline, in monotonic nanoseconds.
pub fn park(fd: Fd, direction: Direction, deadline: Option<u64>) -> Result<()> {
    let token = token();
    let mut answer = enter(|rt| rt.park(fd, direction, token as Int));
    while answer == Err(Stop::Pending) {
        let interrupted = is_interrupted();
        let late = deadline.is_some_and(|deadline| Current::monotonic_ns() >= deadline);
        if interrupted || late {
            enter(|rt| end(rt, token)).map_err(number)?;
            return Err(if interrupted { RESTART } else { libc::EAGAIN });
        }
        answer = within_call(true, || {
            wait(token, deadline, |rt| {
                rt.take_completion(token).unwrap_or(Err(Stop::Pending))
            })
        });
    }
    if answer.is_err() {
        // If the wait has failed, the descriptor is still parked.
        let _ = enter(|rt| end(rt, token));
    }
    answer.map(|_| ()).map_err(number)
}

/// Takes the completion of a thread's parked operation, or cancels it.
pub fn end(rt: &mut Runtime, token: u64) -> Answer {
    match rt.take_completion(token) {
        Some(_) => Ok(0),
        None => rt.cancel(token as Int),
    }
}

/// Whether a thread's operation hasn't ended, or its result hasn't been fetched.
#[cold]
fn is_outstanding(token: u64) -> bool {
    enter(|rt| Ok(usize::from(rt.is_outstanding(token)))) == Ok(1)
}

/// Sleeps for a millisecond, without memory.
#[cold]
fn pause() {
    let until = Current::monotonic_ns().saturating_add(1_000_000);
    Current::await_change(&AtomicU32::new(0), 0, Some(until));
}

/// Whether errno says less than the operation's message: the disk's, or no network. The latter
/// counts once, since programs try again.
#[cold]
fn lacks_reason(error: Error) -> bool {
    static IS_NETWORK_KNOWN: AtomicBool = AtomicBool::new(false);
    match error {
        Error::NoNetwork => !IS_NETWORK_KNOWN.swap(true, Ordering::Relaxed),
        error => errno(error) == libc::EIO,
    }
}

/// Takes the message of an operation that has failed, and logs it if `is_logged`: its system call
/// has no room for it.
#[cold]
fn report(token: u64, is_logged: bool) {
    let mut text = [0; 256];
    let copied = enter(|rt| match rt.messages.take(token as Int, &mut text) {
        0 => Ok(rt.messages.last(Current::thread(), &mut text)),
        len => Ok(len),
    });
    let line = text.get(..copied.unwrap_or(0)).unwrap_or_default();
    if is_logged && !line.is_empty() {
        log::error!("{}", String::from_utf8_lossy(line));
    }
}

/// Performs a non-blocking operation. [`libc::EAGAIN`] if it would have to wait.
pub fn at_once(operation: impl FnOnce(&mut Runtime) -> Answer) -> Result<usize> {
    enter(operation).map_err(number)
}

/// Runs `attempt` on the runtime. [`libc::EBUSY`] within a call of the runtime.
pub fn now<T, E: From<Errno>>(
    attempt: impl FnOnce(&mut Runtime) -> core::result::Result<T, E>,
) -> core::result::Result<T, E> {
    let mut outcome = None;
    let _ = enter(|rt| {
        outcome = Some(attempt(rt));
        Ok(0)
    });
    outcome.unwrap_or_else(|| Err(libc::EBUSY.into()))
}

/// The error number for the end of an operation.
pub fn number(stop: Stop) -> Errno {
    match stop {
        Stop::Error(error) => errno(error),
        Stop::WouldBlock | Stop::Pending => libc::EAGAIN,
    }
}

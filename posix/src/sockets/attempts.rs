//! Attempts of operations on sockets: inside a call of the runtime, repeated when the socket is
//! ready.

use super::network_errno;
use crate::blocking::lent::Lent;
use crate::blocking::operation::{block, now, park};
use crate::blocking::readiness::wait_for;
use crate::errors::{Errno, RESTART, Result};
use core::sync::atomic::{AtomicBool, Ordering};
use platform::Direction;
use platform::error::{Error, Stop};
use reactor::table::Fd;
use resources::Runtime;
use resources::net;
use sync::mutex::{Mutex, MutexGuard, level};

/// Why an attempt isn't complete.
pub enum Halt {
    /// It has failed.
    Error(Errno),
    /// It should be repeated when the descriptor is ready.
    Park(Fd, Direction),
    /// It should be repeated when the gate of listeners may have opened.
    Gate,
}

impl From<Errno> for Halt {
    fn from(errno: Errno) -> Halt {
        Halt::Error(errno)
    }
}

/// The result of an attempt.
pub type Attempt<T> = core::result::Result<T, Halt>;

/// The maximum wait of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// None.
    None,
    /// Until a signal arrives.
    Signal,
    /// Until a signal arrives or the monotonic clock reaches this time in nanoseconds.
    Deadline(u64),
}

/// An attempt has succeeded since the network was last polled for one that would have had to wait.
static PROGRESS: AtomicBool = AtomicBool::new(false);

/// Repeats `attempt`, which uses memory that the call was lent, until it completes or fails.
/// [`libc::EAGAIN`] if it would have to wait longer than `patience` allows. A signal ends the wait
/// with [`RESTART`], or [`libc::EINTR`] with a deadline (signal(7)).
pub fn retry<T>(
    patience: Patience,
    lent: Lent,
    mut attempt: impl FnMut(&mut Runtime) -> Attempt<T>,
) -> Result<T> {
    let mut polled = false;
    loop {
        let (fd, direction) = match now(&mut attempt) {
            Ok(done) => {
                PROGRESS.store(true, Ordering::Relaxed);
                return Ok(done);
            }
            Err(Halt::Error(errno)) => return Err(errno),
            Err(Halt::Park(fd, direction)) => (fd, direction),
            Err(Halt::Gate) => {
                return try_or_wait(patience, lent, |rt| match attempt(rt) {
                    Ok(done) => Ok(Some(done)),
                    Err(Halt::Error(errno)) => Err(errno),
                    Err(Halt::Park(..) | Halt::Gate) => Ok(None),
                });
            }
        };
        match patience {
            // A server responds and then checks for the next request, which has rarely arrived, on
            // one connection after another. Its output is sent with its wait, all at once.
            Patience::None if polled || PROGRESS.swap(false, Ordering::Relaxed) => {
                return Err(libc::EAGAIN);
            }
            Patience::None => {
                // A device may have the data, for a program that only tries.
                polled = true;
                now(|rt| {
                    net::poll_until_idle(rt);
                    Ok::<_, Errno>(())
                })?;
            }
            Patience::Signal => park(fd, direction, None)?,
            Patience::Deadline(at) => {
                park(fd, direction, Some(at)).map_err(|errno| match errno {
                    RESTART => libc::EINTR,
                    errno => errno,
                })?;
            }
        }
        lent.check()?;
    }
}

/// Repeats `attempt` after changes of any descriptor, until it completes or fails; `None`: it has
/// to wait. Ends like [`retry`].
pub fn try_or_wait<T>(
    patience: Patience,
    lent: Lent,
    mut attempt: impl FnMut(&mut Runtime) -> Result<Option<T>>,
) -> Result<T> {
    if let Some(done) = now(&mut attempt)? {
        return Ok(done);
    }
    let again = |rt: &mut Runtime| lent.check().and_then(|()| attempt(rt));
    let done = match patience {
        Patience::None => None,
        Patience::Signal => wait_for(None, RESTART, again)?,
        Patience::Deadline(at) => wait_for(Some(at), libc::EINTR, again)?,
    };
    done.ok_or(libc::EAGAIN)
}

/// The state of a socket, used inside calls of the runtime.
pub struct Guarded<S>(Mutex<S, level::Socket>);

impl<S> Guarded<S> {
    /// An unused state.
    pub const fn new(state: S) -> Guarded<S> {
        Guarded(Mutex::new(state))
    }

    /// The state, for operations that don't wait and are inside a call already or need none.
    pub fn lock(&self) -> MutexGuard<'_, S, level::Socket> {
        self.0.lock()
    }

    /// The same of a socket that nothing else knows yet, within the use of another one's state.
    pub fn lock_new(&self) -> MutexGuard<'_, S, level::Socket> {
        self.0.lock_nested()
    }

    /// Runs `f` on the state, within the runtime. Repeats it while it has to wait.
    pub fn retry<T>(
        &self,
        patience: Patience,
        f: impl FnMut(&mut Runtime, &mut S) -> Attempt<T>,
    ) -> Result<T> {
        self.retry_with(patience, Lent::NONE, f)
    }

    /// As [`Guarded::retry`], for an operation on memory that the call was lent.
    pub fn retry_with<T>(
        &self,
        patience: Patience,
        lent: Lent,
        mut f: impl FnMut(&mut Runtime, &mut S) -> Attempt<T>,
    ) -> Result<T> {
        retry(patience, lent, |rt| f(rt, &mut self.lock()))
    }

    /// As [`Guarded::retry`], for operations that don't wait.
    pub fn now<T>(&self, f: impl FnMut(&mut Runtime, &mut S) -> Attempt<T>) -> Result<T> {
        self.retry(Patience::None, f)
    }
}

/// The descriptor returned by an operation of the network.
pub fn decode(answer: usize) -> Attempt<Fd> {
    Fd::decode(answer as isize).map_err(|error| Halt::Error(network_errno(error)))
}

/// For an incomplete operation: repeated when the socket is ready, or failed.
pub fn halt(stop: Stop, fd: Fd, direction: Direction) -> Halt {
    match stop {
        Stop::WouldBlock | Stop::Pending => Halt::Park(fd, direction),
        Stop::Error(error) => Halt::Error(network_errno(error)),
    }
}

/// The error of an operation that completes at once.
pub fn at_once(stop: Stop) -> Errno {
    match stop {
        // There is no route.
        Stop::Error(Error::Unreachable) => libc::ENETUNREACH,
        Stop::Error(error) => network_errno(error),
        Stop::WouldBlock | Stop::Pending => libc::EAGAIN,
    }
}

/// Waits for the first address of an interface, which a process finds at its start. Without one,
/// the operation that needs it fails.
pub fn await_network() {
    let _ = block(net::up);
}

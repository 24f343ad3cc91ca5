//! Signals, as far as waits and descriptors see them. The host's signals aren't looked at.

/// A set of signals: signal `n` is bit `n - 1`.
pub type Set = u64;

#[cfg(feature = "image")]
mod of_program {
    use super::Set;
    use kernel::signals;

    /// Whether a signal ends the waits of the running thread.
    pub fn is_interrupted() -> bool {
        signals::is_ready()
    }

    /// Runs `wait` so that no handler of a signal runs meanwhile: handlers run when the system call
    /// returns. A signal ends the wait if it is `interruptible`.
    pub fn within_call<T>(interruptible: bool, wait: impl FnOnce() -> T) -> T {
        signals::within_call(interruptible, wait)
    }

    /// Whether a signal of `set` is pending for the running thread.
    pub fn is_pending(set: Set) -> bool {
        signals::is_pending(set)
    }

    /// Takes the pending signal of `set` with the lowest number: that and its `si_code`.
    pub fn take(set: Set) -> Option<(u64, u64)> {
        signals::take(set)
    }

    /// Sends a signal to the running thread.
    pub fn raise(signal: i32) {
        // The thread is there, and the number is one of a signal.
        let _ = signals::send_to(signals::PID, signal as u64, true);
    }
}

#[cfg(not(feature = "image"))]
mod of_program {
    use super::Set;

    /// False.
    pub fn is_interrupted() -> bool {
        false
    }

    /// Runs `wait`.
    pub fn within_call<T>(_interruptible: bool, wait: impl FnOnce() -> T) -> T {
        wait()
    }

    /// False.
    pub fn is_pending(_set: Set) -> bool {
        false
    }

    /// None.
    pub fn take(_set: Set) -> Option<(u64, u64)> {
        None
    }

    /// Does nothing.
    pub fn raise(_signal: i32) {}
}

pub use of_program::{is_interrupted, is_pending, raise, take, within_call};

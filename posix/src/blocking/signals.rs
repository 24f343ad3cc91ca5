//! Signals from the view of waits and descriptors. The host's signals are ignored.

/// A set of signals: signal `n` is bit `n - 1`.
pub type Set = u64;

/// A taken signal, as in `siginfo_t`.
pub struct Taken {
    /// Its number.
    pub signal: u64,
    /// `si_code`.
    pub code: u32,
    /// `si_pid` and `si_uid`, or a timer's `si_timerid` and `si_overrun`.
    pub sender: [u32; 2],
    /// `si_value`.
    pub value: u64,
}

#[cfg(feature = "image")]
mod of_program {
    use super::{Set, Taken};
    use kernel::{delivery, signals};

    /// Whether a signal ends the waits of the running thread.
    pub fn is_interrupted() -> bool {
        signals::is_ready()
    }

    /// Runs `wait` so that no signal handler runs meanwhile: handlers run when the system call
    /// returns. A signal ends the wait if it is `interruptible`.
    pub fn within_call<T>(interruptible: bool, wait: impl FnOnce() -> T) -> T {
        signals::within_call(interruptible, wait)
    }

    /// Whether a signal of `set` is pending for the running thread.
    pub fn is_pending(set: Set) -> bool {
        signals::is_pending(set)
    }

    /// Whether a signal of `set` was sent to another thread since the last call.
    pub fn take_sent_to_threads(set: Set) -> bool {
        signals::take_sent_to_threads(set)
    }

    /// Takes the pending signal of `set` with the lowest number.
    pub fn take(set: Set) -> Option<Taken> {
        let (signal, origin) = delivery::take(set)?;
        Some(Taken {
            signal,
            code: origin.code as u32,
            sender: [origin.sender as u32, (origin.sender >> 32) as u32],
            value: origin.value,
        })
    }

    /// Sends a signal to the running thread.
    pub fn raise(signal: i32) {
        // The thread exists, and the number is a valid signal.
        let _ = signals::send_to(signals::PID, signal as u64, true);
    }
}

#[cfg(not(feature = "image"))]
mod of_program {
    use super::{Set, Taken};
    use core::sync::atomic::{AtomicU64, Ordering};

    /// Sent signals: only descriptors take them.
    static PENDING: AtomicU64 = AtomicU64::new(0);

    /// False.
    pub fn is_interrupted() -> bool {
        false
    }

    /// Runs `wait`.
    pub fn within_call<T>(_interruptible: bool, wait: impl FnOnce() -> T) -> T {
        wait()
    }

    /// Whether a signal of `set` is pending.
    pub fn is_pending(set: Set) -> bool {
        PENDING.load(Ordering::Relaxed) & set != 0
    }

    /// False.
    pub fn take_sent_to_threads(_set: Set) -> bool {
        false
    }

    /// Takes the pending signal of `set` with the lowest number.
    pub fn take(set: Set) -> Option<Taken> {
        let lowest = |pending: Set| {
            let taken = pending & set;
            taken & taken.wrapping_neg()
        };
        let next = |pending| Some(pending & !lowest(pending));
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        let bit = lowest(PENDING.fetch_update(set, get, next).ok()?);
        (bit != 0).then(|| Taken {
            signal: u64::from(bit.trailing_zeros()) + 1,
            code: libc::SI_USER as u32,
            sender: [1, 0],
            value: 0,
        })
    }

    /// Sends a signal.
    pub fn raise(signal: i32) {
        PENDING.fetch_or(1 << (signal - 1), Ordering::Relaxed);
    }
}

pub use of_program::{is_interrupted, is_pending, raise, take, take_sent_to_threads, within_call};

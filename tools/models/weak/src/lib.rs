//! What `core`, `alloc`, `libc`, `log` and `platform` have, as far as the models' sources use it,
//! with loom's atomics and cells: `extern crate weak as core` compiles a source for loom without a
//! change.
//!
//! An atomic is a plain number in place, as in `core`, so that it can be a constant, or lie in the
//! memory of a ring. Loom's object for it is found by its address, and begins with its first access
//! in an execution. That must happen before another thread can reach it.
//!
//! [`check`] runs a model, and [`unneeded`] runs it once more for each ordering stronger than
//! `Relaxed`, without that ordering. [`fails`] is for a model with a fault.

pub use real::{Clock, Direction, Interest, Signals, Stream, System, Ticker, Woken, error};
pub use std::{
    boxed, collections, convert, default, fmt, hash, iter, marker, mem, net, num, ops, ptr, slice,
    string, vec,
};

pub mod alloc;
pub mod cell;
mod eventfd;
mod explore;
pub mod interrupts;
pub mod sync;
mod ticks;

pub use eventfd::{
    EFD_CLOEXEC, EFD_NONBLOCK, O_CLOEXEC, await_readable, c_void, close, dup3, eventfd,
    is_readable, read, write,
};
pub use explore::{check, fails, unneeded};
pub use ticks::{nanosleep, pthread_atfork, timespec};

/// `core::hint`.
pub mod hint {
    pub use loom::hint::spin_loop;
    pub use std::hint::black_box;
}

use sync::atomic::AtomicU32;

/// `log::warn`, which drops the message.
#[macro_export]
macro_rules! warn {
    ($($text:tt)*) => {
        _ = ::std::format_args!($($text)*)
    };
}

/// The waits of [`real::Wait`], with this crate's words.
#[expect(missing_docs, reason = "as in `platform`")]
pub trait Wait {
    type Interest: Interest;
    type Sleep;

    fn prepare(interest: &mut Self::Interest, until: Option<u64>, signals: Signals) -> Self::Sleep;
    fn sleep(sleep: &mut Self::Sleep);
    fn finish(interest: &mut Self::Interest, sleep: Self::Sleep) -> Woken;
    fn nudge();
    fn enter_blocking();
    fn leave_blocking();
    fn expect_threads();
    fn forks() -> u32;
    fn resume(now: u64);
    fn start_ticker(ticker: &'static Ticker);
    fn await_change(word: &AtomicU32, value: u32, until: Option<u64>);
    fn await_change_or_signal(word: &AtomicU32, value: u32, until: Option<u64>);
    fn await_release(word: &AtomicU32, value: u32);
    fn wake(word: &AtomicU32);
}

//! System calls that the models of `tools/models` answer themselves.

#[cfg(loom)]
pub use sync::model::os::{
    EFD_CLOEXEC, EFD_NONBLOCK, O_CLOEXEC, await_change, c_void, close, dup3, eventfd, make_thread,
    nanosleep, pthread_atfork, read, timespec, wake, write,
};

#[cfg(not(loom))]
pub use crate::thread::make as make_thread;
#[cfg(not(loom))]
pub use libc::{
    EFD_CLOEXEC, EFD_NONBLOCK, O_CLOEXEC, c_void, close, dup3, eventfd, nanosleep, pthread_atfork,
    read, timespec, write,
};

#[cfg(not(loom))]
use {crate::Host, platform::Wait, sync::atomic::AtomicU32};

/// Waits for a change of `word`, if it has this value; may return early.
#[cfg(not(loom))]
pub fn await_change(word: &AtomicU32, value: u32) {
    Host::await_change(word, value, None);
}

/// Wakes all that wait for a change of `word`.
#[cfg(not(loom))]
pub fn wake(word: &AtomicU32) {
    Host::wake(word);
}

//! System calls of a process, as far as the models use them: an `eventfd` whose counter a lock of
//! the kernel protects, futexes and sleeps.

use super::atomic::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};

pub use core::ffi::c_void;

#[expect(missing_docs, reason = "as on Linux")]
pub const EFD_CLOEXEC: i32 = 1;
#[expect(missing_docs, reason = "as on Linux")]
pub const EFD_NONBLOCK: i32 = 2;
#[expect(missing_docs, reason = "as on Linux")]
pub const O_CLOEXEC: i32 = 4;

loom::lazy_static! {
    static ref COUNTER: Mutex<u64> = Mutex::new(0);
    static ref READABLE: Condvar = Condvar::new();
    /// The kernel's lock of all futexes.
    static ref FUTEXES: Mutex<()> = Mutex::new(());
    static ref WOKEN: Condvar = Condvar::new();
}

/// Waits for a change of `word`, if it has this value: the kernel compares it once, and then only a
/// wake-up ends the sleep.
pub fn await_change(word: &AtomicU32, value: u32) {
    let futexes = FUTEXES.lock().expect("no panic");
    if word.load(Ordering::Relaxed) == value {
        drop(WOKEN.wait(futexes).expect("no panic"));
    }
}

/// Wakes all that wait for a change of `word`.
pub fn wake(_: &AtomicU32) {
    drop(FUTEXES.lock().expect("no panic"));
    WOKEN.notify_all();
}

/// The model makes its threads itself.
pub fn make_thread(_: extern "C" fn(*mut c_void) -> *mut c_void, _: *mut c_void, _: usize) -> i32 {
    0
}

#[expect(missing_docs, reason = "as on Linux")]
#[expect(non_camel_case_types, reason = "as on Linux")]
pub struct timespec {
    pub tv_sec: i64,
    pub tv_nsec: i64,
}

/// nanosleep(2): other threads run.
///
/// # Safety
/// It has no preconditions.
pub unsafe fn nanosleep(_: *const timespec, _: *mut timespec) -> i32 {
    loom::thread::yield_now();
    0
}

/// A function for `pthread_atfork`.
type AtFork = Option<unsafe extern "C" fn()>;

/// pthread_atfork(3). No model forks.
///
/// # Safety
/// It has no preconditions.
pub unsafe fn pthread_atfork(_: AtFork, _: AtFork, _: AtFork) -> i32 {
    0
}

/// eventfd(2).
///
/// # Safety
/// It has no preconditions.
pub unsafe fn eventfd(_: u32, _: i32) -> i32 {
    3
}

/// close(2): no model forks.
///
/// # Safety
/// It has no preconditions.
pub unsafe fn close(_: i32) -> i32 {
    0
}

/// dup3(2), as above.
///
/// # Safety
/// It has no preconditions.
pub unsafe fn dup3(_: i32, to: i32, _: i32) -> i32 {
    to
}

/// write(2).
///
/// # Safety
/// As on Linux, of 8 bytes.
pub unsafe fn write(_: i32, from: *const c_void, _: usize) -> isize {
    // SAFETY: the caller's promise.
    *COUNTER.lock().expect("no panic") += unsafe { *from.cast::<u64>() };
    READABLE.notify_one();
    8
}

/// read(2), which doesn't block.
///
/// # Safety
/// As on Linux, of 8 bytes.
pub unsafe fn read(_: i32, into: *mut c_void, _: usize) -> isize {
    let counter = core::mem::take(&mut *COUNTER.lock().expect("no panic"));
    if counter == 0 {
        return -1;
    }
    // SAFETY: the caller's promise.
    unsafe { *into.cast::<u64>() = counter };
    8
}

/// Whether a read would find something.
pub fn is_readable() -> bool {
    *COUNTER.lock().expect("no panic") > 0
}

/// poll(2), for a read.
pub fn await_readable() {
    let mut counter = COUNTER.lock().expect("no panic");
    while *counter == 0 {
        counter = READABLE.wait(counter).expect("no panic");
    }
}

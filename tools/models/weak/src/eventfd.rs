//! Of `libc`, an `eventfd`: one, whose counter a lock of the kernel protects.

use loom::sync::{Condvar, Mutex};

pub use core::ffi::c_void;

#[expect(missing_docs, reason = "as in `libc`")]
pub const EFD_CLOEXEC: i32 = 1;
#[expect(missing_docs, reason = "as in `libc`")]
pub const EFD_NONBLOCK: i32 = 2;
#[expect(missing_docs, reason = "as in `libc`")]
pub const O_CLOEXEC: i32 = 4;

loom::lazy_static! {
    static ref COUNTER: Mutex<u64> = Mutex::new(0);
    static ref READABLE: Condvar = Condvar::new();
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
/// As in `libc`, of 8 bytes.
pub unsafe fn write(_: i32, from: *const c_void, _: usize) -> isize {
    // SAFETY: the caller's promise.
    *COUNTER.lock().expect("no panic") += unsafe { *from.cast::<u64>() };
    READABLE.notify_one();
    8
}

/// read(2), which doesn't block.
///
/// # Safety
/// As in `libc`, of 8 bytes.
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

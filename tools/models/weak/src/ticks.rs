//! Of `libc`, what the ticker's thread calls.

#[expect(missing_docs, reason = "as in `libc`")]
#[expect(non_camel_case_types, reason = "as in `libc`")]
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

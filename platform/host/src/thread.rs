//! Threads of the process that run no OCaml and block all signals.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Threads that live as long as the process; 0: not known yet.
static PERMANENT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// An index in [`PERMANENT`].
#[derive(Clone, Copy)]
pub enum Permanent {
    /// That of `main`, with which the process ends.
    Main,
    /// That of `ticker`.
    Ticker,
}

fn current() -> usize {
    // SAFETY: it has no preconditions.
    unsafe { libc::pthread_self() as usize }
}

/// Records that the current thread lives as long as the process.
pub fn mark_permanent(which: Permanent) {
    PERMANENT[which as usize].store(current(), Ordering::Relaxed);
}

/// Whether the current thread is that of `main`.
pub fn is_main() -> bool {
    PERMANENT[Permanent::Main as usize].load(Ordering::Relaxed) == current()
}

/// Whether the current thread may end before the process.
pub fn may_end() -> bool {
    let lasting = PERMANENT.each_ref().map(|id| id.load(Ordering::Relaxed));
    lasting[Permanent::Main as usize] != 0 && !lasting.contains(&current())
}

/// Creates a detached thread that calls `run(argument)`; returns 0 or an error number.
pub fn make(
    run: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
    argument: *mut libc::c_void,
    stack: usize,
) -> i32 {
    // SAFETY: plain calls of the C library on variables of this function, each initialised before
    // use. The new thread inherits the full signal mask, which this one restores afterwards.
    unsafe {
        let mut attributes: libc::pthread_attr_t = core::mem::zeroed();
        let (mut all, mut old): (libc::sigset_t, libc::sigset_t) =
            (core::mem::zeroed(), core::mem::zeroed());
        let mut thread: libc::pthread_t = core::mem::zeroed();
        libc::pthread_attr_init(&mut attributes);
        libc::pthread_attr_setstacksize(&mut attributes, stack);
        libc::pthread_attr_setdetachstate(&mut attributes, libc::PTHREAD_CREATE_DETACHED);
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        let failed = libc::pthread_create(&mut thread, &attributes, run, argument);
        libc::pthread_sigmask(libc::SIG_SETMASK, &old, null_mut());
        libc::pthread_attr_destroy(&mut attributes);
        failed
    }
}

//! The one thread that may enter a ring with `IORING_SETUP_SINGLE_ISSUER` and
//! `IORING_SETUP_DEFER_TASKRUN` (io_uring_setup(2), since Linux 6.1).
//!
//! Such a ring completes requests when that thread enters it, all that are due at a time; any other
//! ring does so at the end of every system call of the submitting thread, one by one. Linux has no
//! way to let another thread enter it. If one has to (it ends the program, or leads the wait of
//! several threads: `reactor::wait`), it interrupts the issuer by SIGURG, whose handler enters. By
//! default that signal is ignored, and it is sent for urgent data only if a program requests it
//! (fcntl(2), `F_SETOWN`).

use crate::signals;
use core::ptr::null;
use core::sync::atomic::{AtomicI32, Ordering};

/// `IORING_ENTER_GETEVENTS`: completes requests.
pub const GET_EVENTS: u32 = 1;

/// The ring that the handler enters, the last one opened this way; -1 before.
static RING: AtomicI32 = AtomicI32::new(-1);

/// The only thread that may enter a ring. It lives as long as the process.
#[derive(Clone, Copy)]
pub struct Issuer {
    thread: libc::pthread_t,
}

impl Issuer {
    /// The current thread, for a ring that it has created.
    pub fn of(ring: i32) -> Issuer {
        RING.store(ring, Ordering::Relaxed);
        // SAFETY: it has no preconditions.
        let thread = unsafe { libc::pthread_self() };
        Issuer { thread }
    }

    /// Whether it is the current thread.
    pub fn is_current(&self) -> bool {
        // SAFETY: it has no preconditions.
        self.thread == unsafe { libc::pthread_self() }
    }

    /// Makes the issuer submit queued requests and complete due ones, soon: not if the program
    /// blocks SIGURG there or has its own handler for it. From any other thread.
    pub fn interrupt(&self) {
        if signals::take_if_unused(libc::SIGURG, handler) {
            // SAFETY: the thread lives as long as the process.
            unsafe { libc::pthread_kill(self.thread, libc::SIGURG) };
        }
    }
}

/// io_uring_enter(2) for up to `queued` requests, without a wait.
pub fn enter(ring: i32, queued: u32, flags: u32) {
    let (nothing, least) = (null::<u8>(), 0);
    // SAFETY: io_uring_enter without memory of the caller's. Requests in the queue have what they
    // need, as promised by those who added them.
    unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            ring,
            queued,
            least,
            flags,
            nothing,
            0usize,
        );
    }
}

/// Interrupts the issuer anywhere, even while it adds a request, which isn't in the queue before it
/// is complete. It only makes a system call, which a handler may.
extern "C" fn handler(_: i32) {
    let ring = RING.load(Ordering::Relaxed);
    // SAFETY: `errno` is restored for the code that was interrupted.
    unsafe {
        let errno = *libc::__errno_location();
        // In two calls: one that submits fewer than requested completes nothing.
        enter(ring, u32::MAX, 0);
        enter(ring, 0, GET_EVENTS);
        *libc::__errno_location() = errno;
    }
}

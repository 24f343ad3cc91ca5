//! SIGTERM and SIGINT as requests to stop. The handler counts them and writes to an `eventfd`,
//! which ends a `ppoll` that begins at the same moment as well. The second signal of a kind has its
//! default action: it ends a program that doesn't listen.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static SEEN: AtomicUsize = AtomicUsize::new(0);
static REPORT: AtomicBool = AtomicBool::new(false);
/// Requests for a report so far.
static REPORTS: AtomicUsize = AtomicUsize::new(0);
/// Sleeps that another thread has ended so far.
static NUDGES: AtomicUsize = AtomicUsize::new(0);
static EVENT: AtomicI32 = AtomicI32::new(-1);

/// How many requests there have been.
pub fn count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// Readable after a request; -1 before [`install`].
pub fn event() -> i32 {
    EVENT.load(Ordering::Relaxed)
}

/// Ends a sleep as a request does. By one thread at a time.
pub fn nudge() {
    NUDGES.fetch_add(1, Ordering::Relaxed);
    make_event_readable();
}

fn make_event_readable() {
    let one = 1u64;
    // SAFETY: write(2) of 8 bytes, which doesn't block.
    unsafe { libc::write(event(), (&raw const one).cast(), size_of::<u64>()) };
}

/// Makes the event unreadable again, if a request or a nudge came since the last time.
pub fn clear_event() {
    let count = count()
        .wrapping_add(REPORTS.load(Ordering::Acquire))
        .wrapping_add(NUDGES.load(Ordering::Relaxed));
    if SEEN.swap(count, Ordering::Relaxed) != count {
        let mut counter = 0u64;
        // SAFETY: an eventfd gives 8 bytes; it doesn't block.
        unsafe { libc::read(event(), (&raw mut counter).cast(), size_of::<u64>()) };
    }
}

/// Whether SIGUSR1 came since the last call.
pub fn report_requested() -> bool {
    REPORT.load(Ordering::Relaxed) && REPORT.swap(false, Ordering::Relaxed)
}

extern "C" fn handler(signal: i32) {
    if signal == libc::SIGUSR1 {
        REPORT.store(true, Ordering::Release);
        REPORTS.fetch_add(1, Ordering::Release);
    } else {
        COUNT.fetch_add(1, Ordering::Release);
    }
    // SAFETY: `errno` is restored for the code that was interrupted; write(2) is safe in a handler.
    unsafe {
        let errno = *libc::__errno_location();
        make_event_readable();
        *libc::__errno_location() = errno;
    }
}

/// Takes SIGUSR1 over, unless the program has a handler for it or was started with it ignored.
pub fn take_report_requests() {
    // SAFETY: as in `install`.
    unsafe {
        let mut old: libc::sigaction = core::mem::zeroed();
        libc::sigaction(libc::SIGUSR1, core::ptr::null(), &mut old);
        if old.sa_sigaction != libc::SIG_DFL {
            return;
        }
        let mut new: libc::sigaction = core::mem::zeroed();
        new.sa_sigaction = handler as *const () as usize;
        libc::sigemptyset(&mut new.sa_mask);
        libc::sigaction(libc::SIGUSR1, &new, core::ptr::null_mut());
    }
}

/// Takes both signals over, unless the program was started with them ignored.
pub fn install() {
    // SAFETY: plain calls of the C library with valid arguments; the handler only does what is
    // allowed in one.
    unsafe {
        EVENT.store(
            libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK),
            Ordering::Relaxed,
        );
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let mut old: libc::sigaction = core::mem::zeroed();
            libc::sigaction(signal, core::ptr::null(), &mut old);
            if old.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let mut new: libc::sigaction = core::mem::zeroed();
            new.sa_sigaction = handler as *const () as usize;
            new.sa_flags = libc::SA_RESETHAND;
            libc::sigemptyset(&mut new.sa_mask);
            libc::sigaction(signal, &new, core::ptr::null_mut());
        }
    }
}

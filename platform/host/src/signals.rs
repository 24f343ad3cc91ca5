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
    if action(libc::SIGUSR1) == libc::SIG_DFL {
        take(libc::SIGUSR1, handler, 0);
    }
}

/// Takes a signal over that is ignored by default, unless the program has a handler of its own for
/// it; whether `handler` is there now.
pub fn take_if_unused(signal: i32, handler: extern "C" fn(i32)) -> bool {
    match action(signal) {
        libc::SIG_DFL | libc::SIG_IGN => {
            take(signal, handler, libc::SA_RESTART);
            true
        }
        other => other == handler as *const () as usize,
    }
}

/// Action of a signal: a handler's address, `SIG_DFL` or `SIG_IGN`.
fn action(signal: i32) -> libc::sighandler_t {
    // SAFETY: asks for the action, which is written to a variable of this function.
    unsafe {
        let mut old: libc::sigaction = core::mem::zeroed();
        libc::sigaction(signal, core::ptr::null(), &mut old);
        old.sa_sigaction
    }
}

/// Has `handler` run for a signal, on the stack that OCaml's runtime has for handlers: that of a
/// task may have no room for one.
fn take(signal: i32, handler: extern "C" fn(i32), flags: i32) {
    // SAFETY: sets the action with valid arguments; all handlers given only do what is allowed in
    // one.
    unsafe {
        let mut new: libc::sigaction = core::mem::zeroed();
        new.sa_sigaction = handler as *const () as usize;
        new.sa_flags = flags | libc::SA_ONSTACK;
        libc::sigemptyset(&mut new.sa_mask);
        libc::sigaction(signal, &new, core::ptr::null_mut());
    }
}

/// Takes both signals over, unless the program was started with them ignored.
pub fn install() {
    // SAFETY: a call without pointers.
    let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    EVENT.store(event, Ordering::Relaxed);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        if action(signal) != libc::SIG_IGN {
            take(signal, handler, libc::SA_RESETHAND);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// Where the handler's stack is.
    static SEEN_AT: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn see(_: i32) {
        let local = 0u8;
        SEEN_AT.store((&raw const local).addr(), Ordering::Relaxed);
    }

    extern "C" fn other(_: i32) {}

    #[test]
    fn a_handler_runs_on_the_stack_for_handlers_unless_the_program_has_one() {
        let mut stack = std::vec![0u8; 64 << 10];
        let range = stack.as_mut_ptr_range();
        // SAFETY: the stack is this thread's until it is given back; this signal is the test's.
        unsafe {
            let mut own: libc::stack_t = core::mem::zeroed();
            (own.ss_sp, own.ss_size) = (range.start.cast(), stack.len());
            let mut old: libc::stack_t = core::mem::zeroed();
            assert_eq!(libc::sigaltstack(&raw const own, &raw mut old), 0);
            assert!(super::take_if_unused(libc::SIGWINCH, see));
            assert!(super::take_if_unused(libc::SIGWINCH, see));
            assert!(!super::take_if_unused(libc::SIGWINCH, other));
            libc::raise(libc::SIGWINCH);
            libc::sigaltstack(&raw const old, core::ptr::null_mut());
        }
        let seen = SEEN_AT.load(Ordering::Relaxed);
        assert!((range.start.addr()..range.end.addr()).contains(&seen));
    }
}

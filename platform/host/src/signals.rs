//! SIGTERM and SIGINT as requests to stop. The handler counts them and raises the event, which also
//! ends a `ppoll` that begins at the same moment. The second signal of a kind has its
//! default action: it ends a program that doesn't respond.

use crate::event;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

// All are relaxed: a handler, and OCaml's, writes nothing else that a reader needs. A thread sees
// what its own handlers have written. Others are woken by the event, or by the kernel, which
// compares the words of a futex: both order the numbers.

static COUNT: AtomicUsize = AtomicUsize::new(0);
static REPORT: AtomicBool = AtomicBool::new(false);

/// Number of requests to stop.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

#[cfg(feature = "ocaml")]
unsafe extern "C" {
    /// The signals that OCaml's runtime has recorded, and whose handlers it has not run yet: bit `n
    /// - 1` of signal `n`. The same since OCaml 5.0.
    #[link_name = "caml_pending_signals"]
    safe static NOTED: AtomicU64;
}

/// In place of the runtime's, for tests.
#[cfg(not(feature = "ocaml"))]
pub static NOTED: AtomicU64 = AtomicU64::new(0);

/// Signals blocked in this thread until this is dropped.
pub struct Blocked {
    before: libc::sigset_t,
}

/// Blocks all signals of the current thread.
pub fn block() -> Blocked {
    // SAFETY: pthread_sigmask(3) on variables of this function; it fills the first.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (core::mem::zeroed(), core::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        Blocked { before }
    }
}

impl Blocked {
    /// The previous mask.
    pub fn before(&self) -> &libc::sigset_t {
        &self.before
    }

    /// Whether OCaml has recorded a signal that isn't blocked in the previous mask.
    pub fn are_due(&self) -> bool {
        is_any_open(NOTED.load(Ordering::Relaxed), &self.before)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: pthread_sigmask(3) with the mask that it returned.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, core::ptr::null_mut()) };
    }
}

/// Whether `mask` lets any of these signals through.
fn is_any_open(signals: u64, mask: &libc::sigset_t) -> bool {
    (1..=u64::BITS)
        .filter(|signal| signals >> (signal - 1) & 1 == 1)
        // SAFETY: sigismember(3) on a mask of the kernel's.
        .any(|signal| unsafe { libc::sigismember(mask, signal as i32) } == 0)
}

/// Whether OCaml has recorded a signal whose handler the current thread has to run: OCaml runs no
/// handler of a signal that the thread blocks.
pub fn are_due() -> bool {
    is_due(NOTED.load(Ordering::Relaxed))
}

fn is_due(noted: u64) -> bool {
    if noted == 0 {
        return false;
    }
    // SAFETY: pthread_sigmask(3), which writes the mask to a variable of this function.
    unsafe {
        let mut mask: libc::sigset_t = core::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, core::ptr::null(), &mut mask);
        is_any_open(noted, &mask)
    }
}

/// OCaml's recorded signals, as the words of a futex and their values; and [`are_due`] by them.
pub fn noted() -> ([(*mut u32, u32); 2], bool) {
    let noted = NOTED.load(Ordering::Relaxed);
    let start = NOTED.as_ptr().cast::<u32>();
    let words = [0, 1].map(|half| (start.wrapping_add(half), (noted >> (32 * half)) as u32));
    (words, is_due(noted))
}

/// Whether SIGUSR1 arrived since the last call.
pub fn report_requested() -> bool {
    REPORT.load(Ordering::Relaxed) && REPORT.swap(false, Ordering::Relaxed)
}

extern "C" fn handler(signal: i32) {
    if signal == libc::SIGUSR1 {
        REPORT.store(true, Ordering::Relaxed);
    } else {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: `errno` is restored for the code that was interrupted.
    unsafe {
        let errno = *libc::__errno_location();
        event::raise();
        *libc::__errno_location() = errno;
    }
}

/// Handles SIGUSR1, unless the program has a handler for it or was started with it ignored.
pub fn take_report_requests() {
    if action(libc::SIGUSR1) == libc::SIG_DFL {
        take(libc::SIGUSR1, handler, 0);
    }
}

/// Handles a signal that is ignored by default, unless the program has its own handler for it;
/// returns whether `handler` is installed now.
pub fn take_if_unused(signal: i32, handler: extern "C" fn(i32)) -> bool {
    match action(signal) {
        libc::SIG_DFL | libc::SIG_IGN => {
            take(signal, handler, libc::SA_RESTART);
            true
        }
        other => other == handler as *const () as usize,
    }
}

/// Action of a signal.
pub fn whole_action(signal: i32) -> libc::sigaction {
    // SAFETY: queries the action, which is written to a variable of this function.
    unsafe {
        let mut old: libc::sigaction = core::mem::zeroed();
        libc::sigaction(signal, core::ptr::null(), &mut old);
        old
    }
}

/// Action of a signal: a handler's address, `SIG_DFL` or `SIG_IGN`.
fn action(signal: i32) -> libc::sighandler_t {
    whole_action(signal).sa_sigaction
}

/// Installs a handler that takes `siginfo_t` and the context, on the stack for handlers, with all
/// signals blocked.
pub fn take_with_details(signal: i32, handler: usize) {
    // SAFETY: sets the action with valid arguments; the handler is async-signal-safe.
    unsafe {
        let mut new: libc::sigaction = core::mem::zeroed();
        new.sa_sigaction = handler;
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&mut new.sa_mask);
        libc::sigaction(signal, &new, core::ptr::null_mut());
    }
}

/// Sets an action that was in force before, or the default one.
pub fn set(signal: i32, action: libc::sighandler_t, flags: i32) {
    // SAFETY: sets the action with valid arguments.
    unsafe {
        let mut new: libc::sigaction = core::mem::zeroed();
        new.sa_sigaction = action;
        new.sa_flags = flags;
        libc::sigemptyset(&mut new.sa_mask);
        libc::sigaction(signal, &new, core::ptr::null_mut());
    }
}

/// Installs `handler` for a signal, on the stack that OCaml's runtime has for handlers: that of a
/// task may have no room for one.
fn take(signal: i32, handler: extern "C" fn(i32), flags: i32) {
    // SAFETY: sets the action with valid arguments; all handlers passed here are async-signal-safe.
    unsafe {
        let mut new: libc::sigaction = core::mem::zeroed();
        new.sa_sigaction = handler as *const () as usize;
        new.sa_flags = flags | libc::SA_ONSTACK;
        libc::sigemptyset(&mut new.sa_mask);
        libc::sigaction(signal, &new, core::ptr::null_mut());
    }
}

/// Handles both signals, unless the program was started with them ignored.
pub fn install() {
    event::open();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        if action(signal) != libc::SIG_IGN {
            take(signal, handler, libc::SA_RESETHAND);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// The address of the handler's stack.
    static SEEN_AT: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn see(_: i32) {
        let local = 0u8;
        SEEN_AT.store((&raw const local).addr(), Ordering::Relaxed);
    }

    extern "C" fn other(_: i32) {}

    #[test]
    fn a_noted_signal_is_due_unless_the_thread_blocks_it() {
        for signal in [1, libc::SIGALRM, 64] {
            let noted = 1u64 << (signal - 1);
            assert!(super::is_due(noted), "{signal}");
            let blocked = super::block();
            assert!(!super::is_due(noted), "{signal}");
            assert!(super::is_any_open(noted, blocked.before()), "{signal}");
            let within = super::block();
            assert!(!super::is_any_open(noted, within.before()), "{signal}");
            drop(within);
            drop(blocked);
            assert!(super::is_due(noted), "{signal}");
        }
        assert!(!super::is_due(0));
    }

    #[test]
    fn a_handler_runs_on_the_stack_for_handlers_unless_the_program_has_one() {
        let mut stack = std::vec![0u8; 64 << 10];
        let range = stack.as_mut_ptr_range();
        // SAFETY: the stack is this thread's until it is released; this signal is the test's.
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

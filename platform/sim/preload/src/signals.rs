//! Signals to the process: their actions, and those that are blocked.

use crate::end::finish;
use crate::kernel::call;
use sim::signals as mask;

/// The program's action for a signal as rt_sigaction(2) has it: handler and flags.
fn action(signal: i32) -> (usize, u64) {
    let mut old = [0u64; 4];
    let into = old.as_mut_ptr().expose_provenance();
    // SAFETY: writes the four words of the kernel's structure.
    unsafe { sim::system_call(libc::SYS_rt_sigaction, [signal as usize, 0, into, 8, 0, 0]) };
    (old[0] as usize, old[1])
}

/// What a signal meant to the program.
#[derive(Debug, PartialEq, Eq)]
pub enum Signal {
    /// It ignores the signal, or has it wait.
    Ignored,
    /// A handler ran; calls that it interrupts fail.
    Handled,
    /// A handler ran; most calls that it interrupts continue (`SA_RESTART`).
    Restarts,
}

/// Ends the process by a signal, as Linux does: what it wrote is delivered.
fn end(signal: i32) {
    finish();
    sim::ends(128 + signal as u8);
    // By this signal alone: no handler of another one runs in a process that has closed everything.
    mask::exchange_mask(Some(!mask::bit(signal)));
    send(signal);
}

/// Sends a signal to the process by Linux.
fn send(signal: i32) {
    let process = call(libc::SYS_getpid, [0; 3]) as usize;
    let thread = call(libc::SYS_gettid, [0; 3]) as usize;
    call(libc::SYS_tgkill, [process, thread, signal as usize]);
}

/// Sends a signal to the process: it ends the process, or runs its handler before this returns. One
/// that the program's mask blocks waits.
pub fn raise(signal: i32) -> Signal {
    if is_blocked(None, signal) {
        // Even one that the program ignores: its action may change until it is unblocked.
        send(signal);
        return Signal::Ignored;
    }
    let (handler, flags) = action(signal);
    if handler == libc::SIG_IGN {
        return Signal::Ignored;
    }
    if handler == libc::SIG_DFL {
        end(signal);
    }
    send(signal);
    match flags & libc::SA_RESTART as u64 {
        0 => Signal::Handled,
        _ => Signal::Restarts,
    }
}

/// Whether a signal is blocked: by `mask`, or by the program's mask.
pub fn is_blocked(mask: Option<u64>, signal: i32) -> bool {
    let mask = mask.unwrap_or_else(|| mask::exchange_mask(None));
    mask::is_in(mask, signal)
}

/// Calls `f` with another mask of blocked signals, if there is one.
pub fn with_mask<T>(mask: Option<u64>, f: impl FnOnce() -> T) -> T {
    let old = mask::exchange_mask(mask);
    let result = f();
    mask::exchange_mask(mask.map(|_| old));
    result
}

/// The signals that wait because they are blocked, and that `mask` doesn't block.
fn due(mask: u64) -> impl Iterator<Item = i32> {
    let mut pending = 0u64;
    let into = (&raw mut pending).expose_provenance();
    // SAFETY: writes the kernel's mask, which is a word.
    unsafe {
        sim::system_call(
            libc::SYS_rt_sigpending,
            [into, size_of::<u64>(), 0, 0, 0, 0],
        )
    };
    (1..=64).filter(move |signal| mask::is_in(pending & !mask, *signal))
}

/// Ends the process if a signal that waits, and that `mask` doesn't block, is fatal. Handlers of
/// others don't run: Linux runs none before it has seen all of them.
pub fn end_if_due(mask: u64) {
    if let Some(fatal) = due(mask).find(|signal| mask::is_fatal(*signal)) {
        end(fatal);
    }
}

/// Delivers the signals that wait because they are blocked, and that `mask` doesn't block; whether
/// one of them has a handler.
pub fn run_pending(mask: u64) -> bool {
    end_if_due(mask);
    let has_handler = |signal| !matches!(action(signal).0, libc::SIG_IGN | libc::SIG_DFL);
    let handled = due(mask).any(has_handler);
    with_mask(Some(mask), || ());
    handled
}

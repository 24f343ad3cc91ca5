//! Signals that a node sends to itself, and its mask of signals.

use crate::node;
use crate::stub::{self, Call};
use core::ptr::with_exposed_provenance;

/// The process's number: the same in each run.
pub const PROCESS: isize = 1000;
/// The bits of the signals that a node handles.
const KEPT: u64 = bit(libc::SIGSYS) | bit(libc::SIGSEGV);
/// Signals that have no effect by default.
const HARMLESS: [i32; 4] = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
/// Signals that stop the process by default.
const STOPS: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
/// Bytes of the kernel's mask.
const MASK: usize = size_of::<u64>();

/// A signal's bit in a mask.
pub const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Replaces the mask of blocked signals, unless there is no new one; returns the old one.
pub fn exchange_mask(new: Option<u64>) -> u64 {
    let new = new.map(|new| new & !KEPT);
    let mut old = 0u64;
    let from = new
        .as_ref()
        .map_or(0, |new| (&raw const *new).expose_provenance());
    let into = (&raw mut old).expose_provenance();
    let arguments = [libc::SIG_SETMASK as usize, from, into, MASK, 0, 0];
    // SAFETY: reads and writes the kernel's masks, which are words.
    unsafe { stub::call(libc::SYS_rt_sigprocmask, arguments) };
    old
}

/// Whether a mask has a signal.
pub fn is_in(mask: u64, signal: i32) -> bool {
    (1..=64).contains(&signal) && mask & bit(signal) != 0
}

/// Whether the program has the default action for a signal.
fn has_default(signal: i32) -> bool {
    let mut action = [0u64; 4];
    let into = action.as_mut_ptr().expose_provenance();
    let arguments = [signal as usize, 0, into, MASK, 0, 0];
    // SAFETY: writes the four words of the kernel's structure.
    let found = unsafe { stub::call(libc::SYS_rt_sigaction, arguments) };
    found == 0 && action[0] as usize == libc::SIG_DFL
}

/// Whether the program's action for a signal, which isn't blocked, ends the process.
pub fn is_fatal(signal: i32) -> bool {
    has_default(signal) && !HARMLESS.contains(&signal) && !STOPS.contains(&signal)
}

/// Whether a call sends a signal to the process itself that ends it now.
pub fn ends(number: i64, arguments: &[usize; 6]) -> bool {
    let sent = to_itself(number, arguments);
    sent.is_some_and(|signal| is_fatal(signal) && !is_in(exchange_mask(None), signal))
}

/// The signal that a call sends to the process itself, by the number that it knows.
fn to_itself(number: i64, arguments: &[usize; 6]) -> Option<i32> {
    let [target, second, third, ..] = *arguments;
    let signal = match number {
        libc::SYS_kill | libc::SYS_tkill => second,
        libc::SYS_tgkill => third,
        _ => return None,
    };
    (target as isize == PROCESS).then_some(signal as i32)
}

/// kill(2), and the same for threads; `None` for another process, and for a signal that stops this
/// one, now or when it is unblocked.
pub fn send(call: &Call) -> Option<isize> {
    let signal = to_itself(call.number, &call.arguments)?;
    if signal == 0 {
        return Some(0);
    }
    if STOPS.contains(&signal) && has_default(signal) {
        return None;
    }
    if ends(call.number, &call.arguments) {
        node::ends(128u8.wrapping_add(signal as u8));
    }
    // SAFETY: calls without pointers.
    Some(unsafe {
        let process = stub::call(libc::SYS_getpid, [0; 6]) as usize;
        let thread = stub::call(libc::SYS_gettid, [0; 6]) as usize;
        stub::call(
            libc::SYS_tgkill,
            [process, thread, signal as usize, 0, 0, 0],
        )
    })
}

/// rt_sigprocmask(2), with which nothing blocks the signals that a node handles.
pub fn change_mask(call: &Call) -> isize {
    let mut call = *call;
    let set;
    if call.arguments[1] != 0 && call.arguments[0] as i32 != libc::SIG_UNBLOCK {
        let given = with_exposed_provenance::<u64>(call.arguments[1]);
        // SAFETY: an argument of the program's call, with a mask.
        set = unsafe { given.read_unaligned() } & !KEPT;
        call.arguments[1] = (&raw const set).expose_provenance();
    }
    stub::pass(&call)
}

/// Has the interrupted program continue with the mask of its handler, which a call has changed.
pub fn keep_mask(context: *mut core::ffi::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes the context to the handler, and its mask is a word there.
    unsafe {
        (&raw mut (*context).uc_sigmask)
            .cast::<u64>()
            .write_unaligned(exchange_mask(None))
    };
}

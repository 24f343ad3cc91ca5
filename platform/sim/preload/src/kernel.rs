//! Calls of Linux that aren't trapped.

use crate::wait;
use sim::signals;
use std::ffi::CStr;

/// The program's own call.
pub fn pass(number: i64, arguments: &[usize; 6]) -> isize {
    // SAFETY: the arguments are the program's.
    unsafe { sim::system_call(number, *arguments) }
}

/// A call without pointers.
pub fn call(number: i64, [a, b, c]: [usize; 3]) -> isize {
    // SAFETY: the callers in this crate pass numbers.
    unsafe { sim::system_call(number, [a, b, c, 0, 0, 0]) }
}

/// The result of a call that returns a descriptor, or the error number.
pub fn descriptor(result: isize) -> Result<i32, i32> {
    if result < 0 {
        Err(-result as i32)
    } else {
        Ok(result as i32)
    }
}

/// A descriptor of an empty file, which reserves the number of an object of this crate.
pub fn reserve(close_on_exec: bool) -> Result<i32, i32> {
    let path = c"/dev/null".as_ptr().expose_provenance();
    let flags = libc::O_RDWR | if close_on_exec { libc::O_CLOEXEC } else { 0 };
    let arguments = [libc::AT_FDCWD as usize, path, flags as usize, 0, 0, 0];
    // SAFETY: a valid path.
    descriptor(unsafe { sim::system_call(libc::SYS_openat, arguments) })
}

/// Closes a descriptor.
pub fn close(fd: i32) -> isize {
    call(libc::SYS_close, [fd as usize, 0, 0])
}

/// Whether Linux has a descriptor with this number.
pub fn is_open(fd: i32) -> bool {
    call(libc::SYS_fcntl, [fd as usize, libc::F_GETFD as usize, 0]) >= 0
}

/// A file in memory with these contents, open at its start.
pub fn file(name: &CStr, contents: &[u8], close_on_exec: bool) -> Result<i32, i32> {
    let flags = if close_on_exec { libc::MFD_CLOEXEC } else { 0 };
    let name = name.as_ptr().expose_provenance();
    let from = contents.as_ptr().expose_provenance();
    // SAFETY: a name that ends with a zero byte; reads within `contents`.
    unsafe {
        let arguments = [name, flags as usize, 0, 0, 0, 0];
        let fd = descriptor(sim::system_call(libc::SYS_memfd_create, arguments))?;
        let arguments = [fd as usize, from, contents.len(), 0, 0, 0];
        let written = descriptor(sim::system_call(libc::SYS_write, arguments));
        call(libc::SYS_lseek, [fd as usize, 0, libc::SEEK_SET as usize]);
        match written {
            Ok(len) if len as usize == contents.len() => Ok(fd),
            other => {
                close(fd);
                Err(other.err().unwrap_or(libc::ENOSPC))
            }
        }
    }
}

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
    /// It ignores the signal.
    Ignored,
    /// A handler ran; calls that it interrupts fail.
    Handled,
    /// A handler ran; most calls that it interrupts continue (`SA_RESTART`).
    Restarts,
}

/// Ends the process by a signal, as Linux does: what it wrote is delivered.
fn end(signal: i32) {
    wait::finish();
    sim::ends(128 + signal as u8);
}

/// Sends a signal to the process that isn't blocked: it ends the process, or runs its handler
/// before this returns.
pub fn raise(signal: i32) -> Signal {
    let (handler, flags) = action(signal);
    if handler == libc::SIG_IGN {
        return Signal::Ignored;
    }
    if handler == libc::SIG_DFL {
        end(signal);
    }
    let process = call(libc::SYS_getpid, [0; 3]) as usize;
    let thread = call(libc::SYS_gettid, [0; 3]) as usize;
    call(libc::SYS_tgkill, [process, thread, signal as usize]);
    match flags & libc::SA_RESTART as u64 {
        0 => Signal::Handled,
        _ => Signal::Restarts,
    }
}

/// Whether a signal is blocked: by `mask`, or by the program's mask.
pub fn is_blocked(mask: Option<u64>, signal: i32) -> bool {
    let mask = mask.unwrap_or_else(|| signals::exchange_mask(None));
    signals::is_in(mask, signal)
}

/// Calls `f` with another mask of blocked signals, if there is one.
pub fn with_mask<T>(mask: Option<u64>, f: impl FnOnce() -> T) -> T {
    let old = signals::exchange_mask(mask);
    let result = f();
    signals::exchange_mask(mask.map(|_| old));
    result
}

/// Runs the handlers of signals that wait because they are blocked, and that `mask` doesn't block;
/// whether there are some.
pub fn run_pending(mask: u64) -> bool {
    let mut pending = 0u64;
    let into = (&raw mut pending).expose_provenance();
    // SAFETY: writes the kernel's mask, which is a word.
    unsafe {
        sim::system_call(
            libc::SYS_rt_sigpending,
            [into, size_of::<u64>(), 0, 0, 0, 0],
        )
    };
    let mut due = (1..=64).filter(|signal| signals::is_in(pending & !mask, *signal));
    let Some(first) = due.next() else {
        return false;
    };
    if signals::is_fatal(first) {
        end(first);
    }
    with_mask(Some(mask), || ());
    true
}

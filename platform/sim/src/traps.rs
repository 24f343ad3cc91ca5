//! The system calls of a node's program, its libraries and the C library: most are trapped.
//!
//! seccomp(2) allows those of [`crate::stub`], and those in [`filter`], which have no effect
//! outside of the process. Others raise SIGSYS, whose handler answers by the simulation, makes the
//! call, or reports it and lets it fail ([`calls`]). Functions of the vDSO make system calls
//! ([`vdso`]), and reading the processor's counter raises SIGSEGV ([`counter`]). A preloaded
//! library answers first ([`hook`]).

mod calls;
mod counter;
mod files;
mod filter;
pub mod hook;
mod names;
pub mod signals;
mod vdso;

use crate::stub::Call;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::null_mut;
use platform::error::{Error, Failure};

/// Bytes of the stack for handlers.
const STACK: usize = 256 << 10;

/// Installs the traps, for the rest of the process.
///
/// # Errors
/// `Unsupported`: Linux has no seccomp(2), or a program that started this one forbids it.
pub fn install() -> Result<(), Failure> {
    vdso::redirect();
    // A hook needs more stack than programs have for handlers. Its programs make calls on the stack
    // of C alone.
    let stack = if hook::is_set() {
        0
    } else {
        replace_stack();
        libc::SA_ONSTACK
    };
    take_signal(libc::SIGSYS, on_call, stack);
    counter::trap();
    if filter::install() {
        return Ok(());
    }
    let detail = "soil simulate: seccomp(2) is refused: run it outside of this container";
    Err(Failure::new(Error::Unsupported, detail))
}

/// Gives the thread a larger stack for handlers than OCaml's runtime does, whose 8 KiB hold the
/// kernel's frame, too: 3 KiB on a processor with AVX-512.
fn replace_stack() {
    let stack = Vec::leak(alloc::vec![0u8; STACK]);
    let new = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: stack.len(),
    };
    // SAFETY: memory that nothing else uses, for ever.
    unsafe { libc::sigaltstack(&raw const new, null_mut()) };
}

/// The type for handlers with a context.
type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);

/// Installs a handler. `stack` is SA_ONSTACK for the thread's stack for handlers, or 0 for the
/// interrupted one.
fn take_signal(signal: i32, handler: Handler, stack: i32) {
    // SAFETY: valid arguments; the handlers passed here interrupt no call of this crate.
    unsafe {
        let mut new: libc::sigaction = core::mem::zeroed();
        new.sa_sigaction = handler as *const () as usize;
        new.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | stack;
        libc::sigemptyset(&raw mut new.sa_mask);
        libc::sigaction(signal, &raw const new, null_mut());
    }
}

/// A register of an interrupted program.
fn register(context: *mut c_void, which: i32) -> *mut i64 {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes the context to the handler, and the registers are in it.
    unsafe { (&raw mut (*context).uc_mcontext.gregs[which as usize]).cast() }
}

extern "C" fn on_call(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: registers of this handler's context.
    let read = |which| unsafe { *register(context, which) };
    let arguments = [
        libc::REG_RDI,
        libc::REG_RSI,
        libc::REG_RDX,
        libc::REG_R10,
        libc::REG_R8,
        libc::REG_R9,
    ];
    let call = Call {
        number: read(libc::REG_RAX),
        arguments: arguments.map(|which| read(which) as usize),
    };
    // SAFETY: `errno` is that of the interrupted program.
    let errno = unsafe { *libc::__errno_location() };
    let answer = hook::answer(&call).unwrap_or_else(|| calls::answer(&call));
    if call.number == libc::SYS_rt_sigprocmask {
        signals::keep_mask(context);
    }
    // SAFETY: as above.
    unsafe {
        *libc::__errno_location() = errno;
        *register(context, libc::REG_RAX) = answer as i64;
    }
}

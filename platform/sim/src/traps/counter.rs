//! The processor's counter (`rdtsc`), which prctl(2) makes raise SIGSEGV: the program's handler of
//! that signal runs for all other causes.

use super::{Handler, register, take_signal};
use crate::{node, stub};
use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The instructions.
const RDTSC: [u8; 2] = [0x0f, 0x31];
const RDTSCP: [u8; 3] = [0x0f, 0x01, 0xf9];

/// The program's action, as rt_sigaction(2) has it: handler, flags, restorer, mask. Written by
/// calls of the one thread.
static ACTION: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
/// Whether it was reported.
static REPORTED: AtomicUsize = AtomicUsize::new(0);

/// Makes the counter raise SIGSEGV.
pub fn trap() {
    // The action of a program that attaches in the middle of its run.
    let mut present = [0u64; 4];
    let arguments = [
        libc::SIGSEGV as usize,
        0,
        present.as_mut_ptr().expose_provenance(),
        8,
        0,
        0,
    ];
    // SAFETY: writes the kernel's structure, which has four words.
    unsafe { stub::call(libc::SYS_rt_sigaction, arguments) };
    for (word, value) in ACTION.iter().zip(present) {
        word.store(value, Ordering::Relaxed);
    }
    take_signal(libc::SIGSEGV, on_fault, libc::SA_ONSTACK);
    // SAFETY: a call without pointers.
    unsafe { libc::prctl(libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV, 0, 0, 0) };
}

/// rt_sigaction(2) for SIGSEGV.
pub fn action(new: usize, old: usize) -> isize {
    let new = core::ptr::with_exposed_provenance::<[u64; 4]>(new);
    let old = core::ptr::with_exposed_provenance_mut::<[u64; 4]>(old);
    // SAFETY: the program's call has valid pointers, or null.
    unsafe {
        if !old.is_null() {
            *old = ACTION.each_ref().map(|word| word.load(Ordering::Relaxed));
        }
        if !new.is_null() {
            for (word, value) in ACTION.iter().zip(*new) {
                word.store(value, Ordering::Relaxed);
            }
        }
    }
    0
}

/// Restores the default action and returns, so that the instruction faults again.
fn give_up() {
    node::ends(128 + libc::SIGSEGV as u8);
    // The kernel's structure, all zeros: SIG_DFL.
    let action = [0u64; 4];
    let arguments = [
        libc::SIGSEGV as usize,
        action.as_ptr().expose_provenance(),
        0,
        8,
        0,
        0,
    ];
    // SAFETY: a valid action.
    unsafe { stub::call(libc::SYS_rt_sigaction, arguments) };
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: fields of this handler's arguments. An instruction can be read where it was executed.
    unsafe {
        let counter = register(context, libc::REG_RIP);
        if (*info).si_code == libc::SI_KERNEL {
            let at = core::ptr::with_exposed_provenance::<u8>(*counter as usize);
            let is = |code: &[u8]| (0..code.len()).all(|i| at.add(i).read() == code[i]);
            let len = match () {
                () if is(&RDTSC) => RDTSC.len(),
                () if is(&RDTSCP) => RDTSCP.len(),
                () => 0,
            };
            if len > 0 {
                if REPORTED.swap(1, Ordering::Relaxed) == 0 {
                    node::unowned("rdtsc: the processor's counter");
                }
                let now = node::monotonic_ns().unwrap_or(0);
                *register(context, libc::REG_RAX) = (now & 0xffff_ffff) as i64;
                *register(context, libc::REG_RDX) = (now >> 32) as i64;
                *counter += len as i64;
                return;
            }
        }
        let handler = ACTION[0].load(Ordering::Relaxed) as usize;
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            give_up();
            return;
        }
        // A number is all that the program's call to rt_sigaction(2) gives.
        let handler: Handler = core::mem::transmute::<usize, Handler>(handler);
        handler(signal, info, context);
    }
}

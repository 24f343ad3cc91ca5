//! Delivery: a system call returns through the handlers of pending signals.
//!
//! Source: musl's `arch/x86_64/bits/signal.h` for `siginfo_t` and `ucontext_t`; Linux's
//! `arch/x86/kernel/signal.c`.

use super::state::{DEFAULT, Delivery, IGNORE, RESTART, State, is_ignored_by_default};
use super::{PID, STATE};
use crate::errno::Errno;
use crate::memory::store;
use crate::{crash, power};

fn name(signal: u64) -> &'static str {
    match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        _ => "a signal",
    }
}

/// Offsets, in words, of a handler's frame: the signal and the handler, `ucontext_t` (without the
/// state of the x87 unit), `siginfo_t`.
const CONTEXT: usize = 2;
const GENERAL: usize = CONTEXT + 5;
const MASK: usize = CONTEXT + 37;
const INFORMATION: usize = MASK + 16;
const FRAME: usize = INFORMATION + 16;
/// Offsets within `GENERAL`.
const RAX: usize = GENERAL + 13;
const RSP: usize = GENERAL + 15;
const RIP: usize = GENERAL + 16;

/// Lets the system call `number`, which is about to return `result` to `rip` with stack `rsp`,
/// return through the handlers of pending signals, if there are any; returns the value for `rax`.
/// The program ends here if one of them ends it.
///
/// A wait that a signal ended ([`Errno::ERESTARTSYS`]) begins again by making the call once more,
/// behind the handlers: if the first of them has SA_RESTART, or none is run. Else it is EINTR.
/// Source: Linux's `arch/x86/kernel/signal.c`.
pub fn deliver(rip: &mut u64, rsp: &mut u64, number: u64, result: i64) -> i64 {
    /// Bytes of the instruction `syscall`, which `rip` is behind.
    const INSTRUCTION: u64 = 2;
    const UNDECIDED: i64 = -(Errno::ERESTARTSYS as i64);
    let mut result = result;
    let decide = |rip: &mut u64, result: &mut i64, restart: bool| {
        if *result == UNDECIDED && restart {
            *rip = rip.wrapping_sub(INSTRUCTION);
            *result = number as i64;
        } else if *result == UNDECIDED {
            *result = -(Errno::EINTR as i64);
        }
    };
    while let Some(next) = STATE.with(State::next) {
        let Delivery {
            signal,
            action: [handler, flags, ..],
            mask,
            code,
        } = next;
        match (handler, signal) {
            (IGNORE, _) => continue,
            (DEFAULT, signal) if is_ignored_by_default(signal) => continue,
            (DEFAULT, 3 | 4 | 6 | 7 | 8 | 11) => crash::signal(signal, name(signal), *rip),
            (DEFAULT, _) => power::exit(128 + (signal & 63) as u8),
            _ => {}
        }
        let other = STATE.with(|state| state.other_stack(flags, *rsp));
        // On the program's own, below the red zone.
        let top = other.unwrap_or(rsp.wrapping_sub(128));
        decide(rip, &mut result, flags & RESTART != 0);
        let frame = top.wrapping_sub(8 * FRAME as u64) & !15;
        let mut words = [0; FRAME];
        words[0] = signal;
        words[1] = handler;
        words[RAX] = result as u64;
        words[RSP] = *rsp;
        words[RIP] = *rip;
        words[MASK] = mask;
        words[INFORMATION] = signal;
        words[INFORMATION + 1] = code;
        words[INFORMATION + 2] = PID;
        if store(frame, &words).is_err() {
            crash::signal(11, "SIGSEGV: no stack for a signal's handler", *rip);
        }
        *rsp = frame;
        *rip = soil_signal_return as *const () as u64;
    }
    decide(rip, &mut result, true);
    result
}

core::arch::global_asm!(
    r#"
    .pushsection .text.soil_signals, "ax", @progbits
    .globl soil_signal_return
soil_signal_return:
    push rdi
    push rsi
    push rdx
    push r8
    push r9
    push r10
    sub rsp, 256
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movups [rsp + 16*\n], xmm\n
    .endr
    mov rdi, [rsp + 304]
    lea rsi, [rsp + 304 + {information}]
    lea rdx, [rsp + 304 + {context}]
    call [rsp + 312]
    mov rdi, [rsp + 304 + {mask}]
    mov eax, 15
    syscall
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movups xmm\n, [rsp + 16*\n]
    .endr
    add rsp, 256
    pop r10
    pop r9
    pop r8
    pop rdx
    pop rsi
    pop rdi
    mov rax, [rsp + {rax}]
    mov rcx, [rsp + {rip}]
    mov rsp, [rsp + {rsp}]
    jmp rcx
    .popsection
    "#,
    information = const 8 * INFORMATION,
    context = const 8 * CONTEXT,
    mask = const 8 * MASK,
    rax = const 8 * RAX,
    rip = const 8 * RIP,
    rsp = const 8 * RSP,
);

unsafe extern "C" {
    fn soil_signal_return();
}

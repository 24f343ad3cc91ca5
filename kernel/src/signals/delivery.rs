//! Delivery: a system call returns, and an interrupted thread resumes, through the handlers of
//! pending signals.
//!
//! Source: musl's `arch/x86_64/bits/signal.h` for `siginfo_t` and `ucontext_t`; Linux's
//! `arch/x86/kernel/signal.c`.

use super::state::{DEFAULT, Delivery, IGNORE, RESTART, State, is_ignored_by_default};
use super::{STATE, origin};
use crate::arch::gates::{Frame, KERNEL_CODE, KERNEL_DATA, SystemCallFrame};
use crate::errno::Errno;
use crate::memory::store;
use crate::{crash, extension};

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
const FLAGS: usize = GENERAL + 17;

/// Where the program continues after the handlers.
struct Resumption<'a> {
    rip: &'a mut u64,
    rsp: &'a mut u64,
    flags: u64,
}

/// Lets the system call `number`, which is about to return `result` to the place in `call`, return
/// through the handlers of pending signals, if there are any; returns the value for `rax`. The
/// program ends here if one of them ends it.
///
/// A wait that a signal ended ([`Errno::ERESTARTSYS`]) restarts by making the call once more, after
/// the handlers: if the first of them has SA_RESTART, or none is run. Else it is EINTR. Source:
/// Linux's `arch/x86/kernel/signal.c`.
pub fn deliver(call: &mut SystemCallFrame, result: i64) -> i64 {
    /// Bytes of the instruction `syscall`, which `rip` is after.
    const INSTRUCTION: u64 = 2;
    const RESTARTSYS: i64 = -(Errno::ERESTARTSYS as i64);
    let number = call.number as i64;
    let mut result = result;
    let decide = |rip: &mut u64, result: &mut i64, restart: bool| {
        if *result == RESTARTSYS && restart {
            *rip = rip.wrapping_sub(INSTRUCTION);
            *result = number;
        } else if *result == RESTARTSYS {
            *result = -(Errno::EINTR as i64);
        }
    };
    let mut resumption = Resumption {
        rip: &mut call.rip,
        rsp: &mut call.rsp,
        flags: call.rflags,
    };
    while let Some(next) = next_handler(&resumption) {
        let restart = next.action[1] & RESTART != 0;
        decide(resumption.rip, &mut result, restart);
        insert(&next, &mut resumption, result as u64);
    }
    decide(&mut call.rip, &mut result, true);
    result
}

/// Lets the thread that `frame` interrupted resume through the handlers of pending signals, if
/// there are any.
pub fn deliver_interrupted(frame: &mut Frame) {
    let rax = frame.general[14];
    let mut resumption = Resumption {
        rip: &mut frame.rip,
        rsp: &mut frame.rsp,
        flags: frame.rflags,
    };
    while let Some(next) = next_handler(&resumption) {
        insert(&next, &mut resumption, rax);
    }
}

/// Takes the next signal with a handler; those before it are ignored, or end the program.
fn next_handler(resumption: &Resumption) -> Option<Delivery> {
    loop {
        let next = STATE.with(State::next)?;
        match (next.action[0], next.signal) {
            (IGNORE, _) => {}
            (DEFAULT, signal) if is_ignored_by_default(signal) => {}
            (DEFAULT, signal @ (3 | 4 | 6 | 7 | 8 | 11)) => {
                crash::signal(signal, name(signal), *resumption.rip, *resumption.rsp)
            }
            (DEFAULT, signal) => extension::end(128 + (signal & 63) as u8),
            _ => return Some(next),
        }
    }
}

/// Inserts the handler of `next` before the place where the program continues with this `rax`.
fn insert(next: &Delivery, resumption: &mut Resumption, rax: u64) {
    let Resumption { rip, rsp, flags } = resumption;
    let [handler, action_flags, ..] = next.action;
    let other = STATE.with(|state| state.other_stack(action_flags, **rsp));
    // On the program's own stack, below the red zone.
    let top = other.unwrap_or(rsp.wrapping_sub(128));
    let frame = top.wrapping_sub(8 * FRAME as u64) & !15;
    let mut words = [0; FRAME];
    words[0] = next.signal;
    words[1] = handler;
    words[RAX] = rax;
    words[RSP] = **rsp;
    words[RIP] = **rip;
    words[FLAGS] = *flags;
    words[MASK] = next.mask;
    words[INFORMATION] = next.signal;
    let sender = origin(next.signal, next.code);
    words[INFORMATION + 1] = sender.code;
    words[INFORMATION + 2] = sender.sender;
    words[INFORMATION + 3] = sender.value;
    if store(frame, &words).is_err() {
        crash::signal(11, "SIGSEGV: no stack for a signal's handler", **rip, **rsp);
    }
    **rsp = frame;
    **rip = soil_signal_return as *const () as u64;
}

// Everything that a handler may change is saved, since the program may have been interrupted
// anywhere. It continues where the handler's `ucontext_t` says, which `pthread_cancel` changes.
core::arch::global_asm!(
    r#"
    .pushsection .text.soil_signals, "ax", @progbits
    .globl soil_signal_return
soil_signal_return:
    push rcx
    push rdi
    push rsi
    push rdx
    push r8
    push r9
    push r10
    push r11
    sub rsp, 512
    fxsave64 [rsp]
    fninit
    cld
    mov rdi, [rsp + 576]
    lea rsi, [rsp + 576 + {information}]
    lea rdx, [rsp + 576 + {context}]
    call [rsp + 584]
    mov rdi, [rsp + 576 + {mask}]
    mov eax, 15
    syscall
    fxrstor64 [rsp]
    add rsp, 512
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdx
    pop rsi
    pop rdi
    pop rcx
    mov rax, [rsp + {rax}]
    push {data}
    push [rsp + 8 + {rsp}]
    push [rsp + 16 + {flags}]
    push {code}
    push [rsp + 32 + {rip}]
    iretq
    .popsection
    "#,
    information = const 8 * INFORMATION,
    context = const 8 * CONTEXT,
    mask = const 8 * MASK,
    rax = const 8 * RAX,
    rip = const 8 * RIP,
    rsp = const 8 * RSP,
    flags = const 8 * FLAGS,
    data = const KERNEL_DATA,
    code = const KERNEL_CODE,
);

unsafe extern "C" {
    fn soil_signal_return();
}

//! Signals: those that the program sends to itself, and SIGTERM for the power button.
//!
//! A handler runs when a system call returns, on the program's stack or the one of `sigaltstack`,
//! as a plain call between the two: system calls are made by functions, so nothing lives in
//! registers that a call wouldn't keep. Faults aren't signals here; they end in [`crate::crash`].
//! Source: signal(7), sigaction(2), sigaltstack(2); musl's `arch/x86_64/bits/signal.h` for
//! `siginfo_t` and `ucontext_t`.

use crate::cell::Exclusive;
use crate::crash;
use crate::errno::Errno;
use crate::power;
use crate::syscall::{load, store};

const COUNT: usize = 65;
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;
const INTERRUPT: u64 = 2;
const KILL: u64 = 9;
const TERMINATE: u64 = 15;
const STOP: u64 = 19;
/// What can be neither blocked nor handled.
const FIRM: u64 = bit(KILL) | bit(STOP);

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
type Action = [u64; 4];
const ON_STACK: u64 = 0x0800_0000;
const RESTART: u64 = 0x1000_0000;
const NO_DEFER: u64 = 0x4000_0000;
const RESET_HANDLER: u64 = 0x8000_0000;

/// `ss_flags` of `stack_t`.
const STACK_IN_USE: u64 = 1;
const STACK_DISABLED: u64 = 2;

struct State {
    actions: [Action; COUNT],
    mask: u64,
    /// The mask to go back to after a wait with another one.
    saved_mask: Option<u64>,
    pending: u64,
    /// Those of `pending` that were sent to the thread, as `raise` does.
    to_thread: u64,
    /// Where `sigaltstack` put the other stack, and its size: 0 for none.
    stack: [u64; 2],
}

// All zeros, or an image would carry it.
static STATE: Exclusive<State> = Exclusive::new(State {
    actions: [[0; 4]; COUNT],
    mask: 0,
    saved_mask: None,
    pending: 0,
    to_thread: 0,
    stack: [0; 2],
});

const fn bit(signal: u64) -> u64 {
    1 << (signal - 1)
}

/// Sets of signals have 64 bits.
fn check_size(size: u64) -> Result<(), Errno> {
    if size == 8 {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Stores `value` where the program wants it, if it does.
fn give(to: u64, value: &[u64]) -> Result<u64, Errno> {
    if to == 0 { Ok(0) } else { store(to, value) }
}

/// The `N` words at `from`, if the program gives some.
fn take<const N: usize>(from: u64) -> Result<Option<[u64; N]>, Errno> {
    if from == 0 {
        Ok(None)
    } else {
        load(from).map(Some)
    }
}

/// `rt_sigaction`.
pub fn set_action(signal: u64, new: u64, old: u64, size: u64) -> Result<u64, Errno> {
    check_size(size)?;
    let new: Option<Action> = take(new)?;
    if signal == 0 || signal >= COUNT as u64 || new.is_some() && bit(signal) & FIRM != 0 {
        return Err(Errno::EINVAL);
    }
    let previous = STATE.with(|state| {
        let action = &mut state.actions[signal as usize];
        let previous = *action;
        if let Some(new) = new {
            *action = new;
            if new[0] == IGNORE {
                state.pending &= !bit(signal);
            }
        }
        previous
    });
    if new.is_some() && signal == TERMINATE {
        power::leave_requests();
    }
    give(old, &previous)
}

/// `rt_sigprocmask`.
pub fn set_mask(how: u64, new: u64, old: u64, size: u64) -> Result<u64, Errno> {
    check_size(size)?;
    let new = take(new)?;
    let previous = STATE.with(|state| {
        let previous = state.mask;
        if let Some([set]) = new {
            state.mask = !FIRM
                & match how {
                    0 => previous | set,
                    1 => previous & !set,
                    2 => set,
                    _ => return Err(Errno::EINVAL),
                };
        }
        Ok(previous)
    })?;
    give(old, &[previous])
}

/// `rt_sigpending`.
pub fn pending(to: u64, size: u64) -> Result<u64, Errno> {
    check_size(size)?;
    store(to, &[STATE.with(|state| state.pending & state.mask)])
}

/// Puts the mask at `mask`, if one is given, in place of the program's until the system call ends.
/// Handlers of what ends its wait run before the old mask is back.
pub fn wait_under(mask: u64, size: u64) -> Result<(), Errno> {
    if let Some([set]) = take(mask)? {
        check_size(size)?;
        STATE.with(|state| {
            state.saved_mask = Some(core::mem::replace(&mut state.mask, set & !FIRM));
        });
    }
    Ok(())
}

/// Whether a signal waits to be handled: a wait ends with EINTR then.
pub fn is_ready() -> bool {
    STATE.with(|state| state.pending & !state.mask != 0)
}

/// `sigaltstack`, from a program whose stack pointer is `rsp`.
pub fn set_stack(new: u64, old: u64, rsp: u64) -> Result<u64, Errno> {
    /// `MINSIGSTKSZ`.
    const LEAST: u64 = 2048;
    let new: Option<[u64; 3]> = take(new)?;
    let previous = STATE.with(|state| {
        let [start, size] = state.stack;
        let used = match state.is_on_stack(rsp) {
            true => STACK_IN_USE,
            false if size == 0 => STACK_DISABLED,
            false => 0,
        };
        if let Some([start, flags, size]) = new {
            state.stack = match flags as u32 {
                _ if used == STACK_IN_USE => return Err(Errno::EPERM),
                2 => [0; 2],
                0 | 1 if size < LEAST => return Err(Errno::ENOMEM),
                0 | 1 => [start, size],
                _ => return Err(Errno::EINVAL),
            };
        }
        Ok([start, used, size])
    })?;
    give(old, &previous)
}

fn name(signal: u64) -> &'static str {
    match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        _ => "a signal",
    }
}

/// Sends `signal` to process (or, if `to_thread`, thread) `target`; only `own` is there.
pub fn send_to(target: u64, own: u64, signal: u64, to_thread: bool) -> Result<u64, Errno> {
    // 0 and -1 are groups of processes with this one in them.
    if target != own && target != 0 && target as i32 != -1 {
        return Err(Errno::ESRCH);
    }
    if signal >= COUNT as u64 {
        return Err(Errno::EINVAL);
    }
    if signal == 0 {
        return Ok(0);
    }
    STATE.with(|state| match (state.actions[signal as usize][0], signal) {
        // SIGCHLD, SIGCONT, SIGURG and SIGWINCH do nothing unless they are wanted.
        (IGNORE, _) | (DEFAULT, 17 | 18 | 23 | 28) => Ok(0),
        // Nothing could let a stopped program run on.
        (DEFAULT, 19..=22) => Err(Errno::EINVAL),
        _ => {
            state.pending |= bit(signal);
            state.to_thread |= if to_thread { bit(signal) } else { 0 };
            Ok(0)
        }
    })
}

/// The power button: SIGTERM, or SIGINT for a program that handles that alone. False where the
/// program has said nothing of either.
pub fn request_stop() -> bool {
    STATE.with(|state| {
        let handler = |signal: u64| state.actions[signal as usize][0];
        let signal = [TERMINATE, INTERRUPT]
            .into_iter()
            .find(|signal| handler(*signal) != DEFAULT);
        let Some(signal) = signal else { return false };
        if handler(signal) != IGNORE {
            state.pending |= bit(signal);
        }
        true
    })
}

/// Runs the handlers of what [`request_stop`] has left, in a program that waits by other means than
/// system calls; whether there were any.
pub fn run_handlers() -> bool {
    let ready = is_ready();
    if ready {
        // SAFETY: `sched_yield`, which keeps all registers but these.
        unsafe {
            core::arch::asm!(
                "syscall",
                inout("rax") 24u64 => _, out("rcx") _, out("r11") _,
            );
        }
    }
    ready
}

/// A signal whose handler is to run: the number, its action, the mask to go back to, and `si_code`.
type Next = (u64, Action, u64, u64);

impl State {
    fn is_on_stack(&self, rsp: u64) -> bool {
        let [start, size] = self.stack;
        rsp > start && rsp - start <= size
    }

    /// Takes the next signal that isn't blocked.
    fn next(&mut self) -> Option<Next> {
        const SENT_BY_KILL: u64 = 0;
        const SENT_BY_TKILL: u64 = -6i32 as u32 as u64;
        let ready = self.pending & !self.mask;
        if ready == 0 {
            // A wait with another mask ended by itself.
            self.mask = self.saved_mask.take().unwrap_or(self.mask);
            return None;
        }
        let one = ready & ready.wrapping_neg();
        let signal = u64::from(one.trailing_zeros()) + 1;
        let code = match self.to_thread & one {
            0 => SENT_BY_KILL,
            _ => SENT_BY_TKILL,
        };
        self.pending &= !one;
        self.to_thread &= !one;
        let slot = &mut self.actions[signal as usize];
        let action @ [handler, flags, _, blocked] = *slot;
        if handler <= IGNORE {
            return Some((signal, action, 0, code));
        }
        if flags & RESET_HANDLER != 0 {
            slot[0] = DEFAULT;
        }
        let old = self.saved_mask.take().unwrap_or(self.mask);
        self.mask |= !FIRM & (blocked | if flags & NO_DEFER == 0 { one } else { 0 });
        Some((signal, action, old, code))
    }
}

/// Words of what a handler's frame holds: the signal and the handler, `ucontext_t` (without the
/// state of the x87 unit), `siginfo_t`.
const CONTEXT: usize = 2;
const GENERAL: usize = CONTEXT + 5;
const MASK: usize = CONTEXT + 37;
const INFORMATION: usize = MASK + 16;
const FRAME: usize = INFORMATION + 16;
/// Places among `GENERAL`.
const RAX: usize = GENERAL + 13;
const RSP: usize = GENERAL + 15;
const RIP: usize = GENERAL + 16;

/// Makes the system call `number`, which is about to return `result` to `rip` with stack `rsp`,
/// return through the handlers of pending signals, if there are any; gives the value for `rax`. The
/// program ends here if one of them ends it.
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
    while let Some((signal, action, mask, code)) = STATE.with(State::next) {
        let [handler, flags, ..] = action;
        match (handler, signal) {
            (IGNORE, _) | (DEFAULT, 17 | 18 | 23 | 28) => continue,
            (DEFAULT, 3 | 4 | 6 | 7 | 8 | 11) => crash::signal(signal, name(signal), *rip),
            (DEFAULT, _) => power::exit(128 + (signal & 63) as u8),
            _ => {}
        }
        let top = STATE.with(|state| {
            let [start, size] = state.stack;
            if flags & ON_STACK != 0 && size != 0 && !state.is_on_stack(*rsp) {
                start.wrapping_add(size)
            } else {
                // Below the red zone.
                rsp.wrapping_sub(128)
            }
        });
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
        words[INFORMATION + 2] = crate::syscall::PID;
        if store(frame, &words).is_err() {
            crash::signal(11, "SIGSEGV: no stack for a signal's handler", *rip);
        }
        *rsp = frame;
        *rip = soil_signal_return as *const () as u64;
    }
    decide(rip, &mut result, true);
    result
}

/// The end of a handler's frame: `rt_sigreturn`, which here restores the mask alone.
pub fn end_handler(mask: u64) {
    STATE.with(|state| state.mask = mask & !FIRM);
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

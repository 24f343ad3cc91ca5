//! Signals: those that the program sends to itself.
//!
//! A handler runs when the system call that sent the signal returns, on the program's stack, as a plain call between the
//! two: musl's `raise` and `kill` are such calls, so nothing lives in registers that a call wouldn't keep.

use crate::cell::Exclusive;
use crate::crash;
use crate::errno::Errno;
use crate::power;

const COUNT: usize = 65;
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;
const KILL: u64 = 9;
const STOP: u64 = 19;

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
type Action = [u64; 4];

struct State {
    actions: [Action; COUNT],
    mask: u64,
    pending: u64,
}

static STATE: Exclusive<State> = Exclusive::new(State {
    actions: [[0; 4]; COUNT],
    mask: 0,
    pending: 0,
});

fn bit(signal: u64) -> u64 {
    1 << (signal - 1)
}

/// `rt_sigaction`.
pub fn set_action(signal: u64, new: u64, old: u64) -> Result<u64, Errno> {
    if signal == 0 || signal >= COUNT as u64 || signal == KILL || signal == STOP {
        return Err(Errno::EINVAL);
    }
    let new: Option<Action> = if new == 0 {
        None
    } else {
        Some(crate::syscall::load(new)?)
    };
    let previous = STATE.with(|state| {
        let action = &mut state.actions[signal as usize];
        let previous = *action;
        *action = new.unwrap_or(previous);
        previous
    });
    if old != 0 {
        crate::syscall::store(old, &previous)
    } else {
        Ok(0)
    }
}

/// `rt_sigprocmask`.
pub fn set_mask(how: u64, new: u64, old: u64) -> Result<u64, Errno> {
    let new: Option<[u64; 1]> = if new == 0 {
        None
    } else {
        Some(crate::syscall::load(new)?)
    };
    let previous = STATE.with(|state| {
        let previous = state.mask;
        if let Some([set]) = new {
            state.mask = match how {
                0 => previous | set,
                1 => previous & !set,
                _ => set,
            };
        }
        previous
    });
    if how > 2 {
        return Err(Errno::EINVAL);
    }
    if old != 0 {
        crate::syscall::store(old, &[previous])
    } else {
        Ok(0)
    }
}

fn name(signal: u64) -> &'static str {
    match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => "a signal",
    }
}

/// Sends `signal` to process (or thread) `target`; only `own` is there. `caller` is where the call came from.
pub fn send_to(target: u64, own: u64, signal: u64, caller: u64) -> Result<u64, Errno> {
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
    let [handler, ..] = STATE.with(|state| state.actions[signal as usize]);
    match (handler, signal) {
        (IGNORE, _) => {}
        // SIGCHLD, SIGCONT, SIGURG and SIGWINCH do nothing unless they are wanted.
        (DEFAULT, 17 | 18 | 23 | 28) => {}
        (DEFAULT, 3 | 4 | 6 | 7 | 8 | 11) => crash::signal(signal, name(signal), caller),
        (DEFAULT, _) => power::exit(128 + (signal & 63) as u8),
        _ => STATE.with(|state| state.pending |= bit(signal)),
    }
    Ok(0)
}

/// Makes the system call that is about to return `result` to `rip` with stack `rsp` return through the handler of a
/// pending signal, if there is one; gives the value for `rax`.
pub fn deliver(rip: &mut u64, rsp: &mut u64, result: i64) -> i64 {
    let next = STATE.with(|state| {
        let ready = state.pending & !state.mask;
        (ready != 0).then(|| {
            let signal = u64::from(ready.trailing_zeros()) + 1;
            state.pending &= !bit(signal);
            (signal, state.actions[signal as usize][0])
        })
    });
    let Some((signal, handler)) = next else {
        return result;
    };
    if handler <= IGNORE {
        return result;
    }
    // Below the red zone: what `soil_signal_return` needs to call the handler and go back.
    let frame = (*rsp - 128 - 64) & !15;
    let words = [signal, handler, *rip, *rsp, result as u64];
    if crate::syscall::store(frame, &words).is_ok() {
        *rsp = frame;
        *rip = soil_signal_return as *const () as u64;
    }
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
    xor esi, esi
    xor edx, edx
    call [rsp + 312]
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
    mov rax, [rsp + 32]
    mov rcx, [rsp + 16]
    mov rsp, [rsp + 24]
    jmp rcx
    .popsection
    "#
);

unsafe extern "C" {
    fn soil_signal_return();
}

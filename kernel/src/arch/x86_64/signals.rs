//! The frame of a signal's handler on the program's stack, and its return to the program.
//!
//! Source: musl's `arch/x86_64/bits/signal.h` for `siginfo_t` and `ucontext_t`; Linux's
//! `arch/x86/kernel/signal.c`.

use super::avx;
use super::gates::{Frame, KERNEL_CODE, KERNEL_DATA, SystemCallFrame};
use crate::arch::handler::Handler;
use x86_64::registers::rflags::RFlags;

/// Offsets, in words, of a handler's frame: the signal and the handler, `ucontext_t` (without the
/// state of the x87 unit), `siginfo_t`.
const CONTEXT: usize = 2;
const GENERAL: usize = CONTEXT + 5;
/// The word of the mask to restore.
pub const MASK: usize = CONTEXT + 37;
/// The word at which `siginfo_t` begins.
pub const INFORMATION: usize = MASK + 16;
/// The words of a frame.
pub const FRAME: usize = INFORMATION + 16;
/// Bytes below a frame that hold what else a handler may change: eight registers, and the area of
/// XSAVE, which begins as that of FXSAVE does.
const SAVED: usize = 64 + avx::AREA;
/// Offsets within `GENERAL`.
const RAX: usize = GENERAL + 13;
const RSP: usize = GENERAL + 15;
const RIP: usize = GENERAL + 16;
const FLAGS: usize = GENERAL + 17;

/// Where the program continues after the handlers.
pub struct Resumption<'a> {
    rip: &'a mut u64,
    rsp: &'a mut u64,
    flags: &'a mut u64,
    /// rax, but for the result of a call.
    rax: u64,
}

impl<'a> Resumption<'a> {
    /// After a system call.
    #[inline(always)]
    pub fn of_call(call: &'a mut SystemCallFrame) -> Self {
        Self {
            rax: call.number(),
            rip: &mut call.rip,
            rsp: &mut call.rsp,
            flags: &mut call.rflags,
        }
    }

    /// Where a trap interrupted the program; and the value of the register of results.
    #[inline(always)]
    pub fn of_interrupt(frame: &'a mut Frame) -> (Self, u64) {
        let rax = frame.general[14];
        let resumption = Self {
            rax,
            rip: &mut frame.rip,
            rsp: &mut frame.rsp,
            flags: &mut frame.rflags,
        };
        (resumption, rax)
    }

    /// Makes the program make the call once more; returns the result that it needs for that.
    #[inline(always)]
    pub fn restart(&mut self) -> u64 {
        /// Bytes of the instruction `syscall`, which `rip` is after.
        const INSTRUCTION: u64 = 2;
        *self.rip = self.rip.wrapping_sub(INSTRUCTION);
        self.rax
    }

    /// The instruction.
    #[inline(always)]
    pub fn program_counter(&self) -> u64 {
        *self.rip
    }

    /// The stack pointer.
    #[inline(always)]
    pub fn stack_pointer(&self) -> u64 {
        *self.rsp
    }

    /// Fills the frame of `handler`, which is zeros, and returns its address: on the stack that
    /// ends at `other`, else on the program's own, below the red zone. The program then continues
    /// with `result`.
    #[inline(always)]
    pub fn frame(
        &self,
        handler: &Handler,
        other: Option<u64>,
        result: u64,
        words: &mut [u64; FRAME],
    ) -> u64 {
        let top = other.unwrap_or(self.rsp.wrapping_sub(128));
        handler.fill(words, MASK, INFORMATION);
        words[RAX] = result;
        words[RSP] = *self.rsp;
        words[RIP] = *self.rip;
        words[FLAGS] = *self.flags;
        // The area of XSAVE below begins at a multiple of 64, too.
        top.wrapping_sub(8 * FRAME as u64) & !63
    }

    /// The address of the frame whose handler has ended, if the program is about to continue as it
    /// says.
    #[inline(always)]
    pub fn ended_frame(&self) -> Option<u64> {
        let is_end = *self.rip == soil_signal_end as *const () as u64;
        is_end.then(|| self.rsp.wrapping_add(SAVED as u64))
    }

    /// Makes the program run the handler that the frame of the one that has ended has now.
    #[inline(always)]
    pub fn enter_again(&mut self) {
        *self.rip = soil_signal_again as *const () as u64;
    }

    /// Makes the program continue as the frame of the handler that has ended says, without an
    /// interrupt before that.
    #[inline(always)]
    pub fn leave(&mut self) {
        *self.flags &= !RFlags::INTERRUPT_FLAG.bits();
    }

    /// Makes the program run the handler whose frame was stored at `frame`.
    #[inline(always)]
    pub fn enter(&mut self, frame: u64) {
        *self.rsp = frame;
        *self.rip = soil_signal_return as *const () as u64;
    }
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
    sub rsp, {area}
    cmp byte ptr [rip + {avx}], 0
    je 2f
    // The header: XSAVE keeps what XRSTOR refuses.
    mov qword ptr [rsp + 512], 0
    mov qword ptr [rsp + 520], 0
    mov qword ptr [rsp + 528], 0
    mov eax, 7
    xor edx, edx
    xsave64 [rsp]
    jmp soil_signal_again
2:
    fxsave64 [rsp]
    .globl soil_signal_again
soil_signal_again:
    fninit
    cld
    mov rdi, [rsp + {saved}]
    lea rsi, [rsp + {saved} + {information}]
    lea rdx, [rsp + {saved} + {context}]
    call [rsp + {saved} + 8]
    mov rdi, [rsp + {saved} + {mask}]
    mov eax, 15
    syscall
    .globl soil_signal_end
soil_signal_end:
    cmp byte ptr [rip + {avx}], 0
    je 3f
    mov eax, 7
    xor edx, edx
    xrstor64 [rsp]
    jmp 4f
3:
    fxrstor64 [rsp]
4:
    add rsp, {area}
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
    saved = const SAVED,
    area = const avx::AREA,
    avx = sym avx::ENABLED,
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
    fn soil_signal_again();
    fn soil_signal_end();
}

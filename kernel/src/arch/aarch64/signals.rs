//! The frame of a signal's handler on the program's stack, and its return to the program.
//!
//! Source: musl's `arch/aarch64/bits/signal.h` for `siginfo_t` and `ucontext_t`; Linux's
//! `arch/arm64/include/uapi/asm/sigcontext.h`.

use super::gates::{Frame, SystemCallFrame};
use crate::arch::handler::Handler;
use crate::arch::numbers::RT_SIGRETURN;

/// Offsets, in words, of a handler's frame: the signal and the handler, `ucontext_t` with the
/// record of the vector registers and the empty one that ends the list, `siginfo_t`.
const CONTEXT: usize = 2;
/// The word of the mask to restore.
pub const MASK: usize = CONTEXT + 5;
/// x0 of `mcontext_t`, after the address of a fault; sp, the next instruction and the flags follow
/// x30.
const GENERAL: usize = CONTEXT + 23;
const SP: usize = GENERAL + 31;
const PC: usize = SP + 1;
const STATE: usize = PC + 1;
/// The record of the vector registers: its head, FPSR and FPCR, v0 to v31.
const VECTORS: usize = CONTEXT + 58;
/// The word at which `siginfo_t` begins.
pub const INFORMATION: usize = VECTORS + 2 + 64 + 2;
/// The words of a frame.
pub const FRAME: usize = INFORMATION + 16;

/// The mask of interrupts in PSTATE.
const INTERRUPTS_MASKED: u64 = 1 << 7;

/// `FPSIMD_MAGIC`, and the record's size, as the head has them.
const VECTORS_HEAD: u64 = 0x4650_8001 | 528 << 32;

/// Where the program continues after the handlers.
pub struct Resumption<'a> {
    pc: &'a mut u64,
    sp: &'a mut u64,
    pstate: &'a mut u64,
    /// x0, but for the result of a call.
    x0: u64,
}

impl<'a> Resumption<'a> {
    /// After a system call.
    pub fn of_call(call: &'a mut SystemCallFrame) -> Self {
        Self {
            x0: call.x[0],
            pc: &mut call.pc,
            sp: &mut call.sp,
            pstate: &mut call.pstate,
        }
    }

    /// Where a trap interrupted the program; and the value of the register of results.
    pub fn of_interrupt(frame: &'a mut Frame) -> (Self, u64) {
        let x0 = frame.x[0];
        let resumption = Self {
            x0,
            pc: &mut frame.pc,
            sp: &mut frame.sp,
            pstate: &mut frame.pstate,
        };
        (resumption, x0)
    }

    /// Makes the program make the call once more; returns the result that it needs for that.
    pub fn restart(&mut self) -> u64 {
        /// Bytes of the instruction `svc`, which `pc` is after.
        const INSTRUCTION: u64 = 4;
        *self.pc = self.pc.wrapping_sub(INSTRUCTION);
        self.x0
    }

    /// The instruction.
    pub fn program_counter(&self) -> u64 {
        *self.pc
    }

    /// The stack pointer.
    pub fn stack_pointer(&self) -> u64 {
        *self.sp
    }

    /// Fills the frame of `handler`, which is zeros, and returns its address: on the stack that
    /// ends at `other`, else on the program's own. The program then continues with `result`.
    pub fn frame(
        &self,
        handler: &Handler,
        other: Option<u64>,
        result: u64,
        words: &mut [u64; FRAME],
    ) -> u64 {
        handler.fill(words, MASK, INFORMATION);
        words[GENERAL] = result;
        words[SP] = *self.sp;
        words[PC] = *self.pc;
        words[STATE] = *self.pstate;
        words[VECTORS] = VECTORS_HEAD;
        let top = other.unwrap_or(*self.sp);
        top.wrapping_sub(8 * FRAME as u64) & !15
    }

    /// The address of the frame whose handler has ended, if the program is about to continue as it
    /// says.
    pub fn ended_frame(&self) -> Option<u64> {
        let is_end = *self.pc == soil_signal_end as *const () as u64;
        is_end.then_some(*self.sp)
    }

    /// Makes the program run the handler that the frame of the one that has ended has now.
    pub fn enter_again(&mut self) {
        *self.pc = soil_signal_again as *const () as u64;
    }

    /// Makes the program continue as the frame of the handler that has ended says, without an
    /// interrupt before that.
    pub fn leave(&mut self) {
        *self.pstate |= INTERRUPTS_MASKED;
    }

    /// Makes the program run the handler whose frame was stored at `frame`.
    pub fn enter(&mut self, frame: u64) {
        *self.sp = frame;
        *self.pc = soil_signal_return as *const () as u64;
    }
}

// As in `ucontext_t`: 16 bytes for each pair of words, and the record on a multiple of them.
const _: () = assert!(8 * (GENERAL - CONTEXT) == 184 && 8 * (VECTORS - CONTEXT) == 464);

// Everything that a handler may change is saved, since the program may have been interrupted
// anywhere. It continues where the handler's `ucontext_t` says, which `pthread_cancel` changes: by
// `eret`, since no register is free for a jump. What that needs is copied below the program's stack
// pointer first, so that nothing faults once ELR_EL1 and SPSR_EL1 are set; interrupts are masked
// from the system call on (`Resumption::leave`).
core::arch::global_asm!(
    r#"
    .pushsection .text.soil_signals, "ax", @progbits
    .balign 4
    .globl soil_signal_return
soil_signal_return:
    str x1, [sp, #{general} + 8]
    stp x2, x3, [sp, #{general} + 8 * 2]
    stp x4, x5, [sp, #{general} + 8 * 4]
    stp x6, x7, [sp, #{general} + 8 * 6]
    stp x8, x9, [sp, #{general} + 8 * 8]
    stp x10, x11, [sp, #{general} + 8 * 10]
    stp x12, x13, [sp, #{general} + 8 * 12]
    stp x14, x15, [sp, #{general} + 8 * 14]
    stp x16, x17, [sp, #{general} + 8 * 16]
    stp x18, x19, [sp, #{general} + 8 * 18]
    stp x20, x21, [sp, #{general} + 8 * 20]
    stp x22, x23, [sp, #{general} + 8 * 22]
    stp x24, x25, [sp, #{general} + 8 * 24]
    stp x26, x27, [sp, #{general} + 8 * 26]
    stp x28, x29, [sp, #{general} + 8 * 28]
    str x30, [sp, #{general} + 8 * 30]
    stp q0, q1, [sp, #{vectors} + 16 * 1]
    stp q2, q3, [sp, #{vectors} + 16 * 3]
    stp q4, q5, [sp, #{vectors} + 16 * 5]
    stp q6, q7, [sp, #{vectors} + 16 * 7]
    stp q8, q9, [sp, #{vectors} + 16 * 9]
    stp q10, q11, [sp, #{vectors} + 16 * 11]
    stp q12, q13, [sp, #{vectors} + 16 * 13]
    stp q14, q15, [sp, #{vectors} + 16 * 15]
    stp q16, q17, [sp, #{vectors} + 16 * 17]
    stp q18, q19, [sp, #{vectors} + 16 * 19]
    stp q20, q21, [sp, #{vectors} + 16 * 21]
    stp q22, q23, [sp, #{vectors} + 16 * 23]
    stp q24, q25, [sp, #{vectors} + 16 * 25]
    stp q26, q27, [sp, #{vectors} + 16 * 27]
    stp q28, q29, [sp, #{vectors} + 16 * 29]
    stp q30, q31, [sp, #{vectors} + 16 * 31]
    mrs x9, fpsr
    mrs x10, fpcr
    str w9, [sp, #{vectors} + 8]
    str w10, [sp, #{vectors} + 12]
    .globl soil_signal_again
soil_signal_again:
    ldp x0, x9, [sp]
    add x1, sp, #{information}
    add x2, sp, #{context}
    blr x9
    ldr x0, [sp, #{mask}]
    mov x8, #{number}
    svc #0
    .globl soil_signal_end
soil_signal_end:
    ldr w9, [sp, #{vectors} + 8]
    ldr w10, [sp, #{vectors} + 12]
    msr fpsr, x9
    msr fpcr, x10
    ldp q0, q1, [sp, #{vectors} + 16 * 1]
    ldp q2, q3, [sp, #{vectors} + 16 * 3]
    ldp q4, q5, [sp, #{vectors} + 16 * 5]
    ldp q6, q7, [sp, #{vectors} + 16 * 7]
    ldp q8, q9, [sp, #{vectors} + 16 * 9]
    ldp q10, q11, [sp, #{vectors} + 16 * 11]
    ldp q12, q13, [sp, #{vectors} + 16 * 13]
    ldp q14, q15, [sp, #{vectors} + 16 * 15]
    ldp q16, q17, [sp, #{vectors} + 16 * 17]
    ldp q18, q19, [sp, #{vectors} + 16 * 19]
    ldp q20, q21, [sp, #{vectors} + 16 * 21]
    ldp q22, q23, [sp, #{vectors} + 16 * 23]
    ldp q24, q25, [sp, #{vectors} + 16 * 25]
    ldp q26, q27, [sp, #{vectors} + 16 * 27]
    ldp q28, q29, [sp, #{vectors} + 16 * 29]
    ldp q30, q31, [sp, #{vectors} + 16 * 31]
    ldr x16, [sp, #{general} + 8 * 31]
    sub x16, x16, #32
    ldp x0, x1, [sp, #{general} + 8 * 32]
    stp x0, x1, [x16]
    ldp x0, x1, [sp, #{general} + 8 * 16]
    stp x0, x1, [x16, #16]
    ldp x0, x1, [sp, #{general} + 8 * 0]
    ldp x2, x3, [sp, #{general} + 8 * 2]
    ldp x4, x5, [sp, #{general} + 8 * 4]
    ldp x6, x7, [sp, #{general} + 8 * 6]
    ldp x8, x9, [sp, #{general} + 8 * 8]
    ldp x10, x11, [sp, #{general} + 8 * 10]
    ldp x12, x13, [sp, #{general} + 8 * 12]
    ldp x14, x15, [sp, #{general} + 8 * 14]
    ldp x18, x19, [sp, #{general} + 8 * 18]
    ldp x20, x21, [sp, #{general} + 8 * 20]
    ldp x22, x23, [sp, #{general} + 8 * 22]
    ldp x24, x25, [sp, #{general} + 8 * 24]
    ldp x26, x27, [sp, #{general} + 8 * 26]
    ldp x28, x29, [sp, #{general} + 8 * 28]
    ldr x30, [sp, #{general} + 8 * 30]
    mov sp, x16
    ldp x16, x17, [sp]
    msr elr_el1, x16
    msr spsr_el1, x17
    ldp x16, x17, [sp, #16]
    add sp, sp, #32
    eret
    .popsection
    "#,
    general = const 8 * GENERAL,
    vectors = const 8 * VECTORS,
    information = const 8 * INFORMATION,
    context = const 8 * CONTEXT,
    mask = const 8 * MASK,
    number = const RT_SIGRETURN,
);

unsafe extern "C" {
    fn soil_signal_return();
    fn soil_signal_again();
    fn soil_signal_end();
}

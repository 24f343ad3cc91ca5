//! `getcontext`, `setcontext`, `makecontext` and `swapcontext`, which musl lacks.
//!
//! The layout is that of glibc's `ucontext_t` for arm64 (`sys/ucontext.h`), which the objects that
//! call these functions were compiled with: `uc_link` at 8, `uc_stack` at 16, the signal mask at
//! 40, the registers from 184 on (x0 to x30, sp at 432, the next instruction at 440), and from 464
//! on a record of the kernel's for floating-point registers, of which FPCR is at 476 and v0 at 480.

core::arch::global_asm!(
    r#"
    .macro save_context
    // The result when the context is resumed.
    str xzr, [x0, #184]
    stp x19, x20, [x0, #336]
    stp x21, x22, [x0, #352]
    stp x23, x24, [x0, #368]
    stp x25, x26, [x0, #384]
    stp x27, x28, [x0, #400]
    stp x29, x30, [x0, #416]
    mov x9, sp
    stp x9, x30, [x0, #432]
    mrs x9, fpcr
    str w9, [x0, #476]
    add x10, x0, #608
    .irp n, 8,9,10,11,12,13,14,15
    str q\n, [x10], #16
    .endr
    .endm

    .pushsection .text.compat.getcontext, "ax", @progbits
    .globl getcontext
    .type getcontext, @function
getcontext:
    save_context
    // pthread_sigmask(SIG_BLOCK, NULL, mask)
    add x2, x0, #40
    mov x1, #0
    mov w0, #0
    b pthread_sigmask
    .popsection

    .pushsection .text.compat.swapcontext, "ax", @progbits
    .globl swapcontext
    .type swapcontext, @function
swapcontext:
    save_context
    mov x19, x1
    // pthread_sigmask(SIG_SETMASK, the other's mask, mask)
    add x2, x0, #40
    add x1, x1, #40
    mov w0, #2
    bl pthread_sigmask
    b soil_resume_context
    .popsection

    .pushsection .text.compat.setcontext, "ax", @progbits
    .globl setcontext
    .type setcontext, @function
setcontext:
    mov x19, x0
    // pthread_sigmask(SIG_SETMASK, mask, NULL)
    add x1, x0, #40
    mov x2, #0
    mov w0, #2
    bl pthread_sigmask
soil_resume_context:
    // From x19, the context.
    mov x0, x19
    ldr w9, [x0, #476]
    msr fpcr, x9
    add x10, x0, #608
    .irp n, 8,9,10,11,12,13,14,15
    ldr q\n, [x10], #16
    .endr
    ldp x9, x16, [x0, #432]
    ldp x19, x20, [x0, #336]
    ldp x21, x22, [x0, #352]
    ldp x23, x24, [x0, #368]
    ldp x25, x26, [x0, #384]
    ldp x27, x28, [x0, #400]
    ldp x29, x30, [x0, #416]
    mov sp, x9
    // Arguments, which makecontext has put there, or the result.
    ldp x2, x3, [x0, #200]
    ldp x4, x5, [x0, #216]
    ldp x6, x7, [x0, #232]
    ldp x0, x1, [x0, #184]
    br x16
    .popsection

    .pushsection .text.compat.makecontext, "ax", @progbits
    .globl makecontext
    .type makecontext, @function
makecontext:
    // From x0 (the context), x1 (the function), w2 (the number of arguments), x3 to x7 and the
    // stack (the arguments).
    stp x3, x4, [x0, #184]
    stp x5, x6, [x0, #200]
    ldp x9, x10, [sp]
    stp x7, x9, [x0, #216]
    ldr x11, [sp, #16]
    stp x10, x11, [x0, #232]
    ldr x9, [x0, #8]
    str x9, [x0, #336]
    adrp x9, soil_context_ended
    add x9, x9, :lo12:soil_context_ended
    stp xzr, x9, [x0, #416]
    // Those beyond eight go to the new stack, which is aligned to 16.
    sxtw x2, w2
    subs x2, x2, #8
    csel x2, xzr, x2, lt
    ldr x9, [x0, #16]
    ldr x10, [x0, #32]
    add x9, x9, x10
    sub x9, x9, x2, lsl #3
    and x9, x9, #-16
    stp x9, x1, [x0, #432]
    add x10, sp, #24
2:  cbz x2, 3f
    ldr x11, [x10], #8
    str x11, [x9], #8
    sub x2, x2, #1
    b 2b
3:  ret
soil_context_ended:
    // The function has returned; x19 is uc_link.
    mov x0, x19
    cbz x0, 4f
    bl setcontext
4:  mov w0, #0
    bl exit
    brk #1
    .popsection
    "#
);

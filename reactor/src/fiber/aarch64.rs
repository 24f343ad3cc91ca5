//! The switch of stacks on arm64.

use core::cell::Cell;

/// Words that [`switch`] saves on a stack: x19 to x30, the lower halves of v8 to v15, FPCR, and one
/// more for the alignment.
const FRAME: usize = 22;

/// Leaves the current stack, saves its stack pointer in `save`, and continues at `to`.
///
/// The saved stack has the callee-saved state of the AAPCS64 (6.1): x19 to x28, the frame pointer,
/// the address of return, the lower halves of v8 to v15, and FPCR. All other registers are
/// caller-saved around any call.
///
/// # Safety
/// `to` was saved by this function on a stack that still exists and on which nothing has run since,
/// or prepared by [`prepare`].
#[unsafe(naked)]
pub unsafe extern "C" fn switch(save: *const Cell<*mut usize>, to: *mut usize) {
    core::arch::naked_asm!(
        "sub sp, sp, #176",
        "stp x19, x20, [sp]",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp x29, x30, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mrs x9, fpcr",
        "mov x10, sp",
        "str x9, [sp, #160]",
        "str x10, [x0]",
        "mov sp, x1",
        "ldr x9, [sp, #160]",
        "ldp x19, x20, [sp]",
        "ldp x21, x22, [sp, #16]",
        "ldp x23, x24, [sp, #32]",
        "ldp x25, x26, [sp, #48]",
        "ldp x27, x28, [sp, #64]",
        "ldp x29, x30, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "msr fpcr, x9",
        "add sp, sp, #176",
        "ret",
    )
}

/// The start of a new fiber: [`prepare`] has set x19 to the argument and x20 to the function.
#[unsafe(naked)]
unsafe extern "C" fn begin() {
    core::arch::naked_asm!("mov x0, x19", "blr x20", "brk #1")
}

/// Writes the first frame to the stack that ends at `top`; returns the stack pointer to switch to.
///
/// # Safety
/// `top` is the end of a stack of at least a few hundred bytes, aligned to 16.
pub unsafe fn prepare(
    top: *mut u8,
    entry: extern "C" fn(*const ()) -> !,
    argument: *const (),
) -> *mut usize {
    let mut frame = [0; FRAME];
    frame[0] = argument as usize;
    frame[1] = entry as usize;
    // x30. FPCR stays 0: no exception traps, round to nearest, as a program starts.
    frame[11] = begin as *const () as usize;
    // SAFETY: within the stack, whose pointer stays a multiple of 16.
    unsafe {
        #[allow(clippy::cast_ptr_alignment, reason = "the caller's promise")]
        let start = top.cast::<usize>().sub(FRAME);
        start.cast::<[usize; FRAME]>().write(frame);
        start
    }
}

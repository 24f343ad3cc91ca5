//! The switch of stacks on x86-64.

use core::cell::Cell;

/// Words that [`switch`] saves on a stack: control words of the floating point units, six
/// registers, the return address.
const FRAME: usize = 8;

/// Leaves the current stack, saves its stack pointer in `save`, and continues at `to`.
///
/// The saved stack has the callee-saved state of the System V ABI (x86-64, 3.2.1): rbx, rbp, r12 to
/// r15, and the control bits of mxcsr and of the x87 unit. All other registers are caller-saved
/// around any call.
///
/// # Safety
/// `to` was saved by this function on a stack that still exists and on which nothing has run since,
/// or prepared by [`prepare`].
#[unsafe(naked)]
pub unsafe extern "C" fn switch(save: *const Cell<*mut usize>, to: *mut usize) {
    core::arch::naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// The start of a new fiber: [`prepare`] has set r12 to the argument and r13 to the function.
#[unsafe(naked)]
unsafe extern "C" fn begin() {
    core::arch::naked_asm!("mov rdi, r12", "call r13", "ud2")
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
    // mxcsr 0x1f80 and x87 0x037f: all exceptions masked, round to nearest (the state in which the
    // ABI starts a program).
    const CONTROL: usize = 0x037f_0000_1f80;
    let begin = begin as *const () as usize;
    // r15, r14, r13, r12, rbx, rbp in the order of the pops.
    let frame: [usize; FRAME] = [
        CONTROL,
        0,
        0,
        entry as usize,
        argument as usize,
        0,
        0,
        begin,
    ];
    // SAFETY: within the stack. After the return to `begin`, the stack pointer is a multiple of 16,
    // as before a call.
    unsafe {
        #[allow(clippy::cast_ptr_alignment, reason = "the caller's promise")]
        let start = top.cast::<usize>().sub(2 + FRAME);
        start.cast::<[usize; FRAME]>().write(frame);
        start
    }
}

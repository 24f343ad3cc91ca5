//! The first instructions of the program, and calls on other stacks. Those of the machine are in
//! `entry.rs`.

use crate::arch::Skipped;
use core::ops::Range;

/// The physical addresses that the boot tables map in the direct map.
#[inline(always)]
pub fn boot_mapped() -> Range<u64> {
    0..1 << 30
}

/// The physical address of an address of the image, or of its end.
#[inline(always)]
pub fn image_physical(address: u64) -> u64 {
    address
}

/// No exception is skipped here: before there are vectors, one resets the machine.
#[inline(always)]
pub fn take_skipped() -> Option<Skipped> {
    None
}

/// Jumps to a program's first instruction.
///
/// # Safety
/// `stack` points to the argument count, as in the System V ABI's "initial process stack".
pub unsafe fn run(stack: u64, entry: unsafe extern "C" fn() -> !) -> ! {
    // SAFETY: the caller's promise. rdx is the function to call at exit: none.
    unsafe {
        core::arch::asm!(
            "mov rsp, {}",
            "xor ebp, ebp",
            "xor edx, edx",
            "jmp {}",
            in(reg) stack,
            in(reg) entry,
            options(noreturn)
        )
    }
}

/// Calls `function` on the stack that ends at `stack`.
///
/// # Safety
/// The stack is mapped, aligned to 16 bytes, and nothing else is on it.
#[inline(always)]
pub unsafe fn call_on(stack: u64, function: extern "C" fn()) {
    // SAFETY: the caller's promise; a function of the C ABI leaves r12 as it is.
    unsafe {
        core::arch::asm!(
            "xchg rsp, r12",
            "call {}",
            "mov rsp, r12",
            in(reg) function,
            inout("r12") stack => _,
            clobber_abi("C"),
        );
    }
}

//! The last step on arm64: code that writes the image back to memory, switches the MMU and the data
//! cache off, and branches to the entry, at the exception level of the firmware, EL1 or EL2.
//!
//! Sources: Linux's Documentation/arch/arm64/booting.rst; the Arm Architecture Reference Manual
//! (DDI 0487), D8 and D13.

core::arch::global_asm!(
    r#"
    .pushsection .text.soil_handover, "ax", @progbits
    .globl soil_handover
soil_handover:                          // entry, device tree, what is written back: start, end
    msr daifset, #15
    mrs x4, ctr_el0
    ubfx x4, x4, #16, #4                // DminLine
    mov x5, #4
    lsl x5, x5, x4
    sub x6, x5, #1
    bic x2, x2, x6
2:  dc civac, x2
    add x2, x2, x5
    cmp x2, x3
    b.lo 2b
    adr x2, soil_handover               // this code, which runs without the cache at its end
    bic x2, x2, x6
    adr x3, 7f
3:  dc cvac, x2
    add x2, x2, x5
    cmp x2, x3
    b.lo 3b
    dsb sy
    mrs x4, currentel
    cmp x4, #8
    mov x5, #5                          // SCTLR: M, C
    b.eq 4f
    mrs x4, sctlr_el1
    bic x4, x4, x5
    msr sctlr_el1, x4
    b 5f
4:  mrs x4, sctlr_el2
    bic x4, x4, x5
    msr sctlr_el2, x4
5:  isb
    ic iallu
    dsb sy
    isb
    mov x4, x0
    mov x0, x1
    mov x1, xzr
    mov x2, xzr
    mov x3, xzr
    br x4
7:
    .popsection
"#
);

unsafe extern "C" {
    fn soil_handover(entry: u64, tree: u64, start: u64, end: u64) -> !;
}

/// Enters an image: its entry and the device tree are physical addresses in `start..end`.
///
/// # Safety
/// This code runs at its physical address, and nothing of the firmware's is used any more.
pub unsafe fn enter(entry: u64, tree: u64, start: u64, end: u64) -> ! {
    // SAFETY: the caller's promise.
    unsafe { soil_handover(entry, tree, start, end) }
}

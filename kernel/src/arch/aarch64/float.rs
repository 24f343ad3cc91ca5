//! The state of the floating-point unit, which belongs to the program.

/// Runs `f` with default rounding and without floating-point traps, then restores the interrupted
/// program's settings and flags.
pub fn with_default_rounding(f: fn()) {
    let (control, status): (u64, u64);
    // SAFETY: reads two registers, and sets the control register to its value at reset.
    unsafe {
        core::arch::asm!(
            "mrs {}, fpcr", "mrs {}, fpsr", "msr fpcr, xzr",
            out(reg) control, out(reg) status, options(nostack)
        );
    }
    f();
    // SAFETY: the values that were there before.
    unsafe {
        core::arch::asm!("msr fpcr, {}", "msr fpsr, {}", in(reg) control, in(reg) status,
            options(nostack));
    }
}

/// Runs `f` for an interrupted program, whose vector registers its [`super::gates::Frame`] has.
pub fn preserving(f: fn()) {
    with_default_rounding(f);
}

//! The SSE unit's control register, MXCSR, which belongs to the program.

/// Runs `f` with the usual rounding and no floating-point traps, then restores the interrupted
/// program's settings and flags.
pub fn with_default_rounding(f: fn()) {
    /// The value at reset: every trap masked, rounding to the nearest.
    static DEFAULT: u32 = 0x1f80;
    let mut program = 0u32;
    // SAFETY: stores MXCSR, and loads a valid value.
    unsafe {
        core::arch::asm!(
            "stmxcsr [{}]", "ldmxcsr [{}]",
            in(reg) &raw mut program, in(reg) &raw const DEFAULT,
            options(nostack)
        );
    }
    f();
    // SAFETY: loads the value that was there before.
    unsafe { core::arch::asm!("ldmxcsr [{}]", in(reg) &raw const program, options(nostack)) };
}

//! The state of the x87, SSE and AVX units, which belongs to the program.

use super::avx;

/// Runs `f` with default rounding and masked floating-point traps, then restores the interrupted
/// program's settings and flags, and the upper halves of its registers.
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
    avx::preserving(&mut || f());
    // SAFETY: loads the value that was there before.
    unsafe { core::arch::asm!("ldmxcsr [{}]", in(reg) &raw const program, options(nostack)) };
}

/// The memory that `fxsave` fills (Intel SDM volume 1, 10.5.1).
#[repr(C, align(16))]
struct State([u8; 512]);

/// Runs `f` between saving and restoring all registers of the x87 and SSE units. System calls don't
/// need this: they are made by functions. A switch of threads preserves AVX's.
pub fn preserving(f: fn()) {
    let mut state = State([0; 512]);
    // SAFETY: stores 512 bytes, aligned; the units are then as at a function's entry.
    unsafe {
        core::arch::asm!("fxsave64 [{}]", "fninit", in(reg) &raw mut state, options(nostack));
    }
    f();
    // SAFETY: loads what was stored.
    unsafe { core::arch::asm!("fxrstor64 [{}]", in(reg) &raw const state, options(nostack)) };
}

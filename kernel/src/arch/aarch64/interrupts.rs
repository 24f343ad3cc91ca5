//! The processor's mask of interrupts (PSTATE.I), and its halted state.

use core::arch::asm;

/// PSTATE.I, as `daif` has it.
const MASKED: u64 = 1 << 7;

/// Whether interrupts are enabled.
pub fn are_enabled() -> bool {
    let flags: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, daif", out(reg) flags, options(nomem, nostack)) };
    flags & MASKED == 0
}

/// Disables interrupts. Memory accesses stay on their side of the call.
pub fn disable() {
    // SAFETY: interrupts only come later.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
}

/// Enables interrupts.
pub fn enable() {
    // SAFETY: the caller allows what their handlers do.
    unsafe { asm!("msr daifclr, #2", options(nostack)) };
}

/// Waits for an interrupt, which isn't taken if interrupts are disabled.
pub fn halt() {
    // SAFETY: the barrier completes what devices are to see before the processor stops.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) };
}

/// Waits for an interrupt with interrupts disabled, then enables them, which takes it: none is lost
/// between the two.
pub fn enable_and_halt() {
    halt();
    enable();
    // SAFETY: a pending interrupt is taken here at the latest.
    unsafe { asm!("isb", options(nostack)) };
}

/// Runs `f` with interrupts disabled, then restores their state.
pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    let enabled = are_enabled();
    if enabled {
        disable();
    }
    let result = f();
    if enabled {
        enable();
    }
    result
}

//! The virtual timer of the processor (Arm ARM, D12.2), which interrupts when the counter reaches a
//! value.

use core::arch::asm;

/// Interrupts when the counter ([`super::counter`]) reaches `at`, or at once if it has. The
/// interrupt stays pending until the next call.
pub fn set(at: u64) {
    // SAFETY: registers of the timer, which affect no memory.
    unsafe {
        asm!(
            "msr cntv_cval_el0, {}", "mov {enable}, #1", "msr cntv_ctl_el0, {enable}", "isb",
            in(reg) at, enable = out(reg) _, options(nomem, nostack)
        );
    }
}

/// Withdraws its interrupt, and leaves the timer off.
pub fn stop() {
    // SAFETY: as for `set`.
    unsafe { asm!("msr cntv_ctl_el0, xzr", "isb", options(nomem, nostack)) };
}

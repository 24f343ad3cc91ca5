//! The time stamp counter. Source: Intel SDM volume 3, chapter 17.17, and CPUID leaf 0x15.

use core::arch::x86_64::{__cpuid, _rdtsc};

/// The counter's value. It runs at a constant rate, which [`hz`] may know.
pub fn counter() -> u64 {
    // SAFETY: every 64-bit processor has the instruction.
    unsafe { _rdtsc() }
}

/// The counter's rate in Hz by CPUID leaf 0x15, 0 where the leaf is absent or incomplete.
pub fn hz() -> u64 {
    if __cpuid(0).eax < 0x15 {
        return 0;
    }
    let leaf = __cpuid(0x15);
    if leaf.eax == 0 {
        return 0;
    }
    u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax)
}

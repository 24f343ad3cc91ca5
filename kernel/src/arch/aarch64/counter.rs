//! The virtual counter of the generic timer (Arm ARM, chapter D12), which hosts and QEMU keep at
//! one rate.

/// The counter's number in VMClock's page (`VMCLOCK_COUNTER_ARM_VCNT`).
pub const VMCLOCK_ID: u8 = 0;

/// The counter's value.
pub fn counter() -> u64 {
    let value;
    // SAFETY: reads a register. The barrier keeps the read after what precedes it.
    unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) value, options(nostack)) };
    value
}

/// The counter's value after all loads before it have their values.
pub fn ordered() -> u64 {
    counter()
}

/// The counter's rate in Hz, as firmware set it; 0 where it didn't.
pub fn hz() -> u64 {
    let hz: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) hz, options(nomem, nostack)) };
    hz
}

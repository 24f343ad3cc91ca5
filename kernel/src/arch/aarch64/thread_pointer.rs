//! The register of thread-local storage: TPIDR_EL0.

/// The current thread's pointer.
pub fn read() -> u64 {
    let address;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mrs {}, tpidr_el0", out(reg) address, options(nomem, nostack)) };
    address
}

/// Sets the current thread's pointer. Any value is one.
pub fn write(address: u64) -> bool {
    // SAFETY: the register has no effect by itself; the program asked for the value.
    unsafe { core::arch::asm!("msr tpidr_el0, {}", in(reg) address, options(nomem, nostack)) };
    true
}

//! The processor's interface to a GICv3: system registers. Source: Arm's "GIC Architecture
//! Specification, GICv3 and GICv4" (IHI 0069), chapter 12.

use core::arch::asm;

/// Whether the processor has the registers, and uses them after this: ICC_SRE_EL1.SRE.
pub fn enable_registers() -> bool {
    let (features, enabled): (u64, u64);
    // SAFETY: an identification register; the second exists if that says so.
    unsafe {
        asm!("mrs {}, id_aa64pfr0_el1", out(reg) features, options(nomem, nostack));
        if features >> 24 & 15 == 0 {
            return false;
        }
        asm!(
            "mrs {value}, s3_0_c12_c12_5",
            "orr {value}, {value}, #1",
            "msr s3_0_c12_c12_5, {value}",
            "isb",
            "mrs {value}, s3_0_c12_c12_5",
            value = out(reg) enabled, options(nomem, nostack)
        );
    }
    enabled & 1 != 0
}

/// Lets interrupts of all priorities in group 1 reach the processor.
pub fn enable() {
    // SAFETY: ICC_PMR_EL1, ICC_BPR1_EL1, ICC_CTLR_EL1 (an end is one write), ICC_IGRPEN1_EL1.
    unsafe {
        asm!(
            "msr s3_0_c4_c6_0, {mask}",
            "msr s3_0_c12_c12_3, xzr",
            "msr s3_0_c12_c12_4, xzr",
            "msr s3_0_c12_c12_7, {one}",
            "isb",
            mask = in(reg) 0xf0u64, one = in(reg) 1u64, options(nomem, nostack)
        );
    }
}

/// Takes the pending interrupt of the highest priority: its number, from 1020 on none.
pub fn acknowledge() -> u32 {
    let number: u64;
    // SAFETY: ICC_IAR1_EL1. The barrier completes the acknowledgement before what follows.
    unsafe { asm!("mrs {}, s3_0_c12_c12_0", "dsb sy", out(reg) number, options(nostack)) };
    number as u32 & 0xff_ffff
}

/// Ends the interrupt that [`acknowledge`] returned.
pub fn end(number: u32) {
    let number = u64::from(number);
    // SAFETY: ICC_EOIR1_EL1. What the handler wrote to its device comes before.
    unsafe { asm!("dsb sy", "msr s3_0_c12_c12_1, {}", "isb", in(reg) number, options(nostack)) };
}

/// Sends interrupt `number`, below 16, to the processor of this affinity, after all writes to
/// memory before.
pub fn send(affinity: [u8; 4], number: u32) {
    let [first, second, third, fourth] = affinity.map(u64::from);
    let value = 1 << (first & 15)
        | second << 16
        | u64::from(number) << 24
        | third << 32
        | first >> 4 << 44
        | fourth << 48;
    // SAFETY: ICC_SGI1R_EL1.
    unsafe { asm!("dsb sy", "msr s3_0_c12_c11_5, {}", "isb", in(reg) value, options(nostack)) };
}

/// The affinity of the processor, as interrupts are routed by it: 8 bits each, from the lowest.
pub fn affinity() -> [u8; 4] {
    let value: u64;
    // SAFETY: MPIDR_EL1.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) value, options(nomem, nostack)) };
    [
        value as u8,
        (value >> 8) as u8,
        (value >> 16) as u8,
        (value >> 32) as u8,
    ]
}

//! The processor's exceptions: vectors, names, and the signals that Linux sends for them. Source:
//! Intel SDM volume 3, chapter 6.15; Linux's `arch/x86/kernel/traps.c`.

use super::gates::{Frame, MACHINE_CHECK};
use x86_64::registers::model_specific::Msr;

const NAMES: [&str; 20] = [
    "division by zero",
    "debug trap",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid instruction",
    "no x87 unit",
    "double fault",
    "",
    "invalid TSS",
    "segment not present",
    "stack segment fault",
    "general protection fault: an address that isn't canonical, or an instruction that isn't \
    allowed",
    "",
    "",
    "x87 floating-point exception",
    "alignment check",
    "machine check: the processor or the memory has failed",
    "SIMD floating-point exception",
];

/// The status of the first bank of machine checks that has one (Intel SDM volume 3, 16.3.2); 0 for
/// none.
fn bank_status() -> u64 {
    const CAPABILITIES: u32 = 0x179;
    const FIRST_STATUS: u32 = 0x401;
    const NEXT: usize = 4;
    const VALID: u64 = 1 << 63;
    // SAFETY: only processors with these registers have machine checks; reading them has no effect.
    let read = |register| unsafe { Msr::new(register).read() };
    let count = (read(CAPABILITIES) & 0xff) as usize;
    let mut banks = (FIRST_STATUS..).step_by(NEXT).take(count).map(read);
    banks.find(|status| status & VALID != 0).unwrap_or(0)
}

impl Frame {
    /// The name of the exception.
    #[inline(always)]
    pub fn name(&self) -> &'static str {
        let name = NAMES.get(self.vector as usize);
        let name = name.filter(|name| !name.is_empty());
        name.unwrap_or(&"processor exception")
    }

    /// The processor's numbers for the exception, with their names.
    pub fn details(&self) -> [(&'static str, u64); 2] {
        let detail = match self.vector {
            MACHINE_CHECK => ("status", bank_status()),
            _ => ("error", self.error),
        };
        [("vector", self.vector), detail]
    }

    /// The number of the signal that Linux sends a process with this exception.
    #[inline(always)]
    pub fn signal(&self) -> u8 {
        match self.vector {
            // SIGFPE: the divider, x87, SSE.
            0 | 16 | 19 => 8,
            // SIGTRAP: single steps and `int3`.
            1 | 3 => 5,
            // SIGILL.
            6 => 4,
            // SIGBUS: missing segments, alignment.
            11 | 12 | 17 => 7,
            _ => 11,
        }
    }
}

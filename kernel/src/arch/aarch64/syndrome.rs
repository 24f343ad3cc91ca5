//! The syndrome of an exception (ESR_EL1; Arm ARM, D24.2.40).

pub use crate::arch::cause::Cause;

/// In place of a syndrome: an interrupt. Classes have six bits from bit 26 on.
pub const INTERRUPT: u64 = 1 << 63;
/// In place of a syndrome: a fast interrupt, which nothing here asks for.
pub const FAST_INTERRUPT: u64 = 1 << 62;

/// The class of a system call by `svc`.
pub const SYSTEM_CALL: u64 = 0x15;

/// The status of an alignment fault.
const ALIGNMENT: u64 = 0x21;

/// The class.
pub const fn class(syndrome: u64) -> u64 {
    syndrome >> 26 & 0x3f
}

/// The cause of an exception with this syndrome and fault address.
pub fn cause(syndrome: u64, address: u64) -> Cause {
    /// WnR.
    const WRITE: u64 = 1 << 6;
    /// CM: cache maintenance, which is marked as a write and needs only to read.
    const MAINTENANCE: u64 = 1 << 8;
    if syndrome == INTERRUPT {
        return Cause::Interrupt;
    }
    let fetch = match class(syndrome) {
        0x20 | 0x21 => true,
        0x24 | 0x25 => false,
        _ => return Cause::Exception,
    };
    // Translation, access flag and permission faults at any level.
    match syndrome & 0x3f {
        0x04..=0x0f => Cause::PageFault {
            address,
            write: !fetch && syndrome & (WRITE | MAINTENANCE) == WRITE,
            fetch,
        },
        _ => Cause::Exception,
    }
}

/// The name of an exception with this syndrome.
pub fn name(syndrome: u64) -> &'static str {
    match class(syndrome) {
        _ if syndrome == FAST_INTERRUPT => "fast interrupt",
        0x00 => "undefined instruction",
        0x07 => "no floating-point unit",
        0x0d => "branch target exception",
        0x0e => "illegal execution state",
        0x15 => "system call in the kernel",
        0x16 => "hypervisor call that nothing answers",
        0x18 => "system register that isn't accessible",
        0x19 => "SVE instruction: the unit is off",
        0x1c => "pointer authentication failure",
        0x20 | 0x21 => "instruction abort",
        0x22 => "misaligned program counter",
        0x24 | 0x25 if syndrome & 0x3f == ALIGNMENT => "misaligned access",
        0x24 | 0x25 => "data abort",
        0x26 => "misaligned stack pointer",
        0x2c => "floating-point exception",
        0x2f => "system error: a device or memory reported one",
        0x30 | 0x31 => "breakpoint",
        0x32 | 0x33 => "single step",
        0x34 | 0x35 => "watchpoint",
        0x3c => "breakpoint instruction",
        _ => "processor exception",
    }
}

/// The number of the signal that Linux sends a process with such an exception
/// (`arch/arm64/kernel/traps.c`, `arch/arm64/mm/fault.c`).
pub fn signal(syndrome: u64) -> u8 {
    const SIGILL: u8 = 4;
    const SIGTRAP: u8 = 5;
    const SIGBUS: u8 = 7;
    const SIGFPE: u8 = 8;
    const SIGSEGV: u8 = 11;
    match class(syndrome) {
        _ if syndrome == FAST_INTERRUPT => SIGSEGV,
        0x00..=0x1c => SIGILL,
        0x20..=0x26 | 0x2f => SIGBUS,
        0x2c => SIGFPE,
        0x30..=0x3c => SIGTRAP,
        _ => SIGSEGV,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, FAST_INTERRUPT, INTERRUPT, cause, name, signal};

    #[test]
    fn faults_are_told_apart() {
        let fault = |write, fetch| Cause::PageFault {
            address: 0x1000,
            write,
            fetch,
        };
        // Data abort at EL1, translation fault at level 3, read and write.
        assert_eq!(cause(0x9600_0007, 0x1000), fault(false, false));
        assert_eq!(cause(0x9600_0047, 0x1000), fault(true, false));
        // Permission fault of a write, and of a cache maintenance instruction.
        assert_eq!(cause(0x9600_004f, 0x1000), fault(true, false));
        assert_eq!(cause(0x9600_0147, 0x1000), fault(false, false));
        // Instruction abort: bit 6 has no meaning there.
        assert_eq!(cause(0x8600_000f, 0x1000), fault(false, true));
        // Alignment, an external abort, an undefined instruction.
        for other in [0x9600_0021, 0x9600_0010, 0x0200_0000, FAST_INTERRUPT] {
            assert_eq!(cause(other, 0), Cause::Exception, "{other:#x}");
        }
        assert_eq!(cause(INTERRUPT, 0), Cause::Interrupt);
    }

    #[test]
    fn signals_are_linuxs() {
        assert_eq!(signal(0x0200_0000), 4);
        assert_eq!(signal(0xf200_0001), 5);
        assert_eq!(signal(0x9600_0021), 7);
        assert_eq!(name(0x9600_0021), "misaligned access");
        // `hvc #1`.
        assert_eq!(signal(0x5a00_0001), 4);
        assert_eq!(name(0x5a00_0001), "hypervisor call that nothing answers");
    }
}

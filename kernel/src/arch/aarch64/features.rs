//! Identification registers and instruction words, by their bits.

/// Features for the auxiliary vector, of a processor with these ID_AA64ISAR0_EL1 and
/// ID_AA64PFR0_EL1, as Linux numbers them (`asm/hwcap.h`).
pub fn hwcap(features: u64, units: u64) -> u64 {
    let field = |at: u32| features >> at & 15;
    let has = |bit: u32, there: bool| u64::from(there) << bit;
    let unit = |at: u32| units >> at & 15 != 15;
    has(0, unit(16))
        | has(1, unit(20))
        | has(3, field(4) >= 1)
        | has(4, field(4) >= 2)
        | has(5, field(8) >= 1)
        | has(6, field(12) >= 1)
        | has(7, field(16) >= 1)
        | has(8, field(20) >= 2)
}

/// Whether QEMU translates the instructions of a processor that isn't KVM's, with this rate of the
/// counter and this MIDR_EL1: QEMU's own rates are 62.5 MHz, and 1 GHz for `max`. Processors from
/// Armv8.6 on count with 1 GHz, too, under other hypervisors.
pub fn is_translated(hz: u64, kind: u64) -> bool {
    /// Implementer 0, architecture by registers, part `Q`.
    const MAX: u64 = 0x000f_0510;
    /// Not the variant and the revision.
    const PART: u64 = 0xff0f_fff0;
    hz == 62_500_000 || hz == 1_000_000_000 && kind & PART == MAX & PART
}

/// Whether these bytes of code end with a call: `bl`, `blr` or its forms with pointer
/// authentication (Arm ARM, C4.1).
pub fn ends_with_call(before: &[u8; 8]) -> bool {
    let [.., a, b, c, d] = *before;
    let word = u32::from_le_bytes([a, b, c, d]);
    word >> 26 == 0b10_0101 || word & 0xfe_ff_f0_00 == 0xd6_3f_00_00
}

#[cfg(test)]
mod tests {
    use super::{ends_with_call, hwcap, is_translated};

    #[test]
    fn a_rate_of_a_gigahertz_is_qemus_on_its_own_processor_only() {
        const APPLE: u64 = 0x610f_0220;
        const NEOVERSE_V2: u64 = 0x410f_d4f0;
        const CORTEX_A72: u64 = 0x410f_d083;
        for (hz, kind, expected) in [
            (1_000_000_000, 0x000f_0510, true),
            (1_000_000_000, NEOVERSE_V2, false),
            (1_000_000_000, APPLE, false),
            (62_500_000, CORTEX_A72, true),
            (24_000_000, APPLE, false),
        ] {
            assert_eq!(is_translated(hz, kind), expected, "{hz} {kind:#x}");
        }
    }

    fn code(last: u32) -> [u8; 8] {
        let word = u64::from(last) << 32 | 0x9400_0000;
        word.to_le_bytes()
    }

    #[test]
    fn calls_are_recognised() {
        for call in [
            0x9400_0000u32,
            0x97ff_ffff,
            0xd63f_0000,
            0xd63f_03c0,
            0xd73f_0801,
        ] {
            assert!(ends_with_call(&code(call)), "{call:#x}");
        }
        // A jump, a return, a jump by a register, a load.
        for other in [0x1400_0000u32, 0xd65f_03c0, 0xd61f_0000, 0xf940_0000] {
            assert!(!ends_with_call(&code(other)), "{other:#x}");
        }
    }

    #[test]
    fn features_are_numbered_as_linux_does() {
        // Cortex-A72 with its cryptography.
        assert_eq!(hwcap(0x1_1120, 0x2222), 0xfb);
        // Neoverse N1 has large atomics; units are absent with all bits set.
        assert_eq!(hwcap(0x20_0000, 0xff << 16), 1 << 8);
    }
}

//! The processor's random numbers: RDSEED, or else RDRAND. Source: Intel's "Digital Random Number
//! Generator (DRNG) Software Implementation Guide".

use core::arch::x86_64::{__cpuid, __cpuid_count};

/// The names of the instructions, all or of the one that QEMU's `max` has, for messages.
macro_rules! instructions {
    (all) => {
        "RDRAND or RDSEED"
    };
    (one) => {
        "RDRAND"
    };
}
pub(crate) use instructions;

/// Fills `buffer`; false if the processor has neither instruction, or they fail.
pub fn fill(buffer: &mut [u8]) -> bool {
    let has_seed = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 << 18 != 0;
    let has_rand = __cpuid(1).ecx & 1 << 30 != 0;
    if !has_seed && !has_rand {
        return false;
    }
    buffer
        .chunks_mut(8)
        .all(|chunk| match word(has_seed, has_rand) {
            Some(word) => {
                chunk
                    .iter_mut()
                    .zip(word.to_le_bytes())
                    .for_each(|(slot, byte)| *slot = byte);
                true
            }
            None => false,
        })
}

fn word(has_seed: bool, has_rand: bool) -> Option<u64> {
    /// RDSEED may be out of entropy for a while; RDRAND fails ten times in a row only when broken
    /// (Intel's guide).
    const TRIES: u32 = 64;
    for _ in 0..TRIES {
        let (value, ok): (u64, u8);
        // SAFETY: CPUID reports the instructions, and they change registers only.
        unsafe {
            if has_seed {
                core::arch::asm!("rdseed {}; setc {}", out(reg) value, out(reg_byte) ok);
            } else {
                core::arch::asm!("rdrand {}; setc {}", out(reg) value, out(reg_byte) ok);
            }
        }
        if ok != 0 {
            return Some(value);
        }
    }
    if has_seed && has_rand {
        word(false, true)
    } else {
        None
    }
}

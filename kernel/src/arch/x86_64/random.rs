//! The processor's random numbers: RDSEED and RDRAND. Source: Intel's "Digital Random Number
//! Generator (DRNG) Software Implementation Guide".

use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicU8, Ordering};

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

const SEED: u8 = 1 << 0;
const RAND: u8 = 1 << 1;

/// The instructions that the processor has. CPUID is read once: each read may be an exit from the
/// virtual machine.
fn available() -> u8 {
    const KNOWN: u8 = 1 << 7;
    /// 0 before the first call. Any processor may store it.
    static AVAILABLE: AtomicU8 = AtomicU8::new(0);
    let known = AVAILABLE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let has_seed = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 << 18 != 0;
    let has_rand = __cpuid(1).ecx & 1 << 30 != 0;
    let found = KNOWN | if has_seed { SEED } else { 0 } | if has_rand { RAND } else { 0 };
    AVAILABLE.store(found, Ordering::Relaxed);
    found
}

/// Fills `buffer` with numbers to seed a generator, by RDSEED or else RDRAND; false if the
/// processor has neither instruction, or they fail.
pub fn fill(buffer: &mut [u8]) -> bool {
    let available = available();
    fill_by(buffer, || {
        word(available & SEED).or_else(|| word(available & RAND))
    })
}

/// The same for numbers that differ from those of each other machine: by RDRAND or else RDSEED,
/// which takes longer.
pub fn refresh(buffer: &mut [u8]) -> bool {
    let available = available();
    fill_by(buffer, || {
        word(available & RAND).or_else(|| word(available & SEED))
    })
}

fn fill_by(buffer: &mut [u8], word: impl Fn() -> Option<u64>) -> bool {
    buffer.chunks_mut(8).all(|chunk| match word() {
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

/// A number by this instruction; `None` if it fails, or is 0: none.
fn word(instruction: u8) -> Option<u64> {
    /// RDSEED may be out of entropy for a while; RDRAND fails ten times in a row only when broken
    /// (Intel's guide).
    const TRIES: u32 = 64;
    if instruction == 0 {
        return None;
    }
    for _ in 0..TRIES {
        let (value, ok): (u64, u8);
        // SAFETY: the processor has the instruction, which changes registers only.
        unsafe {
            if instruction == SEED {
                core::arch::asm!("rdseed {}; setc {}", out(reg) value, out(reg_byte) ok);
            } else {
                core::arch::asm!("rdrand {}; setc {}", out(reg) value, out(reg_byte) ok);
            }
        }
        if ok != 0 {
            return Some(value);
        }
    }
    None
}

//! The processor's random numbers: FEAT_RNG's RNDRRS and RNDR (Arm ARM, K12.1).

use core::sync::atomic::{AtomicU8, Ordering};

/// The names of the instructions, all or of the one that QEMU's `max` has, for messages.
macro_rules! instructions {
    (all) => {
        "RNDR"
    };
    (one) => {
        "RNDR"
    };
}
pub(crate) use instructions;

/// Fills `buffer` with numbers to seed a generator; false if the processor has no such instruction,
/// or it fails.
pub fn fill(buffer: &mut [u8]) -> bool {
    is_supported() && fill_by(buffer, || word(true).or_else(|| word(false)))
}

/// The same for numbers that differ from those of each other machine: by RNDR alone, which doesn't
/// wait for the source.
pub fn refresh(buffer: &mut [u8]) -> bool {
    is_supported() && fill_by(buffer, || word(false))
}

fn fill_by(buffer: &mut [u8], word: impl Fn() -> Option<u64>) -> bool {
    buffer.chunks_mut(8).all(|chunk| {
        let Some(word) = word() else {
            return false;
        };
        let bytes = word.to_le_bytes();
        chunk
            .iter_mut()
            .zip(bytes)
            .for_each(|(slot, byte)| *slot = byte);
        true
    })
}

/// ID_AA64ISAR0_EL1.RNDR. Read once: each read may be an exit from the virtual machine.
fn is_supported() -> bool {
    /// 0 before the first call, then 1 for false and 2 for true. Any processor may store it.
    static ANSWER: AtomicU8 = AtomicU8::new(0);
    match ANSWER.load(Ordering::Relaxed) {
        0 => {
            let features: u64;
            // SAFETY: reads an identification register.
            unsafe {
                core::arch::asm!(
                    "mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack)
                );
            }
            let supported = features >> 60 != 0;
            ANSWER.store(1 + u8::from(supported), Ordering::Relaxed);
            supported
        }
        answer => answer == 2,
    }
}

/// A number, by RNDRRS if `reseeded`, else by RNDR.
fn word(reseeded: bool) -> Option<u64> {
    /// The instructions fail while their source is exhausted.
    const TRIES: u32 = 64;
    for _ in 0..TRIES {
        let (value, ok): (u64, u64);
        // SAFETY: the processor has the registers; reads change the condition flags only.
        unsafe {
            if reseeded {
                core::arch::asm!(
                    "mrs {}, s3_3_c2_c4_1", "cset {}, ne", out(reg) value, out(reg) ok,
                    options(nomem, nostack)
                );
            } else {
                core::arch::asm!(
                    "mrs {}, s3_3_c2_c4_0", "cset {}, ne", out(reg) value, out(reg) ok,
                    options(nomem, nostack)
                );
            }
        }
        if ok != 0 {
            return Some(value);
        }
    }
    None
}

//! The processor's random numbers: FEAT_RNG's RNDRRS and RNDR (Arm ARM, K12.1).

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

/// Fills `buffer`; false if the processor has no such instruction, or it fails.
pub fn fill(buffer: &mut [u8]) -> bool {
    if !is_supported() {
        return false;
    }
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

/// ID_AA64ISAR0_EL1.RNDR.
fn is_supported() -> bool {
    let features: u64;
    // SAFETY: reads an identification register.
    unsafe {
        core::arch::asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack));
    }
    features >> 60 != 0
}

fn word() -> Option<u64> {
    /// The instructions fail while their source is exhausted.
    const TRIES: u32 = 64;
    for reseeded in (0..TRIES).map(|_| true).chain((0..TRIES).map(|_| false)) {
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

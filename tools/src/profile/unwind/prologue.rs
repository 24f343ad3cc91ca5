//! The first instructions of a function of aarch64, which allocate its frame and save registers.
//!
//! Encodings: Arm's Architecture Reference Manual (DDI 0487), C6.2.

/// The number of instructions to read. GCC allocates the frame in the first few, or behind the
/// first tests of a function that can return early.
const MAX_INSTRUCTIONS: usize = 64;
const SP: u32 = 31;

/// The frame of a function at an instruction behind these.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prologue {
    /// Its bytes.
    pub size: u64,
    /// The registers saved, each with the distance of its place from the frame's upper end.
    pub saved: Vec<(usize, u64)>,
}

/// An instruction that writes registers to the stack, or allocates some.
#[derive(Clone, Copy)]
struct Step {
    /// The bytes that it allocates, before it writes.
    size: u64,
    /// The offset of the first register from the stack pointer, and the registers.
    stores: (u64, [Option<u32>; 2]),
}

impl Prologue {
    /// Reads the instructions of a function before the one at which the thread stopped.
    pub fn of(code: &[u8]) -> Self {
        let mut prologue = Self::default();
        let (words, _) = code.as_chunks();
        for word in words.iter().take(MAX_INSTRUCTIONS) {
            let word = u32::from_le_bytes(*word);
            if is_call(word) {
                // The body has begun, and its stores aren't those of the caller's registers.
                break;
            }
            if let Some(step) = step(word) {
                prologue.add(step);
            }
        }
        prologue
    }

    fn add(&mut self, step: Step) {
        self.size = self.size.saturating_add(step.size);
        let (offset, registers) = step.stores;
        for (register, at) in registers
            .into_iter()
            .zip([offset, offset.saturating_add(8)])
        {
            let Some(register) = register.map(|number| number as usize) else {
                continue;
            };
            // A second store is one of the body.
            let is_new = self.saved.iter().all(|(other, _)| *other != register);
            if let Some(below) = self.size.checked_sub(at).filter(|_| is_new) {
                self.saved.push((register, below));
            }
        }
    }
}

/// Whether the code's first instruction is a call: BL, BLR, or BLRAA and its variants.
pub fn starts_with_call(code: &[u8]) -> bool {
    let (words, _) = code.as_chunks();
    words
        .first()
        .is_some_and(|word| is_call(u32::from_le_bytes(*word)))
}

fn is_call(word: u32) -> bool {
    word & 0xfc00_0000 == 0x9400_0000
        || word & 0xffff_fc1f == 0xd63f_0000
        || word & 0xfeff_f800 == 0xd63f_0800
}

/// The registers whose values belong to the caller (AAPCS64): x19 to x30.
fn kept(register: u32) -> Option<u32> {
    (19..=30).contains(&register).then_some(register)
}

fn step(word: u32) -> Option<Step> {
    let field = |at: u32, bits: u32| word >> at & ((1 << bits) - 1);
    let (base, first, second) = (field(5, 5), field(0, 5), field(10, 5));
    if base != SP {
        return None;
    }
    // The two's complement of a negative offset.
    let allocated = |at: u32, bits: u32, scale: u64| {
        let value = u64::from(field(at, bits));
        let all = 1 << bits;
        (value >= all / 2).then(|| (all - value) * scale)
    };
    let pair = [kept(first), kept(second)];
    let single = [kept(first), None];
    let (size, stores) = match word {
        // STP, before which the stack pointer decreases.
        _ if word & 0xffc0_0000 == 0xa980_0000 => (allocated(15, 7, 8)?, (0, pair)),
        // STP with an offset.
        _ if word & 0xffc0_0000 == 0xa900_0000 && field(21, 1) == 0 => {
            (0, (u64::from(field(15, 7)) * 8, pair))
        }
        // STR, before which the stack pointer decreases.
        _ if word & 0xffe0_0c00 == 0xf800_0c00 => (allocated(12, 9, 1)?, (0, single)),
        // STR with an offset.
        _ if word & 0xffc0_0000 == 0xf900_0000 => (0, (u64::from(field(10, 12)) * 8, single)),
        // SUB sp, sp, #, with or without a shift by 12 bits.
        _ if word & 0xff80_03ff == 0xd100_03ff => {
            let size = u64::from(field(10, 12)) << (12 * field(22, 1));
            (size, (0, [None, None]))
        }
        _ => return None,
    };
    Some(Step { size, stores })
}

#[cfg(test)]
mod tests {
    use super::{Prologue, starts_with_call};

    fn of(words: &[u32]) -> Prologue {
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Prologue::of(&code)
    }

    #[test]
    fn a_leaf_has_no_frame() {
        // ldr w1, [x3, #140]; mul x21, x1, x2; str x0, [x19, #8].
        assert_eq!(
            of(&[0xb940_8c61, 0x9b02_7c35, 0xf900_0660]),
            Prologue::default()
        );
    }

    #[test]
    fn a_frame_holds_the_registers_that_were_saved() {
        // The start of musl's fwrite: paciasp; stp x29, x30, [sp, #-64]!; cmp x1, #0; mov x29, sp;
        // stp x19, x20, [sp, #16].
        let begin = [
            0xd503_233f,
            0xa9bc_7bfd,
            0xf100_003f,
            0x9100_03fd,
            0xa901_53f3,
        ];
        let prologue = of(&begin);
        assert_eq!(prologue.size, 64);
        assert_eq!(prologue.saved, [(29, 64), (30, 56), (19, 48), (20, 40)]);
        assert_eq!(of(&begin[..1]), Prologue::default());
    }

    #[test]
    fn a_large_frame_is_allocated_first() {
        // sub sp, sp, #0x1, lsl #12; sub sp, sp, #0x60; stp x29, x30, [sp, #16]; str x21, [sp,
        // #32].
        let prologue = of(&[0xd140_07ff, 0xd101_83ff, 0xa901_7bfd, 0xf900_13f5]);
        assert_eq!(prologue.size, 0x1060);
        let saved = [(29, 0x1050), (30, 0x1048), (21, 0x1040)];
        assert_eq!(prologue.saved, saved);
        // str x30, [sp, #-16]!.
        assert_eq!(of(&[0xf81f_0ffe]).saved, [(30, 16)]);
    }

    #[test]
    fn stores_of_the_body_are_none_of_the_caller_s() {
        // stp x29, x30, [sp, #-32]!; bl; str x30, [sp, #16]; stp x19, x20, [sp, #16].
        let prologue = of(&[0xa9be_7bfd, 0x9400_0001, 0xf900_0bfe, 0xa901_53f3]);
        assert_eq!(prologue.saved, [(29, 32), (30, 24)]);
        // str x0, [sp, #8]; a second str x30.
        assert_eq!(
            of(&[0xa9be_7bfd, 0xf900_07e0, 0xf900_0bfe]).saved,
            [(29, 32), (30, 24)]
        );
    }

    #[test]
    fn calls_are_bl_and_blr() {
        for (word, is_call) in [
            (0x9400_0001_u32, true),
            (0x97ff_ffff, true),
            (0xd63f_0020, true),
            (0xd73f_0820, true),
            (0x1400_0001, false),
            (0xd61f_0020, false),
            (0xd65f_03c0, false),
        ] {
            assert_eq!(starts_with_call(&word.to_le_bytes()), is_call, "{word:#x}");
        }
        assert!(!starts_with_call(&[0; 3]));
    }
}

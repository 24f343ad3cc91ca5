//! Hashes of names in indexed directories (kernel documentation, "Hash Tree Directories"): the
//! legacy hash, half MD4 and TEA. Each treats characters as signed or unsigned, according to the
//! superblock.

/// Hash function of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hasher {
    /// 0 for the legacy hash, 1 for half MD4, 2 for TEA.
    pub version: u8,
    pub unsigned: bool,
    pub seed: [u32; 4],
}

/// Largest hash, which marks the end of a directory.
const END: u32 = 0x7fff_ffff << 1;

/// Hash of a name: the key of the index (with its lowest bit clear), and the minor hash, which
/// orders names with the same key.
pub type Hash = (u32, u32);

impl Hasher {
    /// Returns the hash of `name`; `None` for an unknown version.
    pub fn hash(&self, name: &[u8]) -> Option<Hash> {
        let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        if self.seed != [0; 4] {
            state = self.seed;
        }
        let (major, minor) = match self.version {
            0 => (self.legacy(name), 0),
            1 => {
                for piece in pieces(name, 32) {
                    half_md4(&mut state, &self.words::<8>(piece));
                }
                (state[1], state[2])
            }
            2 => {
                for piece in pieces(name, 16) {
                    tea(&mut state, &self.words::<4>(piece));
                }
                (state[0], state[1])
            }
            _ => return None,
        };
        let major = major & !1;
        Some((if major == END { END - 2 } else { major }, minor))
    }

    fn character(&self, byte: u8) -> u32 {
        if self.unsigned {
            u32::from(byte)
        } else {
            byte as i8 as u32
        }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut last, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
        for byte in name {
            let mixed = last ^ self.character(*byte).wrapping_mul(7_152_373);
            let mut next = before.wrapping_add(mixed);
            if next & 0x8000_0000 != 0 {
                next = next.wrapping_sub(0x7fff_ffff);
            }
            (before, last) = (last, next);
        }
        last << 1
    }

    /// Converts up to `4 N` characters to big-endian words; the length of the rest pads them.
    fn words<const N: usize>(&self, rest: &[u8]) -> [u32; N] {
        let pad = rest.len() as u8;
        let pad = u32::from_ne_bytes([pad; 4]);
        let mut words = [pad; N];
        let (taken, _) = rest.split_at(rest.len().min(4 * N));
        for (word, four) in words.iter_mut().zip(taken.chunks(4)) {
            *word = match four {
                // ASCII is the same, signed or not.
                [a, b, c, d] if a | b | c | d < 0x80 => u32::from_be_bytes([*a, *b, *c, *d]),
                _ => four.iter().fold(pad, |word, byte| {
                    self.character(*byte).wrapping_add(word << 8)
                }),
            };
        }
        words
    }
}

/// Returns the rest of a name at each step of `len`.
fn pieces(name: &[u8], len: usize) -> impl Iterator<Item = &[u8]> {
    (0..name.len()).step_by(len).filter_map(|at| name.get(at..))
}

/// Four steps of MD4: each mixes one word into one part of the state. Unrolled, because loops over
/// tables of words and shifts take several times as long, and a listing hashes every name.
#[inline(always)]
fn steps(
    [a, b, c, d]: [u32; 4],
    mix: impl Fn(u32, u32, u32) -> u32,
    constant: u32,
    words: [u32; 4],
    shifts: [u32; 4],
) -> [u32; 4] {
    let step = |a: u32, mixed: u32, word: u32, shift: u32| {
        let sum = a.wrapping_add(mixed).wrapping_add(word);
        sum.wrapping_add(constant).rotate_left(shift)
    };
    let a = step(a, mix(b, c, d), words[0], shifts[0]);
    let d = step(d, mix(a, b, c), words[1], shifts[1]);
    let c = step(c, mix(d, a, b), words[2], shifts[2]);
    let b = step(b, mix(c, d, a), words[3], shifts[3]);
    [a, b, c, d]
}

fn half_md4(state: &mut [u32; 4], words: &[u32; 8]) {
    let [w0, w1, w2, w3, w4, w5, w6, w7] = *words;
    let choose = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let majority = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let parity = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let mut s = *state;
    s = steps(s, choose, 0, [w0, w1, w2, w3], [3, 7, 11, 19]);
    s = steps(s, choose, 0, [w4, w5, w6, w7], [3, 7, 11, 19]);
    s = steps(s, majority, 0x5a82_7999, [w1, w3, w5, w7], [3, 5, 9, 13]);
    s = steps(s, majority, 0x5a82_7999, [w0, w2, w4, w6], [3, 5, 9, 13]);
    s = steps(s, parity, 0x6ed9_eba1, [w3, w7, w2, w6], [3, 9, 11, 15]);
    s = steps(s, parity, 0x6ed9_eba1, [w1, w5, w0, w4], [3, 9, 11, 15]);
    for (word, add) in state.iter_mut().zip(s) {
        *word = word.wrapping_add(add);
    }
}

fn tea(state: &mut [u32; 4], words: &[u32; 4]) {
    let [a, b, c, d] = *words;
    let [mut x, mut y, ..] = *state;
    let mut sum = 0u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        x = x.wrapping_add(
            (y << 4).wrapping_add(a) ^ y.wrapping_add(sum) ^ (y >> 5).wrapping_add(b),
        );
        y = y.wrapping_add(
            (x << 4).wrapping_add(c) ^ x.wrapping_add(sum) ^ (x >> 5).wrapping_add(d),
        );
    }
    let [first, second, ..] = state;
    *first = first.wrapping_add(x);
    *second = second.wrapping_add(y);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values of `debugfs -R "dx_hash -h half_md4 -s 01234567-89ab-cdef-0123-456789abcdef
    /// NAME"`.
    #[test]
    fn known_values() {
        let seed = [0x6745_2301, 0xefcd_ab89, 0x6745_2301, 0xefcd_ab89];
        let long = "a rather long name with spaces and more than thirty-two letters.html";
        let known = [
            (0, "a", 0xe74b_53e2, 0),
            (0, "hello world", 0xe0a6_a922, 0),
            (0, "naïve Übung.txt", 0x8bc5_72da, 0),
            (0, long, 0x9ae5_f7d0, 0),
            (1, "a", 0x35dc_0cc4, 0x3f1d_acef),
            (1, "hello world", 0xcb08_f304, 0x10e7_b580),
            (1, "naïve Übung.txt", 0xcbb6_8064, 0x776b_134c),
            (1, long, 0x75f2_bd22, 0x3aec_52bb),
            (2, "a", 0x6d0e_a4c0, 0xc189_22df),
            (2, "hello world", 0x0901_2b8e, 0x8078_fb31),
            (2, "naïve Übung.txt", 0xa7d3_17de, 0x07c6_c137),
            (2, long, 0x496c_444e, 0x27ed_c830),
        ];
        for (version, name, major, minor) in known {
            let hasher = Hasher {
                version,
                unsigned: false,
                seed,
            };
            assert_eq!(
                hasher.hash(name.as_bytes()),
                Some((major, minor)),
                "{version} {name}"
            );
        }
    }
}

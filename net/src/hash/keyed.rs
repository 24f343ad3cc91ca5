//! A keyed hash for tables whose keys peers choose.

use core::hash::{BuildHasher, Hasher};

/// A keyed hash by folded multiplication: a few instructions per word, and unpredictable without
/// the key, which is drawn at start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedHash {
    key: [u64; 2],
}

impl KeyedHash {
    pub(crate) fn new(random: &mut dyn FnMut() -> u64) -> KeyedHash {
        // Odd, so that no multiplication loses a factor of two.
        KeyedHash {
            key: [random(), random() | 1],
        }
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = FoldedHasher;

    fn build_hasher(&self) -> FoldedHasher {
        FoldedHasher {
            state: self.key[0],
            factor: self.key[1],
        }
    }
}

/// The state of one hash.
pub(crate) struct FoldedHasher {
    state: u64,
    factor: u64,
}

impl Hasher for FoldedHasher {
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64) ^ ((product >> 64) as u64).rotate_left(23);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        // hashbrown uses the top seven bits and the lowest ones.
        self.state ^ self.state >> 29
    }
}

//! The seed of a generator that the loader hands over, until it is taken. The loader's copy is
//! erased: its memory becomes the program's.

use core::sync::atomic::{AtomicU64, Ordering};
use firmware::SEED;

/// A seed.
pub type Seed = [u8; SEED];

/// The seed until [`take`]; zeros for none.
static KEPT: [AtomicU64; SEED / 8] = [const { AtomicU64::new(0) }; SEED / 8];

/// Keeps a seed of the loader.
pub fn keep(seed: &Seed) {
    for (word, bytes) in KEPT.iter().zip(seed.as_chunks().0) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
}

/// Mixes the loader's seed into `seed`, once: it is gone then. Returns whether there was one.
pub fn take(seed: &mut Seed) -> bool {
    let words = KEPT.each_ref().map(|word| word.swap(0, Ordering::Relaxed));
    let bytes = words.map(u64::to_le_bytes);
    mix(seed, bytes.as_flattened());
    words != [0; SEED / 8]
}

/// Adds random bytes to others: by exclusive or, again from the beginning once they are all
/// reached.
pub fn mix(into: &mut [u8], from: &[u8]) {
    for chunk in from.chunks(into.len()) {
        into.iter_mut()
            .zip(chunk)
            .for_each(|(to, from)| *to ^= from);
    }
}

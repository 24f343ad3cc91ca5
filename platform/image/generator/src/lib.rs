//! The image's generator of random numbers: ChaCha20 with fast key erasure, and its reseeding.
//!
//! Each batch of the key stream begins with the key of the next one ("fast key erasure", D. J.
//! Bernstein, 2017-07-23), and returned numbers are zeroed: a view of the machine's memory reveals
//! no earlier numbers. A seed is mixed in, so that a known one makes nothing worse. As in Linux,
//! the generator reseeds every minute, and at once when the machine resumes from a snapshot, of
//! which another may resume as well ([`Watch`]).

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate alloc;

use rand_chacha::ChaCha20Core;
use rand_chacha::rand_core::SeedableRng;
use rand_chacha::rand_core::block::Generator as _;

/// Bytes of a seed and of a key.
pub const SEED: usize = 32;
const KEY_WORDS: usize = SEED / 4;
/// Words of a batch.
const WORDS: usize = 64;

/// ChaCha20 with fast key erasure.
pub struct Generator {
    core: ChaCha20Core,
    batch: [u32; WORDS],
    /// Number of words of the batch that were returned.
    used: usize,
}

impl Generator {
    /// A generator with this key.
    pub fn new(seed: [u8; SEED]) -> Generator {
        Generator {
            core: ChaCha20Core::from_seed(seed),
            batch: [0; WORDS],
            used: WORDS,
        }
    }

    /// The next batch, whose head becomes the next key together with `seed`.
    fn refill(&mut self, seed: [u8; SEED]) {
        self.core.generate(&mut self.batch);
        let mut key = seed;
        for (bytes, word) in key.chunks_exact_mut(4).zip(&mut self.batch) {
            let word = core::mem::take(word).to_le_bytes();
            bytes
                .iter_mut()
                .zip(word)
                .for_each(|(to, from)| *to ^= from);
        }
        self.core = ChaCha20Core::from_seed(key);
        self.used = KEY_WORDS;
    }

    /// Mixes `seed` into the key. Numbers generated in advance are discarded.
    pub fn reseed(&mut self, seed: [u8; SEED]) {
        self.refill(seed);
        self.batch.fill(0);
        self.used = WORDS;
    }

    /// Fills `into`.
    pub fn fill(&mut self, into: &mut [u8]) {
        for chunk in into.chunks_mut(4) {
            if self.used >= WORDS {
                self.refill([0; SEED]);
            }
            if let Some(word) = self.batch.get_mut(self.used) {
                let word = core::mem::take(word).to_le_bytes();
                chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
            }
            self.used += 1;
        }
    }
}

/// Lifetime of a seed, in nanoseconds; Linux: `CRNG_RESEED_INTERVAL`.
const RESEED_NS: u64 = 60_000_000_000;
/// Interval between reads of the time of day, which is expensive.
const POLL_NS: u64 = 500_000_000;
/// Minimum step of the time of day against the monotonic clock that counts: a machine's clock has
/// whole seconds.
const STEP_NS: u64 = 1_100_000_000;

/// Why the generator needs a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reseed {
    /// The machine resumed from a snapshot: before the next number.
    Now,
    /// The last one is old: when one is available.
    Soon,
}

/// Detects a suspension of the machine.
pub struct Watch {
    /// The machine's generation ID (VMGENID), if it has one: it changes when the machine resumes
    /// from a snapshot.
    id: Option<[u64; 2]>,
    /// Time of day minus monotonic time, if the machine has a clock.
    base_ns: Option<i64>,
    look_at_ns: u64,
    seed_at_ns: u64,
}

impl Watch {
    /// Starts at monotonic time `now_ns`, with the first seed.
    pub fn new(now_ns: u64, id: Option<[u64; 2]>, wall: impl FnOnce() -> Option<u64>) -> Watch {
        let mut watch = Watch {
            id,
            base_ns: None,
            look_at_ns: now_ns,
            seed_at_ns: now_ns + RESEED_NS,
        };
        watch.check(now_ns, id, wall);
        watch
    }

    /// Checks whether this is another machine than at the last call, by its identifier or else by
    /// its clocks.
    fn check(
        &mut self,
        now_ns: u64,
        id: Option<[u64; 2]>,
        wall: impl FnOnce() -> Option<u64>,
    ) -> bool {
        if id.is_some() {
            return core::mem::replace(&mut self.id, id) != id;
        }
        if now_ns < self.look_at_ns {
            return false;
        }
        self.look_at_ns = now_ns + POLL_NS;
        let base = wall().map(|wall| (wall as i64).wrapping_sub(now_ns as i64));
        let before = core::mem::replace(&mut self.base_ns, base);
        before
            .zip(base)
            .is_some_and(|(before, base)| before.abs_diff(base) >= STEP_NS)
    }

    /// Call it before each number: `now_ns` is the monotonic time, `id` the machine's identifier,
    /// if it has one, and `wall` the time of day by the machine's own clock.
    pub fn wants(
        &mut self,
        now_ns: u64,
        id: Option<[u64; 2]>,
        wall: impl FnOnce() -> Option<u64>,
    ) -> Option<Reseed> {
        if self.check(now_ns, id, wall) {
            self.seed_at_ns = now_ns + RESEED_NS;
            return Some(Reseed::Now);
        }
        (now_ns >= self.seed_at_ns).then(|| {
            self.seed_at_ns = now_ns + RESEED_NS;
            Reseed::Soon
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Generator, KEY_WORDS, POLL_NS, RESEED_NS, Reseed, SEED, Watch};
    use alloc::vec;
    use rand_chacha::ChaCha20Core;
    use rand_chacha::rand_core::SeedableRng;
    use rand_chacha::rand_core::block::Generator as _;

    const SECOND: u64 = 1_000_000_000;
    const ID: Option<[u64; 2]> = Some([1, 2]);

    fn draw(generator: &mut Generator, len: usize) -> vec::Vec<u8> {
        let mut bytes = vec![0; len];
        generator.fill(&mut bytes);
        bytes
    }

    #[test]
    fn it_is_chacha20_and_its_next_key_is_never_given() {
        let mut reference = ChaCha20Core::from_seed([7; SEED]);
        let mut words = [0u32; 64];
        let mut expected = vec![];
        for _ in 0..3 {
            reference.generate(&mut words);
            let bytes: vec::Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            expected.extend_from_slice(&bytes[SEED..]);
            let key: [u8; SEED] = bytes[..SEED].try_into().expect("32 bytes");
            reference = ChaCha20Core::from_seed(key);
        }
        let mut generator = Generator::new([7; SEED]);
        let bytes = draw(&mut generator, expected.len());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn nothing_given_stays_in_memory() {
        let mut generator = Generator::new([7; SEED]);
        draw(&mut generator, 40);
        assert!(
            generator.batch[..KEY_WORDS + 10]
                .iter()
                .all(|word| *word == 0)
        );
        assert!(
            generator.batch[KEY_WORDS + 10..]
                .iter()
                .all(|word| *word != 0)
        );
        // Nor the initial key: a copy of the machine's memory can't be used to go back.
        let mut reference = ChaCha20Core::from_seed([7; SEED]);
        let mut words = [0u32; 64];
        reference.generate(&mut words);
        let mut now = [0u32; 64];
        generator.core.generate(&mut now);
        assert_ne!(now, words);
        generator.reseed([0; SEED]);
        assert!(generator.batch.iter().all(|word| *word == 0));
    }

    #[test]
    fn odd_lengths_are_filled_whole() {
        let mut generator = Generator::new([9; SEED]);
        let drawn: vec::Vec<_> = (0..600).map(|len| draw(&mut generator, len)).collect();
        for bytes in drawn.iter().filter(|bytes| bytes.len() >= 16) {
            assert!(bytes[bytes.len() - 8..].iter().any(|byte| *byte != 0));
        }
        let zeros = drawn.iter().flatten().filter(|byte| **byte == 0).count();
        let all = 600 * 599 / 2;
        assert!(zeros > all / 300 && zeros < all / 220, "{zeros} of {all}");
    }

    #[test]
    fn clones_part_with_a_seed_and_not_before() {
        let clone = || {
            let mut generator = Generator::new([3; SEED]);
            draw(&mut generator, 100);
            generator
        };
        let (mut one, mut other) = (clone(), clone());
        assert_eq!(draw(&mut one, 8), draw(&mut other, 8));
        one.reseed([1; SEED]);
        other.reseed([2; SEED]);
        let (one, other) = (draw(&mut one, 4096), draw(&mut other, 4096));
        let words = |bytes: &[u8]| -> alloc::collections::BTreeSet<vec::Vec<u8>> {
            bytes.chunks(8).map(<[u8]>::to_vec).collect()
        };
        assert!(words(&one).is_disjoint(&words(&other)));
        // A seed that an attacker knows doesn't reveal the key: the old key is mixed in.
        let mut alone = Generator::new([1; SEED]);
        assert_ne!(draw(&mut alone, 64), one[..64]);
    }

    #[test]
    fn another_identifier_is_another_machine() {
        let clock = || panic!("asks the clock although there is an identifier");
        let mut watch = Watch::new(0, ID, clock);
        assert_eq!(watch.wants(1, ID, clock), None);
        assert_eq!(watch.wants(2, Some([1, 3]), clock), Some(Reseed::Now));
        assert_eq!(watch.wants(3, Some([1, 3]), clock), None);
        // A machine that resumes on a host without an identifier.
        assert_eq!(watch.wants(4, None, || None), None);
        assert_eq!(watch.wants(5, ID, clock), Some(Reseed::Now));
    }

    #[test]
    fn a_step_of_the_clock_is_another_machine() {
        // A clock of whole seconds.
        let wall = |now: u64, step: u64| move || Some((now + 999_999_999) / SECOND * SECOND + step);
        let mut watch = Watch::new(0, None, wall(0, 0));
        for now in (0..100 * SECOND).step_by(300_000_000) {
            assert_ne!(
                watch.wants(now, None, wall(now, 0)),
                Some(Reseed::Now),
                "{now}"
            );
        }
        let now = 101 * SECOND;
        assert_eq!(
            watch.wants(now, None, wall(now, 3 * SECOND)),
            Some(Reseed::Now)
        );
        let now = now + POLL_NS;
        assert_ne!(
            watch.wants(now, None, wall(now, 3 * SECOND)),
            Some(Reseed::Now)
        );
        // It isn't read more often than necessary.
        assert_eq!(watch.wants(now + 1, None, || panic!("asked")), None);
        let back = now + POLL_NS;
        assert_eq!(watch.wants(back, None, wall(back, 0)), Some(Reseed::Now));
        // A clock that disappears or appears is no step.
        let later = back + POLL_NS;
        assert_ne!(watch.wants(later, None, || None), Some(Reseed::Now));
        let later = later + POLL_NS;
        assert_ne!(
            watch.wants(later, None, wall(later, 7 * SECOND)),
            Some(Reseed::Now)
        );
    }

    #[test]
    fn an_old_seed_is_replaced() {
        let mut watch = Watch::new(5, ID, || None);
        assert_eq!(watch.wants(4 + RESEED_NS, ID, || None), None);
        assert_eq!(watch.wants(5 + RESEED_NS, ID, || None), Some(Reseed::Soon));
        assert_eq!(watch.wants(6 + RESEED_NS, ID, || None), None);
        // A new seed restarts its minute.
        assert_eq!(
            watch.wants(7 + RESEED_NS, Some([0, 0]), || None),
            Some(Reseed::Now)
        );
        assert_eq!(watch.wants(6 + 2 * RESEED_NS, Some([0, 0]), || None), None);
        assert_eq!(
            watch.wants(7 + 2 * RESEED_NS, Some([0, 0]), || None),
            Some(Reseed::Soon)
        );
    }
}

//! Random numbers from the jitter of the processor's counter: the time that the same work takes
//! differs by caches, pipelines, interrupts and the host's other work.
//!
//! The design is that of jitterentropy (S. Müller, "CPU Time Jitter Based Non-Physical True Random
//! Number Generator"), which Linux has as well, by the crate `rand_jitter`. It measures the counter
//! and refuses one that is too regular. It is a source of the generator, not a generator: each
//! measurement counts as one bit at most, and twice as many bits as the key has are mixed in.

use crate::{Generator, SEED};
use rand_jitter::rand_core::Rng as _;
use rand_jitter::{JitterRng, TimerError};

/// Seeds that are mixed in.
const SEEDS: usize = 2;
/// Minimum number of measurements for 64 bits.
const ROUNDS: u8 = 64;

/// Mixes [`SEEDS`] seeds into the generator; returns the number of measurements. Takes
/// milliseconds, on an emulator a tenth of a second. Errors: the counter stands still, is too
/// coarse, or its differences are too regular.
pub fn reseed(generator: &mut Generator, counter: fn() -> u64) -> Result<usize, TimerError> {
    let mut source = JitterRng::new_with_timer(counter);
    // As many as its differences need, which may be less than a bit each.
    let rounds = source.test_timer()?.max(ROUNDS);
    source.set_rounds(rounds);
    // The first one starts the source's pool.
    source.next_u64();
    for _ in 0..SEEDS {
        let mut seed = [0; SEED];
        for word in seed.chunks_exact_mut(8) {
            word.copy_from_slice(&source.next_u64().to_le_bytes());
        }
        generator.reseed(seed);
    }
    Ok(SEEDS * SEED / 8 * usize::from(rounds))
}

#[cfg(test)]
mod tests {
    use super::{Generator, SEED, SEEDS, reseed};
    use core::sync::atomic::{AtomicU64, Ordering};

    fn nanoseconds() -> u64 {
        extern crate std;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("after 1970").as_nanos() as u64
    }

    /// A counter that tells nothing: each reading is 1000 later.
    fn regular() -> u64 {
        static NOW: AtomicU64 = AtomicU64::new(0);
        NOW.fetch_add(1000, Ordering::Relaxed)
    }

    fn drawn(generator: &mut Generator) -> [u8; 32] {
        let mut bytes = [0; 32];
        generator.fill(&mut bytes, |_| false);
        bytes
    }

    #[test]
    fn two_machines_draw_different_numbers() {
        let mut generators = [(); 2].map(|()| Generator::new([0; SEED]));
        for generator in &mut generators {
            let count = reseed(generator, nanoseconds).expect("jitter");
            assert!(count >= SEEDS * SEED * 8, "{count}");
        }
        let [one, other] = generators.each_mut().map(drawn);
        assert_ne!(one, other);
        assert_ne!(one, drawn(&mut Generator::new([0; SEED])));
    }

    #[test]
    fn a_regular_counter_is_refused() {
        for counter in [regular, || 7] {
            let mut generator = Generator::new([0; SEED]);
            assert!(reseed(&mut generator, counter).is_err());
            // Nothing was mixed in.
            assert_eq!(drawn(&mut generator), drawn(&mut Generator::new([0; SEED])));
        }
    }
}

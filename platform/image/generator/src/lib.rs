//! The image's generator of random numbers: ChaCha20 with fast key erasure, and its reseeding.
//!
//! Each batch of the key stream begins with the key of the next one ("fast key erasure", D. J.
//! Bernstein, 2017-07-23), and returned numbers are zeroed: a view of the machine's memory reveals
//! no earlier numbers. A seed is mixed in, so that a known one makes nothing worse. As in Linux,
//! the generator reseeds every minute, and at once when the machine resumes from a snapshot, of
//! which another may resume as well ([`Watch`]). Where the processor has random numbers, some are
//! mixed into each batch and added to each short result: copies of a machine differ from the first
//! number on, whatever they notice.

#![no_std]
#![forbid(unsafe_code)]

pub mod jitter;
pub mod seed_file;

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
    key: [u8; SEED],
    batch: [u32; WORDS],
    /// Number of words of the batch that were returned.
    used: usize,
}

impl Generator {
    /// A generator with this key.
    pub fn new(seed: [u8; SEED]) -> Generator {
        Generator {
            key: seed,
            batch: [0; WORDS],
            used: WORDS,
        }
    }

    /// The next batch, of the key and `seed`. Its head becomes the next key.
    fn refill(&mut self, seed: [u8; SEED]) {
        self.mix(seed);
        ChaCha20Core::from_seed(self.key).generate(&mut self.batch);
        for (bytes, word) in self.key.chunks_exact_mut(4).zip(&mut self.batch) {
            bytes.copy_from_slice(&core::mem::take(word).to_le_bytes());
        }
        self.used = KEY_WORDS;
    }

    fn mix(&mut self, seed: [u8; SEED]) {
        let pairs = self.key.iter_mut().zip(seed);
        pairs.for_each(|(to, from)| *to ^= from);
    }

    /// Mixes `seed` into the key. Numbers generated in advance are discarded.
    pub fn reseed(&mut self, seed: [u8; SEED]) {
        // The old key can't be computed from the new one and the seed.
        self.refill(seed);
        self.batch.fill(0);
        self.used = WORDS;
    }

    /// Fills `into`. `fresh` fills a slice with numbers that no copy of this machine has; false
    /// where the processor has none. They are mixed into each batch. A short request adds some to
    /// its result; a long one begins with a batch of its own, which takes longer.
    pub fn fill(&mut self, into: &mut [u8], fresh: impl Fn(&mut [u8]) -> bool) {
        let mut own = [0; SEED];
        if let Some(own) = own.get_mut(..into.len()) {
            self.draw(into, &fresh);
            if fresh(own) {
                into.iter_mut().zip(own).for_each(|(to, from)| *to ^= *from);
            }
            return;
        }
        if fresh(&mut own) {
            self.refill(own);
        }
        self.draw(into, &fresh);
    }

    fn draw(&mut self, into: &mut [u8], fresh: &impl Fn(&mut [u8]) -> bool) {
        for chunk in into.chunks_mut(4) {
            if self.used >= WORDS {
                let mut seed = [0; SEED];
                if !fresh(&mut seed) {
                    seed = [0; SEED];
                }
                self.refill(seed);
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

/// Minimum step of a host's clock ahead of the processor's counter that counts: corrections of the
/// host's are smaller. Behind the counter it falls by each pause, which isn't a copy.
const AHEAD_NS: u64 = 20_000_000;
/// One part in so many of the time that passed is added: the host's clock and the counter may run
/// apart by it.
const DRIFT: u64 = 1000;

/// Why the generator needs a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reseed {
    /// The machine resumed from a snapshot: before the next number.
    Now,
    /// The last one is old: when one is available.
    Soon,
}

/// What a machine's identifier and its clocks say at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The monotonic time.
    pub now_ns: u64,
    /// The machine's generation ID (VMGENID), if it has one: it changes when the machine resumes
    /// from a snapshot.
    pub id: Option<[u64; 2]>,
    /// By how much the host's clock is ahead of the processor's counter, where the host has one: a
    /// counter that resumes with the machine's state, while the host's clock went on.
    pub ahead_ns: Option<i64>,
    /// The counter at which the host last based its clock, where it promises a stable counter. It
    /// changes when another host, or another process of the monitor, goes on with the machine.
    pub based_at: Option<u64>,
    /// How often a timer came long after it was due: the monotonic time itself has jumped.
    pub late_timers: u32,
}

/// Detects a suspension of the machine.
pub struct Watch {
    last: Moment,
    /// Time of day minus monotonic time, if the machine has a clock.
    base_ns: Option<i64>,
    look_at_ns: u64,
    seed_at_ns: u64,
}

impl Watch {
    /// Starts at a moment, with the first seed.
    pub fn new(now: Moment, wall: impl FnOnce() -> Option<u64>) -> Watch {
        let mut watch = Watch {
            last: now,
            base_ns: None,
            look_at_ns: now.now_ns,
            seed_at_ns: now.now_ns + RESEED_NS,
        };
        watch.check(now, wall);
        watch
    }

    /// Checks whether this is another machine than at the last call, by its identifier or else by
    /// its clocks.
    fn check(&mut self, now: Moment, wall: impl FnOnce() -> Option<u64>) -> bool {
        let last = core::mem::replace(&mut self.last, now);
        if now.id.is_some() {
            return last.id != now.id;
        }
        let passed = now.now_ns.saturating_sub(last.now_ns);
        let ahead_by = last.ahead_ns.zip(now.ahead_ns);
        let ahead_by = ahead_by.map(|(last, now)| now.saturating_sub(last));
        let limit = (AHEAD_NS + passed / DRIFT).cast_signed();
        let ahead = ahead_by.is_some_and(|by| by >= limit);
        // Clock and counter may go on together, from a new base. After a pause of this machine the
        // clock is behind.
        let based = last.based_at.zip(now.based_at);
        let is_new_base = based.is_some_and(|(last, now)| last != now);
        let moved = is_new_base && ahead_by.is_some_and(|by| by > -limit);
        ahead || moved || last.late_timers != now.late_timers || self.check_wall(now.now_ns, wall)
    }

    /// Checks by the time of day.
    fn check_wall(&mut self, now_ns: u64, wall: impl FnOnce() -> Option<u64>) -> bool {
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

    /// Call it before each number: `wall` is the time of day by the machine's own clock.
    pub fn wants(&mut self, now: Moment, wall: impl FnOnce() -> Option<u64>) -> Option<Reseed> {
        if self.check(now, wall) {
            self.seed_at_ns = now.now_ns + RESEED_NS;
            return Some(Reseed::Now);
        }
        (now.now_ns >= self.seed_at_ns).then(|| {
            self.seed_at_ns = now.now_ns + RESEED_NS;
            Reseed::Soon
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AHEAD_NS, Generator, KEY_WORDS, Moment, POLL_NS, RESEED_NS, Reseed, SEED, Watch};
    use alloc::vec;
    use rand_chacha::ChaCha20Core;
    use rand_chacha::rand_core::SeedableRng;
    use rand_chacha::rand_core::block::Generator as _;

    const SECOND: u64 = 1_000_000_000;
    const ID: Option<[u64; 2]> = Some([1, 2]);

    fn at(now_ns: u64, id: Option<[u64; 2]>) -> Moment {
        Moment {
            now_ns,
            id,
            ahead_ns: None,
            based_at: None,
            late_timers: 0,
        }
    }

    fn draw(generator: &mut Generator, len: usize) -> vec::Vec<u8> {
        let mut bytes = vec![0; len];
        generator.fill(&mut bytes, |_| false);
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
        assert_ne!(generator.key, [7; SEED]);
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
    fn copies_part_at_once_where_the_processor_has_numbers() {
        let copy = |own: u8, len: usize| {
            let mut generator = Generator::new([3; SEED]);
            // The rest of a batch is left, as in a snapshot.
            generator.fill(&mut [0; 100], |seed| {
                seed.fill(9);
                true
            });
            let mut bytes = vec![0; len];
            generator.fill(&mut bytes, |seed| {
                seed.fill(own);
                true
            });
            bytes
        };
        for len in [4, 8, 1000] {
            let (one, other) = (copy(1, len), copy(2, len));
            for at in (0..len).step_by(4) {
                assert_ne!(one[at..at + 4], other[at..at + 4], "{at} of {len}");
            }
        }
        // What they have in common is the other part of a short result only.
        let (one, other) = (copy(1, 1000), copy(2, 1000));
        let both = one.iter().zip(&other);
        assert!(both.filter(|(one, other)| *one ^ *other == 3).count() < 20);
        // The numbers that each request takes, and each batch.
        let asked = core::cell::RefCell::new(vec![]);
        let mut generator = Generator::new([3; SEED]);
        for len in [8, 8, 32, 33, 448] {
            generator.fill(&mut vec![0; len], |seed| {
                asked.borrow_mut().push(seed.len());
                true
            });
        }
        assert_eq!(asked.take(), [32, 8, 8, 32, 32, 32, 32]);
    }

    /// A copy that resumes `pause` later, on a monitor that lets the wall clock and the monotonic
    /// clock go on together, and continues the counter.
    #[test]
    fn a_jump_of_both_clocks_is_another_machine() {
        let wall = |now: u64| move || Some(SECOND * 1_700_000_000 + now);
        let moment = |now_ns, ahead| Moment {
            ahead_ns: Some(ahead),
            ..at(now_ns, None)
        };
        for pause in [2 * AHEAD_NS, SECOND, 9 * SECOND, 86_400 * SECOND] {
            let mut watch = Watch::new(moment(0, 5), wall(0));
            assert_eq!(watch.wants(moment(SECOND, 5), wall(SECOND)), None);
            let now = SECOND + pause;
            let resumed = moment(now, 5 + pause as i64);
            assert_eq!(
                watch.wants(resumed, wall(now)),
                Some(Reseed::Now),
                "{pause}"
            );
            assert_eq!(watch.wants(resumed, wall(now)), None);
        }
        // The host corrects its clock, and pauses the machine: the counter goes on.
        let mut watch = Watch::new(moment(0, 0), wall(0));
        for (now, ahead) in [(1, 19_000_000), (1000, 900_000_000), (1001, -5_000_000_000)] {
            let resumed = moment(now * SECOND, ahead);
            assert_ne!(
                watch.wants(resumed, wall(now * SECOND)),
                Some(Reseed::Now),
                "{now}"
            );
        }
    }

    /// A copy whose counter and clocks all go on together, as on Cloud Hypervisor.
    #[test]
    fn a_new_base_of_the_clock_is_another_machine() {
        let wall = |now: u64| move || Some(SECOND * 1_700_000_000 + now);
        let moment = |now_ns, ahead, based_at| Moment {
            ahead_ns: Some(ahead),
            based_at,
            ..at(now_ns, None)
        };
        let mut watch = Watch::new(moment(0, 5, Some(7)), wall(0));
        assert_eq!(watch.wants(moment(SECOND, 5, Some(7)), wall(SECOND)), None);
        let resumed = moment(2 * SECOND, 5, Some(8));
        assert_eq!(watch.wants(resumed, wall(2 * SECOND)), Some(Reseed::Now));
        assert_eq!(watch.wants(resumed, wall(2 * SECOND)), None);
        // The monitor pauses the machine and sets its clock back.
        let paused = moment(3 * SECOND, -(SECOND as i64), Some(9));
        assert_eq!(watch.wants(paused, wall(3 * SECOND)), None);
        // The host ends its promise.
        let unstable = moment(4 * SECOND, -(SECOND as i64), None);
        assert_eq!(watch.wants(unstable, wall(4 * SECOND)), None);
    }

    #[test]
    fn a_timer_long_due_is_another_machine() {
        let wall = |now: u64| move || Some(SECOND * 1_700_000_000 + now);
        let mut watch = Watch::new(at(0, None), wall(0));
        let late = Moment {
            late_timers: 1,
            ..at(30 * SECOND, None)
        };
        assert_eq!(watch.wants(late, wall(30 * SECOND)), Some(Reseed::Now));
        assert_eq!(watch.wants(late, wall(30 * SECOND)), None);
        // An identifier knows better.
        let mut watch = Watch::new(at(0, ID), wall(0));
        let late = Moment { id: ID, ..late };
        assert_eq!(watch.wants(late, wall(30 * SECOND)), None);
    }

    #[test]
    fn another_identifier_is_another_machine() {
        let clock = || panic!("asks the clock although there is an identifier");
        let mut watch = Watch::new(at(0, ID), clock);
        assert_eq!(watch.wants(at(1, ID), clock), None);
        assert_eq!(watch.wants(at(2, Some([1, 3])), clock), Some(Reseed::Now));
        assert_eq!(watch.wants(at(3, Some([1, 3])), clock), None);
        // A machine that resumes on a host without an identifier.
        assert_eq!(watch.wants(at(4, None), || None), None);
        assert_eq!(watch.wants(at(5, ID), clock), Some(Reseed::Now));
    }

    #[test]
    fn a_step_of_the_clock_is_another_machine() {
        // A clock of whole seconds.
        let wall = |now: u64, step: u64| move || Some((now + 999_999_999) / SECOND * SECOND + step);
        let mut watch = Watch::new(at(0, None), wall(0, 0));
        for now in (0..100 * SECOND).step_by(300_000_000) {
            assert_ne!(
                watch.wants(at(now, None), wall(now, 0)),
                Some(Reseed::Now),
                "{now}"
            );
        }
        let now = 101 * SECOND;
        assert_eq!(
            watch.wants(at(now, None), wall(now, 3 * SECOND)),
            Some(Reseed::Now)
        );
        let now = now + POLL_NS;
        assert_ne!(
            watch.wants(at(now, None), wall(now, 3 * SECOND)),
            Some(Reseed::Now)
        );
        // It isn't read more often than necessary.
        assert_eq!(watch.wants(at(now + 1, None), || panic!("asked")), None);
        let back = now + POLL_NS;
        assert_eq!(
            watch.wants(at(back, None), wall(back, 0)),
            Some(Reseed::Now)
        );
        // A clock that disappears or appears is no step.
        let later = back + POLL_NS;
        assert_ne!(watch.wants(at(later, None), || None), Some(Reseed::Now));
        let later = later + POLL_NS;
        assert_ne!(
            watch.wants(at(later, None), wall(later, 7 * SECOND)),
            Some(Reseed::Now)
        );
    }

    #[test]
    fn an_old_seed_is_replaced() {
        let mut watch = Watch::new(at(5, ID), || None);
        assert_eq!(watch.wants(at(4 + RESEED_NS, ID), || None), None);
        assert_eq!(
            watch.wants(at(5 + RESEED_NS, ID), || None),
            Some(Reseed::Soon)
        );
        assert_eq!(watch.wants(at(6 + RESEED_NS, ID), || None), None);
        // A new seed restarts its minute.
        assert_eq!(
            watch.wants(at(7 + RESEED_NS, Some([0, 0])), || None),
            Some(Reseed::Now)
        );
        assert_eq!(
            watch.wants(at(6 + 2 * RESEED_NS, Some([0, 0])), || None),
            None
        );
        assert_eq!(
            watch.wants(at(7 + 2 * RESEED_NS, Some([0, 0])), || None),
            Some(Reseed::Soon)
        );
    }
}

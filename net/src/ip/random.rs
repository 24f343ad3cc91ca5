//! Numbers for identifiers, addresses and delays.

use crate::types::RandomBits;

/// The caller's generator. Each number may become known (an identifier, an address), and must
/// reveal nothing about any other.
pub(crate) struct Random(RandomBits);

impl Random {
    pub(crate) fn new(source: RandomBits) -> Random {
        Random(source)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        (self.0)()
    }

    /// A number below `limit`; 0 if that is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit.max(1)
    }
}

/// For tests: the same numbers in each run.
#[cfg(test)]
impl Random {
    pub(crate) fn seeded(seed: u64) -> Random {
        let mut random = crate::sim::Random::new(seed);
        Random::new(Box::new(move || random.bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn numbers_are_the_generator_s_within_their_limit() {
        let mut next = 1000;
        let mut random = Random::new(Box::new(move || {
            next += 234;
            next
        }));
        assert_eq!((random.bits(), random.bits()), (1234, 1468));
        assert_eq!(random.below(1000), 702);
        assert_eq!(random.below(u64::MAX), 1936);
        assert_eq!(random.below(0), 0);
    }
}

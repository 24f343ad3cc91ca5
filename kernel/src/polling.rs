//! How long to look for news before the processor halts.
//!
//! Waking a halted processor is dear where it is a thread of the host: under QEMU's TCG the
//! interrupt, the switch to that thread and back cost more than the work for a packet. So a machine
//! whose waits are short looks at its devices' memory for a while first, without an exit, and halts
//! when nothing comes. One whose waits are long doesn't look at all: an idle server halts at once.
//! (Linux does the same: Documentation/virt/guest-halt-polling.rst.)

/// The longest look; a wait that is longer than this makes the next look shorter.
pub const MOST_NS: u64 = 100_000;
/// The shortest look but none.
const LEAST_NS: u64 = 12_500;

/// For how long the next wait looks before it halts, in nanoseconds: `looked` is what the last one
/// had, and `waited` how long it took in all.
pub fn next(looked: u64, waited: u64) -> u64 {
    if waited > MOST_NS {
        match looked / 2 {
            half if half < LEAST_NS => 0,
            half => half,
        }
    } else if waited > looked {
        (looked * 2).clamp(LEAST_NS, MOST_NS)
    } else {
        looked
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAST_NS, MOST_NS, next};
    use proptest::prelude::*;

    /// The lengths of the next looks if all waits are of `waited` ns.
    fn settled(waited: u64) -> u64 {
        (0..20).fold(MOST_NS / 2, |looked, _| next(looked, waited))
    }

    #[test]
    fn short_waits_are_covered_and_long_ones_not_looked_through() {
        assert!(settled(60_000) >= 60_000);
        assert_eq!(settled(MOST_NS), MOST_NS);
        assert_eq!(settled(1_000_000), 0);
        assert_eq!(next(0, 1_000), LEAST_NS);
    }

    #[test]
    fn a_look_is_twice_as_long_or_half() {
        let long = MOST_NS + 1;
        let cases = [
            // Long waits: half, and none below the least.
            (MOST_NS, long, MOST_NS / 2),
            (2 * LEAST_NS, long, LEAST_NS),
            (2 * LEAST_NS - 2, long, 0),
            (0, long, 0),
            // As long as the look, or shorter: the look was right.
            (50_000, 50_000, 50_000),
            (50_000, 1, 50_000),
            // A little longer.
            (25_000, 25_001, 50_000),
            (60_000, MOST_NS, MOST_NS),
            (1_000, 1_001, LEAST_NS),
        ];
        for (looked, waited, expected) in cases {
            assert_eq!(next(looked, waited), expected, "{looked} of {waited} ns");
        }
    }

    proptest! {
        #[test]
        fn never_longer_than_the_most(looked in 0..=MOST_NS, waited: u64) {
            prop_assert!(next(looked, waited) <= MOST_NS);
        }
    }
}

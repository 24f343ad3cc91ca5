//! How long to poll before the processor halts.
//!
//! Waking a halted processor is expensive where it is a thread of the host: under QEMU's TCG the
//! interrupt, the switch to that thread and back cost more than the work for a packet. So a machine
//! whose waits are short polls its devices' memory for a while first, without an exit, and halts
//! when nothing comes. One whose waits are long doesn't poll at all: an idle server halts at once.
//! (Linux does the same: Documentation/virt/guest-halt-polling.rst.)

/// The longest polling; a wait that is longer than this makes the next polling shorter.
pub const MAX_NS: u64 = 100_000;
/// The shortest polling that isn't none.
const MIN_NS: u64 = 12_500;

/// For how long the next wait polls before it halts, in nanoseconds: the last one polled for
/// `polled`, and took `waited` in all.
pub fn next(polled: u64, waited: u64) -> u64 {
    if waited > MAX_NS {
        match polled / 2 {
            half if half < MIN_NS => 0,
            half => half,
        }
    } else if waited > polled {
        (polled * 2).clamp(MIN_NS, MAX_NS)
    } else {
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_NS, MIN_NS, next};
    use proptest::prelude::*;

    /// The length of the next polling if all waits are of `waited` ns.
    fn steady(waited: u64) -> u64 {
        (0..20).fold(MAX_NS / 2, |polled, _| next(polled, waited))
    }

    #[test]
    fn short_waits_are_polled_through_and_long_ones_not() {
        assert!(steady(60_000) >= 60_000);
        assert_eq!(steady(MAX_NS), MAX_NS);
        assert_eq!(steady(1_000_000), 0);
        assert_eq!(next(0, 1_000), MIN_NS);
    }

    #[test]
    fn polling_is_twice_as_long_or_half() {
        let long = MAX_NS + 1;
        let cases = [
            // Long waits: half, and none below the least.
            (MAX_NS, long, MAX_NS / 2),
            (2 * MIN_NS, long, MIN_NS),
            (2 * MIN_NS - 2, long, 0),
            (0, long, 0),
            // As long as the polling, or shorter: it was right.
            (50_000, 50_000, 50_000),
            (50_000, 1, 50_000),
            // A little longer.
            (25_000, 25_001, 50_000),
            (60_000, MAX_NS, MAX_NS),
            (1_000, 1_001, MIN_NS),
        ];
        for (polled, waited, expected) in cases {
            assert_eq!(next(polled, waited), expected, "{polled} of {waited} ns");
        }
    }

    proptest! {
        #[test]
        fn never_longer_than_the_most(polled in 0..=MAX_NS, waited: u64) {
            prop_assert!(next(polled, waited) <= MAX_NS);
        }
    }
}

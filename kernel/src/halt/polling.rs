//! How long to poll before the processor halts.
//!
//! Waking a halted processor is expensive if it is a thread of the host: under QEMU's TCG the
//! interrupt, the switch to that thread and back cost more than the work for a packet. So a machine
//! whose waits are short first polls its devices' memory for a while, without an exit, and halts
//! when nothing arrives. One whose waits are long doesn't poll at all: an idle server halts at
//! once. (Linux does the same: Documentation/virt/guest-halt-polling.rst.)
//!
//! A host other than an emulator polls itself before it stops a thread for a halted processor, and
//! knows whether others need the time. There, devices are polled only if it promises to run the
//! processors all the time, and threads unless it has just run others in the processor's place.

/// Maximum polling time; a longer wait shortens the next polling.
pub const MAX_NS: u64 = 100_000;
/// Minimum non-zero polling time.
const MIN_NS: u64 = 12_500;

/// The polling time of the next wait before it halts, in nanoseconds: the last one polled for
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

    /// The resulting polling time if all waits take `waited` ns.
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
            // Long waits: half, and none below the minimum.
            (MAX_NS, long, MAX_NS / 2),
            (2 * MIN_NS, long, MIN_NS),
            (2 * MIN_NS - 2, long, 0),
            (0, long, 0),
            // As long as the polling, or shorter: unchanged.
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

//! HyStart++ (RFC 9406): slow start ends when round trips become longer, before data is lost.

use super::super::seq::Seq;

/// Minimum number of samples in a round (RFC 9406, 4.3).
const N_RTT_SAMPLE: u8 = 8;
const MIN_RTT_THRESH_NS: u64 = 4_000_000;
const MAX_RTT_THRESH_NS: u64 = 16_000_000;
/// Growth of conservative slow start is this fraction of slow start's, for this number of rounds.
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

/// Rounds of slow start; nanoseconds, 0: none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlowStart {
    window_end: Option<Seq>,
    last_round_min_rtt_ns: u64,
    current_round_min_rtt_ns: u64,
    /// The minimum when conservative slow start began; it ends if round trips fall below.
    css_baseline_min_rtt_ns: u64,
    rtt_sample_count: u8,
    /// Remaining rounds of conservative slow start (CSS); 0: not in it.
    css_rounds: u8,
}

impl SlowStart {
    /// Takes a sample; returns whether slow start is over.
    pub(super) fn sample(&mut self, rtt_ns: u64, una: Seq, next: Seq) -> bool {
        if self.window_end.is_none_or(|end| una.at_least(end)) {
            if self.window_end.is_some() && self.css_rounds > 0 {
                self.css_rounds -= 1;
                if self.css_rounds == 0 {
                    return true;
                }
            }
            self.window_end = Some(next);
            self.last_round_min_rtt_ns = self.current_round_min_rtt_ns;
            self.current_round_min_rtt_ns = 0;
            self.rtt_sample_count = 0;
        }
        if self.current_round_min_rtt_ns == 0 || rtt_ns < self.current_round_min_rtt_ns {
            self.current_round_min_rtt_ns = rtt_ns;
        }
        self.rtt_sample_count = self.rtt_sample_count.saturating_add(1);
        if self.rtt_sample_count < N_RTT_SAMPLE {
            return false;
        }
        if self.css_rounds > 0 {
            if self.current_round_min_rtt_ns < self.css_baseline_min_rtt_ns {
                self.css_rounds = 0;
            }
        } else if self.last_round_min_rtt_ns != 0 {
            let rtt_thresh_ns =
                (self.last_round_min_rtt_ns / 8).clamp(MIN_RTT_THRESH_NS, MAX_RTT_THRESH_NS);
            if self.current_round_min_rtt_ns >= self.last_round_min_rtt_ns + rtt_thresh_ns {
                self.css_baseline_min_rtt_ns = self.current_round_min_rtt_ns;
                self.css_rounds = CSS_ROUNDS;
            }
        }
        false
    }

    /// Growth of the window for acknowledged bytes.
    pub(super) fn growth(&self, acked: u32) -> u32 {
        if self.css_rounds > 0 {
            acked / CSS_GROWTH_DIVISOR
        } else {
            acked
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SlowStart;
    use crate::tcp::machine::seq::Seq;

    const MS: u64 = 1_000_000;

    /// A flow of consecutive rounds.
    #[derive(Default)]
    struct Flow {
        slow_start: SlowStart,
        round: u32,
    }

    impl Flow {
        /// Runs one round with `samples` samples; returns whether slow start is over.
        fn round(&mut self, rtt_ns: u64, samples: u32) -> bool {
            let (una, next) = (Seq(self.round * 100), Seq(self.round * 100 + 100));
            self.round += 1;
            (0..samples).fold(false, |over, _| {
                over | self.slow_start.sample(rtt_ns, una, next)
            })
        }

        fn growth(&self) -> u32 {
            self.slow_start.growth(400)
        }
    }

    /// RFC 9406, 4.2: an eighth of the round trip is too much, 4 ms at least and 16 ms at most;
    /// then a quarter of the growth is left.
    #[test]
    fn a_round_trip_that_grows_slows_the_start_down() {
        for (before_ms, enough_ms) in [(40, 45), (8, 12), (400, 416)] {
            for (after_ms, growth) in [(enough_ms - 1, 400), (enough_ms, 100)] {
                let mut flow = Flow::default();
                flow.round(before_ms * MS, 8);
                flow.round(after_ms * MS, 8);
                assert_eq!(flow.growth(), growth, "{before_ms} {after_ms}");
            }
        }
    }

    /// RFC 9406, 4.3: a round needs at least eight samples; the minimum counts.
    #[test]
    fn eight_samples_are_wanted() {
        let mut flow = Flow::default();
        flow.round(40 * MS, 8);
        flow.round(60 * MS, 7);
        assert_eq!(flow.growth(), 400);
        flow.round(60 * MS, 8);
        // The round before had too few samples, so this one is compared with 60 ms.
        assert_eq!(flow.growth(), 400);
        let mut flow = Flow::default();
        flow.round(40 * MS, 8);
        let (una, next) = (Seq(100), Seq(200));
        flow.slow_start.sample(40 * MS, una, next);
        for _ in 0..20 {
            flow.slow_start.sample(60 * MS, una, next);
        }
        assert_eq!(flow.growth(), 400);
    }

    /// RFC 9406, 4.2: slow start resumes once round trips are shorter than when conservative slow
    /// start began, and ends after five rounds that aren't.
    #[test]
    fn conservative_slow_start_resumes_or_ends() {
        let slowed = || {
            let mut flow = Flow::default();
            flow.round(40 * MS, 8);
            flow.round(50 * MS, 8);
            flow
        };
        let mut flow = slowed();
        flow.round(49 * MS, 8);
        assert_eq!(flow.growth(), 400);
        let mut flow = slowed();
        for _ in 0..4 {
            assert!(!flow.round(50 * MS, 8));
            assert_eq!(flow.growth(), 100);
        }
        assert!(flow.round(51 * MS, 8));
    }
}

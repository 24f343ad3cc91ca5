//! HyStart++ (RFC 9406): slow start ends when round trips become longer, before data is lost.

use super::super::seq::Seq;

/// Samples that a round must have (RFC 9406, 4.3).
const SAMPLES: u8 = 8;
const THRESHOLD_MIN_NS: u64 = 4_000_000;
const THRESHOLD_MAX_NS: u64 = 16_000_000;
/// Growth of conservative slow start is this fraction of slow start's, for this number of rounds.
const CONSERVATIVE_DIVISOR: u32 = 4;
const CONSERVATIVE_ROUNDS: u8 = 5;

/// Rounds of slow start; nanoseconds, 0: none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlowStart {
    round_end: Option<Seq>,
    last_min: u64,
    current_min: u64,
    /// The smallest one when conservative slow start began; it ends if round trips fall below.
    baseline: u64,
    samples: u8,
    /// Rounds of conservative slow start that are left; 0: not in it.
    conservative: u8,
}

impl SlowStart {
    /// Takes a round trip; whether slow start is over.
    pub(super) fn sample(&mut self, rtt_ns: u64, una: Seq, next: Seq) -> bool {
        if self.round_end.is_none_or(|end| una.at_least(end)) {
            if self.round_end.is_some() && self.conservative > 0 {
                self.conservative -= 1;
                if self.conservative == 0 {
                    return true;
                }
            }
            self.round_end = Some(next);
            self.last_min = self.current_min;
            self.current_min = 0;
            self.samples = 0;
        }
        if self.current_min == 0 || rtt_ns < self.current_min {
            self.current_min = rtt_ns;
        }
        self.samples = self.samples.saturating_add(1);
        if self.samples < SAMPLES {
            return false;
        }
        if self.conservative > 0 {
            if self.current_min < self.baseline {
                self.conservative = 0;
            }
        } else if self.last_min != 0 {
            let threshold = (self.last_min / 8).clamp(THRESHOLD_MIN_NS, THRESHOLD_MAX_NS);
            if self.current_min >= self.last_min + threshold {
                self.baseline = self.current_min;
                self.conservative = CONSERVATIVE_ROUNDS;
            }
        }
        false
    }

    /// By how much the window grows for bytes that were acknowledged.
    pub(super) fn growth(&self, acked: u32) -> u32 {
        if self.conservative > 0 {
            acked / CONSERVATIVE_DIVISOR
        } else {
            acked
        }
    }
}

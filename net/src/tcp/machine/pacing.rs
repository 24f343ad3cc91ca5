//! Pacing: spreads a window over the round-trip time instead of sending it at once. (RFC 9438, 3
//! and RFC 6928, 4 want bursts avoided; RFC 9406, 4.3 allows faster growth with it.)

/// Minimum round trip for pacing: shorter ones aren't worth timers.
const RTT_MIN_NS: u64 = 2_000_000;
/// Maximum burst, as time at the pacing rate; at least [`BURST`] segments.
const QUANTUM_NS: u64 = 1_000_000;
const BURST: u32 = 10;
const SECOND_NS: u64 = 1_000_000_000;

/// When the next bytes are due, unless they are part of a burst.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pacing {
    next_ns: u64,
}

/// Bytes per second.
fn rate(cwnd: u32, rtt_ns: u64, slow_start: bool) -> u64 {
    // Twice the window in slow start, as it doubles, and later a fifth more, so that it can grow.
    let percent = if slow_start { 200 } else { 120 };
    let bytes = u64::from(cwnd) * percent / 100;
    (u128::from(bytes) * u128::from(SECOND_NS) / u128::from(rtt_ns.max(1))).max(1) as u64
}

impl Pacing {
    /// Bytes that may be sent now; `Err`: none before that time.
    pub(crate) fn allowance(
        &self,
        cwnd: u32,
        rtt_ns: u64,
        slow_start: bool,
        mss: u32,
        now_ns: u64,
    ) -> Result<u32, u64> {
        if rtt_ns < RTT_MIN_NS {
            return Ok(u32::MAX);
        }
        let rate = rate(cwnd, rtt_ns, slow_start);
        let quantum = (rate / (SECOND_NS / QUANTUM_NS)).clamp(u64::from(BURST * mss), 1 << 30);
        let early = self.next_ns.saturating_sub(now_ns);
        let used = (u128::from(early) * u128::from(rate) / u128::from(SECOND_NS)) as u64;
        match quantum.saturating_sub(used) {
            bytes if bytes >= u64::from(mss) => Ok(bytes as u32),
            _ => Err(self.next_ns),
        }
    }

    /// Records that `bytes` were sent.
    pub(crate) fn sent(
        &mut self,
        bytes: u32,
        cwnd: u32,
        rtt_ns: u64,
        slow_start: bool,
        now_ns: u64,
    ) {
        if rtt_ns < RTT_MIN_NS {
            return;
        }
        let time = u64::from(bytes) * SECOND_NS / rate(cwnd, rtt_ns, slow_start);
        self.next_ns = self.next_ns.max(now_ns) + time;
    }
}

#[cfg(test)]
mod tests {
    use super::Pacing;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_window_takes_most_of_a_round_trip() {
        let mut pacing = Pacing::default();
        let (cwnd, rtt_ns, mss) = (1_200_000, 100 * MS, 1000);
        let mut now_ns = 5 * MS;
        let (mut sent, mut turns) = (0, 0);
        while sent < cwnd {
            match pacing.allowance(cwnd, rtt_ns, false, mss, now_ns) {
                Ok(bytes) => {
                    pacing.sent(bytes, cwnd, rtt_ns, false, now_ns);
                    sent += bytes;
                    turns += 1;
                }
                Err(at) => now_ns = at,
            }
        }
        assert!((80 * MS..90 * MS).contains(&now_ns), "{now_ns}");
        assert!(
            (80..90).contains(&turns),
            "a turn each millisecond: {turns}"
        );
        assert_eq!(pacing.allowance(cwnd, MS, false, mss, now_ns), Ok(u32::MAX));
    }
}

//! Round-trip time and retransmission timeout (RFC 6298; RFC 7323, appendix G).

use super::setup::Setup;

/// Age after which the minimum is replaced, so that a longer path is detected.
const MIN_WINDOW_NS: u64 = 300_000_000_000;
/// Maximum number of doublings of the timeout.
const BACKOFF_MAX: u8 = 16;

/// Estimates; nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    /// 0: no sample yet.
    srtt_ns: u64,
    rttvar_ns: u64,
    /// The minimum, and when it was measured.
    min_rtt_ns: u64,
    min_rtt_at_ns: u64,
    /// Number of doublings of the timeout.
    backoff: u8,
}

impl Rtt {
    /// Takes a sample; `flight` segments are in the network, and every second one yields a sample.
    pub(crate) fn sample(&mut self, rtt_ns: u64, flight: u32, now_ns: u64) {
        let rtt = rtt_ns.max(1);
        if self.srtt_ns == 0 {
            // RFC 6298, 2.2.
            self.srtt_ns = rtt;
            self.rttvar_ns = rtt / 2;
            return self.update_min(rtt, now_ns);
        }
        // RFC 6298, 2.3 assumes one sample for each round trip. RFC 7323, appendix G: of n samples
        // each has an nth of the weight.
        let samples = u64::from((flight / 2).clamp(1, 1 << 16));
        let error = self.srtt_ns.abs_diff(rtt);
        let (beta, alpha) = (4 * samples, 8 * samples);
        self.rttvar_ns = self.rttvar_ns - self.rttvar_ns / beta + error / beta;
        self.srtt_ns = (self.srtt_ns - self.srtt_ns / alpha + rtt / alpha).max(1);
        self.update_min(rtt, now_ns);
    }

    fn update_min(&mut self, rtt: u64, now_ns: u64) {
        if self.min_rtt_ns == 0
            || rtt <= self.min_rtt_ns
            || now_ns.saturating_sub(self.min_rtt_at_ns) > MIN_WINDOW_NS
        {
            self.min_rtt_ns = rtt;
            self.min_rtt_at_ns = now_ns;
        }
    }

    /// `None` before the first sample.
    pub(crate) fn srtt_ns(&self) -> Option<u64> {
        (self.srtt_ns != 0).then_some(self.srtt_ns)
    }

    pub(crate) fn rttvar_ns(&self) -> u64 {
        self.rttvar_ns
    }

    /// The minimum of the last minutes; 0 before the first sample.
    pub(crate) fn min_rtt_ns(&self) -> u64 {
        self.min_rtt_ns
    }

    /// RTO without its backoff. The variation counts for `rto_min_ns` at least, as in Linux: a peer
    /// may delay an acknowledgement that long.
    pub(crate) fn rto_base_ns(&self, setup: &Setup) -> u64 {
        if self.srtt_ns == 0 {
            return setup.rto_initial_ns;
        }
        let rto = self.srtt_ns + (4 * self.rttvar_ns).max(setup.rto_min_ns);
        rto.min(setup.rto_max_ns)
    }

    /// RTO now.
    pub(crate) fn rto_ns(&self, setup: &Setup) -> u64 {
        (self.rto_base_ns(setup) << self.backoff.min(BACKOFF_MAX)).min(setup.rto_max_ns)
    }

    /// RFC 6298, 5.5: the timer expired.
    pub(crate) fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(BACKOFF_MAX);
    }

    /// The peer has responded: the backoff ends.
    pub(crate) fn reset_backoff(&mut self) {
        self.backoff = 0;
    }

    /// Timeouts since the peer's last response.
    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }
}

#[cfg(test)]
mod tests {
    use super::Rtt;
    use crate::tcp::machine::setup::Setup;

    const MS: u64 = 1_000_000;

    /// RFC 6298, 2.1 to 2.5 and 5.5.
    #[test]
    fn the_timeout_follows_the_round_trip() {
        let setup = Setup::default();
        let mut rtt = Rtt::default();
        assert_eq!(rtt.rto_ns(&setup), 1000 * MS);
        rtt.sample(100 * MS, 1, 0);
        assert_eq!((rtt.srtt_ns(), rtt.rttvar_ns()), (Some(100 * MS), 50 * MS));
        assert_eq!(rtt.rto_ns(&setup), 300 * MS);
        rtt.sample(180 * MS, 1, 0);
        assert_eq!(
            (rtt.srtt_ns(), rtt.rttvar_ns()),
            (Some(110 * MS), 57_500_000)
        );
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.rto_ns(&setup), 4 * (110 + 230) * MS);
        for _ in 0..100 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto_ns(&setup), setup.rto_max_ns);
        rtt.reset_backoff();
        for _ in 0..100 {
            rtt.sample(MS, 1, 0);
        }
        let floor = rtt.rto_ns(&setup);
        assert!(
            (200 * MS..203 * MS).contains(&floor),
            "the floor of 200 ms: {floor}"
        );
        assert_eq!(rtt.min_rtt_ns(), MS);
        rtt.sample(9 * MS, 1, 400_000 * MS);
        assert_eq!(rtt.min_rtt_ns(), 9 * MS);
    }

    /// RFC 7323, appendix G.
    #[test]
    fn many_samples_in_a_round_trip_weigh_less() {
        let mut few = Rtt::default();
        let mut many = Rtt::default();
        few.sample(100 * MS, 1, 0);
        many.sample(100 * MS, 100, 0);
        few.sample(200 * MS, 1, 0);
        for _ in 0..50 {
            many.sample(200 * MS, 100, 0);
        }
        let (few, many) = (few.srtt_ns().unwrap(), many.srtt_ns().unwrap());
        assert!(few.abs_diff(many) < 2 * MS, "{few} {many}");
    }
}

//! Congestion control: slow start with HyStart++ (RFC 5681, 9406), then CUBIC (RFC 9438) or NewReno
//! (RFC 5681, 6582). Windows are counted in bytes.

mod cubic;
mod newreno;
mod slow_start;

use self::cubic::Cubic;
use self::newreno::NewReno;
use self::slow_start::SlowStart;
use super::seq::Seq;
use crate::types::Congestion;

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Cubic(Cubic),
    NewReno(NewReno),
}

/// The congestion window of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    slow_start: SlowStart,
    algorithm: Algorithm,
}

/// State before a reduction, to undo a spurious one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saved {
    cwnd: u32,
    ssthresh: u32,
    algorithm: Algorithm,
}

/// Largest window: sequence numbers allow no more than 2^30 (RFC 7323, 2.3).
const CWND_MAX: u32 = 1 << 30;

/// RFC 6928, 2: ten segments, or less if they are large.
pub(crate) fn initial_window(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

impl Control {
    pub(crate) fn new(kind: Congestion, mss: u32) -> Control {
        Control {
            cwnd: initial_window(mss),
            ssthresh: u32::MAX,
            slow_start: SlowStart::default(),
            algorithm: match kind {
                Congestion::Cubic => Algorithm::Cubic(Cubic::default()),
                Congestion::NewReno => Algorithm::NewReno(NewReno::default()),
            },
        }
    }

    /// Changes the algorithm; the window stays.
    pub(crate) fn choose(&mut self, kind: Congestion) {
        self.algorithm = Control::new(kind, 1).algorithm;
    }

    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// A round trip was measured; `next` is SND.NXT, `una` the latest acknowledgement.
    pub(crate) fn rtt(&mut self, rtt_ns: u64, una: Seq, next: Seq) {
        if self.in_slow_start() && self.slow_start.sample(rtt_ns, una, next) {
            // RFC 9406, 4.3: the rounds of conservative slow start are over.
            self.ssthresh = self.cwnd;
        }
    }

    /// `acked` bytes were acknowledged while the window was full, outside of a recovery.
    pub(crate) fn acknowledged(&mut self, mut acked: u32, mss: u32, rtt_ns: u64, now_ns: u64) {
        if self.in_slow_start() {
            // RFC 5681, 3.1 with the byte counting of RFC 3465; RFC 9406, 4.2.
            let room = self.ssthresh - self.cwnd;
            let growth = self.slow_start.growth(acked).min(room);
            self.cwnd = (self.cwnd + growth).min(CWND_MAX);
            if growth < room {
                return;
            }
            acked = acked.saturating_sub(growth);
        }
        let cwnd = self.cwnd;
        let growth = match &mut self.algorithm {
            Algorithm::Cubic(cubic) => cubic.growth(cwnd, acked, mss, rtt_ns, now_ns),
            Algorithm::NewReno(newreno) => newreno.growth(cwnd, acked, mss),
        };
        self.cwnd = (self.cwnd + growth).min(CWND_MAX);
    }

    /// The state before a reduction.
    pub(crate) fn save(&self) -> Saved {
        Saved {
            cwnd: self.cwnd,
            ssthresh: self.ssthresh,
            algorithm: self.algorithm,
        }
    }

    /// Undoes a spurious reduction (RFC 4015; RFC 9438, 4.9).
    pub(crate) fn restore(&mut self, saved: &Saved) {
        self.cwnd = self.cwnd.max(saved.cwnd);
        self.ssthresh = saved.ssthresh;
        // Unless the algorithm was changed since.
        if core::mem::discriminant(&self.algorithm) == core::mem::discriminant(&saved.algorithm) {
            self.algorithm = saved.algorithm;
        }
    }

    /// Data was lost: sets the slow start threshold. Recovery sets the window.
    pub(crate) fn lost(&mut self, flight: u32, mss: u32) {
        let reduced = match &mut self.algorithm {
            // RFC 9438, 4.6: from the window, as it doesn't grow while it isn't full.
            Algorithm::Cubic(cubic) => cubic.reduce(self.cwnd, mss),
            // RFC 5681, 3.1 (4).
            Algorithm::NewReno(newreno) => newreno.reduce(self.cwnd.min(flight)),
        };
        self.ssthresh = reduced.max(2 * mss);
        self.slow_start = SlowStart::default();
    }

    /// After a retransmission timeout (RFC 5681, 3.1 (5); RFC 9438, 4.8).
    pub(crate) fn timeout(&mut self, mss: u32) {
        self.cwnd = mss;
        if let Algorithm::Cubic(cubic) = &mut self.algorithm {
            cubic.forget_epoch();
        }
    }

    /// Nothing was sent for longer than a retransmission timeout (RFC 5681, 4.1).
    pub(crate) fn idle(&mut self, mss: u32) {
        self.cwnd = self.cwnd.min(initial_window(mss));
        if let Algorithm::Cubic(cubic) = &mut self.algorithm {
            cubic.forget_epoch();
        }
        self.slow_start = SlowStart::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, initial_window};
    use crate::tcp::machine::seq::Seq;
    use crate::types::Congestion;

    const MS: u64 = 1_000_000;

    /// RFC 6928, 2.
    #[test]
    fn the_initial_window_is_ten_segments_of_ethernet() {
        assert_eq!(initial_window(1460), 14_600);
        assert_eq!(initial_window(536), 5360);
        assert_eq!(initial_window(8960), 17_920);
        assert_eq!(initial_window(1448), 14_480);
    }

    /// RFC 5681, 3.1: the window doubles in a round trip, then grows by a segment in each.
    #[test]
    fn newreno_doubles_then_grows_by_a_segment() {
        let mut control = Control::new(Congestion::NewReno, 1000);
        assert_eq!(control.cwnd, 10_000);
        control.acknowledged(10_000, 1000, 100 * MS, 0);
        assert_eq!(control.cwnd, 20_000);
        control.lost(20_000, 1000);
        assert_eq!(control.ssthresh, 10_000);
        control.cwnd = control.ssthresh;
        for _ in 0..10 {
            control.acknowledged(1000, 1000, 100 * MS, 0);
        }
        assert!(
            (10_990..=11_000).contains(&control.cwnd),
            "{}",
            control.cwnd
        );
        control.timeout(1000);
        assert_eq!((control.cwnd, control.in_slow_start()), (1000, true));
        control.idle(1000);
        assert_eq!(control.cwnd, 1000);
    }

    /// RFC 9438, 4.2 and 4.6: back at the old maximum after K, flat there, and beyond it later.
    #[test]
    fn cubic_returns_to_its_maximum_after_k() {
        let mut control = Control::new(Congestion::Cubic, 1000);
        let rtt_ns = 100 * MS;
        control.cwnd = 1_000_000;
        control.lost(1_000_000, 1000);
        assert_eq!(control.ssthresh, 700_000);
        control.cwnd = control.ssthresh;
        let mut now_ns = 0;
        let mut at = |control: &mut Control, until_ns: u64| {
            while now_ns < until_ns {
                for _ in 0..10 {
                    control.acknowledged(control.cwnd / 10, 1000, rtt_ns, now_ns);
                }
                now_ns += rtt_ns;
            }
            control.cwnd
        };
        // K = cbrt(300 / 0.4) = 9.09 s.
        let early = at(&mut control, 4000 * MS);
        assert!((900_000..970_000).contains(&early), "{early}");
        let maximum = at(&mut control, 9100 * MS);
        assert!((985_000..=1_002_000).contains(&maximum), "{maximum}");
        let beyond = at(&mut control, 14_000 * MS);
        assert!((1_020_000..1_080_000).contains(&beyond), "{beyond}");
        // Fast convergence (4.7): a second loss below the maximum leaves room to another flow.
        control.cwnd = 800_000;
        control.lost(800_000, 1000);
        assert_eq!(control.ssthresh, 560_000);
    }

    /// RFC 9438, 4.3: CUBIC is never slower than Reno.
    #[test]
    fn cubic_is_no_slower_than_reno_on_short_paths() {
        let mut cubic = Control::new(Congestion::Cubic, 1000);
        cubic.cwnd = 20_000;
        cubic.lost(20_000, 1000);
        cubic.cwnd = cubic.ssthresh;
        assert_eq!(cubic.cwnd, 14_000);
        let mut now_ns = 0;
        for _ in 0..20 {
            let acks = cubic.cwnd / 1000;
            for _ in 0..acks {
                cubic.acknowledged(1000, 1000, MS, now_ns);
            }
            now_ns += MS;
        }
        // About 0.53 segments in each round trip until the old maximum, then one.
        assert!((26_000..30_000).contains(&cubic.cwnd), "{}", cubic.cwnd);
    }

    /// RFC 5681, 3.1: acknowledged bytes beyond the threshold count for congestion avoidance.
    #[test]
    fn slow_start_ends_at_its_threshold() {
        let mut control = Control::new(Congestion::NewReno, 1000);
        control.ssthresh = 12_000;
        control.acknowledged(5000, 1000, 100 * MS, 0);
        assert_eq!((control.cwnd, control.in_slow_start()), (12_000, false));
        control.acknowledged(8999, 1000, 100 * MS, 0);
        assert_eq!(control.cwnd, 12_000);
        control.acknowledged(1, 1000, 100 * MS, 0);
        assert_eq!(control.cwnd, 13_000);
    }

    /// RFC 9406, 4.2: conservative slow start grows by a quarter of what is acknowledged, and not
    /// by what avoidance would add.
    #[test]
    fn conservative_slow_start_grows_by_a_quarter() {
        let mut control = Control::new(Congestion::NewReno, 1000);
        for (round, rtt_ms) in [(0, 40), (1, 60)] {
            let (una, next) = (Seq(round * 100), Seq(round * 100 + 100));
            (0..8).for_each(|_| control.rtt(rtt_ms * MS, una, next));
        }
        for n in 1..=10 {
            control.acknowledged(4000, 1000, 60 * MS, 0);
            assert_eq!(control.cwnd, 10_000 + n * 1000);
        }
    }

    /// After a change of the algorithm, a reduction by the other one is undone without its private
    /// state.
    #[test]
    fn algorithms_are_exchanged_and_restored() {
        let mut control = Control::new(Congestion::Cubic, 1000);
        control.cwnd = 100_000;
        control.lost(100_000, 1000);
        assert_eq!(control.ssthresh, 70_000);
        control.cwnd = 100_000;
        let saved = control.save();
        control.choose(Congestion::NewReno);
        control.lost(100_000, 1000);
        assert_eq!(control.ssthresh, 50_000);
        control.restore(&saved);
        assert_eq!(control.ssthresh, 70_000);
        control.lost(100_000, 1000);
        assert_eq!(control.ssthresh, 50_000, "still NewReno");
        // The same algorithm continues from its state: the maximum that it knew.
        let mut control = Control::new(Congestion::Cubic, 1000);
        control.cwnd = 100_000;
        control.lost(100_000, 1000);
        control.cwnd = control.ssthresh;
        let (mut twin, saved) = (control, control.save());
        control.lost(70_000, 1000);
        control.restore(&saved);
        for second in 0..10 {
            for one in [&mut control, &mut twin] {
                one.acknowledged(70_000, 1000, 100 * MS, second * 1000 * MS);
            }
            assert_eq!(control.cwnd, twin.cwnd);
        }
    }

    /// RFC 9406, 4.2 and 4.3.
    #[test]
    fn slow_start_ends_when_round_trips_grow() {
        let run = |later_ns: u64| {
            let mut control = Control::new(Congestion::Cubic, 1000);
            let mut una = Seq(0);
            for round in 0..12u32 {
                let rtt_ns = if round < 4 { 50 * MS } else { later_ns };
                let next = una + control.cwnd;
                for _ in 0..control.cwnd / 1000 {
                    una += 1000;
                    control.rtt(rtt_ns, una, next + (una - Seq(0)) / 1000);
                    control.acknowledged(1000, 1000, rtt_ns, 0);
                }
                if !control.in_slow_start() {
                    return round;
                }
            }
            12
        };
        assert_eq!(run(50 * MS), 12);
        let ended = run(60 * MS);
        assert!(
            (8..=10).contains(&ended),
            "five conservative rounds after the fifth: {ended}"
        );
    }
}

//! Clock discipline: how another clock corrects the rate of the time stamp counter.
//!
//! The counter's rate is measured over a few milliseconds when the time is first read.
//! [`ClockDiscipline`] then compares it with the PIT over longer and longer spans, so that the rate
//! becomes as exact as the span is long. The error until then is removed by slewing (a clock that
//! runs a little faster or slower for a while), never by a step. The PIT is exact but short: its
//! counter wraps every 55 ms.

use super::pit;
use crate::clock::{NS, Rate, scaled};

/// A reading of another clock, taken within a few ticks of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The counter, in the middle.
    pub ticks: u64,
    /// Ticks that the reading took: the other clock had its count somewhere within them.
    pub uncertainty: u64,
    /// The other clock's count.
    pub count: u64,
}

impl Reading {
    /// The tightest of a few readings, since the processor may be preempted during one. Not
    /// generic: an image has one copy for all clocks.
    pub fn take(counter: &dyn Fn() -> u64, other: &dyn Fn() -> u64) -> Self {
        let once = || {
            let before = counter();
            let count = other();
            let uncertainty = counter().saturating_sub(before);
            Self {
                ticks: before + uncertainty / 2,
                uncertainty,
                count,
            }
        };
        (0..3).fold(once(), |best, _| {
            let next = once();
            if next.uncertainty < best.uncertainty {
                next
            } else {
                best
            }
        })
    }

    /// Whether the ticks from here to `end` are known to one part in `parts`.
    pub fn is_exact(&self, end: &Self, parts: u64) -> bool {
        let span = end.ticks.saturating_sub(self.ticks);
        (self.uncertainty + end.uncertainty).saturating_mul(parts) <= span
    }
}

/// Two measurements of a rate agree when they differ by one part in [`RATE_TOLERANCE`] at most:
/// several times the error of each.
const RATE_TOLERANCE: u64 = 400;
/// Maximum number of measurements of a rate before all are rejected.
const MEASUREMENTS: usize = 8;

/// The later of the first two consecutive measurements, in Hz, that agree. `None` when no two
/// agree, or there is nothing to measure with.
///
/// The PIT's counter wraps every 55 ms. If the processor is preempted for longer during a
/// measurement, the result is several times too high, and only another measurement reveals that.
pub fn confirmed<const N: usize>(
    mut measure: impl FnMut() -> Option<[u64; N]>,
) -> Option<[u64; N]> {
    let mut last: Option<[u64; N]> = None;
    for _ in 0..MEASUREMENTS {
        let next = measure()?;
        let agrees = |last: [u64; N]| {
            let mut pairs = last.iter().zip(&next);
            pairs.all(|(one, other)| one.abs_diff(*other) <= one.max(other) / RATE_TOLERANCE)
        };
        if last.is_some_and(agrees) {
            return Some(next);
        }
        last = Some(next);
    }
    None
}

/// The first comparison, in nanoseconds: long enough for one part in 50 000, and shorter than the
/// PIT's period.
const FIRST_NS: u64 = 50_000_000;
/// The longest interval.
const MAX_INTERVAL_NS: u64 = 64 * NS;
/// A comparison is exact to one part in this many, or isn't used.
const PARTS: u64 = 20_000;
/// After this many consecutive implausible comparisons none follows: the other clock is stopped, or
/// absent.
const TRIES: u32 = 8;
/// The clock is slewed by one part in this many at most.
const SLEW: u64 = 1000;

/// Clock quality: the rate may be wrong by one part in `parts`. Over more than `certain_ns` the
/// number of wraps of the PIT's counter isn't known.
#[derive(Clone, Copy, Debug)]
struct Quality {
    parts: u64,
    certain_ns: u64,
}

/// Of a rate measured over milliseconds.
const MEASURED: Quality = Quality {
    parts: 500,
    certain_ns: 8 * NS,
};
/// Of a rate corrected by a comparison.
const COMPARED: Quality = Quality {
    parts: 10_000,
    certain_ns: 128 * NS,
};

/// Corrects the rate by the PIT's counter, of which a [`Reading`] has 16 bits, counting down.
#[derive(Debug)]
pub struct ClockDiscipline {
    last: Reading,
    /// The true time at `last`.
    true_ns: u64,
    rate: Rate,
    span_ns: u64,
    quality: Quality,
    tries: u32,
}

impl ClockDiscipline {
    /// A counter that runs at about `rate`; the time at `first` is right by definition.
    pub fn new(first: Reading, ns: u64, rate: Rate) -> Self {
        Self {
            last: first,
            true_ns: ns,
            rate,
            span_ns: FIRST_NS,
            quality: MEASURED,
            tries: TRIES,
        }
    }

    /// The counter when the next comparison is due.
    pub fn due(&self) -> u64 {
        if self.tries == 0 {
            return u64::MAX;
        }
        self.last
            .ticks
            .saturating_add(self.rate.ticks(self.span_ns))
    }

    /// Compares: `shown` is the clock's time at `now`. Returns the rate to run at from there on, or
    /// `None` to keep the present one. [`ClockDiscipline::due`] advances in both cases.
    pub fn compare(&mut self, now: Reading, shown: u64) -> Option<Rate> {
        let ticks = now.ticks.saturating_sub(self.last.ticks);
        if !self.last.is_exact(&now, PARTS) {
            // Not now: the processor was preempted in the middle.
            self.span_ns = self.rate.ns(ticks) + FIRST_NS;
            return None;
        }
        let expected = self.rate.ns(ticks);
        let expected_count = scaled(expected, pit::HZ, NS);
        // Of all counts with the known 16 bits, the nearest.
        let moved = self.last.count.wrapping_sub(now.count) as u16;
        let nearest = moved.wrapping_sub(expected_count as u16).cast_signed();
        let count = expected_count.saturating_add_signed(nearest.into());
        let ns = scaled(count, NS, pit::HZ);
        self.last = now;
        let certain = expected <= self.quality.certain_ns;
        if !certain || ns.abs_diff(expected) > expected / self.quality.parts {
            self.true_ns += expected;
            self.span_ns = FIRST_NS;
            if certain {
                self.quality = MEASURED;
                self.tries = self.tries.saturating_sub(1);
            }
            return None;
        }
        self.true_ns += ns;
        self.span_ns = (ns.max(FIRST_NS) * 4).min(MAX_INTERVAL_NS);
        self.tries = TRIES;
        self.rate = Rate::new(ticks, ns);
        self.quality = COMPARED;
        let error_ns = self.true_ns.abs_diff(shown).min(self.span_ns / SLEW);
        let turn = Rate::new(self.span_ns, error_ns).ns(self.rate.0);
        Some(Rate(if self.true_ns > shown {
            self.rate.0.saturating_add(turn)
        } else {
            self.rate.0 - turn
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{ClockDiscipline, MEASUREMENTS, NS, Rate, Reading, confirmed, pit};
    use crate::clock::Page;
    use core::cell::Cell;
    use proptest::prelude::*;

    /// A machine whose counter runs at `hz`, and whose processor is preempted now and then.
    struct Machine {
        ns: Cell<u64>,
        hz: u64,
        pit: bool,
        away: Cell<u64>,
    }

    impl Machine {
        fn new(hz: u64) -> Self {
            Self {
                ns: Cell::new(123_456_789),
                hz,
                pit: true,
                away: Cell::new(0),
            }
        }

        fn pass(&self, ns: u64) {
            self.ns.set(self.ns.get() + ns);
        }

        fn counter(&self) -> u64 {
            self.pass(50);
            (u128::from(self.ns.get()) * u128::from(self.hz) / u128::from(NS)) as u64
        }

        fn pit(&self) -> u64 {
            self.pass(900);
            let count = u128::from(self.ns.get()) * u128::from(pit::HZ) / u128::from(NS);
            self.pass(700 + self.away.take());
            if self.pit {
                u64::from((count as u16).wrapping_neg())
            } else {
                0xffff
            }
        }

        fn read(&self) -> Reading {
            Reading::take(&|| self.counter(), &|| self.pit())
        }

        /// Shows the time on a page whose rate begins wrong by `ppm`, asked every `step` ns for
        /// `span` ns; how much is wrong at the end, in ns, and the most that the clock was fast or
        /// slow between two questions, in ppm.
        fn keep(&self, ppm: i64, step: u64, span: u64) -> (u64, u64) {
            let page = Page::new();
            let right = Rate::new(self.hz, NS).0;
            let rate = Rate(right.saturating_add_signed(right as i64 / 1_000_000 * ppm));
            let first = self.read();
            page.write(first.ticks, 0, rate);
            let mut discipline = ClockDiscipline::new(first, 0, rate);
            let (begin, mut last, mut worst) = (self.ns.get(), (self.ns.get(), 0), 0);
            while self.ns.get() < begin + span {
                self.pass(step);
                let counter = self.counter();
                if counter >= discipline.due() {
                    let now = self.read();
                    let shown = page.read(|| now.ticks);
                    if let Some(rate) = discipline.compare(now, shown) {
                        page.write(now.ticks, shown, rate);
                    }
                    assert!(discipline.due() > counter);
                }
                let (true_now, shown) = (self.ns.get(), page.read(|| self.counter()));
                assert!(shown >= last.1, "time went back");
                let passed = true_now - last.0;
                worst = worst.max((shown - last.1).abs_diff(passed) * 1_000_000 / passed);
                last = (true_now, shown);
            }
            ((self.ns.get() - begin).abs_diff(last.1), worst)
        }
    }

    #[test]
    fn a_rate_is_measured_until_two_agree() {
        let measured = |list: &[u64]| {
            let mut left = list.iter();
            let found = confirmed(|| left.next().map(|hz| [*hz, hz / 2]));
            (found.map(|[hz, _]| hz), left.count())
        };
        assert_eq!(measured(&[2_600, 2_601, 2_602]), (Some(2_601), 1));
        // The processor was preempted in the first, the second, or both: for different times.
        assert_eq!(measured(&[17_000, 2_600, 2_600]), (Some(2_600), 0));
        assert_eq!(
            measured(&[2_600, 17_000, 2_600, 2_606, 1]),
            (Some(2_606), 1)
        );
        assert_eq!(measured(&[17_000, 31_000, 2_600, 2_600]), (Some(2_600), 0));
        assert_eq!(measured(&[2_600, 2_607, 2_614]), (None, 0));
        // A bounded number, and none where the first sees that there is no clock.
        let all: Vec<u64> = (1..100).map(|n| n * 1_000_000).collect();
        assert_eq!(measured(&all), (None, all.len() - MEASUREMENTS));
        assert_eq!(measured(&[]), (None, 0));
    }

    #[test]
    fn both_rates_have_to_agree() {
        let mut left = [[1000, 1], [1000, 2], [1000, 2]].into_iter();
        assert_eq!(confirmed(|| left.next()), Some([1000, 2]));
        assert_eq!(left.next(), None);
    }

    #[test]
    fn a_rate_that_was_measured_badly_is_made_right() {
        for (hz, ppm) in [
            (2_600_000_000, 900),
            (1_000_000_000, -900),
            (10_000_000, 40),
        ] {
            let (wrong, worst) = Machine::new(hz).keep(ppm, 10_000_000, 600 * NS);
            assert!(
                wrong < 50_000,
                "{hz} Hz, {ppm} ppm: {wrong} ns after 10 minutes"
            );
            assert!(worst < 2100, "{worst} ppm between two questions");
        }
    }

    #[test]
    fn a_long_silence_makes_nothing_worse() {
        // The clock isn't read for a minute: the PIT's counter may have wrapped around once more or
        // less than the rate says.
        for ppm in [-950, -500, 500, 950] {
            let machine = Machine::new(3_000_000_000);
            let span = 1200 * NS;
            let (wrong, _) = machine.keep(ppm, 60 * NS, span);
            let began = span / 1_000_000 * ppm.unsigned_abs();
            assert!(wrong <= began + began / 10, "{wrong} ns, {ppm} ppm");
        }
        // With two readings a few seconds apart it is corrected for good.
        let (wrong, _) = Machine::new(3_000_000_000).keep(950, 5 * NS, 1200 * NS);
        assert!(wrong < 100_000, "{wrong}");
    }

    #[test]
    fn a_clock_that_stands_is_not_believed() {
        let mut machine = Machine::new(2_000_000_000);
        machine.pit = false;
        let (wrong, _) = machine.keep(100, 10_000_000, 100 * NS);
        assert!(
            wrong.abs_diff(10_000_000) < 10_000,
            "{wrong} ns, 100 ppm of 100 s are 10 ms"
        );
    }

    #[test]
    fn a_reading_is_the_tightest_of_a_few() {
        let machine = Machine::new(NS);
        machine.away.set(4_000_000);
        assert!(machine.read().uncertainty < 2000);
        let [from, to] = [(1000, 10), (21_000, 10)].map(|(ticks, uncertainty)| Reading {
            ticks,
            uncertainty,
            count: 0,
        });
        assert!(from.is_exact(&to, 1000) && !from.is_exact(&to, 1001));
    }

    #[test]
    fn a_reading_with_a_gap_waits_for_a_better_one() {
        let rate = Rate::new(NS, NS);
        let reading = |ticks, uncertainty| Reading {
            ticks,
            uncertainty,
            count: 0,
        };
        let mut discipline = ClockDiscipline::new(reading(0, 100), 0, rate);
        assert_eq!(discipline.due(), 50_000_000);
        assert_eq!(discipline.compare(reading(50_000_000, 5_000_000), 0), None);
        assert_eq!(discipline.due(), 100_000_000);
        assert_eq!(discipline.true_ns, 0);
    }

    proptest! {
        #[test]
        fn time_never_goes_back(
            hz in 5_000_000u64..6_000_000_000,
            ppm in -1000i64..1000,
            step in 1_000_000u64..5 * NS,
        ) {
            let span = 200 * step;
            let (wrong, _) = Machine::new(hz).keep(ppm, step, span);
            // Never further off than where it began.
            prop_assert!(wrong <= span / 1000 + 10_000, "{} ns of {}", wrong, span);
        }
    }
}

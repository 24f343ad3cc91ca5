//! The arithmetic of time: a counter and its rate, and how another clock keeps the rate right.
//!
//! A machine's counter runs at a rate that is measured over a few milliseconds, when the time is
//! first asked for. [`Discipline`] then compares it with a clock that is right but short (the PIT's
//! counter begins again every 55 ms), over longer and longer spans: the rate gets as exact as the
//! span is long, and what was shown wrongly until then is made up for by a clock that runs a little
//! faster or slower for a while, never by a step.

use core::sync::atomic::{AtomicI8, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

/// Nanoseconds in a second.
pub const NS: u64 = 1_000_000_000;
/// Of the PIT's counter, in Hz.
pub const PIT_HZ: u64 = 1_193_182;

/// `value * factor / part`, or the largest number. One function, since each division of 128 bits
/// takes as much code as this.
#[inline(never)]
pub fn scaled(value: u64, factor: u64, part: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(factor) / u128::from(part.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Nanoseconds of a tick are a multiple of 2^-32.
const SHIFT: u32 = 32;

/// How long a tick of the counter is, in nanoseconds times 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl Rate {
    /// `ticks` in `ns` nanoseconds.
    pub fn new(ticks: u64, ns: u64) -> Self {
        Self(scaled(ns, 1 << SHIFT, ticks).max(1))
    }

    /// The length of `ticks` in nanoseconds.
    pub fn ns(self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.0)) >> SHIFT) as u64
    }

    /// The ticks of `ns` nanoseconds.
    pub fn ticks(self, ns: u64) -> u64 {
        scaled(ns, 1 << SHIFT, self.0)
    }
}

/// `struct pvclock_vcpu_time_info`: what the time is, as a function of the counter. The host writes
/// it, or we ourselves.
///
/// Source: Linux's Documentation/virt/kvm/x86/msr.rst.
#[repr(C, align(64))]
pub struct Page {
    version: AtomicU32,
    _padding: u32,
    tsc_timestamp: AtomicU64,
    system_time: AtomicU64,
    multiplier: AtomicU32,
    shift: AtomicI8,
    flags: AtomicU8,
}

impl Page {
    /// A page on which time stands at 0.
    pub const fn new() -> Self {
        Self {
            version: AtomicU32::new(0),
            _padding: 0,
            tsc_timestamp: AtomicU64::new(0),
            system_time: AtomicU64::new(0),
            multiplier: AtomicU32::new(0),
            shift: AtomicI8::new(0),
            flags: AtomicU8::new(0),
        }
    }

    /// Nanoseconds; `counter` reads the counter.
    pub fn read(&self, counter: impl Fn() -> u64) -> u64 {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let delta = counter().saturating_sub(self.tsc_timestamp.load(Ordering::Relaxed));
            let shift = self.shift.load(Ordering::Relaxed);
            let multiplier = u64::from(self.multiplier.load(Ordering::Relaxed));
            let system_time = self.system_time.load(Ordering::Relaxed);
            // Pairs with the writer, who makes the version odd before it changes the rest and even
            // afterwards.
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && version == self.version.load(Ordering::Relaxed) {
                let delta = if shift >= 0 {
                    delta << shift.min(63)
                } else {
                    delta >> shift.unsigned_abs().min(63)
                };
                return system_time + Rate(multiplier).ns(delta);
            }
        }
    }

    /// The rate at which time runs, as nearly as the page has it, even in the middle of a change;
    /// `None` while it stands.
    pub fn rate(&self) -> Option<Rate> {
        let multiplier = u64::from(self.multiplier.load(Ordering::Relaxed));
        let rate = match self.shift.load(Ordering::Relaxed) {
            shift @ 0.. => multiplier << shift.min(31),
            shift => multiplier >> shift.unsigned_abs().min(31),
        };
        (rate != 0).then_some(Rate(rate))
    }

    /// From counter `ticks` on, where it is `ns`, time runs at `rate`. Interrupts are closed: who
    /// reads in one must not find the page half written.
    pub fn write(&self, ticks: u64, ns: u64, rate: Rate) {
        let excess = (64 - rate.0.leading_zeros()).saturating_sub(32);
        self.version.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.tsc_timestamp.store(ticks, Ordering::Relaxed);
        self.system_time.store(ns, Ordering::Relaxed);
        self.multiplier
            .store((rate.0 >> excess) as u32, Ordering::Relaxed);
        self.shift.store(excess as i8, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// What another clock showed while the counter went through a few ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The counter, in the middle.
    pub ticks: u64,
    /// Ticks between asking and knowing: the clock showed its count somewhere in between.
    pub doubt: u64,
    /// What the other clock showed.
    pub count: u64,
}

impl Reading {
    /// The tightest of a few readings, since the processor may be taken away in the middle of one.
    pub fn take(counter: impl Fn() -> u64, other: impl Fn() -> u64) -> Self {
        let once = || {
            let before = counter();
            let count = other();
            let doubt = counter().saturating_sub(before);
            Self {
                ticks: before + doubt / 2,
                doubt,
                count,
            }
        };
        (0..3).fold(once(), |best, _| {
            let next = once();
            if next.doubt < best.doubt { next } else { best }
        })
    }

    /// Whether the ticks from here to `end` are known to one part in `parts`.
    pub fn is_exact(&self, end: &Self, parts: u64) -> bool {
        let span = end.ticks.saturating_sub(self.ticks);
        (self.doubt + end.doubt).saturating_mul(parts) <= span
    }
}

/// Two measurements of a rate agree when they differ by one part in so many at most: several times
/// what each may be wrong by.
const AGREE: u64 = 400;
/// Measurements of a rate at most, before none is believed.
const MEASUREMENTS: usize = 8;

/// The later of the first two measurements in a row, in Hz, that agree. The PIT's counter comes
/// round every 55 ms: where the processor is taken away for longer in the middle of a measurement,
/// that shows a rate several times too high, and nothing else tells. `None` when no two agree, or
/// there is nothing to measure with.
pub fn confirmed<const N: usize>(
    mut measure: impl FnMut() -> Option<[u64; N]>,
) -> Option<[u64; N]> {
    let mut last: Option<[u64; N]> = None;
    for _ in 0..MEASUREMENTS {
        let next = measure()?;
        let agrees = |last: [u64; N]| {
            let mut pairs = last.iter().zip(&next);
            pairs.all(|(one, other)| one.abs_diff(*other) <= one.max(other) / AGREE)
        };
        if last.is_some_and(agrees) {
            return Some(next);
        }
        last = Some(next);
    }
    None
}

/// The first comparison, in nanoseconds: long enough for one part in 50 000, and shorter than the
/// PIT's round.
const FIRST_NS: u64 = 50_000_000;
/// The longest.
const LONGEST_NS: u64 = 64 * NS;
/// A comparison is exact to one part in so many, or isn't used.
const PARTS: u64 = 20_000;
/// So many comparisons in a row that aren't believed, and there are no more: the other clock
/// stands, or isn't there.
const TRIES: u32 = 8;
/// The clock is made faster or slower by one part in so many at most.
const SLEW: u64 = 1000;

/// How far a rate may be wrong: by one part in `parts`. Over a longer time than `certain_ns` it
/// isn't known how often the PIT's counter came round.
#[derive(Clone, Copy, Debug)]
struct Trust {
    parts: u64,
    certain_ns: u64,
}

/// In a rate that was measured over milliseconds.
const LITTLE: Trust = Trust {
    parts: 500,
    certain_ns: 8 * NS,
};
/// In one that was compared.
const MUCH: Trust = Trust {
    parts: 10_000,
    certain_ns: 128 * NS,
};

/// Keeps the rate right by the PIT's counter, of which a [`Reading`] has 16 bits, counting down.
#[derive(Debug)]
pub struct Discipline {
    last: Reading,
    /// What the time really was at `last`.
    true_ns: u64,
    rate: Rate,
    span_ns: u64,
    trust: Trust,
    tries: u32,
}

impl Discipline {
    /// A counter that runs at about `rate`; the time at `first` is right by definition.
    pub fn new(first: Reading, ns: u64, rate: Rate) -> Self {
        Self {
            last: first,
            true_ns: ns,
            rate,
            span_ns: FIRST_NS,
            trust: LITTLE,
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

    /// Compares: `shown` is the time that the clock shows at `now`. The rate to run at from there
    /// on, or `None` to run on as before. Whatever is answered, [`Discipline::due`] has moved on.
    pub fn compare(&mut self, now: Reading, shown: u64) -> Option<Rate> {
        let ticks = now.ticks.saturating_sub(self.last.ticks);
        if !self.last.is_exact(&now, PARTS) {
            // Not now: the processor was taken away in the middle.
            self.span_ns = self.rate.ns(ticks) + FIRST_NS;
            return None;
        }
        let expected = self.rate.ns(ticks);
        let expected_count = scaled(expected, PIT_HZ, NS);
        // Of all counts that end in the 16 bits that are known, the nearest.
        let moved = self.last.count.wrapping_sub(now.count) as u16;
        let nearest = moved.wrapping_sub(expected_count as u16).cast_signed();
        let count = expected_count.saturating_add_signed(nearest.into());
        let ns = scaled(count, NS, PIT_HZ);
        self.last = now;
        let certain = expected <= self.trust.certain_ns;
        if !certain || ns.abs_diff(expected) > expected / self.trust.parts {
            self.true_ns += expected;
            self.span_ns = FIRST_NS;
            if certain {
                self.trust = LITTLE;
                self.tries = self.tries.saturating_sub(1);
            }
            return None;
        }
        self.true_ns += ns;
        self.span_ns = (ns.max(FIRST_NS) * 4).min(LONGEST_NS);
        self.tries = TRIES;
        self.rate = Rate::new(ticks, ns);
        self.trust = MUCH;
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
    use super::{Discipline, MEASUREMENTS, NS, PIT_HZ, Page, Rate, Reading, confirmed};
    use core::cell::Cell;
    use proptest::prelude::*;

    /// A machine whose counter runs at `hz`, and which takes the processor away now and then.
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
            let count = u128::from(self.ns.get()) * u128::from(PIT_HZ) / u128::from(NS);
            self.pass(700 + self.away.take());
            if self.pit {
                u64::from((count as u16).wrapping_neg())
            } else {
                0xffff
            }
        }

        fn read(&self) -> Reading {
            Reading::take(|| self.counter(), || self.pit())
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
            let mut discipline = Discipline::new(first, 0, rate);
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
        // The processor was away in the first, the second, or both: for different times.
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
        // Nobody asks for a minute, when the PIT's counter may have come round once more or less
        // than the rate says.
        for ppm in [-950, -500, 500, 950] {
            let machine = Machine::new(3_000_000_000);
            let span = 1200 * NS;
            let (wrong, _) = machine.keep(ppm, 60 * NS, span);
            let began = span / 1_000_000 * ppm.unsigned_abs();
            assert!(wrong <= began + began / 10, "{wrong} ns, {ppm} ppm");
        }
        // With two questions a few seconds apart it is made right for good.
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
        assert!(machine.read().doubt < 2000);
        let [from, to] = [(1000, 10), (21_000, 10)].map(|(ticks, doubt)| Reading {
            ticks,
            doubt,
            count: 0,
        });
        assert!(from.is_exact(&to, 1000) && !from.is_exact(&to, 1001));
    }

    #[test]
    fn a_reading_with_a_gap_waits_for_a_better_one() {
        let rate = Rate::new(NS, NS);
        let reading = |ticks, doubt| Reading {
            ticks,
            doubt,
            count: 0,
        };
        let mut discipline = Discipline::new(reading(0, 100), 0, rate);
        assert_eq!(discipline.due(), 50_000_000);
        assert_eq!(discipline.compare(reading(50_000_000, 5_000_000), 0), None);
        assert_eq!(discipline.due(), 100_000_000);
        assert_eq!(discipline.true_ns, 0);
    }

    #[test]
    fn a_rate_is_exact_to_a_part_in_a_thousand_million() {
        let rate = Rate::new(2_599_998_000, NS);
        assert!(rate.ns(2_599_998_000 * 3600).abs_diff(3600 * NS) < 3600);
        assert!(rate.ticks(60 * NS).abs_diff(2_599_998_000 * 60) < 200);
        // Slower than a tick each nanosecond: the page's multiplier has 32 bits.
        let page = Page::new();
        page.write(5, 7, Rate::new(1_000_000, NS));
        assert_eq!(
            (page.read(|| 5), page.read(|| 1005), page.read(|| 0)),
            (7, 1_000_007, 7)
        );
    }

    #[test]
    fn a_page_is_read_as_the_host_means_it() {
        // Linux: (delta << shift) * mul >> 32, and to the right where the shift is negative.
        let page = Page::new();
        page.write(100, 1000, Rate(1 << 31));
        page.shift.store(-1, core::sync::atomic::Ordering::Relaxed);
        assert_eq!(page.read(|| 500), 1100);
        assert_eq!(page.rate(), Some(Rate(1 << 30)));
        page.shift.store(2, core::sync::atomic::Ordering::Relaxed);
        assert_eq!(page.read(|| 500), 1800);
        assert_eq!(page.rate(), Some(Rate(1 << 33)));
        assert_eq!(Page::new().rate(), None);
        // A page that is being changed is read again, and whole.
        page.version.store(1, core::sync::atomic::Ordering::Relaxed);
        let asked = Cell::new(0);
        let now = page.read(|| {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                page.write(0, 0, Rate(1 << 32));
                page.version.store(4, core::sync::atomic::Ordering::Relaxed);
            }
            500
        });
        assert_eq!((now, asked.get()), (500, 4));
    }

    proptest! {
        #[test]
        fn time_never_goes_back(hz in 5_000_000u64..6_000_000_000, ppm in -1000i64..1000, step in 1_000_000u64..5 * NS) {
            let span = 200 * step;
            let (wrong, _) = Machine::new(hz).keep(ppm, step, span);
            // Never further off than where it began.
            prop_assert!(wrong <= span / 1000 + 10_000, "{} ns of {}", wrong, span);
        }
    }
}

//! The time as a function of the processor's counter, on a page that the host writes under KVM on a
//! PC ("pvclock"), and the kernel itself otherwise.
//!
//! Source: Linux's Documentation/virt/kvm/x86/msr.rst.

use sync::atomic::{AtomicI8, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

/// Nanoseconds in a second.
pub const NS: u64 = 1_000_000_000;

/// `value * factor / part`, saturating. One function, since each 128-bit division takes as much
/// code as this.
#[inline(never)]
pub fn scaled(value: u64, factor: u64, part: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(factor) / u128::from(part.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// The flag by which a host promises that a page is right on every processor
/// (`PVCLOCK_TSC_STABLE_BIT`).
const STABLE: u8 = 1;
/// Nanoseconds of a tick are a multiple of 2^-32.
const SHIFT: u32 = 32;

/// The length of a tick of the counter, in nanoseconds times 2^32.
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

/// `struct pvclock_vcpu_time_info`: the time as a function of the counter. The host writes it, or
/// the kernel itself.
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
    /// A page with a stopped clock at 0.
    #[expect(clippy::new_without_default, reason = "only statics are made")]
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
        self.read_promised(counter).0
    }

    /// The same, and whether the host promises that the page is right on every processor.
    #[inline(always)]
    pub fn read_promised(&self, counter: impl Fn() -> u64) -> (u64, bool) {
        let ([time, since], flags) =
            self.read_at(|timestamp| counter().saturating_sub(timestamp.load(Ordering::Relaxed)));
        (time + since, flags & STABLE != 0)
    }

    /// By how much the clock is ahead of the counter, in nanoseconds: constant while the host
    /// leaves both alone. It changes where only one of them goes on when the machine does.
    pub fn ahead_ns(&self) -> i64 {
        let ([time, ticks], _) = self.read_at(|timestamp| timestamp.load(Ordering::Relaxed));
        time.wrapping_sub(ticks).cast_signed()
    }

    /// The counter at which the host last based the clock: constant while the machine runs on a
    /// host that promises a stable counter, else `None`.
    pub fn based_at(&self) -> Option<u64> {
        self.is_stable()
            .then(|| self.tsc_timestamp.load(Ordering::Relaxed))
    }

    /// The clock's time at its timestamp, the length of the ticks that `ticks` finds for that, and
    /// the host's flags.
    #[inline(always)]
    fn read_at(&self, ticks: impl Fn(&AtomicU64) -> u64) -> ([u64; 2], u8) {
        loop {
            // Acquire: the fields, and the counter, are read after it.
            let version = self.version.load(Ordering::Acquire);
            let delta = ticks(&self.tsc_timestamp);
            let shift = self.shift.load(Ordering::Relaxed);
            let multiplier = u64::from(self.multiplier.load(Ordering::Relaxed));
            let system_time = self.system_time.load(Ordering::Relaxed);
            let flags = self.flags.load(Ordering::Relaxed);
            // Acquire: pairs with the writer, which makes the version odd before it changes the
            // rest and even afterwards.
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && version == self.version.load(Ordering::Relaxed) {
                let delta = if shift >= 0 {
                    delta << shift.min(63)
                } else {
                    delta >> shift.unsigned_abs().min(63)
                };
                return ([system_time, Rate(multiplier).ns(delta)], flags);
            }
        }
    }

    /// The rate of the clock, as exactly as the page has it, even during a change; `None` while it
    /// is stopped.
    pub fn rate(&self) -> Option<Rate> {
        let multiplier = u64::from(self.multiplier.load(Ordering::Relaxed));
        let rate = match self.shift.load(Ordering::Relaxed) {
            shift @ 0.. => multiplier << shift.min(31),
            shift => multiplier >> shift.unsigned_abs().min(31),
        };
        (rate != 0).then_some(Rate(rate))
    }

    /// Whether the host promises that it is right on every processor.
    fn is_stable(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & STABLE != 0
    }

    /// As a host that gives this promise or takes it back.
    #[cfg(test)]
    pub fn set_stable(&self, is_stable: bool) {
        self.flags.store(is_stable.into(), Ordering::Relaxed);
    }

    /// From counter `ticks` on, at time `ns`, the clock runs at `rate`. Interrupts are disabled: a
    /// reader in one would wait for a half-written page.
    pub fn write(&self, ticks: u64, ns: u64, rate: Rate) {
        let excess = (64 - rate.0.leading_zeros()).saturating_sub(32);
        self.version.fetch_add(1, Ordering::Relaxed);
        // Release: the odd version is seen before any field that changes.
        fence(Ordering::Release);
        self.tsc_timestamp.store(ticks, Ordering::Relaxed);
        self.system_time.store(ns, Ordering::Relaxed);
        self.multiplier
            .store((rate.0 >> excess) as u32, Ordering::Relaxed);
        self.shift.store(excess as i8, Ordering::Relaxed);
        // Release: the even version is seen after all of them.
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// A time of day by a clock of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// In nanoseconds since 1970.
    pub ns: u64,
    /// False of a clock that has whole seconds.
    pub is_exact: bool,
}

impl TimeOfDay {
    /// The time by a clock that shows whole seconds, `shown` in nanoseconds: the middle of the
    /// second in progress, so that the error is half a second at most. `lag` is the mean of another
    /// error, by which the clock itself is late.
    pub fn of_seconds(shown: u64, lag: u64) -> Self {
        Self {
            ns: shown.saturating_add(NS / 2 + lag),
            is_exact: false,
        }
    }
}

/// Why the counters of several processors may be taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The host promises it.
    Promised,
    /// They run at one rate: a comparison shows it.
    Compare,
    /// They may not.
    None,
}

/// The page of this machine, and of its first processor. Written by the host, or by
/// [`crate::time`] with interrupts disabled; read from everywhere, on any processor.
pub static PAGE: Page = Page::new();

/// Ticks of the counter that take at least `ns` nanoseconds, for a wait that must end in any
/// context: measures nothing and takes no lock. Before the first calibration it assumes the fastest
/// existing counter.
pub fn ticks(ns: u64) -> u64 {
    const FASTEST_HZ: u64 = 6 * NS;
    PAGE.rate()
        .unwrap_or_else(|| Rate::new(FASTEST_HZ, NS))
        .ticks(ns)
}

#[cfg(test)]
mod tests {
    use super::{NS, Page, Rate, TimeOfDay};
    use core::cell::Cell;
    use core::sync::atomic::Ordering;

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

    /// Whenever it is read, a clock of whole seconds is wrong by half a second at most; one that
    /// began up to a second late, by a whole one.
    #[test]
    fn a_clock_of_whole_seconds_is_in_the_middle_of_one() {
        for part in 0..10 {
            let real = 1_795_000_000 * NS + part * (NS / 10);
            let read = TimeOfDay::of_seconds(real / NS * NS, 0);
            assert!(read.ns.abs_diff(real) <= NS / 2 && !read.is_exact, "{part}");
            for late in 0..10 {
                let shown = (real - late * (NS / 10)) / NS * NS;
                let read = TimeOfDay::of_seconds(shown, NS / 2);
                assert!(read.ns.abs_diff(real) <= NS, "{part} {late}");
            }
        }
    }

    #[test]
    fn a_page_is_read_as_the_host_means_it() {
        // Linux: (delta << shift) * mul >> 32, and to the right where the shift is negative.
        let page = Page::new();
        page.write(100, 1000, Rate(1 << 31));
        page.shift.store(-1, Ordering::Relaxed);
        assert_eq!(page.read(|| 500), 1100);
        assert_eq!(page.rate(), Some(Rate(1 << 30)));
        page.shift.store(2, Ordering::Relaxed);
        assert_eq!(page.read(|| 500), 1800);
        assert_eq!(page.rate(), Some(Rate(1 << 33)));
        assert_eq!(Page::new().rate(), None);
        // A change of both leaves the distance; a clock that jumps over a pause doesn't.
        page.write(100, 1000, Rate(1 << 31));
        let before = page.ahead_ns();
        page.write(300, 1100, Rate(1 << 31));
        assert_eq!((before, page.ahead_ns()), (950, 950));
        page.write(300, 5_001_100, Rate(1 << 31));
        assert_eq!(page.ahead_ns(), 5_000_950);
        // Without the promise the host bases it at any time.
        assert_eq!(page.based_at(), None);
        page.flags.store(1, Ordering::Relaxed);
        assert_eq!(page.based_at(), Some(300));
        // A page that is being changed is read again as a whole.
        page.version.store(1, Ordering::Relaxed);
        let asked = Cell::new(0);
        let now = page.read(|| {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                page.write(0, 0, Rate(1 << 32));
                page.version.store(4, Ordering::Relaxed);
            }
            500
        });
        assert_eq!((now, asked.get()), (500, 4));
    }
}

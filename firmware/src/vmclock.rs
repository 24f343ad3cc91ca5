//! VMClock: a page on which the host says when the machine's clock was disrupted, whether the
//! machine goes on from a snapshot, and, if it can, the time as a function of the counter.
//!
//! Source: Linux's include/uapi/linux/vmclock-abi.h, and UAPI.13, whose offset of the last field
//! (0x64) is a misprint: QEMU and Firecracker have it at 0x68.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// Nanoseconds per second.
const NS: u64 = 1_000_000_000;

/// "VCLK".
const MAGIC: u32 = 0x4b4c_4356;
const TIME_UTC: u8 = 0;
const TIME_TAI: u8 = 1;
const TAI_OFFSET_VALID: u64 = 1 << 0;
const GENERATION_PRESENT: u64 = 1 << 8;
const SYNCHRONIZED: u8 = 2;
const FREERUNNING: u8 = 3;
/// Attempts to read a page that the host is changing; a host that never ends counts as absent.
const ATTEMPTS: u32 = 10_000;

/// `struct vmclock_abi`. The host writes it.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Page {
    magic: AtomicU32,
    size: AtomicU32,
    version: AtomicU16,
    counter_id: AtomicU8,
    time_type: AtomicU8,
    /// Odd while the host changes the rest.
    seq_count: AtomicU32,
    disruption_marker: AtomicU64,
    flags: AtomicU64,
    _pad: [AtomicU8; 2],
    clock_status: AtomicU8,
    _smearing_hint: AtomicU8,
    /// Seconds, of two's complement: TAI minus UTC.
    tai_offset: AtomicU16,
    _leap_indicator: AtomicU8,
    period_shift: AtomicU8,
    counter_value: AtomicU64,
    /// In 2^-(64 + shift) seconds.
    period: AtomicU64,
    _period_errors: [AtomicU64; 2],
    time_sec: AtomicU64,
    /// In 2^-64 seconds.
    time_frac: AtomicU64,
    _time_errors: [AtomicU64; 2],
    generation: AtomicU64,
}

/// What a page says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Changes when the counter may have been disrupted, as by a live migration.
    pub disruption: u64,
    /// Nanoseconds since 1970, UTC; `None` if this host doesn't say.
    pub wall_ns: Option<u64>,
}

impl Page {
    /// Whether it is a page of a known version.
    pub fn is_valid(&self) -> bool {
        let [magic, size] = [&self.magic, &self.size].map(|word| word.load(Ordering::Relaxed));
        magic == MAGIC
            && size as usize >= size_of::<Self>()
            && self.version.load(Ordering::Relaxed) == 1
    }

    /// What `read` finds while the host changes nothing. `None` if the host doesn't end a change.
    fn read<T>(&self, read: impl Fn() -> T) -> Option<T> {
        for _ in 0..ATTEMPTS {
            // Acquire: none of the reads happens before it; nor, by the fence, after the second
            // load. The host makes the number odd before it changes the rest, and even afterwards.
            let sequence = self.seq_count.load(Ordering::Acquire);
            let found = read();
            fence(Ordering::Acquire);
            if sequence.is_multiple_of(2) && sequence == self.seq_count.load(Ordering::Relaxed) {
                return Some(found);
            }
            core::hint::spin_loop();
        }
        None
    }

    /// The page's state; `counter` reads the counter, whose number in VMClock is `counter_id`.
    /// `None` if the host doesn't end a change.
    pub fn state(&self, counter_id: u8, counter: impl Fn() -> u64) -> Option<State> {
        self.read(|| State {
            disruption: self.disruption_marker.load(Ordering::Relaxed),
            wall_ns: self.wall_ns(counter_id, counter()),
        })
    }

    /// A number that changes when the machine goes on from a snapshot, if the page has it.
    pub fn generation(&self) -> Option<u64> {
        let generation = self.read(|| {
            let is_present = self.flags.load(Ordering::Relaxed) & GENERATION_PRESENT != 0;
            is_present.then(|| self.generation.load(Ordering::Relaxed))
        });
        generation.flatten()
    }

    /// The time of day when the counter is `ticks`, if the page has it and it fits into 64 bits.
    fn wall_ns(&self, counter_id: u8, ticks: u64) -> Option<u64> {
        let is_reliable = matches!(
            self.clock_status.load(Ordering::Relaxed),
            SYNCHRONIZED | FREERUNNING
        );
        if !is_reliable || self.counter_id.load(Ordering::Relaxed) != counter_id {
            return None;
        }
        let has_offset = self.flags.load(Ordering::Relaxed) & TAI_OFFSET_VALID != 0;
        let offset = match self.time_type.load(Ordering::Relaxed) {
            TIME_UTC => 0,
            TIME_TAI if has_offset => self.tai_offset.load(Ordering::Relaxed).cast_signed(),
            _ => return None,
        };
        let [sec, frac] = [&self.time_sec, &self.time_frac].map(|at| at.load(Ordering::Relaxed));
        let delta = ticks.saturating_sub(self.counter_value.load(Ordering::Relaxed));
        let period = u128::from(self.period.load(Ordering::Relaxed));
        let shift = u32::from(self.period_shift.load(Ordering::Relaxed));
        let passed = (u128::from(delta) * period).checked_shr(shift);
        let time = (u128::from(sec) << 64 | u128::from(frac)).checked_add(passed.unwrap_or(0))?;
        let sec = ((time >> 64) as u64).checked_add_signed(-i64::from(offset))?;
        let ns = (u128::from(time as u64) * u128::from(NS)) >> 64;
        sec.checked_mul(NS)?.checked_add(ns as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use core::mem::offset_of;
    use proptest::prelude::{any, proptest};

    /// The counter's number.
    const COUNTER: u8 = 1;

    fn empty() -> Page {
        let page = Page::default();
        page.magic.store(MAGIC, Ordering::Relaxed);
        page.size.store(0x1000, Ordering::Relaxed);
        page.version.store(1, Ordering::Relaxed);
        page.counter_id.store(0xff, Ordering::Relaxed);
        page
    }

    /// 1,000 seconds after 1970 at counter 500, of a counter of 1 GHz (UAPI.13's example).
    fn timed(time_type: u8, flags: u64) -> Page {
        let page = empty();
        page.counter_id.store(COUNTER, Ordering::Relaxed);
        page.time_type.store(time_type, Ordering::Relaxed);
        page.flags.store(flags, Ordering::Relaxed);
        page.tai_offset.store(37, Ordering::Relaxed);
        page.clock_status.store(SYNCHRONIZED, Ordering::Relaxed);
        page.counter_value.store(500, Ordering::Relaxed);
        page.period.store(0x8970_5f41_36b4_a597, Ordering::Relaxed);
        page.period_shift.store(29, Ordering::Relaxed);
        page.time_sec.store(1_000, Ordering::Relaxed);
        page.time_frac.store(1 << 63, Ordering::Relaxed);
        page
    }

    fn wall(page: &Page, ticks: u64) -> Option<u64> {
        page.state(COUNTER, || ticks)
            .expect("no change is under way")
            .wall_ns
    }

    #[test]
    fn fields_are_where_linux_has_them() {
        assert_eq!(offset_of!(Page, seq_count), 12);
        assert_eq!(offset_of!(Page, disruption_marker), 16);
        assert_eq!(offset_of!(Page, clock_status), 34);
        assert_eq!(offset_of!(Page, tai_offset), 36);
        assert_eq!(offset_of!(Page, period_shift), 39);
        assert_eq!(offset_of!(Page, counter_value), 40);
        assert_eq!(offset_of!(Page, time_sec), 72);
        assert_eq!(offset_of!(Page, generation), 104);
        assert_eq!(size_of::<Page>(), 112);
    }

    #[test]
    fn a_page_of_another_kind_is_refused() {
        assert!(empty().is_valid());
        for spoil in [
            |page: &Page| page.magic.store(MAGIC + 1, Ordering::Relaxed),
            |page: &Page| page.size.store(111, Ordering::Relaxed),
            |page: &Page| page.version.store(2, Ordering::Relaxed),
        ] {
            let page = empty();
            spoil(&page);
            assert!(!page.is_valid());
        }
    }

    #[test]
    fn qemus_page_has_a_marker_only() {
        let page = empty();
        page.disruption_marker.store(7, Ordering::Relaxed);
        page.generation.store(9, Ordering::Relaxed);
        let state = State {
            disruption: 7,
            wall_ns: None,
        };
        assert_eq!(
            (page.state(COUNTER, || 0), page.generation()),
            (Some(state), None)
        );
        page.flags.store(GENERATION_PRESENT, Ordering::Relaxed);
        assert_eq!(
            (page.state(COUNTER, || 0), page.generation()),
            (Some(state), Some(9))
        );
    }

    #[test]
    fn the_time_follows_the_counter() {
        let utc = timed(TIME_UTC, 0);
        assert_eq!(wall(&utc, 500), Some(1_000_500_000_000));
        // A day later, to a nanosecond.
        let day = 86_400 * NS;
        let later = wall(&utc, 500 + day).expect("a time");
        assert!(later.abs_diff(1_000_500_000_000 + day) <= 1, "{later}");
        // A counter behind the host's has seen no time pass.
        assert_eq!(wall(&utc, 0), Some(1_000_500_000_000));
        let tai = timed(TIME_TAI, TAI_OFFSET_VALID);
        assert_eq!(wall(&tai, 500), Some(963_500_000_000));
    }

    #[test]
    fn a_time_that_may_be_wrong_is_none() {
        assert_eq!(
            wall(&timed(TIME_TAI, 0), 500),
            None,
            "without its offset from UTC"
        );
        assert_eq!(wall(&timed(2, 0), 500), None, "monotonic");
        for status in [0, 1, 4] {
            let page = timed(TIME_UTC, 0);
            page.clock_status.store(status, Ordering::Relaxed);
            assert_eq!(wall(&page, 500), None, "status {status}");
        }
        let page = timed(TIME_UTC, 0);
        let other = 1 - COUNTER;
        page.counter_id.store(other, Ordering::Relaxed);
        assert_eq!(wall(&page, 500), None, "by another processor's counter");
    }

    #[test]
    fn a_change_is_read_as_a_whole() {
        let page = empty();
        page.seq_count.store(1, Ordering::Relaxed);
        assert_eq!(page.state(COUNTER, || 0), None, "a host that never ends");
        let asked = Cell::new(0);
        let state = page.state(COUNTER, || {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                page.disruption_marker.store(5, Ordering::Relaxed);
                page.seq_count.store(4, Ordering::Relaxed);
            }
            0
        });
        assert_eq!(
            (state.map(|state| state.disruption), asked.get()),
            (Some(5), 4)
        );
    }

    proptest! {
        #[test]
        fn no_number_of_the_host_panics(words in any::<[u64; 7]>(), ticks in any::<u64>()) {
            let page = Page::default();
            page.flags.store(words[0], Ordering::Relaxed);
            page.tai_offset.store(words[1] as u16, Ordering::Relaxed);
            page.period_shift.store(words[2] as u8, Ordering::Relaxed);
            page.counter_value.store(words[3], Ordering::Relaxed);
            page.period.store(words[4], Ordering::Relaxed);
            page.time_sec.store(words[5], Ordering::Relaxed);
            page.time_frac.store(words[6], Ordering::Relaxed);
            for (status, kind) in [(SYNCHRONIZED, TIME_UTC), (FREERUNNING, TIME_TAI)] {
                page.clock_status.store(status, Ordering::Relaxed);
                page.counter_id.store(COUNTER, Ordering::Relaxed);
                page.time_type.store(kind, Ordering::Relaxed);
                let _ = page.wall_ns(COUNTER, ticks);
            }
        }
    }
}

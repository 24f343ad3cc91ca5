//! The real-time clock. Source: Motorola MC146818A data sheet. It has no century: 2000 is assumed.
//!
//! An access takes two instructions, so interrupts are disabled around it.

use super::super::ports::Pair;

/// The clock's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    /// Register B: bit 2 set means binary, bit 1 set means 24 hours.
    format: u8,
}

impl Reading {
    /// Seconds since 1970, or `None` if the registers hold no valid date.
    fn seconds(&self) -> Option<u64> {
        let number = |value: u8| {
            if self.format & 4 != 0 {
                value
            } else {
                (value >> 4) * 10 + (value & 15)
            }
        };
        let mut hour = number(self.hour & 0x7f);
        if self.format & 2 == 0 {
            hour = hour % 12 + if self.hour & 0x80 != 0 { 12 } else { 0 };
        }
        let (second, minute) = (number(self.second), number(self.minute));
        let (day, month) = (u32::from(number(self.day)), u32::from(number(self.month)));
        let year = 2000 + u32::from(number(self.year));
        let in_range = second < 60 && minute < 60 && hour < 24;
        if !in_range || !(1..=31).contains(&day) || !(1..=12).contains(&month) || year > 2099 {
            return None;
        }
        // Days since 1970, the year taken to begin in March so that the leap day is its last.
        let (y, m) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        // Each fourth year is a leap year in this century.
        let days = 365 * y + y / 4 + (153 * m + 2) / 5 + day - 719_484;
        let in_day = u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second);
        Some(u64::from(days) * 86_400 + u64::from(in_day))
    }
}

/// One of the clock's registers; all ones if there is no clock.
pub fn register(index: u8) -> u8 {
    use x86_64::instructions::port::Port;
    let _pair = Pair::begin();
    // SAFETY: the clock's index and data ports; bit 7 of the index masks the NMI meanwhile.
    unsafe {
        Port::new(0x70).write(index | 0x80);
        Port::new(0x71).read()
    }
}

/// Wall time in nanoseconds since 1970, with a resolution of a second; `None` without a clock.
pub fn read_ns() -> Option<u64> {
    let read = || {
        let [second, minute, hour, day, month, year, format] = [0, 2, 4, 7, 8, 9, 11].map(register);
        Reading {
            second,
            minute,
            hour,
            day,
            month,
            year,
            format,
        }
    };
    stable_ns(read)
}

/// The time of the first two equal consecutive readings, between which no update happened. `None`
/// after too many that differ.
fn stable_ns(mut read: impl FnMut() -> Reading) -> Option<u64> {
    const MAX_READINGS: usize = 1000;
    let mut last = None;
    for _ in 0..=MAX_READINGS {
        let next = Some(read());
        if next == last {
            let seconds = next.and_then(|reading| reading.seconds());
            return seconds.map(|seconds| seconds * 1_000_000_000);
        }
        last = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Reading, stable_ns};

    const BCD: Reading = Reading {
        second: 0x59,
        minute: 0x30,
        hour: 0x23,
        day: 0x29,
        month: 0x02,
        year: 0x24,
        format: 2,
    };

    #[test]
    fn reads_decimal_digits_and_binary() {
        // 2024-02-29 23:30:59 UTC
        assert_eq!(BCD.seconds(), Some(1_709_249_459));
        let binary = Reading {
            second: 59,
            minute: 30,
            hour: 23,
            day: 29,
            month: 2,
            year: 24,
            format: 6,
        };
        assert_eq!(binary.seconds(), Some(1_709_249_459));
    }

    /// A day of each kind: before and after March, in leap years and others, the first and the
    /// last.
    #[test]
    fn counts_days_as_the_calendar_does() {
        let dates = [
            ((0, 1, 1), 946_684_800),
            ((0, 2, 29), 951_782_400),
            ((0, 3, 1), 951_868_800),
            ((1, 2, 28), 983_318_400),
            ((1, 3, 1), 983_404_800),
            ((24, 12, 31), 1_735_603_200),
            ((26, 11, 21), 1_795_219_200),
            ((99, 12, 31), 4_102_358_400),
        ];
        for ((year, month, day), seconds) in dates {
            let midnight = Reading {
                second: 0,
                minute: 0,
                hour: 0,
                day,
                month,
                year,
                format: 6,
            };
            assert_eq!(midnight.seconds(), Some(seconds), "{midnight:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        let good = Reading {
            second: 0,
            minute: 0,
            hour: 0,
            day: 1,
            month: 1,
            year: 0,
            format: 6,
        };
        let refused = [
            Reading { second: 60, ..good },
            Reading { minute: 60, ..good },
            Reading { hour: 24, ..good },
            Reading { day: 0, ..good },
            Reading { day: 32, ..good },
            Reading { month: 0, ..good },
            Reading { month: 13, ..good },
            Reading { year: 100, ..good },
        ];
        for reading in refused {
            assert_eq!(reading.seconds(), None, "{reading:?}");
        }
        let last = Reading {
            second: 59,
            minute: 59,
            hour: 23,
            day: 31,
            month: 12,
            year: 99,
            format: 6,
        };
        assert_eq!(last.seconds(), Some(4_102_444_799));
    }

    #[test]
    fn two_equal_readings_are_believed() {
        let at = |second| Reading { second, ..BCD };
        let mut readings = [0x57, 0x58, 0x59, 0x59, 0x57, 0x57].map(at).into_iter();
        let ns = stable_ns(|| readings.next().unwrap());
        assert_eq!(ns, Some(1_709_249_459_000_000_000));
        assert_eq!(readings.len(), 2, "no more are read");
        let mut changes = [at(1), at(2)].into_iter().cycle();
        assert_eq!(stable_ns(|| changes.next().unwrap()), None);
        let no_clock = Reading { month: 0xff, ..BCD };
        assert_eq!(stable_ns(|| no_clock), None);
    }

    #[test]
    fn reads_twelve_hours() {
        let noon = Reading {
            hour: 0x92,
            format: 0,
            ..BCD
        };
        let midnight = Reading {
            hour: 0x12,
            format: 0,
            ..BCD
        };
        let eleven = |hour| Reading { hour, ..midnight }.seconds();
        assert_eq!(midnight.seconds(), Some(1_709_249_459 - 23 * 3600));
        assert_eq!(eleven(0x91), Some(1_709_249_459), "11 p.m.");
        assert_eq!(eleven(0x11), Some(1_709_249_459 - 12 * 3600));
        assert_eq!(
            noon.seconds().zip(midnight.seconds()).map(|(a, b)| a - b),
            Some(43_200)
        );
    }

    #[test]
    fn refuses_a_port_without_a_clock() {
        let nothing = Reading {
            second: 255,
            minute: 255,
            hour: 255,
            day: 255,
            month: 255,
            year: 255,
            format: 255,
        };
        assert_eq!(nothing.seconds(), None);
    }
}

//! EFI's time of day as seconds since 1970.

/// A time of day, as EFI has it (UEFI 2.10, 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// 1900 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Minutes to add for UTC, between -1440 and 1440; `None` for a clock that runs in UTC.
    pub to_utc: Option<i16>,
}

impl Time {
    /// Seconds since 1970; `None` for a time before, and where a field is out of its range.
    pub fn unix(&self) -> Option<u64> {
        let to_utc = i64::from(self.to_utc.unwrap_or(0));
        let in_range = (1970..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
            && (-1440..=1440).contains(&to_utc);
        if !in_range {
            return None;
        }
        // Years begin in March, so that a leap day is the last of its year.
        let (year, month) = (i64::from(self.year), i64::from(self.month));
        let year = if month < 3 { year - 1 } else { year };
        let month = (month + 9) % 12;
        let days_before = (153 * month + 2) / 5;
        let leap_days = year / 4 - year / 100 + year / 400;
        // Days from 1 March of the year 0 to 1970.
        let days = 365 * year + leap_days + days_before + i64::from(self.day) - 1 - 719_468;
        let minutes = (days * 24 + i64::from(self.hour)) * 60 + i64::from(self.minute) + to_utc;
        u64::try_from(minutes * 60 + i64::from(self.second)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    fn at(year: u16, month: u8, day: u8) -> Time {
        Time {
            year,
            month,
            day,
            hour: 0,
            minute: 0,
            second: 0,
            to_utc: None,
        }
    }

    #[test]
    fn seconds_since_1970() {
        assert_eq!(at(1970, 1, 1).unix(), Some(0));
        assert_eq!(at(2000, 2, 29).unix(), Some(951_782_400));
        assert_eq!(at(2000, 3, 1).unix(), Some(951_868_800));
        assert_eq!(at(2100, 3, 1).unix(), Some(4_107_542_400));
        let time = Time {
            hour: 23,
            minute: 59,
            second: 58,
            ..at(2026, 11, 26)
        };
        assert_eq!(time.unix(), Some(1_795_737_598));
        // Two hours east of Greenwich, and eight west.
        let zone = |to_utc| Time {
            to_utc: Some(to_utc),
            ..time
        };
        assert_eq!(zone(-120).unix(), Some(1_795_737_598 - 7200));
        assert_eq!(zone(480).unix(), Some(1_795_737_598 + 28_800));
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let lengths = |year: u16| {
            let leap =
                year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
            let february = if leap { 29 } else { 28 };
            [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut expected = 0;
        for year in 1970..2405 {
            for (month, len) in (1..).zip(lengths(year)) {
                for day in 1..=len {
                    assert_eq!(at(year, month, day).unix(), Some(expected));
                    expected += 86_400;
                }
            }
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for bad in [
            at(0, 0, 0),
            at(1969, 12, 31),
            at(2026, 13, 1),
            at(2026, 1, 32),
        ] {
            assert_eq!(bad.unix(), None, "{bad:?}");
        }
        let late = Time {
            to_utc: Some(2047),
            ..at(2026, 1, 1)
        };
        assert_eq!(late.unix(), None);
        // Before 1970 in UTC.
        let early = Time {
            to_utc: Some(-60),
            ..at(1970, 1, 1)
        };
        assert_eq!(early.unix(), None);
    }
}

//! Times of entries: two seconds from 1980 to 2107 ("Date and Time Formats").

use crate::Time;

const DAY: i64 = 86_400;

/// The first second of 1980, and the last of 2107.
const RANGE: (i64, i64) = (315_532_800, 4_354_819_199);

/// Days of the months; every fourth of these years is a leap year, except 2100.
fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && year != 2100 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the number of days from 1980 to the start of a year.
fn first_day(year: i64) -> i64 {
    let years = year - 1980;
    years * 365 + (years + 3) / 4 - i64::from(year > 2100)
}

/// Returns the nearest time that FAT can store: date, time, and hundredths of a second after it.
pub(super) fn encode(time: Time) -> (u16, u16, u8) {
    let seconds = time.seconds.clamp(RANGE.0, RANGE.1);
    let (mut day, clock) = ((seconds - RANGE.0) / DAY, seconds % DAY);
    let (mut year, mut month) = (1980 + day / 366, 1);
    while first_day(year + 1) <= day {
        year += 1;
    }
    day -= first_day(year);
    while day >= days(year, month) {
        day -= days(year, month);
        month += 1;
    }
    let date = (year - 1980) << 9 | month << 5 | (day + 1);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    let of_day = hour << 11 | minute << 5 | (second / 2);
    let hundredths = second % 2 * 100 + i64::from(time.nanoseconds / 10_000_000);
    (date as u16, of_day as u16, hundredths as u8)
}

/// Returns the seconds since 1970 of a date and a time; 0 if they are invalid.
pub(super) fn decode((date, time): (u16, u16)) -> i64 {
    let (date, time) = (i64::from(date), i64::from(time));
    let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
    let (hour, minute, second) = (time >> 11, time >> 5 & 63, time % 32 * 2);
    let is_date = (1..=12).contains(&month) && (1..=days(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return 0;
    }
    let before: i64 = (1..month).map(|month| days(year, month)).sum();
    let days = first_day(year) + before + day - 1;
    RANGE.0 + days * DAY + hour * 3600 + minute * 60 + second
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Date and Time Formats": year from 1980, month and day; hour, minute and two-second steps.
    #[test]
    fn times_are_packed_as_the_specification_has_it() {
        for (seconds, date, time, hundredths) in [
            (315_532_800, (0, 1, 1), (0, 0, 0), 0),
            (951_827_695, (20, 2, 29), (12, 34, 55), 100),
            (1_792_000_001, (46, 10, 14), (17, 46, 41), 100),
            (4_107_542_399, (120, 2, 28), (23, 59, 59), 100),
            (4_107_542_400, (120, 3, 1), (0, 0, 0), 0),
            (4_354_819_199, (127, 12, 31), (23, 59, 59), 100),
        ] {
            let date = date.0 << 9 | date.1 << 5 | date.2;
            let time = time.0 << 11 | time.1 << 5 | (time.2 / 2);
            let found = encode(Time::from_seconds(seconds));
            assert_eq!(found, (date, time, hundredths), "{seconds}");
            assert_eq!(decode((date, time)), seconds / 2 * 2);
        }
        for day in (RANGE.0..RANGE.1).step_by(DAY as usize) {
            let (date, time, _) = encode(Time::from_seconds(day));
            assert_eq!(decode((date, time)), day);
        }
        for (outside, kept) in [(RANGE.0 - 1, RANGE.0), (RANGE.1 + 1, RANGE.1)] {
            let [found, kept] = [outside, kept].map(|time| encode(Time::from_seconds(time)));
            assert_eq!(found, kept);
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        let date = 46 << 9 | 2 << 5 | 28;
        assert!(decode((date, 23 << 11 | 59 << 5 | 29)) > 0);
        for (date, time) in [
            (0, 0),
            (date + 1, 0),
            (date & !(15 << 5), 0),
            (date | 13 << 5, 0),
            (date, 24 << 11),
            (date, 60 << 5),
            (date, 30),
        ] {
            assert_eq!(decode((date, time)), 0, "{date:#x} {time:#x}");
        }
    }
}

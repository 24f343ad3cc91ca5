//! Writes the log to standard error, one line per message, with the time of day. `SOIL_LOG`
//! sets the level.

use crate::current::Current;
use crate::types::Int;
use core::fmt::Write;
use heapless::String;
use log::{Level, LevelFilter, Log, Metadata, Record};
use platform::error::{Error, Failure};
use platform::{Clock, Console, System};

/// Maximum length of a line; longer ones are truncated.
const LINE: usize = 512;

struct Sink;

/// A line that truncates instead of failing.
struct Line(String<LINE>);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for c in text.chars() {
            if self.0.len() + c.len_utf8() >= LINE || self.0.push(c).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        Current::log(line(record, Current::wall_ns()).as_bytes());
    }

    fn flush(&self) {}
}

/// A time in UTC, as in RFC 3339.
struct Timestamp {
    wall_ns: u64,
}

impl core::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (seconds, ms) = (
            self.wall_ns / 1_000_000_000,
            self.wall_ns / 1_000_000 % 1000,
        );
        let (days, second) = ((seconds / 86_400) as u32, seconds % 86_400);
        // Years of this calendar begin in March: the leap day is the last one. Eras have 400 years.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let of_year = of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096;
        let year = of_year / 365;
        let day = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (next, month) = match month {
            0..10 => (0, month + 3),
            _ => (1, month - 9),
        };
        let year = era * 400 + year + next;
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(
            f,
            "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{:02}.{ms:03}Z",
            second % 60
        )
    }
}

/// Formats the line of a message of this time.
fn line(record: &Record<'_>, wall_ns: u64) -> String<LINE> {
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    };
    let mut line = Line(String::new());
    // Writing to `Line` can't fail.
    let time = Timestamp { wall_ns };
    let _ = write!(line, "{time} soil: {level}: {}", record.args());
    let _ = line.0.push('\n');
    line.0
}

fn level(number: Int) -> Result<Level, Error> {
    Ok(match number {
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        _ => return Err(Error::Invalid),
    })
}

/// Sets the level from `SOIL_LOG`.
pub fn start() -> Result<(), Failure> {
    let level = match Current::variable("SOIL_LOG").as_deref() {
        None | Some("" | "warn") => LevelFilter::Warn,
        Some("error") => LevelFilter::Error,
        Some("info") => LevelFilter::Info,
        Some("debug") => LevelFilter::Debug,
        Some(_) => {
            let detail = "SOIL_LOG: give error, warn, info or debug";
            return Err(Failure::new(Error::BadConfiguration, detail));
        }
    };
    // Fails in an image, whose kernel has set its own logger.
    let _ = log::set_logger(&Sink);
    log::set_max_level(level);
    Current::each_variable(&mut |name| {
        if let Some(unknown) = configuration::unknown(name) {
            log::warn!("unknown variable {name}{unknown}");
        }
    });
    Ok(())
}

/// See `soil_log`.
pub fn log_bytes(number: Int, text: &[u8]) -> Result<(), Error> {
    let level = level(number)?;
    for part in text.utf8_chunks() {
        log::log!(level, "{}", part.valid());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LINE, Level, Record, Timestamp, line};
    use std::format;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (68_169_599, "1972-02-28T23:59:59.007Z"),
            (68_169_600, "1972-02-29T00:00:00.007Z"),
            (951_868_800, "2000-03-01T00:00:00.007Z"),
            (1_798_761_599, "2026-12-31T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
            (18_446_744_073, "2554-07-21T23:34:33.007Z"),
        ] {
            let wall_ns = seconds * 1_000_000_000 + 7_000_000;
            assert_eq!(format!("{}", Timestamp { wall_ns }), expected);
        }
    }

    /// A message of any length is one line, truncated after a whole character.
    #[test]
    fn a_message_of_any_length_is_a_line() {
        for letter in ["x", "é", "€", "🐫"] {
            for count in (0..20).chain(LINE / letter.len() - 60..LINE / letter.len() + 10) {
                let message = letter.repeat(count);
                let line = line(
                    &Record::builder()
                        .level(Level::Warn)
                        .args(format_args!("{message}"))
                        .build(),
                    1_795_887_612_345_678_901,
                );
                let whole = format!("2026-11-28T17:40:12.345Z soil: warning: {message}\n");
                let text = line.strip_suffix('\n').expect("a newline");
                assert!(whole.starts_with(text), "{letter} {count}");
                let is_cut = whole.len() > LINE;
                assert_eq!(is_cut, *line != whole[..], "{letter} {count}");
                assert!(
                    !is_cut || line.len() + letter.len() > LINE,
                    "{letter} {count}"
                );
            }
        }
    }
}

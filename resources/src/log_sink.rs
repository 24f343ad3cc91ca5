//! Writes the log to standard error, one line per message. `SOIL_LOG` and `soil_set_log_level` set
//! the level.

use crate::current::Current;
use crate::types::Int;
use core::fmt::Write;
use heapless::String;
use log::{Level, LevelFilter, Log, Metadata, Record};
use platform::error::{Error, Failure};
use platform::{Console, System};

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
        Current::log(line(record).as_bytes());
    }

    fn flush(&self) {}
}

/// Formats the line of a message.
fn line(record: &Record<'_>) -> String<LINE> {
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    };
    let mut line = Line(String::new());
    // Writing to `Line` can't fail.
    let _ = write!(line, "soil: {level}: {}", record.args());
    let _ = line.0.push('\n');
    line.0
}

fn filter(level: Int) -> Result<LevelFilter, Error> {
    Ok(match level {
        0 => LevelFilter::Off,
        1 => LevelFilter::Error,
        2 => LevelFilter::Warn,
        3 => LevelFilter::Info,
        4 => LevelFilter::Debug,
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
    Ok(())
}

/// See `soil_set_log_level`.
pub fn set_level(level: Int) -> Result<(), Error> {
    log::set_max_level(filter(level)?);
    Ok(())
}

/// See `soil_log`.
pub fn log_bytes(level: Int, text: &[u8]) -> Result<(), Error> {
    let level = filter(level)?.to_level().ok_or(Error::Invalid)?;
    for part in text.utf8_chunks() {
        log::log!(level, "{}", part.valid());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LINE, Level, Record, line};
    use std::format;

    /// A message of any length is one line, truncated after a whole character.
    #[test]
    fn a_message_of_any_length_is_a_line() {
        for letter in ["x", "é", "€", "🐫"] {
            for count in (0..20).chain(LINE / letter.len() - 30..LINE / letter.len() + 10) {
                let message = letter.repeat(count);
                let line = line(
                    &Record::builder()
                        .level(Level::Warn)
                        .args(format_args!("{message}"))
                        .build(),
                );
                let whole = format!("soil: warning: {message}\n");
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

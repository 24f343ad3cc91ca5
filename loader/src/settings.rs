//! `soil/settings.txt`: the command line of an image, as UTF-8 text of several lines.
//!
//! A line whose first character after blanks is `#` is a comment. The others are joined by a space.
//! A word is written as on the command line (`firmware/src/command_line.rs`).

use core::fmt;

/// The longest command line in bytes, its terminating zero included: the kernel reads no more.
pub const MAX_LINE: usize = 64 << 10;

/// Why settings can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The joined lines don't fit.
    TooLong,
    /// Not UTF-8, or with a zero byte.
    NotText,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {} bytes", MAX_LINE - 1),
            Self::NotText => f.write_str("not UTF-8 text"),
        }
    }
}

/// Writes the command line and a zero to `line`; returns the length without the zero.
pub fn join(text: &[u8], line: &mut [u8]) -> Result<usize, Error> {
    let text = core::str::from_utf8(text).map_err(|_| Error::NotText)?;
    if text.contains('\0') {
        return Err(Error::NotText);
    }
    // Windows' editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut len = 0;
    let kept = text.lines().map(str::trim);
    for part in kept.filter(|part| !part.is_empty() && !part.starts_with('#')) {
        let space = usize::from(len > 0);
        let room = line.get_mut(len..len + space + part.len() + 1);
        let room = room.ok_or(Error::TooLong)?;
        room[..space].fill(b' ');
        room[space..space + part.len()].copy_from_slice(part.as_bytes());
        len += space + part.len();
    }
    *line.get_mut(len).ok_or(Error::TooLong)? = 0;
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::{Error, join};

    fn joined(text: &[u8], room: usize) -> Result<String, Error> {
        let mut line = vec![0xff; room];
        let len = join(text, &mut line)?;
        assert_eq!(line[len], 0);
        Ok(String::from_utf8(line[..len].to_vec()).unwrap())
    }

    #[test]
    fn joins_lines_without_comments() {
        let text = b"\xef\xbb\xbfA=1\r\n\n  # a comment\nB=x#y\n--\n  one \"two words\"\n";
        assert_eq!(joined(text, 100).unwrap(), "A=1 B=x#y -- one \"two words\"");
        assert_eq!(joined(b"", 1).unwrap(), "");
        assert_eq!(joined(b"# only", 1).unwrap(), "");
    }

    #[test]
    fn refuses_what_is_too_long_or_no_text() {
        assert_eq!(joined(b"ab\ncd", 6).unwrap(), "ab cd");
        assert_eq!(joined(b"ab\ncd", 5), Err(Error::TooLong));
        assert_eq!(joined(b"", 0), Err(Error::TooLong));
        assert_eq!(joined(b"A=\0", 9), Err(Error::NotText));
        assert_eq!(joined(b"A=\xff", 9), Err(Error::NotText));
    }
}

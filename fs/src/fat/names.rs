//! Conversion of names and errors from and to hadris-fat's.

use hadris_fs::ErrorKind;

use crate::{BlockError, Error};

/// Maximum length of a long name in UTF-16 units.
const MAX_UNITS: usize = 255;

/// Whether FAT can store `name`, under long-name rules: no control characters, none of
/// `"*/:<>?\|`, no space or dot at the end, and at most 255 UTF-16 units.
pub(super) fn check(name: &str) -> Result<(), Error> {
    // Compares bytes: all of these are ASCII, and never part of another letter.
    let refused = |byte| byte < b' ' || byte == b'\x7f' || b"\"*/:<>?\\|".contains(&byte);
    if name.is_empty() || name.ends_with([' ', '.']) || name.bytes().any(refused) {
        return Err(Error::InvalidName);
    }
    if is_too_long(name) {
        return Err(Error::NameTooLong);
    }
    Ok(())
}

fn is_too_long(name: &str) -> bool {
    name.encode_utf16().count() > MAX_UNITS
}

/// Returns the error for a missing `name`.
pub(super) fn absent(name: &str) -> Error {
    if is_too_long(name) {
        Error::NameTooLong
    } else {
        Error::NotFound
    }
}

/// Converts an error of hadris-fat.
pub(super) fn error(error: &hadris_fs::Error<BlockError>) -> Error {
    match error.kind() {
        ErrorKind::Io => error
            .device_error()
            .map_or(Error::Io, |error| (*error).into()),
        ErrorKind::NotRecognized | ErrorKind::Corrupt => Error::Corrupt,
        ErrorKind::NotFound => Error::NotFound,
        ErrorKind::AlreadyExists => Error::Exists,
        ErrorKind::NotADirectory => Error::NotDirectory,
        ErrorKind::IsADirectory => Error::IsDirectory,
        ErrorKind::DirectoryNotEmpty => Error::NotEmpty,
        ErrorKind::NoSpace => Error::NoSpace,
        ErrorKind::ReadOnly => Error::ReadOnly,
        ErrorKind::LimitExceeded => Error::TooManyOpen,
        ErrorKind::NameTooLong => Error::NameTooLong,
        ErrorKind::FileTooLarge => Error::TooLarge,
        ErrorKind::Busy => Error::Busy,
        ErrorKind::InvalidHandle => Error::NotFound,
        ErrorKind::Unsupported => Error::Unsupported,
        _ => Error::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn knows_which_names_fit() {
        for name in [
            "a",
            "A.B",
            ".hidden",
            "naïve Übung.txt",
            "日本語",
            "a b",
            "+,;=[]",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in ["", "a.", "a ", "."] {
            assert_eq!(check(name), Err(Error::InvalidName), "{name}");
        }
        for c in (0..0x20)
            .chain([0x7f])
            .chain(*b"\"*/:<>?\\|")
            .map(char::from)
        {
            let name = format!("a{c}b");
            assert_eq!(check(&name), Err(Error::InvalidName), "{name:?}");
        }
        assert_eq!(check(&"x".repeat(255)), Ok(()));
        assert_eq!(check(&"x".repeat(256)), Err(Error::NameTooLong));
        assert_eq!(check(&"😀".repeat(128)), Err(Error::NameTooLong));
    }

    #[test]
    fn errors_keep_their_meaning() {
        for (kind, expected) in [
            (ErrorKind::NotRecognized, Error::Corrupt),
            (ErrorKind::Corrupt, Error::Corrupt),
            (ErrorKind::NotFound, Error::NotFound),
            (ErrorKind::AlreadyExists, Error::Exists),
            (ErrorKind::NotADirectory, Error::NotDirectory),
            (ErrorKind::IsADirectory, Error::IsDirectory),
            (ErrorKind::DirectoryNotEmpty, Error::NotEmpty),
            (ErrorKind::NoSpace, Error::NoSpace),
            (ErrorKind::ReadOnly, Error::ReadOnly),
            (ErrorKind::LimitExceeded, Error::TooManyOpen),
            (ErrorKind::NameTooLong, Error::NameTooLong),
            (ErrorKind::FileTooLarge, Error::TooLarge),
            (ErrorKind::Busy, Error::Busy),
            (ErrorKind::InvalidHandle, Error::NotFound),
            (ErrorKind::Unsupported, Error::Unsupported),
            (ErrorKind::InvalidInput, Error::Invalid),
        ] {
            let found = hadris_fs::Error::new(kind, "what");
            assert_eq!(error(&found), expected, "{kind:?}");
        }
        for device in [BlockError::Io, BlockError::OutOfRange, BlockError::ReadOnly] {
            let found = hadris_fs::Error::device(device, "what");
            assert_eq!(error(&found), device.into(), "{device:?}");
        }
        let found = hadris_fs::Error::new(ErrorKind::Io, "what");
        assert_eq!(error(&found), Error::Io);
    }

    #[test]
    fn a_name_that_is_too_long_is_no_absent_one() {
        assert_eq!(absent(&"x".repeat(255)), Error::NotFound);
        assert_eq!(absent("a:b"), Error::NotFound);
        assert_eq!(absent(&"x".repeat(256)), Error::NameTooLong);
    }
}

//! POSIX paths, normalised before a volume sees them.

use alloc::string::String;

use crate::Error;

/// Maximum length in bytes of a path that [`normalise`] accepts: Linux's `PATH_MAX` without its
/// NUL.
pub const MAX_PATH: usize = 4095;

/// Returns `path` as an absolute path: a leading slash, single slashes between names, none at the
/// end, no `.` and no `..`. A relative path counts from the root, and `..` of the root is the root,
/// so no path leads out of it.
///
/// `..` removes the name before it without checking that the name exists; without symbolic links
/// this differs from POSIX only for a missing name.
///
/// Fails with [`Error::Invalid`] for an empty path, [`Error::InvalidName`] for a NUL, and
/// [`Error::NameTooLong`] past [`MAX_PATH`].
pub fn normalise(path: &str) -> Result<String, Error> {
    check(path)?;
    let mut plain = String::with_capacity(path.len() + 1);
    for name in names(path) {
        match name {
            "." => {}
            ".." => plain.truncate(plain.rfind('/').unwrap_or(0)),
            _ => push(&mut plain, name),
        }
    }
    if plain.is_empty() {
        plain.push('/');
    }
    Ok(plain)
}

/// Checks that a path isn't empty, has no NUL, and isn't too long; see [`normalise`].
pub(crate) fn check(path: &str) -> Result<(), Error> {
    if path.is_empty() {
        Err(Error::Invalid)
    } else if path.len() > MAX_PATH {
        Err(Error::NameTooLong)
    } else if path.as_bytes().contains(&0) {
        Err(Error::InvalidName)
    } else {
        Ok(())
    }
}

/// Appends a name.
pub(crate) fn push(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(name);
}

/// Iterates over the names of a path, from the root on.
pub fn names(path: &str) -> impl Iterator<Item = &str> {
    names_with_ends(path).map(|(_, name)| name)
}

/// As [`names`], each with the length in bytes of the path up to its end.
pub(crate) fn names_with_ends(path: &str) -> impl Iterator<Item = (usize, &str)> {
    // `str::find` is optimised for long texts and takes three times as long as this.
    let bytes = path.as_bytes();
    let mut at = 0;
    core::iter::from_fn(move || {
        while bytes.get(at) == Some(&b'/') {
            at += 1;
        }
        let from = at;
        while bytes.get(at).is_some_and(|byte| *byte != b'/') {
            at += 1;
        }
        (at > from).then(|| (at, path.get(from..at).unwrap_or_default()))
    })
}

/// Whether a directory may list `name`: it is one part of a path, and neither `.` nor `..`.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Whether a normalised path is below the directory `directory`, at any depth.
pub(crate) fn is_below(path: &str, directory: &str) -> bool {
    let mut names = names(path);
    self::names(directory).all(|name| names.next() == Some(name)) && names.next().is_some()
}

/// Returns the part of a path after its last slash.
pub(crate) fn last_name(path: &str) -> &str {
    let slash = path.bytes().rposition(|byte| byte == b'/');
    slash.map_or(path, |at| path.get(at + 1..).unwrap_or(""))
}

/// Splits a normalised path into its directory and its last name; `None` for the root.
pub fn split_last(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    let name = last_name(path);
    let directory = path.get(..path.len() - name.len()).unwrap_or("");
    Some((directory.strip_suffix('/').unwrap_or(directory), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn normalises_as_posix_does() {
        for (path, plain) in [
            ("/", "/"),
            ("a", "/a"),
            ("//a///b/", "/a/b"),
            ("/./a/./b/.", "/a/b"),
            ("/a/../b", "/b"),
            ("/..", "/"),
            ("../../a", "/a"),
            ("/a/b/../../..", "/"),
            ("/...", "/..."),
            ("/a/..b", "/a/..b"),
        ] {
            assert_eq!(normalise(path).as_deref(), Ok(plain), "{path}");
        }
        assert_eq!(normalise(""), Err(Error::Invalid));
        assert_eq!(normalise("/a\0b"), Err(Error::InvalidName));
        assert_eq!(normalise(&"a/".repeat(3000)), Err(Error::NameTooLong));
    }

    #[test]
    fn splits_off_the_last_name() {
        assert_eq!(split_last("/"), None);
        assert_eq!(split_last(""), None);
        assert_eq!(split_last("/a"), Some(("", "a")));
        assert_eq!(split_last("a/b"), Some(("a", "b")));
        assert_eq!(split_last("/a/b/c"), Some(("/a/b", "c")));
    }

    #[test]
    fn names_are_one_part_of_a_path() {
        for name in ["a", "...", ".a", "..a", "a b", "\u{fc}\n"] {
            assert!(is_name(name.as_bytes()), "{name:?}");
        }
        for name in ["", ".", "..", "/", "a/b", "../a", "a\0", "\0"] {
            assert!(!is_name(name.as_bytes()), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn never_leaves_the_root(path in "[a./]{1,40}") {
            let plain = normalise(&path).unwrap();
            prop_assert!(plain.starts_with('/'));
            prop_assert!(names(&plain).all(|name| name != "." && name != ".."));
            prop_assert!(!plain.contains("//"));
            prop_assert_eq!(normalise(&plain).unwrap(), plain);
        }
    }
}

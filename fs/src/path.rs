//! Paths, as POSIX writes them, made plain before a volume sees them.

use alloc::string::String;

use crate::Error;

/// The longest path in bytes that [`normalise`] takes, as Linux's `PATH_MAX` without its NUL.
pub const MAX_PATH: usize = 4095;

/// `path` from the root: a leading slash, single slashes between names, none at the end, no `.`
/// and no `..`. A path without a leading slash counts from the root too, and `..` of the root is
/// the root, so nothing leads out of it.
///
/// `..` takes the name before it away without asking whether that is there; with no symbolic
/// links this differs from POSIX only when it isn't.
///
/// [`Error::Invalid`] when empty, [`Error::InvalidName`] with a NUL, [`Error::NameTooLong`] past
/// [`MAX_PATH`].
pub fn normalise(path: &str) -> Result<String, Error> {
    check(path)?;
    let mut plain = String::with_capacity(path.len() + 1);
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => plain.truncate(plain.rfind('/').unwrap_or(0)),
            _ => push(&mut plain, name),
        }
    }
    if plain.is_empty() {
        plain.push('/');
    }
    Ok(plain)
}

/// What no path may be; see [`normalise`].
pub(crate) fn check(path: &str) -> Result<(), Error> {
    if path.is_empty() {
        Err(Error::Invalid)
    } else if path.len() > MAX_PATH {
        Err(Error::NameTooLong)
    } else if path.contains('\0') {
        Err(Error::InvalidName)
    } else {
        Ok(())
    }
}

/// Adds a name at the end.
pub(crate) fn push(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(name);
}

/// The names of a normalised path, from the root on.
pub fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// The same names, each with the number of bytes of the path up to its end.
pub(crate) fn names_with_ends(path: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    path.split('/').filter_map(move |name| {
        let end = at + name.len();
        at = end + 1;
        (!name.is_empty()).then_some((end, name))
    })
}

/// Whether a normalised path names something in the directory `directory`, at any depth.
pub(crate) fn is_below(path: &str, directory: &str) -> bool {
    let mut names = names(path);
    self::names(directory).all(|name| names.next() == Some(name)) && names.next().is_some()
}

/// The directory and the last name of a normalised path; `None` for the root.
pub fn split_last(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    Some(path.rsplit_once('/').unwrap_or(("", path)))
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

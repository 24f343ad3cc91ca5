//! Resolution of paths across symbolic links, as in POSIX.1-2024 (4.16, Pathname Resolution).
//!
//! A [`Walker`] holds a path and the findings about it; its driver asks the volumes. `..` names the
//! parent of the directory that a link points to, so the part before a `..` is resolved first.

use alloc::string::String;

use crate::path::{MAX_PATH, check, push};
use crate::{Error, path};

/// Maximum number of symbolic links followed for one path (Linux's number; POSIX asks for 8).
pub const MAX_LINKS: u32 = 40;

/// Path that is being resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walker {
    /// Absolute path with single slashes and without `.`; `..` only where it isn't resolved yet.
    path: String,
    /// Result of [`before_parent`].
    up: Option<usize>,
    links: u32,
    follow: bool,
    directory: bool,
}

/// Next question of a [`Walker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Whether this is a directory and crosses no link; then [`Walker::up`] or [`Walker::link`].
    Directory(&'a str),
    /// Whether this crosses a link, its last name included if [`Walker::follows`]. If it does,
    /// [`Walker::link`]; otherwise this is the resolved path.
    Last(&'a str),
}

impl Walker {
    /// Creates a walker for `path`; follows a link that is its last name if `follow` is set, or if
    /// a slash or `.` after it asks for a directory.
    ///
    /// Fails with the errors of [`path::normalise`].
    pub fn new(path: &str, follow: bool) -> Result<Self, Error> {
        check(path)?;
        let directory = requires_directory(path);
        let path = normalize(path::names(path), path.len());
        Ok(Self {
            up: before_parent(&path),
            path,
            links: 0,
            follow: follow || directory,
            directory,
        })
    }

    /// Whether the walker follows a link that is the last name.
    pub const fn follows(&self) -> bool {
        self.follow
    }

    /// Whether the path ends in a slash, `.` or `..`, which only a directory may have.
    pub const fn wants_directory(&self) -> bool {
        self.directory
    }

    /// Returns the next question; see [`Step`].
    pub fn step(&self) -> Step<'_> {
        match self.up {
            Some(end) => Step::Directory(self.path.get(..end).unwrap_or("/")),
            None => Step::Last(&self.path),
        }
    }

    /// Records that [`Step::Directory`] named a directory: the path continues in its parent.
    pub fn up(&mut self) {
        let Some(end) = self.up else { return };
        let above = self
            .path
            .get(..end)
            .and_then(|directory| directory.rfind('/'));
        let above = self.path.get(..above.unwrap_or(0)).unwrap_or("");
        let rest = self.path.get(end + "/..".len()..).unwrap_or("");
        self.path = normalize(path::names(above).chain(path::names(rest)), self.path.len());
        self.up = before_parent(&self.path);
    }

    /// Records that the first `end` bytes of the path are a symbolic link to `target`: the path
    /// continues there.
    ///
    /// [`Error::TooManyLinks`], [`Error::NotFound`] for an empty target, and the errors of
    /// [`path::normalise`].
    pub fn link(&mut self, end: usize, target: &str) -> Result<(), Error> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Error::TooManyLinks);
        }
        if target.is_empty() {
            return Err(Error::NotFound);
        }
        check(target)?;
        let link = self.path.get(..end).ok_or(Error::Invalid)?;
        let rest = self.path.get(end..).unwrap_or("");
        let above = match link.rfind('/') {
            Some(slash) if !target.starts_with('/') => link.get(..slash).unwrap_or(""),
            _ => "",
        };
        if rest.is_empty() && requires_directory(target) {
            self.directory = true;
        }
        let path = normalize(
            [above, target, rest].into_iter().flat_map(path::names),
            above.len() + target.len() + rest.len(),
        );
        if path.len() > MAX_PATH {
            return Err(Error::NameTooLong);
        }
        self.up = before_parent(&path);
        self.path = path;
        Ok(())
    }
}

/// Returns the end of the part of a path before the first `..`.
fn before_parent(path: &str) -> Option<usize> {
    let mut names = path::names_with_ends(path);
    let (end, _) = names.find(|(_, name)| *name == "..")?;
    Some(end - "/..".len())
}

/// Whether the path requires a directory.
fn requires_directory(path: &str) -> bool {
    matches!(path::last_name(path), "" | "." | "..")
}

/// Joins names and drops `.`; `..` of the root is the root.
fn normalize<'a>(names: impl Iterator<Item = &'a str>, len: usize) -> String {
    let mut path = String::with_capacity(len + 1);
    for name in names {
        match name {
            "." => {}
            ".." if path.is_empty() => {}
            _ => push(&mut path, name),
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;
    use std::{env, fs, process};

    /// Links by path; everything else with children is a directory.
    struct Tree(BTreeMap<String, Option<String>>);

    impl Tree {
        fn first_link(&self, path: &str, last: bool) -> Option<(usize, String)> {
            let mut end = 0;
            for name in path::names(path) {
                end += 1 + name.len();
                if end == path.len() && !last {
                    return None;
                }
                if let Some(Some(target)) = self.0.get(&path[..end]) {
                    return Some((end, target.clone()));
                }
            }
            None
        }

        fn walk(&self, path: &str, follow: bool) -> Result<String, Error> {
            let mut walker = Walker::new(path, follow)?;
            loop {
                let (path, last, up) = match walker.step() {
                    Step::Directory(path) => (path.to_string(), true, true),
                    Step::Last(path) => (path.to_string(), walker.follows(), false),
                };
                if let Some((end, target)) = self.first_link(&path, last) {
                    walker.link(end, &target)?;
                } else if !up {
                    return Ok(path);
                } else if path == "/" || self.0.contains_key(&path) {
                    walker.up();
                } else {
                    return Err(Error::NotFound);
                }
            }
        }
    }

    fn tree(entries: &[(&str, Option<&str>)]) -> Tree {
        let owned = |(path, target): &(&str, Option<&str>)| {
            (path.to_string(), target.map(ToString::to_string))
        };
        Tree(entries.iter().map(owned).collect())
    }

    #[test]
    fn links_are_followed_and_up_is_above_their_target() {
        let tree = tree(&[
            ("/a", None),
            ("/a/b", None),
            ("/a/b/c", None),
            ("/x", Some("a/b")),
            ("/a/up", Some("../y")),
            ("/y", Some("/a/b/c")),
            ("/out", Some("../../../..")),
            ("/loop", Some("loop")),
            ("/slash", Some("x/")),
        ]);
        for (path, to) in [
            ("/x", "/a/b"),
            ("/x/c", "/a/b/c"),
            ("/x/..", "/a"),
            ("/x/../b/f", "/a/b/f"),
            ("/a/up/../c", "/a/b/c"),
            ("/out", "/"),
            ("/out/x/./c//", "/a/b/c"),
            ("/slash", "/a/b"),
        ] {
            assert_eq!(tree.walk(path, true).as_deref(), Ok(to), "{path}");
        }
        assert_eq!(tree.walk("/x", false).as_deref(), Ok("/x"));
        assert_eq!(tree.walk("/x/", false).as_deref(), Ok("/a/b"));
        assert_eq!(tree.walk("/loop", true), Err(Error::TooManyLinks));
        assert_eq!(tree.walk("/loop", false).as_deref(), Ok("/loop"));
        assert_eq!(tree.walk("/none/../a", true), Err(Error::NotFound));
    }

    #[test]
    fn forty_links_are_the_most() {
        let names: Vec<String> = (0..=41).map(|n| ["/l", &n.to_string()].concat()).collect();
        let mut links: Vec<(&str, Option<&str>)> = Vec::new();
        for pair in names.windows(2) {
            links.push((&pair[1], Some(&pair[0])));
        }
        links.push(("/l0", None));
        let tree = tree(&links);
        assert_eq!(tree.walk("/l40", true).as_deref(), Ok("/l0"));
        assert_eq!(tree.walk("/l41", true), Err(Error::TooManyLinks));
    }

    #[test]
    fn long_and_odd_targets_are_refused() {
        let mut walker = Walker::new("/a/b", true).unwrap();
        assert_eq!(walker.link(2, ""), Err(Error::NotFound));
        assert_eq!(walker.link(2, &"x/".repeat(3000)), Err(Error::NameTooLong));
        assert_eq!(walker.link(2, "a\0"), Err(Error::InvalidName));
        assert_eq!(walker.link(200, "x"), Err(Error::Invalid));
        let long = "n/".repeat(2040);
        assert_eq!(walker.link(2, &long), Ok(()));
        assert_eq!(walker.link(2, &long), Err(Error::NameTooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Compares with Linux's resolution of the same names, with the tree as a folder (except
        /// absolute links).
        #[test]
        fn resolves_as_linux_does(
            links in prop::collection::vec(("[abc]", "[abc./]{1,9}"), 1..5),
            paths in prop::collection::vec("(/([abc]|\\.\\.|\\.)){1,6}/?", 1..12),
            seed in any::<u32>(),
        ) {
            let root = env::temp_dir().join(std::format!("soil-walk-{}-{seed}", process::id()));
            let deep = ["d", "d/a", "d/b", "d/a/c"];
            let mut entries = BTreeMap::new();
            for directory in deep {
                fs::create_dir_all(root.join(directory)).unwrap();
                entries.insert(["/", directory].concat(), None);
            }
            for (place, (name, target)) in links.iter().enumerate() {
                let at = ["d", "d/a", "d/b"][place % 3];
                let path = [at, "/", name].concat();
                // Absolute links start at the real root on the host, and `..` may leave the folder.
                let outside = target.starts_with('/') || target.matches("..").count() > 1;
                if !outside && symlink(target, root.join(&path)).is_ok() {
                    entries.insert(["/", &path].concat(), Some(target.clone()));
                }
            }
            let tree = Tree(entries);
            let real = fs::canonicalize(&root).unwrap();
            for path in &paths {
                let path = ["/d", path].concat();
                let on_host = fs::canonicalize(root.join(path.trim_start_matches('/')));
                let Ok(found) = on_host else { continue };
                // Paths that leave the folder on the host stay in the tree here.
                if let Ok(inside) = found.strip_prefix(&real) {
                    let expected = ["/", inside.to_str().unwrap()].concat();
                    prop_assert_eq!(tree.walk(&path, true), Ok(expected), "{}", path);
                }
            }
            fs::remove_dir_all(&root).unwrap();
        }

        #[test]
        fn ends_whatever_the_links_say(path in "[a./]{1,30}", target in "[a./]{1,30}") {
            let tree = tree(&[("/a", Some(target.as_str()))]);
            if let Ok(found) = tree.walk(&path, true) {
                prop_assert!(found.starts_with('/') && !found.contains("//"));
                prop_assert!(path::names(&found).all(|name| name != "." && name != ".."));
            }
        }
    }
}

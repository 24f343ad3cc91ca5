//! Mount table: maps paths to volumes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::{Error, path};

/// Mount specification, parsed from `POINT=KIND:SOURCE[,ro|,grow]`; the values aren't checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// Mount point.
    pub point: &'a str,
    /// Kind of the file system, if it is given.
    pub kind: Option<&'a str>,
    /// Disk, or another source that the file system defines.
    pub source: &'a str,
    /// Mount read-only.
    pub read_only: bool,
    /// Grow the file system at the mount; see [`VolumeOptions`](crate::VolumeOptions).
    pub grow: bool,
}

impl<'a> Word<'a> {
    /// Parses a word; `None` without `=`.
    pub fn parse(word: &'a str) -> Option<Self> {
        let (point, what) = word.split_once('=')?;
        let (what, read_only, grow) = match what.rsplit_once(',') {
            Some((what, "ro")) => (what, true, false),
            Some((what, "grow")) => (what, false, true),
            _ => (what, false, false),
        };
        let (kind, source) = match what.split_once(':') {
            Some((kind, source)) => (Some(kind), source),
            // The only kind that needs no source.
            None if matches!(what, "memory" | "initrd") => (Some(what), ""),
            None => (None, what),
        };
        Some(Self {
            point,
            kind,
            source,
            read_only,
            grow,
        })
    }
}

/// Table of mount points. `V` stands for a volume: an index, a handle or a box.
///
/// A path belongs to the longest mount point that it starts with, name by name.
#[derive(Debug, Clone)]
pub struct Mounts<V> {
    /// Normalised mount points, longest first.
    entries: Vec<(String, V)>,
}

impl<V> Default for Mounts<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Mounts<V> {
    /// Creates an empty table.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Mounts `volume` at `point`. Fails with [`Error::Exists`] when something is mounted at that
    /// point, and with the errors of [`path::normalise`] for `point`.
    pub fn add(&mut self, point: &str, volume: V) -> Result<(), Error> {
        let point = path::normalise(point)?;
        if self.entries.iter().any(|(other, _)| *other == point) {
            return Err(Error::Exists);
        }
        let at = self
            .entries
            .partition_point(|(other, _)| other.len() >= point.len());
        self.entries.insert(at, (point, volume));
        Ok(())
    }

    /// Removes the volume at `point` and returns it.
    pub fn remove(&mut self, point: &str) -> Option<V> {
        let point = path::normalise(point).ok()?;
        let at = self.entries.iter().position(|(other, _)| *other == point)?;
        Some(self.entries.remove(at).1)
    }

    /// Removes a volume, wherever it is mounted.
    pub fn remove_volume(&mut self, volume: &V)
    where
        V: PartialEq,
    {
        self.entries.retain(|(_, other)| other != volume);
    }

    /// Returns the volume of `path` and the rest of the path from its root: normalised, with a
    /// leading slash. Fails with [`Error::NotFound`] when nothing is mounted there, and with the
    /// errors of [`path::normalise`] for `path`.
    pub fn resolve(&self, path: &str) -> Result<(&V, String), Error> {
        let plain = path::normalise(path)?;
        for (point, volume) in &self.entries {
            if let Some(rest) = below(point, &plain) {
                let rest = if rest.is_empty() { "/" } else { rest };
                return Ok((volume, rest.to_string()));
            }
        }
        Err(Error::NotFound)
    }

    /// Returns the volume of the normalised path `path`, and the length of its mount point in bytes
    /// of `path`; the rest, with its slash, is the path on that volume.
    pub fn volume_of(&self, path: &str) -> Option<(&V, usize)> {
        let mut entries = self.entries.iter();
        let (point, volume) = entries.find(|(point, _)| below(point, path).is_some())?;
        Some((volume, if point == "/" { 0 } else { point.len() }))
    }

    /// Returns a mount point below the normalised path `path`.
    pub fn below(&self, path: &str) -> Option<&str> {
        let mut points = self.entries.iter().map(|(point, _)| point.as_str());
        points.find(|point| below(path, point).is_some_and(|rest| !rest.is_empty()))
    }

    /// Iterates over the mount points with their volumes, longest first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.entries
            .iter()
            .map(|(point, volume)| (point.as_str(), volume))
    }

    /// Returns the names that mount points add to the directory `path`, each once: a listing shows
    /// them besides the files of the directory's volume.
    pub fn names_in(&self, path: &str) -> Result<Vec<String>, Error> {
        let plain = path::normalise(path)?;
        let mut names: Vec<String> = Vec::new();
        for (point, _) in &self.entries {
            if let Some(rest) = below(&plain, point)
                && let Some(name) = path::names(rest).next()
                && let Err(place) = names.binary_search_by(|other| other.as_str().cmp(name))
            {
                names.insert(place, name.to_string());
            }
        }
        Ok(names)
    }
}

/// Returns the rest of `path` below the directory `base`, empty or with a leading slash; `None` if
/// `path` is neither `base` nor below it.
fn below<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    if base == "/" {
        return Some(if path == "/" { "" } else { path });
    }
    path.strip_prefix(base)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Mounts<u8> {
        let mut mounts = Mounts::new();
        mounts.add("/www", 1).unwrap();
        mounts.add("/www/data/", 2).unwrap();
        mounts.add("/x", 3).unwrap();
        mounts
    }

    fn resolve(mounts: &Mounts<u8>, path: &str) -> Result<(u8, String), Error> {
        mounts.resolve(path).map(|(volume, rest)| (*volume, rest))
    }

    #[test]
    fn the_longest_mount_point_wins_name_by_name() {
        let mounts = table();
        for (path, volume, rest) in [
            ("/www", 1, "/"),
            ("/www/", 1, "/"),
            ("/www/index.html", 1, "/index.html"),
            ("/www/data", 2, "/"),
            ("/www/data/a/b", 2, "/a/b"),
            ("/www/database", 1, "/database"),
            ("/x/../www/a", 1, "/a"),
            ("/www/data/../../x/y", 3, "/y"),
        ] {
            assert_eq!(
                resolve(&mounts, path),
                Ok((volume, rest.to_string())),
                "{path}"
            );
        }
        assert_eq!(resolve(&mounts, "/wwwx"), Err(Error::NotFound));
        assert_eq!(resolve(&mounts, "/"), Err(Error::NotFound));
    }

    #[test]
    fn a_root_mount_takes_what_is_left() {
        let mut mounts = table();
        mounts.add("/", 9).unwrap();
        assert_eq!(resolve(&mounts, "/"), Ok((9, "/".to_string())));
        assert_eq!(resolve(&mounts, "/wwwx/y"), Ok((9, "/wwwx/y".to_string())));
        assert_eq!(resolve(&mounts, "/x/y"), Ok((3, "/y".to_string())));
    }

    #[test]
    fn mount_points_are_unique_and_removable() {
        let mut mounts = table();
        assert_eq!(mounts.add("/www/.", 5), Err(Error::Exists));
        assert_eq!(mounts.remove("/www/data"), Some(2));
        assert_eq!(mounts.remove("/www/data"), None);
        assert_eq!(
            resolve(&mounts, "/www/data/a"),
            Ok((1, "/data/a".to_string()))
        );
    }

    #[test]
    fn points_are_measured_and_found_below() {
        let mut mounts = table();
        let point = "/www/data".len();
        assert_eq!(mounts.volume_of("/www/data/a"), Some((&2, point)));
        assert_eq!(mounts.volume_of("/nothing"), None);
        mounts.add("/", 9).unwrap();
        assert_eq!(mounts.volume_of("/nothing"), Some((&9, 0)));
        assert_eq!(mounts.below("/www"), Some("/www/data"));
        assert_eq!(mounts.below("/www/data"), None);
        assert_eq!(mounts.below("/ww"), None);
        assert!(mounts.below("/").is_some());
    }

    #[test]
    fn mount_points_show_in_listings() {
        let mounts = table();
        assert_eq!(mounts.names_in("/").unwrap(), ["www", "x"]);
        assert_eq!(mounts.names_in("/www").unwrap(), ["data"]);
        assert!(mounts.names_in("/x").unwrap().is_empty());
    }
}

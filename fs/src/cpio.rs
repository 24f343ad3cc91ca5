//! cpio archives of the format newc, as machines have in their initrd, unpacked into a volume.
//!
//! Archives may follow each other, with zeros between them: a later entry replaces an earlier one,
//! as in Linux. Supports files, directories, symbolic and hard links, and names without their
//! directories; leaves out devices, pipes and sockets. Whole archives are checked before anything
//! is unpacked, and no memory is taken by a size that an archive states.

mod entries;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::walk::{Step, Walker};
use crate::{Error, MountError, OpenFlags, Stat, Time, Volume, Walk, path};
use entries::{Entries, Entry, Kind};

/// Maximum number of files of one archive that may have several names.
const MAX_LINKED: usize = 1024;

/// Unpacks all entries of `archive`.
///
/// [`Error::Corrupt`], with the position, for a damaged archive, which leaves the volume unchanged.
/// [`Error::Io`], with the name and the reason, if the volume refuses an entry: the ones before it
/// are there.
pub fn unpack(archive: &[u8], volume: &mut dyn Volume) -> Result<(), MountError> {
    let mut entries = Entries::new(archive);
    while entries.next()?.is_some() {}
    let mut entries = Entries::new(archive);
    let mut linked = Linked::default();
    while let Some(entry) = entries.next()? {
        add(volume, &entry, &mut linked).map_err(|error| {
            let name: String = entry.name.chars().take(200).collect();
            MountError::new(Error::Io, format!("{name:?} of the archive: {error}"))
        })?;
    }
    Ok(())
}

/// The contents of the file at `path` in an archive: the last one of several. `None` also for a
/// damaged archive.
pub fn find<'a>(archive: &'a [u8], path: &str) -> Option<&'a [u8]> {
    let mut entries = Entries::new(archive);
    let mut found = None;
    while let Some(entry) = entries.next().ok()? {
        let is_it = entry.kind == Kind::File && names(entry.name).eq(names(path));
        found = found.filter(|_| !is_it).or(is_it.then_some(entry.contents));
    }
    found
}

/// The names of a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path::names(path).filter(|name| *name != ".")
}

/// The first name of each file with several, of one archive.
#[derive(Default)]
struct Linked {
    archive: usize,
    names: Vec<([u32; 3], String)>,
}

impl Linked {
    /// The first name of the entry's file, unless the entry is that.
    fn first(&mut self, entry: &Entry<'_>, path: &str) -> Result<Option<&str>, Error> {
        let Some(inode) = entry.inode.filter(|_| entry.kind == Kind::File) else {
            return Ok(None);
        };
        if self.archive != entry.archive {
            self.archive = entry.archive;
            self.names.clear();
        }
        match self.names.iter().position(|(known, _)| *known == inode) {
            Some(at) => Ok(self.names.get(at).map(|(_, name)| name.as_str())),
            None if self.names.len() == MAX_LINKED => Err(Error::TooManyLinks),
            None => {
                self.names.push((inode, path.to_string()));
                Ok(None)
            }
        }
    }
}

fn add(volume: &mut dyn Volume, entry: &Entry<'_>, linked: &mut Linked) -> Result<(), Error> {
    let path = resolved(volume, &path::normalise(entry.name)?)?;
    if path == "/" {
        return Ok(());
    }
    match entry.kind {
        Kind::Other => Ok(()),
        Kind::Directory => {
            make_room(volume, &path, Some(crate::Kind::Directory))?;
            directory(volume, &path)
        }
        Kind::Link => {
            let target = core::str::from_utf8(entry.contents).map_err(|_| Error::InvalidName)?;
            make_room(volume, &path, None)?;
            volume.symlink(target, &path)
        }
        Kind::File => {
            match linked.first(entry, &path)? {
                // The last name has the contents.
                Some(first) if first != path => {
                    make_room(volume, &path, None)?;
                    volume.link(first, &path)?;
                    if entry.contents.is_empty() {
                        return Ok(());
                    }
                }
                _ => make_room(volume, &path, Some(crate::Kind::File))?,
            }
            write(volume, &path, entry.contents)?;
            let modified = Time::from_seconds(i64::from(entry.modified));
            volume.set_times(&path, None, Some(modified))
        }
    }
}

/// The path with the links to its directory followed, which is created if it is missing.
fn resolved(volume: &mut dyn Volume, path: &str) -> Result<String, Error> {
    let mut walker = Walker::new(path, false)?;
    let path = loop {
        let (part, is_last) = match walker.step() {
            Step::Directory(part) => (part.to_string(), false),
            Step::Last(part) => (part.to_string(), true),
        };
        match volume.resolve(&part, !is_last)? {
            Walk::Link { end, target } => walker.link(end, &target)?,
            Walk::Plain if is_last => break part,
            Walk::Plain => walker.up(),
        }
    };
    let above = path::split_last(&path).map_or("", |(above, _)| above);
    if volume.stat(above).is_err() {
        for (end, _) in path::names_with_ends(above) {
            directory(volume, above.get(..end).unwrap_or_default())?;
        }
    }
    Ok(path)
}

/// Creates a directory, unless it exists.
fn directory(volume: &mut dyn Volume, path: &str) -> Result<(), Error> {
    match volume.mkdir(path) {
        Err(Error::Exists) if volume.stat(path)?.kind == crate::Kind::Directory => Ok(()),
        other => other,
    }
}

/// Removes the entry at `path`, unless it is of the kind `kept`.
fn make_room(volume: &mut dyn Volume, path: &str, kept: Option<crate::Kind>) -> Result<(), Error> {
    match volume.stat(path) {
        Err(Error::NotFound) => Ok(()),
        Ok(Stat { kind, .. }) if Some(kind) == kept => Ok(()),
        Ok(Stat {
            kind: crate::Kind::Directory,
            ..
        }) => volume.rmdir(path),
        Ok(_) => volume.unlink(path),
        Err(error) => Err(error),
    }
}

fn write(volume: &mut dyn Volume, path: &str, contents: &[u8]) -> Result<(), Error> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let file = volume.open(path, flags)?;
    let written = volume.write_at(file, 0, contents);
    volume.close(file)?;
    match written? == contents.len() {
        true => Ok(()),
        false => Err(Error::NoSpace),
    }
}

#[cfg(test)]
mod tests;

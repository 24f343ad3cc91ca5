//! Clusters of directories, and changes of slots in place.

use alloc::vec;
use alloc::vec::Vec;

use super::geometry::{ENTRY_SIZE, Geometry};
use super::slots::{ATTR_DIRECTORY, Bytes, ShortEntry, Slot};
use crate::cache::{Cache, Run};
use crate::{BlockError, Error};

/// Changed slots: location on the disk, and old contents.
pub(super) type Before = Vec<(u64, Bytes)>;

type Result<T> = core::result::Result<T, Error>;

/// Restores slots in reverse order. Their sectors are still cached, so this needs no device.
pub(super) fn put_back(before: &Before, cache: &mut Cache) {
    for (place, bytes) in before.iter().rev() {
        let _ = cache.write_bytes(*place, bytes);
    }
}

/// Makes changed slots the most recent changes: a commit writes their current contents after
/// everything else.
pub(super) fn put_last(changed: &[(u64, Bytes)], cache: &mut Cache) {
    for (place, _) in changed {
        let mut now = [0; ENTRY_SIZE];
        if cache.read_bytes(*place, &mut now).is_ok() {
            let _ = cache.write_bytes(*place, &now);
        }
    }
}

/// Writes a slot at byte `at` of the disk, and returns the old one.
pub(super) fn patch(
    at: u64,
    new: &Bytes,
    cache: &mut Cache,
) -> core::result::Result<Bytes, BlockError> {
    let mut old = [0; ENTRY_SIZE];
    cache.read_bytes(at, &mut old)?;
    cache.write_bytes(at, new)?;
    Ok(old)
}

/// Fills a cluster with zeros, ordered like file contents: nothing links to it yet.
pub(super) fn clear_cluster(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<()> {
    let disk = geometry.cluster_offset(cluster).ok_or(Error::Corrupt)?;
    let len = u64::from(geometry.unit);
    let zeros = vec![0; geometry.unit as usize];
    let run = Run { file: 0, disk, len };
    Ok(cache.write_runs(&[run], 0, &zeros, false)?)
}

/// Writes the first cluster of a new directory, for `entry`, whose parent directory begins with
/// cluster `up` (0 for the root).
pub(super) fn begin_directory(
    entry: &ShortEntry,
    up: u32,
    geometry: &Geometry,
    cache: &mut Cache,
) -> Result<()> {
    let first = entry.first_cluster(geometry.kind);
    clear_cluster(first, geometry, cache)?;
    let at = geometry.cluster_offset(first).ok_or(Error::Corrupt)?;
    let mut dot = *entry;
    dot.set_attributes(ATTR_DIRECTORY);
    dot.set_name(*b".          ");
    cache.write_bytes(at, &dot.0)?;
    dot.set_name(*b"..         ");
    dot.set_first_cluster(geometry.kind, up);
    Ok(cache.write_bytes(at + ENTRY_SIZE as u64, &dot.0)?)
}

/// Returns the `..` entry of the directory that begins with `cluster`.
fn above(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<(u64, ShortEntry)> {
    let at = geometry.cluster_offset(cluster).ok_or(Error::Corrupt)? + ENTRY_SIZE as u64;
    let mut bytes = [0; ENTRY_SIZE];
    cache.read_bytes(at, &mut bytes)?;
    match Slot::parse(&bytes) {
        Slot::Short(entry) if entry.is_dot_dot() => Ok((at, entry)),
        _ => Err(Error::Corrupt),
    }
}

/// Returns the first cluster of the parent of the directory that begins with `cluster`; 0 for the
/// root.
pub(super) fn parent(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<u32> {
    let (_, entry) = above(cluster, geometry, cache)?;
    Ok(entry.first_cluster(geometry.kind))
}

/// Sets the `..` entry of a directory.
pub(super) fn set_parent(
    entry: &ShortEntry,
    up: u32,
    geometry: &Geometry,
    cache: &mut Cache,
) -> Result<()> {
    let first = entry.first_cluster(geometry.kind);
    let (at, mut entry) = above(first, geometry, cache)?;
    entry.set_first_cluster(geometry.kind, up);
    Ok(cache.write_bytes(at, &entry.0)?)
}

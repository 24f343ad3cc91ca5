//! Clusters of directories: their links, the contents of new ones, and changes in place.

use alloc::vec;
use alloc::vec::Vec;

use hadris_fat::Geometry;
use hadris_fat_raw::{ATTR_DIRECTORY, ENTRY_SIZE, ShortEntry, Slot};

use crate::BlockError;
use crate::cache::Cache;

/// Changed slots: location on the disk, and old contents.
pub(super) type Before = Vec<(u64, Bytes)>;

/// Slot in its form on the disk.
pub(super) type Bytes = [u8; ENTRY_SIZE];

type Result<T> = core::result::Result<T, BlockError>;

/// Restores slots in reverse order. Their sectors are still cached, so this needs no device.
pub(super) fn put_back(before: &Before, cache: &mut Cache) {
    for (place, bytes) in before.iter().rev() {
        let _ = patch(*place, bytes, cache);
    }
}

/// Makes changed slots the most recent changes: a commit writes their current contents after
/// everything else.
pub(super) fn put_last(changed: &[(u64, Bytes)], cache: &mut Cache) {
    for (place, _) in changed {
        let mut now = [0; ENTRY_SIZE];
        if cache.read_bytes(*place, &mut now).is_ok() {
            let _ = patch(*place, &now, cache);
        }
    }
}

/// Writes a few bytes at byte `at` of the disk, and returns the old ones.
pub(super) fn patch<const N: usize>(at: u64, new: &[u8; N], cache: &mut Cache) -> Result<[u8; N]> {
    let size = cache.sector_size();
    let mut bytes = vec![0; size];
    let mut old = [0; N];
    let mut pairs = old.iter_mut().zip(new).peekable();
    let mut at = at;
    while pairs.peek().is_some() {
        let (sector, inside) = (at / size as u64, (at % size as u64) as usize);
        cache.read(sector, &mut bytes)?;
        let place = bytes.get_mut(inside..).unwrap_or_default();
        at += place.len() as u64;
        for (byte, (old, new)) in place.iter_mut().zip(&mut pairs) {
            *old = core::mem::replace(byte, *new);
        }
        cache.write(sector, &bytes)?;
    }
    Ok(old)
}

/// Links `cluster` to another, or to none, in every copy of the table.
pub(super) fn link(cluster: u32, value: u32, geometry: &Geometry, cache: &mut Cache) -> Result<()> {
    let kind = geometry.kind();
    for step in 0..geometry.copies() {
        let copy = geometry.fat_copy(geometry.active_fat() ^ step);
        let at = copy + kind.entry_offset(cluster.into());
        // As many bytes as the longest entry has; those beside a shorter one stay.
        let mut bytes = [0; 4];
        cache.read_bytes(at, &mut bytes)?;
        kind.encode(cluster.into(), value, &mut bytes);
        patch(at, &bytes, cache)?;
    }
    Ok(())
}

fn cluster_at(cluster: u32, geometry: &Geometry) -> Result<u64> {
    let at = geometry.cluster_offset(cluster);
    at.ok_or(BlockError::OutOfRange)
}

/// Fills a cluster with zeros, in the way of file contents: nothing links to it yet.
pub(super) fn clear_cluster(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<()> {
    let (size, unit) = (cache.sector_size(), geometry.cluster_size() as usize);
    let at = cluster_at(cluster, geometry)?;
    if unit < size {
        // The same sector may hold other clusters.
        for byte in (at..at + unit as u64).step_by(ENTRY_SIZE) {
            patch(byte, &[0; ENTRY_SIZE], cache)?;
        }
        return Ok(());
    }
    let sector = at / size as u64;
    let zeros = vec![0; unit];
    cache.begin_file(u64::MAX);
    let cleared = cache.write(sector, &zeros);
    cache.end_file();
    cleared
}

/// Creates the first cluster of a new directory, for `entry`, whose parent directory begins with
/// cluster `up` (0 for the root).
pub(super) fn begin_directory(
    entry: &ShortEntry,
    up: u32,
    geometry: &Geometry,
    cache: &mut Cache,
) -> Result<()> {
    let first = entry.first_cluster(geometry.kind());
    clear_cluster(first, geometry, cache)?;
    let at = cluster_at(first, geometry)?;
    let mut dot = *entry;
    dot.set_attributes(ATTR_DIRECTORY);
    dot.set_size(0);
    dot.set_nt_case(0);
    dot.set_name(*b".          ");
    patch(at, &dot.encode(), cache)?;
    dot.set_name(*b"..         ");
    dot.set_first_cluster(geometry.kind(), up);
    patch(at + ENTRY_SIZE as u64, &dot.encode(), cache)?;
    Ok(())
}

/// Returns the `..` entry of the directory that begins with `cluster`.
fn above(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<(u64, ShortEntry)> {
    let at = cluster_at(cluster, geometry)? + ENTRY_SIZE as u64;
    let mut bytes = [0; ENTRY_SIZE];
    cache.read_bytes(at, &mut bytes)?;
    match short(&bytes) {
        Some(entry) if entry.is_dot_dot() => Ok((at, entry)),
        _ => Err(BlockError::OutOfRange),
    }
}

/// Returns the short entry in a slot.
#[inline(never)]
pub(super) fn short(slot: &Bytes) -> Option<ShortEntry> {
    match Slot::parse(slot) {
        Slot::Short(entry) => Some(entry),
        _ => None,
    }
}

/// Returns the first cluster of the parent of the directory that begins with `cluster`; 0 for the
/// root.
pub(super) fn parent(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<u32> {
    let (_, entry) = above(cluster, geometry, cache)?;
    Ok(entry.first_cluster(geometry.kind()))
}

/// Sets the `..` entry of a directory.
pub(super) fn set_parent(
    entry: &ShortEntry,
    up: u32,
    geometry: &Geometry,
    cache: &mut Cache,
) -> Result<()> {
    let first = entry.first_cluster(geometry.kind());
    let (at, mut entry) = above(first, geometry, cache)?;
    entry.set_first_cluster(geometry.kind(), up);
    patch(at, &entry.encode(), cache).map(|_| ())
}

//! Clusters of directories: the links between them, what a new one holds, and bytes in place.

use alloc::vec;
use alloc::vec::Vec;

use hadris_fat::Geometry;
use hadris_fat_raw::{ATTR_DIRECTORY, ENTRY_SIZE, ShortEntry, Slot};

use crate::BlockError;
use crate::cache::Cache;

/// Slots that were changed: where on the disk, and what was in them.
pub(super) type Before = Vec<(u64, Bytes)>;

/// A slot as it is on the disk.
pub(super) type Bytes = [u8; ENTRY_SIZE];

type Result<T> = core::result::Result<T, BlockError>;

/// Writes slots as they were, the last first. Their sectors are in the cache since, which takes no
/// device.
pub(super) fn put_back(before: &Before, cache: &mut Cache) {
    for (place, bytes) in before.iter().rev() {
        let _ = patch(*place, bytes, cache);
    }
}

/// Has slots that were changed be the last that were: as they are now, they are written after
/// everything else.
pub(super) fn put_last(changed: &[(u64, Bytes)], cache: &mut Cache) {
    for (place, _) in changed {
        let mut now = [0; ENTRY_SIZE];
        if cache.read_bytes(*place, &mut now).is_ok() {
            let _ = patch(*place, &now, cache);
        }
    }
}

/// Writes a few bytes at byte `at` of the disk, and gives those that were there.
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

/// Has `cluster` lead to another, or to none, in every copy of the table.
pub(super) fn link(cluster: u32, value: u32, geometry: &Geometry, cache: &mut Cache) -> Result<()> {
    let kind = geometry.kind();
    for step in 0..geometry.copies() {
        let copy = geometry.fat_copy(geometry.active_fat() ^ step);
        let at = copy + kind.entry_offset(cluster.into());
        // As many bytes as the longest entry has; what is beside a shorter one stays.
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

/// Fills a cluster with zeros, as the contents of files are written: nothing leads to it yet.
pub(super) fn clear_cluster(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<()> {
    let (size, unit) = (cache.sector_size(), geometry.cluster_size() as usize);
    let at = cluster_at(cluster, geometry)?;
    if unit < size {
        // Others are in the same sector.
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

/// Makes the first cluster of a new directory, which `entry` is to lead to and which is in the one
/// that begins with cluster `up` (0 for the root).
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

/// The entry of the directory above in the one that begins with `cluster`.
fn above(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<(u64, ShortEntry)> {
    let at = cluster_at(cluster, geometry)? + ENTRY_SIZE as u64;
    let mut bytes = [0; ENTRY_SIZE];
    cache.read_bytes(at, &mut bytes)?;
    match short(&bytes) {
        Some(entry) if entry.is_dot_dot() => Ok((at, entry)),
        _ => Err(BlockError::OutOfRange),
    }
}

/// The short entry in a slot.
#[inline(never)]
pub(super) fn short(slot: &Bytes) -> Option<ShortEntry> {
    match Slot::parse(slot) {
        Slot::Short(entry) => Some(entry),
        _ => None,
    }
}

/// The first cluster of the directory above the one that begins with `cluster`; 0 for the root.
pub(super) fn parent(cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<u32> {
    let (_, entry) = above(cluster, geometry, cache)?;
    Ok(entry.first_cluster(geometry.kind()))
}

/// Says in a directory that it is in another one.
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

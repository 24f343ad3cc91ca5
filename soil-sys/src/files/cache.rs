//! What the caches of volumes have done; see `soil_cache_statistics`.

use super::volumes::cache_statistics;
use crate::ffi::Int;
use crate::runtime::Runtime;
use ::fs::CacheCounts;

/// The counts of the volume that is mounted right at `point`; with an empty one those of all, and
/// the memory for what was read.
pub fn statistics(rt: &Runtime, point: &str) -> Option<[Int; 6]> {
    let all = cache_statistics();
    if point.is_empty() {
        return Some(numbers(&all.counts, all.used_bytes, all.limit_bytes));
    }
    let files = rt.files.as_deref()?;
    let (_, index) = files.mounts.iter().find(|(known, _)| *known == point)?;
    let volume = files.volumes.get(*index)?;
    Some(numbers(&volume.cache_counts(), 0, 0))
}

fn numbers(counts: &CacheCounts, used: usize, limit: usize) -> [Int; 6] {
    [
        counts.dirty_bytes as Int,
        counts.hits as Int,
        counts.misses as Int,
        counts.read_ahead_bytes as Int,
        used as Int,
        limit as Int,
    ]
}

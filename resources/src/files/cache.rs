//! Statistics of the caches of volumes; see `soil_cache_statistics`.

use super::options::cache_statistics;
use crate::Runtime;
use crate::types::Int;
use crate::types::records::CacheStatistics;
use ::fs::CacheCounts;

/// The counts of the volume that is mounted right at `point`; with an empty one those of all, and
/// the memory for what was read.
pub fn statistics(rt: &Runtime, point: &str) -> Option<CacheStatistics> {
    let all = cache_statistics();
    if point.is_empty() {
        return Some(CacheStatistics {
            used: all.used_bytes as Int,
            limit: all.limit_bytes as Int,
            ..record(&all.counts)
        });
    }
    let files = rt.resources.files.as_deref()?;
    let (_, index) = files.mounts.iter().find(|(known, _)| *known == point)?;
    let volume = files.volumes.get(*index)?;
    Some(record(&volume.cache_counts()))
}

fn record(counts: &CacheCounts) -> CacheStatistics {
    CacheStatistics {
        dirty: counts.dirty_bytes as Int,
        hits: counts.hits as Int,
        misses: counts.misses as Int,
        read_ahead: counts.read_ahead_bytes as Int,
        ..CacheStatistics::default()
    }
}

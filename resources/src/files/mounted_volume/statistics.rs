//! Statistics of the caches of volumes; see `soil_cache_statistics`.

use super::Volume;
use super::options::cache_statistics;
use crate::Runtime;
use crate::types::Int;
use crate::types::records::CacheStatistics;
use ::fs::{CacheCounts, Health};
use alloc::string::String;
use core::fmt::Write;
use slab::Slab;

/// Returns the counters of the volume mounted exactly at `point`; for an empty one those of all
/// volumes, and the memory used for cached reads.
pub fn statistics(rt: &Runtime, point: &str) -> Option<CacheStatistics> {
    let all = cache_statistics();
    if point.is_empty() {
        return Some(CacheStatistics {
            used: all.used_bytes as Int,
            limit: all.limit_bytes as Int,
            ..record(&all.counts)
        });
    }
    let files = &rt.resources.files;
    let (_, index) = files.mounts.iter().find(|(known, _)| *known == point)?;
    let volume = files.volumes.get(*index)?;
    Some(record(&volume.cache_counts()))
}

/// Appends a line for each open volume; see `soil_statistics`.
pub fn volumes(volumes: &mut Slab<Volume>, text: &mut String) {
    for (_, volume) in volumes {
        if !volume.is_open() {
            continue;
        }
        let counts = volume.cache_counts();
        let (health, total, available) = match volume.space_at_once() {
            None => ("busy", 0, 0),
            Some((space, health)) => {
                let name = health_name(&health, volume.flushes());
                (name, space.total, space.available)
            }
        };
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "volume {health} {total} {available} {} {} {} {} {}",
            counts.hits,
            counts.misses,
            counts.dirty_bytes,
            counts.read_ahead_bytes,
            volume.specification.point
        );
    }
}

const fn health_name(health: &Health, flushes: bool) -> &'static str {
    match health {
        Health::Writable if !flushes => "unflushed",
        Health::Writable | Health::Damaged(_) => "writable",
        Health::ReadOnly | Health::Waiting(_) => "read-only",
        Health::Corrupt(_) => "corrupt",
    }
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

//! Mount options of all volumes on disks.

use crate::{CacheBudget, CacheCounters, Clock};

/// How a volume on a disk is mounted.
#[derive(Debug, Clone, Copy)]
pub struct VolumeOptions {
    /// Never write to the device.
    pub read_only: bool,
    /// Where times come from; without one, what is written is dated with the file system's first
    /// day.
    pub clock: Option<&'static Clock>,
    /// Bytes for the cache of metadata and small transfers: at least 64 KiB.
    pub cache_bytes: usize,
    /// Bytes of each of two buffers, for reading ahead and for gathering small sequential writes;
    /// 0 for none. A transfer of at least half of it goes straight to or from the caller's buffer.
    pub stream_bytes: usize,
    /// Memory for what was read, shared with other volumes; without it only `cache_bytes` are kept.
    pub budget: Option<&'static CacheBudget>,
    /// What this volume's cache does is counted here, as well as in the budget.
    pub counters: Option<&'static CacheCounters>,
}

impl Default for VolumeOptions {
    /// Writable, no clock, 256 KiB of cache and twice 256 KiB of stream buffers, all of it
    /// allocated when first used.
    fn default() -> Self {
        Self {
            read_only: false,
            clock: None,
            cache_bytes: 256 << 10,
            stream_bytes: 256 << 10,
            budget: None,
            counters: None,
        }
    }
}

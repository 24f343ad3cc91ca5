//! Mount options of volumes on disks.

use crate::{CacheBudget, CacheCounters, Clock};

/// Mount options of a volume on a disk.
#[derive(Debug, Clone, Copy)]
pub struct VolumeOptions {
    /// Never write to the device.
    pub read_only: bool,
    /// Grow the file system at the mount if the device is larger, where the driver can (ext4).
    pub grow: bool,
    /// Source of times; without a clock, new times are the first day that the file system can
    /// store.
    pub clock: Option<&'static Clock>,
    /// Bytes for the cache of metadata and small transfers: at least 64 KiB.
    pub cache_bytes: usize,
    /// Bytes of each of two buffers, for reading ahead and for gathering small sequential writes; 0
    /// for none. A transfer of at least half of that size bypasses the buffers.
    pub stream_bytes: usize,
    /// Memory for the page cache, shared with other volumes; without it only `cache_bytes` are
    /// kept.
    pub budget: Option<&'static CacheBudget>,
    /// Counters of this volume's cache, in addition to those of the budget.
    pub counters: Option<&'static CacheCounters>,
}

impl Default for VolumeOptions {
    /// Writable, of its present size, no clock, 256 KiB of cache and two stream buffers of 256 KiB,
    /// all allocated when first used.
    fn default() -> Self {
        Self {
            read_only: false,
            grow: false,
            clock: None,
            cache_bytes: 256 << 10,
            stream_bytes: 256 << 10,
            budget: None,
            counters: None,
        }
    }
}

//! Mount options on this machine: cache sizes, and the clock.

use super::drivers::Options;
use crate::current::Current;
use ::fs::{CacheBudget, CacheStatistics, Clock, Time};
use platform::{Clock as _, Memory};

/// Minimum buffer size of a stream in bytes: in the process another Linux thread performs each disk
/// request.
const MIN_STREAM: usize = if cfg!(feature = "image") { 0 } else { 1 << 20 };
/// Memory size in bytes below which caches are small.
const SMALL_MACHINE: u64 = 32 << 20;
/// Memory size in bytes from which volumes use the full read-ahead and write gathering.
const LARGE_MACHINE: u64 = 96 << 20;

/// Memory budget for cached reads, shared by all volumes.
pub static CACHE: CacheBudget = CacheBudget::new(0);

static CLOCK: Clock = Clock::new(|| {
    let ns = Current::wall_ns();
    Time {
        seconds: (ns / 1_000_000_000) as i64,
        nanoseconds: (ns % 1_000_000_000) as u32,
    }
});

/// Returns contents and counters of the caches of all volumes.
pub fn cache_statistics() -> CacheStatistics {
    CACHE.statistics()
}

/// Returns the maximum bytes of all leases: half of the budget, so that the other half remains
/// evictable.
pub fn leasable() -> usize {
    CACHE.statistics().limit_bytes / 2
}

/// Returns the sizes in bytes of a volume's cache and of each of its stream buffers, for this
/// memory size.
fn sizes(memory: u64) -> (usize, usize) {
    let cache_bytes = if memory < SMALL_MACHINE {
        64 << 10
    } else {
        256 << 10
    };
    #[allow(clippy::unnecessary_min_or_max, reason = "it is 0 in an image")]
    let stream_bytes = if memory < LARGE_MACHINE {
        cache_bytes.max(MIN_STREAM)
    } else {
        2 << 20
    };
    (cache_bytes, stream_bytes)
}

/// Returns the mount options for a volume on this machine; `grow` as in [`Options`].
pub fn options(read_only: bool, grow: bool) -> Options {
    let memory = Current::total_memory();
    let (cache_bytes, stream_bytes) = sizes(memory);
    // An eighth of the machine: the OCaml heap needs the rest.
    CACHE.set_limit(usize::try_from(memory / 8).unwrap_or(usize::MAX));
    Options {
        read_only,
        grow,
        cache_bytes,
        stream_bytes,
        clock: Some(&CLOCK),
        budget: Some(&CACHE),
        counters: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{CACHE, leasable, options, sizes};
    use crate::current::Current;
    use platform::Memory;

    #[test]
    fn caches_grow_with_the_machine() {
        const M: u64 = 1 << 20;
        for (memory, expected) in [
            (0, (64 << 10, 1 << 20)),
            (32 * M - 1, (64 << 10, 1 << 20)),
            (32 * M, (256 << 10, 1 << 20)),
            (96 * M - 1, (256 << 10, 1 << 20)),
            (96 * M, (256 << 10, 2 << 20)),
        ] {
            assert_eq!(sizes(memory), expected, "{memory}");
        }
    }

    #[test]
    fn an_eighth_of_the_machine_is_kept_and_half_of_that_leased() {
        assert!(options(true, false).read_only && !options(false, true).read_only);
        let limit = CACHE.statistics().limit_bytes as u64;
        assert!((8 * limit..8 * limit + 8).contains(&Current::total_memory()));
        assert_eq!(leasable() as u64, limit / 2);
    }
}

//! Opening the disk of a volume: how it is mounted, and what of the disk is its own.

use super::super::kinds::{self, Mount, Options};
use super::super::spec::Spec;
use super::super::work::code;
use super::super::worker::{LEAST_STREAM, Port, Wanted};
use super::{report, volume};
use crate::disks::Geometry;
use crate::error::{Error, Failure};
use crate::platform::{Current, Platform};
use crate::runtime::Runtime;
use ::fs::{CacheBudget, CacheStatistics, Clock, MountError, Time};
use alloc::string::{String, ToString};

/// Memory below which caches are small, in bytes.
const SMALL_MACHINE: u64 = 32 << 20;
/// Memory from which a volume reads ahead and gathers by as much as makes a difference, in bytes.
const LARGE_MACHINE: u64 = 96 << 20;

/// The memory in which all volumes keep what they read.
pub static CACHE: CacheBudget = CacheBudget::new(0);

static CLOCK: Clock = Clock::new(|| {
    let ns = Current::wall_ns();
    Time {
        seconds: (ns / 1_000_000_000) as i64,
        nanoseconds: (ns % 1_000_000_000) as u32,
    }
});

/// There are volumes that wait for what isn't one of our disks.
pub const WAITS: bool = Current::FOLDERS.is_some();
/// In the place of a disk's number: the volume is on none, but its calls wait.
pub const NO_DISK: usize = usize::MAX;
const NO_SECTORS: Geometry = Geometry {
    sector_size: 512,
    sectors: 0,
    read_only: true,
    flushes: true,
    max_bytes: 0,
};

/// What the caches of all volumes hold and have done.
pub fn cache_statistics() -> CacheStatistics {
    CACHE.statistics()
}

/// Bytes that may be lent at a time: half of what may be kept, so that the other half can go on
/// being replaced.
pub fn lendable() -> usize {
    CACHE.statistics().limit_bytes / 2
}

/// Bytes of a volume's cache and of each of its streams' buffers, with so many bytes of memory.
fn sizes(memory: u64) -> (usize, usize) {
    let cache_bytes = if memory < SMALL_MACHINE {
        64 << 10
    } else {
        256 << 10
    };
    let stream_bytes = if memory < LARGE_MACHINE {
        cache_bytes.max(LEAST_STREAM)
    } else {
        2 << 20
    };
    (cache_bytes, stream_bytes)
}

/// How volumes are mounted on this machine.
fn options(read_only: bool) -> Options {
    let memory = Current::memory().first().copied().unwrap_or(0);
    let (cache_bytes, stream_bytes) = sizes(memory);
    // An eighth of the machine: the OCaml heap wants the rest.
    CACHE.set_limit(usize::try_from(memory / 8).unwrap_or(usize::MAX));
    Options {
        read_only,
        cache_bytes,
        stream_bytes,
        clock: Some(&CLOCK),
        budget: Some(&CACHE),
        counters: None,
    }
}

/// Opens the disk of a volume and makes its fiber, or makes the volume where it needs none.
pub fn open(rt: &mut Runtime, index: usize) -> Result<(), Failure> {
    let Some(volume) = volume(rt, index) else {
        return Err(Error::Closed.into());
    };
    if volume.is_open() {
        return Ok(());
    }
    let spec = volume.spec.clone();
    let options = options(spec.read_only);
    let (disk, geometry) = if spec.is_on_disk() {
        acquire(rt, &spec)?
    } else {
        let name = spec.kind.as_deref().unwrap_or_default();
        let kind =
            kinds::find(&rt.kinds, name).map_err(|line| Failure::new(Error::Unsupported, line))?;
        if let Mount::Alone(mount) = kind.mount {
            let mounted = mount(&spec.source, &options);
            let mounted = mounted
                .map_err(|MountError { error, detail }| Failure::new(code(error), detail))?;
            if let Some(volume) = self::volume(rt, index) {
                volume.alone = Some(mounted);
            }
            return Ok(());
        }
        (NO_DISK, NO_SECTORS)
    };
    let partition = spec.is_on_disk().then(|| spec.disk().1).flatten();
    let wanted = Wanted {
        partition: partition.map(ToString::to_string),
        kind: spec.kind.clone(),
        source: spec.source.clone(),
        options,
        aside: rt.interest.aside(),
        kinds: rt.kinds.clone(),
    };
    let stack = rt.kinds.iter().map(|kind| kind.stack).max().unwrap_or(0);
    let spare = rt.files.as_deref_mut().and_then(|files| files.spare.pop());
    let Some(port) = spare.or_else(|| Port::new(geometry, stack)) else {
        if let Some(disks) = rt.disks.as_deref_mut() {
            disks.release(disk);
        }
        return Err(Error::OutOfMemory.into());
    };
    port.prepare(geometry, wanted);
    if let Some(volume) = self::volume(rt, index) {
        volume.disk = Some((disk, port));
    }
    Ok(())
}

/// What another volume on the disk says while that takes too long.
fn overdue_on(rt: &Runtime, disk: usize) -> Option<String> {
    let mut volumes = rt.files.as_deref()?.volumes.iter();
    volumes.find_map(|(_, volume)| {
        volume
            .overdue
            .clone()
            .filter(|_| volume.disk.is_some_and(|(other, _)| other == disk))
    })
}

/// Takes the disk that `spec` names.
fn acquire(rt: &mut Runtime, spec: &Spec) -> Result<(usize, Geometry), Failure> {
    let (name, partition) = spec.disk();
    let Some(disks) = rt.disks.as_deref_mut() else {
        return Err(Error::NoDevice.into());
    };
    let Some(disk) = disks.find(name) else {
        return Err(Failure::new(Error::NoDevice, disks.missing(name)));
    };
    if let Some(line) = overdue_on(rt, disk) {
        return Err(Failure::new(Error::Io, line));
    }
    let Some(disks) = rt.disks.as_deref_mut() else {
        return Err(Error::NoDevice.into());
    };
    Ok((disk, disks.acquire(disk, report, partition.is_some())?))
}

/// Takes a partition for a volume, unless another volume has some of its sectors.
pub fn claim(rt: &mut Runtime, index: usize, disk: usize, range: (u64, u64)) -> Result<(), Error> {
    let files = rt.files.as_deref_mut().ok_or(Error::Closed)?;
    let overlaps = |(first, sectors): (u64, u64)| {
        first < range.0.saturating_add(range.1) && range.0 < first.saturating_add(sectors)
    };
    let is_taken = files.volumes.iter().any(|(other, volume)| {
        let here = volume.disk.is_some_and(|(other, _)| other == disk);
        other != index && here && volume.claim.is_some_and(overlaps)
    });
    if is_taken {
        return Err(Error::Busy);
    }
    files.volumes.get_mut(index).ok_or(Error::Closed)?.claim = Some(range);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{CACHE, lendable, options, sizes};
    use crate::platform::{Current, Platform};

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
    fn an_eighth_of_the_machine_is_kept_and_half_of_that_lent() {
        assert!(options(true).read_only && !options(false).read_only);
        let limit = CACHE.statistics().limit_bytes as u64;
        let [total, ..] = Current::memory();
        assert!((8 * limit..8 * limit + 8).contains(&total));
        assert_eq!(lendable() as u64, limit / 2);
    }
}

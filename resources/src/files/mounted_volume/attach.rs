//! Attaches a volume to its disk, its partition, and the fiber on which it is mounted.

use super::drivers::{self, Mount};
use super::fiber::{Port, Wanted};
use super::options::options;
use super::specification::Specification;
use super::{Backing, Volume};
use crate::Runtime;
use crate::disks::{Disks, Geometry, Report};
use alloc::string::ToString;
use platform::Interest as _;
use platform::error::{Error, Failure};
use slab::Slab;

/// Geometry for a volume without a disk.
const NO_SECTORS: Geometry = Geometry {
    sector_size: 512,
    sectors: 0,
    read_only: true,
    flushes: true,
    max_bytes: 0,
};

/// Acquires the disk of a volume and creates its fiber, or creates the volume directly if it needs
/// no fiber. Does nothing if the volume is open. `report` gets the completions of disk requests.
pub fn attach(rt: &mut Runtime, index: usize, report: Report) -> Result<(), Failure> {
    let files = &mut rt.resources.files;
    let volume = files.volumes.get(index).ok_or(Error::Closed)?;
    if volume.is_open() {
        return Ok(());
    }
    let specification = &volume.specification;
    let mut options = options(specification.read_only, specification.grow);
    let disks = &mut rt.resources.disks;
    let (disk, geometry) = if specification.is_on_disk() {
        let disks = disks.as_deref_mut().ok_or(Error::NoDevice)?;
        let (disk, geometry) = acquire(disks, &files.volumes, specification, report)?;
        (Some(disk), geometry)
    } else {
        let name = specification.driver.as_deref().unwrap_or_default();
        let driver = drivers::find(&files.drivers, name)?;
        if let Mount::Alone(mount) = driver.mount {
            let mounted = mount(&specification.source, &options)?;
            if let Some(volume) = files.volumes.get_mut(index) {
                volume.backing = Backing::Immediate(mounted);
            }
            return Ok(());
        }
        (None, NO_SECTORS)
    };
    let mut partition = disk.and_then(|_| specification.disk().1);
    let own = disk.and_then(|disk| disks.as_deref()?.partition(disk));
    if own.is_some() {
        (partition, options.grow) = (own, !options.read_only);
    }
    let wanted = Wanted {
        partition: partition.map(ToString::to_string),
        driver: specification.driver.clone(),
        source: specification.source.clone(),
        options,
        offload: rt.interest.offload(),
        drivers: files.drivers.clone(),
    };
    let stacks = files.drivers.iter().map(|driver| driver.stack);
    let stack = stacks.max().unwrap_or(0);
    let spare = files.spare.pop();
    let Some(port) = spare.or_else(|| Port::new(geometry, stack)) else {
        if let (Some(disk), Some(disks)) = (disk, disks) {
            disks.release(disk);
        }
        return Err(Error::OutOfMemory.into());
    };
    port.prepare(geometry, wanted);
    if let Some(volume) = files.volumes.get_mut(index) {
        volume.backing = Backing::Fiber { port, disk };
    }
    Ok(())
}

/// Acquires the disk of a specification, unless another volume on it is timed out.
fn acquire(
    disks: &mut Disks,
    volumes: &Slab<Volume>,
    specification: &Specification,
    report: Report,
) -> Result<(usize, Geometry), Failure> {
    let (name, partition) = specification.disk();
    let Some(disk) = disks.find(name) else {
        return Err(Failure::new(Error::NoDevice, disks.missing(name)));
    };
    disks.check_part(disk, partition)?;
    let timed_out = volumes.iter().find_map(|(_, volume)| {
        let line = volume.schedule.timed_out()?;
        (volume.disk() == Some(disk)).then_some(line)
    });
    if let Some(line) = timed_out {
        return Err(Failure::new(Error::Io, line));
    }
    let shared = partition.is_some() && disks.partition(disk).is_none();
    Ok((disk, disks.acquire(disk, report, shared)?))
}

/// Claims a partition, given by first sector and number of sectors, for a volume; fails if it
/// overlaps with the claim of another volume.
pub fn claim(rt: &mut Runtime, index: usize, range: (u64, u64)) -> Result<(), Error> {
    let files = &mut rt.resources.files;
    let disk = files.volumes.get(index).and_then(|volume| volume.disk());
    let overlaps = |(first, sectors): (u64, u64)| {
        first < range.0.saturating_add(range.1) && range.0 < first.saturating_add(sectors)
    };
    let is_taken = files.volumes.iter().any(|(other, volume)| {
        other != index && volume.disk() == disk && volume.claim.is_some_and(overlaps)
    });
    if is_taken {
        return Err(Error::Busy);
    }
    files.volumes.get_mut(index).ok_or(Error::Closed)?.claim = Some(range);
    Ok(())
}

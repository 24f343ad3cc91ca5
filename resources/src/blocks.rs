//! Block devices as descriptors: sectors, many requests at once, of a whole disk or of a partition.
//!
//! A request that exceeds the disk's timeout completes with `Timed_out`. It is only abandoned: the
//! device owns its memory and sectors until it completes the request, or forever.

mod opening;
mod vectored;

pub use crate::disks::name;
pub use opening::open;
pub use vectored::{clear, gather, scatter};

use crate::Operations;
use crate::current::Current;
use crate::disks::{Capabilities, Geometry, Request, Slice, error};
use crate::types::records::BlockInfo;
use crate::types::{Int, Piece};
use crate::{Driver, Runtime};
use ::fs::BlockError;
use alloc::boxed::Box;
use alloc::format;
use opening::Opening;
use platform::Clock;
use platform::error::{Answer, Error, Failure, Stop};
use reactor::Cancelled;
use reactor::table::{Fd, Kind, cannot_park};
use slab::Slab;

/// Bits of a tag that identify the request; the others identify the [`Raw`].
const REQUEST_BITS: u32 = 32;

/// A disk or partition that is open as a raw device.
pub struct Raw {
    disk: usize,
    /// Geometry of the open disk or partition; the device may have changed since.
    geometry: Geometry,
    capabilities: Capabilities,
    /// First sector and number of sectors of a partition.
    part: Option<(u64, u64)>,
    /// Timeout of a request, in nanoseconds.
    timeout_ns: u64,
    outstanding: Slab<Outstanding>,
    /// Lower bound of the earliest deadline of a request.
    next: u64,
    /// A partition that is being opened.
    opening: Option<Box<Opening>>,
    closed: bool,
}

/// A request that the device has or that is queued for it.
struct Outstanding {
    /// Token of its operation; 0 after it was abandoned.
    token: u64,
    /// Length in bytes.
    len: usize,
    until: u64,
    /// Scatter-gather list of its memory.
    _slices: Option<Box<[Slice]>>,
}

static BLOCK: Operations =
    Operations::without_data(Kind::Block, cannot_park, |rt, key| close(rt, key as usize));

fn close(rt: &mut Runtime, key: usize) {
    if let Some(raw) = rt.resources.blocks.get_mut(key) {
        raw.closed = true;
    }
    release(rt, key);
}

/// Releases the disk once its descriptor is closed and no request is outstanding.
fn release(rt: &mut Runtime, key: usize) {
    let Some(raw) = rt.resources.blocks.get(key) else {
        return;
    };
    if raw.closed && raw.outstanding.is_empty() {
        let disk = raw.disk;
        rt.resources.blocks.try_remove(key);
        if let Some(disks) = rt.resources.disks.as_deref_mut() {
            disks.release(disk);
        }
    }
}

/// Registers the driver that abandons overdue requests.
fn register(rt: &mut Runtime) -> Result<(), Error> {
    rt.register(&Driver {
        poll: give_up,
        deadline: |rt| {
            let waiting = rt
                .resources
                .blocks
                .iter()
                .filter(|(_, raw)| raw.next < u64::MAX);
            waiting.map(|(_, raw)| raw.next).min()
        },
        interest: |_, _| (),
        finish: |_| true,
        counter: |_, _| 0,
    })
}

/// Completes the operations of overdue requests with `Timed_out`.
fn give_up(rt: &mut Runtime, now: u64) {
    let mut overdue = alloc::vec::Vec::new();
    for (_, raw) in &mut rt.resources.blocks {
        if raw.next > now {
            continue;
        }
        raw.next = u64::MAX;
        for (_, request) in &mut raw.outstanding {
            if request.until <= now && request.token != 0 {
                overdue.push(core::mem::take(&mut request.token));
            } else if request.token != 0 {
                raw.next = raw.next.min(request.until);
            }
        }
    }
    for token in overdue {
        let line = "the disk doesn't answer, and the request was given up";
        rt.complete_failed(token, Failure::new(Error::TimedOut, line));
    }
}

/// See `soil_block_given_up`.
pub fn given_up(rt: &Runtime) -> usize {
    let requests = rt
        .resources
        .blocks
        .iter()
        .flat_map(|(_, raw)| &raw.outstanding);
    requests.filter(|(_, request)| request.token == 0).count()
}

/// Rereads the geometry of the device.
fn refresh(rt: &mut Runtime, key: usize) -> Result<(), Failure> {
    let raw = rt.resources.blocks.get_mut(key).ok_or(Error::Closed)?;
    let disks = rt.resources.disks.as_deref_mut().ok_or(Error::Closed)?;
    let (mut geometry, capabilities) = disks.refresh(raw.disk)?;
    if let Some((first, sectors)) = raw.part {
        geometry.sectors = geometry.sectors.saturating_sub(first).min(sectors);
    }
    (raw.geometry, raw.capabilities) = (geometry, capabilities);
    Ok(())
}

/// See `soil_block_info`.
pub fn info(rt: &mut Runtime, fd: Fd) -> Result<BlockInfo, Stop> {
    let key = rt.table.key_of(fd, &BLOCK)? as usize;
    refresh(rt, key).or_else(|failure| rt.fail(failure))?;
    let raw = rt.resources.blocks.get(key).ok_or(Error::Closed)?;
    let Raw {
        geometry,
        capabilities,
        ..
    } = raw;
    Ok(BlockInfo {
        sector_size: geometry.sector_size as Int,
        sectors: Int::try_from(geometry.sectors).map_err(|_| Error::TooLarge)?,
        read_only: geometry.read_only.into(),
        request_sectors: (geometry.max_bytes / geometry.sector_size) as Int,
        capabilities: Int::from(capabilities.durable)
            | Int::from(capabilities.discard) << 1
            | Int::from(capabilities.write_zeroes) << 2,
    })
}

/// Range of a request, in sectors of the open disk or partition.
struct Wanted {
    sector: u64,
    /// Length in bytes.
    len: u64,
    /// Whether the request modifies the device.
    write: bool,
    /// Scatter-gather list of its memory, kept until completion.
    slices: Option<Box<[Slice]>>,
}

/// Checks and submits a request, which `make` creates for a sector of the disk.
fn submit(
    rt: &mut Runtime,
    fd: Fd,
    token: Int,
    wanted: Wanted,
    make: impl FnOnce(u64) -> Request,
) -> Answer {
    let key = rt.table.key_of(fd, &BLOCK)? as usize;
    let token = rt.new_token(token)?;
    let raw = rt.resources.blocks.get(key).ok_or(Error::Closed)?;
    if wanted.write && raw.geometry.read_only {
        return Err(Error::ReadOnly.into());
    }
    let size = raw.geometry.sector_size as u64;
    if !wanted.len.is_multiple_of(size) {
        return Err(Error::Invalid.into());
    }
    let end = wanted.sector.checked_add(wanted.len / size);
    let end = end.ok_or(Error::Invalid)?;
    if end > raw.geometry.sectors {
        // The device may have grown; the caller rejects sectors that never existed.
        refresh(rt, key).or_else(|failure| rt.fail(failure))?;
    }
    let raw = rt.resources.blocks.get_mut(key).ok_or(Error::Closed)?;
    let sectors = raw.geometry.sectors;
    if end > sectors {
        let line = format!("the disk has {sectors} sectors, and the request ends at {end}");
        return rt.fail(Failure::new(Error::Io, line));
    }
    let first = raw.part.map_or(0, |(first, _)| first);
    let request = make(first.checked_add(wanted.sector).ok_or(Error::Invalid)?);
    let len = usize::try_from(wanted.len).map_err(|_| Error::TooLarge)?;
    if wanted.len == 0 && !matches!(request, Request::Flush) {
        return Ok(0);
    }
    let until = Current::monotonic_ns().saturating_add(raw.timeout_ns);
    let disk = raw.disk;
    rt.give(token, cancel)?;
    let answer = post(
        rt,
        key,
        disk,
        request,
        Outstanding {
            token,
            len,
            until,
            _slices: wanted.slices,
        },
    );
    if answer != Err(Stop::Pending) {
        rt.forget(token);
    }
    answer
}

/// Submits a request to the disk.
fn post(
    rt: &mut Runtime,
    key: usize,
    disk: usize,
    request: Request,
    outstanding: Outstanding,
) -> Answer {
    let raw = rt.resources.blocks.get_mut(key).ok_or(Error::Closed)?;
    let (len, until) = (outstanding.len, outstanding.until);
    let place = raw.outstanding.insert(outstanding);
    let tag = (key as u64) << REQUEST_BITS | place as u64;
    let submitted = match rt.resources.disks.as_deref_mut() {
        Some(disks) => disks.submit(disk, request, tag),
        None => Err(Error::Closed),
    };
    if let Ok(None) = submitted {
        raw.next = raw.next.min(until);
        return Err(Stop::Pending);
    }
    raw.outstanding.try_remove(place);
    match submitted? {
        Some(Err(failure)) => Err(error(failure).into()),
        _ => Ok(len),
    }
}

/// See `soil_block_read`.
pub fn read(rt: &mut Runtime, fd: Fd, sector: u64, into: Piece, token: Int) -> Answer {
    let wanted = Wanted {
        sector,
        len: limited(rt, fd, into.len())?,
        write: false,
        slices: None,
    };
    submit(rt, fd, token, wanted, |sector| Request::Read {
        sector,
        to: into.start(),
        len: into.len(),
    })
}

/// See `soil_block_write`.
pub fn write(rt: &mut Runtime, fd: Fd, sector: u64, from: Piece, token: Int) -> Answer {
    let wanted = Wanted {
        sector,
        len: limited(rt, fd, from.len())?,
        write: true,
        slices: None,
    };
    submit(rt, fd, token, wanted, |sector| Request::Write {
        sector,
        from: from.start(),
        len: from.len(),
        together: false,
    })
}

/// Returns the length in bytes of a request with data, if it is within the limit.
fn limited(rt: &Runtime, fd: Fd, len: usize) -> Result<u64, Error> {
    let key = rt.table.key_of(fd, &BLOCK)? as usize;
    let raw = rt.resources.blocks.get(key).ok_or(Error::Closed)?;
    if len > raw.geometry.max_bytes {
        return Err(Error::TooLarge);
    }
    Ok(len as u64)
}

/// See `soil_block_flush`.
pub fn flush(rt: &mut Runtime, fd: Fd, token: Int) -> Answer {
    let wanted = Wanted {
        sector: 0,
        len: 0,
        write: false,
        slices: None,
    };
    submit(rt, fd, token, wanted, |_| Request::Flush)
}

/// Called when the disk has completed a request.
fn report(rt: &mut Runtime, _disk: usize, tag: u64, result: Result<(), BlockError>) {
    let key = (tag >> REQUEST_BITS) as usize;
    let place = tag as u32 as usize;
    let Some(raw) = rt.resources.blocks.get_mut(key) else {
        return;
    };
    let Some(request) = raw.outstanding.try_remove(place) else {
        return;
    };
    if raw.outstanding.is_empty() {
        raw.next = u64::MAX;
    }
    if raw.opening.is_some() {
        opening::on_read(rt, key, request.token, result);
    } else if request.token != 0 {
        let answer = result.map(|()| request.len);
        rt.complete(
            request.token,
            answer.map_err(|failure| error(failure).into()),
        );
    }
    release(rt, key);
}

/// Withdraws a request if the device hasn't got it yet.
fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    let mut raws = rt.resources.blocks.iter();
    let found = raws.find_map(|(key, raw)| {
        let mut requests = raw.outstanding.iter();
        let (place, _) = requests.find(|(_, request)| request.token == token)?;
        Some((key, place, raw.disk, raw.opening.is_some()))
    });
    let Some((key, place, disk, false)) = found else {
        return Cancelled::Later;
    };
    let tag = (key as u64) << REQUEST_BITS | place as u64;
    let disks = rt.resources.disks.as_deref_mut();
    if !disks.is_some_and(|disks| disks.cancel(disk, tag)) {
        return Cancelled::Later;
    }
    if let Some(raw) = rt.resources.blocks.get_mut(key) {
        raw.outstanding.try_remove(place);
    }
    release(rt, key);
    Cancelled::Done
}

#[cfg(test)]
mod tests;

//! Block devices as descriptors: sectors, many requests at once.

use crate::abi::KIND_BLOCK;
use crate::disks::{Geometry, Request, disks, error};
use crate::error::{Answer, Error, Stop};
use crate::runtime::{Cancelled, Runtime};
use crate::table::{Fd, Operations, cannot_park, cannot_read, cannot_shut_down, cannot_write};
use crate::ty::{Int, Piece};
use ::fs::BlockError;
use alloc::vec::Vec;

pub use crate::disks::name;

/// A disk that is open as it is. Requests carry the token of their operation as tag.
pub struct Raw {
    disk: usize,
    geometry: Geometry,
    /// Operations and their lengths in bytes.
    outstanding: Vec<(u64, usize)>,
    closed: bool,
}

static BLOCK: Operations = Operations {
    kind: KIND_BLOCK,
    read: cannot_read,
    write: cannot_write,
    ready: cannot_park,
    shutdown: cannot_shut_down,
    close: |rt, key| {
        if let Some(raw) = rt.blocks.get_mut(key as usize) {
            raw.closed = true;
        }
        release(rt, key as usize);
    },
};

/// Gives the disk back when its descriptor is closed and nothing is outstanding.
fn release(rt: &mut Runtime, key: usize) {
    let Some(raw) = rt.blocks.get(key) else {
        return;
    };
    if raw.closed && raw.outstanding.is_empty() {
        let disk = raw.disk;
        rt.blocks.try_remove(key);
        if let Some(disks) = rt.disks.as_deref_mut() {
            disks.release(disk);
        }
    }
}

/// See `soil_block_open`.
pub fn open(rt: &mut Runtime, name: &str, token: Int) -> Answer {
    rt.new_token(token)?;
    let disks = disks(rt)?;
    let Some(disk) = disks.find(name) else {
        let detail = disks.missing(name);
        return rt.fail(Error::NoDevice, &detail);
    };
    let geometry = match disks.acquire(disk, report, false) {
        Ok(geometry) => geometry,
        Err((error, detail)) => return rt.fail(error, &detail),
    };
    let key = rt.blocks.insert(Raw {
        disk,
        geometry,
        outstanding: Vec::new(),
        closed: false,
    });
    match rt.table.insert(&BLOCK, key as u32) {
        Ok(fd) => Ok(fd.encode() as usize),
        Err(error) => {
            if let Some(raw) = rt.blocks.get_mut(key) {
                raw.closed = true;
            }
            release(rt, key);
            Err(error.into())
        }
    }
}

/// See `soil_block_info`.
pub fn info(rt: &mut Runtime, fd: Fd) -> Result<[Int; 4], Error> {
    let key = rt.table.key_of(fd, &BLOCK)?;
    let geometry = rt.blocks.get(key as usize).ok_or(Error::Closed)?.geometry;
    Ok([
        geometry.sector_size as Int,
        Int::try_from(geometry.sectors).map_err(|_| Error::TooLarge)?,
        Int::from(geometry.read_only),
        (geometry.max_bytes / geometry.sector_size) as Int,
    ])
}

/// Checks and submits a request.
fn submit(rt: &mut Runtime, fd: Fd, token: Int, request: Request) -> Answer {
    let key = rt.table.key_of(fd, &BLOCK)? as usize;
    let token = rt.new_token(token)?;
    let raw = rt.blocks.get_mut(key).ok_or(Error::Closed)?;
    let (len, write) = match request {
        Request::Read { len, .. } => (len, false),
        Request::Write { len, .. } => (len, true),
        Request::Flush => (0, false),
    };
    if write && raw.geometry.read_only {
        return Err(Error::ReadOnly.into());
    }
    if len > raw.geometry.max_bytes {
        return Err(Error::TooLarge.into());
    }
    if !request.is_within(raw.geometry) {
        return Err(Error::Invalid.into());
    }
    if len == 0 && !matches!(request, Request::Flush) {
        return Ok(0);
    }
    raw.outstanding
        .try_reserve(1)
        .map_err(|_| Error::OutOfMemory)?;
    let disk = raw.disk;
    rt.give(token, cancel)?;
    let submitted = match rt.disks.as_deref_mut() {
        Some(disks) => disks.submit(disk, request, token),
        None => Err(Error::Closed),
    };
    match submitted {
        Ok(None) => {
            if let Some(raw) = rt.blocks.get_mut(key) {
                raw.outstanding.push((token, len));
            }
            Err(Stop::Pending)
        }
        Ok(Some(result)) => {
            rt.forget(token);
            result
                .map(|()| len)
                .map_err(|failure| error(failure).into())
        }
        Err(failure) => {
            rt.forget(token);
            Err(failure.into())
        }
    }
}

/// See `soil_block_read`.
pub fn read(rt: &mut Runtime, fd: Fd, sector: u64, into: Piece, token: Int) -> Answer {
    let request = Request::Read {
        sector,
        to: into.start(),
        len: into.len(),
    };
    submit(rt, fd, token, request)
}

/// See `soil_block_write`.
pub fn write(rt: &mut Runtime, fd: Fd, sector: u64, from: Piece, token: Int) -> Answer {
    let request = Request::Write {
        sector,
        from: from.start(),
        len: from.len(),
        together: false,
    };
    submit(rt, fd, token, request)
}

/// See `soil_block_flush`.
pub fn flush(rt: &mut Runtime, fd: Fd, token: Int) -> Answer {
    submit(rt, fd, token, Request::Flush)
}

/// The disk has done a request.
fn report(rt: &mut Runtime, disk: usize, token: u64, result: Result<(), BlockError>) {
    let found = rt.blocks.iter_mut().find(|(_, raw)| raw.disk == disk);
    let Some((key, raw)) = found else { return };
    let Some(place) = raw
        .outstanding
        .iter()
        .position(|(other, _)| *other == token)
    else {
        return;
    };
    let (_, len) = raw.outstanding.swap_remove(place);
    rt.complete(
        token,
        result
            .map(|()| len)
            .map_err(|failure| error(failure).into()),
    );
    release(rt, key);
}

/// Takes a request back if the device hasn't got it.
fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    let mut raws = rt.blocks.iter_mut();
    let found = raws.find_map(|(key, raw)| {
        let place = raw
            .outstanding
            .iter()
            .position(|(other, _)| *other == token)?;
        Some((key, raw.disk, place))
    });
    let Some((key, disk, place)) = found else {
        return Cancelled::Later;
    };
    if !rt
        .disks
        .as_deref_mut()
        .is_some_and(|disks| disks.take_back(disk, token))
    {
        return Cancelled::Later;
    }
    if let Some(raw) = rt.blocks.get_mut(key) {
        raw.outstanding.swap_remove(place);
    }
    release(rt, key);
    Cancelled::Done
}

//! Opening a disk or, for `DISK/NUMBER` and `DISK/LABEL`, a partition of it.
//!
//! `fs::partition` reads the partition table from a disk that must answer at once. It gets a disk
//! that consists of the sectors read so far. When it needs others, these are read and it starts
//! over, which is cheap: it reads only a few sectors.

use super::{BLOCK, Outstanding, Raw, close, post, register, report};
use crate::Runtime;
use crate::current::Current;
use crate::disks::{Capabilities, Geometry, Request, disks, error, timeout};
use crate::types::Int;
use ::fs::{Block, BlockError, MountError, partition};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr::NonNull;
use platform::Clock;
use platform::error::{Answer, Error, Failure, Stop};
use reactor::Cancelled;
use slab::Slab;

/// Maximum number of requests for a table: a chain of 128 logical partitions, and some more.
const MAX_REQUESTS: usize = 512;

/// A partition that is being opened.
pub struct Opening {
    /// Its number or label.
    wanted: String,
    /// Parts of the disk that have been read: first sector and bytes of each.
    read: Vec<(u64, Vec<u8>)>,
}

/// A disk that consists of the sectors read so far.
struct Known<'a> {
    geometry: Geometry,
    read: &'a [(u64, Vec<u8>)],
    /// First sector and length in bytes of the first missing part.
    missing: Cell<Option<(u64, usize)>>,
}

impl Block for Known<'_> {
    fn sector_size(&self) -> usize {
        self.geometry.sector_size
    }

    fn sectors(&self) -> u64 {
        self.geometry.sectors
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let same =
            |(sector, bytes): &&(u64, Vec<u8>)| *sector == first_sector && bytes.len() == buf.len();
        if let Some((_, bytes)) = self.read.iter().find(same) {
            buf.copy_from_slice(bytes);
            return Ok(());
        }
        let end = first_sector.checked_add((buf.len() / self.geometry.sector_size) as u64);
        if end.is_none_or(|end| end > self.geometry.sectors) {
            return Err(BlockError::OutOfRange);
        }
        if self.missing.get().is_none() {
            self.missing.set(Some((first_sector, buf.len())));
        }
        Err(BlockError::Io)
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), BlockError> {
        Err(BlockError::ReadOnly)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

/// See `soil_block_open`.
pub fn open(rt: &mut Runtime, name: &str, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let timeout_ns = timeout().or_else(|failure| rt.fail(failure))?;
    let (name, wanted) = match name.split_once('/') {
        Some((name, part)) => (name, Some(part.to_string())),
        None => (name, None),
    };
    let disks = disks(rt)?;
    let Some(disk) = disks.find(name) else {
        let detail = disks.missing(name);
        return rt.fail(Failure::new(Error::NoDevice, detail));
    };
    if let Err(failure) = disks.check_part(disk, wanted.as_deref()) {
        return rt.fail(failure);
    }
    let own = disks.partition(disk).map(ToString::to_string);
    let shared = wanted.is_some() && own.is_none();
    let wanted = own.or(wanted);
    let geometry = disks.acquire(disk, report, shared);
    let geometry = geometry.or_else(|failure| rt.fail(failure))?;
    if rt.resources.blocks.capacity() == 0
        && let Err(error) = register(rt)
    {
        if let Some(disks) = rt.resources.disks.as_deref_mut() {
            disks.release(disk);
        }
        return Err(error.into());
    }
    let opening = wanted.map(|wanted| {
        Box::new(Opening {
            wanted,
            read: Vec::new(),
        })
    });
    let key = rt.resources.blocks.insert(Raw {
        disk,
        geometry,
        capabilities: Capabilities::default(),
        part: None,
        timeout_ns,
        outstanding: Slab::new(),
        next: u64::MAX,
        opening,
        closed: false,
    });
    let outcome = match rt.give(token, |_, _| Cancelled::Later) {
        Ok(()) => advance(rt, key, token),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(fd) => {
            rt.forget(token);
            Ok(fd)
        }
        Err(Why::Pending) => Err(Stop::Pending),
        Err(Why::Failed(failure)) => {
            rt.forget(token);
            close(rt, key);
            rt.fail(failure)
        }
    }
}

/// Reason why there is no descriptor yet.
enum Why {
    /// A read of the device is in progress.
    Pending,
    /// Opening has failed.
    Failed(Failure),
}

impl From<Error> for Why {
    fn from(error: Error) -> Why {
        Why::Failed(error.into())
    }
}

impl From<Failure> for Why {
    fn from(failure: Failure) -> Why {
        Why::Failed(failure)
    }
}

fn refused(error: Error, line: &str) -> Result<usize, Why> {
    Err(Failure::new(error, line).into())
}

/// Advances as far as possible without the device.
fn advance(rt: &mut Runtime, key: usize, token: u64) -> Result<usize, Why> {
    loop {
        let raw = rt.resources.blocks.get_mut(key).ok_or(Error::Closed)?;
        let Some(opening) = &mut raw.opening else {
            return finish(rt, key);
        };
        let mut known = Known {
            geometry: raw.geometry,
            read: &opening.read,
            missing: Cell::new(None),
        };
        let table = partition::read_table(&mut known);
        let Some((sector, len)) = known.missing.get() else {
            let found = table.and_then(|table| {
                for warning in &table.warnings {
                    log::warn!("{warning}");
                }
                let found = table.find(&opening.wanted)?;
                Ok((found.first, found.sectors))
            });
            let part = match found {
                Ok(part) => part,
                Err(MountError { error, detail }) => {
                    return Err(Failure::new(Error::from(error), detail).into());
                }
            };
            (raw.part, raw.opening) = (Some(part), None);
            return finish(rt, key);
        };
        if opening.read.len() >= MAX_REQUESTS {
            return refused(Error::Corrupt, "the partition table has no end");
        }
        let mut bytes = alloc::vec![0; len];
        let to = NonNull::from(&mut *bytes).cast();
        opening.read.push((sector, bytes));
        let until = Current::monotonic_ns().saturating_add(raw.timeout_ns);
        let disk = raw.disk;
        let request = Outstanding {
            token,
            len,
            until,
            _slices: None,
        };
        match post(rt, key, disk, Request::Read { sector, to, len }, request) {
            Ok(_) => (),
            Err(Stop::Error(error)) => {
                return refused(error, "the partition table can't be read");
            }
            Err(_) => return Err(Why::Pending),
        }
    }
}

/// Creates the descriptor of the partition that was found.
fn finish(rt: &mut Runtime, key: usize) -> Result<usize, Why> {
    let mine = rt.resources.blocks.get(key).ok_or(Error::Closed)?;
    let (disk, part) = (mine.disk, mine.part);
    if let Some((first, sectors)) = part {
        let is_taken = rt.resources.blocks.iter().any(|(other, raw)| {
            other != key
                && raw.disk == disk
                && raw
                    .part
                    .is_some_and(|(from, count)| first < from + count && from < first + sectors)
        });
        if is_taken {
            return refused(
                Error::Busy,
                "the partition is open already, or one that overlaps it",
            );
        }
    }
    super::refresh(rt, key)?;
    Ok(rt.table.insert(&BLOCK, key as u32)?.encode() as usize)
}

/// The device has read the missing sectors; the operation was abandoned if `token` is 0.
pub fn on_read(rt: &mut Runtime, key: usize, token: u64, result: Result<(), BlockError>) {
    if token == 0 {
        return close(rt, key);
    }
    let outcome = match result {
        Ok(()) => advance(rt, key, token),
        Err(failure) => {
            let line = format!("the partition table can't be read: {failure}");
            refused(error(failure), &line)
        }
    };
    match outcome {
        Ok(fd) => rt.complete(token, Ok(fd)),
        Err(Why::Pending) => (),
        Err(Why::Failed(failure)) => {
            rt.complete_failed(token, failure);
            close(rt, key);
        }
    }
}

//! The block devices and the users of each: a volume, or raw descriptors.
//!
//! A device takes requests with tags and reports their completion. Requests that the device has no
//! room for are queued here, in order.

use crate::current::{Current, Interest};
use crate::types::constants::COUNTER_BLOCK_REQUESTS;
use crate::types::{Int, copy};
use crate::{Driver, Runtime, metadata};
use ::fs::BlockError;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use platform::disk::{BlockDevice, TIMEOUT_VARIABLE};
pub use platform::disk::{Capabilities, Clear, Geometry, Request, Slice, Submitted};
use platform::error::{Error, Failure, Stop};
use platform::{Disks as _, System};

/// Default timeout of a device in seconds, unless `SOIL_DISK_TIMEOUT` sets it: the same as in
/// Linux.
const TIMEOUT: u64 = 30;

/// A device of this platform.
pub type Device = Box<dyn BlockDevice<Current>>;

/// Called when a request completes: disk, tag, result.
pub type Report = fn(&mut Runtime, usize, u64, Result<(), BlockError>);

/// A device and its user.
struct Disk {
    name: String,
    device: Device,
    report: Option<Report>,
    /// Number of users: one, or several with a partition each.
    users: usize,
    shared: bool,
    waiting: VecDeque<(Request, u64)>,
    /// Number of requests so far.
    requests: usize,
    /// The log says that it offers no flush.
    warned: bool,
}

/// All block devices.
pub struct Disks {
    disks: Vec<Disk>,
    /// Scratch buffer, kept to reuse its allocation.
    ended: Vec<(usize, u64, Result<(), BlockError>)>,
}

/// Returns the disks. The first call discovers them.
pub fn disks(rt: &mut Runtime) -> Result<&mut Disks, Stop> {
    if rt.resources.disks.is_none() {
        metadata::keep();
        rt.start()?;
        let found = Current::disks(&mut rt.interest).or_else(|failure| rt.fail(failure))?;
        install(rt, found)?;
    }
    rt.resources
        .disks
        .as_deref_mut()
        .ok_or(Stop::Error(Error::NoDevice))
}

/// Installs these disks.
pub fn install(rt: &mut Runtime, found: Vec<(String, Device)>) -> Result<(), Error> {
    let disks = found.into_iter().map(|(name, device)| Disk {
        name,
        device,
        report: None,
        users: 0,
        shared: false,
        waiting: VecDeque::new(),
        requests: 0,
        warned: false,
    });
    let disks = Disks {
        disks: disks.collect(),
        ended: Vec::new(),
    };
    rt.register(&Driver {
        poll: |rt, _| poll(rt),
        deadline: |_| None,
        interest,
        finish: |_| true,
        counter: |rt, which| match (which, rt.resources.disks.as_deref()) {
            (COUNTER_BLOCK_REQUESTS, Some(disks)) => disks.requests(),
            _ => 0,
        },
    })?;
    rt.resources.disks = Some(Box::leak(Box::new(disks)));
    Ok(())
}

/// Starts pending requests, and registers the devices as wake-up sources.
fn interest(rt: &mut Runtime, interest: &mut Interest) {
    for disk in rt
        .resources
        .disks
        .as_deref_mut()
        .map_or(&mut [][..], |disks| &mut disks.disks)
    {
        if disk.report.is_some() {
            // Starts the requests that a volume submitted after `poll`.
            disk.device.kick();
            disk.device.arm(interest);
        }
    }
}

/// Submits queued requests to their devices, and reports completed ones.
fn poll(rt: &mut Runtime) {
    let Some(disks) = rt.resources.disks.as_deref_mut() else {
        return;
    };
    let mut ended = core::mem::take(&mut disks.ended);
    for (index, disk) in disks.disks.iter_mut().enumerate() {
        disk.device
            .poll(&mut |tag, result| ended.push((index, tag, result)));
        while let Some((request, tag)) = disk.waiting.pop_front() {
            match disk.device.submit(request, tag) {
                Submitted::Taken => (),
                Submitted::Done(result) => ended.push((index, tag, result)),
                Submitted::Full => {
                    disk.waiting.push_front((request, tag));
                    break;
                }
            }
        }
    }
    for (disk, tag, result) in ended.drain(..) {
        let report = rt
            .resources
            .disks
            .as_deref()
            .and_then(|disks| disks.disks.get(disk)?.report);
        if let Some(report) = report {
            report(rt, disk, tag, result);
        }
    }
    if let Some(disks) = rt.resources.disks.as_deref_mut() {
        disks.ended = ended;
        // Starts the requests submitted just now, including those of the reports.
        for disk in &mut disks.disks {
            disk.device.kick();
        }
    }
}

/// Appends a line for each disk that was used; see `soil_statistics`.
pub fn statistics(disks: &Disks, text: &mut String) {
    for disk in disks.disks.iter().filter(|disk| disk.requests > 0) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "disk {} {}", disk.requests, disk.name);
    }
}

impl Disks {
    /// Returns the number of requests to all disks so far.
    fn requests(&self) -> usize {
        let requests = self.disks.iter().map(|disk| disk.requests);
        requests.fold(0, usize::wrapping_add)
    }

    /// Finds the disk called `name`, ignoring case: environment variables use upper case.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.disks
            .iter()
            .position(|disk| disk.name.eq_ignore_ascii_case(name))
    }

    /// Returns the name of a disk.
    pub fn name(&self, disk: usize) -> Option<&str> {
        self.disks.get(disk).map(|disk| disk.name.as_str())
    }

    /// Returns the partition that a disk's name stands for, if it isn't the whole disk.
    pub fn partition(&self, disk: usize) -> Option<&str> {
        self.disks.get(disk)?.device.partition()
    }

    /// Fails if a name means a partition (`part`) of a disk whose own name stands for one.
    pub fn check_part(&self, disk: usize, part: Option<&str>) -> Result<(), Failure> {
        match (self.disks.get(disk), part) {
            (Some(Disk { name, device, .. }), Some(part)) if device.partition().is_some() => {
                let detail =
                    format!("disk {name} is a partition, and has none: name it without /{part}");
                Err(Failure::new(Error::Invalid, detail))
            }
            _ => Ok(()),
        }
    }

    /// Returns the number of disks.
    pub fn len(&self) -> usize {
        self.disks.len()
    }

    /// Returns the error message for a missing disk, in one line.
    pub fn missing(&self, name: &str) -> String {
        let mut line = String::new();
        // Writing to a string can't fail.
        let _ = write!(line, "no disk {name}: run with --disk {name}=FILE");
        for (i, disk) in self.disks.iter().enumerate() {
            let _ = write!(
                line,
                "{}{}",
                if i == 0 { " (there is " } else { ", " },
                disk.name
            );
        }
        if !self.disks.is_empty() {
            line.push(')');
        }
        line
    }

    /// Acquires a disk for a user until [`release`](Disks::release): exclusively, or `shared` with
    /// users of other partitions that have the same `report`.
    pub fn acquire(
        &mut self,
        disk: usize,
        report: Report,
        shared: bool,
    ) -> Result<Geometry, Failure> {
        let disk = self.disks.get_mut(disk).ok_or(Error::NoDevice)?;
        let same = disk
            .report
            .is_some_and(|other| core::ptr::fn_addr_eq(other, report));
        if disk.users > 0 && !(shared && disk.shared && same) {
            let detail = alloc::format!("disk {}: in use, mounted or opened", disk.name);
            return Err(Failure::new(Error::Busy, detail));
        }
        let geometry = disk.device.geometry()?;
        disk.report = Some(report);
        disk.users += 1;
        disk.shared = shared;
        if !geometry.flushes && !geometry.read_only && !disk.warned {
            disk.warned = true;
            log::warn!(
                "disk {} offers no flush: a sync waits for the writes only, which are durable only \
                 if the host writes through",
                disk.name
            );
        }
        Ok(geometry)
    }

    /// Returns the current geometry of an acquired disk, which may have grown or shrunk, and its
    /// capabilities.
    pub fn refresh(&mut self, disk: usize) -> Result<(Geometry, Capabilities), Failure> {
        let device = self.disks.get_mut(disk).map(|disk| &mut disk.device);
        let device = device.ok_or(Error::Closed)?;
        Ok((device.geometry()?, device.capabilities()))
    }

    /// Releases a disk. The user has no outstanding requests.
    pub fn release(&mut self, disk: usize) {
        if let Some(disk) = self.disks.get_mut(disk) {
            disk.users = disk.users.saturating_sub(1);
            if disk.users == 0 {
                disk.report = None;
                disk.device.released();
            }
        }
    }

    /// Submits a request to the disk, in the order of the calls. Returns the result if it completes
    /// at once; otherwise [`Report`] is called later.
    pub fn submit(
        &mut self,
        disk: usize,
        request: Request,
        tag: u64,
    ) -> Result<Option<Result<(), BlockError>>, Error> {
        let disk = self.disks.get_mut(disk).ok_or(Error::Closed)?;
        disk.waiting
            .try_reserve(1)
            .map_err(|_| Error::OutOfMemory)?;
        disk.requests = disk.requests.wrapping_add(1);
        if disk.waiting.is_empty() {
            match disk.device.submit(request, tag) {
                Submitted::Done(result) => return Ok(Some(result)),
                Submitted::Taken => return Ok(None),
                Submitted::Full => (),
            }
        }
        disk.waiting.push_back((request, tag));
        Ok(None)
    }

    /// Withdraws a request that the device hasn't got yet. Returns whether it was withdrawn.
    pub fn cancel(&mut self, disk: usize, tag: u64) -> bool {
        let Some(disk) = self.disks.get_mut(disk) else {
            return false;
        };
        let before = disk.waiting.len();
        disk.waiting.retain(|(_, other)| *other != tag);
        disk.waiting.len() < before
    }
}

/// Returns the timeout of a device in nanoseconds, or the error of an invalid variable.
pub fn timeout() -> Result<u64, Failure> {
    let seconds = match Current::variable(TIMEOUT_VARIABLE) {
        None => TIMEOUT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| (1..=86_400).contains(seconds))
            .ok_or_else(|| {
                let detail = "SOIL_DISK_TIMEOUT: give it seconds, 1 to 86400";
                Failure::new(Error::BadConfiguration, detail)
            })?,
    };
    Ok(seconds * 1_000_000_000)
}

/// Returns the error code of a device failure.
pub fn error(error: BlockError) -> Error {
    match error {
        BlockError::Io => Error::Io,
        BlockError::ReadOnly => Error::ReadOnly,
        BlockError::NoSpace => Error::NoSpace,
        BlockError::OutOfRange => Error::Invalid,
        BlockError::Unsupported => Error::Unsupported,
    }
}

/// Copies the name of disk `index` into the caller's buffer. Returns its full length.
pub fn name(rt: &mut Runtime, index: Int, into: &mut [u8]) -> Result<usize, Stop> {
    let index = usize::try_from(index).map_err(|_| Error::Invalid)?;
    let name = disks(rt)?.name(index).ok_or(Error::NotFound)?;
    Ok(copy(name.as_bytes(), into))
}

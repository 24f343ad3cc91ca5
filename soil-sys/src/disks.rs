//! The block devices, and who uses each: a volume, or a descriptor of its own.
//!
//! A device takes requests with tags and reports them back; a user's requests that the device has
//! no room for wait here, in order.

use crate::error::{Error, Failure, Stop};
use crate::ffi::Int;
use crate::ffi::constants::COUNTER_BLOCK_REQUESTS;
pub use crate::platform::Slice;
use crate::platform::{Current, Interest, Platform};
use crate::runtime::{Driver, Runtime};
use ::fs::BlockError;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::ptr::NonNull;

/// The variable that says how many seconds a device may take.
pub const TIMEOUT: &str = "SOIL_DISK_TIMEOUT";
/// Seconds that a device may take, unless `SOIL_DISK_TIMEOUT` says otherwise: as long as Linux
/// gives a disk.
const PATIENCE: u64 = 30;

/// What is known about a device.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Bytes in a sector: a power of two from 512 to 4096.
    pub sector_size: usize,
    /// How many there are.
    pub sectors: u64,
    /// Whether writes fail.
    pub read_only: bool,
    /// Whether a flush makes durable what was written before; else it does nothing.
    pub flushes: bool,
    /// The most bytes in one request, a multiple of the sector size.
    pub max_bytes: usize,
}

/// What a device does besides reading, writing and flushing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abilities {
    /// A write that is `durable` is on stable storage when it ends; elsewhere a flush has to
    /// follow.
    pub durable: bool,
    /// It takes [`Wide::Clear`] that discards.
    pub discard: bool,
    /// It takes [`Wide::Clear`] that writes zeros.
    pub write_zeroes: bool,
}

/// What is done to sectors without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// Their contents are of no use any more.
    Discard,
    /// They read as zeros from now on; with `unmap` the device may give up the room behind them.
    Zeroes {
        /// See above.
        unmap: bool,
    },
}

/// Requests that only [`crate::blocks`] makes. The list of slices stays until the request is
/// reported, like their memory.
#[derive(Clone, Copy)]
pub enum Wide {
    /// Reads to the slices, one after the other.
    Scatter {
        /// First sector.
        sector: u64,
        /// Where to; not empty.
        slices: NonNull<[Slice]>,
    },
    /// Writes the slices, one after the other.
    Gather {
        /// First sector.
        sector: u64,
        /// Where from; not empty.
        slices: NonNull<[Slice]>,
        /// See [`Abilities::durable`].
        durable: bool,
    },
    /// Discards sectors, or makes them zeros.
    Clear {
        /// First sector.
        sector: u64,
        /// How many; at least one.
        count: u64,
        /// What of these.
        how: Clear,
    },
}

/// A request. Its memory stays valid and untouched until it is reported.
#[derive(Clone, Copy)]
pub enum Request {
    /// Reads to memory.
    Read {
        /// First sector.
        sector: u64,
        /// Where to.
        to: NonNull<u8>,
        /// Bytes, whole sectors.
        len: usize,
    },
    /// Writes from memory.
    Write {
        /// First sector.
        sector: u64,
        /// Where from.
        from: NonNull<u8>,
        /// Bytes, whole sectors.
        len: usize,
        /// One of several that a device begins together if it can, so that they are all done or
        /// none when the machine is killed.
        together: bool,
    },
    /// Makes what was written durable.
    Flush,
    /// One of the others, and how the device is given it: a program that makes none doesn't carry
    /// that.
    Wide(Wide, SubmitWide),
}

/// Gives a device of the platform a request, as [`Device::submit`] does.
pub type SubmitWide = fn(&mut crate::platform::Disk, Wide, u64) -> Submitted;

impl Request {
    /// Whether it is whole sectors of the device.
    pub fn is_within(self, geometry: Geometry) -> bool {
        let (sector, len) = match self {
            Request::Read { sector, len, .. } | Request::Write { sector, len, .. } => (sector, len),
            // Checked by who makes them.
            Request::Flush | Request::Wide(..) => return true,
        };
        let end = sector.checked_add((len / geometry.sector_size) as u64);
        len.is_multiple_of(geometry.sector_size) && end.is_some_and(|end| end <= geometry.sectors)
    }
}

/// What a device did with a request.
pub enum Submitted {
    /// It is done already.
    Done(Result<(), BlockError>),
    /// It will be reported.
    Taken,
    /// There is no room: later.
    Full,
}

/// A block device of the platform.
pub trait Device {
    /// What it is now; opens it if that is still to be done. Why not: code and one line.
    fn geometry(&mut self) -> Result<Geometry, Failure>;

    /// What else it can do, once it is open.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// Takes a request whose range has been checked. The device may begin only at the next
    /// [`kick`](Device::kick).
    fn submit(&mut self, request: Request, tag: u64) -> Submitted;

    /// Before the program sleeps: adds what ends the sleep when a request ends. It may say that one
    /// has ended already.
    fn arm(&mut self, interest: &mut Interest);

    /// Starts what was submitted.
    fn kick(&mut self);

    /// Reports what has ended.
    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>));

    /// Its last user has given it back; [`geometry`](Device::geometry) comes before the next.
    fn released(&mut self) {}
}

/// How a user is told of the end of a request: disk, tag, result.
pub type Report = fn(&mut Runtime, usize, u64, Result<(), BlockError>);

/// A device and its user.
struct Disk {
    name: String,
    device: Box<dyn Device>,
    report: Option<Report>,
    /// Who has it: one, or several who have a partition each.
    users: usize,
    shared: bool,
    waiting: VecDeque<(Request, u64)>,
}

/// All of them.
pub struct Disks {
    disks: Vec<Disk>,
    requests: usize,
    /// Kept for its memory.
    ended: Vec<(usize, u64, Result<(), BlockError>)>,
}

/// The disks, which the first call looks for.
pub fn disks(rt: &mut Runtime) -> Result<&mut Disks, Stop> {
    if rt.disks.is_none() {
        rt.start()?;
        let found = Current::disks(rt).or_else(|failure| rt.fail(failure))?;
        install(rt, found)?;
    }
    rt.disks.as_deref_mut().ok_or(Stop::Error(Error::NoDevice))
}

/// Makes these the disks.
pub fn install(rt: &mut Runtime, found: Vec<(String, Box<dyn Device>)>) -> Result<(), Error> {
    let disks = found.into_iter().map(|(name, device)| Disk {
        name,
        device,
        report: None,
        users: 0,
        shared: false,
        waiting: VecDeque::new(),
    });
    let disks = Disks {
        disks: disks.collect(),
        requests: 0,
        ended: Vec::new(),
    };
    rt.register(Driver {
        poll: |rt, _| poll(rt),
        deadline: |_| None,
        interest,
        finish: |_| true,
        counter: |rt, which| match (which, rt.disks.as_deref()) {
            (COUNTER_BLOCK_REQUESTS, Some(disks)) => disks.requests,
            _ => 0,
        },
    })?;
    rt.disks = Some(Box::leak(Box::new(disks)));
    Ok(())
}

/// Starts what is left to start, and asks the devices to end the sleep.
fn interest(rt: &mut Runtime, interest: &mut Interest) {
    for disk in rt
        .disks
        .as_deref_mut()
        .map_or(&mut [][..], |disks| &mut disks.disks)
    {
        if disk.report.is_some() {
            // What a volume asked for after `poll`.
            disk.device.kick();
            disk.device.arm(interest);
        }
    }
}

/// Gives waiting requests to their devices, and passes on what has ended.
fn poll(rt: &mut Runtime) {
    let Some(disks) = rt.disks.as_deref_mut() else {
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
            .disks
            .as_deref()
            .and_then(|disks| disks.disks.get(disk)?.report);
        if let Some(report) = report {
            report(rt, disk, tag, result);
        }
    }
    if let Some(disks) = rt.disks.as_deref_mut() {
        disks.ended = ended;
        // What was submitted just now, by the reports too, begins.
        for disk in &mut disks.disks {
            disk.device.kick();
        }
    }
}

impl Disks {
    /// The disk called `name`; letters may be of the other case, as environment variables have
    /// them.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.disks
            .iter()
            .position(|disk| disk.name.eq_ignore_ascii_case(name))
    }

    /// The name of a disk.
    pub fn name(&self, disk: usize) -> Option<&str> {
        self.disks.get(disk).map(|disk| disk.name.as_str())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.disks.len()
    }

    /// One line for a disk that isn't there.
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

    /// Opens a disk for a user, who has it until [`release`](Disks::release): alone, or as `shared`
    /// with others who have other partitions of it and the same `report`.
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
        Ok(geometry)
    }

    /// What an acquired disk is now, which may have grown or shrunk, and what else it can do.
    pub fn look(&mut self, disk: usize) -> Result<(Geometry, Abilities), Failure> {
        let device = self.disks.get_mut(disk).map(|disk| &mut disk.device);
        let device = device.ok_or(Error::Closed)?;
        Ok((device.geometry()?, device.abilities()))
    }

    /// Gives a disk back. Nothing of the user's is outstanding.
    pub fn release(&mut self, disk: usize) {
        if let Some(disk) = self.disks.get_mut(disk) {
            disk.users = disk.users.saturating_sub(1);
            if disk.users == 0 {
                disk.report = None;
                disk.device.released();
            }
        }
    }

    /// Gives a request to the disk, in the order of the calls: its result if it is done already,
    /// else its user is told later.
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
        self.requests = self.requests.wrapping_add(1);
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

    /// Takes a request back that the device hasn't got yet; whether that was so.
    pub fn take_back(&mut self, disk: usize, tag: u64) -> bool {
        let Some(disk) = self.disks.get_mut(disk) else {
            return false;
        };
        let before = disk.waiting.len();
        disk.waiting.retain(|(_, other)| *other != tag);
        disk.waiting.len() < before
    }
}

/// Nanoseconds that a device may take; or one line that says what is wrong with the variable.
pub fn patience() -> Result<u64, Failure> {
    let seconds = match Current::variable(TIMEOUT) {
        None => PATIENCE,
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

/// The code of a device's failure.
pub fn error(error: BlockError) -> Error {
    match error {
        BlockError::Io => Error::Io,
        BlockError::ReadOnly => Error::ReadOnly,
        BlockError::OutOfRange => Error::Invalid,
        BlockError::Unsupported => Error::Unsupported,
    }
}

/// The name of disk `index`, to the caller's bytes; its whole length.
pub fn name(rt: &mut Runtime, index: Int, into: &mut [u8]) -> Result<usize, Stop> {
    let index = usize::try_from(index).map_err(|_| Error::Invalid)?;
    let name = disks(rt)?.name(index).ok_or(Error::NotFound)?;
    for (to, from) in into.iter_mut().zip(name.as_bytes()) {
        *to = *from;
    }
    Ok(name.len())
}

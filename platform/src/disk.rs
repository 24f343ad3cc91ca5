//! Block devices: their properties, and their requests.
//!
//! A device is used from calls only. It never blocks: a request is submitted with a tag, and
//! [`BlockDevice::poll`] reports its completion.

use crate::error::Failure;
use crate::{Disks, Wait};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use fs::BlockError;

pub use device_types::disk::{Clear, Request, Slice};

/// The environment variable with the timeout of a device's requests in seconds.
pub const TIMEOUT_VARIABLE: &str = "SOIL_DISK_TIMEOUT";

/// Sectors and access of a device.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Bytes in a sector: a power of two from 512 to 4096.
    pub sector_size: usize,
    /// Number of sectors.
    pub sectors: u64,
    /// Whether writes fail.
    pub read_only: bool,
    /// Whether a flush makes earlier writes durable; otherwise it has no effect.
    pub flushes: bool,
    /// Maximum number of bytes in one request, a multiple of the sector size.
    pub max_bytes: usize,
}

/// Operations of a device besides reading, writing and flushing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities {
    /// A `durable` write is on stable storage when it completes; without this a flush has to
    /// follow.
    pub durable: bool,
    /// It supports [`Request::Clear`] that discards.
    pub discard: bool,
    /// It supports [`Request::Clear`] that writes zeros.
    pub write_zeroes: bool,
}

/// Devices by name.
pub type Named<P> = Vec<(String, Box<dyn BlockDevice<P>>)>;

/// A device's result of a submission.
pub enum Submitted {
    /// It has completed.
    Done(Result<(), BlockError>),
    /// Its completion will be reported.
    Taken,
    /// There is no room now.
    Full,
}

/// A block device of platform `P`.
pub trait BlockDevice<P: Disks> {
    /// The current geometry. Opens the device if necessary.
    fn geometry(&mut self) -> Result<Geometry, Failure>;

    /// Further operations of the device, once it is open.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// The partition that the device's name stands for, as [`fs::partition::Table::find`] takes it,
    /// for a device that the program isn't given as a whole. Its volume grows with the device.
    fn partition(&self) -> Option<&str> {
        None
    }

    /// Accepts a request whose range has been checked. The device may begin only at the next
    /// [`kick`](BlockDevice::kick).
    fn submit(&mut self, request: Request, tag: u64) -> Submitted;

    /// Before a wait: adds the completion of requests to the awaited events.
    fn arm(&mut self, interest: &mut <P as Wait>::Interest);

    /// Starts submitted requests.
    fn kick(&mut self);

    /// Reports completed requests.
    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>));

    /// Its last user has released it. The next one calls [`geometry`](BlockDevice::geometry) first.
    fn released(&mut self) {}
}

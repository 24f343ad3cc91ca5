//! Partitions that are disks of their own: `SOIL_DISK_NAME=PARTUUID=GUID` on the command line makes
//! that partition the disk `name`, as `soil image` does for the data beside a program. Its whole
//! disk is hidden, so nothing overwrites what the machine boots by.

use crate::devices::DEVICE_TIMEOUT_NS;
use crate::{Image, Interest};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr::NonNull;
use fs::partition::{self, Table};
use fs::{Block, BlockError};
use kernel::{environment, time};
use platform::Interest as _;
use platform::disk::{
    BlockDevice, Capabilities, Geometry, Named, Request, Submitted, TIMEOUT_VARIABLE,
};
use platform::error::Failure;

/// Beginning of the variables' names, which the process form has for its files, too.
const PREFIX: &str = "SOIL_DISK_";
/// Beginning of a value that names a partition, as in Linux's `root=`.
const GUID: &str = "PARTUUID=";

/// Replaces each disk by the partition of it that a variable names.
pub fn replace(disks: &mut Named<Image>) {
    let mut tables: Vec<Option<Table>> = Vec::new();
    for (name, wanted) in environment::variables().iter().filter_map(|word| named(word)) {
        if tables.is_empty() {
            tables = disks.iter_mut().map(|(_, disk)| table(&mut **disk)).collect();
        }
        let name = name.to_ascii_lowercase();
        let found = tables.iter().enumerate().find_map(|(at, table)| {
            let part = table.as_ref()?.find(wanted).ok()?;
            Some((at, part.first, part.sectors))
        });
        let Some((at, first, sectors)) = found else {
            log::error!("disk {name}: no disk of this machine has the partition {wanted}");
            continue;
        };
        tables[at] = None;
        let (_, disk) = disks.remove(at);
        let part = Part {
            disk,
            first,
            sectors,
        };
        disks.insert(at, (name, Box::new(part)));
    }
}

/// The name and the partition in a word of the environment; none for other words.
fn named(word: &[u8]) -> Option<(&str, &str)> {
    let (variable, value) = core::str::from_utf8(word).ok()?.split_once('=')?;
    let name = variable.strip_prefix(PREFIX)?;
    (variable != TIMEOUT_VARIABLE && value.starts_with(GUID)).then_some((name, value))
}

/// The partitions of a disk; none if it has no table that can be read.
fn table(disk: &mut dyn BlockDevice<Image>) -> Option<Table> {
    let geometry = disk.geometry().ok()?;
    let table = partition::read_table(&mut Blocking { disk, geometry });
    disk.released();
    table.ok()
}

/// A disk whose requests are waited for, before the runtime uses it.
struct Blocking<'a> {
    disk: &'a mut dyn BlockDevice<Image>,
    geometry: Geometry,
}

impl Blocking<'_> {
    /// Waits for the end of a request. `None` if the device doesn't answer: it keeps the request's
    /// memory.
    fn await_end(&mut self, request: Request<Image>) -> Option<Result<(), BlockError>> {
        let mut answer = match self.disk.submit(request, 0) {
            Submitted::Done(result) => return Some(result),
            // Nothing else is submitted before the runtime has the disk.
            Submitted::Full => return Some(Err(BlockError::Io)),
            Submitted::Taken => None,
        };
        self.disk.kick();
        let until = time::monotonic_ns() + DEVICE_TIMEOUT_NS;
        let mut interest = Interest::EMPTY;
        loop {
            // Before the poll: while this machine was suspended the disk may have responded.
            let late = time::monotonic_ns() >= until;
            self.disk.poll(&mut |_, result| answer = Some(result));
            if answer.is_some() || late {
                return answer;
            }
            interest.clear();
            self.disk.arm(&mut interest);
            interest.watch(until);
        }
    }
}

impl Block for Blocking<'_> {
    fn sector_size(&self) -> usize {
        self.geometry.sector_size
    }

    fn sectors(&self) -> u64 {
        self.geometry.sectors
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&mut self, sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let memory = Box::leak(vec![0; buf.len()].into_boxed_slice());
        let to = NonNull::from(&mut *memory);
        let request = Request::Read {
            sector,
            to: to.cast(),
            len: buf.len(),
        };
        if !request.is_within(self.geometry) {
            return Err(BlockError::OutOfRange);
        }
        // Leaked if the device doesn't answer, since it may still write there.
        let result = self.await_end(request).ok_or(BlockError::Io)?;
        // SAFETY: the request has ended: the memory, which `Box::leak` gave, is ours again.
        let memory = unsafe { Box::from_raw(to.as_ptr()) };
        result?;
        buf.copy_from_slice(&memory);
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), BlockError> {
        Err(BlockError::ReadOnly)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

/// A partition as a disk.
struct Part {
    disk: Box<dyn BlockDevice<Image>>,
    first: u64,
    sectors: u64,
}

impl BlockDevice<Image> for Part {
    fn geometry(&mut self) -> Result<Geometry, Failure> {
        let geometry = self.disk.geometry()?;
        // The disk may have shrunk since its table was read.
        let rest = geometry.sectors.saturating_sub(self.first);
        Ok(Geometry {
            sectors: self.sectors.min(rest),
            ..geometry
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.disk.capabilities()
    }

    fn submit(&mut self, mut request: Request<Image>, tag: u64) -> Submitted {
        match &mut request {
            Request::Read { sector, .. }
            | Request::Write { sector, .. }
            | Request::Scatter { sector, .. }
            | Request::Gather { sector, .. }
            | Request::Clear { sector, .. } => *sector = sector.saturating_add(self.first),
            Request::Flush => (),
        }
        self.disk.submit(request, tag)
    }

    fn arm(&mut self, interest: &mut Interest) {
        self.disk.arm(interest);
    }

    fn kick(&mut self) {
        self.disk.kick();
    }

    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        self.disk.poll(report);
    }

    fn released(&mut self) {
        self.disk.released();
    }
}

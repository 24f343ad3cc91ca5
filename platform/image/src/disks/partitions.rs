//! Partitions that are disks of their own: `SOIL_DISK_NAME=PARTUUID=GUID` on the command line makes
//! that partition the disk `name`, as `soil image` does for the data beside a program. The disk
//! isn't there as a whole, so nothing overwrites what the machine boots by.

use super::Disk;
use crate::devices::DEVICE_TIMEOUT_NS;
use crate::{Image, Interest};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr::NonNull;
use fs::partition::{self, Table};
use fs::{Block, BlockError};
use kernel::devices::undriven_disks;
use kernel::{environment, time};
use platform::Interest as _;
use platform::disk::{BlockDevice as _, Geometry, Request, Submitted, TIMEOUT_VARIABLE};

/// Beginning of the variables' names, which the process form has for its files, too.
const PREFIX: &str = "SOIL_DISK_";
/// Beginning of a value that names a partition, as in Linux's `root=`.
const GUID: &str = "PARTUUID=";

/// Gives each disk that has a partition of such a variable the variable's name.
pub fn assign(disks: &mut [Disk]) {
    let mut tables: Vec<Option<Table>> = Vec::new();
    for (name, wanted) in environment::variables()
        .iter()
        .filter_map(|word| named(word))
    {
        if tables.is_empty() {
            tables = disks.iter_mut().map(table).collect();
        }
        let has = |table: &Option<Table>| table.as_ref().is_some_and(|t| t.find(wanted).is_ok());
        let mut found = disks
            .iter_mut()
            .zip(&tables)
            .filter(|(_, table)| has(table));
        match found.next() {
            Some((disk, _)) if disk.partition.is_none() => {
                disk.name = name.to_ascii_lowercase();
                disk.partition = Some(wanted.into());
            }
            Some((disk, _)) => log::error!(
                "{PREFIX}{name}: its disk is the disk {} already; one partition of a disk can be one",
                disk.name
            ),
            None => {
                let others = undriven_disks();
                let hint = match others.is_empty() {
                    true => "",
                    false => "; these controllers have no driver here: ",
                };
                log::error!(
                    "{PREFIX}{name}: no disk of this machine has the partition {wanted}{hint}{others}; \
                     attach the disk by virtio or NVMe"
                );
            }
        }
    }
}

/// The name and the partition in a word of the environment; none for other words.
fn named(word: &[u8]) -> Option<(&str, &str)> {
    let (variable, value) = core::str::from_utf8(word).ok()?.split_once('=')?;
    let name = variable.strip_prefix(PREFIX)?;
    (variable != TIMEOUT_VARIABLE && value.starts_with(GUID)).then_some((name, value))
}

/// The partitions of a disk; none if it has no table that can be read.
fn table(disk: &mut Disk) -> Option<Table> {
    let geometry = disk.geometry().ok()?;
    let table = partition::read_table(&mut Blocking { disk, geometry });
    disk.released();
    table.ok()
}

/// A disk whose requests are waited for, before the runtime uses it.
struct Blocking<'a> {
    disk: &'a mut Disk,
    geometry: Geometry,
}

impl Blocking<'_> {
    /// Waits for the end of a request. `None` if the device doesn't answer: it keeps the request's
    /// memory.
    fn await_end(&mut self, request: Request<Image>) -> Option<Result<(), BlockError>> {
        if !request.is_within(self.geometry) {
            return Some(Err(BlockError::OutOfRange));
        }
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
        // Leaked if the device doesn't answer, since it may still write there.
        let to = NonNull::from(Box::leak(vec![0; buf.len()].into_boxed_slice()));
        let request = Request::Read {
            sector,
            to: to.cast(),
            len: buf.len(),
        };
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

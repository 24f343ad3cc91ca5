//! Reading a disk before the program starts, or before its first use of disks.

use super::Disk;
use crate::Interest;
use crate::devices::DEVICE_TIMEOUT_NS;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::Cell;
use core::ptr::NonNull;
use fs::{Block, BlockError};
use kernel::time;
use platform::Interest as _;
use platform::disk::{BlockDevice as _, Geometry, Request, Submitted};
use platform::error::Failure;

/// The tag of the requests here. No user of a disk has it, should a completion come too late.
const TAG: u64 = u64::MAX;
/// Maximum number of bytes of a request.
const MAX_REQUEST: usize = 64 << 10;

/// A disk whose reads wait. A copy is the same disk.
#[derive(Clone)]
pub struct Direct {
    disk: Disk,
    geometry: Geometry,
    /// It didn't answer in time, and isn't asked again.
    gave_up: Rc<Cell<bool>>,
}

// SAFETY: only calls use disks, one at a time, as everywhere (`lib.rs`); `fs` requires it of every
// device.
unsafe impl Send for Direct {}

impl Direct {
    /// The disk, while the runtime doesn't use it.
    pub fn new(disk: &Disk) -> Result<Self, Failure> {
        let mut disk = disk.clone();
        Ok(Self {
            geometry: disk.geometry()?,
            disk,
            gave_up: Rc::default(),
        })
    }

    /// Waits for the end of a request. `None` if the device doesn't answer in time: it keeps the
    /// request's memory.
    fn await_end(&mut self, request: Request) -> Option<Result<(), BlockError>> {
        let mut answer = match self.disk.submit(request, TAG) {
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
            self.disk.poll(&mut |tag, result| {
                if tag == TAG {
                    answer = Some(result);
                }
            });
            if answer.is_some() || late {
                return answer;
            }
            interest.clear();
            self.disk.arm(&mut interest);
            interest.watch(until);
        }
    }

    fn read_piece(&mut self, sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        // Leaked if the device doesn't answer, since it may still write there.
        let to = NonNull::from(Box::leak(vec![0; buf.len()].into_boxed_slice()));
        let request = Request::Read {
            sector,
            to: to.cast(),
            len: buf.len(),
        };
        let Some(result) = self.await_end(request) else {
            self.gave_up.set(true);
            return Err(BlockError::Io);
        };
        // SAFETY: the request has ended: the memory, which `Box::leak` gave, is ours again.
        let memory = unsafe { Box::from_raw(to.as_ptr()) };
        result?;
        buf.copy_from_slice(&memory);
        Ok(())
    }
}

impl Block for Direct {
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
        let size = self.geometry.sector_size;
        let end = first_sector.checked_add((buf.len() / size) as u64);
        if !buf.len().is_multiple_of(size) || end.is_none_or(|end| end > self.geometry.sectors) {
            return Err(BlockError::OutOfRange);
        }
        for (number, piece) in buf.chunks_mut(MAX_REQUEST).enumerate() {
            if self.gave_up.get() {
                return Err(BlockError::Io);
            }
            self.read_piece(first_sector + (number * (MAX_REQUEST / size)) as u64, piece)?;
        }
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), BlockError> {
        Err(BlockError::ReadOnly)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

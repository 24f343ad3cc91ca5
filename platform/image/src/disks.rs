//! Disks, named by the serial numbers that the launcher gave them.

use crate::{Image, Interest, Source, devices, metadata};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use drivers::blk::{self, Blk, BlkConfig, BlkError, SERIAL};
use drivers::device_type::DeviceType;
use fs::BlockError;
use kernel::devices::MEMORY;
use kernel::{time, wait};
pub use platform::disk::Named;
use platform::disk::{BlockDevice, Capabilities, Geometry, Request, Submitted};
use platform::error::{Error, Failure};

/// Maximum number of bytes in one request.
const MAX_BYTES: usize = 16 << 20;
/// Maximum sector size that file systems and callers support.
const MAX_SECTOR: usize = 4096;

/// A disk, shared between its user and the wait, which arms its interrupts.
struct SharedDisk {
    blk: RefCell<Blk>,
    /// It may interrupt, because the program was about to sleep.
    armed: Cell<bool>,
}

impl Source for SharedDisk {
    fn has_pending(&self) -> bool {
        // If another thread's call uses the disk, it has to be waited for.
        self.blk.try_borrow().is_ok_and(|blk| blk.has_pending())
    }

    fn arm(&self) -> bool {
        let Ok(mut blk) = self.blk.try_borrow_mut() else {
            return true;
        };
        self.armed.set(true);
        blk.enable_interrupts()
    }
}

/// A disk and its name for messages.
struct Disk {
    name: String,
    shared: Rc<SharedDisk>,
}

/// The serial number of a disk, if it is a valid name.
fn serial(blk: &mut Blk) -> Option<String> {
    // Leaked if the disk never responds, since it may still write there.
    let buffer = Box::leak(Box::new([0u8; SERIAL]));
    let place = NonNull::from(&mut *buffer).cast();
    // SAFETY: the buffer stays until the request has completed, or for good.
    let request = unsafe { blk::Request::identify(place) };
    blk.submit(request, 0).ok()?;
    let until = time::monotonic_ns() + devices::DEVICE_TIMEOUT_NS;
    let mut answer = None;
    while answer.is_none() {
        // Before the poll: while this machine was suspended the disk may have responded.
        let late = time::monotonic_ns() >= until;
        blk.poll(&mut |_, result| answer = Some(result));
        if answer.is_none() {
            if late {
                log::warn!("a disk doesn't tell its serial number");
                return None;
            }
            if !blk.enable_interrupts() {
                wait::wait_until(Some(until));
            }
        }
    }
    // SAFETY: the request has completed: the buffer is ours again.
    let buffer = unsafe { Box::from_raw(place.cast::<[u8; SERIAL]>().as_ptr()) };
    answer?.ok()?;
    let text = buffer.split(|byte| *byte == 0).next()?;
    let text = core::str::from_utf8(text).ok()?.trim();
    let usable = !text.is_empty() && !text.contains(['/', '\n']) && text != "." && text != "..";
    usable.then(|| String::from(text))
}

impl platform::Disks for Image {
    type Slice = blk::Slice;

    fn disks(_: &mut Interest) -> Result<Named<Image>, Failure> {
        match metadata::take_disks() {
            Some(opened) => Ok(opened),
            None => open(),
        }
    }
}

/// Starts all disks. Call it once.
pub fn open() -> Result<Named<Image>, Failure> {
    let mut opened: Named<Image> = Vec::new();
    for (index, found) in devices::take(DeviceType::BLOCK).into_iter().enumerate() {
        let mut blk = match Blk::new(found.transport, MEMORY, &BlkConfig::default()) {
            Ok(blk) => blk,
            Err(error) => {
                log::error!("disk at {}: {error}", found.place);
                continue;
            }
        };
        let name = serial(&mut blk).unwrap_or_else(|| format!("disk{index}"));
        let shared = SharedDisk {
            blk: RefCell::new(blk),
            armed: Cell::new(false),
        };
        let disk = Disk {
            name: name.clone(),
            shared: Rc::new(shared),
        };
        opened.push((name, Box::new(disk)));
    }
    Ok(opened)
}

fn error(error: BlkError) -> BlockError {
    match error {
        BlkError::OutOfRange | BlkError::Misaligned => BlockError::OutOfRange,
        BlkError::ReadOnly => BlockError::ReadOnly,
        BlkError::Unsupported => BlockError::Unsupported,
        _ => BlockError::Io,
    }
}

/// Converts the driver's result of a submission.
fn submitted(result: Result<(), BlkError>) -> Submitted {
    match result {
        Ok(()) => Submitted::Taken,
        Err(BlkError::Busy) => Submitted::Full,
        Err(failure) => Submitted::Done(Err(error(failure))),
    }
}

impl BlockDevice<Image> for Disk {
    fn capabilities(&self) -> Capabilities {
        let geometry = *self.shared.blk.borrow().geometry();
        Capabilities {
            durable: false,
            discard: geometry.can_discard,
            write_zeroes: geometry.can_write_zeroes,
        }
    }

    fn geometry(&mut self) -> Result<Geometry, Failure> {
        // A removed device is noticed at its next request.
        let _ = self.shared.blk.borrow_mut().refresh();
        let blk::Geometry {
            sectors,
            block_size,
            read_only,
            can_flush,
            ..
        } = *self.shared.blk.borrow().geometry();
        if block_size > MAX_SECTOR {
            let detail = format!(
                "disk {}: blocks of {block_size} bytes; at most {MAX_SECTOR} are supported",
                self.name
            );
            return Err(Failure::new(Error::Unsupported, detail));
        }
        let per_sector = (block_size / blk::SECTOR) as u64;
        Ok(Geometry {
            sector_size: block_size,
            sectors: sectors / per_sector.max(1),
            read_only,
            flushes: can_flush,
            max_bytes: MAX_BYTES,
        })
    }

    fn submit(&mut self, request: Request<Image>, tag: u64) -> Submitted {
        let mut blk = self.shared.blk.borrow_mut();
        let per_sector = (blk.geometry().block_size / blk::SECTOR) as u64;
        // A number beyond the device's end stays beyond it, and the driver refuses it.
        let scaled = |sectors: u64| sectors.saturating_mul(per_sector);
        let request = match request {
            Request::Read { sector, to, len } => {
                // SAFETY: the submitter keeps the memory until the request is reported.
                unsafe { blk::Request::read(scaled(sector), to, len) }
            }
            Request::Write {
                sector, from, len, ..
            } => {
                // SAFETY: as above.
                unsafe { blk::Request::write(scaled(sector), from, len) }
            }
            Request::Flush => blk::Request::flush(),
            Request::Scatter { sector, slices } => {
                // SAFETY: the submitter keeps the memory, and the list of it, until the request is
                // reported.
                unsafe { blk::Request::scatter(scaled(sector), slices) }
            }
            Request::Gather { sector, slices, .. } => {
                // SAFETY: as above.
                unsafe { blk::Request::gather(scaled(sector), slices) }
            }
            Request::Clear { sector, count, how } => {
                return submitted(blk.clear(how, scaled(sector), scaled(count), tag));
            }
        };
        submitted(blk.submit(request, tag))
    }

    fn kick(&mut self) {
        self.shared.blk.borrow_mut().kick();
    }

    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        let mut blk = self.shared.blk.borrow_mut();
        if self.shared.armed.take() {
            blk.disable_interrupts();
        }
        blk.poll(&mut |tag, result| report(tag, result.map_err(error)));
    }

    fn arm(&mut self, interest: &mut Interest) {
        interest.source(Rc::clone(&self.shared) as Rc<dyn Source>);
    }
}

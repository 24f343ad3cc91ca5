//! What the drivers of disks share: requests of any size and alignment, their queueing, and the
//! interface of a controller, a device with one or several disks.
//!
//! A caller submits requests and polls for their completions. A request may be of any size: the
//! driver splits it into commands within the device's limits, and queues internally the part that
//! doesn't fit the device's queue yet. Memory need not be aligned; memory that is aligned to blocks
//! (usually 512 bytes) is not copied.

use crate::Error;
use crate::transport::Interrupt;
use alloc::string::String;

mod bounce;
mod data;
mod list;
mod request;
mod requests;

pub(crate) use data::{Bounce, Data, Mapped};
pub use device_types::disk::{Clear, Slice};
pub(crate) use list::{Limits, List};
pub(crate) use request::{ClearLimits, Operation};
pub use request::{DiskError, Request};
pub(crate) use requests::{Issued, QueueShare, Requests};

/// Bytes of a sector: the unit of addresses in a [`Request`], whatever the block size.
pub const SECTOR: usize = 512;
/// Maximum block size in bytes.
pub(crate) const MAX_BLOCK: usize = 65536;

/// Size and capabilities of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size in sectors of 512 bytes.
    pub sectors: u64,
    /// Block size in bytes, a multiple of 512: the unit that requests must be aligned to.
    pub block_size: usize,
    /// The disk is read-only.
    pub read_only: bool,
    /// Whether a flush has an effect; otherwise the disk offers none.
    pub can_flush: bool,
    /// The disk supports [`Clear::Discard`].
    pub can_discard: bool,
    /// The disk supports [`Clear::Zeroes`].
    pub can_write_zeroes: bool,
}

impl Geometry {
    /// The geometry of a disk that doesn't exist.
    pub(crate) const NONE: Geometry = Geometry {
        sectors: 0,
        block_size: SECTOR,
        read_only: true,
        can_flush: false,
        can_discard: false,
        can_write_zeroes: false,
    };

    /// Whether the disk can be asked for the request at all.
    pub(crate) fn check(&self, request: &Request) -> Result<(), DiskError> {
        let offered = match request.operation {
            Operation::Flush => return Ok(()),
            Operation::Read | Operation::Write => true,
            Operation::Clear(Clear::Discard) => self.can_discard,
            Operation::Clear(Clear::Zeroes { .. }) => self.can_write_zeroes,
        };
        if !offered {
            return Err(DiskError::Unsupported);
        }
        let block_sectors = (self.block_size / SECTOR) as u64;
        if request.len == 0
            || !request.len.is_multiple_of(self.block_size)
            || !request.sector.is_multiple_of(block_sectors)
        {
            return Err(DiskError::Misaligned);
        }
        let end = request.sector.checked_add((request.len / SECTOR) as u64);
        if end.is_none_or(|end| end > self.sectors) {
            return Err(DiskError::OutOfRange);
        }
        if !matches!(request.operation, Operation::Read) && self.read_only {
            return Err(DiskError::ReadOnly);
        }
        Ok(())
    }
}

/// A device with disks, which are numbered from 0: the disk of a virtio-blk device, the logical
/// units of a SCSI host bus adapter, the namespaces of an NVMe controller.
///
/// No function blocks. The disks share the device's queues; none can keep the others from making
/// progress. The number of a disk that doesn't exist is harmless: it has no sectors.
pub trait Controller {
    /// Starts to find the disks, and to read their serial numbers and sizes. Call it once, and
    /// [`poll`](Controller::poll) until [`is_ready`](Controller::is_ready).
    fn begin(&mut self);

    /// Whether all disks have been found, or the device is out of use.
    fn is_ready(&self) -> bool;

    /// How long the device says that it may take until it is ready, in nanoseconds; 0 if it says
    /// nothing.
    fn start_timeout_ns(&self) -> u64 {
        0
    }

    /// Ends the search for disks: there are those that have been found.
    fn end_search(&mut self);

    /// Number of disks, once ready; it never changes.
    fn disks(&self) -> usize;

    /// The name that the disk's owner gave it: a serial number or another identifier, of printable
    /// characters without `/`.
    fn serial(&self, disk: usize) -> Option<&str>;

    /// Size and capabilities of a disk as far as they are known.
    fn geometry(&self, disk: usize) -> Geometry;

    /// Updates the size of a disk that may have changed, if that takes no waiting.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`]; the geometry is unchanged.
    fn refresh(&mut self, disk: usize) -> Result<(), Error>;

    /// Submits a request; `token` is reported when it ends. The device is guaranteed to start it
    /// only after [`kick`](Controller::kick) or [`poll`](Controller::poll). Requests are
    /// independent: the device may execute them in any order.
    ///
    /// # Errors
    ///
    /// The request was not accepted, and its buffer belongs to the caller again.
    fn submit(&mut self, disk: usize, request: Request, token: u64) -> Result<(), DiskError>;

    /// Notifies the device of the submitted requests.
    fn kick(&mut self);

    /// Reports the requests that ended since the last call (disk, token, result), in the order of
    /// completion, and submits waiting ones. Handles at most as many completions as there were
    /// requests in flight. Returns the number of ended requests.
    fn poll(&mut self, report: &mut dyn FnMut(usize, u64, Result<(), DiskError>)) -> usize;

    /// Whether memory shows work for [`poll`](Controller::poll). No exit.
    fn has_pending(&self) -> bool;

    /// Call before waiting: enables the interrupt of the next completion. Returns true if there is
    /// work already: don't wait.
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    fn enable_interrupts(&mut self) -> bool;

    /// Disables interrupts; some may still arrive.
    fn disable_interrupts(&mut self);

    /// Acknowledges the device's interrupts.
    fn interrupt(&self) -> Interrupt;
}

/// The text of a device's identifier, without padding, if it is usable as a name.
pub(crate) fn serial(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    let text = core::str::from_utf8(text).ok()?.trim();
    let usable = !text.is_empty()
        && !text.contains(|letter: char| letter == '/' || letter.is_control())
        && text != "."
        && text != "..";
    usable.then(|| String::from(text))
}

#[cfg(test)]
mod tests {
    use super::serial;

    #[test]
    fn a_serial_number_is_a_usable_name() {
        let texts: [(&[u8], Option<&str>); 10] = [
            (b"data\0\0\0\0", Some("data")),
            (b"  a disk  ", Some("a disk")),
            (b"data\0more", Some("data")),
            (b"", None),
            (b"    ", None),
            (b"\0data", None),
            (b"a/b", None),
            (b"..", None),
            (b"a\x1b[2J", None),
            (b"\xff\xfe", None),
        ];
        for (bytes, expected) in texts {
            assert_eq!(serial(bytes).as_deref(), expected, "{bytes:?}");
        }
    }
}

//! What a disk is asked to do, and how that can end.

use core::fmt;
use core::ptr::NonNull;

use super::SERIAL;

/// Why a request failed, or wasn't accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlkError {
    /// As many requests as [`BlkConfig::requests`](super::BlkConfig::requests) are unfinished: poll, then submit again.
    Busy,
    /// The sectors are not on the disk.
    OutOfRange,
    /// Not a whole number of blocks, or not at the start of one.
    Misaligned,
    /// A write to a disk that is read-only.
    ReadOnly,
    /// The buffer isn't (writable) memory.
    BadBuffer,
    /// There is no memory to pass the data on in.
    NoMemory,
    /// The disk reports an I/O error. Some of the request may have been done.
    Io,
    /// The disk doesn't know such requests.
    Unsupported,
    /// The disk broke the protocol and is out of use. A write may or may not have been done.
    Broken,
}

impl fmt::Display for BlkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BlkError::Busy => "too many unfinished requests",
            BlkError::OutOfRange => "beyond the end of the disk",
            BlkError::Misaligned => "not a whole number of blocks",
            BlkError::ReadOnly => "the disk is read-only",
            BlkError::BadBuffer => "the buffer is not memory",
            BlkError::NoMemory => "out of memory",
            BlkError::Io => "I/O error",
            BlkError::Unsupported => "the disk does not support the request",
            BlkError::Broken => "the disk broke the virtio protocol and was reset",
        })
    }
}

impl core::error::Error for BlkError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    Flush,
    Identify,
}

/// Something for a disk to do.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub(super) operation: Operation,
    pub(super) sector: u64,
    pub(super) buffer: NonNull<u8>,
    pub(super) len: usize,
}

// SAFETY: the buffer is the request's alone (promise to the constructors).
unsafe impl Send for Request {}

impl Request {
    /// Read `len` bytes from sector `sector` on into `buffer`.
    ///
    /// # Safety
    ///
    /// Until the end of the request is reported, or the [`Blk`](super::Blk) is dropped: the buffer is mapped memory, and nothing
    /// else reads or writes it.
    pub unsafe fn read(sector: u64, buffer: NonNull<u8>, len: usize) -> Request {
        Request {
            operation: Operation::Read,
            sector,
            buffer,
            len,
        }
    }

    /// Write the `len` bytes at `buffer` from sector `sector` on.
    ///
    /// # Safety
    ///
    /// Until the end of the request is reported, or the [`Blk`](super::Blk) is dropped: the buffer is mapped memory, and nothing
    /// writes it.
    pub unsafe fn write(sector: u64, buffer: NonNull<u8>, len: usize) -> Request {
        Request {
            operation: Operation::Write,
            sector,
            buffer,
            len,
        }
    }

    /// Make all writes durable whose end was reported before. Where the disk has no volatile cache
    /// ([`Geometry::can_flush`](super::Geometry::can_flush)) they are already, and the request ends at once.
    pub fn flush() -> Request {
        Request {
            operation: Operation::Flush,
            sector: 0,
            buffer: NonNull::dangling(),
            len: 0,
        }
    }

    /// Read the serial number ([`SERIAL`] bytes, filled up with zeros) into `buffer`.
    ///
    /// # Safety
    ///
    /// As for [`read`](Request::read), for [`SERIAL`] bytes.
    pub unsafe fn identify(buffer: NonNull<u8>) -> Request {
        Request {
            operation: Operation::Identify,
            sector: 0,
            buffer,
            len: SERIAL,
        }
    }
}

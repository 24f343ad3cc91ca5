//! Requests to a disk, and their errors.

use core::fmt;
use core::ptr::NonNull;

use super::{Active, SERIAL};

/// Reasons why a request failed or wasn't accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlkError {
    /// All [`BlkConfig::requests`](super::BlkConfig::requests) requests are in use: poll, then
    /// submit again.
    Busy,
    /// The sectors are beyond the end of the disk.
    OutOfRange,
    /// The request isn't aligned to blocks.
    Misaligned,
    /// A write to a read-only disk.
    ReadOnly,
    /// The buffer isn't mapped, or is not writable.
    BadBuffer,
    /// Allocation of a bounce buffer failed.
    NoMemory,
    /// The disk reported an I/O error. Part of the request may have been executed.
    Io,
    /// The disk doesn't support the request.
    Unsupported,
    /// The disk broke the protocol and is out of use. A write may or may not have been executed.
    DeviceError,
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
            BlkError::DeviceError => "the disk broke the virtio protocol and was reset",
        })
    }
}

impl core::error::Error for BlkError {}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Read,
    Write,
    Flush,
    Identify,
    Clear(Clearing),
}

/// A discard or write-zeroes request (virtio 1.2, 5.2.6), with the device's limits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clearing {
    /// Writes the segment. A function pointer, so that a program without such requests doesn't link
    /// it.
    pub write: fn(&Active, Clearing, &mut [u8]) -> usize,
    /// The request's type.
    pub kind: u32,
    /// Flags of its only segment.
    pub flags: u32,
    /// Maximum bytes of one request.
    pub most: usize,
    /// Preferred alignment of the end of a partial request, in bytes.
    pub alignment: u64,
}

/// One memory slice of a scatter-gather request.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Start of the slice.
    pub start: NonNull<u8>,
    /// Length in bytes.
    pub len: usize,
}

/// A request to a disk.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub(super) operation: Operation,
    pub(super) sector: u64,
    pub(super) memory: Cursor,
    pub(super) len: usize,
}

/// A position in the memory of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    start: NonNull<u8>,
    len: usize,
    /// The slices after the current one.
    more: NonNull<Slice>,
    count: usize,
}

impl Cursor {
    fn new(start: NonNull<u8>, len: usize) -> Cursor {
        Cursor {
            start,
            len,
            more: NonNull::dangling(),
            count: 0,
        }
    }

    /// The remaining memory of the current slice.
    pub fn here(&self) -> (NonNull<u8>, usize) {
        (self.start, self.len)
    }

    /// Advances by `bytes`, at most as many as remain.
    pub fn advance(&mut self, mut bytes: usize) {
        loop {
            let step = bytes.min(self.len);
            // SAFETY: within the slice, or just past its end.
            self.start = unsafe { self.start.add(step) };
            self.len -= step;
            bytes -= step;
            if self.len > 0 || self.count == 0 {
                return;
            }
            // SAFETY: one of `count` slices, which stay until the request ends (promise to
            // `Request::gather` and `Request::scatter`).
            let next = unsafe { self.more.read() };
            // SAFETY: as above, or just past the last.
            self.more = unsafe { self.more.add(1) };
            self.count -= 1;
            (self.start, self.len) = (next.start, next.len);
        }
    }
}

// SAFETY: only the request accesses the buffer (promise to the constructors).
unsafe impl Send for Request {}

impl Request {
    /// Read `len` bytes from sector `sector` on into `buffer`.
    ///
    /// # Safety
    ///
    /// Until the end of the request is reported, or a reset has taken the buffer back from the
    /// device: the buffer is mapped memory, and nothing else reads or writes it.
    pub unsafe fn read(sector: u64, buffer: NonNull<u8>, len: usize) -> Request {
        Request {
            operation: Operation::Read,
            sector,
            memory: Cursor::new(buffer, len),
            len,
        }
    }

    /// Write the `len` bytes at `buffer` from sector `sector` on.
    ///
    /// # Safety
    ///
    /// Until the end of the request is reported, or a reset has taken the buffer back from the
    /// device: the buffer is mapped memory, and nothing writes it.
    pub unsafe fn write(sector: u64, buffer: NonNull<u8>, len: usize) -> Request {
        Request {
            operation: Operation::Write,
            sector,
            memory: Cursor::new(buffer, len),
            len,
        }
    }
    fn slices(operation: Operation, sector: u64, slices: NonNull<[Slice]>) -> Request {
        let mut len = 0usize;
        // SAFETY: the list is valid (promise of the callers).
        for slice in unsafe { slices.as_ref() } {
            // A length that overflows exceeds any disk, and is refused as such.
            len = len.saturating_add(slice.len);
        }
        let mut memory = Cursor::new(NonNull::dangling(), 0);
        (memory.more, memory.count) = (slices.cast(), slices.len());
        memory.advance(0);
        Request {
            operation,
            sector,
            memory,
            len,
        }
    }

    /// Read from sector `sector` on into the `slices`, in order. A device request covers as many of
    /// them as the device's limits allow.
    ///
    /// # Safety
    ///
    /// As for [`read`](Request::read), for each slice; and the list of slices neither moves nor
    /// changes for as long.
    pub unsafe fn scatter(sector: u64, slices: NonNull<[Slice]>) -> Request {
        Request::slices(Operation::Read, sector, slices)
    }

    /// Write the `slices`, in order, from sector `sector` on.
    ///
    /// # Safety
    ///
    /// As for [`write`](Request::write), for each slice; and the list of slices neither moves nor
    /// changes for as long.
    pub unsafe fn gather(sector: u64, slices: NonNull<[Slice]>) -> Request {
        Request::slices(Operation::Write, sector, slices)
    }

    /// Flush: makes durable all writes reported as complete before. On a disk without a volatile
    /// cache ([`Geometry::can_flush`](super::Geometry::can_flush)) they already are, and the
    /// request ends at once.
    pub fn flush() -> Request {
        Request {
            operation: Operation::Flush,
            sector: 0,
            memory: Cursor::new(NonNull::dangling(), 0),
            len: 0,
        }
    }

    /// Read the serial number ([`SERIAL`] bytes, zero-padded) into `buffer`.
    ///
    /// # Safety
    ///
    /// As for [`read`](Request::read), for [`SERIAL`] bytes.
    pub unsafe fn identify(buffer: NonNull<u8>) -> Request {
        Request {
            operation: Operation::Identify,
            sector: 0,
            memory: Cursor::new(buffer, SERIAL),
            len: SERIAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, NonNull, Operation, Request, Slice};

    #[test]
    fn a_cursor_keeps_to_its_slices() {
        let mut memory = [0u8; 64];
        let start = NonNull::from(&mut memory).cast::<u8>();
        let slice = |at, len| Slice {
            // SAFETY: within the memory.
            start: unsafe { start.add(at) },
            len,
        };
        // The last is not part of the request.
        let slices = [slice(32, 4), slice(0, 0), slice(8, 6), slice(50, 9)];
        let list = NonNull::from(&slices[..3]);
        let request = Request::slices(Operation::Read, 0, list);
        assert_eq!(request.len, 10);
        let at = |cursor: &Cursor| {
            let (here, len) = cursor.here();
            (here.as_ptr() as usize - start.as_ptr() as usize, len)
        };
        for (bytes, expected) in [(0, (32, 4)), (3, (35, 1)), (4, (8, 6)), (9, (13, 1))] {
            let mut cursor = request.memory;
            cursor.advance(bytes);
            assert_eq!(at(&cursor), expected, "after {bytes} bytes");
        }
        for bytes in [10, 100] {
            let mut cursor = request.memory;
            cursor.advance(bytes);
            assert_eq!(at(&cursor), (14, 0), "nothing behind the last");
        }
    }
}

//! Requests to a disk, and their errors.

use core::fmt;
use core::ptr::NonNull;

use super::{Clear, MAX_BLOCK, SECTOR, Slice};

/// Reasons why a request failed or wasn't accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// As many requests as the driver keeps for a disk are unfinished: poll, then submit again.
    Busy,
    /// The sectors are beyond the end of the disk.
    OutOfRange,
    /// The request isn't aligned to blocks.
    Misaligned,
    /// A write to a read-only disk.
    ReadOnly,
    /// The storage behind the disk has no room for what is written: a thin disk, whose blocks get
    /// room when they are first written.
    NoSpace,
    /// The buffer isn't mapped, or is not writable.
    BadBuffer,
    /// Allocation of a bounce buffer failed.
    NoMemory,
    /// The disk reported an I/O error. Part of the request may have been executed.
    Io,
    /// The disk can't read its medium there, or write it.
    Medium,
    /// The disk has no medium, or isn't ready.
    NotReady,
    /// The disk was removed from its controller. A write may or may not have been executed.
    Removed,
    /// The disk doesn't support the request.
    Unsupported,
    /// The disk broke the protocol and is out of use. A write may or may not have been executed.
    DeviceError,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DiskError::Busy => "too many unfinished requests",
            DiskError::OutOfRange => "beyond the end of the disk",
            DiskError::Misaligned => "not a whole number of blocks",
            DiskError::ReadOnly => "the disk is read-only",
            DiskError::NoSpace => "the storage behind the disk is full",
            DiskError::BadBuffer => "the buffer is not memory",
            DiskError::NoMemory => "out of memory",
            DiskError::Io => "I/O error",
            DiskError::Medium => "medium error",
            DiskError::NotReady => "the disk is not ready",
            DiskError::Removed => "the disk was removed",
            DiskError::Unsupported => "the disk does not support the request",
            DiskError::DeviceError => "the disk broke its protocol and was reset",
        })
    }
}

impl core::error::Error for DiskError {}

/// Operation of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Read,
    Write,
    Flush,
    Clear(Clear),
}

/// A device's limits of requests without data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClearLimits {
    /// Maximum bytes of one command: whole blocks, at least one.
    most: usize,
    /// Preferred alignment of the end of a partial command, in bytes; 0 for none.
    alignment: u64,
}

impl ClearLimits {
    /// The limits of a disk with this block size; `None` if a command can't cover a block. Ignores
    /// an alignment that isn't a multiple of the block size.
    pub fn new(most: usize, alignment: u64, block: usize) -> Option<ClearLimits> {
        let most = most / block * block;
        let aligned = alignment.is_multiple_of(block as u64);
        (most > 0).then_some(ClearLimits {
            most,
            alignment: if aligned { alignment } else { 0 },
        })
    }

    /// Bytes of a request that its next command covers: up to the last multiple of the device's
    /// alignment that fits.
    pub fn len(&self, rest: &Request) -> usize {
        if rest.len <= self.most {
            return rest.len;
        }
        let start = rest.sector.saturating_mul(SECTOR as u64);
        let end = start.saturating_add(self.most as u64);
        let over = end.checked_rem(self.alignment).unwrap_or(0) as usize;
        if over < self.most {
            self.most - over
        } else {
            self.most
        }
    }
}

/// A request to a disk, the part of it that is not in a command yet, or the part that a command is
/// for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub(crate) operation: Operation,
    /// First sector.
    pub(crate) sector: u64,
    /// Where the bytes are.
    pub(crate) memory: Cursor,
    /// Number of bytes.
    pub(crate) len: usize,
}

/// A position in the memory of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
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
    /// The next `len` bytes, whole blocks, are in a command.
    pub(crate) fn advance(&mut self, len: usize) {
        self.len -= len;
        self.sector += (len / SECTOR) as u64;
        self.memory.advance(len);
    }

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

    /// Flush: makes durable all writes reported as complete before. On a disk that offers no flush
    /// ([`Geometry::can_flush`](super::Geometry::can_flush)) the request ends at once.
    pub fn flush() -> Request {
        Request {
            operation: Operation::Flush,
            sector: 0,
            memory: Cursor::new(NonNull::dangling(), 0),
            len: 0,
        }
    }

    /// Discard or zero `count` sectors from sector `sector` on, without data.
    pub fn clear(how: Clear, sector: u64, count: u64) -> Request {
        let len = usize::try_from(count).ok();
        let len = len.and_then(|count| count.checked_mul(SECTOR));
        Request {
            operation: Operation::Clear(how),
            sector,
            // A length that overflows exceeds any disk.
            len: len.unwrap_or(usize::MAX / MAX_BLOCK * MAX_BLOCK),
            ..Request::flush()
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

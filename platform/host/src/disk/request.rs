//! A request to a file, or its rest after a short transfer, for system calls and for the ring.

use crate::{check, errno};
use core::ptr::NonNull;
use fs::BlockError;
use platform::disk::{Clear, Request, Slice};
use platform::error::{Error, Stop};
use rustix_uring::opcode;
use rustix_uring::squeue::Entry;
use rustix_uring::types::{Fd, FsyncFlags, RwFlags};

/// The operation of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// pread(2).
    Read,
    /// pwrite(2).
    Write,
    /// fdatasync(2).
    Flush,
    /// preadv(2).
    Scatter,
    /// pwritev2(2), with `RWF_DSYNC` if it is durable.
    Gather {
        /// See above.
        durable: bool,
    },
    /// fallocate(2) with this mode.
    Allocate(i32),
}

/// A request to a file, or its rest after a short transfer.
#[derive(Clone, Copy)]
pub struct IoRequest {
    /// The operation.
    pub kind: Kind,
    /// The memory; for a scatter or gather, the slices.
    pub start: NonNull<u8>,
    /// Bytes; for a scatter or gather, the number of slices.
    pub len: usize,
    /// Bytes from the start of the file.
    pub offset: u64,
}

/// Mode that deallocates sectors, which then read as zeros. A discard uses it as well: files have
/// nothing weaker.
const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;

/// Whether the error means that the file or file system doesn't support the request.
fn is_unknown(errno: i32) -> bool {
    matches!(errno, libc::EOPNOTSUPP | libc::ENODEV | libc::ENOSYS)
}

impl IoRequest {
    /// Converts a whole request on a disk with sectors of `sector_size` bytes.
    pub fn new(request: Request, sector_size: usize) -> IoRequest {
        let none = NonNull::dangling();
        let (kind, sector, start, len) = match request {
            Request::Read { sector, to, len } => (Kind::Read, sector, to, len),
            Request::Write {
                sector, from, len, ..
            } => (Kind::Write, sector, from, len),
            Request::Flush => (Kind::Flush, 0, none, 0),
            Request::Scatter { sector, slices } => {
                (Kind::Scatter, sector, slices.cast(), slices.len())
            }
            Request::Gather {
                sector,
                slices,
                durable,
            } => (
                Kind::Gather { durable },
                sector,
                slices.cast(),
                slices.len(),
            ),
            Request::Clear { sector, count, how } => {
                let mode = match how {
                    Clear::Zeroes { unmap: false } => ZERO,
                    _ => PUNCH,
                };
                let len = (count as usize).saturating_mul(sector_size);
                (Kind::Allocate(mode), sector, none, len)
            }
        };
        IoRequest {
            kind,
            start,
            len,
            // Within the file: the range was checked.
            offset: sector * sector_size as u64,
        }
    }

    /// The end of its sectors.
    pub fn end(&self) -> u64 {
        let bytes = match self.kind {
            Kind::Scatter | Kind::Gather { .. } => {
                let slices = self.slices();
                // SAFETY: the list is valid until the request is reported.
                unsafe { slices.as_ref() }.iter().map(|s| s.len).sum()
            }
            _ => self.len,
        };
        self.offset.saturating_add(bytes as u64)
    }

    /// Whether it writes from memory.
    pub fn writes(&self) -> bool {
        matches!(self.kind, Kind::Write | Kind::Gather { .. })
    }

    fn slices(&self) -> NonNull<[Slice]> {
        NonNull::slice_from_raw_parts(self.start.cast(), self.len)
    }

    /// Skips the completed part; this changes the slices of a scatter or gather.
    pub fn skip(&mut self, done: usize) {
        self.offset += done as u64;
        if !matches!(self.kind, Kind::Scatter | Kind::Gather { .. }) {
            let done = done.min(self.len);
            // SAFETY: within the request's memory, or at its end.
            self.start = unsafe { self.start.add(done) };
            self.len -= done;
            return;
        }
        let mut done = done;
        while self.len > 0 {
            // SAFETY: one of the slices, which are the request's until it is reported.
            let first = unsafe { &mut *self.start.cast::<Slice>().as_ptr() };
            let step = done.min(first.len);
            // SAFETY: within the slice's memory, or at its end.
            first.start = unsafe { first.start.add(step) };
            first.len -= step;
            done -= step;
            if first.len > 0 {
                return;
            }
            // SAFETY: the next slice, or the end of the list.
            self.start = unsafe { self.start.cast::<Slice>().add(1) }.cast();
            self.len -= 1;
        }
    }

    /// Records the result of a system call; returns the result of the request if that is complete.
    pub fn note(&mut self, done: usize) -> Option<Result<(), BlockError>> {
        match self.kind {
            Kind::Flush | Kind::Allocate(_) => return Some(Ok(())),
            // The file has been truncated.
            _ if done == 0 => return Some(Err(BlockError::Io)),
            _ => self.skip(done),
        }
        (self.len == 0).then_some(Ok(()))
    }

    /// Whether its memory is aligned to `memory` bytes, and its offset and lengths to `sectors`.
    pub fn is_aligned(&self, memory: usize, sectors: usize) -> bool {
        let fits = |start: NonNull<u8>, len: usize| {
            start.addr().get().is_multiple_of(memory) && len.is_multiple_of(sectors)
        };
        let place = self.offset.is_multiple_of(sectors as u64);
        match self.kind {
            Kind::Flush => true,
            Kind::Allocate(_) => false,
            Kind::Read | Kind::Write => place && fits(self.start, self.len),
            Kind::Scatter | Kind::Gather { .. } => {
                // SAFETY: the list is valid until the request is reported.
                let slices = unsafe { self.slices().as_ref() };
                place && slices.iter().all(|slice| fits(slice.start, slice.len))
            }
        }
    }

    /// Performs it while the program waits.
    pub fn now(mut self, fd: i32) -> Result<(), BlockError> {
        loop {
            let (at, len, offset) = (self.start.as_ptr(), self.len, self.offset as i64);
            #[allow(clippy::cast_ptr_alignment, reason = "a list starts with a `Slice`")]
            let (list, count) = (at.cast::<libc::iovec>(), len as i32);
            // SAFETY: within the request's memory; a `Slice` has the layout of `iovec`.
            let done = check(unsafe {
                match self.kind {
                    Kind::Read => libc::pread(fd, at.cast(), len, offset),
                    Kind::Write => libc::pwrite(fd, at.cast(), len, offset),
                    Kind::Flush => libc::fdatasync(fd) as isize,
                    Kind::Scatter => libc::preadv(fd, list, count, offset),
                    Kind::Gather { durable } => {
                        let flags = if durable { libc::RWF_DSYNC } else { 0 };
                        libc::pwritev2(fd, list, count, offset, flags)
                    }
                    Kind::Allocate(mode) => libc::fallocate(fd, mode, offset, len as i64) as isize,
                }
            });
            match done {
                Ok(done) => {
                    if let Some(result) = self.note(done) {
                        return result;
                    }
                }
                Err(Stop::WouldBlock) => (),
                // It also reads as zeros.
                Err(_) if self.kind == Kind::Allocate(ZERO) && is_unknown(errno()) => {
                    self.kind = Kind::Allocate(PUNCH);
                }
                Err(_) if is_unknown(errno()) => return Err(BlockError::Unsupported),
                Err(Stop::Error(Error::NoSpace)) => return Err(BlockError::NoSpace),
                Err(_) => return Err(BlockError::Io),
            }
        }
    }

    /// As a request of the ring.
    pub fn entry(&self, fd: i32) -> Entry {
        let (fd, start, len) = (Fd(fd), self.start.as_ptr(), self.len as u32);
        match self.kind {
            Kind::Read => opcode::Read::new(fd, start, len)
                .offset(self.offset)
                .build(),
            Kind::Write => opcode::Write::new(fd, start, len)
                .offset(self.offset)
                .build(),
            Kind::Flush => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
            Kind::Scatter => opcode::Readv::new(fd, start.cast(), len)
                .offset(self.offset)
                .build(),
            Kind::Gather { durable } => {
                let flags = if durable {
                    RwFlags::DSYNC
                } else {
                    RwFlags::empty()
                };
                opcode::Writev::new(fd, start.cast(), len)
                    .offset(self.offset)
                    .rw_flags(flags)
                    .build()
            }
            Kind::Allocate(mode) => opcode::Fallocate::new(fd, self.len as u64)
                .offset(self.offset)
                .mode(mode)
                .build(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IoRequest, Slice};
    use core::ptr::NonNull;
    use platform::disk::Request;
    use std::vec;

    fn read(sector: u64, to: NonNull<u8>, len: usize) -> IoRequest {
        IoRequest::new(Request::Read { sector, to, len }, 512)
    }

    #[test]
    fn only_whole_pages_go_past_the_cache_alone() {
        let mut memory = vec![0u8; 16384];
        let skip = memory.as_ptr().align_offset(4096);
        let start = NonNull::from(&mut memory[skip..]).cast::<u8>();
        let is_aligned = |sector, offset, len, to| {
            // SAFETY: within the memory.
            read(sector, unsafe { start.add(offset) }, len).is_aligned(512, to)
        };
        assert!(is_aligned(8, 512, 4096, 4096) && is_aligned(3, 1024, 1536, 512));
        assert!(!is_aligned(7, 0, 4096, 4096) && !is_aligned(8, 0, 512, 4096));
        assert!(!is_aligned(8, 16, 4096, 4096) && !is_aligned(8, 16, 512, 512));
    }

    #[test]
    fn the_rest_of_slices_begins_where_the_last_call_ended() {
        let mut memory = vec![0u8; 4096];
        let start = NonNull::from(&mut memory[..]).cast::<u8>();
        let lengths = [512, 0, 1024, 512];
        let mut slices = lengths.map(|len| Slice { start, len });
        let slices = NonNull::from(&mut slices[..]);
        let mut io = IoRequest::new(Request::Scatter { sector: 3, slices }, 512);
        assert_eq!(io.end(), 7 * 512);
        assert_eq!(io.note(500), None);
        assert_eq!((io.len, io.offset, io.end()), (4, 3 * 512 + 500, 7 * 512));
        assert_eq!(io.note(12 + 1000), None);
        assert_eq!((io.len, io.end()), (2, 7 * 512));
        assert_eq!(io.note(24 + 512), Some(Ok(())));
        assert!(io.note(0).is_some_and(|result| result.is_err()));
    }
}

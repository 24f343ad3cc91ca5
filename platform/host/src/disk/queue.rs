//! The requests of one disk, and how each is submitted:
//!
//! - a read of cached data completes at once (`preadv2` with `RWF_NOWAIT`);
//! - writes that belong together bypass the page cache with one `io_submit` ([`Aio`]), so that
//!   after a kill either all or none of them were made;
//! - large writes of whole pages also bypass the page cache, through the ring: ext4 has no
//!   non-blocking buffered writes, so the ring would give each to a kernel thread, which copies it,
//!   and a flush would still find all of it unwritten. If the disk is slower than that, the
//!   following large writes go through the page cache for a while, which accepts them all at once;
//! - everything else goes to the ring;
//! - without a ring, aligned requests bypass the page cache, flushes do likewise, and the rest
//!   completes while the program waits.
//!
//! Writes past the page cache and through it must not overlap in a page, or the page that is
//! written later restores old sectors (Linux reports that by `EIO` on the next flush). So a write
//! waits for writes of the other kind to the same pages; large ones then go the same way. Only
//! those that belong together bypass the page cache with less than whole pages. They also wait
//! until the page cache has written their pages ([`Unflushed`]), so that `io_submit` doesn't.

use super::OwnedFd;
use super::aio::{ALIGN, Aio, Command};
use super::request::{IoRequest, Kind};
use super::unflushed::Unflushed;
use crate::ring::{Handle, Owner, Requests};
use crate::system::setting;
use crate::{Host, Interest, check};
use alloc::collections::VecDeque;
use core::ops::Range;
use core::ptr::null_mut;
use fs::BlockError;
use platform::disk::{Request, Submitted};
use platform::error::Stop;
use platform::{Clock, Interest as _};
use rustix_uring::types::Fd;
use rustix_uring::{Errno, opcode};
use slab::Slab;

/// Maximum number of requests in flight; others wait.
const MAX_REQUESTS: usize = 256;
/// Bytes from which a write bypasses the page cache although there is a ring: beyond that a copy
/// costs more than the disk's response.
const LARGE: u64 = 256 << 10;
/// Nanoseconds per mebibyte from which on the page cache is faster: a copy, a switch to another
/// thread, and the flush.
const SLOW_NS: u64 = 700_000;
/// How long large writes go through the page cache after a slow one past it, in nanoseconds.
const BACKOFF_NS: u64 = 200_000_000;
/// Flags of `SYNC_FILE_RANGE`: all pages, whether writeback has begun or not.
const WRITE_AND_WAIT: u32 = libc::SYNC_FILE_RANGE_WAIT_BEFORE
    | libc::SYNC_FILE_RANGE_WRITE
    | libc::SYNC_FILE_RANGE_WAIT_AFTER;
/// The key of our own request that writes back the page cache; others are keys of a [`Slab`].
const FLUSH_KEY: usize = (1 << 48) - 1;

/// A request that the kernel has.
struct InFlight {
    tag: u64,
    io: IoRequest,
    /// It bypasses the page cache.
    past: bool,
    /// It is a large write, alone, that began then.
    timed: Option<u64>,
    /// All of its pages.
    whole: Range<u64>,
}

/// The requests of one disk in flight.
pub struct Queue {
    file: OwnedFd,
    /// Bytes of a sector.
    sector: usize,
    ring: Option<Owner>,
    /// Dropped before its file, which it needs until then.
    aio: Option<Aio>,
    /// The file with `O_DIRECT`. It stays open: requests that the kernel has not seen name it.
    direct: Option<OwnedFd>,
    /// It accepts requests.
    takes_direct: bool,
    /// Until when large writes go through the page cache.
    rests_until: u64,
    /// The page cache can be queried.
    cached: bool,
    under_way: Slab<InFlight>,
    /// Number of requests that bypass the page cache.
    past: usize,
    unflushed: Unflushed,
    /// Completed, but not reported.
    ended: VecDeque<(u64, Result<(), BlockError>)>,
}

impl Queue {
    /// Creates a queue on `file` with sectors of `sector` bytes, and on `direct`, the same file
    /// opened with `O_DIRECT`.
    pub fn new(file: OwnedFd, sector: usize, direct: Option<OwnedFd>, ring: &Handle) -> Queue {
        Queue {
            file,
            sector,
            ring: ring.open(Requests::Lasting),
            aio: direct.as_ref().and_then(Aio::new),
            takes_direct: direct.is_some(),
            direct,
            rests_until: 0,
            cached: true,
            under_way: Slab::new(),
            past: 0,
            unflushed: Unflushed::new(),
            ended: VecDeque::new(),
        }
    }

    /// Reads the cached part; returns whether that was all.
    fn read_cached(&mut self, io: &mut IoRequest) -> bool {
        let vector = libc::iovec {
            iov_base: io.start.as_ptr().cast(),
            iov_len: io.len,
        };
        // SAFETY: writes within the request's memory.
        let read = unsafe {
            libc::preadv2(
                self.file.0,
                &raw const vector,
                1,
                io.offset as i64,
                libc::RWF_NOWAIT,
            )
        };
        match check(read) {
            Ok(n) => io.skip(n),
            Err(Stop::WouldBlock) => (),
            // A file system without support for it.
            Err(_) => self.cached = false,
        }
        io.len == 0
    }

    /// The file.
    pub fn file(&self) -> i32 {
        self.file.0
    }

    /// The same file opened with `O_DIRECT`, if that is possible.
    pub fn direct_file(&self) -> Option<i32> {
        self.direct.as_ref().map(|direct| direct.0)
    }

    /// Whether no request is in flight.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// See [`platform::disk::Device::submit`]; `size` is the file's, in bytes.
    pub fn submit(&mut self, request: Request, tag: u64, size: u64) -> Submitted {
        let mut io = IoRequest::new(request, self.sector);
        if io.end() > size {
            // The file has been truncated; a write would extend it again.
            return Submitted::Done(Err(BlockError::Io));
        }
        if self.cached && io.kind == Kind::Read && self.read_cached(&mut io) {
            return Submitted::Done(Ok(()));
        }
        if self.under_way.len() >= MAX_REQUESTS {
            return Submitted::Full;
        }
        let together = matches!(request, Request::Write { together: true, .. });
        let now = Host::monotonic_ns();
        let past = self.is_direct(&io, together, now);
        if self.overlaps(&io, !past) || past && together && !self.is_written_back(&io) {
            return Submitted::Full;
        }
        let by_ring = self.ring.is_some() && !together;
        let timed = (past && by_ring && self.under_way.is_empty()).then_some(now);
        let key = self.under_way.insert(InFlight {
            tag,
            io,
            past,
            timed,
            whole: pages(&io),
        });
        if past && !by_ring && self.add(key, io) || self.push(key, io) {
            self.past += usize::from(past);
            if io.kind == Kind::Flush {
                self.unflushed.begin(key);
            }
            return Submitted::Taken;
        }
        self.under_way.remove(key);
        self.unflushed.wrote(pages(&io));
        Submitted::Done(io.now(self.file.0))
    }

    /// Whether a request bypasses the page cache.
    fn is_direct(&self, io: &IoRequest, together: bool, now: u64) -> bool {
        let by_ring = self.ring.is_some() && !together;
        let is_large = || io.end() - io.offset >= LARGE && now >= self.rests_until;
        self.takes_direct
            && io.is_aligned(ALIGN, if together { ALIGN } else { page() })
            && (!by_ring || io.writes() && is_large())
            && (together || !self.overlaps(io, false))
    }

    /// Whether `io` writes to a page that a write in flight also writes to; `past` selects writes
    /// that bypass the page cache, or the others.
    fn overlaps(&self, io: &IoRequest, past: bool) -> bool {
        let many = if past {
            self.past
        } else {
            self.under_way.len() - self.past
        };
        let own = pages(io);
        let overlaps = |other: &IoRequest| {
            let other = pages(other);
            other.start < own.end && own.start < other.end
        };
        many > 0
            && io.writes()
            && self
                .under_way
                .iter()
                .any(|(_, other)| other.past == past && other.io.writes() && overlaps(&other.io))
    }

    /// Whether the page cache has nothing to write to the pages of a direct write; otherwise starts
    /// writeback. Without a ring it isn't possible to wait for that.
    fn is_written_back(&mut self, io: &IoRequest) -> bool {
        let Some(ring) = self
            .ring
            .as_ref()
            .filter(|_| self.unflushed.overlaps(&pages(io)))
        else {
            return true;
        };
        if !self.unflushed.is_flushing() {
            // The whole file, so that writes that belong together wait together.
            let all = opcode::SyncFileRange::new(Fd(self.file.0), 0)
                .flags(WRITE_AND_WAIT)
                .build();
            // SAFETY: the request has no memory.
            if !unsafe { ring.push(all, FLUSH_KEY as u64, true) } {
                return true;
            }
            self.unflushed.begin(FLUSH_KEY);
        }
        false
    }

    /// Adds a request to the older interface.
    fn add(&mut self, key: usize, io: IoRequest) -> bool {
        let command = match io.kind {
            Kind::Read => Command::Read,
            Kind::Write => Command::Write,
            Kind::Flush => Command::Sync,
            Kind::Scatter => Command::ReadVector,
            Kind::Gather { durable: false } => Command::WriteVector,
            Kind::Gather { durable: true } => Command::WriteVectorDurably,
            Kind::Allocate(_) => return false,
        };
        let start = match io.kind {
            // The kernel refuses a flush with memory.
            Kind::Flush => null_mut(),
            _ => io.start.as_ptr(),
        };
        let offset = io.offset as i64;
        self.aio.as_mut().is_some_and(|aio| {
            // SAFETY: the memory is the request's until it is reported.
            unsafe { aio.add(command, start, io.len, offset, key as u64) }
        })
    }

    /// Pushes a request to the ring.
    fn push(&mut self, key: usize, io: IoRequest) -> bool {
        let Some(ring) = &self.ring else { return false };
        let past = self.under_way.get(key).is_some_and(|request| request.past);
        let direct = self.direct.as_ref().filter(|_| past);
        let fd = direct.unwrap_or(&self.file).0;
        // SAFETY: the memory is the request's until it is reported.
        unsafe { ring.push(io.entry(fd), key as u64, true) }
    }

    /// Submits added requests; the ring does so with the program's next wait.
    pub fn kick(&mut self) {
        let Queue {
            file,
            aio: Some(aio),
            under_way,
            past: passed,
            unflushed,
            ended,
            ..
        } = self
        else {
            return;
        };
        aio.submit(&mut |key| {
            if let Some(InFlight {
                tag,
                io,
                past,
                whole,
                ..
            }) = under_way.try_remove(key as usize)
            {
                *passed -= usize::from(past);
                ended.push_back((tag, io.now(file.0)));
                unflushed.wrote(whole);
            }
        });
    }

    /// Reports completed requests.
    pub fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        let mut aio = self.aio.take();
        if let Some(aio) = &mut aio {
            aio.poll(&mut |key, result| {
                let failure = |_| Errno::from_raw_os_error(-result as i32);
                self.note(key as usize, usize::try_from(result).map_err(failure));
            });
        }
        self.aio = aio;
        while let Some(ended) = self.ring.as_ref().and_then(Owner::ended) {
            let result = ended.result.map(|n| n as usize);
            self.note(ended.tag as usize, result);
        }
        for (tag, result) in self.ended.drain(..) {
            report(tag, result);
        }
    }

    /// Handles the result of a request's system call.
    fn note(&mut self, key: usize, result: Result<usize, Errno>) {
        if key == FLUSH_KEY {
            // A page that couldn't be written isn't retried, so that no one waits for it.
            self.unflushed.end(key, true);
            return;
        }
        let Some(request) = self.under_way.get_mut(key) else {
            return;
        };
        if let (Some(began), Ok(n)) = (request.timed.take(), result) {
            let now = Host::monotonic_ns();
            if is_slow(now.saturating_sub(began), n) {
                self.rests_until = now + BACKOFF_NS;
            }
        }
        let ended = match result {
            Ok(n) => request.io.note(n),
            Err(Errno::IO) => Some(Err(BlockError::Io)),
            Err(Errno::INVAL) if request.past => {
                // The file refuses such direct requests, for example because of its larger sectors.
                self.takes_direct = false;
                None
            }
            // Unsupported here; the plain system call reports the reason.
            Err(_) => Some(request.io.now(self.file.0)),
        };
        let io = request.io;
        if request.past && !(self.takes_direct && io.is_aligned(ALIGN, ALIGN)) {
            request.past = false;
            self.past -= 1;
        }
        if ended.is_none() && self.push(key, io) {
            return;
        }
        if let Some(InFlight {
            tag, past, whole, ..
        }) = self.under_way.try_remove(key)
        {
            self.past -= usize::from(past);
            let result = ended.unwrap_or_else(|| io.now(self.file.0));
            if io.kind == Kind::Flush {
                self.unflushed.end(key, result.is_ok());
            } else if io.writes() && !past {
                self.unflushed.wrote(whole);
            }
            self.ended.push_back((tag, result));
        }
    }

    /// See [`platform::disk::Device::arm`].
    pub fn arm(&mut self, interest: &mut Interest) {
        if !self.ended.is_empty() {
            interest.immediately();
        }
        if let Some(aio) = self.aio.as_ref().filter(|aio| aio.is_busy()) {
            interest.fd(aio.event(), libc::POLLIN);
        }
    }
}

/// Bytes of a page of the page cache: arm64 has them of 4, 16 and 64 KiB.
fn page() -> usize {
    setting(libc::_SC_PAGESIZE) as usize
}

/// The numbers of a request's pages.
fn pages(io: &IoRequest) -> Range<u64> {
    let page = page() as u64;
    io.offset / page..io.end().div_ceil(page)
}

/// Whether the disk took more time for `bytes` bytes than the page cache would have.
fn is_slow(ns: u64, bytes: usize) -> bool {
    ns > (bytes as u64).saturating_mul(SLOW_NS) >> 20
}

#[cfg(test)]
mod tests;

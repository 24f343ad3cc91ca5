//! Calls on a folder of the host that may block: made at once if Linux has the data in memory, else
//! offloaded ([`Offload`]) while other tasks run.
//!
//! Linux reports whether a read would block (`RWF_NOWAIT`), and the resolution of a path
//! (`RESOLVE_CACHED`); on most file systems it doesn't for a write through the page cache (ext4 has
//! no such writes), and offloading each would cost a switch to another thread. So writes are made
//! at once on file systems that are known to copy to the page cache only, until one took long, for
//! example because too much waits for the disk: then those of the next second are offloaded.

use super::results::{code, count, done};
use crate::offload::{Call, Offload};
use crate::owned_fd::OwnedFd;
use crate::{Host, check};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use fs::Error;
use platform::Clock;
use platform::error::Stop;
use platform::folders::{Suspend, Waiting};

/// Bytes written at once between two reads of the clock.
const PIECE: usize = 1 << 20;
/// Time in nanoseconds that a copy of one such piece never takes: a longer write waits for a disk.
const MIN_BLOCKED_NS: u64 = 10_000_000;
/// How long writes are offloaded after such a wait, in nanoseconds.
const BACKOFF_NS: u64 = 1_000_000_000;
/// Maximum number of syncs in progress; others wait.
const MAX_SYNCS: usize = 16;

/// File systems whose writes only copy to the page cache (`linux/magic.h`): ext2 to ext4, XFS,
/// Btrfs, F2FS, bcachefs, tmpfs, and overlays, which containers have on one of those.
const COPYING: [i64; 7] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0xca45_1a4e,
    0x0102_1994,
    0x794c_7630,
];

/// Properties of an open file that decide whether its calls are offloaded.
///
/// A file system that isn't one of [`COPYING`] isn't trusted to honour `RWF_NOWAIT` either.
#[derive(Default)]
pub struct Traits {
    /// Non-blocking reads are supported.
    asks: Cell<bool>,
    /// See [`COPYING`].
    copies: bool,
}

impl Traits {
    /// Whether writes only copy to the page cache.
    pub fn copies(&self) -> bool {
        self.copies
    }
}

/// Traits of a file, or of a folder.
pub fn traits(fd: &OwnedFd) -> Traits {
    let mut status = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: room for the structure, of which zeros are one.
    let kind = unsafe {
        let found = libc::fstatfs(fd.0, status.as_mut_ptr()) == 0;
        found.then(|| status.assume_init().f_type)
    };
    Traits {
        asks: Cell::new(true),
        copies: kind.is_some_and(|kind| COPYING.contains(&kind)),
    }
}

/// How the calls of one folder wait.
pub struct Transfer {
    fiber: Box<dyn Suspend>,
    offload: Offload,
    syncs: Rc<Cell<usize>>,
    /// Until when writes are offloaded.
    rests_until: Cell<u64>,
}

// SAFETY: `fs` requires volumes that can move between threads. This one lives on its fiber, which
// runs inside calls of the runtime only, one at a time, as does everything that it shares with its
// suspended answers.
unsafe impl Send for Transfer {}

impl Transfer {
    /// With these means of waiting.
    pub fn new(Waiting { fiber, offload }: Waiting<Offload>) -> Transfer {
        Transfer {
            fiber,
            offload,
            syncs: Rc::new(Cell::new(0)),
            rests_until: Cell::new(0),
        }
    }

    /// Offloads a call and suspends the caller until its end; `None`: interrupted, to be retried.
    ///
    /// # Safety
    /// The memory that `call` points to stays valid until the call has ended.
    unsafe fn wait(&self, call: Call, on_ring: bool) -> Result<Option<usize>, Error> {
        if self.fiber.is_unresponsive() {
            return Err(Error::Busy);
        }
        // SAFETY: the caller's promise; this function returns when it has ended.
        let mut begun = unsafe { self.offload.begin(call, on_ring) };
        loop {
            match begun.ended() {
                Some(Ok(n)) => return Ok(Some(n)),
                Some(Err(libc::EINTR | libc::EAGAIN)) => return Ok(None),
                Some(Err(errno)) => return Err(code(errno)),
                None => self.fiber.wait(),
            }
        }
    }

    /// Fills `into` up to the end of the file; returns the number of bytes.
    pub fn read(
        &self,
        fd: &OwnedFd,
        traits: &Traits,
        offset: u64,
        into: &mut [u8],
    ) -> Result<usize, Error> {
        let mut total = 0;
        while let Some(rest) = into.get_mut(total..).filter(|rest| !rest.is_empty()) {
            let offset = offset.saturating_add(total as u64);
            let at = i64::try_from(offset).map_err(|_| Error::Invalid)?;
            let (start, len) = (rest.as_mut_ptr(), rest.len());
            if traits.asks.get() && traits.copies {
                let vector = libc::iovec {
                    iov_base: start.cast(),
                    iov_len: len,
                };
                let flags = libc::RWF_NOWAIT;
                // SAFETY: room for that many bytes.
                match check(unsafe { libc::preadv2(fd.0, &raw const vector, 1, at, flags) }) {
                    Ok(0) => break,
                    Ok(n) => {
                        total += n;
                        continue;
                    }
                    Err(Stop::WouldBlock) => {}
                    // A file system without support for it; if the file is at fault, the next call
                    // fails as well.
                    Err(_) => traits.asks.set(false),
                }
            }
            let call = Call::Read {
                fd: fd.0,
                start,
                len,
                offset,
            };
            // SAFETY: `into` is the caller's, who waits.
            match unsafe { self.wait(call, traits.copies) }? {
                Some(0) => break,
                Some(n) => total += n,
                None => {}
            }
        }
        Ok(total)
    }

    /// Writes all of `from`, or as much as possible.
    pub fn write(
        &self,
        fd: &OwnedFd,
        traits: &Traits,
        offset: u64,
        from: &[u8],
    ) -> Result<usize, Error> {
        let mut total = 0;
        while let Some(rest) = from.get(total..).filter(|rest| !rest.is_empty()) {
            let offset = offset.saturating_add(total as u64);
            let at = i64::try_from(offset).map_err(|_| Error::TooLarge)?;
            if total > 0 {
                self.fiber.yield_now();
            }
            let began = Host::monotonic_ns();
            let written = if traits.copies && began >= self.rests_until.get() {
                let piece = rest.len().min(PIECE);
                // SAFETY: that many bytes.
                let written = unsafe { libc::pwrite(fd.0, rest.as_ptr().cast(), piece, at) };
                let written = count(written);
                let now = Host::monotonic_ns();
                if now - began >= MIN_BLOCKED_NS {
                    self.rests_until.set(now + BACKOFF_NS);
                }
                written
            } else {
                let (start, len) = (rest.as_ptr(), rest.len());
                let fd = fd.0;
                let call = Call::Write {
                    fd,
                    start,
                    len,
                    offset,
                };
                // SAFETY: `from` is the caller's, who waits.
                unsafe { self.wait(call, traits.copies) }
            };
            match written {
                Ok(Some(0)) => break,
                Ok(n) => total += n.unwrap_or(0),
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Begins a sync, `call` on a duplicated descriptor of `fd`; its end completes the current job.
    pub fn sync(&self, fd: &OwnedFd, call: fn(i32) -> Call) -> Result<(), Error> {
        while self.syncs.get() >= MAX_SYNCS {
            self.fiber.wait();
        }
        // SAFETY: a plain call.
        let own = OwnedFd(unsafe { libc::fcntl(fd.0, libc::F_DUPFD_CLOEXEC, 0) });
        done(own.0)?;
        self.syncs.set(self.syncs.get() + 1);
        let syncs = self.syncs.clone();
        // SAFETY: the descriptor is closed with the function below, which is kept until the call
        // has ended.
        let mut begun = unsafe { self.offload.begin(call(own.0), true) };
        self.fiber.suspend_answer(Box::new(move || {
            let _ = &own;
            let outcome = begun.ended()?;
            syncs.set(syncs.get().saturating_sub(1));
            Some(outcome.map(drop).map_err(code))
        }));
        Ok(())
    }

    /// Opens a path below `root` as `open` of the calls does.
    pub fn open(
        &self,
        root: &OwnedFd,
        path: &CStr,
        how: &libc::open_how,
    ) -> Result<OwnedFd, Error> {
        loop {
            let call = Call::Open(root.0, path.as_ptr(), how);
            // SAFETY: both are the caller's, who waits.
            if let Some(fd) = unsafe { self.wait(call, true) }? {
                return Ok(OwnedFd(fd as i32));
            }
        }
    }
}

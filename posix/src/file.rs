//! Open files: the contract that each kind of them fulfils ([`File`]), and the open file
//! description that descriptors share ([`Description`], POSIX.1-2024, 3.241).
//!
//! A kind implements what it supports. The rest has Linux's errors as its default, so that a system
//! call uses the file and never its kind. A new kind is one module in `files`, and the system call
//! that opens it.

use crate::blocking::readiness::Events;
use crate::errors::Result;
use crate::stat::{FileId, Stat};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicI32, Ordering};
use resources::Runtime;
use sync::mutex::{Mutex, level};

/// The start of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// At the file's position, which advances.
    Position,
    /// At this byte of the file. With `O_APPEND` a write still goes to the end, as with Linux's
    /// `pwrite`.
    At(u64),
    /// At this byte, with `O_APPEND` as well (`RWF_NOAPPEND`).
    Exactly(u64),
}

impl Offset {
    /// The offset after `len` more bytes.
    pub fn after(self, len: u64) -> Offset {
        match self {
            Offset::Position => Offset::Position,
            Offset::At(at) => Offset::At(at.saturating_add(len)),
            Offset::Exactly(at) => Offset::Exactly(at.saturating_add(len)),
        }
    }

    /// The byte of the file; `None` for the position.
    pub fn byte(self) -> Option<u64> {
        match self {
            Offset::Position => None,
            Offset::At(at) | Offset::Exactly(at) => Some(at),
        }
    }

    /// Fails with [`libc::ESPIPE`] for a byte: the file is a stream.
    pub fn check_stream(self) -> Result<()> {
        match self {
            Offset::Position => Ok(()),
            Offset::At(_) | Offset::Exactly(_) => Err(libc::ESPIPE),
        }
    }
}

/// How a file transfers the pieces of memory of `readv` and `writev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// One after another.
    Each,
    /// One after another, but all at once if they have at most this many bytes, which no other
    /// write interleaves.
    Atomic(usize),
    /// All at once, as one message of at most this many bytes; [`libc::EMSGSIZE`] for more.
    Message(usize),
}

/// Operations of an open file: one implementation per kind.
///
/// # Contract
/// - Methods run in a system call, with interrupts disabled. `read`, `write` and those for files of
///   a volume may block, only by `blocking`. [`File::events`] and [`File::changes`] don't: they run
///   inside a call of the runtime.
/// - [`Description`] has checked the access mode before `read` and `write`. `flags` are its status
///   flags; with `O_NONBLOCK` a call that would wait fails with [`libc::EAGAIN`].
/// - A wait that a signal ends fails with [`RESTART`](crate::errors::RESTART).
/// - Errors are numbers of errno(3). Operations that a kind doesn't implement fail as on Linux for
///   a file without the operation: [`libc::EINVAL`], [`libc::ESPIPE`], [`libc::ENOTTY`],
///   [`libc::ENOTDIR`], [`libc::ENODEV`].
/// - Dropping a file closes it. The drop doesn't run inside a call of the runtime.
pub trait File: Any + Send + Sync {
    /// `fstat`.
    fn stat(&self) -> Result<Stat>;

    /// The target of the descriptor's link in `/proc/self/fd`.
    fn name(&self) -> String;

    /// `read` and `pread`: the number of bytes; 0 at the end.
    fn read(&self, into: &mut [u8], offset: Offset, flags: i32) -> Result<usize> {
        let _ = (into, offset, flags);
        Err(libc::EINVAL)
    }

    /// `write` and `pwrite`: the number of bytes written.
    fn write(&self, from: &[u8], offset: Offset, flags: i32) -> Result<usize> {
        let _ = (from, offset, flags);
        Err(libc::EINVAL)
    }

    /// How `readv` and `writev` transfer.
    fn pieces(&self) -> Pieces {
        Pieces::Each
    }

    /// Whether `readv` fills another piece of memory after it has filled one: only the first bytes
    /// are waited for.
    fn has_more(&self) -> bool {
        true
    }

    /// Whether a `write` that fails with [`libc::EPIPE`] sends SIGPIPE. The caller sends it, since
    /// flags of `send` may prevent it.
    fn signals_broken_pipe(&self) -> bool {
        false
    }

    /// `lseek`: the new position.
    fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        let _ = (offset, whence);
        Err(libc::ESPIPE)
    }

    /// Number of bytes that can be read at once, for `FIONREAD`.
    fn available(&self) -> Result<u64> {
        Err(libc::ENOTTY)
    }

    /// The absolute path by which it was opened, if any.
    fn path(&self) -> Option<&str> {
        None
    }

    /// The path of a directory, the base of calls with a directory's descriptor.
    fn directory(&self) -> Result<&str> {
        Err(libc::ENOTDIR)
    }

    /// `getdents64`: as many entries as fit; 0 bytes at the end.
    fn list(&self, into: &mut [u8]) -> Result<usize> {
        let _ = into;
        Err(libc::ENOTDIR)
    }

    /// Whether it is a regular file.
    fn is_regular(&self) -> bool {
        false
    }

    /// The identity of its file on a volume, independent of the file's current names. Waits for the
    /// disk the first time.
    fn id(&self) -> Result<Option<FileId>> {
        Ok(None)
    }

    /// Size in bytes.
    fn size(&self) -> Result<u64> {
        Err(libc::EINVAL)
    }

    /// `ftruncate`.
    fn truncate(&self, size: u64) -> Result<()> {
        let _ = size;
        Err(libc::EINVAL)
    }

    /// `fallocate`: allocates, or depending on `mode` removes or zeroes, `len` bytes from `offset`
    /// on.
    fn allocate(&self, mode: i32, offset: i64, len: i64) -> Result<()> {
        let _ = (mode, offset, len);
        Err(libc::ENODEV)
    }

    /// `fsync`.
    fn sync(&self) -> Result<()> {
        Err(libc::EINVAL)
    }

    /// `O_APPEND` was set or cleared.
    fn set_append(&self, append: bool) -> Result<()> {
        let _ = append;
        Ok(())
    }

    /// Whether shared mappings of it may have to be written back or updated.
    fn is_mapped(&self) -> bool {
        false
    }

    /// Writes the changes of its shared mappings to it, before it is read or written otherwise.
    fn flush_mappings(&self) -> Result<()> {
        Ok(())
    }

    /// Copies `len` bytes that were written before `end` into its shared mappings.
    fn refresh_mappings(&self, end: u64, len: u64) -> Result<()> {
        let _ = (end, len);
        Ok(())
    }

    /// Its current events, inside a call of the runtime. A kind that becomes ready independently of
    /// the reactor's descriptors registers its event (`readiness::await_…`).
    fn events(&self, rt: &mut Runtime) -> Events {
        let _ = rt;
        Events::READABLE | Events::WRITABLE
    }

    /// A number that changes with its readiness, for edge-triggered waits.
    fn changes(&self, rt: &mut Runtime) -> u64 {
        let _ = rt;
        0
    }

    /// Whether `epoll_ctl` accepts it.
    fn can_poll(&self) -> bool {
        true
    }

    /// The program ends: notifies peers.
    fn shut_down(&self) {}

    /// Closes this file and others if only messages in their queues hold them: call it after a
    /// reference to its description was dropped. `None` if there is no such message.
    fn collector(&self) -> Option<fn()> {
        None
    }
}

/// An open file description: duplicated descriptors share it, with its position and its flags.
pub struct Description {
    file: Box<dyn File>,
    /// Access mode and status flags (`O_APPEND`, `O_NONBLOCK`), as `fcntl` returns them.
    flags: AtomicI32,
    /// Wakes threads that may wait for one of its locks: called at its end, if it has had one.
    wake_waiters: Mutex<Option<fn()>, level::Waiters>,
}

/// Linux's `O_LARGEFILE`, which follows `O_DIRECT` on all processors; the C library's constant is
/// 0.
const LARGE_FILE: i32 = libc::O_DIRECT << 1;

impl Description {
    /// Creates one for a file, with the flags of `open` that are retained.
    pub fn new(file: impl File, flags: i32) -> Arc<Description> {
        const KEPT: i32 = libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK | LARGE_FILE;
        Arc::new(Description {
            file: Box::new(file),
            flags: AtomicI32::new(flags & KEPT),
            wake_waiters: Mutex::new(None),
        })
    }

    /// Its file.
    pub fn file(&self) -> &dyn File {
        &*self.file
    }

    /// Its file, if it is of this kind.
    pub fn downcast<F: File>(&self) -> Option<&F> {
        let file: &dyn Any = &*self.file;
        file.downcast_ref()
    }

    /// Access mode and status flags.
    pub fn flags(&self) -> i32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets the status flags; the access mode doesn't change.
    pub fn set_flags(&self, flags: i32) {
        const CHANGED: i32 = libc::O_APPEND | libc::O_NONBLOCK;
        let kept = self.flags() & !CHANGED;
        self.flags.store(kept | flags & CHANGED, Ordering::Relaxed);
    }

    /// Fails with [`libc::EBADF`] if it can't be read.
    pub fn check_readable(&self) -> Result<()> {
        match self.flags() & libc::O_ACCMODE {
            libc::O_WRONLY => Err(libc::EBADF),
            _ => Ok(()),
        }
    }

    /// Fails with [`libc::EBADF`] if it can't be written.
    pub fn check_writable(&self) -> Result<()> {
        match self.flags() & libc::O_ACCMODE {
            libc::O_RDONLY => Err(libc::EBADF),
            _ => Ok(()),
        }
    }

    /// [`File::read`], with the access mode checked.
    pub fn read(&self, into: &mut [u8], offset: Offset) -> Result<usize> {
        self.check_readable()?;
        self.file.read(into, offset, self.flags())
    }

    /// [`File::write`], with the access mode checked.
    pub fn write(&self, from: &[u8], offset: Offset) -> Result<usize> {
        self.check_writable()?;
        self.file.write(from, offset, self.flags())
    }

    /// `ftruncate`. [`libc::EINVAL`] for a negative size, and if it can't be written.
    pub fn truncate(&self, size: i64) -> Result<()> {
        let size = u64::try_from(size).map_err(|_| libc::EINVAL)?;
        self.check_writable().map_err(|_| libc::EINVAL)?;
        self.file.truncate(size)
    }

    /// `fallocate`. [`libc::EINVAL`] for an invalid range, [`libc::EBADF`].
    pub fn allocate(&self, mode: i32, offset: i64, len: i64) -> Result<()> {
        if offset < 0 || len <= 0 {
            return Err(libc::EINVAL);
        }
        if self.file.is_regular() {
            self.check_writable()?;
        }
        self.file.allocate(mode, offset, len)
    }

    /// Drops a reference, which may be the last one outside of messages.
    pub fn release(self: Arc<Self>) {
        let collector = self.file.collector();
        drop(self);
        if let Some(collect) = collector {
            collect();
        }
    }

    /// Records that it has a lock, and the function that wakes waiters. (Images whose programs lock
    /// nothing don't link it.)
    pub fn note_lock(&self, wake_waiters: fn()) {
        *self.wake_waiters.lock() = Some(wake_waiters);
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // Its locks were removed with it.
        if let Some(wake_waiters) = *self.wake_waiters.get_mut() {
            wake_waiters();
        }
    }
}

//! The fiber that owns a volume: it mounts it, and then does one job after the other. Where the file system needs the disk, [`Port`]
//! suspends the fiber with the request, and whoever drives it (`super::drive`) resumes it with the result.

use crate::disks::Geometry;
use crate::fiber::Context;
use crate::ty::Piece;
use ::fs::{Block, BlockError, Cursor, DirEntry, Error, FileId, Health, Kind, MountError};
use ::fs::{OpenFlags, Space, Stat, Volume, fat};
use alloc::boxed::Box;
use alloc::string::String;
use core::cell::{Cell, OnceCell};
use core::ptr::NonNull;

/// The least bytes of a stream's buffer: in the process each request to the disk goes through another thread of Linux's.
const LEAST_STREAM: usize = if cfg!(feature = "image") { 0 } else { 1 << 20 };

/// What a worker is asked to do.
pub enum Work {
    /// Mounts the volume; every other job does it as well where it is still to be done.
    Mount,
    /// Opens a file or directory.
    Open(String, OpenFlags),
    /// Closes one.
    Close(FileId),
    /// Reads from an offset.
    Read(FileId, u64, Piece),
    /// Writes at an offset; the value is where it ended.
    Write(FileId, u64, Piece),
    /// The size of a file.
    Size(FileId),
    /// Sets it.
    Truncate(FileId, u64),
    /// Makes a file durable.
    SyncFile(FileId),
    /// What is known of a name.
    Stat(String),
    /// Packs entries from a place on.
    List(FileId, Cursor, Piece),
    /// Makes a directory.
    Mkdir(String),
    /// Removes one.
    Rmdir(String),
    /// Renames.
    Rename(String, String),
    /// Removes a file.
    Unlink(String),
    /// Makes everything durable.
    Sync,
    /// The room there is.
    Space,
}

/// What a job gave.
pub enum Value {
    /// A number, mostly of bytes.
    Number(u64),
    /// Bytes written, and where the file's position is afterwards.
    Written(usize, u64),
    /// An open file or directory.
    File(FileId),
    /// What is known of a name.
    Stat(Stat),
    /// The room there is.
    Space(Space),
    /// Bytes packed, and where to go on.
    Listed(usize, Option<Cursor>),
}

/// Why a job failed: code, and a line where there is more to say.
pub struct Failure {
    /// The code.
    pub error: crate::error::Error,
    /// What the file system says about itself.
    pub detail: String,
}

/// Why the fiber is suspended.
pub enum Event {
    /// The job is done; it wants the next.
    Done(Result<Value, Failure>),
    /// It waits for the disk to read sectors.
    Read(u64, NonNull<u8>, usize),
    /// It waits for the disk to write sectors.
    Write(u64, NonNull<u8>, usize),
    /// It waits for several writes: the slice of `fs::Block::write_batch`, which lives until the fiber is resumed.
    Batch(NonNull<[(u64, &'static [u8])]>),
    /// It waits for a flush.
    Flush,
}

/// How the fiber and its driver talk; both run on one thread, in turns.
pub struct Port {
    context: OnceCell<Box<Context>>,
    geometry: Geometry,
    cache_bytes: usize,
    clock: &'static ::fs::Clock,
    work: Cell<Option<Work>>,
    event: Cell<Option<Event>>,
    reply: Cell<Result<(), BlockError>>,
}

impl Port {
    /// A worker for a disk, which will begin with its first job. It stays for good: volumes are not taken away. `None`: no memory.
    pub fn new(
        geometry: Geometry,
        cache_bytes: usize,
        clock: &'static ::fs::Clock,
    ) -> Option<&'static Port> {
        let port: &'static Port = Box::leak(Box::new(Port {
            context: OnceCell::new(),
            geometry,
            cache_bytes,
            clock,
            work: Cell::new(None),
            event: Cell::new(None),
            reply: Cell::new(Ok(())),
        }));
        // SAFETY: `run` takes a port, which is never given back.
        let context = unsafe { Context::new(run, core::ptr::from_ref(port).cast()) }?;
        port.context.set(context).ok()?;
        Some(port)
    }

    /// The disk's.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Starts a job; the fiber was `Done` or is new.
    pub fn start(&self, work: Work) -> Option<Event> {
        self.work.set(Some(work));
        self.resume(Ok(()))
    }

    /// Goes on after a request.
    pub fn resume(&self, reply: Result<(), BlockError>) -> Option<Event> {
        self.reply.set(reply);
        // SAFETY: the fiber is suspended: `Port` is driven from one place, which waits in this call.
        unsafe { self.context.get()?.resume() };
        self.event.take()
    }

    /// The fiber's side: says why, and waits to be resumed.
    fn suspend(&self, event: Event) -> Result<(), BlockError> {
        self.event.set(Some(event));
        if let Some(context) = self.context.get() {
            // SAFETY: only the fiber itself comes here.
            unsafe { context.suspend() };
        }
        self.reply.get()
    }
}

/// The disk as the file system sees it, on the fiber.
struct Disk(&'static Port);

// SAFETY: `fs` wants volumes that can move between threads. This one lives on its fiber, which runs inside calls of the runtime only,
// one at a time.
unsafe impl Send for Disk {}

impl Block for Disk {
    fn sector_size(&self) -> usize {
        self.0.geometry.sector_size
    }

    fn sectors(&self) -> u64 {
        self.0.geometry.sectors
    }

    fn read_only(&self) -> bool {
        self.0.geometry.read_only
    }

    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let len = buf.len();
        self.0
            .suspend(Event::Read(first_sector, NonNull::from(buf).cast(), len))
    }

    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        self.0.suspend(Event::Write(
            first_sector,
            NonNull::from(buf).cast(),
            buf.len(),
        ))
    }

    fn write_batch(&mut self, writes: &[(u64, &[u8])]) -> Result<(), BlockError> {
        let writes: NonNull<[(u64, &[u8])]> = NonNull::from(writes);
        // The driver drops it before it resumes this call.
        let len = writes.len();
        let first = writes.cast::<(u64, &'static [u8])>();
        self.0
            .suspend(Event::Batch(NonNull::slice_from_raw_parts(first, len)))
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        self.0.suspend(Event::Flush)
    }
}

/// The fiber.
extern "C" fn run(port: *const ()) -> ! {
    // SAFETY: `Port::new` passes a port that is never given back.
    let port: &'static Port = unsafe { &*port.cast() };
    let mut volume: Option<Box<dyn Volume>> = None;
    loop {
        let result = match port.work.take() {
            Some(work) => job(port, &mut volume, work),
            None => Ok(Value::Number(0)),
        };
        // The reply to this is the next job.
        let _ = port.suspend(Event::Done(result));
    }
}

/// Mounts if need be, and does one job.
fn job(
    port: &'static Port,
    volume: &mut Option<Box<dyn Volume>>,
    work: Work,
) -> Result<Value, Failure> {
    let volume = match volume {
        Some(volume) => volume,
        // What was never mounted has nothing to be written back.
        None if matches!(work, Work::Sync) => return Ok(Value::Number(0)),
        None => {
            let options = fat::Options {
                read_only: false,
                clock: Some(port.clock),
                cache_bytes: port.cache_bytes,
                stream_bytes: port.cache_bytes.max(LEAST_STREAM),
            };
            let mounted = fat::mount(Box::new(Disk(port)), options);
            volume.insert(mounted.map_err(|MountError { error, detail }| Failure {
                error: code(error),
                detail,
            })?)
        }
    };
    perform(&mut **volume, work).map_err(|error| {
        let detail = match volume.health() {
            Health::Corrupt(text) if matches!(error, Error::Corrupt | Error::ReadOnly) => text,
            _ => String::new(),
        };
        Failure {
            error: code(error),
            detail,
        }
    })
}

fn perform(volume: &mut dyn Volume, work: Work) -> Result<Value, Error> {
    let done = |()| Value::Number(0);
    match work {
        Work::Mount => Ok(Value::Number(0)),
        Work::Open(path, flags) => volume.open(&path, flags).map(Value::File),
        Work::Close(file) => volume.close(file).map(done),
        Work::Read(file, offset, into) => {
            // SAFETY: the operation that the piece belongs to completes after this.
            let into = unsafe { into.as_mut_slice() };
            volume
                .read_at(file, offset, into)
                .map(|n| Value::Number(n as u64))
        }
        Work::Write(file, offset, from) => {
            // SAFETY: as above.
            let from = unsafe { from.as_mut_slice() };
            let append = offset == u64::MAX;
            let n = volume.write_at(file, if append { 0 } else { offset }, from)?;
            let end = if append {
                volume.size(file)?
            } else {
                offset.saturating_add(n as u64)
            };
            Ok(Value::Written(n, end))
        }
        Work::Size(file) => volume.size(file).map(Value::Number),
        Work::Truncate(file, size) => volume.truncate(file, size).map(done),
        Work::SyncFile(file) => volume.sync_file(file).map(done),
        Work::Stat(path) => volume.stat(&path).map(Value::Stat),
        Work::List(file, from, into) => list(volume, file, from, into),
        Work::Mkdir(path) => volume.mkdir(&path).map(done),
        Work::Rmdir(path) => volume.rmdir(&path).map(done),
        Work::Rename(from, to) => volume.rename(&from, &to).map(done),
        Work::Unlink(path) => volume.unlink(&path).map(done),
        Work::Sync => volume.sync().map(done),
        Work::Space => volume.space().map(Value::Space),
    }
}

/// Packs as many entries as fit.
fn list(volume: &mut dyn Volume, file: FileId, from: Cursor, into: Piece) -> Result<Value, Error> {
    // SAFETY: the operation that the piece belongs to completes after this.
    let into = unsafe { into.as_mut_slice() };
    let mut packed = 0;
    let mut full = false;
    let mut next = Some(from);
    while let Some(cursor) = next
        && packed == 0
        && !full
    {
        next = volume.list(file, cursor, &mut |entry| {
            let DirEntry { name, stat } = entry;
            let n = pack(into.get_mut(packed..).unwrap_or_default(), name, stat.kind);
            packed += n.unwrap_or(0);
            full = n.is_none();
            !full
        })?;
    }
    if full && packed == 0 {
        Err(Error::Invalid)
    } else {
        Ok(Value::Listed(packed, next))
    }
}

/// The code of a file system's failure.
fn code(error: Error) -> crate::error::Error {
    use crate::error::Error as To;
    match error {
        Error::Invalid => To::Invalid,
        Error::Closed => To::Closed,
        Error::NotFound => To::NotFound,
        Error::Exists => To::Exists,
        Error::NotDirectory => To::NotDirectory,
        Error::IsDirectory => To::IsDirectory,
        Error::NotEmpty => To::NotEmpty,
        Error::NoSpace => To::NoSpace,
        Error::ReadOnly => To::ReadOnly,
        Error::InvalidName => To::InvalidName,
        Error::NameTooLong => To::NameTooLong,
        Error::TooLarge => To::TooLarge,
        Error::Corrupt => To::Corrupt,
        Error::Io => To::Io,
        Error::Busy => To::Busy,
        Error::Unsupported => To::Unsupported,
        // A file marked read-only, or a descriptor opened without writing.
        Error::PermissionDenied => To::ReadOnly,
        Error::OutOfMemory => To::OutOfMemory,
        Error::TooManyOpen => To::TooManyOpen,
        Error::TooManyLinks => To::TooManyLinks,
        Error::CrossVolume => To::CrossVolume,
    }
}

/// Writes an entry as kind, length and name; its length, if it fits.
pub fn pack(into: &mut [u8], name: &str, kind: Kind) -> Option<usize> {
    let kind = match kind {
        Kind::File => crate::abi::ENTRY_FILE,
        Kind::Directory => crate::abi::ENTRY_DIRECTORY,
        Kind::Symlink => crate::abi::ENTRY_SYMLINK,
    };
    let total = 3 + name.len();
    let [place, low, high, text @ ..] = into.get_mut(..total)? else {
        return None;
    };
    *place = kind as u8;
    [*low, *high] = u16::try_from(name.len()).ok()?.to_le_bytes();
    text.copy_from_slice(name.as_bytes());
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::{Kind, pack};

    #[test]
    fn packs_what_fits() {
        let mut into = [0xff; 8];
        assert_eq!(pack(&mut into, "abcde", Kind::Directory), Some(8));
        assert_eq!(into, [1, 5, 0, b'a', b'b', b'c', b'd', b'e']);
        assert_eq!(pack(&mut into, "abcdef", Kind::File), None);
        assert_eq!(pack(&mut [], "", Kind::File), None);
    }
}

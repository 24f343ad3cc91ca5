//! The fiber of a volume: it mounts the volume, and then performs one request after the other. When
//! the file system needs the disk, [`Port`] suspends the fiber with a [`Suspension`], and the
//! engine resumes it with the result.

use super::drivers::{self, FileSystem, Mount, Options, find, probe};
use super::seed;
use platform::Memory;
use platform::folders::{Suspend, SuspendedAnswer, Waiting};

use super::job::request::{Outcome, Request, Value, detail, perform};
use crate::current::{Current, Offload};
use crate::disks::Geometry;
use ::fs::{Block, BlockError, CacheCounters, Volume, barrier, partition};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};
use core::ptr::NonNull;
use core::slice;
use platform::error::{Error, Failure};
use reactor::fiber::Context;

/// Bytes needed to detect a file system.
const START: usize = 4096;

/// Why the fiber is suspended.
pub enum Suspension {
    /// The job has completed; the fiber waits for the next one.
    Done(Outcome),
    /// It waits for a device request.
    Access(Access),
    /// It claims a partition: first sector and number of sectors.
    Claim(u64, u64),
    /// It waits for any event.
    Events,
    /// It yields to other work.
    Yield,
    /// The job's answer is suspended.
    Answer(SuspendedAnswer),
}

/// A request of the fiber to the device. The fiber owns the memory, which stays valid until the
/// fiber is resumed.
#[derive(Clone, Copy)]
pub enum Access {
    /// Reads sectors.
    Read {
        /// First sector.
        sector: u64,
        /// Destination buffer.
        to: NonNull<u8>,
        /// Length in bytes.
        len: usize,
    },
    /// Writes sectors.
    Write {
        /// First sector.
        sector: u64,
        /// Source buffer.
        from: NonNull<u8>,
        /// Length in bytes.
        len: usize,
    },
    /// Performs several writes: the slice of [`Block::write_batch`].
    Batch(NonNull<[(u64, &'static [u8])]>),
    /// Flushes the device.
    Flush {
        /// Whether this is a barrier: later writes must not become durable before it.
        ordered: bool,
    },
}

impl Access {
    /// Calls `f` with the file system's access.
    pub fn with<T>(self, f: impl FnOnce(barrier::Access<'_>) -> T) -> T {
        let one;
        f(match self {
            Access::Read { sector, len, .. } => barrier::Access::Read(sector, len),
            Access::Write { sector, from, len } => {
                // SAFETY: the fiber, whose call owns this memory, is suspended.
                one = [(sector, unsafe { slice::from_raw_parts(from.as_ptr(), len) })];
                barrier::Access::Write(&one)
            }
            // SAFETY: as above.
            Access::Batch(writes) => barrier::Access::Write(unsafe { writes.as_ref() }),
            Access::Flush { .. } => barrier::Access::Flush,
        })
    }
}

/// The file system to mount.
pub struct Wanted {
    /// Name of the file system; `None` to detect it.
    pub driver: Option<String>,
    /// Number or label of the partition; `None` for the whole disk.
    pub partition: Option<String>,
    /// Source after the colon, if that isn't a disk.
    pub source: String,
    /// Mount options.
    pub options: Options,
    /// Offload for the calls of a volume without a disk.
    pub offload: Offload,
    /// Drivers linked into the program.
    pub drivers: Vec<FileSystem>,
}

/// Channel between the fiber and its engine; both run on one thread, in turns.
pub struct Port {
    context: OnceCell<Box<Context>>,
    geometry: Cell<Geometry>,
    wanted: Cell<Option<Wanted>>,
    /// Counters of the volume's cache.
    pub counters: CacheCounters,
    /// Asks the active job to end early if it can.
    pub cancelled: Cell<bool>,
    /// The mounted volume. The fiber borrows it for the whole job, waits included.
    volume: RefCell<Option<Box<dyn Volume>>>,
    /// Set while the volume is used outside of its fiber, where it can't wait for the disk.
    away: Cell<bool>,
    /// Set after the loss of a write that the volume takes for written: all further writes fail.
    lost: Cell<bool>,
    /// Whether the volume has the machine's random seed, which a clean end replaces.
    has_seed: Cell<bool>,
    request: Cell<Option<Request>>,
    suspension: Cell<Option<Suspension>>,
    reply: Cell<Result<(), BlockError>>,
}

impl Port {
    /// Creates a worker, which is never freed and can serve one volume after the other. `None`: out
    /// of memory.
    pub fn new(geometry: Geometry, stack: usize) -> Option<&'static Port> {
        let port: &'static Port = Box::leak(Box::new(Port {
            context: OnceCell::new(),
            geometry: Cell::new(geometry),
            wanted: Cell::new(None),
            counters: CacheCounters::new(),
            cancelled: Cell::new(false),
            volume: RefCell::new(None),
            away: Cell::new(false),
            lost: Cell::new(false),
            has_seed: Cell::new(false),
            request: Cell::new(None),
            suspension: Cell::new(None),
            reply: Cell::new(Ok(())),
        }));
        let stack = Current::stack(stack)?;
        // SAFETY: `run` takes a port, which is never freed.
        let context = unsafe { Context::new(run, core::ptr::from_ref(port).cast(), stack) };
        port.context.set(context).ok()?;
        Some(port)
    }

    /// Returns the geometry of the disk.
    pub fn geometry(&self) -> Geometry {
        self.geometry.get()
    }

    /// Prepares the mount that the next job performs, on a disk of this geometry; no volume is
    /// mounted.
    pub fn prepare(&'static self, geometry: Geometry, mut wanted: Wanted) {
        self.geometry.set(geometry);
        self.counters.reset();
        self.lost.set(false);
        wanted.options.counters = Some(&self.counters);
        self.wanted.set(Some(wanted));
    }

    /// Starts a request; the fiber was `Done` or is new. `lost` as in [`resume`](Self::resume).
    pub fn start(&self, request: Request, lost: bool) -> Option<Suspension> {
        self.request.set(Some(request));
        self.cancelled.set(false);
        self.resume(Ok(()), lost)
    }

    /// Resumes the fiber until it suspends again. `lost`: a write was lost that the volume takes
    /// for written.
    pub fn resume(&self, reply: Result<(), BlockError>, lost: bool) -> Option<Suspension> {
        self.reply.set(reply);
        self.lost.set(lost);
        // SAFETY: the fiber is suspended: only one place drives `Port`, and it waits in this call.
        unsafe { self.context.get()?.resume() };
        self.suspension.take()
    }

    /// Performs a read-only request on the caller's stack, without the fiber. `None` if memory
    /// doesn't hold everything that it needs, or if it fails: the caller has to start it.
    pub fn at_once(&self, request: Request) -> Option<Value> {
        let mut volume = self.volume.try_borrow_mut().ok()?;
        let volume = volume.as_deref_mut()?;
        self.away.set(true);
        let done = perform(volume, request, &Cell::new(false));
        self.away.set(false);
        done.ok()
    }

    /// Whether no volume is mounted, and the fiber isn't mounting one.
    pub fn is_empty(&self) -> bool {
        self.volume
            .try_borrow()
            .is_ok_and(|volume| volume.is_none())
    }

    /// Suspends the fiber with this reason until it is resumed. Only the fiber may call it.
    fn suspend(&self, suspension: Suspension) -> Result<(), BlockError> {
        if self.away.get() {
            return Err(BlockError::Io);
        }
        self.suspension.set(Some(suspension));
        if let Some(context) = self.context.get() {
            // SAFETY: only the fiber itself calls this.
            unsafe { context.suspend() };
        }
        self.reply.get()
    }
}

/// The disk as the file system sees it, on the fiber.
struct Disk(&'static Port);

// SAFETY: `fs` wants volumes that can move between threads. This one lives on its fiber, which runs
// inside calls of the runtime only, one at a time.
unsafe impl Send for Disk {}

impl Block for Disk {
    fn sector_size(&self) -> usize {
        self.0.geometry().sector_size
    }

    fn sectors(&self) -> u64 {
        self.0.geometry().sectors
    }

    fn read_only(&self) -> bool {
        self.0.geometry().read_only
    }

    fn is_unresponsive(&self) -> bool {
        self.0.away.get()
    }

    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let len = buf.len();
        self.0.suspend(Suspension::Access(Access::Read {
            sector: first_sector,
            to: NonNull::from(buf).cast(),
            len,
        }))
    }

    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        self.0.suspend(Suspension::Access(Access::Write {
            sector: first_sector,
            from: NonNull::from(buf).cast(),
            len: buf.len(),
        }))
    }

    fn write_batch(&mut self, writes: &[(u64, &[u8])]) -> Result<(), BlockError> {
        let writes: NonNull<[(u64, &[u8])]> = NonNull::from(writes);
        // The engine drops it before it resumes this call.
        let len = writes.len();
        let first = writes.cast::<(u64, &'static [u8])>();
        let batch = Access::Batch(NonNull::slice_from_raw_parts(first, len));
        self.0.suspend(Suspension::Access(batch))
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        let access = Access::Flush { ordered: true };
        self.0.suspend(Suspension::Access(access))
    }

    fn flush_unordered(&mut self) -> Result<(), BlockError> {
        let access = Access::Flush { ordered: false };
        self.0.suspend(Suspension::Access(access))
    }
}

impl Suspend for Disk {
    fn is_unresponsive(&self) -> bool {
        self.0.away.get()
    }

    fn wait(&self) {
        let _ = self.0.suspend(Suspension::Events);
    }

    fn yield_now(&self) {
        let _ = self.0.suspend(Suspension::Yield);
    }

    fn suspend_answer(&self, answer: SuspendedAnswer) {
        let _ = self.0.suspend(Suspension::Answer(answer));
    }
}

/// Entry point of the fiber.
extern "C" fn run(port: *const ()) -> ! {
    // SAFETY: `Port::new` passes a port that is never freed.
    let port: &'static Port = unsafe { &*port.cast() };
    loop {
        let outcome = match (port.request.take(), port.volume.try_borrow_mut()) {
            (Some(request), Ok(mut volume)) => job(port, &mut volume, request),
            _ => Ok(Value::Number(0)),
        };
        // The reply to this is the next request.
        let _ = port.suspend(Suspension::Done(outcome));
    }
}

/// Whether a request is about changes of the volume only.
fn is_about_changes(request: &Request) -> bool {
    use Request::{Freeze, Sync, Thaw, Unmount};
    matches!(request, Sync | Unmount | Freeze | Thaw)
}

/// Mounts the volume if necessary, and performs one job.
fn job(port: &'static Port, volume: &mut Option<Box<dyn Volume>>, request: Request) -> Outcome {
    let mounted = match volume {
        Some(volume) => volume,
        // A volume that was never mounted has nothing to write back.
        None if is_about_changes(&request) => return Ok(Value::Number(0)),
        None => {
            let mounted = volume.insert(mount(port)?);
            let is_on_disk = port.geometry().sectors > 0;
            let has_seed = is_on_disk && seed::renew::<Current>(&mut **mounted);
            port.has_seed.set(has_seed);
            mounted
        }
    };
    let is_last = matches!(request, Request::Unmount);
    if is_last && port.has_seed.take() {
        seed::replace::<Current>(&mut **mounted, None);
    }
    let request = if is_last { Request::Sync } else { request };
    let result = perform(&mut **mounted, request, &port.cancelled)
        .map_err(|error| Failure::new(Error::from(error), detail(&**mounted, error)));
    // A corrupt volume, or one that lost a write, writes nothing any more, and can be unmounted.
    let writes = mounted.health().is_writable() && !port.lost.get();
    if is_last && (result.is_ok() || !writes) {
        *volume = None;
        return Ok(Value::Number(0));
    }
    result
}

/// Mounts the prepared volume.
fn mount(port: &'static Port) -> Result<Box<dyn Volume>, Failure> {
    let Some(wanted) = port.wanted.take() else {
        return Err(Error::NoDevice.into());
    };
    let mounted = mount_as(port, &wanted);
    port.wanted.set(Some(wanted));
    mounted
}

fn mount_as(port: &'static Port, wanted: &Wanted) -> Result<Box<dyn Volume>, Failure> {
    let mut disk = Box::new(Disk(port)) as drivers::Disk;
    let mut part = None;
    if let Some(name) = &wanted.partition {
        let table = partition::read_table(&mut *disk)?;
        let found = table.find(name)?;
        let (number, first, sectors) = (found.number, found.first, found.sectors);
        port.suspend(Suspension::Claim(first, sectors))
            .map_err(|_| {
                Failure::new(Error::Busy, format!("partition {name} is mounted already"))
            })?;
        disk = Box::new(partition::Slice::new(disk, first, sectors));
        part = Some((table, number, first));
    }
    let name = match &wanted.driver {
        Some(name) => name.as_str(),
        None => probe(&start(&mut *disk)?),
    };
    let driver = find(&wanted.drivers, name)?;
    if let Some((table, number, first)) = part {
        // The claim covers the new sectors, too: no partition follows that could be mounted.
        let grow = driver.grow.filter(|_| wanted.options.grow);
        let grown = grow.map(|grow| grow(&mut Disk(port), number)).transpose()?;
        match grown.flatten() {
            Some(sectors) => {
                let whole = Box::new(Disk(port)) as drivers::Disk;
                disk = Box::new(partition::Slice::new(whole, first, sectors));
            }
            None => table.log_warnings(),
        }
        if wanted.options.grow && grow.is_none() && table.is_disk_larger {
            log::warn!("a {name} volume can't grow in place: enlarge it with soil disk grow");
        }
    }
    let mounted = match driver.mount {
        Mount::Disk(mount) => mount(disk, &wanted.options),
        Mount::Alone(mount) => mount(&wanted.source, &wanted.options),
        Mount::Waiting(mount) => {
            if !drivers::WAITS {
                return Err(Error::Unsupported.into());
            }
            let waiting = Waiting {
                fiber: Box::new(Disk(port)),
                offload: Clone::clone(&wanted.offload),
            };
            mount(&wanted.source, &wanted.options, waiting)
        }
    };
    Ok(mounted?)
}

/// Reads the first bytes of a disk.
fn start(disk: &mut dyn Block) -> Result<Vec<u8>, Failure> {
    let sector = disk.sector_size().max(1);
    let sectors = (START / sector)
        .max(1)
        .min(usize::try_from(disk.sectors()).unwrap_or(usize::MAX));
    let mut start = alloc::vec![0; sectors * sector];
    disk.read(0, &mut start)
        .map_err(|error| Failure::from(Error::from(::fs::Error::from(error))))?;
    Ok(start)
}

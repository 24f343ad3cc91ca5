//! The fiber that owns a volume: it mounts it, and then does one job after the other. Where the
//! file system needs the disk, [`Port`] suspends the fiber with the request, and whoever drives it
//! (`super::drive`) resumes it with the result.

use super::kinds::{Held, Kind, Mount, Options, Pause, Waiting, find, probe};
use super::work::{Value, Work, code, detail, perform};
use crate::disks::Geometry;
use crate::error::Failure;
use crate::fiber::Context;
use crate::platform::Aside;
use ::fs::{Block, BlockError, CacheCounters, MountError, Volume, partition};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};
use core::ptr::NonNull;

/// Bytes that tell file systems apart.
const START: usize = 4096;

/// The least bytes of a stream's buffer: in the process each request to the disk goes through
/// another thread of Linux's.
pub const LEAST_STREAM: usize = if cfg!(feature = "image") { 0 } else { 1 << 20 };

/// Why the fiber is suspended.
pub enum Event {
    /// The job is done; it wants the next.
    Done(Result<Value, Failure>),
    /// It waits for the disk to read sectors.
    Read(u64, NonNull<u8>, usize),
    /// It waits for the disk to write sectors.
    Write(u64, NonNull<u8>, usize),
    /// It waits for several writes: the slice of `fs::Block::write_batch`, which lives until the
    /// fiber is resumed.
    Batch(NonNull<[(u64, &'static [u8])]>),
    /// It waits for a flush; `true`: what it writes later must not be durable before.
    Flush(bool),
    /// It wants to use so many sectors from the first on, a partition, alone.
    Claim(u64, u64),
    /// It waits for whatever may happen.
    Wait,
    /// It gives way to others.
    GiveWay,
    /// See [`Pause::hold`].
    Hold(Held),
}

/// What is to be mounted.
pub struct Wanted {
    /// The file system's name; none: what is found.
    pub kind: Option<String>,
    /// The partition's number or label; none: the whole disk.
    pub partition: Option<String>,
    /// What stands after the colon, where that isn't a disk.
    pub source: String,
    /// How.
    pub options: Options,
    /// For what waits for no disk.
    pub aside: Aside,
    /// The file systems there are.
    pub kinds: Vec<Kind>,
}

/// How the fiber and its driver talk; both run on one thread, in turns.
pub struct Port {
    context: OnceCell<Box<Context>>,
    geometry: Cell<Geometry>,
    wanted: Cell<Option<Wanted>>,
    /// What the volume's cache has done.
    pub counters: CacheCounters,
    /// Whoever waits for the job that is being done has given up.
    pub cancelled: Cell<bool>,
    /// The volume, once it is mounted. The fiber borrows it for a job, waiting included.
    volume: RefCell<Option<Box<dyn Volume>>>,
    /// The volume is used outside of its fiber, which can't wait for the disk.
    away: Cell<bool>,
    /// Something failed that the volume takes for written: all that it writes fails from now on.
    pub lost: Cell<bool>,
    work: Cell<Option<Work>>,
    event: Cell<Option<Event>>,
    reply: Cell<Result<(), BlockError>>,
}

impl Port {
    /// A worker, which stays for good and can be used for one volume after the other. `None`: no
    /// memory.
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
            work: Cell::new(None),
            event: Cell::new(None),
            reply: Cell::new(Ok(())),
        }));
        // SAFETY: `run` takes a port, which is never given back.
        let context = unsafe { Context::new(run, core::ptr::from_ref(port).cast(), stack) }?;
        port.context.set(context).ok()?;
        Some(port)
    }

    /// The disk's.
    pub fn geometry(&self) -> Geometry {
        self.geometry.get()
    }

    /// The next job mounts this, on such a disk; nothing is mounted.
    pub fn prepare(&'static self, geometry: Geometry, mut wanted: Wanted) {
        self.geometry.set(geometry);
        self.counters.reset();
        self.lost.set(false);
        wanted.options.counters = Some(&self.counters);
        self.wanted.set(Some(wanted));
    }

    /// Starts a job; the fiber was `Done` or is new.
    pub fn start(&self, work: Work) -> Option<Event> {
        self.work.set(Some(work));
        self.cancelled.set(false);
        self.resume(Ok(()))
    }

    /// Goes on after a request.
    pub fn resume(&self, reply: Result<(), BlockError>) -> Option<Event> {
        self.reply.set(reply);
        // SAFETY: the fiber is suspended: `Port` is driven from one place, which waits in this
        // call.
        unsafe { self.context.get()?.resume() };
        self.event.take()
    }

    /// Does a job where it is asked for, without the fiber: one that changes nothing, and finds
    /// everything in memory. `None` if it doesn't, or isn't done, whatever the reason: to be done
    /// in the ordinary way.
    pub fn on_the_spot(&self, work: Work) -> Option<Value> {
        let mut volume = self.volume.try_borrow_mut().ok()?;
        let volume = volume.as_deref_mut()?;
        self.away.set(true);
        let done = perform(volume, work, &Cell::new(false));
        self.away.set(false);
        done.ok()
    }

    /// Whether no volume is mounted, nor is the fiber about one.
    pub fn is_empty(&self) -> bool {
        self.volume
            .try_borrow()
            .is_ok_and(|volume| volume.is_none())
    }

    /// The fiber's side: says why, and waits to be resumed. Only the fiber can.
    fn suspend(&self, event: Event) -> Result<(), BlockError> {
        if self.away.get() {
            return Err(BlockError::Io);
        }
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

    fn is_away(&self) -> bool {
        self.0.away.get()
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
        self.0.suspend(Event::Flush(true))
    }

    fn flush_unordered(&mut self) -> Result<(), BlockError> {
        self.0.suspend(Event::Flush(false))
    }
}

impl Pause for Disk {
    fn is_away(&self) -> bool {
        self.0.away.get()
    }

    fn wait(&self) {
        let _ = self.0.suspend(Event::Wait);
    }

    fn give_way(&self) {
        let _ = self.0.suspend(Event::GiveWay);
    }

    fn hold(&self, held: Held) {
        let _ = self.0.suspend(Event::Hold(held));
    }
}

/// The fiber.
extern "C" fn run(port: *const ()) -> ! {
    // SAFETY: `Port::new` passes a port that is never given back.
    let port: &'static Port = unsafe { &*port.cast() };
    loop {
        let result = match (port.work.take(), port.volume.try_borrow_mut()) {
            (Some(work), Ok(mut volume)) => job(port, &mut volume, work),
            _ => Ok(Value::Number(0)),
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
    let mounted = match volume {
        Some(volume) => volume,
        // What was never mounted has nothing to be written back.
        None if matches!(work, Work::Sync | Work::Unmount) => return Ok(Value::Number(0)),
        None => volume.insert(mount(port)?),
    };
    let is_last = matches!(work, Work::Unmount);
    let work = if is_last { Work::Sync } else { work };
    let result = perform(&mut **mounted, work, &port.cancelled)
        .map_err(|error| Failure::new(code(error), detail(&**mounted, error)));
    // A corrupt volume writes nothing any more, and can be given up; so can one that is lost.
    let writes = mounted.health().is_writable() && !port.lost.get();
    if is_last && (result.is_ok() || !writes) {
        *volume = None;
        return Ok(Value::Number(0));
    }
    result
}

/// Mounts what is wanted.
fn mount(port: &'static Port) -> Result<Box<dyn Volume>, Failure> {
    let refused = |MountError { error, detail }| Failure::new(code(error), detail);
    let Some(wanted) = port.wanted.take() else {
        return Err(crate::error::Error::NoDevice.into());
    };
    let mounted = mount_as(port, &wanted);
    if let Ok(volume) = &mounted
        && !port.geometry().flushes
        && volume.health().is_writable()
    {
        log::warn!(
            "disk {} offers no flush: a sync waits for the writes only, and what it wrote may be lost when the power fails",
            wanted.source
        );
    }
    port.wanted.set(Some(wanted));
    mounted.map_err(refused)
}

fn mount_as(port: &'static Port, wanted: &Wanted) -> Result<Box<dyn Volume>, MountError> {
    let mut disk = Box::new(Disk(port)) as super::kinds::Disk;
    if let Some(name) = &wanted.partition {
        let table = partition::table(&mut *disk)?;
        let (first, sectors) = table.find(name).map(|found| (found.first, found.sectors))?;
        port.suspend(Event::Claim(first, sectors))
            .map_err(|_| MountError {
                error: ::fs::Error::Busy,
                detail: format!("partition {name} is mounted already"),
            })?;
        disk = Box::new(partition::Slice::new(disk, first, sectors));
    }
    let name = match &wanted.kind {
        Some(name) => name.as_str(),
        None => probe(&start(&mut *disk)?),
    };
    let kind = find(&wanted.kinds, name).map_err(unsupported)?;
    match kind.mount {
        Mount::Disk(mount) => mount(disk, &wanted.options),
        Mount::Alone(mount) => mount(&wanted.source, &wanted.options),
        Mount::Waiting(mount) => {
            if !super::volumes::WAITS {
                return Err(unsupported(String::new()));
            }
            let waiting = Waiting {
                pause: Box::new(Disk(port)),
                aside: wanted.aside.clone(),
            };
            mount(&wanted.source, &wanted.options, waiting)
        }
    }
}

fn unsupported(detail: String) -> MountError {
    MountError {
        error: ::fs::Error::Unsupported,
        detail,
    }
}

/// The first bytes of a disk.
fn start(disk: &mut dyn Block) -> Result<Vec<u8>, MountError> {
    let sector = disk.sector_size().max(1);
    let sectors = (START / sector)
        .max(1)
        .min(usize::try_from(disk.sectors()).unwrap_or(usize::MAX));
    let mut start = alloc::vec![0; sectors * sector];
    disk.read(0, &mut start).map_err(|error| MountError {
        error: error.into(),
        detail: String::new(),
    })?;
    Ok(start)
}

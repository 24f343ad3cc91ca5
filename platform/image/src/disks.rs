//! Disks, named by the serial numbers that the launcher gave them, by `SOIL_DISKS` where it can't
//! give them any, or by partitions.

mod direct;
mod partitions;

pub use direct::Direct;

use crate::{Image, Interest, Source, devices};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use drivers::ahci::{self, Ahci, AhciConfig};
use drivers::blk::{Blk, BlkConfig};
use drivers::device_type::DeviceType;
use drivers::disk::{self, Controller, DiskError};
use drivers::function::{Function, Started};
use drivers::nvme::{self, Nvme, NvmeConfig};
use drivers::pci::Id;
use drivers::pvscsi;
use drivers::registers::Registers;
use drivers::scsi::{Scsi, ScsiConfig};
use drivers::{MemoryRef, Transport};
use fs::BlockError;
use kernel::cell::{ExclusiveCell, rank};
use kernel::devices::{MEMORY, find_functions};
use kernel::guarded::Guarded;
use kernel::{environment, time, wait};
use platform::disk::{BlockDevice, Capabilities, Geometry, Named, Request, Submitted};
use platform::error::{Error, Failure};

/// Maximum number of bytes in one request.
const MAX_BYTES: usize = 16 << 20;
/// Maximum sector size that file systems and callers support.
const MAX_SECTOR: usize = 4096;

/// A completed request: its tag and result.
type Ended = (u64, Result<(), BlockError>);

/// A controller, shared between its disks and the wait, which arms its interrupts.
struct Shared {
    controller: Guarded<Box<dyn Controller>>,
    /// It may interrupt, because the program was about to sleep.
    armed: Cell<bool>,
    /// Completed requests of each disk that the poll of another one has taken.
    ended: Guarded<Vec<VecDeque<Ended>>>,
}

impl Shared {
    /// Whether a disk has completed requests to report.
    fn has_ended(&self) -> bool {
        let ended = self.ended.try_lock();
        ended.is_some_and(|ended| ended.iter().any(|ended| !ended.is_empty()))
    }
}

impl Source for Shared {
    fn has_pending(&self) -> bool {
        // If another thread's call uses a disk, it has to be waited for.
        let controller = self.controller.try_lock();
        controller.is_some_and(|controller| controller.has_pending()) || self.has_ended()
    }

    fn arm(&self) -> bool {
        let Some(mut controller) = self.controller.try_lock() else {
            return true;
        };
        self.armed.set(true);
        controller.enable_interrupts() || self.has_ended()
    }
}

/// A disk and its name for messages. A copy is the same disk.
#[derive(Clone)]
pub struct Disk {
    /// Its name.
    pub name: String,
    /// The partition that it is for the program, if not the whole.
    partition: Option<String>,
    shared: Rc<Shared>,
    /// Its number at the controller.
    number: usize,
}

/// The name that `SOIL_DISKS` has for the disk with this number.
fn given(number: usize) -> Option<String> {
    let names = core::str::from_utf8(environment::variable(b"SOIL_DISKS")?).ok()?;
    let name = names.split(',').nth(number)?;
    let usable = !name.is_empty() && !name.contains(['/', '\n']) && name != "." && name != "..";
    usable.then(|| String::from(name))
}

impl platform::Disks for Image {
    fn disks(_: &mut Interest) -> Result<Named<Image>, Failure> {
        let disks = OPENED
            .with(Option::take)
            .map_or_else(open, |opened| opened.0);
        let named = |disk: Disk| (disk.name.clone(), Box::new(disk) as Box<_>);
        Ok(disks.into_iter().map(named).collect())
    }
}

/// The disks that a hook of the boot opened, for the program.
static OPENED: ExclusiveCell<Option<Opened>, rank::Metadata> = ExclusiveCell::new(None);

struct Opened(Vec<Disk>);

// SAFETY: only calls use the disks, one at a time, as everywhere (`lib.rs`).
unsafe impl Send for Opened {}

/// A driver of a virtio device with disks.
type Start = fn(Box<dyn Transport>, MemoryRef) -> Result<Box<dyn Controller>, drivers::Error>;

/// The drivers of virtio devices. A program that uses no disks links none of them.
const DRIVERS: [(DeviceType, Start); 2] = [
    (DeviceType::BLOCK, |transport, memory| {
        let blk = Blk::new(transport, memory, &BlkConfig::default())?;
        Ok(Box::new(blk))
    }),
    (DeviceType::SCSI, |transport, memory| {
        let scsi = Scsi::new(transport, memory, &ScsiConfig::default())?;
        Ok(Box::new(scsi))
    }),
];

/// Starts a controller that isn't a virtio device; its interrupts are acknowledged as it says.
type StartFunction = fn(&Function<'_>) -> Started<Box<dyn Controller>>;

/// The drivers of controllers that aren't virtio devices, by their PCI ids.
const CONTROLLERS: [(&[Id], StartFunction); 3] = [
    (nvme::IDS, |function| {
        let registers = nvme::open(function)?;
        let interrupt = registers.interrupt();
        let controller = Nvme::new(Box::new(registers), MEMORY, &NvmeConfig::default())?;
        Ok((Box::new(controller), interrupt))
    }),
    (ahci::IDS, |function| {
        let registers = ahci::open(function)?;
        let interrupt = registers.interrupt();
        let controller = Ahci::new(Box::new(registers), MEMORY, &AhciConfig::default())?;
        Ok((Box::new(controller), interrupt))
    }),
    (pvscsi::IDS, |function| {
        let registers = pvscsi::open(function)?;
        let interrupt = registers.interrupt();
        let controller = pvscsi::new(Box::new(registers), MEMORY, &ScsiConfig::default())?;
        Ok((Box::new(controller), interrupt))
    }),
];

/// Leaves opened disks to the program. In a hook of the boot.
pub fn keep(disks: Vec<Disk>) {
    OPENED.with(|opened| *opened = Some(Opened(disks)));
}

/// Starts all controllers, and finds their disks. Call it once.
pub fn open() -> Vec<Disk> {
    let mut started: Vec<(String, Box<dyn Controller>)> = Vec::new();
    for (kind, start) in DRIVERS {
        for found in devices::take(kind) {
            match start(found.transport, MEMORY) {
                Ok(controller) => started.push((found.place, controller)),
                Err(error) => log::error!("disk at {}: {error}", found.place),
            }
        }
    }
    for (ids, start) in CONTROLLERS {
        started.extend(find_functions(ids, &start, &mut |problem| {
            log::error!("disk at {problem}");
        }));
    }
    // All at once: one may be slow.
    for (_, controller) in &mut started {
        controller.begin();
    }
    let mut opened: Vec<Disk> = Vec::new();
    for (place, mut controller) in started {
        await_disks(&place, &mut *controller);
        let count = controller.disks();
        let names: Vec<_> = (0..count)
            .map(|number| controller.serial(number).map(String::from))
            .collect();
        let shared = Rc::new(Shared {
            controller: Guarded::new(controller),
            armed: Cell::new(false),
            ended: Guarded::new((0..count).map(|_| VecDeque::new()).collect()),
        });
        for (number, name) in names.into_iter().enumerate() {
            let name = given(opened.len())
                .or(name)
                .unwrap_or_else(|| format!("disk{}", opened.len()));
            opened.push(Disk {
                name,
                partition: None,
                shared: Rc::clone(&shared),
                number,
            });
        }
    }
    partitions::assign(&mut opened);
    opened
}

/// Waits until a controller has found its disks.
fn await_disks(place: &str, controller: &mut dyn Controller) {
    let timeout = devices::DEVICE_TIMEOUT_NS.max(controller.start_timeout_ns());
    let until = time::monotonic_ns() + timeout;
    loop {
        // Before the poll: while this machine was suspended the device may have responded.
        let late = time::monotonic_ns() >= until;
        controller.poll(&mut |_, _, _| ());
        if controller.is_ready() {
            return;
        }
        if late {
            log::warn!(
                "disk at {place}: no answer to the search for disks within {} s: what it reports \
                 later is missing, disks or names",
                timeout / 1_000_000_000
            );
            controller.end_search();
            return;
        }
        if !controller.enable_interrupts() {
            wait::wait_until(Some(until));
        }
    }
}

fn error(error: DiskError) -> BlockError {
    match error {
        DiskError::OutOfRange | DiskError::Misaligned => BlockError::OutOfRange,
        DiskError::ReadOnly => BlockError::ReadOnly,
        DiskError::NoSpace => BlockError::NoSpace,
        DiskError::Unsupported => BlockError::Unsupported,
        _ => BlockError::Io,
    }
}

impl Disk {
    /// Whether it is a partition for the program.
    pub fn is_partition(&self) -> bool {
        self.partition.is_some()
    }

    /// The geometry as far as it is known.
    fn known(&self) -> disk::Geometry {
        self.shared.controller.lock().geometry(self.number)
    }
}

impl BlockDevice<Image> for Disk {
    fn capabilities(&self) -> Capabilities {
        let geometry = self.known();
        Capabilities {
            durable: false,
            discard: geometry.can_discard,
            write_zeroes: geometry.can_write_zeroes,
        }
    }

    fn geometry(&mut self) -> Result<Geometry, Failure> {
        // A removed device is noticed at its next request.
        let _ = self.shared.controller.lock().refresh(self.number);
        let disk::Geometry {
            sectors,
            block_size,
            read_only,
            can_flush,
            ..
        } = self.known();
        if block_size > MAX_SECTOR {
            let detail = format!(
                "disk {}: blocks of {block_size} bytes; at most {MAX_SECTOR} are supported",
                self.name
            );
            return Err(Failure::new(Error::Unsupported, detail));
        }
        let per_sector = (block_size / disk::SECTOR) as u64;
        Ok(Geometry {
            sector_size: block_size,
            sectors: sectors / per_sector.max(1),
            read_only,
            flushes: can_flush,
            max_bytes: MAX_BYTES,
        })
    }

    fn partition(&self) -> Option<&str> {
        self.partition.as_deref()
    }

    fn submit(&mut self, request: Request, tag: u64) -> Submitted {
        let mut controller = self.shared.controller.lock();
        let per_sector = (controller.geometry(self.number).block_size / disk::SECTOR) as u64;
        // A number beyond the device's end stays beyond it, and the driver refuses it.
        let scaled = |sectors: u64| sectors.saturating_mul(per_sector);
        let request = match request {
            Request::Read { sector, to, len } => {
                // SAFETY: the submitter keeps the memory until the request is reported.
                unsafe { disk::Request::read(scaled(sector), to, len) }
            }
            Request::Write {
                sector, from, len, ..
            } => {
                // SAFETY: as above.
                unsafe { disk::Request::write(scaled(sector), from, len) }
            }
            Request::Flush => disk::Request::flush(),
            Request::Scatter { sector, slices } => {
                // SAFETY: the submitter keeps the memory, and the list of it, until the request is
                // reported.
                unsafe { disk::Request::scatter(scaled(sector), slices) }
            }
            Request::Gather { sector, slices, .. } => {
                // SAFETY: as above.
                unsafe { disk::Request::gather(scaled(sector), slices) }
            }
            Request::Clear { sector, count, how } => {
                disk::Request::clear(how, scaled(sector), scaled(count))
            }
        };
        match controller.submit(self.number, request, tag) {
            Ok(()) => Submitted::Taken,
            Err(DiskError::Busy) => Submitted::Full,
            Err(failure) => Submitted::Done(Err(error(failure))),
        }
    }

    fn kick(&mut self) {
        self.shared.controller.lock().kick();
    }

    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        let mut controller = self.shared.controller.lock();
        if self.shared.armed.take() {
            controller.disable_interrupts();
        }
        let mut ended = self.shared.ended.lock();
        if let Some(ended) = ended.get_mut(self.number) {
            for (tag, result) in ended.drain(..) {
                report(tag, result);
            }
        }
        controller.poll(&mut |number, tag, result| {
            let result = result.map_err(error);
            if number == self.number {
                report(tag, result);
            } else if let Some(ended) = ended.get_mut(number) {
                ended.push_back((tag, result));
            }
        });
    }

    fn arm(&mut self, interest: &mut Interest) {
        interest.source(Rc::clone(&self.shared) as Rc<dyn Source>);
    }
}

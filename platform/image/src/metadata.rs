//! The machine's metadata: read from a labelled disk before the program starts, or set by the
//! network's client.

use crate::disks::{self, Named};
use crate::{Image, devices};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use fs::{Block, BlockError};
use instance::Instance;
use kernel::cell::ExclusiveCell;
use kernel::{environment, time, wait};
use platform::disk::{BlockDevice, Geometry, Request, Submitted};
use platform::error::Failure;

/// The metadata, never freed; null if there are none. Written before the program starts.
static INSTANCE: AtomicPtr<Instance> = AtomicPtr::new(null_mut());

/// The disks that [`read_disks`] opened, for the program.
static DISKS: ExclusiveCell<Option<Opened>> = ExclusiveCell::new(None);

struct Opened(Named<Image>);

// SAFETY: only calls use the disks, one at a time, as everywhere (`lib.rs`).
unsafe impl Send for Opened {}

/// The tag of the requests here. No user of a disk has it, should a completion come too late.
const TAG: u64 = u64::MAX;
/// Maximum number of bytes of a request.
const MOST: usize = 64 << 10;

impl platform::Metadata for Image {
    fn instance() -> Result<Option<&'static Instance>, Failure> {
        // SAFETY: only boxes that are never freed are stored there.
        Ok(unsafe { INSTANCE.load(Ordering::Acquire).as_ref() })
    }
}

/// Sets the metadata, adds the program's variables to the environment where the command line
/// doesn't set them, and its arguments if the command line has none. Only in a hook of the boot.
pub fn set(instance: Instance) {
    let instance: &'static Instance = Box::leak(Box::new(instance));
    INSTANCE.store(core::ptr::from_ref(instance).cast_mut(), Ordering::Release);
    let program = &instance.program;
    let variables: Vec<(&str, &str)> = program
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let arguments: Vec<&str> = program.arguments.iter().map(|word| word.as_str()).collect();
    if !variables.is_empty() || !arguments.is_empty() {
        environment::add(&variables, &arguments);
    }
}

/// Opens all disks, for [`take_disks`], and returns the metadata of the first that has some.
/// Problems are logged. Waits for the disks. Call it once, in a hook of the boot.
pub fn read_disks() -> Option<Instance> {
    let opened = match disks::open() {
        Ok(opened) => opened,
        Err(failure) => {
            log::warn!("{}", failure.detail);
            return None;
        }
    };
    let mut found = None;
    let mut kept = Named::new();
    for (name, mut device) in opened {
        if found.is_none()
            && let Ok(geometry) = device.geometry()
        {
            let direct = Direct(Rc::new(Shared {
                device: RefCell::new(device),
                geometry,
                gave_up: Cell::new(false),
            }));
            match instance::disk::read(&mut || Box::new(direct.clone())) {
                Ok(instance) => found = instance,
                Err(error) => log::warn!("disk {name}: {error}"),
            }
            match Rc::try_unwrap(direct.0) {
                Ok(shared) => device = shared.device.into_inner(),
                // Not reached: what read the disk is gone.
                Err(_) => continue,
            }
        }
        kept.push((name, device));
    }
    DISKS.with(|disks| *disks = Some(Opened(kept)));
    found
}

/// The disks that [`read_disks`] opened, once.
pub fn take_disks() -> Option<Named<Image>> {
    DISKS.with(Option::take).map(|opened| opened.0)
}

/// A disk whose reads wait, before anything else uses it.
#[derive(Clone)]
struct Direct(Rc<Shared>);

struct Shared {
    device: RefCell<Box<dyn BlockDevice<Image>>>,
    geometry: Geometry,
    /// It didn't answer in time, and isn't asked again.
    gave_up: Cell<bool>,
}

// SAFETY: as for `Opened`; `fs` requires it of every device.
unsafe impl Send for Direct {}

impl Direct {
    /// Reads at most [`MOST`] bytes.
    fn read_piece(&self, sector: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        // Leaked if the disk never responds, since it may still write there.
        let memory = Box::leak(vec![0u8; buffer.len()].into_boxed_slice());
        let (to, len) = (NonNull::from(&mut *memory).cast::<u8>(), buffer.len());
        let mut device = self.0.device.borrow_mut();
        let mut answer = match device.submit(Request::Read { sector, to, len }, TAG) {
            Submitted::Done(result) => Some(result),
            Submitted::Taken => None,
            Submitted::Full => Some(Err(BlockError::Io)),
        };
        device.kick();
        let until = time::monotonic_ns() + devices::DEVICE_TIMEOUT_NS;
        while answer.is_none() {
            // Before the poll: while this machine was suspended the disk may have responded.
            let now = time::monotonic_ns();
            device.poll(&mut |tag, result| {
                if tag == TAG {
                    answer = Some(result);
                }
            });
            if answer.is_none() && now >= until {
                self.0.gave_up.set(true);
                return Err(BlockError::Io);
            }
            if answer.is_none() {
                // No interrupt is armed: a disk answers soon, and this is done a few times.
                wait::wait_until(Some(until.min(now + POLL_NS)));
            }
        }
        // SAFETY: the request has completed: the memory is ours again.
        let memory =
            unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(to.as_ptr(), len)) };
        answer.unwrap_or(Err(BlockError::Io))?;
        buffer.copy_from_slice(&memory);
        Ok(())
    }
}

/// Time between two polls of a disk, in nanoseconds.
const POLL_NS: u64 = 50_000;

impl Block for Direct {
    fn sector_size(&self) -> usize {
        self.0.geometry.sector_size
    }

    fn sectors(&self) -> u64 {
        self.0.geometry.sectors
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&mut self, first_sector: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        let size = self.0.geometry.sector_size;
        let end = first_sector.checked_add((buffer.len() / size) as u64);
        if !buffer.len().is_multiple_of(size) || end.is_none_or(|end| end > self.sectors()) {
            return Err(BlockError::OutOfRange);
        }
        for (number, piece) in buffer.chunks_mut(MOST).enumerate() {
            if self.0.gave_up.get() {
                return Err(BlockError::Io);
            }
            self.read_piece(first_sector + (number * (MOST / size)) as u64, piece)?;
        }
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), BlockError> {
        Err(BlockError::ReadOnly)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

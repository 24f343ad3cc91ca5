//! Hardware cursors, one for each scan-out (virtio 1.2, 5.7.6.10).
//!
//! The control queue copies a cursor's image to the host. The cursor queue isn't ordered with the
//! control queue, and may use the image only after the copy. Each queue has at most one command for
//! a cursor; later changes are sent when that one has completed, so that only the latest state
//! counts.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::control::What;
use super::protocol::{Command, MAX_SCANOUTS, Position, Refusal};
use super::resource::Host;
use super::{Gpu, GpuError, Rectangle};
use crate::device::Device;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};

const CURSOR_QUEUE: u16 = 1;
const QUEUE_SIZE: (u16, u16) = (1, MAX_SCANOUTS as u16);
/// Bytes of the memory of a command.
const SLOT: usize = 64;
/// Width and height of an image, in pixels.
pub const SIZE: usize = 64;
/// Bytes of an image.
const IMAGE: usize = SIZE * SIZE * 4;

/// The pixels of an image, `0xAARRGGBB`, row by row.
pub type Image = [u32; SIZE * SIZE];

/// The pending command of the cursor queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pending {
    #[default]
    None,
    /// The position.
    Moved,
    /// The image, or its absence.
    Image,
}

/// The cursor of a scan-out.
#[derive(Default)]
pub struct Cursor {
    /// Its resource and the memory of that, once it has an image.
    resource: u32,
    region: Option<Region>,
    pub host: Host,
    /// The image to copy next, with its hot spot.
    next: Option<(Box<Image>, (u32, u32))>,
    /// The hot spot of the image that the control queue copies.
    copying: Option<(u32, u32)>,
    /// The hot spot of the image that the host has.
    hot_spot: (u32, u32),
    /// The program wants it shown.
    visible: bool,
    /// The device shows an image.
    shown: bool,
    place: (u32, u32),
    pending: Pending,
    /// The cursor queue holds a command.
    sent: bool,
}

impl Cursor {
    /// Its resource; 0: none.
    pub fn resource(&self) -> u32 {
        self.resource
    }

    /// Sets the memory and the resource of its image.
    pub fn set_memory(&mut self, resource: u32, region: Region) {
        (self.resource, self.region) = (resource, Some(region));
    }

    /// Sets the image and shows it.
    pub fn set(&mut self, image: Box<Image>, hot_spot: (u32, u32)) {
        self.next = Some((image, hot_spot));
        self.visible = true;
    }

    pub fn move_to(&mut self, x: u32, y: u32) {
        if self.place != (x, y) {
            self.place = (x, y);
            self.pending = match self.pending {
                Pending::None if self.shown => Pending::Moved,
                pending => pending,
            };
        }
    }

    pub fn hide(&mut self) {
        self.next = None;
        self.visible = false;
        self.pending = match self.shown {
            true => Pending::Image,
            false => Pending::None,
        };
    }

    /// If an image has to be copied now: its resource, and the physical address and length of its
    /// memory. The caller sends the copy.
    pub fn copy(&mut self) -> Option<(u32, u64, u32)> {
        if self.copying.is_some() {
            return None;
        }
        let region = self.region.as_ref()?;
        let (image, hot_spot) = self.next.take()?;
        self.copying = Some(hot_spot);
        // SAFETY: no copy is in progress, so the device doesn't read the memory.
        let bytes = unsafe { region.slice(0, IMAGE) };
        for (into, pixel) in bytes.chunks_exact_mut(4).zip(image.iter()) {
            into.copy_from_slice(&pixel.to_le_bytes());
        }
        Some((self.resource, region.phys(0), IMAGE as u32))
    }

    /// The copy has completed. If it was refused, the host keeps the previous image, if any.
    pub fn copied(&mut self, result: Result<(), Refusal>) {
        if let (Some(hot_spot), Ok(())) = (self.copying.take(), result) {
            self.hot_spot = hot_spot;
            if self.visible {
                self.pending = Pending::Image;
            }
        }
    }

    /// The command of the cursor queue has completed.
    pub fn returned(&mut self) {
        self.sent = false;
    }

    /// Leaks the memory, because the device may still use it.
    pub fn leak(&mut self) {
        if let Some(region) = &mut self.region {
            region.leak();
        }
    }

    /// The next command for the cursor queue.
    fn command(&self, scanout: u32) -> Option<Command> {
        if self.sent {
            return None;
        }
        let (x, y) = self.place;
        let position = Position {
            scanout,
            // The upper left corner may lie outside the picture.
            x: x.wrapping_sub(self.hot_spot.0),
            y: y.wrapping_sub(self.hot_spot.1),
        };
        let resource = if self.visible { self.resource } else { 0 };
        match self.pending {
            Pending::None => None,
            Pending::Moved => Some(Command::move_cursor(position, resource, self.hot_spot)),
            Pending::Image => Some(Command::cursor(position, resource, self.hot_spot)),
        }
    }
}

/// Copies an image to the heap; `None` if there is no memory.
pub fn boxed(image: &Image) -> Option<Box<Image>> {
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(image.len()).ok()?;
    pixels.extend_from_slice(image);
    pixels.into_boxed_slice().try_into().ok()
}

/// Allocates the memory of an image.
pub fn region(memory: MemoryRef) -> Option<Region> {
    Region::new(memory, IMAGE, 4096)
}

/// The cursor queue. Its commands have no response, and are only returned.
pub struct CursorQueue {
    pub queue: Queue,
    memory: Region,
}

impl CursorQueue {
    pub fn new(memory: MemoryRef, device: &mut Device) -> Result<CursorQueue, Error> {
        Ok(CursorQueue {
            queue: device.queue(memory, CURSOR_QUEUE, QUEUE_SIZE, 1)?,
            memory: Region::new(memory, MAX_SCANOUTS * SLOT, 64).ok_or(Error::OutOfMemory)?,
        })
    }

    /// Restarts after a reset of the device.
    pub fn restart(&mut self, device: &mut Device) -> Result<(), Error> {
        self.queue.restart(device.transport_mut())
    }

    /// Sends the pending change of the cursor of `scanout`, if there is room.
    pub fn send(&mut self, scanout: usize, cursor: &mut Cursor) {
        let Some(command) = cursor.command(scanout as u32) else {
            return;
        };
        if self.queue.room() == 0 {
            return;
        }
        let (start, bytes) = (scanout * SLOT, command.bytes());
        // SAFETY: the device has no command of this cursor.
        unsafe { self.memory.slice(start, bytes.len()) }.copy_from_slice(bytes);
        let buffer = Buffer::readable(self.memory.phys(start), bytes.len());
        if self.queue.add(&[buffer], scanout as u32).is_ok() {
            cursor.sent = true;
            if core::mem::take(&mut cursor.pending) == Pending::Image {
                cursor.shown = cursor.visible;
            }
        }
    }

    pub fn kick(&mut self, device: &Device) {
        self.queue.kick(device.transport());
    }

    /// Returns the next scan-out whose command the device has returned.
    pub fn pop(&mut self) -> Result<Option<usize>, DeviceError> {
        let completion = self.queue.pop()?;
        Ok(completion.map(|completion| completion.token as usize))
    }

    /// Whether no command is in flight.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.queue.in_flight() == 0
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.memory.leak();
    }
}

impl Gpu {
    /// Sets the image of a scan-out's cursor, and shows it as soon as the host has it.
    ///
    /// # Errors
    ///
    /// [`GpuError::Invalid`], [`GpuError::OutOfMemory`], [`GpuError::DeviceError`].
    pub fn set_cursor(
        &mut self,
        scanout: usize,
        image: &Image,
        hot_spot: (u32, u32),
    ) -> Result<(), GpuError> {
        if !self.is_running() {
            return Err(GpuError::DeviceError);
        }
        let size = SIZE as u32;
        if scanout >= self.scanouts.len() || hot_spot.0 >= size || hot_spot.1 >= size {
            return Err(GpuError::Invalid);
        }
        let image = boxed(image).ok_or(GpuError::OutOfMemory)?;
        if self.scanouts[scanout].cursor.resource() == 0 {
            let region = region(self.memory).ok_or(GpuError::OutOfMemory)?;
            let resource = self.new_resource()?;
            self.scanouts[scanout].cursor.set_memory(resource, region);
        }
        self.scanouts[scanout].cursor.set(image, hot_spot);
        self.kick();
        Ok(())
    }

    /// Moves the hot spot of a scan-out's cursor.
    pub fn move_cursor(&mut self, scanout: usize, x: u32, y: u32) {
        if let Some(scanout) = self.scanouts.get_mut(scanout) {
            scanout.cursor.move_to(x, y);
            self.kick();
        }
    }

    /// Hides a scan-out's cursor until its image is set again.
    pub fn hide_cursor(&mut self, scanout: usize) {
        if let Some(scanout) = self.scanouts.get_mut(scanout) {
            scanout.cursor.hide();
            self.kick();
        }
    }

    /// Sends the pending commands of a cursor.
    pub(super) fn update_cursor(&mut self, scanout: usize) {
        // Reserves room for all three commands first, so that a copy that has begun is sent.
        if self.control.reserve(3)
            && let Some((resource, phys, len)) = self.scanouts[scanout].cursor.copy()
        {
            let size = SIZE as u32;
            let cursor = &mut self.scanouts[scanout].cursor;
            let had = core::mem::replace(&mut cursor.host, Host::Attached);
            if had < Host::Created {
                let command = Command::create(resource, size, size, true);
                self.push(command, What::Create, resource, None);
            }
            if had < Host::Attached {
                let command = Command::attach(resource, phys, len);
                self.push(command, What::Attach, resource, None);
            }
            let command = Command::transfer(resource, size, Rectangle::of(size, size));
            self.push(command, What::Cursor(scanout), resource, None);
        }
        self.cursors
            .send(scanout, &mut self.scanouts[scanout].cursor);
    }
}

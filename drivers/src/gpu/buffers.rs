//! Frame buffers: the driver's memory, and the resources that the host makes of it.

use core::ptr::NonNull;

use super::control::{Purpose, What};
use super::protocol::Command;
use super::{Gpu, GpuError, Rectangle};
use crate::Region;

/// The smallest and the largest width or height of a frame buffer, in pixels. QEMU refuses smaller
/// ones.
pub const SIDE: core::ops::RangeInclusive<u32> = 16..=8192;

/// A frame buffer.
pub struct Buffer {
    pub resource: u32,
    pub region: Region,
    pub picture: Rectangle,
    /// The resource was created on the host, or its creation is on the way. The same for the other
    /// two, its memory and the whole of its contents.
    pub created: bool,
    pub attached: bool,
    pub copied: bool,
    /// The device may know its memory.
    pub given: bool,
    /// The caller has given it back.
    pub released: bool,
}

impl Gpu {
    /// Allocates a black frame buffer: its number, which is never used again, and its pixels, row
    /// by row. The memory is the caller's to draw into until [`release`](Gpu::release), whatever
    /// becomes of the device.
    ///
    /// # Errors
    ///
    /// [`GpuError::Invalid`], [`GpuError::OutOfMemory`], [`GpuError::DeviceError`].
    pub fn create(&mut self, width: u32, height: u32) -> Result<(u32, NonNull<u32>), GpuError> {
        if !self.is_running() {
            return Err(GpuError::DeviceError);
        }
        if !SIDE.contains(&width) || !SIDE.contains(&height) {
            return Err(GpuError::Invalid);
        }
        let room = self.buffers.try_reserve(1);
        room.map_err(|_| GpuError::OutOfMemory)?;
        // At most 256 MiB, by `SIDE`.
        let len = width as usize * height as usize * 4;
        let region = Region::new(self.memory, len, 4096).ok_or(GpuError::OutOfMemory)?;
        let pixels = region.ptr(0).cast();
        let resource = self.new_resource()?;
        self.buffers.push(Buffer {
            resource,
            region,
            picture: Rectangle::of(width, height),
            created: false,
            attached: false,
            copied: false,
            given: false,
            released: false,
        });
        Ok((resource, pixels))
    }

    pub(super) fn new_resource(&mut self) -> Result<u32, GpuError> {
        let next = self.resources.checked_add(1);
        self.resources = next.ok_or(GpuError::OutOfMemory)?;
        Ok(self.resources)
    }

    /// Takes a frame buffer back, whose memory the caller doesn't use any more. It is freed when
    /// the device has said that it doesn't use it either. An unknown number is ignored.
    pub fn release(&mut self, resource: u32) {
        let found = |buffer: &Buffer| buffer.resource == resource && !buffer.released;
        let Some(index) = self.buffers.iter().position(found) else {
            return;
        };
        let used = self.buffers[index].given;
        if !self.is_running() || !used {
            let mut buffer = self.buffers.swap_remove(index);
            // False as well where the device keeps its memory after a reset.
            if used && !self.device.stop() {
                buffer.region.leak();
            }
            return;
        }
        self.buffers[index].released = true;
        if !self.control.reserve(1 + self.scanouts.len()) {
            // The host keeps the picture, and the memory is never used again.
            log::warn!(target: "drivers", "no memory to give a frame buffer back");
            self.buffers[index].region.leak();
            self.buffers.swap_remove(index);
            return;
        }
        for scanout in 0..self.scanouts.len() {
            if self.scanouts[scanout].shown == resource {
                self.show_nothing(scanout);
            }
        }
        self.push(Command::unref(resource), What::Unref, resource, None);
        self.kick();
    }

    /// The device has answered that it doesn't use a buffer any more, or has refused to.
    pub(super) fn given_back(&mut self, resource: u32, well: bool) {
        let found = |buffer: &Buffer| buffer.resource == resource;
        if let Some(index) = self.buffers.iter().position(found) {
            let mut buffer = self.buffers.swap_remove(index);
            // Of a resource that was never created the device has no memory.
            if !well && buffer.created {
                buffer.region.leak();
            }
        }
    }

    /// The host hasn't got what a command was to give it: the next present does that again.
    pub(super) fn not_copied(&mut self, purpose: Purpose) {
        let found = |buffer: &&mut Buffer| buffer.resource == purpose.resource;
        if let Some(buffer) = self.buffers.iter_mut().find(found) {
            buffer.copied = false;
            buffer.created &= purpose.what != What::Create;
            buffer.attached &= purpose.what == What::Transfer;
        }
        for scanout in &mut self.scanouts {
            let cursor = &mut scanout.cursor;
            if cursor.resource() == purpose.resource {
                cursor.created &= purpose.what != What::Create;
                cursor.attached = false;
            }
        }
    }
}

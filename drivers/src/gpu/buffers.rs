//! Frame buffers: memory, and the host's resources for it.

use core::ptr::NonNull;

use super::control::{Purpose, What};
use super::protocol::{Command, Refusal};
use super::resource::Host;
use super::scanout::Shown;
use super::{Gpu, GpuError, Rectangle, feature};
use crate::Region;

/// Minimum and maximum width or height of a frame buffer, in pixels. QEMU refuses smaller ones.
pub const SIDE: core::ops::RangeInclusive<u32> = 16..=8192;

/// Bytes of a page. Hosts map blobs in whole pages (Linux' udmabuf refuses others).
const PAGE: usize = 4096;

/// A frame buffer.
pub struct Buffer {
    pub resource: u32,
    pub region: Region,
    pub picture: Rectangle,
    pub host: Host,
    /// Number of the last present that sent the host the whole picture; `None` before the device
    /// knows the memory.
    pub whole: Option<u64>,
    /// The host reads the memory in place, as a blob, instead of copying it.
    pub in_place: bool,
    /// The caller has released it.
    pub released: bool,
}

impl Gpu {
    /// Allocates a black frame buffer. Returns its number, which is never reused, and its pixels,
    /// row by row. The caller may draw into the memory until [`release`](Gpu::release), even if the
    /// device fails.
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
        let len = (width as usize * height as usize * 4).next_multiple_of(PAGE);
        let region = Region::new(self.memory, len, PAGE).ok_or(GpuError::OutOfMemory)?;
        let pixels = region.ptr(0).cast();
        let resource = self.new_resource()?;
        self.buffers.push(Buffer {
            resource,
            region,
            picture: Rectangle::of(width, height),
            host: Host::Nothing,
            whole: None,
            in_place: self.device.has(feature::RESOURCE_BLOB),
            released: false,
        });
        Ok((resource, pixels))
    }

    pub(super) fn new_resource(&mut self) -> Result<u32, GpuError> {
        let next = self.resources.checked_add(1);
        self.resources = next.ok_or(GpuError::OutOfMemory)?;
        Ok(self.resources)
    }

    /// Releases a frame buffer, whose memory the caller must no longer use. It is freed once the
    /// device has confirmed that it no longer uses it either. An unknown number is ignored.
    pub fn release(&mut self, resource: u32) {
        let found = |buffer: &Buffer| buffer.resource == resource && !buffer.released;
        let Some(index) = self.buffers.iter().position(found) else {
            return;
        };
        let used = self.buffers[index].whole.is_some();
        if !self.is_running() || !used {
            let mut buffer = self.buffers.swap_remove(index);
            // A device whose reset failed may still use its memory.
            if used && !self.device.stop() {
                buffer.region.leak();
            }
            return;
        }
        self.buffers[index].released = true;
        if !self.control.reserve(1 + self.scanouts.len()) {
            // The host keeps the picture, and the memory is leaked.
            log::warn!(target: "drivers", "no memory to give a frame buffer back");
            self.buffers[index].region.leak();
            self.buffers.swap_remove(index);
            return;
        }
        for scanout in 0..self.scanouts.len() {
            if self.scanouts[scanout].shown.may_be(resource) {
                self.show_nothing(scanout);
            }
        }
        self.push(Command::unref(resource), What::Unref, resource, None);
        self.kick();
    }

    /// The device has completed or refused `RESOURCE_UNREF`.
    pub(super) fn on_unref(&mut self, resource: u32, result: Result<(), Refusal>) {
        let found = |buffer: &Buffer| buffer.resource == resource;
        if let Some(index) = self.buffers.iter().position(found) {
            let mut buffer = self.buffers.swap_remove(index);
            // The device holds no memory of a resource that was never created.
            if result.is_err() && buffer.host != Host::Nothing {
                buffer.region.leak();
            }
        }
    }

    /// The device has released a buffer's blob. If it refused, the memory is never reused.
    pub(super) fn replaced(&mut self, resource: u32, result: Result<(), Refusal>) {
        if let (Some(buffer), Err(_)) = (self.buffer(resource), result) {
            buffer.region.leak();
        }
    }

    fn buffer(&mut self, resource: u32) -> Option<&mut Buffer> {
        let mut buffers = self.buffers.iter_mut();
        buffers.find(|buffer| buffer.resource == resource)
    }

    /// A command for a resource failed: the next present repeats the copy.
    pub(super) fn not_copied(&mut self, purpose: Purpose) {
        let Purpose { what, resource, .. } = purpose;
        if let Some(buffer) = self.buffer(resource) {
            let present = purpose.present.map(|(_, number)| number);
            if present < buffer.whole {
                // A later present has already repeated it.
                return;
            }
            buffer.host = buffer.host.without(what);
            if what == What::Create {
                buffer.in_place = false;
                self.forget_shown(resource);
            }
        }
        for scanout in &mut self.scanouts {
            let cursor = &mut scanout.cursor;
            if cursor.resource() == resource {
                cursor.host = cursor.host.without(what);
            }
        }
    }

    /// The host can't show the buffer as a blob: presents copy it from now on.
    pub(super) fn not_in_place(&mut self, resource: u32) {
        if let Some(buffer) = self.buffer(resource) {
            buffer.in_place = false;
        }
    }

    /// The host no longer has the resource, so no scan-out shows it.
    pub(super) fn forget_shown(&mut self, resource: u32) {
        for scanout in &mut self.scanouts {
            if scanout.shown == Shown::Resource(resource) {
                scanout.shown = Shown::Unknown;
            }
        }
    }
}

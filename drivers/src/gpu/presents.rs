//! Presents: a frame buffer's damage goes to the host, and a scan-out shows it.

use super::buffers::Buffer;
use super::control::What;
use super::protocol::Command;
use super::rectangle::{MAX_RECTANGLES, merge};
use super::{Event, Gpu, GpuError, Rectangle, feature};

/// The most calls of [`Gpu::present`] of a scan-out that have not ended.
pub const MAX_PRESENTS: usize = 2;
/// The most commands of a present: create, attach, show, flush, and the copies.
const MAX_COMMANDS: usize = 4 + MAX_RECTANGLES;

/// A present that has not been reported.
pub struct Present {
    pub number: u64,
    pub tag: u64,
    /// Commands that the device has not answered.
    pub unanswered: usize,
    pub result: Result<(), GpuError>,
}

impl Gpu {
    /// Shows a frame buffer on a scan-out: copies the parts of it that the damage names, or all of
    /// it at the first time. Ends as [`Event::Presented`], in the order of the calls. The device is
    /// guaranteed to begin only after [`kick`](Gpu::kick) or [`poll`](Gpu::poll).
    ///
    /// # Errors
    ///
    /// Nothing was done: [`GpuError::Invalid`], [`GpuError::Busy`], [`GpuError::OutOfMemory`],
    /// [`GpuError::DeviceError`].
    pub fn present(
        &mut self,
        scanout: usize,
        resource: u32,
        damage: &[Rectangle],
        tag: u64,
    ) -> Result<(), GpuError> {
        if !self.is_running() {
            return Err(GpuError::DeviceError);
        }
        let shown = self.scanouts.get_mut(scanout).ok_or(GpuError::Invalid)?;
        let found = |buffer: &&mut Buffer| buffer.resource == resource && !buffer.released;
        let buffer = self.buffers.iter_mut().find(found);
        let buffer = buffer.ok_or(GpuError::Invalid)?;
        if shown.presents.len() >= MAX_PRESENTS {
            return Err(GpuError::Busy);
        }
        let room = shown.presents.try_reserve(1).is_ok() && self.control.reserve(MAX_COMMANDS);
        if !room {
            return Err(GpuError::OutOfMemory);
        }
        let blob = self.device.has(feature::RESOURCE_BLOB);
        let picture = buffer.picture;
        let (width, height) = (picture.width, picture.height);
        let (phys, len) = (buffer.region.phys(0), buffer.region.len() as u32);
        buffer.given = true;
        let create = !core::mem::replace(&mut buffer.created, true);
        let attach = !core::mem::replace(&mut buffer.attached, true) && !blob;
        let copied = core::mem::replace(&mut buffer.copied, true) && !create && !attach;
        let show = core::mem::replace(&mut shown.shown, resource) != resource;
        let (parts, count) = match copied {
            true => merge(damage, picture),
            false => merge(&[picture], picture),
        };
        let parts = parts.get(..count).unwrap_or_default();

        self.presents += 1;
        let present = Some((scanout, self.presents));
        let number = self.presents;
        let mut sent = 0;
        if create {
            let command = match blob {
                true => Command::create_blob(resource, phys, len),
                false => Command::create(resource, width, height, false),
            };
            sent += self.push(command, What::Create, resource, present);
        }
        if attach {
            let command = Command::attach(resource, phys, len);
            sent += self.push(command, What::Attach, resource, present);
        }
        if !blob {
            for part in parts {
                let command = Command::transfer(resource, width, *part);
                sent += self.push(command, What::Transfer, resource, present);
            }
        }
        if show {
            let number = scanout as u32;
            let command = match blob {
                true => Command::scanout_blob(number, resource, width, height),
                false => Command::scanout(number, resource, width, height),
            };
            sent += self.push(command, What::Scanout(scanout), resource, present);
        }
        let around = parts.iter().copied().reduce(Rectangle::around);
        // What was shown before may have differed anywhere.
        if let Some(part) = if show { Some(picture) } else { around } {
            let command = Command::flush(resource, part);
            sent += self.push(command, What::Flush, resource, present);
        }
        self.scanouts[scanout].presents.push_back(Present {
            number,
            tag,
            unanswered: sent,
            result: Ok(()),
        });
        if sent == 0 {
            self.finish(scanout);
        }
        Ok(())
    }

    /// Shows nothing on a scan-out.
    ///
    /// # Errors
    ///
    /// [`GpuError::Invalid`], [`GpuError::OutOfMemory`], [`GpuError::DeviceError`].
    pub fn disable(&mut self, scanout: usize) -> Result<(), GpuError> {
        if !self.is_running() {
            return Err(GpuError::DeviceError);
        }
        if scanout >= self.scanouts.len() {
            return Err(GpuError::Invalid);
        }
        if self.scanouts[scanout].shown != 0 {
            if !self.control.reserve(1) {
                return Err(GpuError::OutOfMemory);
            }
            self.show_nothing(scanout);
            self.kick();
        }
        Ok(())
    }

    pub(super) fn show_nothing(&mut self, scanout: usize) {
        self.scanouts[scanout].shown = 0;
        let command = Command::scanout(scanout as u32, 0, 0, 0);
        self.push(command, What::Scanout(scanout), 0, None);
    }

    /// A scan-out doesn't show what it was to: the next present shows all of its buffer.
    pub(super) fn not_shown(&mut self, scanout: usize, resource: u32) {
        let shown = &mut self.scanouts[scanout].shown;
        if *shown == resource {
            *shown = 0;
        }
    }

    /// Reports the presents of a scan-out that have ended, in order.
    pub(super) fn finish(&mut self, scanout: usize) {
        let presents = &mut self.scanouts[scanout].presents;
        while presents.front().is_some_and(|p| p.unanswered == 0) {
            if let Some(present) = presents.pop_front() {
                self.events.push_back(Event::Presented {
                    scanout,
                    tag: present.tag,
                    result: present.result,
                });
            }
        }
    }
}

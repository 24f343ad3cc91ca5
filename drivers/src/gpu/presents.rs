//! Presents: copy a frame buffer's damage to the host, and show it on a scan-out.

use super::buffers::Buffer;
use super::control::What;
use super::damage::{MAX_RECTANGLES, merge};
use super::protocol::Command;
use super::resource::Host;
use super::scanout::{Present, Shown};
use super::{Event, Gpu, GpuError, Rectangle};

/// Maximum number of [`Gpu::present`] calls in progress per scan-out.
pub const MAX_PRESENTS: usize = 2;
/// Maximum number of commands of a present: replace, create, attach, show, flush, and the copies.
const MAX_COMMANDS: usize = 5 + MAX_RECTANGLES;

impl Gpu {
    /// Shows a frame buffer on a scan-out: copies its damaged parts, or all of it the first time.
    /// Completes as [`Event::Presented`], in the order of the calls. The device is guaranteed to
    /// begin only after [`kick`](Gpu::kick) or [`poll`](Gpu::poll).
    ///
    /// # Errors
    ///
    /// Nothing was submitted: [`GpuError::Invalid`], [`GpuError::Busy`], [`GpuError::OutOfMemory`],
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
        let buffer = index_of(&self.buffers, resource).ok_or(GpuError::Invalid)?;
        if shown.presents.len() >= MAX_PRESENTS {
            return Err(GpuError::Busy);
        }
        let room = shown.presents.try_reserve(1).is_ok() && self.control.reserve(MAX_COMMANDS);
        if !room {
            return Err(GpuError::OutOfMemory);
        }
        self.presents += 1;
        shown.presents.push_back(Present {
            number: self.presents,
            tag,
            resource,
            in_place: self.buffers[buffer].in_place,
            unanswered: 0,
            result: Ok(()),
        });
        self.send_picture(scanout, self.presents, buffer, damage);
        self.finish(scanout);
        Ok(())
    }

    /// Sends the commands of a present. The caller has reserved room.
    fn send_picture(&mut self, scanout: usize, number: u64, buffer: usize, damage: &[Rectangle]) {
        let buffer = &mut self.buffers[buffer];
        let (resource, picture, in_place) = (buffer.resource, buffer.picture, buffer.in_place);
        let (width, height) = (picture.width, picture.height);
        let (phys, len) = (buffer.region.phys(0), buffer.region.len() as u32);
        let present = Some((scanout, number));
        let wanted = if in_place { Host::Blob } else { Host::Copied };
        let had = core::mem::replace(&mut buffer.host, wanted);
        let (parts, count) = match had == wanted {
            true => merge(damage, picture),
            false => {
                buffer.whole = Some(number);
                merge(&[picture], picture)
            }
        };
        let parts = parts.get(..count).unwrap_or_default();

        if in_place {
            if had < Host::Blob {
                let command = Command::create_blob(resource, phys, len);
                self.push(command, What::Create, resource, present);
            }
        } else {
            if had == Host::Blob {
                self.forget_shown(resource);
                self.push(Command::unref(resource), What::Replace, resource, present);
            }
            if had < Host::Created {
                let command = Command::create(resource, width, height, false);
                self.push(command, What::Create, resource, present);
            }
            if had < Host::Attached {
                let command = Command::attach(resource, phys, len);
                self.push(command, What::Attach, resource, present);
            }
            for part in parts {
                let command = Command::transfer(resource, width, *part);
                self.push(command, What::Transfer, resource, present);
            }
        }
        let shown = &mut self.scanouts[scanout].shown;
        let shows = Shown::Resource(resource);
        let show = core::mem::replace(shown, shows) != shows;
        if show {
            let number = scanout as u32;
            let command = match in_place {
                true => Command::scanout_blob(number, resource, width, height),
                false => Command::scanout(number, resource, width, height),
            };
            self.push(command, What::Scanout(scanout), resource, present);
        }
        let around = parts.iter().copied().reduce(Rectangle::union);
        // All of a newly shown buffer may differ.
        if let Some(part) = if show { Some(picture) } else { around } {
            let command = Command::flush(resource, part);
            self.push(command, What::Flush, resource, present);
        }
    }

    /// Repeats the oldest completed present of a scan-out by copies, if the host refused its buffer
    /// as a blob; returns whether the present has commands again.
    fn copy_instead(&mut self, scanout: usize) -> bool {
        let shown = self.scanouts[scanout].shown;
        let Some(present) = self.scanouts[scanout].presents.front_mut() else {
            return false;
        };
        let (number, resource) = (present.number, present.resource);
        let buffer = index_of(&self.buffers, resource);
        let Some(buffer) = buffer.filter(|buffer| !self.buffers[*buffer].in_place) else {
            return false;
        };
        if !present.in_place || present.result.is_ok() || !self.control.reserve(MAX_COMMANDS) {
            return false;
        }
        present.in_place = false;
        present.result = Ok(());
        if !shown.may_be(resource) {
            // A later present, or none, has replaced it.
            return false;
        }
        let all = self.buffers[buffer].picture;
        self.send_picture(scanout, number, buffer, &[all]);
        true
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
        if self.scanouts[scanout].shown != Shown::Nothing {
            if !self.control.reserve(1) {
                return Err(GpuError::OutOfMemory);
            }
            self.show_nothing(scanout);
            self.kick();
        }
        Ok(())
    }

    pub(super) fn show_nothing(&mut self, scanout: usize) {
        self.scanouts[scanout].shown = Shown::Nothing;
        let command = Command::scanout(scanout as u32, 0, 0, 0);
        self.push(command, What::Scanout(scanout), 0, None);
    }

    /// A scan-out failed to show a resource (0: nothing): the next present shows all of its buffer.
    pub(super) fn on_scanout_failed(&mut self, scanout: usize, resource: u32) {
        let expected = match resource {
            0 => Shown::Nothing,
            resource => Shown::Resource(resource),
        };
        let shown = &mut self.scanouts[scanout].shown;
        if *shown == expected {
            *shown = Shown::Unknown;
        }
    }

    /// Reports completed presents of a scan-out, in order.
    pub(super) fn finish(&mut self, scanout: usize) {
        let ended = |present: &Present| present.unanswered == 0;
        while self.scanouts[scanout].presents.front().is_some_and(ended)
            && !self.copy_instead(scanout)
        {
            if let Some(present) = self.scanouts[scanout].presents.pop_front() {
                self.events.push_back(Event::Presented {
                    scanout,
                    tag: present.tag,
                    result: present.result,
                });
            }
        }
    }
}

/// The index of a buffer, unless it is released.
fn index_of(buffers: &[Buffer], resource: u32) -> Option<usize> {
    let found = |buffer: &Buffer| buffer.resource == resource && !buffer.released;
    buffers.iter().position(found)
}

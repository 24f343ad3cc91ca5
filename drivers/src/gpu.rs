//! A graphics adapter in its 2D mode (virtio 1.2, 5.7): scan-outs that show frame buffers, with
//! hardware cursors.
//!
//! A frame buffer is memory of the driver's that the caller draws into. [`Gpu::present`] copies the
//! damaged parts to the host and shows them, or shows the memory itself where the device offers
//! blob resources; [`Gpu::poll`] reports its end, by a fence. The device's memory is never freed
//! before the device has said that it doesn't use it any more.
//!
//! The scan-outs' sizes and EDIDs are asked for at the start and again when the device says that
//! they have changed ([`Gpu::check_config`]).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;

use crate::device::{self, Device};
use crate::queue::DeviceError;
use crate::transport::{DeviceType, Interrupt, Transport};
use crate::{Error, MemoryRef, Region};

mod control;
mod cursor;
pub mod edid;
mod frame_buffer;
mod protocol;

use control::{Answer, Control, Purpose, What};
use cursor::{Cursor, CursorQueue};
pub use cursor::{Image, SIZE as CURSOR_SIZE};
pub use frame_buffer::FrameBuffer;
use protocol::{Command, MAX_SCANOUTS, Refusal};

/// Feature bits of graphics adapters (virtio 1.2, 5.7.3) that the driver uses.
pub mod feature {
    /// The device tells the monitors' EDIDs.
    pub const EDID: u64 = 1 << 1;
    /// A resource may be memory of the guest's that the host reads in place.
    pub const RESOURCE_BLOB: u64 = 1 << 3;

    /// All of the above.
    pub const ALL: u64 = EDID | RESOURCE_BLOB;
}

/// Configuration space (5.7.4), and the bit of an event: a display has changed.
const CONFIG_EVENTS_READ: usize = 0;
const CONFIG_EVENTS_CLEAR: usize = 4;
const CONFIG_SCANOUTS: usize = 8;
const EVENT_DISPLAY: u32 = 1;

/// The most calls of [`Gpu::present`] of a scan-out that have not ended.
pub const MAX_PRESENTS: usize = 2;
/// Presents after which [`Gpu::poll`] calls [`Gpu::check_config`]. Not after each: a device that
/// copies the next picture answers a read of its registers when it has done so (QEMU does), and the
/// caller stands still that long.
const CHECK_AFTER: u64 = 32;
/// The smallest and the largest width or height of a frame buffer, in pixels. QEMU refuses smaller
/// ones.
pub const SIDE: core::ops::RangeInclusive<u32> = 16..=8192;
/// The most rectangles that are copied one by one; of more, the one around all is.
const MAX_RECTANGLES: usize = 16;
/// The most commands of a present: create, attach, show, flush, and the copies.
const MAX_COMMANDS: usize = 4 + MAX_RECTANGLES;

/// Rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// Column of its left edge.
    pub x: u32,
    /// Row of its upper edge.
    pub y: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Rectangle {
    /// A whole picture.
    fn of(width: u32, height: u32) -> Rectangle {
        Rectangle {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    /// The part of it that is on a picture, unless that is empty.
    fn on(self, picture: Rectangle) -> Option<Rectangle> {
        let (x, y) = (self.x.min(picture.width), self.y.min(picture.height));
        let part = Rectangle {
            x,
            y,
            width: self.width.min(picture.width - x),
            height: self.height.min(picture.height - y),
        };
        (part.width > 0 && part.height > 0).then_some(part)
    }

    /// The rectangle around both, which are on one picture.
    fn around(self, other: Rectangle) -> Rectangle {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let lower = (self.y + self.height).max(other.y + other.height);
        Rectangle {
            x,
            y,
            width: right - x,
            height: lower - y,
        }
    }
}

/// Reason for which an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuError {
    /// The device broke the protocol, now or before; it has been reset and is out of use.
    DeviceError,
    /// There is no memory for it in this machine.
    OutOfMemory,
    /// The host has no memory for it.
    HostOutOfMemory,
    /// The device refused it with this answer (virtio 1.2, 5.7.6.7, `VIRTIO_GPU_RESP_ERR_*`).
    Refused(u32),
    /// [`MAX_PRESENTS`] have not ended.
    Busy,
    /// No such scan-out or buffer, a side that is out of [`SIDE`], a hot spot outside of the image.
    Invalid,
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpuError::DeviceError => f.write_str("the device broke the virtio protocol"),
            GpuError::OutOfMemory => f.write_str("not enough contiguous memory"),
            GpuError::HostOutOfMemory => f.write_str("the host has no memory for the picture"),
            GpuError::Refused(answer) => write!(f, "the device answered {answer:#x}"),
            GpuError::Busy => f.write_str("too many pictures have not been shown yet"),
            GpuError::Invalid => f.write_str("no such picture, or an impossible size"),
        }
    }
}

impl From<Refusal> for GpuError {
    fn from(refusal: Refusal) -> GpuError {
        match refusal {
            Refusal::OutOfMemory => GpuError::HostOutOfMemory,
            Refusal::Other(answer) => GpuError::Refused(answer),
        }
    }
}

/// What [`Gpu::poll`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A present has ended.
    Presented {
        /// Its scan-out.
        scanout: usize,
        /// What the caller gave.
        tag: u64,
        /// `Ok`: the device has read the buffer and shows it.
        result: Result<(), GpuError>,
    },
    /// [`Gpu::size`] or [`Gpu::edid`] of this scan-out has changed.
    Changed {
        /// The scan-out.
        scanout: usize,
    },
}

/// A frame buffer.
struct Buffer {
    resource: u32,
    region: Region,
    picture: Rectangle,
    /// The resource was created on the host, or its creation is on the way. The same for the other
    /// two, its memory and the whole of its contents.
    created: bool,
    attached: bool,
    copied: bool,
    /// The device may know its memory.
    given: bool,
    /// The caller has given it back.
    released: bool,
}

/// A present that has not been reported.
struct Present {
    number: u64,
    tag: u64,
    /// Commands that the device has not answered.
    unanswered: usize,
    result: Result<(), GpuError>,
}

/// A scan-out.
#[derive(Default)]
struct Scanout {
    size: Option<(u32, u32)>,
    edid: Vec<u8>,
    /// The resource that it shows, or is about to; 0: none.
    shown: u32,
    presents: VecDeque<Present>,
    cursor: Cursor,
}

/// What is asked for of the displays.
enum Query {
    None,
    /// The sizes.
    Sizes,
    /// The EDID of a scan-out, and what is known by now.
    Edid(usize, Found),
}

/// The sizes and EDIDs that a query has found.
type Found = Vec<(Option<(u32, u32)>, Vec<u8>)>;

/// A graphics adapter. Dropping it resets the device, and frees its buffers.
pub struct Gpu {
    device: Device,
    memory: MemoryRef,
    control: Control,
    cursors: CursorQueue,
    scanouts: Vec<Scanout>,
    buffers: Vec<Buffer>,
    /// The number of the last resource and of the last present.
    resources: u32,
    presents: u64,
    /// The number of the last present when the device was last asked for changes.
    checked: u64,
    query: Query,
    /// What is asked for has changed meanwhile.
    outdated: bool,
    /// The first query has ended.
    ready: bool,
    events: VecDeque<Event>,
}

impl Gpu {
    /// Starts the device, and asks it for its displays: see [`is_ready`](Gpu::is_ready).
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(transport: Box<dyn Transport>, memory: MemoryRef) -> Result<Gpu, Error> {
        let wanted = feature::ALL | device::feature::QUEUE;
        let mut device = Device::new(transport, DeviceType::GPU, wanted, &|features| features)?;
        if device.is_legacy() {
            return Err(Error::NotModern);
        }
        let scanouts = device.config_u32(CONFIG_SCANOUTS).unwrap_or(0) as usize;
        if !(1..=MAX_SCANOUTS).contains(&scanouts) {
            return Err(Error::BadConfig);
        }
        let control = Control::new(memory, &mut device)?;
        let cursors = CursorQueue::new(memory, &mut device)?;
        device.start();
        let mut gpu = Gpu {
            device,
            memory,
            control,
            cursors,
            scanouts: (0..scanouts).map(|_| Scanout::default()).collect(),
            buffers: Vec::new(),
            resources: 0,
            presents: 0,
            checked: 0,
            query: Query::None,
            outdated: false,
            ready: false,
            events: VecDeque::new(),
        };
        gpu.ask();
        gpu.kick();
        Ok(gpu)
    }

    /// Acknowledges the device's interrupts.
    pub fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    /// All negotiated feature bits, for a log line.
    pub fn features(&self) -> u64 {
        self.device.features()
    }

    /// False once the device broke the protocol: the driver has reset it, and everything unfinished
    /// has ended with [`GpuError::DeviceError`].
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// Whether [`size`](Gpu::size) and [`edid`](Gpu::edid) are known, or will never be.
    pub fn is_ready(&self) -> bool {
        self.ready || !self.is_running()
    }

    /// Number of scan-outs, 1 to 16. It stays the same.
    pub fn scanouts(&self) -> usize {
        self.scanouts.len()
    }

    /// The size that the device prefers for a scan-out, in pixels; none where nothing shows it.
    pub fn size(&self, scanout: usize) -> Option<(u32, u32)> {
        self.scanouts.get(scanout)?.size
    }

    /// The EDID of what shows a scan-out, at most 1024 unchecked bytes ([`edid::parse`]); empty if
    /// there is none.
    pub fn edid(&self, scanout: usize) -> &[u8] {
        let scanout = self.scanouts.get(scanout);
        scanout.map_or(&[], |scanout| &scanout.edid)
    }

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

    fn new_resource(&mut self) -> Result<u32, GpuError> {
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

    fn push(
        &mut self,
        command: Command,
        what: What,
        resource: u32,
        present: Option<(usize, u64)>,
    ) -> usize {
        let purpose = Purpose {
            what,
            resource,
            present,
        };
        self.control.push(command, purpose);
        1
    }

    fn show_nothing(&mut self, scanout: usize) {
        self.scanouts[scanout].shown = 0;
        let command = Command::scanout(scanout as u32, 0, 0, 0);
        self.push(command, What::Scanout(scanout), 0, None);
    }

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
        let size = CURSOR_SIZE as u32;
        if scanout >= self.scanouts.len() || hot_spot.0 >= size || hot_spot.1 >= size {
            return Err(GpuError::Invalid);
        }
        let image = cursor::boxed(image).ok_or(GpuError::OutOfMemory)?;
        if self.scanouts[scanout].cursor.resource() == 0 {
            let region = cursor::region(self.memory).ok_or(GpuError::OutOfMemory)?;
            let resource = self.new_resource()?;
            self.scanouts[scanout].cursor.give(resource, region);
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

    /// Notifies the device of what was submitted: at most one exit for each of its two queues.
    pub fn kick(&mut self) {
        if !self.is_running() {
            return;
        }
        for scanout in 0..self.scanouts.len() {
            self.see_to_cursor(scanout);
        }
        self.control.kick(&self.device);
        self.cursors.kick(&self.device);
    }

    /// Sends what a cursor waits for.
    fn see_to_cursor(&mut self, scanout: usize) {
        // Room for all three commands first: a copy that has begun is sent.
        if self.control.reserve(3)
            && let Some((resource, phys, len)) = self.scanouts[scanout].cursor.copy()
        {
            let size = CURSOR_SIZE as u32;
            let cursor = &mut self.scanouts[scanout].cursor;
            let create = !core::mem::replace(&mut cursor.created, true);
            let attach = !core::mem::replace(&mut cursor.attached, true) || create;
            if create {
                let command = Command::create(resource, size, size, true);
                self.push(command, What::Create, resource, None);
            }
            if attach {
                let command = Command::attach(resource, phys, len);
                self.push(command, What::Attach, resource, None);
            }
            let command = Command::transfer(resource, size, Rectangle::of(size, size));
            self.push(command, What::Cursor(scanout), resource, None);
        }
        self.cursors
            .send(scanout, &mut self.scanouts[scanout].cursor);
    }

    /// Takes what the device has done, submits what now has room, and reports events. Never blocks.
    pub fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        if self.is_running() {
            if self.take_answers().is_err() {
                self.fail();
            } else {
                if self.presents - self.checked >= CHECK_AFTER {
                    // For a caller that never waits.
                    self.check_config();
                }
                self.kick();
            }
        }
        // Those that are there now: what `report` causes is for the next call.
        for _ in 0..self.events.len() {
            if let Some(event) = self.events.pop_front() {
                report(event);
            }
        }
    }

    fn take_answers(&mut self) -> Result<(), DeviceError> {
        while let Some(answer) = self.control.pop()? {
            self.answered(answer)?;
        }
        while let Some(scanout) = self.cursors.pop()? {
            if let Some(scanout) = self.scanouts.get_mut(scanout) {
                scanout.cursor.returned();
            }
        }
        Ok(())
    }

    /// A command has ended.
    fn answered(&mut self, answer: Answer) -> Result<(), DeviceError> {
        let Answer { purpose, result } = answer;
        if let Err(refusal) = result {
            let (what, resource) = (purpose.what, purpose.resource);
            log::warn!(
                target: "drivers",
                "a graphics device refused a command: {what:?} {resource}: {refusal:?}"
            );
        }
        match purpose.what {
            What::Create | What::Attach | What::Transfer => {
                if result.is_err() {
                    self.not_copied(purpose);
                }
            }
            What::Flush => {
                if let (Err(_), Some((scanout, _))) = (result, purpose.present) {
                    self.not_shown(scanout, purpose.resource);
                }
            }
            What::Scanout(scanout) => {
                if result.is_err() {
                    self.not_shown(scanout, purpose.resource);
                }
            }
            What::Unref => self.given_back(purpose.resource, result.is_ok()),
            What::Cursor(scanout) => self.scanouts[scanout].cursor.copied(result.is_ok()),
            What::DisplayInfo => self.take_sizes(result.is_ok())?,
            What::Edid(_) => self.take_edid(result.is_ok())?,
        }
        if let Some((scanout, number)) = purpose.present {
            let presents = &mut self.scanouts[scanout].presents;
            if let Some(present) = presents.iter_mut().find(|p| p.number == number) {
                present.unanswered = present.unanswered.saturating_sub(1);
                if let (Err(refusal), Ok(())) = (result, present.result) {
                    present.result = Err(refusal.into());
                }
            }
            self.finish(scanout);
        }
        Ok(())
    }

    /// The host hasn't got what a command was to give it: the next present does that again.
    fn not_copied(&mut self, purpose: Purpose) {
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

    /// A scan-out doesn't show what it was to: the next present shows all of its buffer.
    fn not_shown(&mut self, scanout: usize, resource: u32) {
        let shown = &mut self.scanouts[scanout].shown;
        if *shown == resource {
            *shown = 0;
        }
    }

    /// The device has answered that it doesn't use a buffer any more, or has refused to.
    fn given_back(&mut self, resource: u32, well: bool) {
        let found = |buffer: &Buffer| buffer.resource == resource;
        if let Some(index) = self.buffers.iter().position(found) {
            let mut buffer = self.buffers.swap_remove(index);
            // Of a resource that was never created the device has no memory.
            if !well && buffer.created {
                buffer.region.leak();
            }
        }
    }

    /// Reports the presents of a scan-out that have ended, in order.
    fn finish(&mut self, scanout: usize) {
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

    /// Asks the device whether displays have changed: one exit. Call this before waiting. The
    /// answer comes as [`Event::Changed`].
    pub fn check_config(&mut self) {
        if !self.is_running() {
            return;
        }
        self.checked = self.presents;
        let events = self.device.config_u32(CONFIG_EVENTS_READ).unwrap_or(0);
        if events & EVENT_DISPLAY != 0 {
            let clear = self
                .device
                .write_config_u32(CONFIG_EVENTS_CLEAR, EVENT_DISPLAY);
            debug_assert!(clear.is_some(), "next to what was read");
            match self.query {
                Query::None => {
                    self.ask();
                    self.kick();
                }
                _ => self.outdated = true,
            }
        }
    }

    /// Begins a query.
    fn ask(&mut self) {
        if self.control.reserve(1) {
            self.query = Query::Sizes;
            self.push(Command::display_info(), What::DisplayInfo, 0, None);
        } else {
            // There is no memory: the next event asks again.
            self.ready = true;
        }
    }

    fn take_sizes(&mut self, well: bool) -> Result<(), DeviceError> {
        let mut found = Found::new();
        for index in 0..self.scanouts.len() {
            let size = match well {
                true => protocol::scanout_size(self.control.query_answer(), index),
                false => Ok(None),
            };
            let size = size.map_err(|_| DeviceError)?;
            found.push((
                size.filter(|(width, height)| *width > 0 && *height > 0),
                Vec::new(),
            ));
        }
        self.ask_edid(0, found);
        Ok(())
    }

    /// Asks for the EDID of the next scan-out that is enabled, or ends the query.
    fn ask_edid(&mut self, from: usize, found: Found) {
        let mut rest = from..found.len();
        let next = rest.find(|index| found[*index].0.is_some());
        let next = next.filter(|_| self.device.has(feature::EDID) && self.control.reserve(1));
        let Some(next) = next else {
            self.take_query(found);
            return;
        };
        self.push(Command::edid(next as u32), What::Edid(next), 0, None);
        self.query = Query::Edid(next, found);
    }

    fn take_edid(&mut self, well: bool) -> Result<(), DeviceError> {
        let Query::Edid(index, mut found) = core::mem::replace(&mut self.query, Query::None) else {
            return Ok(());
        };
        if well {
            let edid = protocol::edid_of(self.control.query_answer());
            found[index].1 = edid.map_err(|_| DeviceError)?.to_vec();
        }
        self.ask_edid(index + 1, found);
        Ok(())
    }

    /// Takes over what a query has found.
    fn take_query(&mut self, found: Found) {
        self.query = Query::None;
        for (index, (scanout, (size, edid))) in self.scanouts.iter_mut().zip(found).enumerate() {
            if (scanout.size, &scanout.edid) != (size, &edid) {
                (scanout.size, scanout.edid) = (size, edid);
                if self.ready {
                    self.events.push_back(Event::Changed { scanout: index });
                }
            }
        }
        self.ready = true;
        if core::mem::take(&mut self.outdated) {
            self.ask();
        }
    }

    /// True if [`poll`](Gpu::poll) has something to do, as far as memory tells.
    pub fn has_pending(&self) -> bool {
        !self.events.is_empty()
            || self.is_running() && (self.control.has_used() || self.cursors.has_used())
    }

    /// Call this before waiting: requests an interrupt for whatever ends next. Returns true if
    /// there is already something to do: don't wait.
    #[must_use = "what is there already may not interrupt"]
    pub fn enable_interrupts(&mut self) -> bool {
        if !self.is_running() {
            return !self.events.is_empty();
        }
        // Both, whatever the first says.
        let answered = self.control.enable_interrupts();
        let returned = self.cursors.enable_interrupts();
        answered || returned || !self.events.is_empty()
    }

    /// Disables the interrupts of the queues; some may still come.
    pub fn disable_interrupts(&self) {
        if self.is_running() {
            self.control.disable_interrupts();
            self.cursors.disable_interrupts();
        }
    }

    /// Leaves the device to another driver: resets it, and ends everything that is unfinished with
    /// [`GpuError::DeviceError`]. Sizes and EDIDs stay as they were.
    pub fn suspend(&mut self) {
        self.control.mark_failed();
        self.cursors.mark_failed();
        let reset = self.device.stop();
        self.query = Query::None;
        self.end_all(reset);
    }

    /// Takes the device up again, and asks it for its displays: see [`is_ready`](Gpu::is_ready).
    /// Frame buffers are as they were; cursors are hidden.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.device.restart()?;
        let queues = self.control.restart(&mut self.device);
        if let Err(error) = queues.and_then(|()| self.cursors.restart(&mut self.device)) {
            self.device.stop();
            return Err(error);
        }
        self.device.start();
        for buffer in &mut self.buffers {
            (buffer.created, buffer.attached, buffer.copied) = (false, false, false);
            buffer.given = false;
        }
        for scanout in &mut self.scanouts {
            scanout.cursor = Cursor::default();
        }
        self.ready = false;
        self.ask();
        self.kick();
        Ok(())
    }

    /// The device broke the protocol: resets it, and ends everything with an error.
    fn fail(&mut self) {
        log::error!(target: "drivers", "a graphics device broke the virtio protocol and was reset");
        self.control.mark_failed();
        self.cursors.mark_failed();
        let reset = self.device.stop();
        self.query = Query::None;
        self.ready = true;
        self.end_all(reset);
        for (index, scanout) in self.scanouts.iter_mut().enumerate() {
            if scanout.size.take().is_some() {
                self.events.push_back(Event::Changed { scanout: index });
            }
            scanout.edid.clear();
        }
    }

    /// Ends all presents; `reset`: the device uses no memory any more.
    fn end_all(&mut self, reset: bool) {
        for (index, scanout) in self.scanouts.iter_mut().enumerate() {
            scanout.shown = 0;
            for present in scanout.presents.drain(..) {
                let result = present.result.and(Err(GpuError::DeviceError));
                self.events.push_back(Event::Presented {
                    scanout: index,
                    tag: present.tag,
                    result,
                });
            }
        }
        // The caller's part of these is over.
        self.buffers.retain_mut(|buffer| {
            if buffer.released && !reset {
                buffer.region.leak();
            }
            !buffer.released
        });
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        if !self.device.stop() {
            self.control.leak();
            self.cursors.leak();
            for buffer in &mut self.buffers {
                buffer.region.leak();
            }
            for scanout in &mut self.scanouts {
                scanout.cursor.leak();
            }
        }
    }
}

/// The parts of a picture that the damage covers: an array, and how many of it count.
fn merge(damage: &[Rectangle], picture: Rectangle) -> ([Rectangle; MAX_RECTANGLES], usize) {
    let mut parts = [Rectangle::of(0, 0); MAX_RECTANGLES];
    let mut count = 0;
    for part in damage.iter().filter_map(|part| part.on(picture)) {
        match parts.get_mut(count) {
            Some(place) => {
                *place = part;
                count += 1;
            }
            None => {
                parts[0] = parts.into_iter().fold(part, Rectangle::around);
                count = 1;
            }
        }
    }
    (parts, count)
}

#[cfg(test)]
mod tests;

//! A graphics adapter in its 2D mode (virtio 1.2, 5.7): scan-outs that show frame buffers, with
//! hardware cursors.
//!
//! The caller draws into a frame buffer, memory that the driver owns. [`Gpu::present`] copies the
//! damaged parts to the host and shows them, or shows the memory itself if the device offers blob
//! resources; [`Gpu::poll`] reports the completion, by a fence. Memory is freed only after the
//! device has confirmed that it no longer uses it.
//!
//! The scan-outs' sizes and EDIDs are queried at the start, and again when the device reports a
//! change ([`Gpu::check_config`]).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::DeviceError;
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef};

mod buffers;
mod control;
mod cursor;
mod damage;
pub mod edid;
mod frame_buffer;
mod presents;
mod protocol;
mod queries;
mod resource;
mod scanout;

use buffers::Buffer;
pub use buffers::SIDE;
use control::{Control, Purpose, Response, What};
use cursor::{Cursor, CursorQueue};
pub use cursor::{Image, SIZE as CURSOR_SIZE};
pub use device_types::display::Rectangle;
pub use frame_buffer::FrameBuffer;
pub use presents::MAX_PRESENTS;
use protocol::{Command, Kind, MAX_SCANOUTS, Refusal};
use queries::{CHECK_AFTER, CONFIG_SCANOUTS, Query};
use resource::Host;
use scanout::{Present, Scanout, Shown};

/// Feature bits of graphics adapters (virtio 1.2, 5.7.3) that the driver uses.
pub mod feature {
    /// The device reports the monitors' EDIDs.
    pub const EDID: u64 = 1 << 1;
    /// A resource may be memory of the guest's that the host reads in place.
    pub const RESOURCE_BLOB: u64 = 1 << 3;

    /// All of the above.
    pub const ALL: u64 = EDID | RESOURCE_BLOB;
}

/// Reason for which an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuError {
    /// The device broke the protocol; it has been reset and is out of use.
    DeviceError,
    /// Out of memory in the guest.
    OutOfMemory,
    /// Out of memory on the host.
    HostOutOfMemory,
    /// The device refused the command with this response (virtio 1.2, 5.7.6.7,
    /// `VIRTIO_GPU_RESP_ERR_*`).
    Refused(u32),
    /// [`MAX_PRESENTS`] presents are in progress.
    Busy,
    /// No such scan-out or buffer, a side that is out of [`SIDE`], or a hot spot outside the image.
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

/// An event that [`Gpu::poll`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A present has ended.
    Presented {
        /// Its scan-out.
        scanout: usize,
        /// The caller's tag.
        tag: u64,
        /// `Ok`: the device has read the buffer, and shows it or a later one.
        result: Result<(), GpuError>,
    },
    /// [`Gpu::size`] or [`Gpu::edid`] of this scan-out has changed.
    Changed {
        /// The scan-out.
        scanout: usize,
    },
}

/// A graphics adapter. Dropping it resets the device, and frees its buffers.
///
/// ```
/// use drivers::fake::{Adapter, HostMemory, Options, connect};
/// use drivers::gpu::{Event, Gpu, Rectangle};
///
/// let memory = HostMemory::new();
/// let adapter = Adapter::new(&[Some((64, 48))]);
/// let (transport, device) = connect(memory, adapter, Options::default());
/// let mut gpu = Gpu::new(Box::new(transport), memory)?;
/// while !gpu.is_ready() {
///     gpu.poll(&mut |_| ());
/// }
/// assert_eq!(gpu.size(0), Some((64, 48)));
/// let (buffer, pixels) = gpu.create(64, 48).unwrap();
/// // SAFETY: the buffer has 64 * 48 pixels until it is released.
/// unsafe { pixels.write(0x00ff_ffff) };
/// gpu.present(0, buffer, &[Rectangle::of(64, 48)], 1).unwrap();
/// let mut shown = false;
/// while !shown {
///     gpu.poll(&mut |event| shown |= matches!(event, Event::Presented { tag: 1, .. }));
/// }
/// device.with(|adapter| assert_eq!(adapter.screens[0].pixels[0], 0x00ff_ffff));
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Gpu {
    device: Device,
    memory: MemoryRef,
    control: Control,
    cursors: CursorQueue,
    scanouts: Vec<Scanout>,
    buffers: Vec<Buffer>,
    /// Number of the last resource.
    resources: u32,
    /// Number of the last present.
    presents: u64,
    /// `presents` at the last [`Gpu::check_config`].
    checked: u64,
    query: Query,
    /// The displays changed during the query.
    outdated: bool,
    /// The first query has ended.
    ready: bool,
    events: VecDeque<Event>,
    /// The kinds of commands whose last one was refused.
    refused: Vec<Kind>,
}

impl Gpu {
    /// Starts the device, and queries its displays: see [`is_ready`](Gpu::is_ready). Each connected
    /// scan-out then gets an [`Event::Changed`]. Waits for a reset, see [`suspend`](Gpu::suspend).
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(transport: Box<dyn Transport>, memory: MemoryRef) -> Result<Gpu, Error> {
        let wanted = feature::ALL | device::feature::QUEUE;
        let mut device = Device::new(transport, memory, DeviceType::GPU, wanted, &|features| {
            features
        })?;
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
            refused: Vec::new(),
        };
        gpu.start_query();
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

    /// False once the device broke the protocol: the driver has reset it, and all unfinished work
    /// has ended with [`GpuError::DeviceError`].
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// Whether [`size`](Gpu::size) and [`edid`](Gpu::edid) are known, or the device has failed.
    pub fn is_ready(&self) -> bool {
        self.ready || !self.is_running()
    }

    /// Number of scan-outs, 1 to 16. It never changes.
    pub fn scanouts(&self) -> usize {
        self.scanouts.len()
    }

    /// The size that the device prefers for a scan-out, in pixels; `None` if it isn't connected.
    pub fn size(&self, scanout: usize) -> Option<(u32, u32)> {
        self.scanouts.get(scanout)?.size
    }

    /// The EDID of a scan-out's monitor, at most 1024 unchecked bytes ([`edid::parse`]); empty if
    /// there is none.
    pub fn edid(&self, scanout: usize) -> &[u8] {
        let scanout = self.scanouts.get(scanout);
        scanout.map_or(&[], |scanout| &scanout.edid)
    }

    /// Appends a command, for which there is room, and counts it in its present.
    fn push(&mut self, command: Command, what: What, resource: u32, present: Option<(usize, u64)>) {
        if let Some(present) = self.present_of(present) {
            present.unanswered += 1;
        }
        let purpose = Purpose {
            what,
            resource,
            present,
        };
        self.control.push(command, purpose);
    }

    /// The present with this scan-out and number, if it has not ended.
    fn present_of(&mut self, present: Option<(usize, u64)>) -> Option<&mut Present> {
        let (scanout, number) = present?;
        let presents = &mut self.scanouts.get_mut(scanout)?.presents;
        presents.iter_mut().find(|present| present.number == number)
    }

    /// Notifies the device of submitted commands: at most one exit for each of its two queues.
    pub fn kick(&mut self) {
        if !self.is_running() {
            return;
        }
        for scanout in 0..self.scanouts.len() {
            self.update_cursor(scanout);
        }
        self.control.kick(&self.device);
        self.cursors.kick(&self.device);
    }

    /// Handles completed commands, submits waiting ones, and reports events. Never blocks.
    pub fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        if self.is_running() {
            if self.take_responses().is_err() {
                self.fail();
            } else {
                if self.presents - self.checked >= CHECK_AFTER {
                    // For a caller that never waits.
                    self.check_config();
                }
                self.kick();
            }
        }
        // Only the events present now: those that `report` causes are for the next call.
        for _ in 0..self.events.len() {
            if let Some(event) = self.events.pop_front() {
                report(event);
            }
        }
    }

    fn take_responses(&mut self) -> Result<(), DeviceError> {
        while let Some(answer) = self.control.pop()? {
            self.on_response(answer)?;
        }
        while let Some(scanout) = self.cursors.pop()? {
            if let Some(scanout) = self.scanouts.get_mut(scanout) {
                scanout.cursor.returned();
            }
        }
        Ok(())
    }

    /// Handles a completed command.
    fn on_response(&mut self, answer: Response) -> Result<(), DeviceError> {
        let Response {
            kind,
            purpose,
            result,
        } = answer;
        self.note(kind, purpose, result);
        match purpose.what {
            What::Create | What::Attach | What::Transfer => {
                if result.is_err() {
                    self.not_copied(purpose);
                }
            }
            What::Flush => {
                if let (Err(_), Some((scanout, _))) = (result, purpose.present) {
                    self.on_scanout_failed(scanout, purpose.resource);
                }
            }
            What::Scanout(scanout) => {
                if result.is_err() {
                    self.not_in_place(purpose.resource);
                    self.on_scanout_failed(scanout, purpose.resource);
                }
            }
            What::Unref => self.on_unref(purpose.resource, result),
            What::Replace => self.replaced(purpose.resource, result),
            What::Cursor(scanout) => self.scanouts[scanout].cursor.copied(result),
            What::DisplayInfo => self.take_sizes(result)?,
            What::Edid(_) => self.take_edid(result)?,
        }
        if let Some(present) = self.present_of(purpose.present) {
            present.unanswered = present.unanswered.saturating_sub(1);
            if let (Err(refusal), Ok(())) = (result, present.result) {
                present.result = Err(refusal.into());
            }
        }
        if let Some((scanout, _)) = purpose.present {
            self.finish(scanout);
        }
        Ok(())
    }

    /// Logs a refusal: one line per kind of command until one of that kind succeeds, since a device
    /// that refuses everything would fill the log.
    fn note(&mut self, kind: Kind, purpose: Purpose, result: Result<(), Refusal>) {
        let known = self.refused.iter().position(|refused| *refused == kind);
        match (result, known) {
            (Ok(()), Some(index)) => {
                self.refused.swap_remove(index);
            }
            (Err(refusal), None) => {
                let resource = purpose.resource;
                log::warn!(
                    target: "drivers",
                    "a graphics device refused a command: {kind:?}, resource {resource}: {}; more \
                     of the kind aren't logged until one succeeds",
                    GpuError::from(refusal)
                );
                if self.refused.try_reserve(1).is_ok() {
                    self.refused.push(kind);
                }
            }
            _ => (),
        }
    }

    /// Whether the rings show work for [`poll`](Gpu::poll).
    pub fn has_pending(&self) -> bool {
        !self.events.is_empty()
            || self.is_running() && (self.control.queue.has_used() || self.cursors.queue.has_used())
    }

    /// Call before waiting: requests an interrupt for the next completion. Returns true if there is
    /// already work: don't wait.
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    pub fn enable_interrupts(&mut self) -> bool {
        if !self.is_running() {
            return !self.events.is_empty();
        }
        // Both must run, whatever the first returns.
        let on_response = self.control.queue.enable_interrupts();
        let returned = self.cursors.queue.enable_interrupts();
        on_response || returned || !self.events.is_empty()
    }

    /// Disables the interrupts of the queues; some may still arrive.
    pub fn disable_interrupts(&self) {
        if self.is_running() {
            self.control.queue.disable_interrupts();
            self.cursors.queue.disable_interrupts();
        }
    }

    /// Yields the device to another driver: resets it, and ends all unfinished work with
    /// [`GpuError::DeviceError`]. Sizes and EDIDs are kept. Waits for the reset: one exit, or 100
    /// 000 if the device doesn't come out of it.
    pub fn suspend(&mut self) {
        self.control.mark_failed();
        self.cursors.queue.mark_failed();
        let reset = self.device.stop();
        self.query = Query::None;
        self.complete_all(reset);
    }

    /// Restarts the device, and queries its displays: see [`is_ready`](Gpu::is_ready). Changes are
    /// reported as [`Event::Changed`]. Frame buffers are kept; cursors are hidden. Waits for a
    /// reset, see [`suspend`](Gpu::suspend).
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset, and [not running](Gpu::is_running): another driver
    /// may use it.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.device.restart()?;
        let queues = self.control.restart(&mut self.device);
        if let Err(error) = queues.and_then(|()| self.cursors.restart(&mut self.device)) {
            self.device.stop();
            return Err(error);
        }
        self.device.start();
        for buffer in &mut self.buffers {
            (buffer.host, buffer.whole) = (Host::Nothing, None);
        }
        for scanout in &mut self.scanouts {
            scanout.cursor = Cursor::default();
        }
        self.ready = false;
        self.start_query();
        self.kick();
        Ok(())
    }

    /// The device broke the protocol: resets it, and ends all work with an error.
    fn fail(&mut self) {
        log::error!(target: "drivers", "a graphics device broke the virtio protocol and was reset");
        self.control.mark_failed();
        self.cursors.queue.mark_failed();
        let reset = self.device.stop();
        self.query = Query::None;
        self.ready = true;
        self.complete_all(reset);
        for (index, scanout) in self.scanouts.iter_mut().enumerate() {
            if scanout.size.take().is_some() {
                self.events.push_back(Event::Changed { scanout: index });
            }
            scanout.edid.clear();
        }
    }

    /// Ends all presents. `reset`: the device no longer uses any memory.
    fn complete_all(&mut self, reset: bool) {
        for (index, scanout) in self.scanouts.iter_mut().enumerate() {
            scanout.shown = Shown::Nothing;
            for present in scanout.presents.drain(..) {
                let result = present.result.and(Err(GpuError::DeviceError));
                self.events.push_back(Event::Presented {
                    scanout: index,
                    tag: present.tag,
                    result,
                });
            }
        }
        // The caller has already released these.
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

#[cfg(test)]
mod tests;

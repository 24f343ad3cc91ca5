//! A graphics adapter that shows one frame buffer. It allocates nothing once it has its memory, so
//! that its output also works in a crash.
//!
//! Programs use the driver [`Gpu`](super::Gpu). The two may take turns at one device: each start
//! resets it.

use alloc::boxed::Box;

use super::protocol::{self, Command, HEADER, Kind, MAX_COMMAND, MAX_RESPONSE, MAX_SCANOUTS};
use super::queries::{CONFIG_EVENTS_CLEAR, CONFIG_EVENTS_READ, CONFIG_SCANOUTS, EVENT_DISPLAY};
use super::{GpuError, Rectangle, SIDE};
use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::transport::Transport;
use crate::{Error, MemoryRef, Region};

/// Maximum number of commands in flight: create, attach, copy, show, flush.
const SLOTS: usize = 5;
/// Descriptors: two per command without indirect tables.
const QUEUE_SIZE: (u16, u16) = (16, 16);
/// Bytes of the memory of a command with its response.
const SLOT: usize = MAX_COMMAND + MAX_RESPONSE;
/// The resource's number on the host.
const RESOURCE: u32 = 1;

/// A command that the device has.
#[derive(Clone, Copy)]
struct Sent {
    kind: Kind,
    fence: Option<u64>,
}

/// See the module's documentation. Dropping it resets the device.
pub struct FrameBuffer {
    device: Device,
    memory: MemoryRef,
    queue: Queue,
    commands: Region,
    pixels: Option<Region>,
    sent: [Option<Sent>; SLOTS],
    fence: u64,
    /// Number of the device's scan-outs.
    scanouts: usize,
    /// The scan-out in use, and its preferred size; `None` until the device has reported one.
    scanout: Option<(u32, (u32, u32))>,
    /// The size of the picture on the host.
    shown: Option<(u32, u32)>,
    is_running: bool,
}

impl From<DeviceError> for GpuError {
    fn from(_: DeviceError) -> GpuError {
        GpuError::DeviceError
    }
}

impl FrameBuffer {
    /// Checks that the driver supports the device, and leaves it stopped. Waits for resets, see
    /// [`stop`](FrameBuffer::stop).
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(transport: Box<dyn Transport>, memory: MemoryRef) -> Result<FrameBuffer, Error> {
        let wanted = device::feature::QUEUE;
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
        let queue = device.queue(memory, 0, QUEUE_SIZE, 2)?;
        let commands = Region::new(memory, SLOTS * SLOT, 64).ok_or(Error::OutOfMemory)?;
        let mut buffer = FrameBuffer {
            device,
            memory,
            queue,
            commands,
            pixels: None,
            sent: [None; SLOTS],
            fence: 0,
            scanouts,
            scanout: None,
            shown: None,
            is_running: false,
        };
        buffer.stop();
        Ok(buffer)
    }

    /// Starts the device from any state, and queries its displays: see [`poll`](FrameBuffer::poll).
    /// Waits for a reset, see [`stop`](FrameBuffer::stop).
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is [stopped](FrameBuffer::stop).
    pub fn start(&mut self) -> Result<(), Error> {
        self.is_running = false;
        self.shown = None;
        self.sent = [None; SLOTS];
        let started = self.try_start();
        if started.is_err() {
            self.stop();
        }
        started
    }

    fn try_start(&mut self) -> Result<(), Error> {
        self.device.restart()?;
        self.queue.restart(self.device.transport_mut())?;
        self.device.start();
        self.is_running = true;
        self.take_change();
        let result = self.send(&[Command::display_info()]);
        result.map_err(|_| Error::DeviceError)
    }

    /// Resets the device, which then shows nothing and uses no memory. Returns false if it doesn't
    /// come out of reset: its memory is never used again. Waits for the reset: one exit, or 100 000
    /// if the device doesn't come out of it.
    pub fn stop(&mut self) -> bool {
        self.is_running = false;
        self.shown = None;
        self.sent = [None; SLOTS];
        let done = self.device.stop();
        if let Some(mut pixels) = self.pixels.take_if(|_| !done) {
            pixels.leak();
        }
        done
    }

    /// Whether the device is started.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// Whether commands are in flight.
    pub fn is_busy(&self) -> bool {
        self.sent.iter().any(Option::is_some)
    }

    /// The size that the device prefers for the first connected scan-out, within [`SIDE`]; `None`
    /// if there is none, or before the response.
    pub fn size(&self) -> Option<(u32, u32)> {
        let side = |side: u32| side.clamp(*SIDE.start(), *SIDE.end());
        let (_, (width, height)) = self.scanout?;
        Some((side(width), side(height)))
    }

    /// Whether the displays have changed since the last call or the start: one exit. A restart
    /// reads the new size.
    pub fn take_change(&mut self) -> bool {
        let events = self.device.config_u32(CONFIG_EVENTS_READ).unwrap_or(0);
        let changed = events & EVENT_DISPLAY != 0;
        if changed {
            // The register after the one just read.
            let _ = self
                .device
                .write_config_u32(CONFIG_EVENTS_CLEAR, EVENT_DISPLAY);
        }
        changed
    }

    /// Grows the memory to this many pixels; false if there is no memory, or the device may be
    /// using the current one.
    pub fn reserve(&mut self, pixels: usize) -> bool {
        if self.pixels().len() >= pixels {
            return true;
        }
        if self.shown.is_some() {
            return false;
        }
        let Some(bytes) = pixels.checked_mul(4).filter(|bytes| *bytes > 0) else {
            return false;
        };
        match Region::new(self.memory, bytes, 4096) {
            Some(region) => {
                self.pixels = Some(region);
                true
            }
            None => false,
        }
    }

    /// The pixels, row by row. The picture may show pixels drawn while the device is busy.
    pub fn pixels(&mut self) -> &mut [u32] {
        let Some(region) = &mut self.pixels else {
            return &mut [];
        };
        // SAFETY: the region lives as long as `self`, is initialised, and is aligned to pages. The
        // device only reads it, whatever it contains.
        unsafe { core::slice::from_raw_parts_mut(region.ptr(0).cast().as_ptr(), region.len() / 4) }
    }

    /// Shows the pixels as a picture of this size. Only `part` is copied, or all of it the first
    /// time and after a change of size. Completes when the device is no longer busy.
    ///
    /// # Errors
    ///
    /// [`GpuError::Busy`]; [`GpuError::Invalid`]: too few pixels, or no scan-out;
    /// [`GpuError::DeviceError`].
    pub fn present(&mut self, size: (u32, u32), part: Rectangle) -> Result<(), GpuError> {
        if !self.is_running {
            return Err(GpuError::DeviceError);
        }
        if self.is_busy() {
            return Err(GpuError::Busy);
        }
        let (width, height) = size;
        let picture = Rectangle::of(width, height);
        let enough = width as usize * height as usize <= self.pixels().len();
        let (Some((scanout, _)), Some(region), true) = (self.scanout, &self.pixels, enough) else {
            return Err(GpuError::Invalid);
        };
        let (phys, len) = (region.phys(0), width * height * 4);
        if self.shown == Some(size) {
            let Some(part) = part.clipped(width, height) else {
                return Ok(());
            };
            let copy = Command::transfer(RESOURCE, width, part);
            return self.send(&[copy, Command::flush(RESOURCE, part)]);
        }
        if self.shown.is_some() {
            return Err(GpuError::Invalid);
        }
        self.shown = Some(size);
        self.send(&[
            Command::create(RESOURCE, width, height, false),
            Command::attach(RESOURCE, phys, len),
            Command::transfer(RESOURCE, width, picture),
            Command::scanout(scanout, RESOURCE, width, height),
            Command::flush(RESOURCE, picture),
        ])
    }

    /// Submits commands. None are in flight.
    fn send(&mut self, commands: &[Command]) -> Result<(), GpuError> {
        if !self.is_running {
            return Err(GpuError::DeviceError);
        }
        for (index, command) in commands.iter().enumerate() {
            let mut command = *command;
            self.fence += 1;
            command.set_fence(self.fence);
            let start = index * SLOT;
            let bytes = command.bytes();
            let answer = match command.kind {
                Kind::GetDisplayInfo => MAX_RESPONSE,
                _ => HEADER,
            };
            // SAFETY: no command is in flight.
            unsafe {
                self.commands
                    .slice(start, bytes.len())
                    .copy_from_slice(bytes);
                self.commands.slice(start + MAX_COMMAND, answer).fill(0);
            }
            let buffers = [
                Buffer::readable(self.commands.phys(start), bytes.len()),
                Buffer::writable(self.commands.phys(start + MAX_COMMAND), answer),
            ];
            let added = self.queue.add(&buffers, index as u32);
            added.map_err(|_| GpuError::DeviceError)?;
            let place = self.sent.get_mut(index).ok_or(GpuError::Invalid)?;
            *place = Some(Sent {
                kind: command.kind,
                fence: command.fence(),
            });
        }
        self.queue.kick(self.device.transport());
        Ok(())
    }

    /// Handles the device's responses.
    ///
    /// # Errors
    ///
    /// The device broke the protocol, or refused a command: it is unusable until it is started
    /// again.
    pub fn poll(&mut self) -> Result<(), GpuError> {
        if !self.is_running {
            return Err(GpuError::DeviceError);
        }
        while let Some(completion) = self.queue.pop()? {
            let index = completion.token as usize;
            let sent = self.sent.get_mut(index).and_then(Option::take);
            let sent = sent.ok_or(GpuError::DeviceError)?;
            let written = (completion.written as usize).min(MAX_RESPONSE);
            // SAFETY: the device has returned the slot. If it writes there nonetheless, that
            // changes only the value of a number.
            let answer = unsafe { self.commands.slice(index * SLOT + MAX_COMMAND, written) };
            let checked = protocol::check(answer, sent.kind, sent.fence);
            checked.map_err(|_| GpuError::DeviceError)??;
            if sent.kind == Kind::GetDisplayInfo {
                self.scanout = None;
                for scanout in (0..self.scanouts).rev() {
                    let size = protocol::scanout_size(answer, scanout);
                    let size = size.map_err(|_| GpuError::DeviceError)?;
                    let size = size.filter(|(width, height)| *width > 0 && *height > 0);
                    self.scanout = size.map(|size| (scanout as u32, size)).or(self.scanout);
                }
            }
        }
        Ok(())
    }
}

impl Drop for FrameBuffer {
    fn drop(&mut self) {
        if !self.stop() {
            self.queue.leak();
            self.commands.leak();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    use super::{Error, FrameBuffer, GpuError, Rectangle};
    use crate::device::feature;
    use crate::device_type::DeviceType;
    use crate::fake::{Adapter, Handle, HostMemory, Liar, Options, connect};
    use crate::gpu::Gpu;
    use crate::transport::share;
    use proptest::prelude::*;

    const SIZE: (u32, u32) = (64, 48);
    const PIXELS: usize = 64 * 48;
    const PART: Rectangle = Rectangle {
        x: 60,
        y: 40,
        width: 100,
        height: 2,
    };

    fn new(options: Options) -> (FrameBuffer, Handle<Adapter>, &'static HostMemory) {
        let memory = HostMemory::new();
        let adapter = Adapter::new(&[None, Some((64, 48))]);
        let (transport, handle) = connect(memory, adapter, options);
        (
            FrameBuffer::new(Box::new(transport), memory).unwrap(),
            handle,
            memory,
        )
    }

    fn started(options: Options) -> (FrameBuffer, Handle<Adapter>) {
        let (mut buffer, handle, _) = new(options);
        buffer.start().unwrap();
        finish(&mut buffer);
        assert!(buffer.reserve(PIXELS));
        (buffer, handle)
    }

    fn finish(buffer: &mut FrameBuffer) {
        while buffer.is_busy() {
            buffer.poll().unwrap();
        }
    }

    fn shown(handle: &Handle<Adapter>) -> Vec<u32> {
        handle.with(|adapter| adapter.screens[1].pixels.clone())
    }

    fn commands(handle: &Handle<Adapter>) -> Vec<u32> {
        handle.with(|adapter| adapter.commands.split_off(0))
    }

    #[test]
    fn a_picture_is_shown_and_then_its_changes() {
        for options in Options::modern() {
            let (mut buffer, handle) = started(options);
            assert_eq!(
                (buffer.size(), commands(&handle)),
                (Some(SIZE), vec![0x100])
            );
            buffer.pixels().fill(1);
            buffer.present(SIZE, PART).unwrap();
            finish(&mut buffer);
            assert_eq!(commands(&handle), [0x101, 0x106, 0x105, 0x103, 0x104]);
            assert_eq!(shown(&handle), vec![1; PIXELS]);
            buffer.pixels().fill(2);
            buffer.present(SIZE, PART).unwrap();
            assert_eq!(buffer.present(SIZE, PART), Err(GpuError::Busy));
            finish(&mut buffer);
            assert_eq!(commands(&handle), [0x105, 0x104]);
            let changed = shown(&handle).iter().filter(|pixel| **pixel == 2).count();
            assert_eq!(changed, 4 * 2);
        }
    }

    #[test]
    fn a_start_takes_the_device_over_from_another_driver() {
        let (mut buffer, handle) = started(Options::default());
        for pixel in 1..4 {
            buffer.start().unwrap();
            finish(&mut buffer);
            buffer.pixels().fill(pixel);
            buffer.present(SIZE, PART).unwrap();
            finish(&mut buffer);
            assert_eq!(shown(&handle), vec![pixel; PIXELS]);
            // In the middle of something.
            buffer.present(SIZE, PART).unwrap();
        }
        assert!(buffer.stop());
        assert_eq!(buffer.present(SIZE, PART), Err(GpuError::DeviceError));
        assert!(buffer.poll().is_err());
    }

    #[test]
    fn two_drivers_take_turns() {
        let memory = HostMemory::new();
        let adapter = Adapter::new(&[None, Some(SIZE)]);
        let (transport, handle) = connect(memory, adapter, Options::default());
        // SAFETY: one thread.
        let [ours, theirs] = unsafe { share(Box::new(transport)) };
        let mut buffer = FrameBuffer::new(ours, memory).unwrap();
        let mut gpu = Gpu::new(theirs, memory).unwrap();
        gpu.suspend();
        let (number, pixels) = {
            gpu.resume().unwrap();
            gpu.create(64, 48).unwrap()
        };
        assert!(buffer.reserve(PIXELS));
        for _ in 0..3 {
            gpu.present(1, number, &[], 0).unwrap();
            gpu.kick();
            assert_eq!(shown(&handle), vec![0; PIXELS]);
            gpu.suspend();
            buffer.start().unwrap();
            finish(&mut buffer);
            buffer.pixels().fill(1);
            buffer.present(SIZE, PART).unwrap();
            finish(&mut buffer);
            assert_eq!(shown(&handle), vec![1; PIXELS]);
            buffer.stop();
            gpu.resume().unwrap();
        }
        // SAFETY: the buffer's memory, which is the program's.
        assert_eq!(unsafe { pixels.read() }, 0);
        // A crash interrupts the present.
        buffer.start().unwrap();
        finish(&mut buffer);
        buffer.present(SIZE, PART).unwrap();
        finish(&mut buffer);
        assert_eq!(shown(&handle), vec![1; PIXELS]);
    }

    /// Options of a device that fails at a restart.
    fn bad_options() -> [Options; 3] {
        let good = Options::default();
        let without = |feature: u64| Options {
            features: good.features & !feature,
            ..good
        };
        [
            without(feature::VERSION_1),
            without(feature::EVENT_IDX),
            Options {
                rejects_features: true,
                ..good
            },
        ]
    }

    #[test]
    fn a_driver_that_failed_to_start_does_not_touch_the_device() {
        for options in bad_options() {
            let memory = HostMemory::new();
            let adapter = Adapter::new(&[None, Some(SIZE)]);
            let (transport, handle) = connect(memory, adapter, Options::default());
            // SAFETY: one thread.
            let [ours, theirs] = unsafe { share(Box::new(transport)) };
            let mut buffer = FrameBuffer::new(ours, memory).unwrap();
            let mut gpu = Gpu::new(theirs, memory).unwrap();
            gpu.suspend();
            handle.set_options(options);
            assert!(gpu.resume().is_err());
            assert!(!gpu.is_running() && handle.status().is_empty());
            handle.set_options(Options::default());

            buffer.start().unwrap();
            finish(&mut buffer);
            assert!(buffer.reserve(PIXELS));
            buffer.pixels().fill(1);
            buffer.present(SIZE, PART).unwrap();
            finish(&mut buffer);
            let resets = handle.resets();
            gpu.kick();
            gpu.poll(&mut |_| ());
            gpu.check_config();
            assert!(!gpu.has_pending() && !gpu.enable_interrupts());
            assert_eq!(handle.resets(), resets);
            assert_eq!(shown(&handle), vec![1; PIXELS]);
            // The program's driver runs again.
            buffer.stop();
            gpu.resume().unwrap();
            gpu.poll(&mut |_| ());
            assert!(gpu.is_running());
        }
    }

    #[test]
    fn a_start_that_fails_leaves_no_memory_to_the_device() {
        for options in bad_options() {
            let (mut buffer, handle) = started(Options::default());
            buffer.present(SIZE, PART).unwrap();
            handle.set_options(options);
            assert!(buffer.start().is_err());
            assert!(!buffer.is_running() && handle.status().is_empty());
            handle.set_options(Options::default());
            buffer.start().unwrap();
            finish(&mut buffer);
            buffer.present(SIZE, PART).unwrap();
            finish(&mut buffer);
        }
    }

    #[test]
    fn memory_of_a_device_that_does_not_reset_is_never_used_again() {
        let (mut buffer, handle, memory) = new(Options::default());
        buffer.start().unwrap();
        finish(&mut buffer);
        assert!(buffer.reserve(PIXELS));
        buffer.present(SIZE, PART).unwrap();
        finish(&mut buffer);
        let before = memory.allocated();
        handle.set_options(Options {
            never_resets: true,
            ..Options::default()
        });
        assert_eq!(buffer.start(), Err(Error::NotReset));
        assert!(buffer.reserve(PIXELS + 1));
        assert!(memory.allocated() >= before + PIXELS * 4);
        drop(buffer);
        assert!(memory.allocated() >= before);
    }

    #[test]
    fn sizes_are_those_that_there_is_memory_for() {
        let (mut buffer, _, memory) = new(Options::default());
        assert_eq!(buffer.size(), None);
        assert_eq!(buffer.present(SIZE, PART), Err(GpuError::DeviceError));
        assert!(!buffer.reserve(usize::MAX / 2) && !buffer.reserve(usize::MAX));
        buffer.start().unwrap();
        finish(&mut buffer);
        assert!(buffer.reserve(PIXELS));
        assert_eq!(buffer.present((65, 48), PART), Err(GpuError::Invalid));
        buffer.present(SIZE, PART).unwrap();
        finish(&mut buffer);
        assert!(!buffer.reserve(PIXELS + 1), "the device has its memory");
        assert_eq!(buffer.present((16, 16), PART), Err(GpuError::Invalid));
        buffer.stop();
        assert!(buffer.reserve(PIXELS + 1));
        drop(buffer);
        assert_eq!(memory.allocated(), 0);
    }

    #[test]
    fn a_change_of_the_displays_is_reported_once() {
        let (mut buffer, handle) = started(Options::default());
        assert!(!buffer.take_change());
        handle.with(|adapter| (adapter.sizes[1], adapter.events) = (Some((80, 40)), 1));
        assert!(buffer.take_change() && !buffer.take_change());
        buffer.start().unwrap();
        finish(&mut buffer);
        assert_eq!(buffer.size(), Some((80, 40)));
    }

    #[test]
    fn a_refusal_and_a_wrong_answer_are_errors() {
        let (mut buffer, handle) = started(Options::default());
        handle.with(|adapter| adapter.refuse.insert(0x105, 0x1200));
        buffer.present(SIZE, PART).unwrap();
        let results: Vec<_> = (0..5).map(|_| buffer.poll()).collect();
        assert!(
            results.contains(&Err(GpuError::Refused(0x1200))),
            "{results:?}"
        );
        handle.with(|adapter| adapter.mangle = Some(|answer| answer[8] ^= 1));
        buffer.start().unwrap();
        finish(&mut buffer);
        buffer.present(SIZE, PART).unwrap();
        let results: Vec<_> = (0..5).map(|_| buffer.poll()).collect();
        assert!(results.contains(&Err(GpuError::DeviceError)), "{results:?}");
        handle.with(|adapter| (adapter.mangle, adapter.left) = (None, 0));
        buffer.start().unwrap();
        assert_eq!((buffer.poll(), buffer.is_busy()), (Ok(()), true));
    }

    proptest! {
        #[test]
        fn no_lie_panics_or_hangs(
            script in prop::collection::vec(crate::gpu::tests::hostile::lie(), 1..30),
            deaf in any::<bool>(),
        ) {
            let memory = HostMemory::new();
            let mut config = vec![0; 16];
            config[8] = 2;
            let mut liar = Liar::new(DeviceType::GPU, 0, config, vec![16, 2]);
            let steps = script.len();
            liar.script.extend(script);
            let options = Options { never_resets: deaf, ..Options::default() };
            let (transport, handle) = connect(memory, liar, options);
            if let Ok(mut buffer) = FrameBuffer::new(Box::new(transport), memory) {
                for step in 0..steps {
                    if step % 7 == 0 {
                        let _ = buffer.start();
                        buffer.reserve(PIXELS);
                    }
                    let _ = buffer.present(SIZE, PART);
                    buffer.pixels().fill(step as u32);
                    handle.step();
                    let _ = buffer.poll();
                    buffer.take_change();
                }
            }
        }
    }
}

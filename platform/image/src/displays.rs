//! Displays: the scan-outs of virtio graphics adapters, or else others ([`copied`]).

mod copied;

use crate::{Image, Interest, Source, devices, screen};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use drivers::device_type::DeviceType;
use drivers::gpu::{self, Gpu, GpuError, edid};
use kernel::devices::MEMORY;
use kernel::guarded::Guarded;
use kernel::{time, wait};
use platform::display::{
    All, Buffer, BufferId, CURSOR_SIZE, DisplayDevice, Event, Rectangle, State,
};
use platform::error::{Error, Failure};

/// An adapter, shared between its displays and the wait, which arms its interrupts.
struct Adapter {
    /// Its address.
    place: String,
    gpu: Guarded<Gpu>,
    /// It may interrupt, because the program was about to sleep.
    armed: Cell<bool>,
    /// Events of each scan-out that its display hasn't reported yet.
    events: Guarded<Vec<VecDeque<gpu::Event>>>,
    /// The console is on it while the program has none of its displays open.
    console: bool,
    /// Number of its open displays.
    open: Cell<usize>,
}

impl Source for Adapter {
    fn has_pending(&self) -> bool {
        // If another thread's call uses the adapter, it has to be waited for.
        self.gpu.try_lock().is_some_and(|gpu| gpu.has_pending()) || self.has_events()
    }

    fn arm(&self) -> bool {
        let Some(mut gpu) = self.gpu.try_lock() else {
            return true;
        };
        self.armed.set(true);
        if gpu.enable_interrupts() || self.has_events() {
            return true;
        }
        // Only before a sleep, as it is an exit that waits while the device copies.
        gpu.check_config();
        false
    }
}

impl Adapter {
    /// Opens one of its displays.
    fn acquire(&self) -> Result<(), drivers::Error> {
        if self.console && self.open.get() == 0 {
            screen::lend();
            let mut gpu = self.gpu.lock();
            if let Err(error) = gpu.resume() {
                screen::restore();
                return Err(error);
            }
            learn(&mut gpu, &self.place, &mut |event| self.note(event));
        }
        self.open.set(self.open.get() + 1);
        Ok(())
    }

    /// Closes an open one.
    fn release(&self) {
        self.open.set(self.open.get() - 1);
        if self.console && self.open.get() == 0 {
            self.gpu.lock().suspend();
            screen::restore();
        }
    }

    /// Stores an event for its display.
    fn note(&self, event: gpu::Event) {
        let (gpu::Event::Presented { scanout, .. } | gpu::Event::Changed { scanout }) = event;
        if let Some(events) = self.events.lock().get_mut(scanout) {
            events.push_back(event);
        }
    }

    /// Whether a display has events to report that the poll of another one has taken.
    fn has_events(&self) -> bool {
        let events = self.events.try_lock();
        events.is_some_and(|events| events.iter().any(|events| !events.is_empty()))
    }
}

/// A display: a scan-out of an adapter.
struct Display {
    name: String,
    adapter: Rc<Adapter>,
    scanout: usize,
    state: State,
}

impl platform::Displays for Image {
    const NO_DISPLAY: &str = "no display: give the machine one (soil run --display)";

    fn displays(_: &mut Interest) -> Result<All<Image>, Failure> {
        // A second driver of a Bochs adapter would take it away from the first.
        static PROBED: AtomicBool = AtomicBool::new(false);
        if PROBED.swap(true, Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let found = open();
        Ok(match found.is_empty() {
            true => copied::open(),
            false => found,
        })
    }

    fn show_console() -> bool {
        screen::start()
    }

    fn update_console() {
        screen::show();
    }

    fn console_due() -> Option<u64> {
        screen::due()
    }
}

/// Starts all virtio adapters.
fn open() -> All<Image> {
    let mut opened: All<Image> = Vec::new();
    for found in devices::take(DeviceType::GPU) {
        let console = screen::is_at(&found.place);
        if console {
            screen::lend();
        }
        let mut gpu = match Gpu::new(found.transport, MEMORY) {
            Ok(gpu) => gpu,
            Err(error) => {
                log::error!("graphics adapter at {}: {error}", found.place);
                if console {
                    screen::restore();
                }
                continue;
            }
        };
        // The states below include it.
        learn(&mut gpu, &found.place, &mut |_| ());
        let scanouts = gpu.scanouts();
        let states: Vec<State> = (0..scanouts).map(|scanout| state(&gpu, scanout)).collect();
        if console {
            gpu.suspend();
            screen::restore();
        }
        let adapter = Rc::new(Adapter {
            place: found.place,
            gpu: Guarded::new(gpu),
            armed: Cell::new(false),
            events: Guarded::new((0..scanouts).map(|_| VecDeque::new()).collect()),
            console,
            open: Cell::new(0),
        });
        for (scanout, state) in states.into_iter().enumerate() {
            opened.push(Box::new(Display {
                name: format!("display{}", opened.len()),
                adapter: Rc::clone(&adapter),
                scanout,
                state,
            }));
        }
    }
    opened
}

/// Waits until the adapter at `place` has reported its displays. If that takes too long they keep
/// their state, initially disconnected, until an event.
fn learn(gpu: &mut Gpu, place: &str, report: &mut dyn FnMut(gpu::Event)) {
    let until = time::monotonic_ns() + devices::DEVICE_TIMEOUT_NS;
    loop {
        // Before the poll: while this machine was suspended the adapter may have responded.
        let late = time::monotonic_ns() >= until;
        gpu.poll(report);
        if gpu.is_ready() || late {
            gpu.disable_interrupts();
            if !gpu.is_ready() {
                log::warn!("the graphics adapter at {place} doesn't answer");
            }
            return;
        }
        if !gpu.enable_interrupts() {
            wait::wait_until(Some(until));
        }
    }
}

/// The state of a scan-out.
fn state(gpu: &Gpu, scanout: usize) -> State {
    let size = gpu.size(scanout);
    let edid = gpu.edid(scanout);
    let monitor = edid::parse(edid).unwrap_or_default();
    // Within the size of a buffer, whatever the device reports.
    let side = |side: u32| side.clamp(*gpu::SIDE.start(), *gpu::SIDE.end());
    let (width, height) = size.map_or((0, 0), |(width, height)| (side(width), side(height)));
    State {
        connected: size.is_some(),
        width,
        height,
        modes: monitor.modes,
        monitor: monitor.name,
        size_mm: monitor.size_mm,
        edid: edid.to_vec(),
    }
}

/// The adapter's buffer of this number, whose rows are contiguous.
fn buffer(number: u32, pixels: NonNull<u32>, (width, height): (u32, u32)) -> Buffer {
    Buffer {
        id: BufferId(number),
        pixels,
        width,
        height,
        stride: width,
    }
}

/// The failure for lack of memory for a frame buffer.
fn no_memory(name: &str, width: u32, height: u32) -> Failure {
    let detail = format!(
        "{name}: not enough memory in one piece for a frame buffer of {width}x{height}: give the \
         machine more (soil run --mem)"
    );
    Failure::new(Error::OutOfMemory, detail)
}

/// The failure for a frame buffer with an invalid side.
fn bad_size(name: &str, width: u32, height: u32) -> Failure {
    let (least, most) = (gpu::SIDE.start(), gpu::SIDE.end());
    let detail = format!(
        "{name}: a frame buffer of {width}x{height}: each side is {least} to {most} pixels"
    );
    Failure::new(Error::Invalid, detail)
}

/// The code of a failure.
fn code(error: GpuError) -> Error {
    match error {
        GpuError::Busy => Error::Busy,
        GpuError::Invalid => Error::Invalid,
        GpuError::OutOfMemory | GpuError::HostOutOfMemory => Error::OutOfMemory,
        _ => Error::Io,
    }
}

impl Display {
    fn failure(&self, error: GpuError) -> Failure {
        Failure::new(code(error), format!("{}: {error}", self.name))
    }

    /// Runs `f` on the adapter and the number of the scan-out.
    fn with<R>(&self, f: impl FnOnce(&mut Gpu, usize) -> R) -> R {
        f(&mut self.adapter.gpu.lock(), self.scanout)
    }
}

impl DisplayDevice<Image> for Display {
    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn open(&mut self) -> Result<(), Failure> {
        let done = self.adapter.acquire();
        done.map_err(|error| Failure::new(Error::Io, format!("{}: {error}", self.name)))?;
        if self.adapter.console {
            self.state = state(&self.adapter.gpu.lock(), self.scanout);
        }
        Ok(())
    }

    fn close(&mut self) {
        self.adapter.release();
    }

    fn create(&mut self, width: u32, height: u32) -> Result<Buffer, Failure> {
        let made = self.with(|gpu, _| gpu.create(width, height));
        let (number, pixels) = made.map_err(|error| match error {
            GpuError::OutOfMemory => no_memory(&self.name, width, height),
            GpuError::Invalid => bad_size(&self.name, width, height),
            error => self.failure(error),
        })?;
        Ok(buffer(number, pixels, (width, height)))
    }

    fn release(&mut self, buffer: BufferId) {
        self.with(|gpu, _| gpu.release(buffer.0));
    }

    fn present(&mut self, buffer: BufferId, damage: &[Rectangle], tag: u64) -> Result<(), Failure> {
        let done = self.with(|gpu, scanout| gpu.present(scanout, buffer.0, damage, tag));
        done.map_err(|error| self.failure(error))
    }

    fn disable(&mut self) -> Result<(), Failure> {
        let done = self.with(Gpu::disable);
        done.map_err(|error| self.failure(error))
    }

    fn set_cursor(
        &mut self,
        image: &[u32; CURSOR_SIZE * CURSOR_SIZE],
        hot_spot: (u32, u32),
    ) -> Result<(), Failure> {
        let done = self.with(|gpu, scanout| gpu.set_cursor(scanout, image, hot_spot));
        done.map_err(|error| self.failure(error))
    }

    fn move_cursor(&mut self, x: u32, y: u32) {
        self.with(|gpu, scanout| gpu.move_cursor(scanout, x, y));
    }

    fn hide_cursor(&mut self) {
        self.with(Gpu::hide_cursor);
    }

    fn kick(&mut self) {
        self.with(|gpu, _| gpu.kick());
    }

    fn arm(&mut self, interest: &mut Interest) {
        interest.source(Rc::clone(&self.adapter) as Rc<dyn Source>);
    }

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        let mut gpu = self.adapter.gpu.lock();
        if self.adapter.armed.take() {
            gpu.disable_interrupts();
        }
        gpu.poll(&mut |event| self.adapter.note(event));
        let mut events = self.adapter.events.lock();
        let mine = events.get_mut(self.scanout).map(core::mem::take);
        for event in mine.unwrap_or_default() {
            report(match event {
                gpu::Event::Presented { tag, result, .. } => {
                    Event::Presented(tag, result.map_err(|error| self.failure(error)))
                }
                gpu::Event::Changed { .. } => {
                    self.state = state(&gpu, self.scanout);
                    Event::Changed
                }
            });
        }
    }
}

//! The console on the first display (`SOIL_CONSOLE=display`), crash reports included.
//!
//! A part of the kernel's console gets all output, and writes the text into a [`Terminal`] in memory
//! after [`start`]. Changes are drawn and presented by the runtime's wait and, while the
//! program computes, by ticks, at most every [`FRAME_NS`]. Only the start waits for the device, for
//! one response, and the end of the machine, for two: each at most [`DEVICE_TIMEOUT_NS`]. Each use
//! of the screen has interrupts disabled, and nothing allocates after the start.
//!
//! The adapter has two drivers: [`FrameBuffer`] here, and `Gpu` while the program has one of the
//! adapter's displays open ([`lend`], [`restore`]). A crash takes the device in any case. Without a
//! virtio adapter it is the firmware's frame buffer, which is used in turns in the same way.

mod adapter;

use crate::devices::{self, DEVICE_TIMEOUT_NS};
use crate::ticks;
use adapter::Adapter;
use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use drivers::device_type::DeviceType;
use drivers::gpu::{FrameBuffer, GpuError};
use drivers::linear::{LinearError, Mode, Picture};
use drivers::transport::share;
use kernel::arch::counter::counter;
use kernel::cell::{ExclusiveCell, rank};
use kernel::clock;
use kernel::console::Mirrors;
use kernel::devices::MEMORY;
use kernel::interrupts::without_interrupts;
use kernel::part;
use kernel::part::keep;
use kernel::wait::Ticks;
use kernel::{console, crash, environment, memory, time};
use terminal::Terminal;

/// The loader's word.
const VARIABLE: &str = "SOIL_FRAMEBUFFER";
/// Minimum time between two pictures, in nanoseconds.
const FRAME_NS: u64 = 16_000_000;
/// Minimum time between checks whether the display has changed, in nanoseconds.
const POLL_NS: u64 = 100_000_000;
/// Maximum number of pixels of the picture. A larger display shows it in its upper part.
const MAX_PIXELS: usize = 3840 * 2160;
/// The size for which memory is reserved if nothing is connected at the start.
const SIZE: (u32, u32) = (1024, 768);
/// Maximum number of bytes processed with interrupts disabled.
const PIECE: usize = 256;

/// Used with interrupts disabled: never concurrently, except by a crash in this code.
static SCREEN: ExclusiveCell<Option<Screen>, rank::Screen> = ExclusiveCell::new(None);
/// [`SCREEN`] has one. Written once, by [`start`].
static SHOWN: AtomicBool = AtomicBool::new(false);

/// The driver that has the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// This one.
    Console,
    /// The program's.
    Program,
    /// No driver: the device failed.
    None,
}

/// Why the console isn't on the display.
enum Unavailable {
    /// The device doesn't start.
    Start(drivers::Error),
    /// A command of its driver failed.
    Device(GpuError),
    /// The device hasn't responded within [`DEVICE_TIMEOUT_NS`].
    Silent,
    /// The firmware's frame buffer can't be used.
    Firmware(LinearError),
    /// Out of memory for a picture.
    Memory,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::Start(error) => error.fmt(f),
            Unavailable::Device(error) => error.fmt(f),
            Unavailable::Firmware(error) => error.fmt(f),
            Unavailable::Silent => {
                let seconds = DEVICE_TIMEOUT_NS / 1_000_000_000;
                write!(f, "it doesn't answer within {seconds} s")
            }
            Unavailable::Memory => f.write_str(
                "not enough memory in one piece for a picture: give the machine more (soil run \
                 --mem)",
            ),
        }
    }
}

impl From<drivers::Error> for Unavailable {
    fn from(error: drivers::Error) -> Unavailable {
        Unavailable::Start(error)
    }
}

impl From<GpuError> for Unavailable {
    fn from(error: GpuError) -> Unavailable {
        Unavailable::Device(error)
    }
}

struct Screen {
    /// The adapter's address.
    place: &'static str,
    buffer: Adapter,
    terminal: Terminal,
    owner: Owner,
    /// Size of the picture; `None` before the first one since the device was started.
    size: Option<(u32, u32)>,
    /// The text has changed since it was drawn.
    changed: bool,
    /// The time of the last command, and of the next check for another size.
    sent_at: u64,
    poll_at: u64,
    /// [`Screen::work`] ran since the last check: check again at `poll_at`.
    polls: bool,
    /// The device refused a command, and has shown no picture since.
    refused: bool,
    /// A crash report has begun.
    is_report: bool,
}

fn with<R>(f: impl FnOnce(&mut Screen) -> R) -> Option<R> {
    without_interrupts(|| SCREEN.try_with(|screen| screen.as_mut().map(f))).flatten()
}

/// Shows the console on the first display from now on, if the command line requests it or the
/// machine has no other console; returns whether it does. Call it once, before displays are scanned
/// for.
pub fn start() -> bool {
    let words = environment::variable(b"SOIL_CONSOLE").unwrap_or_default();
    let requested = words
        .split(|byte| *byte == b',')
        .any(|word| word == b"display");
    if !requested && console::is_present() {
        return false;
    }
    let mut found = devices::take(DeviceType::GPU).into_iter();
    let Some(mut first) = found.next() else {
        return start_firmware();
    };
    // SAFETY: `lend` and `restore` let one driver use the device at a time; in a crash no other
    // code runs.
    let [ours, theirs] = unsafe { share(first.transport) };
    first.transport = theirs;
    let buffer = FrameBuffer::new(ours, MEMORY).map_err(Unavailable::Start);
    let shown = place_on(
        first.place.clone().leak(),
        buffer.map(|buffer| Adapter::Virtio(Box::new(buffer))),
    );
    devices::release(core::iter::once(first).chain(found).collect());
    shown
}

/// The place of the firmware's frame buffer, in messages.
const FIRMWARE: &str = "the firmware's frame buffer";

/// Shows the console on the firmware's frame buffer; returns whether it does.
fn start_firmware() -> bool {
    let Some(mode) = firmware_mode() else {
        console::line(format_args!(
            "SOIL_CONSOLE=display: no virtio display and no frame buffer of UEFI's, and no other \
             shows the console: give the machine one (soil run --display)"
        ));
        return false;
    };
    let picture = Picture::new(MEMORY, mode).map_err(Unavailable::Firmware);
    place_on(FIRMWARE, picture.map(Adapter::Firmware))
}

/// Shows the console on this adapter; returns whether it does.
fn place_on(place: &'static str, buffer: Result<Adapter, Unavailable>) -> bool {
    match buffer.and_then(|buffer| Screen::open(place, buffer)) {
        Ok(screen) => without_interrupts(|| SCREEN.with(|place| *place = Some(screen))),
        Err(why) => console::line(format_args!(
            "SOIL_CONSOLE=display: the display at {place}: {why}"
        )),
    }
    let shown = with(|_| ()).is_some();
    if shown {
        keep(&MIRROR);
        keep(&TICK);
        // Release: the screen exists for the mirror.
        SHOWN.store(true, Ordering::Release);
        if !without_interrupts(ticks::start) {
            log::warn!(
                "no memory for a stack of {} bytes: the console's display stands still while the \
                 program computes",
                ticks::STACK
            );
        }
    }
    shown
}

/// The size of the picture for a display of this size, with at most `pixels` pixels: its columns,
/// and as many rows as fit.
fn fit((width, height): (u32, u32), pixels: usize) -> (u32, u32) {
    let least = *drivers::gpu::SIDE.start();
    match (height as usize).min(pixels / width as usize) as u32 {
        rows if rows < least => (least, least),
        rows => (width, rows),
    }
}

/// Reserves memory for a display of this size; returns the number of pixels.
fn reserve(buffer: &mut Adapter, (width, height): (u32, u32)) -> Result<usize, Unavailable> {
    // The device determines the size. Half of the free memory stays the program's in any case.
    let most = MAX_PIXELS.min(memory::statistics().free as usize / 2 / 4);
    let mut pixels = (width as usize * height as usize).min(most);
    // Free memory may be fragmented.
    while !buffer.reserve(pixels) {
        pixels /= 2;
        if pixels == 0 {
            return Err(Unavailable::Memory);
        }
    }
    Ok(pixels)
}

/// Waits until the device has completed all commands, in any context.
fn finish(buffer: &mut Adapter) -> Result<(), Unavailable> {
    let end = counter().saturating_add(clock::ticks(DEVICE_TIMEOUT_NS));
    loop {
        // Before the poll: while this machine was suspended the device may have responded.
        let late = counter() >= end;
        buffer.poll()?;
        if !buffer.is_busy() {
            return Ok(());
        }
        if late {
            return Err(Unavailable::Silent);
        }
        core::hint::spin_loop();
    }
}

impl Screen {
    fn open(place: &'static str, mut buffer: Adapter) -> Result<Screen, Unavailable> {
        buffer.start()?;
        finish(&mut buffer)?;
        let size = buffer.size().unwrap_or(SIZE);
        let pixels = reserve(&mut buffer, size)?;
        let (width, height) = fit(size, pixels);
        Ok(Screen {
            place,
            buffer,
            terminal: Terminal::new(width, height, pixels).ok_or(Unavailable::Memory)?,
            owner: Owner::Console,
            size: None,
            changed: true,
            sent_at: 0,
            poll_at: 0,
            polls: false,
            refused: false,
            is_report: false,
        })
    }

    /// Adds output.
    fn print(&mut self, mut bytes: &[u8]) {
        if crash::is_reporting() && !self.is_report {
            self.is_report = true;
            self.terminal.begin_report();
            // It ends a line that the program may have begun.
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        self.terminal.write(bytes);
        self.changed = true;
    }

    /// Does pending work, without waiting.
    fn work(&mut self) -> Result<(), Unavailable> {
        if self.owner != Owner::Console {
            return Ok(());
        }
        let now = time::monotonic_ns();
        match self.buffer.poll() {
            Err(GpuError::Refused(_) | GpuError::HostOutOfMemory) if !self.refused => {
                // The host may be unable to for a moment.
                self.refused = true;
                self.sent_at = now;
                return self.restart();
            }
            polled => polled?,
        }
        if self.buffer.is_busy() {
            return match now.saturating_sub(self.sent_at) > DEVICE_TIMEOUT_NS {
                true => Err(Unavailable::Silent),
                false => Ok(()),
            };
        }
        // A picture of this size was shown.
        self.refused &= self.size.is_none();
        self.polls = now < self.poll_at;
        if !self.polls {
            self.poll_at = now + POLL_NS;
            if self.buffer.take_change() {
                self.sent_at = now;
                return self.restart();
            }
        }
        if now >= self.sent_at + FRAME_NS && self.present()? {
            self.sent_at = now;
        }
        Ok(())
    }

    /// Restarts the device.
    fn restart(&mut self) -> Result<(), Unavailable> {
        self.owner = Owner::Console;
        self.size = None;
        Ok(self.buffer.start()?)
    }

    /// Presents changes, if the device isn't busy; returns whether there were any.
    fn present(&mut self) -> Result<bool, Unavailable> {
        let size = match (self.size, self.buffer.size()) {
            (Some(size), _) => size,
            // Nothing is connected.
            (None, None) => return Ok(false),
            (None, Some(display)) => {
                let size = fit(display, self.buffer.pixels().len());
                self.size = Some(size);
                self.terminal.resize(size.0, size.1);
                self.changed = true;
                size
            }
        };
        if !core::mem::take(&mut self.changed) {
            return Ok(false);
        }
        let Some(part) = self.terminal.draw(self.buffer.pixels()) else {
            return Ok(false);
        };
        self.buffer.present(size, part)?;
        Ok(true)
    }

    /// Shows everything at the end of the machine.
    fn end(&mut self) -> Result<(), Unavailable> {
        if self.is_report {
            // In any state of the device and of its previous driver.
            self.restart()?;
        }
        if self.owner == Owner::Console {
            finish(&mut self.buffer)?;
            self.changed = true;
            if self.present()? {
                finish(&mut self.buffer)?;
            }
        }
        Ok(())
    }
}

part! {
    /// The console's output, also on the display.
    static MIRROR: Mirrors = mirror, in ".soil_part.mirror.display";
}

part! {
    /// Changes of the display while the program computes.
    static TICK: Ticks = tick, in ".soil_part.ticks.display";
}

/// Gets the console's output, and its end.
fn mirror(output: Option<&[u8]>) {
    // Acquire: pairs with `place_on`.
    if !SHOWN.load(Ordering::Acquire) {
        return;
    }
    match output {
        Some(bytes) => {
            for piece in bytes.chunks(PIECE) {
                with(|screen| screen.print(piece));
            }
        }
        None => {
            // The serial line has all of it.
            let _ = with(Screen::end);
        }
    }
}

fn tick() {
    if SHOWN.load(Ordering::Acquire) {
        attempt(Screen::work);
    }
}

/// Calls `f` on the device, and abandons the device if that fails.
fn attempt(f: impl FnOnce(&mut Screen) -> Result<(), Unavailable>) {
    let trouble = with(|screen| {
        let trouble = f(screen).err()?;
        screen.owner = Owner::None;
        screen.buffer.stop();
        Some((screen.place, trouble))
    });
    if let Some((place, trouble)) = trouble.flatten() {
        log::error!("the console isn't on the display at {place} any more: {trouble}");
    }
}

/// Presents changes, if it is time. Never waits.
pub fn show() {
    attempt(Screen::work);
}

/// When to call [`show`] again although nothing arrives.
pub fn due() -> Option<u64> {
    with(|screen| {
        let busy = screen.buffer.is_busy();
        // Without a size and without pending work, nothing shows it.
        let shown = busy || screen.size.or(screen.buffer.size()).is_some();
        let waits = busy || shown && (screen.changed || screen.size.is_none());
        let present = waits.then(|| {
            // A little later at least: the device works meanwhile.
            (screen.sent_at + FRAME_NS).max(time::monotonic_ns() + FRAME_NS / 8)
        });
        let poll = screen.polls.then_some(screen.poll_at);
        let due = present.into_iter().chain(poll).min();
        due.filter(|_| screen.owner == Owner::Console)
    })
    .flatten()
}

/// Whether the console is on the adapter at `place`.
pub fn is_at(place: &str) -> bool {
    with(|screen| screen.place == place) == Some(true)
}

/// Yields the adapter to the program's driver.
pub fn lend() {
    with(|screen| {
        screen.buffer.stop();
        screen.owner = Owner::Program;
    });
}

/// Shows the console again, even if its driver had abandoned the device.
pub fn restore() {
    attempt(|screen| {
        screen.changed = true;
        screen.refused = false;
        screen.sent_at = time::monotonic_ns();
        screen.restart()
    });
}

/// Whether the console is on the firmware's frame buffer.
pub fn is_firmware() -> bool {
    is_at(FIRMWARE)
}

/// Yields the firmware's frame buffer to the program's driver, if the console is on it.
pub fn lend_firmware() {
    if is_firmware() {
        lend();
    }
}

/// Shows the console on the firmware's frame buffer again, if it was there.
pub fn restore_firmware() {
    if is_firmware() {
        restore();
    }
}

/// The mode of the firmware's frame buffer, from the loader's word.
pub fn firmware_mode() -> Option<Mode> {
    let text = environment::variable(VARIABLE.as_bytes())?;
    let mode = Mode::parse(text);
    mode.map_err(warn).ok()
}

/// A warning about the word.
pub fn warn(error: LinearError) {
    log::warn!("{VARIABLE}: {error}: the display of the firmware isn't used");
}

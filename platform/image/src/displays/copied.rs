//! Displays without virtio, each always connected: Bochs adapters, and the frame buffer that the
//! loader took over from the firmware.

use super::{bad_size, buffer, no_memory};
use crate::{Image, Interest, Source, screen};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use drivers::bochs::{Bochs, BochsError};
use drivers::gpu::edid;
use drivers::linear::{Linear, LinearError};
use kernel::devices::MEMORY;
use kernel::guarded::Guarded;
use platform::display::{
    self, All, BUFFER_SIDE, Buffer, BufferId, CURSOR_SIZE, DisplayDevice, Event, MAX_PRESENTS,
    Rectangle, State,
};
use platform::error::{Error, Failure};

/// The sizes if no mode of an EDID can be shown, the best first, in pixels. The last one needs less
/// video memory than any adapter has.
const SIZES: [(u32, u32); 3] = [(1024, 768), (640, 480), (128, 96)];

/// Completed presents that were not reported, shared with the wait.
#[derive(Default)]
struct Ended(Guarded<VecDeque<(u64, Result<(), Failure>)>>);

impl Source for Ended {
    fn has_pending(&self) -> bool {
        // If another thread's call uses it, it has to be waited for.
        self.0.try_lock().is_some_and(|ended| !ended.is_empty())
    }

    fn arm(&self) -> bool {
        self.0.try_lock().is_none_or(|ended| !ended.is_empty())
    }
}

/// An adapter that shows a buffer by copying it, before its call returns.
trait Adapter {
    type Error: fmt::Display + PartialEq;
    const NO_MEMORY: Self::Error;

    fn code(error: &Self::Error) -> Error;
    fn open(&mut self) {}
    fn close(&mut self) {}
    fn create(&mut self, width: u32, height: u32) -> Result<(u32, NonNull<u32>), Self::Error>;
    fn release(&mut self, number: u32);
    fn present(&mut self, number: u32, damage: &[Rectangle]) -> Result<(), Self::Error>;
    fn disable(&mut self);
}

impl Adapter for Bochs {
    type Error = BochsError;
    const NO_MEMORY: BochsError = BochsError::OutOfMemory;

    fn code(error: &BochsError) -> Error {
        match error {
            BochsError::Invalid => Error::Invalid,
            BochsError::OutOfMemory | BochsError::VideoMemory { .. } => Error::OutOfMemory,
            _ => Error::Io,
        }
    }

    fn create(&mut self, width: u32, height: u32) -> Result<(u32, NonNull<u32>), BochsError> {
        self.create(width, height)
    }

    fn release(&mut self, number: u32) {
        self.release(number);
    }

    fn present(&mut self, number: u32, damage: &[Rectangle]) -> Result<(), BochsError> {
        self.present(number, damage)
    }

    fn disable(&mut self) {
        self.disable();
    }
}

impl Adapter for Linear {
    type Error = LinearError;
    const NO_MEMORY: LinearError = LinearError::OutOfMemory;

    fn code(error: &LinearError) -> Error {
        match error {
            LinearError::OutOfMemory => Error::OutOfMemory,
            _ => Error::Invalid,
        }
    }

    fn open(&mut self) {
        screen::lend_firmware();
        self.forget();
    }

    fn close(&mut self) {
        screen::restore_firmware();
    }

    fn create(&mut self, width: u32, height: u32) -> Result<(u32, NonNull<u32>), LinearError> {
        self.create(width, height)
    }

    fn release(&mut self, number: u32) {
        self.release(number);
    }

    fn present(&mut self, number: u32, damage: &[Rectangle]) -> Result<(), LinearError> {
        self.present(number, damage)
    }

    fn disable(&mut self) {
        self.disable();
    }
}

struct Display<A> {
    name: String,
    adapter: A,
    state: State,
    ended: Rc<Ended>,
}

/// Starts all Bochs adapters; without one, and with the console on it, the firmware's frame buffer.
pub fn open() -> All<Image> {
    let mut opened: All<Image> = Vec::new();
    if screen::is_firmware() {
        opened.extend(firmware());
        return opened;
    }
    for adapter in kernel::devices::find_bochs(&mut |problem| log::warn!("{problem}")) {
        opened.push(Box::new(Display {
            name: format!("display{}", opened.len()),
            state: state(&adapter),
            adapter,
            ended: Rc::default(),
        }));
    }
    if opened.is_empty() {
        opened.extend(firmware());
    }
    opened
}

/// The firmware's frame buffer as a display.
fn firmware() -> Option<Box<dyn DisplayDevice<Image>>> {
    let mode = screen::firmware_mode()?;
    let adapter = Linear::new(MEMORY, mode).map_err(screen::warn).ok()?;
    let (width, height) = (mode.width, mode.height);
    Some(Box::new(Display {
        name: String::from("display0"),
        adapter,
        state: State {
            connected: true,
            width,
            height,
            modes: Vec::from([display::Mode {
                width,
                height,
                refresh_mhz: 0,
            }]),
            ..State::default()
        },
        ended: Rc::default(),
    }))
}

fn state(adapter: &Bochs) -> State {
    let edid = adapter.edid();
    let monitor = edid::parse(edid).unwrap_or_default();
    // Only those that fit a buffer.
    let fits = |(width, height): &(u32, u32)| adapter.check(*width, *height).is_ok();
    let mut modes = monitor.modes;
    modes.retain(|mode| fits(&(mode.width, mode.height)));
    let first = modes.first().map(|mode| (mode.width, mode.height));
    let usual = SIZES.into_iter().find(fits);
    let (width, height) = first.or(usual).unwrap_or_default();
    State {
        connected: true,
        width,
        height,
        modes,
        monitor: monitor.name,
        size_mm: monitor.size_mm,
        edid: edid.to_vec(),
    }
}

impl<A: Adapter> Display<A> {
    fn failure(&self, error: &A::Error) -> Failure {
        Failure::new(A::code(error), format!("{}: {error}", self.name))
    }
}

impl<A: Adapter> DisplayDevice<Image> for Display<A> {
    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn open(&mut self) -> Result<(), Failure> {
        self.adapter.open();
        Ok(())
    }

    fn close(&mut self) {
        self.adapter.close();
    }

    fn create(&mut self, width: u32, height: u32) -> Result<Buffer, Failure> {
        if !BUFFER_SIDE.contains(&width) || !BUFFER_SIDE.contains(&height) {
            return Err(bad_size(&self.name, width, height));
        }
        let made = self.adapter.create(width, height);
        let (number, pixels) = made.map_err(|error| match error == A::NO_MEMORY {
            true => no_memory(&self.name, width, height),
            false => self.failure(&error),
        })?;
        Ok(buffer(number, pixels, (width, height)))
    }

    fn release(&mut self, buffer: BufferId) {
        self.adapter.release(buffer.0);
    }

    fn present(&mut self, buffer: BufferId, damage: &[Rectangle], tag: u64) -> Result<(), Failure> {
        let mut ended = self.ended.0.lock();
        if ended.len() >= MAX_PRESENTS {
            let detail = format!("{}: too many pictures have not been shown yet", self.name);
            return Err(Failure::new(Error::Busy, detail));
        }
        let shown = self.adapter.present(buffer.0, damage);
        ended.push_back((tag, shown.map_err(|error| self.failure(&error))));
        Ok(())
    }

    fn disable(&mut self) -> Result<(), Failure> {
        self.adapter.disable();
        Ok(())
    }

    fn set_cursor(
        &mut self,
        _: &[u32; CURSOR_SIZE * CURSOR_SIZE],
        _: (u32, u32),
    ) -> Result<(), Failure> {
        let detail = format!("{}: has no cursor of its own", self.name);
        Err(Failure::new(Error::Unsupported, detail))
    }

    fn move_cursor(&mut self, _: u32, _: u32) {}

    fn hide_cursor(&mut self) {}

    fn kick(&mut self) {}

    fn arm(&mut self, interest: &mut Interest) {
        interest.source(Rc::clone(&self.ended) as Rc<dyn Source>);
    }

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        let ended = core::mem::take(&mut *self.ended.0.lock());
        for (tag, result) in ended {
            report(Event::Presented(tag, result));
        }
    }
}

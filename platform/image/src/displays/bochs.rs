//! Displays without virtio: Bochs adapters, each of which is one display that is always connected.

use super::{bad_size, buffer, no_memory};
use crate::{Image, Interest, Source};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use drivers::bochs::{Bochs, BochsError};
use drivers::gpu::edid;
use platform::display::{
    All, Buffer, BufferId, CURSOR_SIZE, DisplayDevice, Event, MAX_PRESENTS, Rectangle, State,
};
use platform::error::{Error, Failure};

/// The sizes if no mode of an EDID can be shown, the best first, in pixels. The last one needs less
/// video memory than any adapter has.
const SIZES: [(u32, u32); 3] = [(1024, 768), (640, 480), (128, 96)];

/// Completed presents that were not reported, shared with the wait.
#[derive(Default)]
struct Ended(RefCell<VecDeque<(u64, Result<(), Failure>)>>);

impl Source for Ended {
    fn has_pending(&self) -> bool {
        // If another thread's call uses it, it has to be waited for.
        self.0.try_borrow().is_ok_and(|ended| !ended.is_empty())
    }

    fn arm(&self) -> bool {
        self.0.try_borrow().map_or(true, |ended| !ended.is_empty())
    }
}

struct Display {
    name: String,
    adapter: Bochs,
    state: State,
    ended: Rc<Ended>,
}

/// Starts all adapters.
pub fn open() -> All<Image> {
    let mut opened: All<Image> = Vec::new();
    for adapter in kernel::devices::find_bochs(&mut |problem| log::warn!("{problem}")) {
        opened.push(Box::new(Display {
            name: format!("display{}", opened.len()),
            state: state(&adapter),
            adapter,
            ended: Rc::default(),
        }));
    }
    opened
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

impl Display {
    fn failure(&self, error: BochsError) -> Failure {
        let code = match error {
            BochsError::Invalid => Error::Invalid,
            BochsError::OutOfMemory | BochsError::VideoMemory { .. } => Error::OutOfMemory,
            _ => Error::Io,
        };
        Failure::new(code, format!("{}: {error}", self.name))
    }
}

impl DisplayDevice<Image> for Display {
    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn create(&mut self, width: u32, height: u32) -> Result<Buffer, Failure> {
        let made = self.adapter.create(width, height);
        let (number, pixels) = made.map_err(|error| match error {
            BochsError::OutOfMemory => no_memory(&self.name, width, height),
            BochsError::Invalid => bad_size(&self.name, width, height),
            error => self.failure(error),
        })?;
        Ok(buffer(number, pixels, (width, height)))
    }

    fn release(&mut self, buffer: BufferId) {
        self.adapter.release(buffer.0);
    }

    fn present(&mut self, buffer: BufferId, damage: &[Rectangle], tag: u64) -> Result<(), Failure> {
        let mut ended = self.ended.0.borrow_mut();
        if ended.len() >= MAX_PRESENTS {
            let detail = format!("{}: too many pictures have not been shown yet", self.name);
            return Err(Failure::new(Error::Busy, detail));
        }
        let shown = self.adapter.present(buffer.0, damage);
        ended.push_back((tag, shown.map_err(|error| self.failure(error))));
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
        let ended = self.ended.0.take();
        for (tag, result) in ended {
            report(Event::Presented(tag, result));
        }
    }
}

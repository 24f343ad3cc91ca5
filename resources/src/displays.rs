//! Displays: the program draws into memory of the device, and waits until the frame is shown.
//!
//! A display is identified by its index. Each presented frame has a number, and frames are shown in
//! this order. A frame that the device doesn't show within [`TIMEOUT_NS`] completes with
//! `Timed_out`. The program gets a frame buffer as a bigarray, and the device gets it back when no
//! bigarray refers to it any more.

use crate::current::{Current, Interest};
use crate::types::{Before, Int, Proxy, View, copy};
use crate::{Driver, Runtime};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::ptr::NonNull;
use platform::display::{BufferId, DisplayDevice, Event, Rectangle, State, TIMEOUT_NS};
use platform::error::{Answer, Error, Failure, Stop};
use platform::{Clock, Displays as _};
use reactor::Cancelled;
use slab::Slab;

/// Maximum number of failed frames whose failures are kept for a later query.
const MAX_FAILURES: usize = 16;

/// Maximum number of damage rectangles in one call; more are merged into one.
const MAX_DAMAGE: usize = 64;

/// Device of a display.
pub(crate) type Device = Box<dyn DisplayDevice<Current>>;

/// All displays.
pub struct Displays {
    all: Vec<Display>,
    /// Scratch buffer, kept to reuse its allocation.
    ended: Vec<(u64, Result<usize, Failure>)>,
}

struct Display {
    device: Device,
    open: bool,
    /// Number of changes of the device's state so far.
    changes: usize,
    lent: Slab<Lent>,
    /// Number of the last frame that was presented.
    presented: u64,
    /// Number of the last frame that has completed.
    ended: u64,
    /// Buffer of the last frame.
    shown: Option<BufferId>,
    /// Deadlines of the frames after that.
    until: VecDeque<u64>,
    failures: VecDeque<(u64, Failure)>,
    waits: Vec<Wait>,
}

/// A pending operation.
struct Wait {
    token: u64,
    /// Waits for the completion of this frame; without one, for a change of state.
    frame: Option<u64>,
}

/// A frame buffer lent to the program.
struct Lent {
    id: BufferId,
    width: u32,
    height: u32,
    /// Boxed, because OCaml keeps its address.
    proxy: NonNull<Proxy>,
    /// Original state of the bigarray; `None` once the program has released it.
    before: Option<Before>,
}

impl Display {
    fn new(device: Device) -> Display {
        Display {
            device,
            open: false,
            changes: 0,
            lent: Slab::new(),
            presented: 0,
            ended: 0,
            shown: None,
            until: VecDeque::new(),
            failures: VecDeque::new(),
            waits: Vec::new(),
        }
    }

    /// Returns the buffers that the program can't reach any more to the device, except the one on
    /// screen: its contents stay visible.
    fn sweep(&mut self) {
        let Display {
            lent,
            device,
            shown,
            ..
        } = self;
        lent.retain(|_, lent| {
            // SAFETY: the proxy was created in `create`, and is freed only below, with its entry.
            let is_unused = unsafe { lent.proxy.as_ref() }.is_unused();
            let keep = lent.before.is_some() || !is_unused || *shown == Some(lent.id);
            if !keep {
                // SAFETY: it came from a box, and no bigarray points at it.
                drop(unsafe { Box::from_raw(lent.proxy.as_ptr()) });
                device.release(lent.id);
            }
            keep
        });
    }

    /// Completes the frames up to this one.
    fn end(&mut self, frame: u64, result: Result<(), Failure>) {
        // A frame that timed out may be reported later.
        while self.ended < frame && self.until.pop_front().is_some() {
            self.ended += 1;
        }
        if let Err(failure) = result {
            if self.failures.len() >= MAX_FAILURES {
                self.failures.pop_front();
            }
            self.failures.push_back((frame, failure));
        }
    }

    /// Returns the result of a completed frame.
    fn result(&self, frame: u64) -> Result<usize, Failure> {
        let failed = self.failures.iter().find(|(failed, _)| *failed == frame);
        failed.map_or(Ok(0), |(_, failure)| Err(failure.clone()))
    }

    /// Polls the device, and collects the operations that complete.
    fn poll(&mut self, now: u64, ended: &mut Vec<(u64, Result<usize, Failure>)>) {
        let before = self.changes;
        let mut frames = Vec::new();
        let changes = &mut self.changes;
        self.device.poll(&mut |event| match event {
            Event::Presented(frame, result) => frames.push((frame, result)),
            Event::Changed => *changes += 1,
        });
        for (frame, result) in frames {
            if frame > self.ended && frame <= self.presented {
                self.end(frame, result);
            }
        }
        while self.until.front().is_some_and(|until| *until <= now) {
            let detail = format!("{}: the display doesn't answer", self.device.name());
            self.end(self.ended + 1, Err(Failure::new(Error::TimedOut, detail)));
        }
        for wait in core::mem::take(&mut self.waits) {
            match wait.frame {
                Some(frame) if frame <= self.ended => ended.push((wait.token, self.result(frame))),
                None if self.changes != before => ended.push((wait.token, Ok(self.changes))),
                _ => self.waits.push(wait),
            }
        }
        self.sweep();
    }
}

/// Returns the displays. The first call discovers them.
fn displays(rt: &mut Runtime) -> Result<&mut Displays, Stop> {
    if rt.resources.displays.is_none() {
        rt.start()?;
        let found = Current::displays(&mut rt.interest).or_else(|failure| rt.fail(failure))?;
        install(rt, found)?;
    }
    rt.resources
        .displays
        .as_deref_mut()
        .ok_or(Stop::Error(Error::NoDevice))
}

/// Installs these displays.
fn install(rt: &mut Runtime, found: Vec<Device>) -> Result<(), Error> {
    let all = found.into_iter().map(Display::new).collect();
    rt.register(&Driver {
        poll,
        deadline: |rt| {
            let all = rt
                .resources
                .displays
                .as_deref()
                .map(|displays| &displays.all);
            let firsts = all?.iter().flat_map(|display| {
                let first = display.until.front().copied();
                [first, display.device.deadline()].into_iter().flatten()
            });
            firsts.min()
        },
        interest,
        finish: |rt| {
            let displays = rt.resources.displays.as_deref();
            displays.is_none_or(|displays| {
                let mut all = displays.all.iter();
                all.all(|display| display.until.is_empty())
            })
        },
        counter: |_, _| 0,
    })?;
    let ended = Vec::new();
    rt.resources.displays = Some(Box::leak(Box::new(Displays { all, ended })));
    Ok(())
}

/// See `soil_use_screen`.
pub fn show_console(rt: &mut Runtime) -> Answer {
    if Current::show_console() {
        rt.start()?;
        const DRIVER: &Driver = &Driver {
            deadline: |_| Current::console_due(),
            ..Driver::of_events(|_, _| Current::update_console(), |_, _| {})
        };
        rt.register(DRIVER)?;
    }
    Ok(0)
}

fn interest(rt: &mut Runtime, interest: &mut Interest) {
    if let Some(displays) = rt.resources.displays.as_deref_mut() {
        for display in &mut displays.all {
            display.device.kick();
            display.device.arm(interest);
        }
    }
}

fn poll(rt: &mut Runtime, now: u64) {
    let Some(displays) = rt.resources.displays.as_deref_mut() else {
        return;
    };
    let mut ended = core::mem::take(&mut displays.ended);
    for display in &mut displays.all {
        display.poll(now, &mut ended);
    }
    for (token, result) in ended.drain(..) {
        match result {
            Ok(answer) => rt.complete(token, Ok(answer)),
            Err(failure) => rt.complete_failed(token, failure),
        }
    }
    if let Some(displays) = rt.resources.displays.as_deref_mut() {
        displays.ended = ended;
    }
}

/// Returns a display, open or not.
fn any(rt: &mut Runtime, display: Int) -> Result<&mut Display, Stop> {
    let index = usize::try_from(display).map_err(|_| Error::Invalid)?;
    let display = displays(rt)?.all.get_mut(index);
    display.ok_or(Stop::Error(Error::NotFound))
}

/// Returns an open display.
fn opened(rt: &mut Runtime, display: Int) -> Result<&mut Display, Stop> {
    let display = any(rt, display)?;
    if display.open {
        Ok(display)
    } else {
        Err(Error::Closed.into())
    }
}

/// Converts the result of a device call to an answer.
fn answer(rt: &mut Runtime, result: Result<(), Failure>) -> Answer {
    result.map(|()| 0).or_else(|failure| rt.fail(failure))
}

/// See `soil_display_name`.
pub fn name(rt: &mut Runtime, display: Int, into: &mut [u8]) -> Answer {
    Ok(copy(any(rt, display)?.device.name().as_bytes(), into))
}

/// See `soil_display_open`.
pub fn open(rt: &mut Runtime, name: &str) -> Answer {
    let displays = displays(rt)?;
    let mut all = displays.all.iter_mut().enumerate();
    let wanted =
        |(_, display): &(usize, &mut Display)| name.is_empty() || display.device.name() == name;
    let failure = match all.find(wanted) {
        Some((_, display)) if display.open => {
            let line = format!("{} is open already", display.device.name());
            Failure::new(Error::Busy, line)
        }
        Some((index, display)) => match display.device.open() {
            Ok(()) => {
                display.open = true;
                return Ok(index);
            }
            Err(failure) => failure,
        },
        None => Failure::new(Error::NoDevice, missing(displays, name)),
    };
    rt.fail(failure)
}

/// Returns the error message for a missing display, in one line.
fn missing(displays: &Displays, name: &str) -> String {
    if displays.all.is_empty() {
        return Current::NO_DISPLAY.into();
    }
    let mut line = format!("no display {name}: there is ");
    for (index, display) in displays.all.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a string can't fail.
        let _ = write!(line, "{comma}{}", display.device.name());
    }
    line
}

/// See `soil_display_close`.
pub fn close(rt: &mut Runtime, display: Int) -> Answer {
    let display = any(rt, display)?;
    if !display.open {
        return Ok(0);
    }
    display.open = false;
    display.device.hide_cursor();
    display.device.kick();
    for (_, lent) in &mut display.lent {
        lent.before = None;
    }
    display.sweep();
    display.device.close();
    let waits = core::mem::take(&mut display.waits);
    for wait in waits {
        rt.complete(wait.token, Err(Error::Closed.into()));
    }
    Ok(0)
}

/// Returns the fields of a display, in the order of `soil_display_info`.
pub fn info(rt: &mut Runtime, display: Int) -> Result<[Int; 8], Stop> {
    let display = any(rt, display)?;
    let State {
        connected,
        width,
        height,
        ref modes,
        size_mm,
        ..
    } = *display.device.state();
    let (width_mm, height_mm) = size_mm.unwrap_or((0, 0));
    Ok([
        connected.into(),
        width as Int,
        height as Int,
        width_mm as Int,
        height_mm as Int,
        modes.len() as Int,
        display.changes as Int,
        display.presented as Int,
    ])
}

/// Returns width, height and refresh rate of a mode.
pub fn mode(rt: &mut Runtime, display: Int, mode: Int) -> Result<[Int; 3], Stop> {
    let mode = usize::try_from(mode).map_err(|_| Error::Invalid)?;
    let modes = &any(rt, display)?.device.state().modes;
    let mode = modes.get(mode).ok_or(Error::NotFound)?;
    Ok([
        mode.width as Int,
        mode.height as Int,
        mode.refresh_mhz as Int,
    ])
}

/// See `soil_display_monitor`.
pub fn monitor(rt: &mut Runtime, display: Int, into: &mut [u8]) -> Answer {
    let state = any(rt, display)?.device.state();
    let name = state.monitor.as_deref().unwrap_or("");
    Ok(copy(name.as_bytes(), into))
}

/// See `soil_display_edid`.
pub fn edid(rt: &mut Runtime, display: Int, into: &mut [u8]) -> Answer {
    Ok(copy(&any(rt, display)?.device.state().edid, into))
}

/// Waits for a change after change number `seen`; see `soil_display_changed`.
pub fn changed(rt: &mut Runtime, display: Int, seen: Int, token: Int) -> Answer {
    let changes = opened(rt, display)?.changes;
    if changes as Int != seen {
        return Ok(changes);
    }
    wait(rt, display, None, token)
}

fn wait(rt: &mut Runtime, display: Int, frame: Option<u64>, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let waits = &mut opened(rt, display)?.waits;
    waits.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    waits.push(Wait { token, frame });
    rt.give_begun(token, cancel)
}

fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    if let Some(displays) = rt.resources.displays.as_deref_mut() {
        for display in &mut displays.all {
            display.waits.retain(|wait| wait.token != token);
        }
    }
    Cancelled::Done
}

/// See `soil_display_buffer`. Points `into`, whose second dimension is `columns`, at the memory of
/// a new frame buffer.
pub fn create(
    rt: &mut Runtime,
    display: Int,
    (width, height): (Int, Int),
    into: &mut View<'_>,
    columns: &mut usize,
) -> Answer {
    let side = |side: Int| u32::try_from(side).map_err(|_| Error::Invalid);
    let (width, height) = (side(width)?, side(height)?);
    if !into.is_empty() {
        return Err(Error::Invalid.into());
    }
    let display = opened(rt, display)?;
    display.sweep();
    let buffer = match display.device.create(width, height) {
        Ok(buffer) => buffer,
        Err(failure) => {
            let failure = failure.within(display.device.name());
            return rt.fail(failure);
        }
    };
    let proxy = Proxy::new(buffer.pixels.cast(), buffer.height as usize);
    let proxy = NonNull::from(Box::leak(Box::new(proxy)));
    *columns = buffer.stride as usize;
    // SAFETY: the device keeps the memory until `release`, and `lent` keeps the proxy, until
    // `sweep` finds that no bigarray uses them.
    let before = Some(unsafe { into.lend(proxy) });
    let lent = Lent {
        id: buffer.id,
        width: buffer.width,
        height: buffer.height,
        proxy,
        before,
    };
    Ok(display.lent.insert(lent) + 1)
}

fn find(display: &mut Display, buffer: Int) -> Result<&mut Lent, Error> {
    let key = usize::try_from(buffer).map_err(|_| Error::Invalid)?;
    let lent = display.lent.get_mut(key.wrapping_sub(1));
    lent.filter(|lent| lent.before.is_some())
        .ok_or(Error::Closed)
}

/// See `soil_display_release`.
pub fn release(rt: &mut Runtime, display: Int, buffer: Int, pixels: &mut View<'_>) -> Answer {
    // Allowed on a closed display as well.
    let display = any(rt, display)?;
    let lent = find(display, buffer)?;
    let before = lent.before.ok_or(Error::Closed)?;
    pixels.restore(lent.proxy, before)?;
    lent.before = None;
    display.sweep();
    Ok(0)
}

/// Decodes rectangles of four numbers each.
fn damage(numbers: &[Int], width: u32, height: u32) -> Result<Vec<Rectangle>, Error> {
    let mut all = Vec::new();
    let (whole, rest) = numbers.as_chunks();
    if !rest.is_empty() {
        return Err(Error::Invalid);
    }
    for [x, y, wide, high] in whole {
        let side = |number: &Int| u32::try_from(*number).map_err(|_| Error::Invalid);
        let rectangle = Rectangle {
            x: side(x)?,
            y: side(y)?,
            width: side(wide)?,
            height: side(high)?,
        };
        all.extend(rectangle.clipped(width, height));
    }
    if all.len() > MAX_DAMAGE {
        let around = all.into_iter().reduce(Rectangle::union);
        return Ok(around.into_iter().collect());
    }
    Ok(all)
}

/// See `soil_display_present`.
pub fn present(rt: &mut Runtime, display: Int, buffer: Int, numbers: &[Int]) -> Answer {
    let display = opened(rt, display)?;
    let &mut Lent {
        id, width, height, ..
    } = find(display, buffer)?;
    let damage = damage(numbers, width, height)?;
    display
        .until
        .try_reserve(1)
        .map_err(|_| Error::OutOfMemory)?;
    let frame = display.presented + 1;
    if let Err(failure) = display.device.present(id, &damage, frame) {
        return rt.fail(failure);
    }
    display.presented = frame;
    display.shown = Some(id);
    let until = Current::monotonic_ns().saturating_add(TIMEOUT_NS);
    display.until.push_back(until);
    display.device.kick();
    usize::try_from(frame).map_err(|_| Error::TooLarge.into())
}

/// See `soil_display_await`.
pub fn await_frame(rt: &mut Runtime, display: Int, frame: Int, token: Int) -> Answer {
    let frame = u64::try_from(frame).map_err(|_| Error::Invalid)?;
    let opened = opened(rt, display)?;
    if frame > opened.presented {
        return Err(Error::Invalid.into());
    }
    if frame <= opened.ended {
        let result = opened.result(frame);
        return result.or_else(|failure| rt.fail(failure));
    }
    wait(rt, display, Some(frame), token)
}

/// See `soil_display_disable`.
pub fn disable(rt: &mut Runtime, display: Int) -> Answer {
    let display = opened(rt, display)?;
    let result = display.device.disable();
    display.device.kick();
    display.shown = None;
    display.sweep();
    answer(rt, result)
}

/// See `soil_display_set_cursor`.
pub fn set_cursor(rt: &mut Runtime, display: Int, image: &[u32], hot_spot: (Int, Int)) -> Answer {
    let image = image.try_into().map_err(|_| Error::Invalid)?;
    let place = |place: Int| u32::try_from(place).map_err(|_| Error::Invalid);
    let hot_spot = (place(hot_spot.0)?, place(hot_spot.1)?);
    let display = opened(rt, display)?;
    let result = display.device.set_cursor(image, hot_spot);
    display.device.kick();
    answer(rt, result)
}

/// See `soil_display_move_cursor`.
pub fn move_cursor(rt: &mut Runtime, display: Int, x: Int, y: Int) -> Answer {
    let place = |place: Int| u32::try_from(place).map_err(|_| Error::Invalid);
    let (x, y) = (place(x)?, place(y)?);
    let display = opened(rt, display)?;
    display.device.move_cursor(x, y);
    display.device.kick();
    Ok(0)
}

/// See `soil_display_hide_cursor`.
pub fn hide_cursor(rt: &mut Runtime, display: Int) -> Answer {
    let display = opened(rt, display)?;
    display.device.hide_cursor();
    display.device.kick();
    Ok(0)
}

#[cfg(test)]
mod tests;

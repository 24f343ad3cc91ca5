//! Displays of a process: pictures in memory, which VNC clients may see.
//!
//! `SOIL_DISPLAY` has these parts, with semicolons between them:
//!
//! | | |
//! |---|---|
//! | `memory=640x480,320x200` | the sizes of the displays |
//! | `vnc=7,8` | the displays' listening sockets, inherited (`soil run`) |
//! | `picture=9` | the file for the first one's picture, inherited (`soil run --screenshot`) |

use crate::owned_fd::OwnedFd;
use crate::vnc::{Screen, Screens, Screenshot, Shared, WHOLE, listener};
use crate::{Host, Interest, failure};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr::NonNull;
use platform::display::{
    All, BUFFER_SIDE, Buffer, BufferId, CURSOR_SIZE, DisplayDevice, Event, MAX_PRESENTS, Rectangle,
    State,
};
use platform::error::{Error, Failure};
use platform::{Displays, Interest as _, System as _};
use rfb::{CURSOR_SIDE, Cursor};

const _: () = assert!(CURSOR_SIZE == CURSOR_SIDE);

/// Maximum number of displays.
const MAX_DISPLAYS: usize = 16;

/// Maximum number of buffers of a display.
const MAX_BUFFERS: usize = 512;

/// The displays that `SOIL_DISPLAY` requests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    sizes: Vec<(u32, u32)>,
    sockets: Vec<i32>,
    picture: Option<i32>,
}

/// A display.
struct Display {
    name: String,
    screens: Shared,
    place: usize,
    /// A copy of the screen's.
    state: State,
    buffers: BTreeMap<u32, Known>,
    /// Number of the last buffer.
    last: u32,
}

/// A buffer of a display.
struct Known {
    /// Its memory, unmapped on drop.
    _memory: Memory,
    buffer: Buffer,
    /// The part in which the picture may differ from this buffer's last present.
    stale: Option<Rectangle>,
}

/// Parses a size such as `640x480`.
fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| BUFFER_SIDE.contains(side));
    Some((side(width)?, side(height)?))
}

/// Parses the value of `SOIL_DISPLAY`.
fn parse(text: &str) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    for part in text.split(';') {
        let (name, values) = part.split_once('=')?;
        let mut all = values.split(',');
        match name {
            "memory" => wanted.sizes = all.map(size).collect::<Option<_>>()?,
            "vnc" => wanted.sockets = all.map(|fd| fd.parse().ok()).collect::<Option<_>>()?,
            "picture" => wanted.picture = Some(all.next()?.parse().ok()?),
            _ => return None,
        }
    }
    (1..=MAX_DISPLAYS)
        .contains(&wanted.sizes.len())
        .then_some(wanted)
}

/// All displays, with their keyboard and pointers; `None` without displays.
pub fn screens(interest: &mut Interest) -> Result<Option<Shared>, Failure> {
    if interest.screens.is_none()
        && let Some(text) = Host::variable("SOIL_DISPLAY")
    {
        let wanted = parse(&text).ok_or_else(|| {
            let (least, most) = (BUFFER_SIDE.start(), BUFFER_SIDE.end());
            let detail = format!(
                "SOIL_DISPLAY: \"{text}\" is not of the form memory=640x480,800x600 (sides of \
                 {least} to {most}, {MAX_DISPLAYS} displays at most): give soil run --display"
            );
            Failure::new(Error::BadConfiguration, detail)
        })?;
        let mut screens = Screens::new(&wanted.sizes);
        for (screen, fd) in screens.screens.iter_mut().zip(wanted.sockets) {
            screen.listen(listener(fd)?);
        }
        if let (Some(first), Some(fd)) = (screens.screens.first_mut(), wanted.picture) {
            first.write_to(Screenshot(OwnedFd(fd)));
        }
        interest.screens = Some(Rc::new(RefCell::new(screens)));
    }
    Ok(interest.screens.clone())
}

impl Displays for Host {
    const NO_DISPLAY: &str = "there is no display: give soil run --display window, or \
        none to keep the picture in memory";

    fn displays(interest: &mut Interest) -> Result<All<Host>, Failure> {
        let Some(screens) = screens(interest)? else {
            return Ok(Vec::new());
        };
        let states: Vec<State> = screens
            .borrow()
            .screens
            .iter()
            .map(|screen| screen.state.clone())
            .collect();
        let display = |(place, state)| {
            Box::new(Display {
                name: format!("display{place}"),
                screens: Rc::clone(&screens),
                place,
                state,
                buffers: BTreeMap::new(),
                last: 0,
            }) as Box<dyn DisplayDevice<Host>>
        };
        Ok(states.into_iter().enumerate().map(display).collect())
    }
}

impl Display {
    /// Calls `with` with the display's part of the screens.
    fn with<T>(&self, with: impl FnOnce(&mut Screen) -> T) -> Option<T> {
        self.screens
            .borrow_mut()
            .screens
            .get_mut(self.place)
            .map(with)
    }
}

impl DisplayDevice<Host> for Display {
    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn create(&mut self, width: u32, height: u32) -> Result<Buffer, Failure> {
        if !BUFFER_SIDE.contains(&width) || !BUFFER_SIDE.contains(&height) {
            let detail = format!("a picture of {width}x{height} pixels can't be shown");
            return Err(Failure::new(Error::Invalid, detail));
        }
        if self.buffers.len() >= MAX_BUFFERS {
            let detail = format!(
                "the program has {MAX_BUFFERS} buffers of pictures, the most of a display: release \
                 those that aren't used"
            );
            return Err(Failure::new(Error::TooManyOpen, detail));
        }
        let memory = Memory::new(width as usize * height as usize * size_of::<u32>())?;
        self.last = self.last.checked_add(1).ok_or(Error::TooManyOpen)?;
        let buffer = Buffer {
            id: BufferId(self.last),
            pixels: memory.start.cast(),
            width,
            height,
            stride: width,
        };
        let known = Known {
            _memory: memory,
            buffer,
            stale: Some(WHOLE),
        };
        self.buffers.insert(self.last, known);
        Ok(buffer)
    }

    fn release(&mut self, buffer: BufferId) {
        self.buffers.remove(&buffer.0);
    }

    fn present(&mut self, buffer: BufferId, damage: &[Rectangle], tag: u64) -> Result<(), Failure> {
        let known = self.buffers.get(&buffer.0).ok_or(Error::Invalid)?;
        let changed = self.with(|screen| {
            if screen.presents.len() >= MAX_PRESENTS {
                return Err(Error::Busy);
            }
            let parts = damage.iter().copied().chain(known.stale);
            Ok(screen.present(&known.buffer, parts, tag))
        });
        let changed = changed.ok_or(Error::Invalid)??;
        for (number, known) in &mut self.buffers {
            if *number == buffer.0 {
                known.stale = None;
            } else if let Some(changed) = changed {
                known.stale = Some(known.stale.map_or(changed, |stale| stale.union(changed)));
            }
        }
        Ok(())
    }

    fn disable(&mut self) -> Result<(), Failure> {
        self.with(Screen::disable);
        for known in self.buffers.values_mut() {
            known.stale = Some(WHOLE);
        }
        Ok(())
    }

    fn set_cursor(
        &mut self,
        image: &[u32; CURSOR_SIZE * CURSOR_SIZE],
        hot_spot: (u32, u32),
    ) -> Result<(), Failure> {
        if hot_spot.0.max(hot_spot.1) as usize >= CURSOR_SIZE {
            return Err(Error::Invalid.into());
        }
        let image = image.to_vec();
        self.with(|screen| screen.set_cursor(Some(Cursor { hot_spot, image })));
        Ok(())
    }

    /// A client shows the cursor at its pointer.
    fn move_cursor(&mut self, _: u32, _: u32) {}

    fn hide_cursor(&mut self) {
        self.with(|screen| screen.set_cursor(None));
    }

    fn kick(&mut self) {}

    fn arm(&mut self, interest: &mut Interest) {
        let is_due = |screen: &mut Screen| {
            !screen.events.is_empty() || !screen.presents.is_empty() && !screen.waits()
        };
        if self.with(is_due) == Some(true) {
            interest.immediately();
        }
        self.screens
            .borrow()
            .arm(&mut |fd, events| interest.fd(fd, events));
    }

    fn deadline(&self) -> Option<u64> {
        self.with(|screen| screen.deadline()).flatten()
    }

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        self.screens.borrow_mut().serve();
        let now = self.with(|screen| (screen.state.clone(), core::mem::take(&mut screen.events)));
        if let Some((state, events)) = now {
            self.state = state;
            events.into_iter().for_each(report);
        }
    }
}

/// Whole pages of memory, initially zero.
struct Memory {
    start: NonNull<u8>,
    len: usize,
}

impl Memory {
    /// Memory of `len` bytes.
    fn new(len: usize) -> Result<Memory, Failure> {
        let nowhere = core::ptr::null_mut();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an unused address.
        let start = unsafe { libc::mmap(nowhere, len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(failure("memory of a frame buffer"));
        }
        let start = NonNull::new(start.cast()).ok_or(Error::OutOfMemory)?;
        Ok(Memory { start, len })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`. `DisplayDevice::release` is called, and the device dropped, when
        // nothing uses the pixels any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, parse, size};

    #[test]
    fn a_size_is_two_sides_within_range() {
        assert_eq!(size("640x480"), Some((640, 480)));
        assert_eq!(size("16x8192"), Some((16, 8192)));
        for wrong in [
            "",
            "640",
            "640x",
            "x480",
            "15x480",
            "640x8193",
            "-640x480",
            "640x480x32",
        ] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn displays_have_sizes_sockets_and_a_picture() {
        let wanted = Wanted {
            sizes: vec![(640, 480), (320, 200)],
            sockets: vec![7, 8],
            picture: Some(9),
        };
        assert_eq!(
            parse("memory=640x480,320x200;vnc=7,8;picture=9"),
            Some(wanted)
        );
        let many = format!("memory={}", ["16x16"; 17].join(","));
        for wrong in [
            "",
            "vnc=7",
            "memory=",
            "memory=640x480;vnc=x",
            "viewer=7",
            &many,
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

//! Displays of a process: in memory only, or shown by a viewer.
//!
//! | `SOIL_DISPLAY` | |
//! |---|---|
//! | `memory=640x480` | a display that shows nothing; several with commas between the sizes |
//! | `viewer=7` | what a viewer has; the number is that of an inherited socket (`soil run`) |

use crate::viewer::{Memory, Peer, Viewer};
use crate::{Host, Interest};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use platform::display::{
    All, BUFFER_SIDE, Buffer, BufferId, CURSOR_SIZE, DisplayDevice, Event, MAX_PRESENTS, Mode,
    Rectangle, State,
};
use platform::error::{Error, Failure};
use platform::{Displays, Interest as _, System as _};
use viewer::{MAX_DISPLAYS, Request};

// The viewer accepts what a display accepts.
const _: () = assert!(CURSOR_SIZE == viewer::CURSOR_SIZE && MAX_PRESENTS == viewer::MAX_PRESENTS);
const _: () = assert!(*BUFFER_SIDE.start() >= *viewer::BUFFER_SIDE.start());
const _: () = assert!(*BUFFER_SIDE.end() <= *viewer::BUFFER_SIDE.end());

/// The displays that `SOIL_DISPLAY` requests.
enum Wanted {
    Nothing,
    Memory(Vec<(u32, u32)>),
    Viewer(i32),
}

/// A display.
struct Display {
    name: String,
    /// Its number.
    place: u32,
    buffers: BTreeMap<u32, (Memory, Buffer)>,
    /// Number of the last buffer.
    last: u32,
    back: Back,
}

/// The backend of a display.
enum Back {
    /// None: frames complete at the next poll.
    Memory { state: State, ended: Vec<u64> },
    /// A viewer; the state is a copy of its state.
    Viewer { peer: Peer, state: State },
}

/// A size as in `640x480`.
fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| BUFFER_SIDE.contains(side));
    Some((side(width)?, side(height)?))
}

fn wanted() -> Result<Wanted, Failure> {
    let Some(text) = Host::variable("SOIL_DISPLAY") else {
        return Ok(Wanted::Nothing);
    };
    let found = match text.split_once('=') {
        Some(("memory", sizes)) => {
            let sizes: Option<Vec<_>> = sizes.split(',').map(size).collect();
            sizes
                .filter(|sizes| sizes.len() <= MAX_DISPLAYS as usize)
                .map(Wanted::Memory)
        }
        Some(("viewer", number)) => number.parse().ok().map(Wanted::Viewer),
        _ => None,
    };
    found.ok_or_else(|| {
        let (least, most) = (BUFFER_SIDE.start(), BUFFER_SIDE.end());
        let detail = format!(
            "SOIL_DISPLAY: \"{text}\" is not of the form memory=640x480,800x600 (sides of {least} \
             to {most}, {MAX_DISPLAYS} displays at most): give soil run --display"
        );
        Failure::new(Error::BadConfiguration, detail)
    })
}

/// The viewer, if there is one.
pub fn viewer(interest: &mut Interest) -> Result<Option<Peer>, Failure> {
    if interest.viewer.is_none()
        && let Wanted::Viewer(fd) = wanted()?
    {
        interest.viewer = Some(Viewer::connect(fd)?);
    }
    Ok(interest.viewer.clone())
}

impl Displays for Host {
    const NO_DISPLAY: &str = "there is no display: give soil run --display window, or \
        none to keep the picture in memory";

    fn displays(interest: &mut Interest) -> Result<All<Host>, Failure> {
        let mut all: All<Host> = Vec::new();
        let mut add = |back| {
            let place = all.len() as u32;
            all.push(Box::new(Display {
                name: format!("display{place}"),
                place,
                buffers: BTreeMap::new(),
                last: 0,
                back,
            }));
        };
        if let Some(peer) = viewer(interest)? {
            for display in &peer.borrow().displays {
                add(Back::Viewer {
                    peer: peer.clone(),
                    state: display.state.clone(),
                });
            }
        } else if let Wanted::Memory(sizes) = wanted()? {
            for (width, height) in sizes {
                let mode = Mode {
                    width,
                    height,
                    refresh_mhz: 0,
                };
                let state = State {
                    connected: true,
                    width,
                    height,
                    modes: alloc::vec![mode],
                    ..State::default()
                };
                add(Back::Memory {
                    state,
                    ended: Vec::new(),
                });
            }
        }
        Ok(all)
    }
}

impl Display {
    /// Sends to the viewer, if there is one.
    fn send(&self, request: Request) {
        if let Back::Viewer { peer, .. } = &self.back {
            peer.borrow_mut().send(request);
        }
    }

    /// Fails if a viewer is required and has ended.
    fn check(&self) -> Result<(), Failure> {
        match &self.back {
            Back::Memory { .. } => Ok(()),
            Back::Viewer { peer, .. } => peer.borrow().check(),
        }
    }
}

impl DisplayDevice<Host> for Display {
    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> &State {
        match &self.back {
            Back::Memory { state, .. } | Back::Viewer { state, .. } => state,
        }
    }

    fn create(&mut self, width: u32, height: u32) -> Result<Buffer, Failure> {
        if !BUFFER_SIDE.contains(&width) || !BUFFER_SIDE.contains(&height) {
            let detail = format!("a picture of {width}x{height} pixels can't be shown");
            return Err(Failure::new(Error::Invalid, detail));
        }
        let memory = Memory::new(width as usize * height as usize * size_of::<u32>())?;
        self.last = self.last.checked_add(1).ok_or(Error::TooManyOpen)?;
        let buffer = Buffer {
            id: BufferId(self.last),
            pixels: memory.pixels(),
            width,
            height,
            stride: width,
        };
        if let Back::Viewer { peer, .. } = &self.back {
            let request = Request::Buffer {
                display: self.place,
                buffer: self.last,
                width,
                height,
                stride: width,
            };
            peer.borrow_mut().add_buffer(request, &memory)?;
        }
        self.buffers.insert(self.last, (memory, buffer));
        Ok(buffer)
    }

    fn release(&mut self, buffer: BufferId) {
        if self.buffers.remove(&buffer.0).is_some()
            && let Back::Viewer { peer, .. } = &self.back
        {
            peer.borrow_mut().release_buffer(self.place, buffer.0);
        }
    }

    fn present(&mut self, buffer: BufferId, damage: &[Rectangle], tag: u64) -> Result<(), Failure> {
        let (_, known) = self.buffers.get(&buffer.0).ok_or(Error::Invalid)?;
        let damage = damage
            .iter()
            .filter_map(|rectangle| rectangle.clipped(known.width, known.height))
            .map(|rectangle| [rectangle.x, rectangle.y, rectangle.width, rectangle.height])
            .collect();
        match &mut self.back {
            Back::Memory { ended, .. } => {
                if ended.len() >= MAX_PRESENTS {
                    return Err(Error::Busy.into());
                }
                ended.push(tag);
            }
            Back::Viewer { peer, .. } => {
                let mut peer = peer.borrow_mut();
                peer.check()?;
                let presents = peer.displays.get_mut(self.place as usize);
                let presents = &mut presents.ok_or(Error::Io)?.presents;
                if presents.len() >= MAX_PRESENTS {
                    return Err(Error::Busy.into());
                }
                presents.push_back(tag);
                let request = Request::Present {
                    display: self.place,
                    buffer: buffer.0,
                    frame: tag,
                    damage,
                };
                peer.send(request);
            }
        }
        Ok(())
    }

    fn disable(&mut self) -> Result<(), Failure> {
        self.check()?;
        self.send(Request::Disable {
            display: self.place,
        });
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
        self.check()?;
        self.send(Request::Cursor {
            display: self.place,
            hot_spot,
            image: image.to_vec(),
        });
        Ok(())
    }

    fn move_cursor(&mut self, x: u32, y: u32) {
        self.send(Request::Move {
            display: self.place,
            x,
            y,
        });
    }

    fn hide_cursor(&mut self) {
        self.send(Request::Hide {
            display: self.place,
        });
    }

    fn kick(&mut self) {}

    fn arm(&mut self, interest: &mut Interest) {
        match &self.back {
            Back::Memory { ended, .. } if ended.is_empty() => (),
            Back::Memory { .. } => interest.immediately(),
            Back::Viewer { peer, .. } => {
                let peer = peer.borrow();
                let display = peer.displays.get(self.place as usize);
                if display.is_some_and(|display| !display.events.is_empty()) {
                    interest.immediately();
                }
                let (fd, events) = peer.events();
                interest.fd(fd, events);
            }
        }
    }

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        match &mut self.back {
            Back::Memory { ended, .. } => {
                for frame in ended.drain(..) {
                    report(Event::Presented(frame, Ok(())));
                }
            }
            Back::Viewer { peer, state } => {
                let mut peer = peer.borrow_mut();
                peer.flush();
                peer.receive();
                if let Some(display) = peer.displays.get_mut(self.place as usize) {
                    state.clone_from(&display.state);
                    display.events.drain(..).for_each(report);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size;

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
}

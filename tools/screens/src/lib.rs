//! The viewer's end of a process's displays: the pictures that it shows, and files of them.

#![forbid(unsafe_code)]

mod picture;

pub use picture::Picture;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::iter;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use viewer::evdev::{KEY, SYN, SYN_DROPPED};
use viewer::{
    BUFFER_SIDE, Event, Kind, MAX_BUFFERS, MAX_MESSAGE, MAX_PRESENTS, Rectangle, Request,
};

/// A display.
#[derive(Default)]
pub struct Screen {
    /// The buffer of the last frame.
    shown: Option<u32>,
    /// Its picture, once the process has given the buffer back.
    kept: Option<Picture>,
    /// The cursor's image, and column and row of its pixel that points; none while it is hidden.
    pub cursor: Option<(Vec<u32>, (u32, u32))>,
    /// Column and row of the picture's pixel that the cursor points at.
    pub cursor_at: (u32, u32),
}

/// A buffer of the process.
struct Buffer {
    file: File,
    width: u32,
    height: u32,
    stride: u32,
    /// What was presented of it.
    picture: Picture,
    /// Whether it was presented.
    is_known: bool,
}

/// The connection to a process, and its displays.
pub struct Screens {
    socket: OwnedFd,
    screens: Vec<Screen>,
    buffers: HashMap<(u32, u32), Buffer>,
    /// Frames that weren't answered: display and number, in their order.
    owed: Vec<(u32, u64)>,
    /// What the process had no room for. Displays, devices and frames bound its length: the state
    /// of a display replaces an older one, and the notice that a device's events are lost the
    /// events.
    unsent: VecDeque<Event>,
    /// Keys and buttons that the process knows to be pressed, each with its device.
    pressed: BTreeSet<(u32, u16)>,
}

/// The number of a device.
fn number(kind: Kind) -> u32 {
    match kind {
        Kind::Keyboard => 0,
        Kind::Pointer { display } => 1 + display,
    }
}

/// The process sent what makes no sense.
fn nonsense() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the program sent what makes no sense",
    )
}

impl Screens {
    /// Tells the process at the other end of `socket` (`SOCK_SEQPACKET`) that it has displays of
    /// these sizes, a keyboard, and a pointer for each. Nothing that is sent waits for the process.
    pub fn new(socket: OwnedFd, sizes: &[(u32, u32)]) -> Self {
        let screens = sizes.iter().map(|_| Screen::default()).collect();
        let mut all = Self {
            socket,
            screens,
            buffers: HashMap::new(),
            owed: Vec::new(),
            unsent: VecDeque::new(),
            pressed: BTreeSet::new(),
        };
        for (display, size) in (0..).zip(sizes) {
            all.resize(display, *size);
        }
        let pointers = (0..)
            .zip(sizes)
            .map(|(display, _)| Kind::Pointer { display });
        for kind in iter::once(Kind::Keyboard).chain(pointers) {
            let device = number(kind);
            all.send(Event::Device { device, kind });
        }
        all.send(Event::Ready);
        all
    }

    /// The socket, to be waited for.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// The displays.
    pub fn screens(&self) -> &[Screen] {
        &self.screens
    }

    /// The picture that a display shows; none before the first frame, and while it is disabled.
    pub fn picture(&self, display: u32) -> Option<&Picture> {
        let screen = self.screens.get(display as usize)?;
        match self.buffers.get(&(display, screen.shown?)) {
            Some(buffer) => Some(&buffer.picture),
            None => screen.kept.as_ref(),
        }
    }

    /// Tells the process the size of a display's window in pixels.
    pub fn resize(&mut self, display: u32, (width, height): (u32, u32)) {
        self.send(Event::Display {
            display,
            width,
            height,
        });
    }

    /// Tells the process what happened to a device at once: types, codes and values of evdev. A
    /// press of a key that is pressed is left out, as is a release of one that isn't.
    pub fn input(&mut self, from: Kind, mut events: Vec<(u16, u16, i32)>) {
        let device = number(from);
        events.retain(|(kind, code, value)| match (*kind, *value) {
            (KEY, 0) => self.pressed.remove(&(device, *code)),
            (KEY, _) => self.pressed.insert((device, *code)),
            _ => true,
        });
        if !events.is_empty() {
            self.send(Event::Input { device, events });
        }
    }

    /// Releases all keys of a device, whose own releases may not be told any more.
    pub fn release_keys(&mut self, of: Kind) {
        let device = number(of);
        let codes = self.pressed.range((device, 0)..=(device, u16::MAX));
        let events = codes.map(|(_, code)| (KEY, *code, 0)).collect();
        self.input(of, events);
    }

    /// Tells the process that this display shows the frames that were presented.
    pub fn answer(&mut self, display: u32) {
        let of_it = |(of, _): &mut (u32, u64)| *of == display;
        let shown: Vec<_> = self.owed.extract_if(.., of_it).collect();
        for (display, frame) in shown {
            self.send(Event::Presented { display, frame });
        }
    }

    /// Sends what the process had no room for, as far as there is some now; whether that is all.
    pub fn flush(&mut self) -> bool {
        while let Some(event) = self.unsent.front() {
            if !self.try_send(event) {
                return false;
            }
            self.unsent.pop_front();
        }
        true
    }

    /// Sends an event, or keeps what the process is to be told of it once there is room.
    fn send(&mut self, event: Event) {
        if self.flush() && self.try_send(&event) {
            return;
        }
        let event = match event {
            Event::Input { device, .. } => {
                // All its keys count as released.
                self.pressed.retain(|(of, _)| *of != device);
                let events = vec![(SYN, SYN_DROPPED, 0)];
                Event::Input { device, events }
            }
            other => other,
        };
        self.unsent.retain(|older| match (older, &event) {
            (Event::Display { display, .. }, Event::Display { display: of, .. }) => display != of,
            _ => *older != event,
        });
        self.unsent.push_back(event);
    }

    /// Sends an event without waiting; false where the process has no room for it.
    fn try_send(&self, event: &Event) -> bool {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // A process that is gone is noticed by `step`.
        send(&self.socket, &event.encode(), flags) != Err(Errno::AGAIN)
    }

    /// Takes the process's next request, waits for one, and does it. What that changed; none at the
    /// process's end.
    ///
    /// # Errors
    /// Those of the socket, and of a process that sends nonsense.
    pub fn step(&mut self) -> io::Result<Option<Step>> {
        let mut bytes = [0; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = loop {
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(&self.socket, &mut parts, &mut control, flags) {
                // Linux says once that there is something the process didn't read, before it gives
                // what the process sent.
                Err(Errno::INTR | Errno::CONNRESET) => (),
                other => break other?,
            }
        };
        let files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let file = files.flatten().next();
        if received.bytes == 0 {
            return Ok(None);
        }
        let request = bytes.get(..received.bytes).and_then(Request::decode);
        self.apply(request.ok_or_else(nonsense)?, file).map(Some)
    }

    fn screen(&mut self, display: u32) -> io::Result<&mut Screen> {
        let screen = self.screens.get_mut(display as usize);
        screen.ok_or_else(nonsense)
    }

    fn apply(&mut self, request: Request, file: Option<OwnedFd>) -> io::Result<Step> {
        match request {
            Request::Buffer {
                display,
                buffer,
                width,
                height,
                stride,
            } => {
                self.screen(display)?;
                let fits = BUFFER_SIDE.contains(&width) && BUFFER_SIDE.contains(&height);
                if !fits || !(width..=2 * BUFFER_SIDE.end()).contains(&stride) {
                    return Err(nonsense());
                }
                let file = File::from(file.ok_or_else(nonsense)?);
                let added = Buffer {
                    file,
                    width,
                    height,
                    stride,
                    picture: Picture::black(width, height),
                    is_known: false,
                };
                let before = self.buffers.insert((display, buffer), added);
                if before.is_some() || self.buffers.len() > MAX_BUFFERS {
                    return Err(nonsense());
                }
            }
            Request::Release { display, buffer } => {
                let removed = self.buffers.remove(&(display, buffer));
                let removed = removed.ok_or_else(nonsense)?;
                let screen = self.screen(display)?;
                if screen.shown == Some(buffer) {
                    screen.kept = Some(removed.picture);
                }
            }
            Request::Present {
                display,
                buffer,
                frame,
                damage,
            } => {
                let unsent = self.unsent.iter();
                let unsent = unsent.filter(|event| matches!(event, Event::Presented { .. }));
                if self.owed.len() + unsent.count() >= MAX_PRESENTS * self.screens.len() {
                    return Err(nonsense());
                }
                self.present(display, buffer, &damage)?;
                self.owed.push((display, frame));
                return Ok(Step::Frame(display));
            }
            Request::Disable { display } => {
                let screen = self.screen(display)?;
                (screen.shown, screen.kept) = (None, None);
                return Ok(Step::Black(display));
            }
            Request::Cursor {
                display,
                hot_spot,
                image,
            } => {
                if image.len() != viewer::CURSOR_PIXELS {
                    return Err(nonsense());
                }
                self.screen(display)?.cursor = Some((image, hot_spot));
                return Ok(Step::Cursor(display));
            }
            Request::Move { display, x, y } => {
                self.screen(display)?.cursor_at = (x, y);
                return Ok(Step::Cursor(display));
            }
            Request::Hide { display } => {
                self.screen(display)?.cursor = None;
                return Ok(Step::Cursor(display));
            }
        }
        Ok(Step::Nothing)
    }

    /// Copies what has changed, or all of a buffer that wasn't presented before.
    fn present(&mut self, display: u32, number: u32, damage: &[Rectangle]) -> io::Result<()> {
        let buffer = self.buffers.get_mut(&(display, number));
        let buffer = buffer.ok_or_else(nonsense)?;
        let all = [[0, 0, buffer.width, buffer.height]];
        let damage = if buffer.is_known { damage } else { &all };
        for rectangle in damage {
            let stride = buffer.stride;
            buffer.picture.copy(&buffer.file, stride, *rectangle)?;
        }
        buffer.is_known = true;
        let screen = self.screen(display)?;
        (screen.shown, screen.kept) = (Some(number), None);
        Ok(())
    }
}

/// What a request changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The picture of this display: a frame, which [`Screens::answer`] answers once it is shown.
    Frame(u32),
    /// The picture of this display: it is disabled.
    Black(u32),
    /// The cursor of this display.
    Cursor(u32),
    /// Nothing that can be seen.
    Nothing,
}

#[cfg(test)]
mod tests;

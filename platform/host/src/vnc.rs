//! The displays of a process with their keyboard and pointers, and the VNC clients that share them
//! (the crate `rfb` has the protocol).
//!
//! A display is a picture in memory; `soil run` gives it a listening socket for clients, or a file
//! for `--screenshot`. A client that stalls doesn't hold up the program: see [`PATIENCE_NS`].

use crate::devices::Device;
use crate::owned_fd::OwnedFd;
use crate::{Host, check};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ffi::{CStr, c_char};
use platform::Clock as _;
use platform::display::{BUFFER_SIDE, Buffer, Event, Mode, Rectangle, State};
use platform::error::{Error, Failure, Stop};
use rfb::{Cursor, Input, Picture, Session};

/// How long a frame waits for clients, which then have to request an update before they are waited
/// for again.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Maximum number of clients of a display. One more replaces the one that has been silent for
/// longest.
const MAX_CLIENTS: usize = 4;

/// Maximum number of reads, and of writes, of a client at a time.
const MAX_TURNS: usize = 16;

/// The whole of any picture.
pub const WHOLE: Rectangle = Rectangle {
    x: 0,
    y: 0,
    width: u16::MAX as u32,
    height: u16::MAX as u32,
};

unsafe extern "C" {
    /// The program's name, a string that the C library never changes.
    safe static program_invocation_short_name: *const c_char;
}

/// All displays and devices, as their users share them.
pub type Shared = Rc<RefCell<Screens>>;

/// All displays and devices.
pub struct Screens {
    pub screens: Vec<Screen>,
    /// The keyboard, and a pointer for each display.
    pub devices: Vec<Device>,
    /// The time of the last event.
    last_ns: u64,
    /// Scratch buffer, kept to reuse its allocation.
    inputs: Vec<Input>,
}

/// A display.
pub struct Screen {
    pub state: State,
    /// Events that weren't reported yet.
    pub events: Vec<Event>,
    /// Frames that wait for clients.
    pub presents: Vec<u64>,
    /// When they have waited for long enough.
    until_ns: u64,
    picture: Picture,
    /// Whether the program shows it.
    is_shown: bool,
    cursor: Option<Cursor>,
    title: Vec<u8>,
    listener: Option<OwnedFd>,
    clients: Vec<Client>,
    screenshot: Option<Screenshot>,
}

/// A connection.
struct Client {
    fd: OwnedFd,
    session: Session,
    /// When it sent something.
    heard_ns: u64,
    /// Whether frames wait for it.
    paces: bool,
}

/// The file of the picture, as PPM (`P6`): empty while nothing is shown.
pub struct Screenshot(pub OwnedFd);

/// The state of a display of this size, within the limits.
fn state(width: u32, height: u32) -> State {
    let side = |side: u32| side.clamp(*BUFFER_SIDE.start(), *BUFFER_SIDE.end());
    let (width, height) = (side(width), side(height));
    State {
        connected: true,
        width,
        height,
        modes: alloc::vec![Mode {
            width,
            height,
            refresh_mhz: 0,
        }],
        ..State::default()
    }
}

/// Takes over a listening socket.
pub fn listener(fd: i32) -> Result<OwnedFd, Failure> {
    let mut listens = 0i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
    // SAFETY: writes one number; fails for a descriptor that is no socket.
    let result =
        unsafe { libc::getsockopt(fd, level, option, (&raw mut listens).cast(), &mut len) };
    if result < 0 || listens == 0 {
        let detail = format!(
            "SOIL_DISPLAY: vnc={fd} is not the number of a listening socket: give soil run \
             --display, which sets it"
        );
        return Err(Failure::new(Error::BadConfiguration, detail));
    }
    // SAFETY: an open descriptor, which no child is to inherit.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK);
    }
    Ok(OwnedFd(fd))
}

impl Screens {
    /// Displays of these sizes.
    pub fn new(sizes: &[(u32, u32)]) -> Screens {
        // SAFETY: a string that lives as long as the program.
        let name = unsafe { CStr::from_ptr(program_invocation_short_name) }.to_bytes();
        let screen = |(number, size): (usize, &(u32, u32))| {
            let number = match sizes.len() {
                1 => String::new(),
                _ => format!(" ({number})"),
            };
            Screen::new(*size, [name, number.as_bytes()].concat())
        };
        Screens {
            screens: sizes.iter().enumerate().map(screen).collect(),
            devices: Device::all(sizes.len()),
            last_ns: 0,
            inputs: Vec::new(),
        }
    }

    /// Accepts clients, and does what they have sent and can be sent.
    pub fn serve(&mut self) {
        let now = Host::monotonic_ns();
        let Screens {
            screens,
            devices,
            last_ns,
            inputs,
        } = self;
        for (number, screen) in screens.iter_mut().enumerate() {
            screen.serve(now, inputs);
            for input in inputs.drain(..) {
                // Later than all before, of any device: that preserves their order.
                let time_ns = now.max(*last_ns + 1);
                *last_ns = time_ns;
                match input {
                    Input::Key { code, down } => {
                        if let Some(keyboard) = devices.first_mut() {
                            keyboard.key(time_ns, code, down);
                        }
                    }
                    Input::Pointer { at, buttons } => {
                        if let Some(pointer) = devices.get_mut(1 + number) {
                            pointer.pointer(time_ns, at, buttons);
                        }
                    }
                    Input::Size { width, height } => screen.resize(width.into(), height.into()),
                    Input::Request => (),
                }
            }
        }
    }

    /// Calls `wait` with each descriptor to wait for, and its events as in `poll(2)`.
    pub fn arm(&self, wait: &mut dyn FnMut(i32, i16)) {
        for screen in &self.screens {
            if let Some(listener) = &screen.listener {
                wait(listener.0, libc::POLLIN);
            }
            for client in &screen.clients {
                let output = if client.session.is_sending() {
                    libc::POLLOUT
                } else {
                    0
                };
                wait(client.fd.0, libc::POLLIN | output);
            }
        }
    }
}

impl Screen {
    fn new(size: (u32, u32), title: Vec<u8>) -> Screen {
        Screen {
            state: state(size.0, size.1),
            events: Vec::new(),
            presents: Vec::new(),
            until_ns: 0,
            picture: Picture::black(size.0, size.1),
            is_shown: false,
            cursor: None,
            title,
            listener: None,
            clients: Vec::new(),
            screenshot: None,
        }
    }

    /// Accepts clients at this socket.
    pub fn listen(&mut self, listener: OwnedFd) {
        self.listener = Some(listener);
    }

    /// Writes the picture to this file, too.
    pub fn write_to(&mut self, screenshot: Screenshot) {
        self.screenshot = Some(screenshot);
    }

    fn resize(&mut self, width: u32, height: u32) {
        let state = state(width, height);
        if self.state != state {
            self.state = state;
            self.events.push(Event::Changed);
        }
    }

    fn serve(&mut self, now: u64, inputs: &mut Vec<Input>) {
        while let Some(fd) = self.listener.as_ref().and_then(accept) {
            if self.clients.len() >= MAX_CLIENTS {
                let heard = |client: &(usize, &Client)| client.1.heard_ns;
                let silent = self.clients.iter().enumerate().min_by_key(heard);
                if let Some((place, _)) = silent {
                    let mut client = self.clients.remove(place);
                    client.session.release(&mut |input| inputs.push(input));
                }
            }
            let mut session =
                Session::new(&self.title, (self.picture.width(), self.picture.height()));
            session.damage(WHOLE);
            if self.cursor.is_some() {
                session.cursor_changed();
            }
            self.clients.push(Client {
                fd,
                session,
                heard_ns: now,
                paces: false,
            });
        }
        self.clients.retain_mut(|client| {
            let served = client
                .read(now, inputs)
                .and_then(|()| client.write(&self.picture, self.cursor.as_ref()));
            if served.is_err() {
                client.session.release(&mut |input| inputs.push(input));
            }
            served.is_ok()
        });
        if !self.waits() || now >= self.until_ns {
            for client in &mut self.clients {
                client.paces &= client.session.is_current();
            }
            let presented = |frame| Event::Presented(frame, Ok(()));
            self.events.extend(self.presents.drain(..).map(presented));
        }
    }

    /// Whether frames wait for a client.
    pub fn waits(&self) -> bool {
        let behind = |client: &Client| client.paces && !client.session.is_current();
        self.clients.iter().any(behind)
    }

    /// The time of the next change without an event of a client.
    pub fn deadline(&self) -> Option<u64> {
        (!self.presents.is_empty()).then_some(self.until_ns)
    }

    /// Shows a buffer that differs from the picture in these parts, if its size is the same. Returns
    /// the part of the picture that has changed.
    pub fn present(
        &mut self,
        buffer: &Buffer,
        parts: impl Iterator<Item = Rectangle>,
        frame: u64,
    ) -> Option<Rectangle> {
        if self.presents.is_empty() {
            self.until_ns = Host::monotonic_ns() + PATIENCE_NS;
        }
        self.presents.push(frame);
        let Buffer { width, height, .. } = *buffer;
        let is_same = (self.picture.width(), self.picture.height()) == (width, height);
        if !is_same {
            self.picture = Picture::black(width, height);
        }
        let mut changed = (!is_same || !self.is_shown).then_some(WHOLE);
        let mut row = Vec::new();
        for part in parts.filter_map(|part| part.clipped(width, height)) {
            row.resize(part.width as usize, 0);
            for y in part.y..part.y + part.height {
                let first = y as usize * buffer.stride as usize + part.x as usize;
                // SAFETY: `part` is inside the buffer, whose memory is mapped while it exists. The
                // program may write there meanwhile: any pixel will do.
                unsafe {
                    let from = buffer.pixels.add(first).as_ptr();
                    core::ptr::copy_nonoverlapping(from, row.as_mut_ptr(), row.len());
                }
                if let Some(part) = self.picture.put(part.x, y, &row) {
                    changed = Some(changed.map_or(part, |before| before.union(part)));
                }
            }
        }
        self.is_shown = true;
        if let Some(changed) = changed {
            self.damage(changed);
            if let Some(screenshot) = &self.screenshot {
                screenshot.write(&self.picture, changed);
            }
        }
        changed
    }

    fn damage(&mut self, changed: Rectangle) {
        for client in &mut self.clients {
            client.session.damage(changed);
        }
    }

    /// Shows black.
    pub fn disable(&mut self) {
        self.picture = Picture::black(self.picture.width(), self.picture.height());
        self.is_shown = false;
        self.damage(WHOLE);
        if let Some(Screenshot(file)) = &self.screenshot {
            // SAFETY: no memory is involved.
            unsafe { libc::ftruncate(file.0, 0) };
        }
    }

    /// Sets or removes the cursor. Clients show it at their pointers.
    pub fn set_cursor(&mut self, cursor: Option<Cursor>) {
        if cursor.is_some() || self.cursor.is_some() {
            self.cursor = cursor;
            for client in &mut self.clients {
                client.session.cursor_changed();
            }
        }
    }
}

/// Accepts a client, if there is one.
fn accept(listener: &OwnedFd) -> Option<OwnedFd> {
    let nowhere = core::ptr::null_mut();
    // SAFETY: the address isn't wanted.
    let fd = unsafe {
        libc::accept4(
            listener.0,
            nowhere,
            core::ptr::null_mut(),
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    };
    let fd = (fd >= 0).then(|| OwnedFd(fd))?;
    let (one, len) = (1i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: reads one number; fails for a Unix socket, which doesn't need it.
    unsafe {
        libc::setsockopt(
            fd.0,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const one).cast(),
            len,
        )
    };
    Some(fd)
}

/// The connection ends.
struct Gone;

impl Client {
    fn read(&mut self, now: u64, inputs: &mut Vec<Input>) -> Result<(), Gone> {
        let mut buffer = [0u8; 1024];
        for _ in 0..MAX_TURNS {
            // SAFETY: writes within `buffer`.
            let result =
                unsafe { libc::recv(self.fd.0, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            let len = match check(result) {
                Err(Stop::WouldBlock) => break,
                Ok(0) | Err(_) => return Err(Gone),
                Ok(len) => len,
            };
            self.heard_ns = now;
            let bytes = buffer.get(..len).unwrap_or_default();
            let paces = &mut self.paces;
            let received = self.session.receive(bytes, &mut |input| match input {
                Input::Request => *paces = true,
                other => inputs.push(other),
            });
            received.map_err(|_| Gone)?;
        }
        Ok(())
    }

    fn write(&mut self, picture: &Picture, cursor: Option<&Cursor>) -> Result<(), Gone> {
        for _ in 0..MAX_TURNS {
            let bytes = self.session.output(picture, cursor);
            if bytes.is_empty() {
                break;
            }
            // SAFETY: reads `bytes`.
            let result = unsafe {
                let start = bytes.as_ptr().cast();
                libc::send(self.fd.0, start, bytes.len(), libc::MSG_NOSIGNAL)
            };
            match check(result) {
                Ok(len) => self.session.sent(len),
                Err(Stop::WouldBlock) => break,
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }
}

impl Screenshot {
    /// Writes the head, and the rows that have changed. A failure leaves a file that isn't whole,
    /// which its reader reports.
    fn write(&self, picture: &Picture, changed: Rectangle) {
        let (width, height) = (picture.width(), picture.height());
        let head = format!("P6\n{width:5} {height:5}\n255\n");
        let row = 3 * width as usize;
        let size = head.len() + row * height as usize;
        let rows = changed.y..changed.y.saturating_add(changed.height).min(height);
        let first = head.len() + row * rows.start as usize;
        let pixels = rows.flat_map(|y| picture.row(0, y, width));
        let colours = pixels.flat_map(|pixel| {
            let [_, colours @ ..] = pixel.to_be_bytes();
            colours
        });
        let colours: Vec<u8> = colours.collect();
        // SAFETY: reads the head and the colours.
        unsafe {
            libc::ftruncate(self.0.0, size as libc::off_t);
            libc::pwrite(self.0.0, head.as_ptr().cast(), head.len(), 0);
            let start = colours.as_ptr().cast();
            libc::pwrite(self.0.0, start, colours.len(), first as libc::off_t);
        }
    }
}

#[cfg(test)]
mod tests;

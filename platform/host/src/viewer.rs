//! The socket to a viewer, which shows the displays and has the keyboard and pointer (the crate
//! `viewer` has the messages).

use crate::owned_fd::OwnedFd;
use crate::{check, errno, failure};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use platform::Clock as _;
use platform::display::{Mode, State};
use platform::error::{Error, Failure, Stop};
use platform::input::{SYN_DROPPED, SYN_REPORT, kind};
use platform::{display, input};
use viewer::{Event, Kind, MAX_BUFFERS, MAX_DEVICES, MAX_DISPLAYS, MAX_MESSAGE, Request};

/// Maximum time for a viewer to announce its devices.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of events of a device that wait to be read.
const MAX_EVENTS: usize = 1024;

/// Why there is no viewer.
const ENDED: &str = "what shows the display has ended: start the program again";
const OTHER_VERSION: &str = "what shows the display is of another version of Soil than this \
    program: run 'make install' in Soil's repository, and build the program again";
const SILENT: &str = "what shows the display doesn't answer: start the program with soil run \
    --display";

/// The viewer, which all displays and input devices share.
pub type Peer = Rc<RefCell<Viewer>>;

/// A display of the viewer's.
#[derive(Default)]
pub struct Display {
    pub state: State,
    /// Events that weren't reported yet.
    pub events: Vec<display::Event>,
    /// Presented frames without a response.
    pub presents: VecDeque<u64>,
}

/// An input device of the viewer's.
pub struct Device {
    pub kind: Kind,
    /// Events that weren't reported yet.
    pub events: VecDeque<input::Event>,
}

/// The process's side of the viewer.
pub struct Viewer {
    fd: OwnedFd,
    /// Why it can't be used any more.
    end: Option<&'static str>,
    is_ready: bool,
    /// Requests that wait until the viewer reads, each with its descriptor. Of those that replace
    /// each other one is kept: the queue is bounded like buffers and frames.
    unsent: VecDeque<(Request, Option<Rc<OwnedFd>>)>,
    /// Number of buffers of the process.
    buffers: usize,
    /// The time of the last event.
    last_ns: u64,
    pub displays: Vec<Display>,
    pub devices: Vec<Device>,
}

impl Viewer {
    /// Connects to the viewer at the other end of an inherited socket; waits for its announcement.
    pub fn connect(fd: i32) -> Result<Peer, Failure> {
        let mut kind = 0i32;
        let mut len = size_of::<i32>() as libc::socklen_t;
        let (level, option) = (libc::SOL_SOCKET, libc::SO_TYPE);
        // SAFETY: writes one number; fails for a descriptor that is no socket.
        let result =
            unsafe { libc::getsockopt(fd, level, option, (&raw mut kind).cast(), &mut len) };
        if result < 0 || kind != libc::SOCK_SEQPACKET {
            let detail = "SOIL_DISPLAY: viewer= is not the number of a viewer's socket: give \
                          soil run --display, which sets it";
            return Err(Failure::new(Error::BadConfiguration, detail));
        }
        // SAFETY: an open descriptor, which no child is to inherit.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        let mut viewer = Viewer {
            fd: OwnedFd(fd),
            end: None,
            is_ready: false,
            unsent: VecDeque::new(),
            buffers: 0,
            last_ns: 0,
            displays: Vec::new(),
            devices: Vec::new(),
        };
        let end = crate::Host::monotonic_ns() + TIMEOUT.as_nanos() as u64;
        while !viewer.is_ready {
            viewer.receive();
            viewer.check()?;
            let now = crate::Host::monotonic_ns();
            if now >= end {
                return Err(Failure::new(Error::Io, SILENT));
            }
            if !viewer.is_ready {
                let mut fds = [libc::pollfd {
                    fd,
                    events: libc::POLLIN,
                    revents: 0,
                }];
                crate::poll::poll(&mut fds, Some(Duration::from_nanos(end - now)), None);
            }
        }
        for display in &mut viewer.displays {
            display.events.clear();
        }
        Ok(Rc::new(RefCell::new(viewer)))
    }

    /// Fails if the viewer has ended.
    pub fn check(&self) -> Result<(), Failure> {
        let failure = |why| Err(Failure::new(Error::Io, why));
        self.end.map_or(Ok(()), failure)
    }

    /// Marks the viewer as ended.
    fn gone(&mut self, why: &'static str) {
        self.end = Some(why);
        self.unsent.clear();
        let failed = self.check();
        for display in &mut self.displays {
            display.state = State::default();
            let presents = display.presents.drain(..);
            let ended = |frame| display::Event::Presented(frame, failed.clone());
            display.events.extend(presents.map(ended));
            display.events.push(display::Event::Changed);
        }
        let time_ns = crate::Host::monotonic_ns();
        for device in &mut self.devices {
            device.lose(time_ns);
        }
    }

    /// Handles received messages.
    pub fn receive(&mut self) {
        let mut buffer = [0; MAX_MESSAGE];
        while self.end.is_none() {
            // SAFETY: writes within `buffer`.
            let result = unsafe {
                let start = buffer.as_mut_ptr().cast();
                libc::recv(self.fd.0, start, buffer.len(), libc::MSG_DONTWAIT)
            };
            match check(result) {
                Err(Stop::WouldBlock) => return,
                // Linux reports once that the viewer left messages unread, before it returns the
                // viewer's messages.
                Err(_) if errno() == libc::ECONNRESET => (),
                Ok(0) | Err(_) => self.gone(ENDED),
                Ok(len) => {
                    let event = buffer.get(..len).and_then(Event::decode);
                    if event.and_then(|event| self.note(event)).is_none() {
                        self.gone(OTHER_VERSION);
                    }
                }
            }
        }
    }

    /// Records an event; `None` if it is invalid.
    fn note(&mut self, event: Event) -> Option<()> {
        match event {
            Event::Display {
                display,
                width,
                height,
            } => {
                let is_new = display as usize == self.displays.len() && !self.is_ready;
                if is_new && display < MAX_DISPLAYS {
                    self.displays.push(Display::default());
                }
                let display = self.displays.get_mut(display as usize)?;
                let mode = Mode {
                    width,
                    height,
                    refresh_mhz: 0,
                };
                display.state = State {
                    connected: true,
                    width,
                    height,
                    modes: alloc::vec![mode],
                    ..State::default()
                };
                if display.events.last() != Some(&display::Event::Changed) {
                    display.events.push(display::Event::Changed);
                }
            }
            Event::Device { device, kind } => {
                let is_next = device as usize == self.devices.len() && device < MAX_DEVICES;
                if !is_next || self.is_ready {
                    return None;
                }
                self.devices.push(Device {
                    kind,
                    events: VecDeque::new(),
                });
            }
            Event::Ready => self.is_ready = true,
            Event::Presented { display, frame } => {
                let display = self.displays.get_mut(display as usize)?;
                if display.presents.pop_front() != Some(frame) {
                    return None;
                }
                display
                    .events
                    .push(display::Event::Presented(frame, Ok(())));
            }
            Event::Input { device, events } => {
                // Later than all before, of any device: that preserves their order.
                let time_ns = crate::Host::monotonic_ns().max(self.last_ns + 1);
                self.last_ns = time_ns;
                let device = self.devices.get_mut(device as usize)?;
                if device.events.len() + events.len() >= MAX_EVENTS {
                    device.lose(time_ns);
                    return Some(());
                }
                let events = events.into_iter().map(|(kind, code, value)| input::Event {
                    time_ns,
                    kind,
                    code,
                    value,
                });
                device.events.extend(events);
                device.events.push_back(end_of_group(time_ns, SYN_REPORT));
            }
        }
        Some(())
    }

    /// Sends the memory of a new buffer.
    pub fn add_buffer(&mut self, request: Request, memory: &Memory) -> Result<(), Failure> {
        self.check()?;
        if self.buffers >= MAX_BUFFERS {
            let detail = format!(
                "the program has {MAX_BUFFERS} buffers of pictures, the most that a window takes: \
                 release those that aren't used"
            );
            return Err(Failure::new(Error::TooManyOpen, detail));
        }
        self.buffers += 1;
        self.queue(request, Some(Rc::clone(&memory.fd)));
        Ok(())
    }

    /// Releases a buffer that isn't used any more.
    pub fn release_buffer(&mut self, display: u32, buffer: u32) {
        self.buffers = self.buffers.saturating_sub(1);
        if !self.forget_buffer(display, buffer) {
            self.send(Request::Release { display, buffer });
        }
    }

    /// Sends a request, now or when the viewer reads.
    pub fn send(&mut self, request: Request) {
        self.queue(request, None);
    }

    fn queue(&mut self, request: Request, along: Option<Rc<OwnedFd>>) {
        if self.end.is_some() {
            return;
        }
        self.unsent
            .retain(|(older, _)| !is_replaced(older, &request));
        self.unsent.push_back((request, along));
        self.flush();
    }

    /// Removes a buffer from the pending requests. False if the viewer knows it, or is to show it.
    fn forget_buffer(&mut self, display: u32, buffer: u32) -> bool {
        let is_about = |request: &Request| match request {
            Request::Buffer {
                display: on,
                buffer: of,
                ..
            }
            | Request::Present {
                display: on,
                buffer: of,
                ..
            } => (*on, *of) == (display, buffer),
            _ => false,
        };
        let all = self.unsent.iter().enumerate();
        let mut about = all.filter(|(_, (request, _))| is_about(request));
        match (about.next(), about.next()) {
            (Some((place, (Request::Buffer { .. }, _))), None) => {
                self.unsent.remove(place);
                true
            }
            _ => false,
        }
    }

    /// Sends pending requests.
    pub fn flush(&mut self) {
        while let Some((request, along)) = self.unsent.front() {
            let along = along.as_ref().map(|fd| fd.0);
            match send(self.fd.0, &request.encode(), along) {
                Ok(_) => _ = self.unsent.pop_front(),
                Err(Stop::WouldBlock) => return,
                Err(_) => {
                    // Messages that it sent before its end count.
                    self.receive();
                    if self.end.is_none() {
                        self.gone(ENDED);
                    }
                }
            }
        }
    }

    /// The descriptor and the events that its messages wait for; -1 after its end.
    pub fn events(&self) -> (i32, i16) {
        match (&self.end, self.unsent.is_empty()) {
            (Some(_), _) => (-1, 0),
            (None, true) => (self.fd.0, libc::POLLIN),
            (None, false) => (self.fd.0, libc::POLLIN | libc::POLLOUT),
        }
    }
}

impl Device {
    /// Records a loss of events.
    fn lose(&mut self, time_ns: u64) {
        self.events.clear();
        self.events
            .extend([SYN_DROPPED, SYN_REPORT].map(|code| end_of_group(time_ns, code)));
    }
}

/// Whether a newer request makes a pending one obsolete.
fn is_replaced(older: &Request, newer: &Request) -> bool {
    use Request::{Cursor, Disable, Hide, Move};
    match (older, newer) {
        (
            Cursor { display, .. } | Hide { display },
            Cursor { display: other, .. } | Hide { display: other },
        )
        | (Move { display, .. }, Move { display: other, .. })
        | (Disable { display }, Disable { display: other }) => display == other,
        _ => false,
    }
}

fn end_of_group(time_ns: u64, code: u16) -> input::Event {
    input::Event {
        time_ns,
        kind: kind::SYN,
        code,
        value: 0,
    }
}

/// Sends a datagram, with a descriptor.
fn send(socket: i32, bytes: &[u8], along: Option<i32>) -> platform::error::Answer {
    const ROOM: usize = 64;
    #[repr(align(8))]
    struct Control([u8; ROOM]);
    let mut control = Control([0; ROOM]);
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the message refers to one part and, with a descriptor, a control message that is
    // written within `control`; both outlive the call.
    unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        if let Some(fd) = along {
            let space = libc::CMSG_SPACE(size_of::<i32>() as u32) as usize;
            debug_assert!(space <= ROOM);
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = space;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as usize;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd);
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        check(libc::sendmsg(socket, &message, flags))
    }
}

/// Shared memory of whole pages, initially zero.
pub struct Memory {
    pub fd: Rc<OwnedFd>,
    start: core::ptr::NonNull<u8>,
    len: usize,
}

impl Memory {
    /// Memory of `len` bytes.
    pub fn new(len: usize) -> Result<Memory, Failure> {
        // SAFETY: a new memory file, mapped at an unused address.
        unsafe {
            let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
            let fd = OwnedFd(libc::memfd_create(c"display".as_ptr(), flags));
            let size = libc::off_t::try_from(len).map_err(|_| Error::TooLarge)?;
            if fd.0 < 0 || libc::ftruncate(fd.0, size) < 0 {
                return Err(failure("memory of a frame buffer"));
            }
            let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
            libc::fcntl(fd.0, libc::F_ADD_SEALS, seals);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let nowhere = core::ptr::null_mut();
            let start = libc::mmap(nowhere, len, protection, libc::MAP_SHARED, fd.0, 0);
            if start == libc::MAP_FAILED {
                return Err(failure("memory of a frame buffer"));
            }
            let start = core::ptr::NonNull::new(start.cast()).ok_or(Error::OutOfMemory)?;
            Ok(Memory {
                fd: Rc::new(fd),
                start,
                len,
            })
        }
    }

    /// Its first pixel.
    pub fn pixels(&self) -> core::ptr::NonNull<u32> {
        self.start.cast()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`. `DisplayDevice::release` is called, and the device dropped, when
        // nothing uses `pixels` any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests;

//! Shows a process's displays in windows. `soil run --display window` starts it with the process's
//! socket (the crate `viewer`) as standard input.
//!
//! `soil-window TITLE SIZES [PICTURE]`: the windows' title, their sizes (`640x480,320x200`), and
//! the output file for the first one's picture at the end (PNG). It ends with the process. When the
//! user closes a window, it closes all of them and prints a line to standard output. `soil run`
//! then requests the process to stop; until that ends, this program answers its frames.

#![forbid(unsafe_code)]

mod frame;
mod keys;

use frame::Place;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use screens::{Screens, Step};
use softbuffer::{Context, Surface};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use viewer::evdev::{ABS, AXES, KEY, REL, WHEELS};
use viewer::{BUFFER_SIDE, Kind};
use winit::application::ApplicationHandler;
use winit::dpi::PhysicalSize;
use winit::event::{ElementState, MouseScrollDelta, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, OwnedDisplayHandle};
use winit::window::{Window, WindowAttributes, WindowId};

/// The maximum number of requests handled before the windows' events.
const MAX_STEPS: usize = 64;

/// The time limit for drawing a frame: the desktop doesn't draw a hidden window at all.
const HIDDEN: Duration = Duration::from_millis(50);

/// The delay before resending events that the process had no room for.
const RETRY: Duration = Duration::from_millis(20);

/// Pixels of touchpad movement per wheel notch.
const NOTCH: f64 = 20.0;

/// The least width and height of a window, the same as for a program's pictures.
const MIN_SIDE: u32 = *BUFFER_SIDE.start();

/// A window and its drawing surface.
struct Shown {
    window: Rc<Window>,
    /// The size at the last resize event, to which later events refer.
    size: PhysicalSize<u32>,
    surface: Surface<OwnedDisplayHandle, Rc<Window>>,
    /// The wheels' movements below a whole notch.
    wheels: [f64; 2],
}

/// The application.
struct App {
    title: String,
    sizes: Vec<(u32, u32)>,
    screens: Screens,
    context: Context<OwnedDisplayHandle>,
    windows: Vec<Shown>,
    /// Resumes the thread that waits for the socket.
    seen: Sender<()>,
    /// The display with a frame to draw, and the deadline. The process's next requests wait, so
    /// that each frame is shown.
    awaited: Option<(u32, Instant)>,
    failed: Option<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("soil-window: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Parses sizes such as `640x480,320x200`.
fn sizes(text: &str) -> Option<Vec<(u32, u32)>> {
    let size = |text: &str| {
        let (width, height) = text.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    };
    text.split(',').map(size).collect()
}

fn run() -> Result<(), String> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let usage = || "soil run --display window starts it".to_owned();
    let (title, wanted, picture) = match words.as_slice() {
        [title, wanted] => (title, wanted, None),
        [title, wanted, picture] => (title, wanted, Some(Path::new(picture))),
        _ => return Err(usage()),
    };
    let sizes = wanted.to_str().and_then(sizes).ok_or_else(usage)?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    let socket = socket.map_err(|error| error.to_string())?;
    let waited = socket.try_clone().map_err(|error| error.to_string())?;
    let no_desktop = |error: &dyn std::fmt::Display| format!("no window can be opened: {error}");
    let events = EventLoop::with_user_event().build();
    let events: EventLoop<()> = events.map_err(|error| no_desktop(&error))?;
    let context = Context::new(events.owned_display_handle());
    let context = context.map_err(|error| no_desktop(&error))?;
    let screens = Screens::new(socket, &sizes);
    let (seen, next) = channel();
    let proxy = events.create_proxy();
    std::thread::spawn(move || {
        while wait(&waited, None) && proxy.send_event(()).is_ok() && next.recv().is_ok() {}
    });
    let mut app = App {
        title: title.to_string_lossy().into_owned(),
        sizes,
        screens,
        context,
        windows: Vec::new(),
        seen,
        awaited: None,
        failed: None,
    };
    events
        .run_app(&mut app)
        .map_err(|error| error.to_string())?;
    if let Some(file) = picture {
        let taken = app.screens.picture(0);
        let taken = taken.ok_or("the program has shown nothing on its first display")?;
        let written = File::create(file).and_then(|to| taken.write_png(to));
        written.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    app.failed.map_or(Ok(()), Err)
}

/// Waits for data or the end of the socket, or for the timeout. Returns whether the socket is
/// ready.
fn wait(socket: &OwnedFd, time: Option<&Timespec>) -> bool {
    let mut sockets = [PollFd::new(socket, PollFlags::IN)];
    loop {
        match poll(&mut sockets, time) {
            Err(rustix::io::Errno::INTR) => (),
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}

impl App {
    /// Handles the process's requests up to a frame. Returns whether the process is still running.
    fn serve(&mut self) -> Result<bool, String> {
        for _ in 0..MAX_STEPS {
            match self.screens.step().map_err(|error| error.to_string())? {
                None => return Ok(false),
                Some(Step::Nothing) => (),
                Some(Step::Frame(display)) if self.windows.is_empty() => {
                    self.screens.answer(display);
                }
                Some(Step::Frame(display)) => {
                    self.redraw(display);
                    self.awaited = Some((display, Instant::now() + HIDDEN));
                    return Ok(true);
                }
                Some(Step::Black(display)) => self.redraw(display),
                Some(Step::Cursor(display)) => {
                    let screen = self.screens.screens().get(display as usize);
                    let has_cursor = screen.is_some_and(|screen| screen.cursor.is_some());
                    if let Some(shown) = self.windows.get(display as usize) {
                        shown.window.set_cursor_visible(!has_cursor);
                    }
                    self.redraw(display);
                }
            }
            if !wait(self.screens.socket(), Some(&Timespec::default())) {
                break;
            }
        }
        Ok(true)
    }

    /// Answers the awaited frame, after drawing or at its deadline, so that the process continues.
    fn finish_frame(&mut self) {
        if let Some((display, _)) = self.awaited.take() {
            self.screens.answer(display);
            // Fails only at the end, without the thread.
            let _ = self.seen.send(());
        }
    }

    fn redraw(&self, display: u32) {
        if let Some(shown) = self.windows.get(display as usize) {
            shown.window.request_redraw();
        }
    }

    fn draw(&mut self, display: u32) -> Result<(), String> {
        let (screens, windows) = (&self.screens, &mut self.windows);
        let Some(Shown {
            window, surface, ..
        }) = windows.get_mut(display as usize)
        else {
            return Ok(());
        };
        let PhysicalSize { width, height } = window.inner_size();
        let (Some(wide), Some(high)) = (NonZeroU32::new(width), NonZeroU32::new(height)) else {
            return Ok(());
        };
        let failed = |error: softbuffer::SoftBufferError| error.to_string();
        surface.resize(wide, high).map_err(failed)?;
        let mut pixels = surface.buffer_mut().map_err(failed)?;
        let screen = screens.screens().get(display as usize);
        frame::compose(
            &mut pixels,
            (width, height),
            screens.picture(display),
            screen,
        );
        window.pre_present_notify();
        pixels.present().map_err(failed)
    }

    /// Sends the notches of both wheels.
    fn turn(&mut self, display: u32, by: [f64; 2]) {
        let Some(shown) = self.windows.get_mut(display as usize) else {
            return;
        };
        let mut events = Vec::new();
        for ((left, by), code) in shown.wheels.iter_mut().zip(by).zip(WHEELS) {
            *left += by;
            let notches = left.trunc();
            *left -= notches;
            if notches != 0.0 {
                events.push((REL, code, notches as i32));
            }
        }
        if !events.is_empty() {
            self.screens.input(Kind::Pointer { display }, events);
        }
    }

    fn handle(&mut self, display: u32, event: WindowEvent) -> Result<(), String> {
        match event {
            WindowEvent::RedrawRequested => {
                self.draw(display)?;
                if self.awaited.is_some_and(|(awaited, _)| awaited == display) {
                    self.finish_frame();
                }
            }
            WindowEvent::Resized(size) if size.width > 0 && size.height > 0 => {
                if let Some(shown) = self.windows.get_mut(display as usize) {
                    shown.size = size;
                }
                let sides = (size.width.max(MIN_SIDE), size.height.max(MIN_SIDE));
                self.screens.resize(display, sides);
                self.redraw(display);
            }
            WindowEvent::KeyboardInput {
                event,
                is_synthetic,
                ..
            } => {
                let is_pressed = event.state == ElementState::Pressed;
                // Keys held before the window got the keyboard focus.
                let is_old = is_synthetic && is_pressed;
                if let Some(code) = keys::code(event.physical_key)
                    && !event.repeat
                    && !is_old
                {
                    let events = vec![(KEY, code, is_pressed.into())];
                    self.screens.input(Kind::Keyboard, events);
                }
            }
            // Wayland doesn't report releases that happen without the focus.
            WindowEvent::Focused(false) => self.screens.release_keys(Kind::Keyboard),
            WindowEvent::CursorMoved { position, .. } => {
                let shown = self.windows.get(display as usize);
                let size = shown.map_or_else(PhysicalSize::default, |shown| shown.size);
                let place = Place::new(size.into(), self.screens.picture(display));
                let (x, y) = place.shares(position.x, position.y);
                let [across, down] = AXES;
                let events = vec![(ABS, across, x), (ABS, down, y)];
                self.screens.input(Kind::Pointer { display }, events);
            }
            WindowEvent::MouseInput { state, button, .. } => {
                if let Some(code) = keys::button(button) {
                    let is_pressed = state == ElementState::Pressed;
                    let events = vec![(KEY, code, is_pressed.into())];
                    self.screens.input(Kind::Pointer { display }, events);
                }
            }
            // winit reports the movement of the contents, evdev that of the wheel.
            WindowEvent::MouseWheel { delta, .. } => {
                let by = match delta {
                    MouseScrollDelta::LineDelta(x, y) => [-f64::from(x), f64::from(y)],
                    MouseScrollDelta::PixelDelta(by) => [-by.x / NOTCH, by.y / NOTCH],
                };
                self.turn(display, by);
            }
            _ => (),
        }
        Ok(())
    }

    /// Closes all windows.
    fn close(&mut self) {
        self.windows.clear();
        self.finish_frame();
        // Fails if `soil run` has ended.
        let _ = writeln!(std::io::stdout(), "closed");
    }

    fn fail(&mut self, events: &ActiveEventLoop, reason: String) {
        self.failed = Some(reason);
        events.exit();
    }
}

impl ApplicationHandler for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        let more = self.sizes.iter().enumerate().skip(self.windows.len());
        for (place, (width, height)) in more {
            let title = match self.sizes.len() {
                1 => self.title.clone(),
                _ => format!("{} ({place})", self.title),
            };
            let attributes = WindowAttributes::default()
                .with_title(title)
                .with_inner_size(PhysicalSize::new(*width, *height))
                .with_min_inner_size(PhysicalSize::new(MIN_SIDE, MIN_SIDE));
            let opened = events
                .create_window(attributes)
                .map_err(|error| error.to_string());
            let shown = opened.and_then(|window| {
                let window = Rc::new(window);
                let surface = Surface::new(&self.context, Rc::clone(&window));
                let surface = surface.map_err(|error| error.to_string())?;
                let size = window.inner_size();
                Ok(Shown {
                    window,
                    size,
                    surface,
                    wheels: [0.0; 2],
                })
            });
            match shown {
                Ok(shown) => self.windows.push(shown),
                Err(reason) => return self.fail(events, reason),
            }
        }
    }

    fn user_event(&mut self, events: &ActiveEventLoop, (): ()) {
        match self.serve() {
            Ok(true) if self.awaited.is_some() => (),
            Ok(true) => _ = self.seen.send(()),
            Ok(false) => events.exit(),
            Err(reason) => self.fail(events, reason),
        }
    }

    fn about_to_wait(&mut self, events: &ActiveEventLoop) {
        let now = Instant::now();
        if self.awaited.is_some_and(|(_, until)| until <= now) {
            self.finish_frame();
        }
        let retry = (!self.screens.flush()).then(|| now + RETRY);
        let until = self.awaited.map(|(_, until)| until);
        let next = retry.into_iter().chain(until).min();
        events.set_control_flow(next.map_or(ControlFlow::Wait, ControlFlow::WaitUntil));
    }

    fn window_event(&mut self, events: &ActiveEventLoop, id: WindowId, event: WindowEvent) {
        if event == WindowEvent::CloseRequested {
            return self.close();
        }
        let place = self
            .windows
            .iter()
            .position(|shown| shown.window.id() == id);
        if let Some(display) = place.and_then(|place| u32::try_from(place).ok())
            && let Err(reason) = self.handle(display, event)
        {
            self.fail(events, reason);
        }
    }
}

//! The displays of a process: keeps their pictures, or starts `soil-window` to show them.

use super::screenshot::Pictured;
use crate::child::{dies_with_us, inherit};
use crate::desktop::has_desktop;
use crate::failure::{Context as _, Failure};
use crate::options::DisplaySize;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use screens::{Screens, Step};
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The environment variable with the command that shows windows.
const COMMAND: &str = "SOIL_WINDOW";

/// The time for the window command to open its windows.
const PATIENCE: Duration = Duration::from_secs(30);

/// A viewer before the program's start.
pub struct Viewer {
    by: By,
    /// The program's end of the socket.
    theirs: OwnedFd,
}

/// The implementation of the viewer.
enum By {
    /// This process keeps the pictures; with our end of the socket.
    Us(OwnedFd, Vec<DisplaySize>),
    Window(PathBuf, Child),
}

/// A viewer's handling of pictures.
pub enum How {
    /// Keeps them.
    Keep,
    /// Shows them in windows, and writes the first one at the end.
    Window {
        /// The program's name.
        title: OsString,
        /// The output file.
        picture: Option<PathBuf>,
    },
}

/// A running viewer, which ends with the program.
pub struct Viewed(JoinHandle<Result<Pictured, Failure>>);

impl Viewer {
    /// Creates displays of these sizes. Waits until their windows are open, if any.
    pub fn new(how: How, sizes: Vec<DisplaySize>) -> Result<Self, Failure> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|error| Failure::new(format!("no socket for the display: {error}")))?;
        let by = match how {
            How::Keep => By::Us(ours, sizes),
            How::Window { title, picture } => {
                let program = window();
                let child = start(&program, ours, &sizes, &title, picture.as_deref())?;
                By::Window(program.clone(), ready(&program, child, &theirs)?)
            }
        };
        Ok(Self { by, theirs })
    }

    /// The environment variable that connects the program to it.
    pub fn variable(&self) -> (String, OsString) {
        let value = format!("viewer={}", self.theirs.as_raw_fd());
        ("SOIL_DISPLAY".into(), value.into())
    }

    /// Lets the program inherit its end of the socket.
    pub fn inherited_by(&self, command: &mut Command) {
        inherit(command, vec![self.theirs.as_raw_fd()]);
    }

    /// Serves the running program until its end. Calls `closed` when a window is closed before
    /// that, or can no longer be shown.
    pub fn begin(self, closed: impl Fn() + Send + 'static) -> Viewed {
        // The program has inherited its copy.
        drop(self.theirs);
        Viewed(std::thread::spawn(move || match self.by {
            By::Us(ours, sizes) => keep(ours, &sizes),
            By::Window(program, child) => show(&program, child, closed),
        }))
    }
}

impl Viewed {
    /// Returns the first display's picture at the end.
    pub fn finish(self) -> Result<Pictured, Failure> {
        let lost = |_| Failure::new("the picture of the display was lost");
        self.0.join().map_err(lost)?
    }
}

/// Keeps the pictures and returns the last one of the first display.
fn keep(ours: OwnedFd, sizes: &[DisplaySize]) -> Result<Pictured, Failure> {
    let wrong = |error| Failure::new(format!("the program's display: {error}"));
    let sizes: Vec<(u32, u32)> = sizes.iter().map(|size| (size.0, size.1)).collect();
    let mut screens = Screens::new(ours, &sizes);
    while let Some(step) = screens.step().map_err(wrong)? {
        if let Step::Frame(display) = step {
            screens.answer(display);
        }
    }
    Ok(Pictured::Shows(screens.picture(0).cloned()))
}

/// Finds the window command: in the variable, else beside this program or on `PATH`.
fn window() -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().ok()?;
        Some(own.with_file_name("soil-window")).filter(|path| path.is_file())
    };
    let named = std::env::var_os(COMMAND).filter(|value| !value.is_empty());
    let found = named.map(PathBuf::from).or_else(beside);
    found.unwrap_or_else(|| "soil-window".into())
}

/// Fails without a desktop, which windows need.
pub fn check_desktop() -> Result<(), Failure> {
    if has_desktop() {
        return Ok(());
    }
    let reason = "--display window needs a desktop: neither WAYLAND_DISPLAY nor DISPLAY is set";
    Err(Failure::new(reason).remedy("give --display none, or vnc=:N for an image"))
}

/// Starts the window command with our end of the socket.
fn start(
    program: &Path,
    ours: OwnedFd,
    sizes: &[DisplaySize],
    title: &OsString,
    picture: Option<&Path>,
) -> Result<Child, Failure> {
    let sizes: Vec<String> = sizes.iter().map(DisplaySize::to_string).collect();
    let mut command = Command::new(program);
    command.arg(title).arg(sizes.join(",")).args(picture);
    // It reports a closed window on standard output.
    command.stdin(ours).stdout(Stdio::piped());
    // Ctrl-C is for the program; the window ends with it.
    command.process_group(0);
    dies_with_us(&mut command);
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::on(program, "not on this machine").remedy(
            "'make install' in Soil's repository installs it, or 'cargo install --path tools/window' \
             there; or give --display none",
        ),
        _ => Failure::on(program, format!("did not start: {error}")),
    })
}

/// Waits until the window command has announced the displays, which it does after connecting to
/// the desktop.
fn ready(program: &Path, mut child: Child, theirs: &OwnedFd) -> Result<Child, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).on(program)?;
        match poll(&mut [PollFd::new(theirs, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => (),
            other if other.on(program)? > 0 => break,
            _ => {
                let _ = child.kill();
                let reason = format!("opens no window within {} s", PATIENCE.as_secs());
                return Err(Failure::on(program, reason).remedy("give --display none"));
            }
        }
    }
    let mut first = [0];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    if recv(theirs, &mut first[..], flags).is_ok_and(|(len, _)| len > 0) {
        return Ok(child);
    }
    let status = child.wait().on(program)?;
    Err(Failure::on(program, status).remedy("see above; or give --display none"))
}

/// Waits for the end of the window command, which ends with the program.
fn show(program: &Path, mut child: Child, closed: impl Fn()) -> Result<Pictured, Failure> {
    let says = child.stdout.take().map(|mut output| output.read(&mut [0]));
    if says.is_some_and(|said| said.is_ok_and(|len| len > 0)) {
        closed();
    }
    let status = child.wait().on(program)?;
    if status.success() {
        return Ok(Pictured::Written);
    }
    closed();
    Err(Failure::on(program, status))
}

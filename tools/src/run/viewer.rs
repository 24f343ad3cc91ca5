//! The displays of a process: their pictures are kept here, or `soil-window` shows them.

use super::screenshot::Pictured;
use crate::child::{dies_with_us, inherit};
use crate::desktop::has_desktop;
use crate::failure::{Context as _, Failure};
use crate::options::DisplaySize;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use screens::{Screens, Step};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

/// The environment variable with the command that shows windows.
const COMMAND: &str = "SOIL_WINDOW";

/// A viewer before the program is started.
pub struct Viewer {
    how: How,
    /// Our end of the socket.
    ours: OwnedFd,
    /// The program's.
    theirs: OwnedFd,
    sizes: Vec<DisplaySize>,
}

/// Use of pictures by a viewer.
pub enum How {
    /// It keeps them.
    Keep,
    /// It shows them in windows with this title, and writes the first one at the end.
    Window {
        /// The program's name.
        title: OsString,
        /// See above.
        picture: Option<PathBuf>,
    },
}

/// A viewer that works, until the program ends.
pub struct Viewed(JoinHandle<Shown>);

/// What a viewer has shown.
struct Shown {
    picture: Result<Pictured, Failure>,
    /// Its end of the socket. A program whose window was closed is asked to stop; without this it
    /// might fail first, for its display is gone.
    _connection: Option<OwnedFd>,
}

impl Viewer {
    /// Displays of these sizes.
    pub fn new(how: How, sizes: Vec<DisplaySize>) -> Result<Self, Failure> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|error| Failure::new(format!("no socket for the display: {error}")))?;
        Ok(Self {
            how,
            ours,
            theirs,
            sizes,
        })
    }

    /// The environment variable that leads the program to it.
    pub fn variable(&self) -> (String, OsString) {
        let value = format!("viewer={}", self.theirs.as_raw_fd());
        ("SOIL_DISPLAY".into(), value.into())
    }

    /// Lets the program inherit its end of the socket.
    pub fn inherited_by(&self, command: &mut Command) {
        inherit(command, vec![self.theirs.as_raw_fd()]);
    }

    /// Answers the program, which has been started, until its end. `closed` is called when a window
    /// is closed before that.
    pub fn begin(self, closed: impl FnOnce() + Send + 'static) -> Viewed {
        let Self {
            how,
            ours,
            theirs,
            sizes,
        } = self;
        drop(theirs);
        Viewed(std::thread::spawn(move || match how {
            How::Keep => Shown {
                picture: keep(ours, &sizes),
                _connection: None,
            },
            How::Window { title, picture } => {
                let _connection = ours.try_clone().ok();
                let picture = show(ours, &sizes, &title, picture.as_deref());
                closed();
                Shown {
                    picture,
                    _connection,
                }
            }
        }))
    }
}

impl Viewed {
    /// What the first display shows at the end.
    pub fn finish(self) -> Result<Pictured, Failure> {
        let lost = |_| Failure::new("the picture of the display was lost");
        self.0.join().map_err(lost)?.picture
    }
}

/// Keeps the pictures; the last one of the first display.
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

/// The command that shows windows: what the variable says, else beside this one or on `PATH`.
fn window() -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().ok()?;
        Some(own.with_file_name("soil-window")).filter(|path| path.is_file())
    };
    let named = std::env::var_os(COMMAND).filter(|value| !value.is_empty());
    let found = named.map(PathBuf::from).or_else(beside);
    found.unwrap_or_else(|| "soil-window".into())
}

/// A window needs a desktop.
pub fn check_desktop() -> Result<(), Failure> {
    if has_desktop() {
        return Ok(());
    }
    let reason = "--display window needs a desktop: neither WAYLAND_DISPLAY nor DISPLAY is set";
    Err(Failure::new(reason).remedy("give --display none, or vnc=:N for an image"))
}

/// Shows windows until the program ends, or one is closed.
fn show(
    ours: OwnedFd,
    sizes: &[DisplaySize],
    title: &OsString,
    picture: Option<&Path>,
) -> Result<Pictured, Failure> {
    let program = window();
    let sizes: Vec<String> = sizes.iter().map(DisplaySize::to_string).collect();
    let mut command = Command::new(&program);
    command.arg(title).arg(sizes.join(",")).args(picture);
    command.stdin(ours);
    // Ctrl-C is the program's: its window ends with it.
    command.process_group(0);
    dies_with_us(&mut command);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::on(&program, "not on this machine").remedy(
            "'make install' in Soil's repository installs it, or 'cargo install --path tools/window' \
             there; or give --display none",
        ),
        _ => Failure::on(&program, format!("did not start: {error}")),
    })?;
    // What it keeps of the socket is its own.
    drop(command);
    let status = child.wait().on(&program)?;
    match status.success() {
        true => Ok(Pictured::Written),
        false => Err(Failure::on(&program, status)),
    }
}

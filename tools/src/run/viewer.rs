//! The displays of a process: their sockets for VNC, the viewers that show them on a desktop, and
//! the file of the first one's picture.

use super::scratch;
use crate::child::{dies_with_us, inherit};
use crate::cli::Run;
use crate::desktop::has_desktop;
use crate::failure::{Context as _, Failure};
use crate::messages::say_soon;
use crate::options::{Display, DisplaySize};
use crate::picture::Picture;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Seek as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// TigerVNC's viewer, by Debian's name and by its own. Another one of the second name doesn't
/// connect to a Unix socket.
const COMMANDS: [&str; 2] = ["xtigervncviewer", "vncviewer"];

/// Its options: the program gets all keys, each move of the pointer and exact colours, and the end
/// of the program is no error.
const OPTIONS: [&str; 6] = [
    "MenuKey=None",
    "PointerEventInterval=0",
    "AutoSelect=0",
    "SendClipboard=0",
    "ReconnectOnError=0",
    "AlertOnFatalError=0",
];

/// The time for a viewer to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// The displays before the program's start.
pub struct Displays {
    sizes: Vec<DisplaySize>,
    listeners: Vec<OwnedFd>,
    viewers: Vec<(&'static str, Child)>,
    picture: Option<File>,
}

/// The displays of the running program.
pub struct Shown(Option<File>);

impl Displays {
    /// Creates the displays that the options require, if any: opens their sockets, and waits until
    /// their viewers have connected.
    pub fn new(run: &Run) -> Result<Option<Self>, Failure> {
        let Some(display) = run.shown_by() else {
            return Ok(None);
        };
        let mut all = Self {
            sizes: run.sizes(),
            listeners: Vec::new(),
            viewers: Vec::new(),
            picture: None,
        };
        if run.screenshot.is_some() {
            let file = memfd_create("picture", MemfdFlags::CLOEXEC);
            all.picture = Some(File::from(file.on("memory for the picture")?));
        }
        match display {
            Display::None => (),
            Display::Vnc(number) => all.listen(number)?,
            Display::Window => all.show()?,
        }
        Ok(Some(all))
    }

    /// Opens a port for each display, from the one of `number` on.
    fn listen(&mut self, number: u16) -> Result<(), Failure> {
        for port in (5900 + u32::from(number)..).take(self.sizes.len()) {
            let subject = format!("--display vnc=:{}", port - 5900);
            let port = u16::try_from(port);
            let port =
                port.map_err(|_| Failure::on(&subject, "is no port: give a lower number"))?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).on(subject)?;
            self.listeners.push(listener.into());
        }
        Ok(())
    }

    /// Starts a viewer for each display, on a socket that only this user can open.
    fn show(&mut self) -> Result<(), Failure> {
        if !has_desktop() {
            let reason =
                "--display window needs a desktop: neither WAYLAND_DISPLAY nor DISPLAY is set";
            return Err(Failure::new(reason).remedy("give --display none or vnc=:0"));
        }
        let folder = scratch::Folder::new().on("a folder for the displays' sockets")?;
        for display in 0..self.sizes.len() {
            let path = folder.path().join(display.to_string());
            let listener = UnixListener::bind(&path).on(&path)?;
            let (command, mut child) = start(&path)?;
            let connected = connected(command, &mut child, &listener);
            if connected.is_err() {
                let _ = child.kill();
            }
            connected?;
            self.listeners.push(listener.into());
            self.viewers.push((command, child));
        }
        Ok(())
    }

    /// The environment variable that gives the program its displays.
    pub fn variable(&self) -> (String, OsString) {
        let numbers = self.listeners.iter().map(|fd| fd.as_raw_fd().to_string());
        let numbers: Vec<String> = numbers.collect();
        let mut value = in_memory(&self.sizes);
        if !numbers.is_empty() {
            value += &format!(";vnc={}", numbers.join(","));
        }
        if let Some(picture) = &self.picture {
            value += &format!(";picture={}", picture.as_raw_fd());
        }
        ("SOIL_DISPLAY".into(), value.into())
    }

    /// Lets the program inherit its sockets and the file of the picture.
    pub fn inherited_by(&self, command: &mut Command) {
        let sockets = self.listeners.iter().map(OwnedFd::as_raw_fd);
        inherit(
            command,
            sockets
                .chain(self.picture.iter().map(File::as_raw_fd))
                .collect(),
        );
    }

    /// Gives the displays to the running program. Calls `closed` at the end of each viewer.
    pub fn begin(self, closed: impl Fn() + Clone + Send + 'static) -> Shown {
        for (command, child) in self.viewers {
            let closed = closed.clone();
            std::thread::spawn(move || {
                if let Ok(output) = child.wait_with_output()
                    && !output.status.success()
                {
                    say_soon(&failed(command, &output).to_string());
                }
                closed();
            });
        }
        Shown(self.picture)
    }
}

impl Shown {
    /// The first display's picture at the end of the program; `None` without one.
    pub fn picture(self) -> Result<Option<Picture>, Failure> {
        let Some(mut file) = self.0 else {
            return Ok(None);
        };
        let subject = "the picture of the display";
        file.rewind().on(subject)?;
        let is_empty = file.metadata().on(subject)?.len() == 0;
        let read = || Picture::read_ppm(&mut BufReader::new(file)).on(subject);
        (!is_empty).then(read).transpose()
    }
}

/// The value of `SOIL_DISPLAY` for displays of these sizes in memory.
pub fn in_memory(sizes: &[DisplaySize]) -> String {
    let sizes: Vec<String> = sizes.iter().map(DisplaySize::to_string).collect();
    format!("memory={}", sizes.join(","))
}

/// Starts a viewer of the display at this socket.
fn start(socket: &Path) -> Result<(&'static str, Child), Failure> {
    for name in COMMANDS {
        let mut command = Command::new(name);
        command.args(OPTIONS).arg(socket);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // Ctrl-C is for the program; the window ends with it.
        command.process_group(0);
        dies_with_us(&mut command);
        match command.spawn() {
            Ok(child) => return Ok((name, child)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(Failure::on(name, format!("did not start: {error}"))),
        }
    }
    Err(Failure::on(COMMANDS[1], "not on this machine").remedy(
        "install TigerVNC's viewer (Debian, Ubuntu: tigervnc-viewer; Fedora: tigervnc); or give \
         --display none, or vnc=:0 for any viewer",
    ))
}

/// Waits until the viewer has connected, which it does after opening the desktop.
fn connected(name: &str, child: &mut Child, listener: &UnixListener) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    let step = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    while Instant::now() < end {
        let mut sockets = [PollFd::new(listener, PollFlags::IN)];
        if poll(&mut sockets, Some(&step)).is_ok_and(|ready| ready > 0) {
            return Ok(());
        }
        if let Some(status) = child.try_wait().on(name)? {
            let mut stderr = Vec::new();
            let read = |from: &mut std::process::ChildStderr| io::copy(from, &mut stderr);
            let _ = child.stderr.as_mut().map(read);
            let output = std::process::Output {
                status,
                stdout: Vec::new(),
                stderr,
            };
            return Err(failed(name, &output).remedy("give --display none or vnc=:0"));
        }
    }
    let reason = format!("opens no window within {} s", PATIENCE.as_secs());
    Err(Failure::on(name, reason).remedy("give --display none or vnc=:0"))
}

/// The failure of a viewer, with the last line that it wrote.
fn failed(name: &str, output: &std::process::Output) -> Failure {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    let last = last.map_or(String::new(), |line| format!(": {}", line.trim()));
    Failure::on(name, format!("{}{last}", output.status))
}

//! passt: connects the program's Ethernet to the user's sockets on the host, without privileges.

use super::{ports, scratch, shell};
use crate::child::{dies_with_us, not_started};
use crate::failure::{Context as _, Failure};
use crate::options::{Forward, Protocol};
use rustix::process::geteuid;
use std::ffi::{OsStr, OsString};
use std::fs::{Permissions, set_permissions};
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The time to wait for its socket; only a hanging passt takes so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Linux's overflow user, as which passt runs if root starts it. (Versions since 2026 can't stay
/// root: they lack the capability to map it into their user namespace.)
const NOBODY: u32 = 65534;

/// A child that is killed on drop.
pub struct OwnedChild(Child);

/// Captures passt's messages, which would mix with the program's console. After passt's end, the
/// last one is the reason.
struct Words(JoinHandle<Option<String>>);

impl Words {
    fn of(child: &mut Child) -> Self {
        let words = child.stderr.take();
        Self(std::thread::spawn(move || {
            let lines = BufReader::new(words?).lines().map_while(Result::ok);
            // Skips passt's complaints about a missing system log.
            lines
                .filter(|line| !line.trim().is_empty() && !line.contains("syslog"))
                .last()
        }))
    }

    fn last(self) -> String {
        self.0
            .join()
            .ok()
            .flatten()
            .unwrap_or_else(|| "it gives no reason".to_owned())
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// passt's socket in the commands that `--dry-run` prints. It is in the folder where they are run:
/// in one that users share, another may listen at a known name first.
pub const SHOWN_SOCKET: &str = "./passt.socket";

/// The first command that `--dry-run` prints; it returns when passt listens.
pub fn shown(forwards: &[Forward]) -> String {
    let mut words = options(forwards);
    words.extend(["--socket", SHOWN_SOCKET].map(OsString::from));
    shell::shown(OsStr::new("passt"), &words) + " &&\n"
}

fn options(forwards: &[Forward]) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["--quiet", "--one-off"].map(OsString::from).into();
    // passt does so by default, but logs a message about it.
    if geteuid().is_root() {
        words.extend(["--runas".into(), format!("{NOBODY}:{NOBODY}").into()]);
    }
    for forward in forwards {
        let option = match forward.protocol {
            Protocol::Tcp => "--tcp-ports",
            Protocol::Udp => "--udp-ports",
        };
        let ports = format!("{}/{}:{}", forward.address, forward.host, forward.program);
        words.extend([option.into(), ports.into()]);
    }
    words
}

/// Whether a process listens on the Unix domain socket `path`. The file appears slightly before
/// that, and a test connection would count as passt's only client.
fn listens(path: &Path) -> bool {
    // proc(5): flags are the fourth field; __SO_ACCEPTCON is 0x10000.
    let Ok(table) = std::fs::read_to_string("/proc/net/unix") else {
        return path.exists();
    };
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(3) == Some(&"00010000") && fields.last().is_some_and(|at| path == Path::new(at))
    })
}

/// A passt that listens on a path.
pub struct Listening {
    /// The path of its socket.
    pub path: PathBuf,
    _child: OwnedChild,
    _folder: scratch::Folder,
}

impl Listening {
    /// Starts passt and waits until it listens.
    pub fn start(forwards: &[Forward]) -> Result<Self, Failure> {
        let folder = scratch::Folder::new()
            .map_err(|error| Failure::new(format!("no folder for passt's socket: {error}")))?;
        // Depending on its version, passt creates the socket as the user `nobody`, or as root
        // without the capability to write to another user's folder. So root owns the folder, and
        // its group is that of `nobody`.
        if geteuid().is_root() {
            chown(folder.path(), None, Some(NOBODY))
                .and_then(|()| set_permissions(folder.path(), Permissions::from_mode(0o770)))
                .map_err(|error| Failure::on(folder.path(), error))?;
        }
        let path = folder.path().join("passt");
        let mut command = Command::new("passt");
        // In the foreground, so that it stays our child.
        command.arg("--foreground").args(options(forwards));
        command.arg("--socket").arg(&path);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        dies_with_us(&mut command);
        let child = command
            .spawn()
            .map_err(|error| not_started(Path::new("passt"), &error))?;
        let mut child = OwnedChild(child);
        let words = Words::of(&mut child.0);
        let end = Instant::now() + PATIENCE;
        while !listens(&path) {
            if let Ok(Some(_)) = child.0.try_wait() {
                return Err(ports::refused(forwards).unwrap_or_else(|| {
                    Failure::on("passt", format!("did not start: {}", words.last()))
                }));
            }
            if Instant::now() > end {
                let reason = format!("made no socket within {} s", PATIENCE.as_secs());
                return Err(Failure::on("passt", reason));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self {
            path,
            _child: child,
            _folder: folder,
        })
    }

    /// Connects to it, as its only client.
    pub fn connect(&self) -> Result<OwnedFd, Failure> {
        let socket = UnixStream::connect(&self.path);
        socket.map(OwnedFd::from).on("passt's socket")
    }
}

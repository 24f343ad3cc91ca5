//! QEMU: the connections to it, its monitor (QMP), and its own errors.

use super::backlog;
use super::command::{self, Sockets, Wiring};
use super::gathered::Gathered;
use super::machine::{self, End, Event, Launch, Monitor};
use super::ports;
use super::serial::Origin;
use crate::cli::Run;
use crate::failure::{Context as _, Failure};
use crate::image_lock::other_use;
use crate::messages::{say, say_soon};
use crate::observe::{Observed, Wanted};
use crate::options::{Disk, Display};
use crate::picture::Picture;
use lock::Usage;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time for QEMU to write a picture; only a hanging QEMU takes so long.
const DUMP: Duration = Duration::from_secs(60);
/// The ID of the request for a picture, and of QEMU's answer.
const DUMP_ID: &str = "screendump";

/// Runs the image and returns its exit status.
pub fn run(
    run: &Run,
    wiring: Wiring<'_>,
    line: &str,
    hidden: Option<String>,
    origin: Origin,
    passt: Option<OwnedFd>,
) -> Result<u8, Failure> {
    let socket = || {
        socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|error| Failure::new(format!("no socket for QEMU: {error}")))
    };
    let (control_here, control_there) = socket()?;
    let (monitor_here, monitor_there) = socket()?;
    let wanted = Wanted::by(run, true)?;
    let observer = wanted.as_ref().map(|_| socket()).transpose()?;
    let (output_here, output_there) = pipe_with(PipeFlags::CLOEXEC).on("a pipe for QEMU")?;
    let output_again = output_there.try_clone().on("a pipe for QEMU")?;
    let sockets = Sockets {
        output: output_again.as_raw_fd(),
        control: control_there.as_raw_fd(),
        monitor: monitor_there.as_raw_fd(),
        observer: observer.as_ref().map(|(_, there)| there.as_raw_fd()),
    };
    let hidden = hidden.map(|text| private_file(&text)).transpose()?;
    let settings = hidden
        .as_ref()
        .map(|file| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    let wiring = Wiring {
        sockets: Some(sockets),
        settings: settings.as_deref(),
        ..wiring
    };
    let inherited: Vec<RawFd> = [
        Some(sockets.control),
        Some(sockets.monitor),
        Some(sockets.output),
        sockets.observer,
        wiring.passt,
        hidden.as_ref().map(File::as_raw_fd),
    ]
    .into_iter()
    .flatten()
    .collect();
    let path = run.qemu_path();
    let mut command = Command::new(&path);
    command.args(command::arguments(run, &wiring, line));
    let launch = Launch {
        program: &path,
        command,
        inherited,
        control: Some(control_here),
        terminal: None,
        output: Some((output_here, output_there)),
    };
    let (status, qmp) = machine::run(run, launch, origin, |process, events| {
        drop((control_there, monitor_there, output_again, passt, hidden));
        let observed = wanted
            .zip(observer)
            .and_then(|(wanted, (here, _))| wanted.image(here));
        let (forwards, mut notes) = (run.forwards.clone(), run.notes.clone());
        if let Some(port) = run.gdb {
            notes.push(format!("waiting for gdb: target remote 127.0.0.1:{port}"));
        }
        let on_ready = move || {
            // On failure, QEMU's own backlog remains.
            _ = backlog::raise(process, &forwards);
            notes.iter().for_each(|note| say(note));
        };
        let disks = run.disks.clone();
        Qmp::new(monitor_here.into(), observed, events, disks, on_ready)
    })?;
    if let Some(observed) = qmp.observed {
        say(&observed.finish(&run.program)?);
    }
    Ok(status)
}

/// A file in memory, without a name, that QEMU inherits.
fn private_file(text: &str) -> Result<File, Failure> {
    let make = || {
        let mut file = File::from(memfd_create("settings", MemfdFlags::CLOEXEC)?);
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    make().map_err(|error: std::io::Error| Failure::on("a file for the machine's settings", error))
}

/// QEMU's monitor.
struct Qmp {
    monitor: File,
    /// The reason of the last SHUTDOWN event.
    reason: Gathered<Option<String>>,
    /// QEMU has created all devices.
    is_ready: Arc<AtomicBool>,
    /// The answers to requests for a picture; errors as text.
    dumped: Receiver<Result<(), String>>,
    observed: Option<Observed>,
}

impl Qmp {
    fn new(
        monitor: File,
        observed: Option<Observed>,
        events: Sender<Event>,
        disks: Vec<Disk>,
        on_ready: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Failure> {
        let replies = monitor.try_clone().on("QEMU's monitor")?;
        let (dumps, dumped) = channel();
        let is_ready = Arc::new(AtomicBool::new(false));
        let ready = Arc::clone(&is_ready);
        let on_ready = move || {
            ready.store(true, Ordering::Relaxed);
            on_ready();
        };
        let qmp = Self {
            monitor,
            is_ready,
            reason: Gathered::by(move |state| {
                read_monitor(replies, state, &dumps, &events, &disks, on_ready)
            }),
            dumped,
            observed,
        };
        qmp.ask("qmp_capabilities");
        Ok(qmp)
    }

    /// Sends a QMP command. Ignores errors: another thread detects QEMU's end.
    fn ask(&self, command: &str) {
        let _ = (&self.monitor).write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes());
    }
}

impl Monitor for Qmp {
    const NAME: &'static str = "QEMU";

    fn press_button(&self) {
        self.ask("system_powerdown");
    }

    fn picture(&self) -> Result<Picture, Failure> {
        let folder = tempfile::tempdir().on("a temporary folder")?;
        let file = folder.path().join("display.ppm");
        let name = command::display_name(0);
        let request = serde_json::json!({
            "execute": "screendump",
            "arguments": { "filename": file.to_string_lossy(), "device": name, "head": 0 },
            "id": DUMP_ID,
        });
        // A failed write shows below as a missing answer.
        let _ = (&self.monitor).write_all(format!("{request}\n").as_bytes());
        let answer = self.dumped.recv_timeout(DUMP);
        let gone = |_| Failure::new("QEMU gave no picture of the display");
        answer.map_err(gone)?.map_err(Failure::new)?;
        let picture =
            File::open(&file).and_then(|file| Picture::read_ppm(&mut BufReader::new(file)));
        picture.map_err(|error| Failure::new(format!("QEMU's picture of the display: {error}")))
    }

    fn quit(&self) {
        self.ask("quit");
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    fn complaint(line: &str) -> Option<&str> {
        Some(match line.split_once(": ") {
            Some((name, rest)) if name.contains("qemu") => rest,
            _ => line,
        })
    }

    fn outcome(&self, end: &End<'_>) -> Result<u8, Failure> {
        // This process has a copy of the monitor's socket; QEMU's end is closed by now.
        let reason = self.reason.take(end.soon);
        let code = end.status.and_then(|status| status.code());
        match code {
            // QEMU fails with status 1, which isa-debug-exit also returns for 0; our programs
            // report their status on the control channel.
            Some(1) if !end.console.spoke || !end.complaints.is_empty() => {
                let text = end.complaints.first().copied();
                let text = text.unwrap_or("it gives no reason");
                let known = in_use(end.run, end.complaints)
                    .or_else(|| unforwarded(end.run, end.complaints))
                    .or_else(|| no_windows(end.run, end.complaints))
                    .or_else(|| too_little(end.run, end.complaints));
                Err(known.unwrap_or_else(|| Failure::new(format!("QEMU did not start: {text}"))))
            }
            Some(code) if code & 1 == 1 => Ok(u8::try_from(code >> 1).unwrap_or(255)),
            _ => Err(end.without_status(Self::NAME, cause(reason.as_deref()))),
        }
    }
}

/// QEMU's term for the reason of a machine's end, in other words.
fn cause(reason: Option<&str>) -> &str {
    match reason {
        Some("guest-reset") => "it was reset, as after a fault that no handler could take",
        Some("guest-shutdown") => "it was powered off",
        Some("host-qmp-quit") => {
            "its window was closed, or a monitor ended it (Power Down in the window's menu asks \
             the program to stop)"
        }
        Some(other) => other,
        None => "QEMU gives no reason",
    }
}

/// Returns the disk that QEMU couldn't open and the process that uses it, if that is QEMU's error:
/// QEMU itself only reports that another process has locked it.
fn in_use(run: &Run, complaints: &[&str]) -> Option<Failure> {
    let is_locked = |line: &&str| line.contains("Failed to get") && line.contains("lock");
    complaints.iter().copied().find(is_locked)?;
    run.disks.iter().find_map(|disk| {
        let usage = match disk.read_only {
            true => Usage::Read,
            false => Usage::Write,
        };
        let other = other_use(&disk.file, usage)?;
        let subject = format!("disk {}: {}", disk.name, disk.file.display());
        Some(Failure::on(subject, other.text()).remedy(other.remedy(usage)))
    })
}

/// The forwarded port that QEMU couldn't listen on, if that is QEMU's error: QEMU itself repeats
/// the rule, without the reason.
fn unforwarded(run: &Run, complaints: &[&str]) -> Option<Failure> {
    let is_refused = |line: &&str| line.contains("Could not set up host forwarding rule");
    complaints.iter().find(|line| is_refused(line))?;
    ports::refused(&run.forwards)
}

/// The error of a QEMU without windows; QEMU's own text names an option that the user didn't give.
fn no_windows(run: &Run, complaints: &[&str]) -> Option<Failure> {
    let is_wanted = run.shown_by() == Some(Display::Window);
    let is_refused = |line: &&str| line.contains("'gtk'") || line.contains("gtk initialization");
    let line = complaints
        .iter()
        .copied()
        .filter(|_| is_wanted)
        .find(is_refused)?;
    let reason = format!("--display window: QEMU opens no window ({line})");
    Some(Failure::new(reason).remedy(
        "install the package qemu-system-gui and start this on a desktop, or give --display vnc=:0",
    ))
}

/// The error of a `virt` whose memory doesn't hold the image and its device tree, which QEMU puts
/// there; QEMU's own text doesn't name the option.
fn too_little(run: &Run, complaints: &[&str]) -> Option<Failure> {
    let is_full = |line: &&str| line.contains("Not enough space for DTB");
    complaints.iter().find(|line| is_full(line))?;
    let subject = format!("--mem {}M", run.mem.unwrap_or_default().0);
    let reason = "not enough memory for the image and its device tree";
    Some(Failure::on(subject, reason).remedy("give the machine more"))
}

/// Reads QMP until QEMU ends. Stores the reason of the last SHUTDOWN event, sends [`Event::Off`],
/// sends the answers to picture requests to `dumps`, and calls `on_ready` when QEMU has created all
/// devices.
fn read_monitor(
    from: File,
    state: &Mutex<Option<String>>,
    dumps: &Sender<Result<(), String>>,
    events: &Sender<Event>,
    disks: &[Disk],
    on_ready: impl FnOnce(),
) {
    let mut on_ready = Some(on_ready);
    let mut errors = HostErrors::new(disks);
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(&line) else {
            continue;
        };
        // The main loop, which starts after the set-up, answers the first command.
        if message.get("return").is_some()
            && let Some(on_ready) = on_ready.take()
        {
            on_ready();
        }
        // The sends fail only after the supervisor has finished.
        if message["id"] == DUMP_ID {
            let error = message["error"]["desc"].as_str();
            let _ = dumps.send(error.map_or(Ok(()), |error| Err(error.to_owned())));
        }
        if message["event"] == "SHUTDOWN" {
            let reason = message["data"]["reason"].as_str().map(str::to_owned);
            *state.lock().unwrap_or_else(PoisonError::into_inner) = reason;
            let _ = events.send(Event::Off);
        }
        if let Some(line) = errors.line(&message, Instant::now()) {
            say_soon(&line);
        }
    }
}

/// Time between two lines about the same disk.
const ERRORS_APART: Duration = Duration::from_secs(10);

/// The errors of the disks' files.
struct HostErrors<'a> {
    disks: &'a [Disk],
    /// When each disk had its last line.
    said: Vec<Option<Instant>>,
}

impl<'a> HostErrors<'a> {
    fn new(disks: &'a [Disk]) -> Self {
        let said = vec![None; disks.len()];
        Self { disks, said }
    }

    /// Returns the line for a message of QMP: for the event BLOCK_IO_ERROR.
    fn line(&mut self, message: &serde_json::Value, now: Instant) -> Option<String> {
        let (event, data) = (&message["event"], &message["data"]);
        let node = data["node-name"]
            .as_str()
            .filter(|_| event == "BLOCK_IO_ERROR")?;
        let index: usize = node.strip_prefix("disk")?.parse().ok()?;
        let (disk, said) = (self.disks.get(index)?, self.said.get_mut(index)?);
        if said.is_some_and(|said| now.saturating_duration_since(said) < ERRORS_APART) {
            return None;
        }
        *said = Some(now);
        let operation = data["operation"].as_str().unwrap_or("request");
        let file = disk.file.display();
        let reason = data["reason"].as_str().unwrap_or("unknown");
        let remedy = if data["nospace"] == true {
            "free some space on the host's disk"
        } else {
            "check the host's disk"
        };
        // By `--device-option blk:werror=…` QEMU does something else.
        let outcome = match data["action"].as_str() {
            Some("stop") => "the machine is stopped",
            Some("ignore") => "the program doesn't learn of it",
            _ => "the program gets an error",
        };
        Some(format!(
            "disk {}: a {operation} of {file} failed: {reason}; {outcome}: {remedy}",
            disk.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, ERRORS_APART, HostErrors};
    use serde_json::json;
    use std::time::{Duration, Instant};

    #[test]
    fn an_error_of_a_disks_file_has_a_line_now_and_then() {
        let disk = |name: &str| Disk {
            name: name.into(),
            file: format!("/srv/{name}.img").into(),
            read_only: false,
            sector: None,
        };
        let disks = [disk("www"), disk("data")];
        let mut errors = HostErrors::new(&disks);
        let event = |node: &str, nospace: bool| {
            json!({"event": "BLOCK_IO_ERROR", "data": {"node-name": node, "operation": "write",
                "action": "report", "nospace": nospace, "reason": "No space left on device"}})
        };
        let now = Instant::now();
        assert_eq!(
            errors.line(&event("disk1", true), now).as_deref(),
            Some(
                "disk data: a write of /srv/data.img failed: No space left on device; \
                 the program gets an error: free some space on the host's disk"
            )
        );
        let soon = now + ERRORS_APART - Duration::from_millis(1);
        assert_eq!(errors.line(&event("disk1", true), soon), None);
        let other = errors
            .line(&event("disk0", false), soon)
            .expect("its first");
        assert!(other.ends_with("check the host's disk"), "{other}");
        assert!(
            errors
                .line(&event("disk1", true), now + ERRORS_APART)
                .is_some()
        );
        for node in ["", "disk", "disk2", "disk-1", "cd0"] {
            assert_eq!(errors.line(&event(node, true), now), None, "{node}");
        }
        for message in [json!({"event": "STOP"}), json!({"return": {}}), json!(null)] {
            assert_eq!(errors.line(&message, now), None);
        }
    }
}

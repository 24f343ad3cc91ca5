//! Runs QEMU: forwards the console, returns the program's status, and ends the machine in order on
//! Ctrl-C, SIGTERM and time-out.

use super::command::{self, Sockets, Wiring};
use super::control::Control;
use super::lifeline::Lifeline;
use super::output::{self, Progress};
use super::screenshot::{self, Pictured};
use super::serial::Origin;
use super::terminal::{self, ReportKey};
use super::{backlog, input, signals};
use crate::child::{self, dies_with_us};
use crate::cli::Run;
use crate::exit_status::{CRASHED, NO_STATUS, NOT_STARTED, TIMED_OUT};
use crate::failure::{Context as _, Failure};
use crate::image_lock::other_use;
use crate::lock::Usage;
use crate::messages::{self, say, say_soon};
use crate::observe::Wanted;
use crate::options::Display;
use crate::report;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, kill_process_group};
use screens::Picture;
use signal_hook::consts::{SIGQUIT, SIGTSTP};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time for the program to stop after a request: its own limit (10 s) and a margin.
const GRACE: Duration = Duration::from_secs(15);
/// Time for QEMU to end after the program. Data that the program has synced to a disk has left QEMU
/// by then.
const LINGER: Duration = Duration::from_secs(10);
/// Time to forward QEMU's last output after killing it.
const DRAIN: Duration = Duration::from_secs(1);
/// The same for a QEMU that ended by itself before the program's status arrived: the output may
/// contain it.
const LONG_DRAIN: Duration = Duration::from_secs(10);
/// Time for QEMU to write a picture; only a hanging QEMU takes so long.
const DUMP: Duration = Duration::from_secs(60);
/// The ID of the request for a picture, and of QEMU's answer.
const DUMP_ID: &str = "screendump";

/// The events that the supervising thread receives.
enum Event {
    /// `soil run` received a signal.
    Signal(i32),
    /// The machine's power button works.
    Button,
    /// The program has ended and all its output is sent.
    Exited,
    /// QEMU closed its output: it has ended or is about to.
    ConsoleClosed,
    /// The machine was switched off or reset.
    Off,
}

/// The reason why `soil run` ended the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    TimedOut(Duration),
    Killed(i32),
    NoAnswer(i32),
}

/// The stage of the machine's life.
enum Stage {
    /// The program runs.
    Runs,
    /// The program got a request to stop, for this reason, and has until this time.
    Asked(Instant, Ended),
    /// The program has ended; QEMU has until this time.
    Leaves(Instant),
    /// QEMU outlived the program (as with a host disk that doesn't respond) and was killed. Its
    /// last output is forwarded without a limit; the next check is at this time.
    Drains(Instant),
    /// QEMU was killed for this reason; its last output is forwarded until this time.
    Over(Instant, Ended),
}

impl Stage {
    fn end(&self) -> Option<Instant> {
        match self {
            Self::Runs => None,
            Self::Asked(end, _) | Self::Leaves(end) | Self::Drains(end) | Self::Over(end, _) => {
                Some(*end)
            }
        }
    }
}

/// Runs the image and returns its exit status.
pub fn run(
    run: &Run,
    wiring: Wiring,
    line: &str,
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
    let sockets = Sockets {
        control: control_there.as_raw_fd(),
        monitor: monitor_there.as_raw_fd(),
        observer: observer.as_ref().map(|(_, there)| there.as_raw_fd()),
    };
    let wiring = Wiring {
        sockets: Some(sockets),
        ..wiring
    };
    let inherited: Vec<RawFd> = [
        Some(sockets.control),
        Some(sockets.monitor),
        sockets.observer,
        wiring.passt,
    ]
    .into_iter()
    .flatten()
    .collect();

    let mut qemu = Command::new(&run.qemu.path);
    qemu.args(command::arguments(run, &wiring, line));
    qemu.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A process group of its own: Ctrl-C reaches only `soil run`, which stops the machine in order;
    // and the children of a wrapper end with it.
    qemu.process_group(0);
    // Before `dies_with_us`, whose check of the parent detects an end of ours during this step.
    let _lifeline = Lifeline::tie(&mut qemu)
        .map_err(|error| Failure::new(format!("no socket for QEMU: {error}")))?;
    dies_with_us(&mut qemu);
    child::inherit(&mut qemu, inherited);
    let (events, inbox) = channel();
    let handled: Vec<i32> = signals::ENDING.into_iter().chain([SIGTSTP]).collect();
    let stop = signals::forward(&handled, events.clone(), Event::Signal)?;
    let child = qemu
        .spawn()
        .map_err(|error| child::not_started(&run.qemu.path, &error))?;
    drop((control_there, monitor_there, passt));
    let observed = wanted
        .zip(observer)
        .and_then(|(wanted, (here, _))| wanted.image(here));
    let is_pictured = run.screenshot.is_some();
    let monitor = monitor_here.into();
    let forwards = run.forwards.clone();
    let qemu = child.id();
    // On failure, QEMU's own backlog remains.
    let on_ready = move || _ = backlog::raise(qemu, &forwards);
    let mut machine = Machine::new(
        child,
        control_here,
        monitor,
        origin,
        is_pictured,
        events,
        on_ready,
    )?;
    if let Some(port) = run.gdb {
        say(&format!("waiting for gdb: target remote 127.0.0.1:{port}"));
    }
    let end = run.timeout.map(|after| Instant::now() + after);
    let ended = machine.supervise(&inbox, run.timeout.zip(end));
    machine.key.end();
    // The rest may block on the reader of our output; Ctrl-C has its default action there.
    drop(stop);
    let picture = machine.picture.take().unwrap_or(Ok(None));
    let picture = picture.map(Pictured::Shows);
    let status = machine.finish(run, ended, end)?;
    let status = screenshot::status(run, picture, status);
    if let Some(observed) = observed {
        say(&observed.finish(&run.program)?);
    }
    Ok(status)
}

/// The data collected by a thread.
struct Gathered<T> {
    state: Arc<Mutex<T>>,
    /// Disconnected when the thread is done.
    done: Receiver<()>,
}

impl<T: Default + Send + 'static> Gathered<T> {
    fn by(gather: impl FnOnce(&Mutex<T>) + Send + 'static) -> Self {
        let state = Arc::new(Mutex::new(T::default()));
        let (sender, done) = channel();
        let theirs = Arc::clone(&state);
        std::thread::spawn(move || {
            gather(&theirs);
            drop(sender);
        });
        Self { state, done }
    }

    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the data when the thread is done, or at `end`.
    fn take(&self, end: Instant) -> T {
        let left = end.saturating_duration_since(Instant::now());
        // The thread only disconnects; it sends nothing.
        let _ = self.done.recv_timeout(left);
        self.with(std::mem::take)
    }
}

struct Machine {
    child: Child,
    monitor: File,
    key: Arc<ReportKey>,
    control: Gathered<Control>,
    console: Gathered<Progress>,
    complaints: Gathered<Vec<String>>,
    reason: Gathered<Option<String>>,
    /// QEMU's answers to requests for a picture; errors as text.
    dumped: Receiver<Result<(), String>>,
    /// The picture at the end, if requested.
    picture: Option<Result<Option<Picture>, Failure>>,
    /// Whether the picture is requested.
    is_pictured: bool,
}

impl Machine {
    fn new(
        mut child: Child,
        control: OwnedFd,
        monitor: File,
        origin: Origin,
        is_pictured: bool,
        events: Sender<Event>,
        on_ready: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Failure> {
        let lost = |what: &str| Failure::new(format!("QEMU's {what} is not there"));
        let output = child.stdout.take().ok_or_else(|| lost("output"))?;
        let stdin = child.stdin.take().ok_or_else(|| lost("input"))?;
        let errors = child.stderr.take().ok_or_else(|| lost("error output"))?;
        let replies = monitor.try_clone().on("QEMU's monitor")?;
        let key = Arc::new(ReportKey::default());
        let (dumps, dumped) = channel();
        let ends = events.clone();
        let machine = Self {
            child,
            monitor,
            key: Arc::clone(&key),
            control: {
                let events = events.clone();
                Gathered::by(move |state| {
                    let start_input = move || {
                        std::thread::spawn(move || input::copy(stdin, origin, &key));
                    };
                    read_control(control.into(), start_input, state, &events);
                })
            },
            console: Gathered::by(move |state| {
                output::copy(output, state);
                // Fails only after the supervisor has finished.
                let _ = events.send(Event::ConsoleClosed);
            }),
            complaints: Gathered::by(move |state: &Mutex<Vec<String>>| {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    state
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(line);
                }
            }),
            reason: Gathered::by(move |state| {
                read_monitor(replies, state, &dumps, &ends, on_ready)
            }),
            dumped,
            picture: None,
            is_pictured,
        };
        machine.ask("qmp_capabilities");
        Ok(machine)
    }

    /// Sends a QMP command. Ignores errors: another thread detects QEMU's end.
    fn ask(&self, command: &str) {
        let _ = (&self.monitor).write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes());
    }

    /// Takes the picture of the first display, if requested and not taken yet.
    fn take_picture(&mut self) {
        if self.is_pictured && self.picture.is_none() {
            self.picture = Some(self.dump().map(Some));
        }
    }

    fn dump(&self) -> Result<Picture, Failure> {
        let folder = tempfile::tempdir().on("a temporary folder")?;
        let file = folder.path().join("display.ppm");
        let name = super::command::display_name(0);
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

    /// Handles the machine's end, at which it is paused: QEMU isn't needed any more.
    fn leave(&mut self, now: Instant) -> Stage {
        if self.is_pictured {
            self.take_picture();
            self.ask("quit");
        }
        Stage::Leaves(now + LINGER)
    }

    /// Waits until the machine has ended and its output is forwarded. Requests a stop or kills the
    /// machine on signals and time-outs. Returns the reason if `soil run` ended it.
    fn supervise(
        &mut self,
        inbox: &Receiver<Event>,
        timeout: Option<(Duration, Instant)>,
    ) -> Option<Ended> {
        let mut stage = Stage::Runs;
        let mut has_button = false;
        loop {
            let timeout = timeout.filter(|_| !matches!(stage, Stage::Over(..)));
            let limit = timeout.map(|(_, at)| at).into_iter().chain(stage.end());
            let event = match limit.min() {
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let now = Instant::now();
            stage = match (event, stage) {
                (
                    Ok(Event::ConsoleClosed) | Err(RecvTimeoutError::Disconnected),
                    Stage::Over(_, why),
                ) => return Some(why),
                (Ok(Event::ConsoleClosed) | Err(RecvTimeoutError::Disconnected), _) => return None,
                (Ok(Event::Exited), Stage::Runs | Stage::Asked(..)) => self.leave(now),
                (Ok(Event::Off), Stage::Runs | Stage::Asked(..)) if self.is_pictured => {
                    self.leave(now)
                }
                (Ok(Event::Exited | Event::Off), stage) => stage,
                (Ok(Event::Signal(SIGTSTP)), stage) => {
                    self.pause();
                    stage
                }
                (Ok(Event::Button), stage) => {
                    has_button = true;
                    if let Stage::Asked(..) = stage {
                        self.ask("system_powerdown");
                    }
                    stage
                }
                (Ok(Event::Signal(signal)), Stage::Runs) if signal != SIGQUIT => {
                    if has_button {
                        self.ask("system_powerdown");
                    }
                    if io::stderr().is_terminal() {
                        say_soon("asked the program to stop (Ctrl-C again ends it at once)");
                    }
                    Stage::Asked(now + GRACE, Ended::NoAnswer(signal))
                }
                (Ok(Event::Signal(_)), Stage::Over(_, why)) => return Some(why),
                (Ok(Event::Signal(signal)), _) => self.kill(Ended::Killed(signal)),
                (Err(RecvTimeoutError::Timeout), Stage::Over(_, why)) => return Some(why),
                (Err(RecvTimeoutError::Timeout), stage) => match (timeout, stage) {
                    (Some((after, at)), _) if at <= now => self.kill(Ended::TimedOut(after)),
                    (_, Stage::Asked(end, why)) if end <= now => self.kill(why),
                    (_, Stage::Leaves(end)) if end <= now => {
                        self.kill_group();
                        Stage::Drains(now + DRAIN)
                    }
                    (_, Stage::Drains(_)) => {
                        // Doesn't wait for another process that holds QEMU's output open.
                        if !self.console.with(|progress| progress.pending) {
                            return None;
                        }
                        Stage::Drains(now + DRAIN)
                    }
                    (_, stage) => stage,
                },
            };
        }
    }

    /// Kills QEMU for this reason.
    fn kill(&mut self, why: Ended) -> Stage {
        self.take_picture();
        self.kill_group();
        Stage::Over(Instant::now() + DRAIN, why)
    }

    /// Kills QEMU and the wrapper that started it, without waiting.
    fn kill_group(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // The child leads its group until it is waited for. The call fails only if the group has
        // ended.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Handles Ctrl-Z: stops the machine until the shell continues the job.
    fn pause(&self) {
        if !terminal::can_be_continued() {
            return;
        }
        self.signal(Signal::STOP);
        self.key.release();
        // Fails only for an invalid signal number.
        let _ = signal_hook::low_level::raise(signal_hook::consts::SIGSTOP);
        self.signal(Signal::CONT);
        self.key.take();
    }

    /// Collects the machine's last data and converts it to a status or a failure. `end` is the
    /// time-out of the run.
    fn finish(
        mut self,
        run: &Run,
        ended: Option<Ended>,
        end: Option<Instant>,
    ) -> Result<u8, Failure> {
        let status = self.reap();
        // All threads end with QEMU, unless another process holds its outputs open.
        let has_status = self.control.with(|control| control.exit.is_some());
        let drain = match has_status || ended.is_some() {
            true => DRAIN,
            false => LONG_DRAIN,
        };
        let soon = Instant::now() + drain;
        let control = self.control.take(soon);
        let complaints = self.complaints.take(soon);
        // This process has a copy of the monitor's socket; QEMU's end is closed by now.
        let reason = self.reason.take(soon);
        let console = self.console.with(std::mem::take);
        let complaints: Vec<&str> = complaints.iter().map(|line| complaint(line)).collect();
        // If the user ended the run, doesn't block on the reader of these lines.
        let until = ended.map(|_| Instant::now() + DRAIN).or(end);
        let mut said = Vec::new();
        if !control.report.is_empty() {
            // Writing to a vector can't fail.
            let _ = report::print(&run.program, &control.report, &mut said);
        }
        let outcome = outcome(
            &control,
            status,
            ended,
            &console,
            reason.as_deref(),
            &complaints,
            in_use(run, &complaints).or_else(|| no_windows(run, &complaints)),
        );
        if outcome.is_ok() || console.spoke {
            for line in &complaints {
                said.extend(format!("soil: QEMU: {line}\n").as_bytes());
            }
        }
        let answer = match outcome {
            Ok(status) => console.status(status),
            Err(failure) => {
                said.extend(format!("soil: {failure}\n").as_bytes());
                failure.status.unwrap_or(NOT_STARTED)
            }
        };
        // Without a reader of the output the lines are lost.
        let _ = messages::write(io::stderr(), &said, until);
        Ok(answer)
    }

    /// Returns QEMU's status. Kills a QEMU that closed its output but doesn't end.
    fn reap(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) => {
                    self.kill_group();
                    return self.child.wait().ok();
                }
                Err(_) => return None,
            }
        }
    }
}

/// Strips the program's name from a line of QEMU's.
fn complaint(line: &str) -> &str {
    match line.split_once(": ") {
        Some((name, rest)) if name.contains("qemu") => rest,
        _ => line,
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

/// The exit status of `soil run`.
fn outcome(
    control: &Control,
    status: Option<ExitStatus>,
    ended: Option<Ended>,
    console: &Progress,
    reason: Option<&str>,
    complaints: &[&str],
    known: Option<Failure>,
) -> Result<u8, Failure> {
    // A program that ended in time keeps its own status, even after a simultaneous signal or
    // time-out, unless that cut off the program's output.
    if let Some(exit) = control.exit.filter(|_| !console.pending) {
        return Ok(exit);
    }
    if let Some(ended) = ended {
        return Err(failure_of(ended));
    }
    if !control.report.is_empty() {
        return Err(Failure::new("the program crashed").with_status(CRASHED));
    }
    let code = status.and_then(|status| status.code());
    match code {
        // QEMU fails with status 1, which isa-debug-exit also returns for 0; our programs report
        // their status on the control channel.
        Some(1) if !console.spoke || !complaints.is_empty() => {
            let text = complaints.first().copied().unwrap_or("it gives no reason");
            Err(known.unwrap_or_else(|| Failure::new(format!("QEMU did not start: {text}"))))
        }
        Some(code) if code & 1 == 1 => Ok(u8::try_from(code >> 1).unwrap_or(255)),
        _ => {
            let mut text = end_without_status(status, reason);
            // With console output, QEMU's messages are printed separately.
            if let Some(line) = complaints.first().filter(|_| !console.spoke) {
                text = text + ": " + line;
            }
            Err(Failure::new(text).with_status(NO_STATUS))
        }
    }
}

/// The failure of a machine that `soil run` ended.
fn failure_of(ended: Ended) -> Failure {
    // 128 + signal, as in a shell.
    let by_signal = |signal: i32| u8::try_from(128 + signal).unwrap_or(255);
    match ended {
        Ended::TimedOut(after) => {
            let after = after.as_secs_f64();
            Failure::new(format!("ended after {after} s (--timeout)")).with_status(TIMED_OUT)
        }
        Ended::NoAnswer(signal) => {
            let grace = GRACE.as_secs();
            Failure::new(format!("the program did not stop within {grace} s: ended"))
                .with_status(by_signal(signal))
        }
        Ended::Killed(signal) => Failure::new("ended at once").with_status(by_signal(signal)),
    }
}

/// Explains why QEMU ended without the program's exit status; `reason` is QEMU's term for it.
fn end_without_status(status: Option<ExitStatus>, reason: Option<&str>) -> String {
    match status.and_then(|status| status.code()) {
        Some(0) => {
            let why = match reason {
                Some("guest-reset") => "it was reset, as after a fault that no handler could take",
                Some("guest-shutdown") => "it was powered off",
                Some("host-qmp-quit") => {
                    "its window was closed, or a monitor ended it (Power Down in the window's menu \
                     asks the program to stop)"
                }
                Some(other) => other,
                None => "QEMU gives no reason",
            };
            format!("the machine ended without an exit status: {why}")
        }
        Some(code) => format!("QEMU failed with status {code}"),
        None => {
            let signal = status.and_then(|status| status.signal());
            let signal = signal.map_or("a signal".to_owned(), |number| format!("signal {number}"));
            format!("QEMU was killed by {signal}")
        }
    }
}

/// Reads the machine's control channel, and calls `start_input` when the machine asks for input.
fn read_control(
    mut from: File,
    start_input: impl FnOnce(),
    state: &Mutex<Control>,
    events: &Sender<Event>,
) {
    let mut start_input = Some(start_input);
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let mut control = state.lock().unwrap_or_else(PoisonError::into_inner);
                let (running, had_button) = (control.exit.is_none(), control.has_button);
                control.feed(buffer.get(..count).unwrap_or_default());
                if control.has_button && !had_button {
                    // Fails as below.
                    let _ = events.send(Event::Button);
                }
                if running && control.exit.is_some() {
                    // Fails only after the supervisor has finished.
                    let _ = events.send(Event::Exited);
                }
                if control.takes_input
                    && let Some(start_input) = start_input.take()
                {
                    start_input();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Reads QMP until QEMU ends. Stores the reason of the last SHUTDOWN event, sends [`Event::Off`],
/// sends the answers to picture requests to `dumps`, and calls `on_ready` when QEMU has created all
/// devices.
fn read_monitor(
    from: File,
    state: &Mutex<Option<String>>,
    dumps: &Sender<Result<(), String>>,
    events: &Sender<Event>,
    on_ready: impl FnOnce(),
) {
    let mut on_ready = Some(on_ready);
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
    }
}

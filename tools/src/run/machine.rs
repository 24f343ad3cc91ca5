//! One run of QEMU: the console passed on, the program's status brought back, and an orderly end on Ctrl-C, SIGTERM and time-out.

use super::command::{self, Sockets, Wiring};
use super::control::Control;
use super::serial::{Origin, ReportKey, Splitter, is_background};
use super::{Failure, signals};
use crate::cli::Run;
use crate::report;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the program may take to stop after it was asked to: its own limit (10 s) and some more.
const GRACE: Duration = Duration::from_secs(15);
/// How long QEMU may stay after the program's end. What the program was told is on a disk is out of QEMU's hands by then.
const LINGER: Duration = Duration::from_secs(10);

/// What the threads tell the one that decides.
enum Event {
    /// A signal for `soil run`.
    Signal(i32),
    /// The program has ended, and all that it wrote is sent.
    Exited,
    /// QEMU closed its output: it is gone or about to be.
    ConsoleClosed,
}

/// Why the machine was ended by us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    TimedOut(Duration),
    Killed(i32),
    NoAnswer(i32),
    /// QEMU stayed after the program's end, as it does for a disk of the host that doesn't answer.
    Lingered,
}

/// Runs the image; the result is its exit status.
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
        .map_err(|error| Failure::start(format!("no socket for QEMU: {error}")))
    };
    let (control_here, control_there) = socket()?;
    let (monitor_here, monitor_there) = socket()?;
    let sockets = Sockets {
        control: control_there.as_raw_fd(),
        monitor: monitor_there.as_raw_fd(),
    };
    let wiring = Wiring {
        sockets: Some(sockets),
        ..wiring
    };
    let inherited: Vec<RawFd> = [Some(sockets.control), Some(sockets.monitor), wiring.passt]
        .into_iter()
        .flatten()
        .collect();

    let mut qemu = Command::new(&run.qemu);
    qemu.args(command::arguments(run, &wiring, line));
    qemu.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A group of its own: Ctrl-C reaches `soil run` only, which stops the machine in order.
    qemu.process_group(0);
    // SAFETY: between fork and exec only system calls are made; the descriptors outlive the call (held by this function).
    unsafe {
        qemu.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            for fd in &inherited {
                fcntl_setfd(BorrowedFd::borrow_raw(*fd), FdFlags::empty())?;
            }
            Ok(())
        });
    }
    let key = ReportKey::new();
    let (events, inbox) = channel();
    let stop = signals::forward(events.clone(), Event::Signal)?;
    let child = qemu
        .spawn()
        .map_err(|error| super::not_started(&run.qemu, &error))?;
    drop((control_there, monitor_there, passt));
    let mut machine = Machine::new(child, control_here, monitor_here.into(), origin, events)?;
    if let Some(port) = run.gdb {
        eprintln!("soil: waiting for gdb: target remote 127.0.0.1:{port}");
    }
    let ended = machine.supervise(&inbox, run.timeout);
    drop((stop, key));
    machine.finish(run, ended)
}

struct Machine {
    child: Child,
    monitor: File,
    control: JoinHandle<Control>,
    console: JoinHandle<bool>,
    complaints: JoinHandle<Vec<String>>,
    reason: JoinHandle<Option<String>>,
}

impl Machine {
    fn new(
        mut child: Child,
        control: OwnedFd,
        monitor: File,
        origin: Origin,
        events: Sender<Event>,
    ) -> Result<Self, Failure> {
        let lost = |what: &str| Failure::start(format!("QEMU's {what} is not there"));
        let output = child.stdout.take().ok_or_else(|| lost("output"))?;
        let input = child.stdin.take().ok_or_else(|| lost("input"))?;
        let errors = child.stderr.take().ok_or_else(|| lost("error output"))?;
        let replies = monitor
            .try_clone()
            .map_err(|error| Failure::start(error.to_string()))?;
        let machine = Self {
            child,
            monitor,
            control: {
                let events = events.clone();
                std::thread::spawn(move || read_control(control.into(), input, origin, &events))
            },
            console: std::thread::spawn(move || copy_console(output, &events)),
            complaints: std::thread::spawn(move || {
                BufReader::new(errors)
                    .lines()
                    .map_while(Result::ok)
                    .collect()
            }),
            reason: std::thread::spawn(move || read_monitor(replies)),
        };
        machine.ask("qmp_capabilities");
        Ok(machine)
    }

    /// Sends a QMP command; that QEMU is gone shows elsewhere.
    fn ask(&self, command: &str) {
        let _ = (&self.monitor).write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes());
    }

    /// Waits for the machine's end, asking for it or forcing it as signals and the clock demand.
    fn supervise(&mut self, inbox: &Receiver<Event>, timeout: Option<Duration>) -> Option<Ended> {
        let start = Instant::now();
        let timeout = timeout.map(|after| (start + after, Ended::TimedOut(after)));
        let mut stopping: Option<(Instant, Ended)> = None;
        loop {
            let next = timeout
                .into_iter()
                .chain(stopping)
                .min_by_key(|(at, _)| *at);
            let event = match next {
                Some((at, _)) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match (event, next) {
                (Ok(Event::ConsoleClosed) | Err(RecvTimeoutError::Disconnected), _) => return None,
                (Ok(Event::Exited), _) => {
                    stopping = Some((Instant::now() + LINGER, Ended::Lingered))
                }
                (Ok(Event::Signal(signal)), _) if stopping.is_none() => {
                    self.ask("system_powerdown");
                    if io::stderr().is_terminal() {
                        eprintln!("soil: asked the program to stop (Ctrl-C again ends it at once)");
                    }
                    stopping = Some((Instant::now() + GRACE, Ended::NoAnswer(signal)));
                }
                (Ok(Event::Signal(signal)), _) => return Some(self.kill(Ended::Killed(signal))),
                (Err(RecvTimeoutError::Timeout), Some((_, why))) => return Some(self.kill(why)),
                (Err(RecvTimeoutError::Timeout), None) => {}
            }
        }
    }

    fn kill(&mut self, why: Ended) -> Ended {
        // It fails only for a child that is gone already.
        let _ = self.child.kill();
        why
    }

    /// Gathers what the machine left and turns it into a status, or into what went wrong.
    fn finish(mut self, run: &Run, ended: Option<Ended>) -> Result<u8, Failure> {
        let status = self.reap();
        let control = self.control.join().unwrap_or_default();
        let spoke = self.console.join().unwrap_or_default();
        let complaints = self.complaints.join().unwrap_or_default();
        // The monitor's socket has a second owner here; QEMU's end is closed by now.
        let reason = self.reason.join().unwrap_or_default();
        let complaints: Vec<&str> = complaints.iter().map(|line| complaint(line)).collect();
        if !control.report.is_empty() {
            let _ = report::print(&run.program, &control.report, &mut io::stderr().lock());
        }
        let outcome = outcome(
            &control,
            status,
            ended,
            spoke,
            reason.as_deref(),
            &complaints,
        );
        if outcome.is_ok() || spoke {
            for line in &complaints {
                eprintln!("soil: QEMU: {line}");
            }
        }
        outcome
    }

    /// QEMU's status; a QEMU that closed its output and lingers is killed.
    fn reap(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) => {
                    let _ = self.child.kill();
                    return self.child.wait().ok();
                }
                Err(_) => return None,
            }
        }
    }
}

/// A line of QEMU's without its program's name.
fn complaint(line: &str) -> &str {
    match line.split_once(": ") {
        Some((name, rest)) if name.contains("qemu") => rest,
        _ => line,
    }
}

/// What the run comes to.
fn outcome(
    control: &Control,
    status: Option<ExitStatus>,
    ended: Option<Ended>,
    spoke: bool,
    reason: Option<&str>,
    complaints: &[&str],
) -> Result<u8, Failure> {
    // 128 and the signal, as a shell has it.
    let by_signal = |signal: i32| u8::try_from(128 + signal).unwrap_or(255);
    // A program that ended in time has its own status, even if a signal or the clock came in the same moment.
    if let Some(exit) = control.exit {
        return Ok(exit);
    }
    match ended {
        Some(Ended::TimedOut(after)) => {
            let text = format!("ended after {} s (--timeout)", after.as_secs_f64());
            return Err(Failure { status: 124, text });
        }
        Some(Ended::NoAnswer(signal)) => {
            let text = format!(
                "the program did not stop within {} s: ended",
                GRACE.as_secs()
            );
            return Err(Failure {
                status: by_signal(signal),
                text,
            });
        }
        Some(Ended::Killed(signal)) => {
            return Err(Failure {
                status: by_signal(signal),
                text: "ended at once".into(),
            });
        }
        // Only a status makes it wait for that.
        Some(Ended::Lingered) | None => {}
    }
    if !control.report.is_empty() {
        return Err(Failure {
            status: 134,
            text: "the program crashed".into(),
        });
    }
    let code = status.and_then(|status| status.code());
    match code {
        // QEMU's own failures are status 1, which isa-debug-exit gives for 0 as well; a program of ours has said its status on the control channel.
        Some(1) if !spoke || !complaints.is_empty() => {
            let text = complaints.first().copied().unwrap_or("it gives no reason");
            Err(Failure::start(format!("QEMU did not start: {text}")))
        }
        Some(code) if code & 1 == 1 => Ok(u8::try_from(code >> 1).unwrap_or(255)),
        Some(0) => {
            let why = match reason {
                Some("guest-reset") => "it was reset, as after a fault that no handler could take",
                Some("guest-shutdown") => "it was powered off",
                Some(other) => other,
                None => "QEMU gives no reason",
            };
            Err(Failure {
                status: 126,
                text: format!("the machine ended without an exit status: {why}"),
            })
        }
        Some(code) => Err(Failure {
            status: 126,
            text: format!("QEMU failed with status {code}"),
        }),
        None => {
            let signal = status.and_then(|status| status.signal());
            let signal = signal.map_or("a signal".to_owned(), |number| format!("signal {number}"));
            Err(Failure {
                status: 126,
                text: format!("QEMU was killed by {signal}"),
            })
        }
    }
}

/// The console to our standard output and error output, as it comes. The result is whether anything came.
fn copy_console(mut from: impl Read, events: &Sender<Event>) -> bool {
    let mut buffer = [0; 1 << 16];
    let mut spoke = false;
    let mut splitter = Splitter::default();
    // When nobody reads one any more (a closed pipe) the program goes on, as its work may not be its output.
    let mut writable = [true; 2];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                spoke = true;
                splitter.feed(buffer.get(..count).unwrap_or_default(), |error, piece| {
                    let [output_writable, error_writable] = &mut writable;
                    if error {
                        write_all(&mut io::stderr().lock(), piece, error_writable);
                    } else {
                        write_all(&mut io::stdout().lock(), piece, output_writable);
                    }
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // The receiver is gone only when the decision has been made.
    let _ = events.send(Event::ConsoleClosed);
    spoke
}

fn write_all(to: &mut impl Write, bytes: &[u8], writable: &mut bool) {
    if *writable {
        *writable = to.write_all(bytes).and_then(|()| to.flush()).is_ok();
    }
}

/// Our standard input to the console.
fn copy_input(mut to: impl Write, origin: Origin) {
    if is_background() {
        return;
    }
    // Not by `io::stdin`, whose buffer takes more than a machine that ends soon has asked for.
    let stdin = io::stdin();
    let mut buffer = [0; 4096];
    loop {
        let count = match rustix::io::read(&stdin, &mut buffer) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => continue,
            // What can't be read has ended.
            Err(_) => 0,
        };
        let framed = origin.framed(buffer.get(..count).unwrap_or_default());
        if to.write_all(&framed).and_then(|()| to.flush()).is_err() {
            return;
        }
        // A terminal goes on behind Ctrl-D, unless it was hung up.
        if count == 0 && (origin == Origin::Pipe || !stdin.is_terminal()) {
            // Kept open: QEMU takes a closed input for a console that hung up.
            return std::mem::forget(to);
        }
    }
}

/// Reads what the machine says of itself; starts to copy our standard input when it asks for that.
fn read_control(
    mut from: File,
    input: ChildStdin,
    origin: Origin,
    events: &Sender<Event>,
) -> Control {
    let mut control = Control::default();
    let mut input = Some(input);
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return control,
            Ok(count) => {
                let running = control.exit.is_none();
                control.feed(buffer.get(..count).unwrap_or_default());
                if running && control.exit.is_some() {
                    // The receiver is gone only when the decision has been made.
                    let _ = events.send(Event::Exited);
                }
                if control.takes_input
                    && let Some(input) = input.take()
                {
                    std::thread::spawn(move || copy_input(input, origin));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return control,
        }
    }
}

/// Reads QMP until QEMU is gone: the reason of its last SHUTDOWN event.
fn read_monitor(from: File) -> Option<String> {
    let mut reason = None;
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if line.contains("\"SHUTDOWN\"")
            && let Some((_, rest)) = line.split_once("\"reason\": \"")
        {
            reason = rest.split_once('"').map(|(reason, _)| reason.to_owned());
        }
    }
    reason
}

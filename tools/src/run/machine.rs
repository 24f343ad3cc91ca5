//! Runs the program that makes a machine (QEMU or another): forwards the console, returns the
//! program's status, and ends the machine in order on Ctrl-C, SIGTERM and time-out.

use super::control::Control;
use super::gathered::{Gathered, Gatherer};
use super::lifeline::Lifeline;
use super::output::{self, Progress};
use super::screenshot;
use super::serial::Origin;
use super::terminal::{self, ReportKey};
use super::{input, signals};
use crate::child::{self, dies_with_us};
use crate::cli::Run;
use crate::exit_status::{CRASHED, NO_STATUS, NOT_STARTED, TIMED_OUT};
use crate::failure::Failure;
use crate::messages::{self, say_soon};
use crate::picture::Picture;
use crate::report;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGQUIT, SIGTSTP};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time for the program to stop after a request: its own limit (10 s) and a margin.
pub const GRACE: Duration = Duration::from_secs(15);
/// Time for the VMM to end after the program. Data that the program has synced to a disk has left
/// it by then.
const LINGER: Duration = Duration::from_secs(10);
/// Time to forward the VMM's last output after killing it.
const DRAIN: Duration = Duration::from_secs(1);
/// The same for a VMM that ended by itself before the program's status arrived: the output may
/// contain it.
const LONG_DRAIN: Duration = Duration::from_secs(10);
/// Time for a machine to give a sign of life, after which a line says at which step it is.
const SILENCE: Duration = Duration::from_secs(10);

/// The events that the supervising thread receives.
pub enum Event {
    /// `soil run` received a signal.
    Signal(i32),
    /// The machine's power button works.
    Button,
    /// The program has ended and all its output is sent.
    Exited,
    /// The VMM closed its output: it has ended or is about to.
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
    /// The program has ended; the VMM has until this time.
    Leaves(Instant),
    /// The VMM outlived the program (as with a host disk that doesn't respond) and was killed. Its
    /// last output is forwarded without a limit; the next check is at this time.
    Drains(Instant),
    /// The VMM was killed for this reason; its last output is forwarded until this time.
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

/// The VMM as the supervisor sees it.
pub trait Monitor {
    /// Its name, for messages.
    const NAME: &'static str;

    /// Presses the machine's power button, or what the machine has for it. Doesn't block. Errors
    /// are ignored: another thread detects the VMM's end.
    fn press_button(&self);

    /// Takes a picture of the first display.
    fn picture(&self) -> Result<Picture, Failure> {
        Err(Failure::new(format!("{} has no displays", Self::NAME)))
    }

    /// Ends a VMM whose machine is paused at its end.
    fn quit(&self) {}

    /// Whether the VMM has made its machine, as far as it says.
    fn is_ready(&self) -> bool {
        true
    }

    /// A line of the VMM's error output without its prefix; `None` for one that says nothing about
    /// an error.
    fn complaint(line: &str) -> Option<&str>;

    /// The error for a VMM that couldn't be started.
    fn not_started(program: &Path, error: &io::Error) -> Failure {
        child::not_started(program, error)
    }

    /// The outcome of a machine that ended by itself, without a status on the control channel.
    fn outcome(&self, end: &End<'_>) -> Result<u8, Failure>;
}

/// The end of a machine.
pub struct End<'a> {
    /// The options.
    pub run: &'a Run,
    /// The VMM's status.
    pub status: Option<ExitStatus>,
    /// The state of the console.
    pub console: &'a Progress,
    /// The VMM's error output.
    pub complaints: &'a [&'a str],
    /// The time to wait for until.
    pub soon: Instant,
}

impl End<'_> {
    /// Explains a VMM's end without the program's status; `why` the machine ended.
    pub fn without_status(&self, name: &str, why: &str) -> Failure {
        let text = match self.status.and_then(|status| status.code()) {
            Some(0) => format!("the machine ended without an exit status: {why}"),
            Some(code) => format!("{name} failed with status {code}"),
            None => {
                let signal = self.status.and_then(|status| status.signal());
                let signal =
                    signal.map_or("a signal".to_owned(), |number| format!("signal {number}"));
                format!("{name} was killed by {signal}")
            }
        };
        // With console output, the VMM's messages are printed separately.
        let text = match self.complaints.first().filter(|_| !self.console.spoke) {
            Some(line) => text + ": " + line,
            None => text,
        };
        Failure::new(text).with_status(NO_STATUS)
    }
}

/// The connections to a VMM that isn't started yet.
pub struct Launch<'a> {
    /// The VMM's executable, for errors.
    pub program: &'a Path,
    /// Its command, without standard streams.
    pub command: Command,
    /// Descriptors that it inherits.
    pub inherited: Vec<RawFd>,
    /// Our end of the control channel; `None`: the console carries it.
    pub control: Option<OwnedFd>,
    /// Both ends of a terminal that is its standard input and output; `None`: pipes.
    pub terminal: Option<(OwnedFd, OwnedFd)>,
    /// Both ends of the pipe that is its standard output, if another descriptor leads there, too.
    pub output: Option<(OwnedFd, OwnedFd)>,
}

/// Runs the image and returns its exit status and the monitor. `connect` makes the monitor of the
/// VMM that has started as this process.
pub fn run<M: Monitor>(
    run: &Run,
    launch: Launch<'_>,
    origin: Origin,
    connect: impl FnOnce(u32, Sender<Event>) -> Result<M, Failure>,
) -> Result<(u8, M), Failure> {
    let Launch {
        program,
        mut command,
        inherited,
        control,
        terminal,
        output,
    } = launch;
    let no_terminal = |error| Failure::new(format!("no terminal for {}: {error}", M::NAME));
    let terminal = match terminal {
        Some((here, there)) => {
            command.stdin(there.try_clone().map_err(no_terminal)?);
            command.stdout(there);
            Some(here)
        }
        None => {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            None
        }
    };
    let output = output.map(|(here, there)| {
        command.stdout(there);
        here
    });
    command.stderr(Stdio::piped());
    // A process group of its own: Ctrl-C reaches only `soil run`, which stops the machine in order;
    // and the children of a wrapper end with it.
    command.process_group(0);
    // Before `dies_with_us`, whose check of the parent detects an end of ours during this step.
    let _lifeline = Lifeline::tie(&mut command)
        .map_err(|error| Failure::new(format!("no socket for {}: {error}", M::NAME)))?;
    dies_with_us(&mut command);
    child::inherit(&mut command, inherited);
    let (events, inbox) = channel();
    let handled: Vec<i32> = signals::ENDING.into_iter().chain([SIGTSTP]).collect();
    let stop = signals::forward(&handled, events.clone(), Event::Signal)?;
    let mut child = command
        .spawn()
        .map_err(|error| M::not_started(program, &error))?;
    // It holds the VMM's end of the terminal.
    drop(command);
    let monitor = connect(child.id(), events.clone())?;
    let console = console(&mut child, terminal, output)
        .ok_or_else(|| Failure::new(format!("{}'s console is not there", M::NAME)))?;
    let is_pictured = run.screenshot.is_some();
    let mut machine = Machine::new(
        child,
        console,
        control,
        monitor,
        origin,
        is_pictured,
        events,
    )?;
    let now = Instant::now();
    let end = run.timeout.map(|after| now + after);
    // A debugger holds its machine for as long as it likes.
    let silence = run.gdb.is_none().then_some(now + SILENCE);
    let ended = machine.supervise(&inbox, run.timeout.zip(end), silence);
    machine.key.end();
    // The rest may block on the reader of our output; Ctrl-C has its default action there.
    drop(stop);
    let picture = machine.picture.take().unwrap_or(Ok(None));
    let (status, monitor) = machine.finish(run, ended, end);
    Ok((screenshot::status(run, picture, status), monitor))
}

/// The input and output of the machine's console: a terminal, or the child's pipes, of which the
/// one for output may be ours.
fn console(
    child: &mut Child,
    terminal: Option<OwnedFd>,
    output: Option<OwnedFd>,
) -> Option<(File, File)> {
    if let Some(terminal) = terminal {
        return Some((terminal.try_clone().ok()?.into(), terminal.into()));
    }
    let input = OwnedFd::from(child.stdin.take()?);
    let output = match output {
        Some(output) => output,
        None => child.stdout.take()?.into(),
    };
    Some((input.into(), output.into()))
}

struct Machine<M> {
    child: Child,
    monitor: M,
    key: Arc<ReportKey>,
    control: Gathered<Control>,
    console: Gathered<Progress>,
    complaints: Gathered<Vec<String>>,
    /// The picture at the end, if requested.
    picture: Option<Result<Option<Picture>, Failure>>,
    /// Whether the picture is requested.
    is_pictured: bool,
}

impl<M: Monitor> Machine<M> {
    fn new(
        mut child: Child,
        (input, output): (File, File),
        control: Option<OwnedFd>,
        monitor: M,
        origin: Origin,
        is_pictured: bool,
        events: Sender<Event>,
    ) -> Result<Self, Failure> {
        let errors = child.stderr.take();
        let errors = errors
            .ok_or_else(|| Failure::new(format!("{}'s error output is not there", M::NAME)))?;
        let key = Arc::new(ReportKey::default());
        let (gathered, gatherer) = Gathered::pair();
        let theirs = Arc::clone(&key);
        let channel = Channel {
            gatherer,
            events: events.clone(),
            start_input: Some(move || {
                std::thread::spawn(move || input::copy(input, origin, &theirs));
            }),
        };
        let mut in_console = match control {
            Some(control) => {
                std::thread::spawn(move || channel.read(control.into()));
                None
            }
            None => Some(channel),
        };
        Ok(Self {
            child,
            monitor,
            key,
            control: gathered,
            console: Gathered::by(move |state| {
                output::copy(output, state, |bytes| {
                    if let Some(channel) = &mut in_console {
                        channel.feed(bytes);
                    }
                });
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
            picture: None,
            is_pictured,
        })
    }

    /// Takes the picture of the first display, if requested and not taken yet.
    fn take_picture(&mut self) {
        if self.is_pictured && self.picture.is_none() {
            self.picture = Some(self.monitor.picture().map(Some));
        }
    }

    /// Handles the machine's end, at which it is paused: the VMM isn't needed any more.
    fn leave(&mut self, now: Instant) -> Stage {
        if self.is_pictured {
            self.take_picture();
            self.monitor.quit();
        }
        Stage::Leaves(now + LINGER)
    }

    /// Prints at which step a machine is that has given no sign of life. One whose kernel has
    /// started is a program that prints nothing.
    fn note_silence(&self) {
        let is_heard = self.console.with(|console| console.spoke)
            || self.control.with(|control| control.has_started);
        if is_heard {
            return;
        }
        let step = match self.monitor.is_ready() {
            true => "runs its machine, which has printed no first line",
            false => "has started, and hasn't made its machine",
        };
        let (name, seconds) = (M::NAME, SILENCE.as_secs());
        say_soon(&format!(
            "{name} {step} after {seconds} s: is the host busy? If not, try --accel tcg, another \
             --machine or more --mem; --gdb shows where it is"
        ));
    }

    /// Waits until the machine has ended and its output is forwarded. Requests a stop or kills the
    /// machine on signals and time-outs. Returns the reason if `soil run` ended it. At the time
    /// `silence` it calls [`Machine::note_silence`].
    fn supervise(
        &mut self,
        inbox: &Receiver<Event>,
        timeout: Option<(Duration, Instant)>,
        mut silence: Option<Instant>,
    ) -> Option<Ended> {
        let mut stage = Stage::Runs;
        let mut has_button = false;
        loop {
            let timeout = timeout.filter(|_| !matches!(stage, Stage::Over(..)));
            let limit = timeout.map(|(_, at)| at).into_iter();
            let limit = limit.chain(stage.end()).chain(silence);
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
                        self.monitor.press_button();
                    }
                    stage
                }
                (Ok(Event::Signal(signal)), Stage::Runs) if signal != SIGQUIT => {
                    if has_button {
                        self.monitor.press_button();
                    }
                    if io::stderr().is_terminal() {
                        say_soon("asked the program to stop (Ctrl-C again ends it at once)");
                    }
                    Stage::Asked(now + GRACE, Ended::NoAnswer(signal))
                }
                (Ok(Event::Signal(_)), Stage::Over(_, why)) => return Some(why),
                (Ok(Event::Signal(signal)), _) => self.kill(Ended::Killed(signal)),
                (Err(RecvTimeoutError::Timeout), stage)
                    if silence.take_if(|at| *at <= now).is_some() =>
                {
                    if let Stage::Runs = stage {
                        self.note_silence();
                    }
                    stage
                }
                (Err(RecvTimeoutError::Timeout), Stage::Over(_, why)) => return Some(why),
                (Err(RecvTimeoutError::Timeout), stage) => match (timeout, stage) {
                    (Some((after, at)), _) if at <= now => self.kill(Ended::TimedOut(after)),
                    (_, Stage::Asked(end, why)) if end <= now => self.kill(why),
                    (_, Stage::Leaves(end)) if end <= now => {
                        self.signal(Signal::KILL);
                        Stage::Drains(now + DRAIN)
                    }
                    (_, Stage::Drains(_)) => {
                        // Doesn't wait for another process that holds the VMM's output open.
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

    /// Kills the VMM for this reason.
    fn kill(&mut self, why: Ended) -> Stage {
        self.take_picture();
        self.signal(Signal::KILL);
        Stage::Over(Instant::now() + DRAIN, why)
    }

    /// Sends a signal to the VMM and the wrapper that started it.
    fn signal(&self, signal: Signal) {
        // The child leads its group until it is waited for. The call fails only if the group has
        // ended.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
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

    /// Collects the machine's last data and converts it to a status. `end` is the time-out of the
    /// run.
    fn finish(mut self, run: &Run, ended: Option<Ended>, end: Option<Instant>) -> (u8, M) {
        let status = self.reap();
        // All threads end with the VMM, unless another process holds its outputs open.
        let has_status = self.control.with(|control| control.exit.is_some());
        let drain = match has_status || ended.is_some() {
            true => DRAIN,
            false => LONG_DRAIN,
        };
        let soon = Instant::now() + drain;
        let control = self.control.take(soon);
        let complaints = self.complaints.take(soon);
        let console = self.console.with(std::mem::take);
        let complaints: Vec<&str> = complaints
            .iter()
            .filter_map(|line| M::complaint(line))
            .collect();
        // If the user ended the run, doesn't block on the reader of these lines.
        let until = ended.map(|_| Instant::now() + DRAIN).or(end);
        let mut said = Vec::new();
        if !control.report.is_empty() {
            // Writing to a vector can't fail.
            let _ = report::print(&run.program, &control.report, &mut said);
        }
        let end = End {
            run,
            status,
            console: &console,
            complaints: &complaints,
            soon,
        };
        let outcome =
            known_outcome(&control, ended, &console).unwrap_or_else(|| self.monitor.outcome(&end));
        if outcome.is_ok() || console.spoke {
            for line in &complaints {
                said.extend(format!("soil: {}: {line}\n", M::NAME).as_bytes());
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
        (answer, self.monitor)
    }

    /// Returns the VMM's status. Kills a VMM that closed its output but doesn't end.
    fn reap(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) => {
                    self.signal(Signal::KILL);
                    return self.child.wait().ok();
                }
                Err(_) => return None,
            }
        }
    }
}

/// The outcome of a machine that reported its status or its crash, or that `soil run` ended.
fn known_outcome(
    control: &Control,
    ended: Option<Ended>,
    console: &Progress,
) -> Option<Result<u8, Failure>> {
    // A program that ended in time keeps its own status, even after a simultaneous signal or
    // time-out, unless that cut off the program's output.
    if let Some(exit) = control.exit.filter(|_| !console.pending) {
        return Some(Ok(exit));
    }
    if let Some(ended) = ended {
        return Some(Err(failure_of(ended)));
    }
    let crashed = || Err(Failure::new("the program crashed").with_status(CRASHED));
    (!control.report.is_empty()).then(crashed)
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

/// The machine's control channel.
struct Channel<F> {
    gatherer: Gatherer<Control>,
    events: Sender<Event>,
    /// Called when the machine asks for input.
    start_input: Option<F>,
}

impl<F: FnOnce()> Channel<F> {
    /// Parses received bytes.
    fn feed(&mut self, bytes: &[u8]) {
        let state = self.gatherer.state();
        let mut control = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (running, buttons) = (control.exit.is_none(), control.buttons);
        control.feed(bytes);
        // The sends fail only after the supervisor has finished.
        if control.buttons != buttons {
            let _ = self.events.send(Event::Button);
        }
        if running && control.exit.is_some() {
            let _ = self.events.send(Event::Exited);
        }
        if control.takes_input
            && let Some(start_input) = self.start_input.take()
        {
            start_input();
        }
    }

    /// Reads a channel of its own until the VMM ends.
    fn read(mut self, mut from: File) {
        let mut buffer = [0; 4096];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => self.feed(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

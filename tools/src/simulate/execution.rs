//! One run of a test: starts it with a seed, and reads its report.
//!
//! The test is in a process group of its own, which ends with this process: the kernel kills the
//! test (PR_SET_PDEATHSIG), and its nodes end with it. What is left of the group at the end of a run
//! is killed. All that may differ from run to run is
//! fixed: the environment, the folder, and the addresses of memory (personality(2),
//! ADDR_NO_RANDOMIZE).

use super::report::Report;
use crate::child::{dies_with_us, inherit};
use crate::cli::simulate::{Faults, Instant as Virtual};
use crate::failure::{Context as _, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use signal_hook::low_level::signal_name;
use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The lowest number of the report's descriptor, above those that scripts use.
const APART: i32 = 100;
/// The output that is kept of a run, in bytes: its end.
const MAX_OUTPUT: usize = 64 << 10;
/// The longest report, in bytes.
const MAX_REPORT: usize = 64 << 20;
/// The bytes that are read at once.
const PIECE: usize = 64 << 10;
/// The reads of a pipe after the test's end: of 1 MiB, which is more than the test can have left in
/// it by default.
const LAST_READS: usize = 16;
/// The longest wait for the test between two checks of [`Test::stopped`]: no wait ends by a signal
/// that arrives just before it.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// A test and the surroundings of all its runs.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its file; absolute.
    program: PathBuf,
    variables: Vec<(String, OsString)>,
    limit: Duration,
    /// The time at which the present run is stopped; `None`: never.
    deadline: Option<Instant>,
    /// Stops the present run, if set when a signal arrives.
    pub stopped: Arc<AtomicBool>,
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// The seed.
    pub seed: u64,
    /// The faults that are injected; `None`: all.
    pub faults: Option<Faults>,
    /// The largest number of operations of each client; `None`: no limit.
    pub operations: Option<u64>,
    /// The virtual time at which the run ends; `None`: the test's own.
    pub until: Option<Virtual>,
}

impl Case {
    /// A whole run.
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }
}

/// The end of a run.
pub struct Ended {
    /// The report, also of a run that wrote none.
    pub report: Report,
    /// The end of what the test printed, on both outputs.
    pub output: String,
    /// Whether it was killed, after the limit or as it was stopped.
    pub is_killed: bool,
    /// Whether it was stopped, so that its report says nothing.
    pub is_stopped: bool,
}

/// A variable of the contract between this command and the test.
fn variable(name: &str) -> String {
    format!("{}SIM_{name}", configuration::PREFIX)
}

impl Test {
    /// The test in the file `program`, with further variables. A run fails after `limit`.
    pub fn new(
        program: &Path,
        variables: Vec<(String, OsString)>,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let program = std::path::absolute(program).on(program)?;
        Ok(Self {
            program,
            variables,
            limit,
            deadline: None,
            stopped: Arc::default(),
        })
    }

    /// The same test, whose runs are stopped at a time.
    pub fn until(&self, deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    /// Whether runs are stopped.
    pub fn is_stopped(&self) -> bool {
        let is_late = self.deadline.is_some_and(|end| Instant::now() >= end);
        is_late || self.stopped.load(Ordering::Relaxed)
    }

    /// The same test in another file.
    pub fn at(&self, program: PathBuf) -> Self {
        Self {
            program,
            ..self.clone()
        }
    }

    /// Its file.
    pub fn program(&self) -> &Path {
        &self.program
    }

    fn command(&self, case: &Case) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs([("TZ", "UTC"), ("LC_ALL", "C")]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env(variable("SEED"), case.seed.to_string());
        let optional = [
            ("FAULTS", case.faults.as_ref().map(Faults::to_string)),
            (
                "OPERATIONS",
                case.operations.map(|number| number.to_string()),
            ),
            ("UNTIL", case.until.map(|until| until.0.to_string())),
        ];
        for (name, value) in optional {
            command.envs(value.map(|value| (variable(name), value)));
        }
        if let Some(folder) = self.program.parent() {
            command.current_dir(folder);
        }
        without_randomisation(&mut command);
        dies_with_us(&mut command);
        command
    }

    /// Runs a case. Writes its events to the file `trace`, if given. The calling thread has to
    /// live until the end: the test ends with it.
    pub fn run(&self, case: &Case, trace: Option<&Path>) -> Result<Ended, Failure> {
        let mut command = self.command(case);
        command.envs(trace.map(|trace| (variable("TRACE"), trace)));
        let mut reports = Reports::new(&mut command).on(&self.program)?;
        let (output, printed) = pipe().on(&self.program)?;
        command
            .stdin(Stdio::null())
            .stdout(printed.try_clone().on(&self.program)?)
            .stderr(printed)
            .process_group(0);
        let mut child = command.spawn().map_err(|error| self.not_started(&error))?;
        // The command keeps its ends of the pipes.
        drop(command);
        reports.close();
        let mut output = Pipe::new(output, MAX_OUTPUT);
        let ended = self.wait(&mut child, self.limit, &mut reports.pipe, &mut output);
        let End {
            status,
            is_killed,
            is_stopped,
        } = ended.on(&self.program)?;
        let output = String::from_utf8_lossy(output.end()).into_owned();
        let limit = self.limit.as_secs_f64();
        let report = match is_killed {
            true => Report::error(
                case.seed,
                format!("still running after {limit} s (--limit)"),
            ),
            false => report(case.seed, status, &reports.pipe.bytes, &output),
        };
        Ok(Ended {
            report,
            output,
            is_killed,
            is_stopped,
        })
    }

    /// Runs a case on this terminal, and stops the node in gdb at a virtual time. Returns the
    /// report at the end.
    pub fn debug(&self, case: &Case, node: &str, at: Virtual) -> Result<Report, Failure> {
        let mut command = self.command(case);
        command.env(variable("GDB"), format!("{node}@{}", at.0));
        command.envs(std::env::var_os("TERM").map(|value| ("TERM", value)));
        without_interrupts(&mut command);
        let mut reports = Reports::new(&mut command).on(&self.program)?;
        let mut child = command.spawn().map_err(|error| self.not_started(&error))?;
        drop(command);
        reports.close();
        let mut none = Pipe::closed();
        let ended = self.wait(&mut child, Duration::MAX, &mut reports.pipe, &mut none);
        let status = ended.on(&self.program)?.status;
        Ok(report(case.seed, status, &reports.pipe.bytes, ""))
    }

    /// Waits for the child's end and reads both pipes meanwhile. Kills its process group after the
    /// limit or a request to stop, and the rest of it at the end.
    fn wait(
        &self,
        child: &mut Child,
        limit: Duration,
        report: &mut Pipe,
        output: &mut Pipe,
    ) -> std::io::Result<End> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(std::io::ErrorKind::InvalidInput)?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let limit = Instant::now().checked_add(limit);
        let (mut is_killed, mut is_stopped) = (false, false);
        loop {
            let ends = [limit, self.deadline].into_iter().flatten();
            let left = ends.min();
            let left = left.map(|end| end.saturating_duration_since(Instant::now()));
            if !is_killed && (self.is_stopped() || left == Some(Duration::ZERO)) {
                is_killed = true;
                is_stopped = self.is_stopped();
                // The nodes, too, where they are in the group. It may have none in a debugger.
                let _ = kill_process_group(pid, Signal::KILL);
                child.kill()?;
            }
            let left = left.filter(|_| !is_killed);
            let wait = left.map_or(MAX_WAIT, |left| left.min(MAX_WAIT));
            let wait = Timespec::try_from(wait).ok();
            let mut ends = vec![PollFd::new(&process, PollFlags::IN)];
            for pipe in [&*report, &*output] {
                ends.extend(
                    pipe.source
                        .iter()
                        .map(|end| PollFd::new(end, PollFlags::IN)),
                );
            }
            match poll(&mut ends, wait.as_ref()) {
                Err(Errno::INTR) | Ok(0) => continue,
                answer => answer?,
            };
            let has_ended = ends.first().is_some_and(|end| !end.revents().is_empty());
            if has_ended {
                // No other group has its number before the child is waited for.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            for pipe in [&mut *report, &mut *output] {
                match has_ended {
                    true => pipe.read_rest()?,
                    false => drop(pipe.read()?),
                }
            }
            if has_ended {
                let status = child.wait()?;
                return Ok(End {
                    status,
                    is_killed,
                    is_stopped,
                });
            }
        }
    }

    fn not_started(&self, error: &std::io::Error) -> Failure {
        let failure = Failure::on(&self.program, format!("did not start: {error}"));
        match error.kind() {
            std::io::ErrorKind::NotFound => failure.remedy("build it: 'dune build'"),
            _ => failure,
        }
    }
}

/// Turns off the randomisation of addresses for the program. Without effect where a sandbox
/// forbids that.
fn without_randomisation(command: &mut Command) {
    // SAFETY: between fork and exec only a system call without pointers is made.
    unsafe {
        command.pre_exec(|| {
            const QUERY: libc::c_ulong = 0xffff_ffff;
            if let Ok(present) = u32::try_from(libc::personality(QUERY)) {
                let wanted = present | libc::ADDR_NO_RANDOMIZE.unsigned_abs();
                libc::personality(wanted.into());
            }
            Ok(())
        });
    }
}

/// Ignores SIGINT in the program: Ctrl-C in gdb, which handles it, reaches all processes of the
/// terminal.
fn without_interrupts(command: &mut Command) {
    // SAFETY: between fork and exec only a system call without pointers is made.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_IGN);
            Ok(())
        });
    }
}

/// Both ends of a pipe that children don't inherit.
fn pipe() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC)
}

/// The bytes from a pipe.
struct Pipe {
    /// `None` after its end.
    source: Option<OwnedFd>,
    bytes: Vec<u8>,
    /// The number of bytes that are kept, the last ones.
    limit: usize,
}

impl Pipe {
    const fn new(end: OwnedFd, limit: usize) -> Self {
        Self {
            source: Some(end),
            bytes: Vec::new(),
            limit,
        }
    }

    const fn closed() -> Self {
        Self {
            source: None,
            bytes: Vec::new(),
            limit: 0,
        }
    }

    /// The bytes that are kept. Up to as many more wait for [`Self::read`] to drop them at once.
    fn end(&self) -> &[u8] {
        let first = self.bytes.len().saturating_sub(self.limit);
        self.bytes.get(first..).unwrap_or_default()
    }

    /// Reads once, if there is something to read. Returns whether there may be more.
    fn read(&mut self) -> rustix::io::Result<bool> {
        let Some(source) = &self.source else {
            return Ok(false);
        };
        let now = Timespec::default();
        if poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&now))? == 0 {
            return Ok(false);
        }
        let mut buffer = vec![0; PIECE];
        let count = rustix::io::read(source, &mut buffer)?;
        if count == 0 {
            self.source = None;
        }
        self.bytes.extend(buffer.iter().take(count));
        if self.bytes.len() > 2 * self.limit {
            self.bytes.drain(..self.bytes.len() - self.limit);
        }
        Ok(count > 0)
    }

    /// Reads until the pipe is empty, at most [`LAST_READS`] times: a process that has kept it open
    /// isn't waited for, and may write for ever.
    fn read_rest(&mut self) -> rustix::io::Result<()> {
        for _ in 0..LAST_READS {
            if !self.read()? {
                break;
            }
        }
        Ok(())
    }
}

/// The pipe of the report, whose other end the test inherits.
struct Reports {
    pipe: Pipe,
    inherited: Option<OwnedFd>,
}

impl Reports {
    fn new(command: &mut Command) -> rustix::io::Result<Self> {
        let (end, written) = pipe()?;
        let written = fcntl_dupfd_cloexec(&written, APART)?;
        let number = written.as_raw_fd();
        command.env(variable("REPORT"), number.to_string());
        inherit(command, vec![number]);
        Ok(Self {
            pipe: Pipe::new(end, MAX_REPORT),
            inherited: Some(written),
        })
    }

    /// Closes the test's end in this process.
    fn close(&mut self) {
        self.inherited = None;
    }
}

struct End {
    status: ExitStatus,
    /// Whether it was killed here before its end.
    is_killed: bool,
    /// Whether that was because runs are stopped.
    is_stopped: bool,
}

/// The report in these bytes, or one about its absence.
fn report(seed: u64, status: ExitStatus, bytes: &[u8], output: &str) -> Report {
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, signal) => {
            let number = signal.unwrap_or_default();
            let name = signal_name(number).map(str::to_owned);
            let name = name.unwrap_or_else(|| format!("signal {number}"));
            format!("was ended by {name}")
        }
    };
    if bytes.is_empty() {
        let hint = match (status.success(), cause(output)) {
            (true, _) => ": is it a program of Soil_sim.main?".to_owned(),
            (false, Some(line)) => format!(": {line}"),
            (false, None) => String::new(),
        };
        return Report::error(seed, format!("{ended}, without a report{hint}"));
    }
    match serde_json::from_slice::<Report>(bytes) {
        Err(error) => Report::error(seed, format!("{ended}; its report can't be read: {error}")),
        Ok(report) if report.seed != seed => {
            let other = report.seed;
            Report::error(seed, format!("its report is about the seed {other}"))
        }
        Ok(report) if report.kind().is_none() != status.success() => {
            let verdict = report.verdict;
            Report::error(seed, format!("{ended}, with the verdict {verdict}"))
        }
        Ok(report) => report,
    }
}

/// The line of the output that probably names the cause of a crash.
fn cause(output: &str) -> Option<&str> {
    let lines = || {
        output
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let fatal = lines().find(|line| line.starts_with("Fatal error"));
    fatal.or_else(|| lines().next_back())
}

#[cfg(test)]
mod tests {
    use super::{Pipe, cause, pipe, report};
    use crate::simulate::report::Verdict;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    fn message(status: i32, bytes: &str, output: &str) -> String {
        let report = report(7, ExitStatus::from_raw(status), bytes.as_bytes(), output);
        assert_eq!((report.verdict, report.seed), (Verdict::Error, 7));
        report.message
    }

    #[test]
    fn a_run_without_a_report_has_one_that_says_so() {
        assert_eq!(
            message(
                2 << 8,
                "",
                "x\nFatal error: exception Not_found\nRaised at\n"
            ),
            "ended with status 2, without a report: Fatal error: exception Not_found"
        );
        assert_eq!(
            message(11, "", ""),
            "was ended by SIGSEGV, without a report"
        );
        assert!(message(0, "", "").contains("Soil_sim.main"));
        assert!(message(256, "{", "").contains("can't be read"));
        let passed = r#"{"seed":7,"verdict":"passed"}"#;
        assert_eq!(
            message(256, passed, ""),
            "ended with status 1, with the verdict passed"
        );
        let other = r#"{"seed":8,"verdict":"passed"}"#;
        assert_eq!(message(0, other, ""), "its report is about the seed 8");
        let ended = report(7, ExitStatus::from_raw(0), passed.as_bytes(), "");
        assert_eq!(ended.verdict, Verdict::Passed);
    }

    #[test]
    fn the_end_of_an_output_is_kept() {
        let (source, written) = pipe().expect("a pipe");
        let mut pipe = Pipe::new(source, 4);
        for (text, end) in [("ab", "ab"), ("cde", "bcde"), ("fghi", "fghi")] {
            rustix::io::write(&written, text.as_bytes()).expect("room");
            assert!(pipe.read().expect("readable"));
            assert_eq!(pipe.end(), end.as_bytes());
            assert!(pipe.bytes.len() <= 8);
        }
    }

    #[test]
    fn an_endless_rest_of_an_output_is_cut() {
        let zeros = std::fs::File::open("/dev/zero").expect("there");
        let mut pipe = Pipe::new(zeros.into(), 4 << 20);
        pipe.read_rest().expect("readable");
        assert_eq!(pipe.end().len(), 1 << 20);
    }

    #[test]
    fn the_cause_of_a_crash_is_its_exception_or_the_last_line() {
        assert_eq!(cause("a\n\n b \n\n"), Some("b"));
        assert_eq!(cause("\n"), None);
    }
}

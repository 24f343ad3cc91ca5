//! `soil run --watch`: rebuilds the program when its sources change, and restarts it when its file
//! changes.
//!
//! Between two builds no dune runs: `dune build --watch` would lock the workspace for all others.
//! This module polls the program's file ten times a second, because dune replaces the file, and to
//! support other build systems. A `soil run` without `--watch` runs the program, so that it ends as
//! usual.

use super::signals;
use crate::child::{dies_with_us, terminated_at_our_end};
use crate::cli::Run;
use crate::dune;
use crate::dune::sources::Sources;
use crate::dune::turn::{self, Others, Turn};
use crate::failure::{Context as _, Failure};
use crate::messages::say;
use crate::program;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The polling interval.
const TICK: Duration = Duration::from_millis(100);
/// The time for a program to end after a request; Soil's programs take up to ten seconds.
const GRACE: Duration = Duration::from_secs(12);

/// The number of unchanged polls before a file not built by dune is started: if it is a program;
/// and otherwise ([`GIVEN_UP`]), so that `soil run` reports the error.
const SETTLED: u32 = 3;
const GIVEN_UP: u32 = 50;

/// The identity of a version of the file: inode number, size, modification time (seconds and
/// nanoseconds), mode.
type Version = (u64, u64, i64, i64, u32);

/// Runs the program until a signal arrives and returns the exit status.
pub fn run(options: &Run) -> Result<u8, Failure> {
    let (events, inbox) = channel();
    let stop = signals::forward(&signals::ENDING, events, |signal| signal)?;
    let program = std::path::absolute(&options.program).on(&options.program)?;
    let mut builder = match workspace(&program) {
        Some((root, target)) => Some(Builder::new(root, target)?),
        None => None,
    };
    let result = follow(&program, builder.as_mut(), &inbox);
    drop((builder, stop));
    result
}

/// Returns the dune workspace whose `_build` contains the program, and the program's path relative
/// to its root.
fn workspace(program: &Path) -> Option<(&Path, &Path)> {
    let root = program::root_of_build(program)?;
    let is_root = |file: &str| root.join(file).is_file();
    let target = program.strip_prefix(root).ok()?;
    (is_root("dune-workspace") || is_root("dune-project")).then_some((root, target))
}

/// Builds the program when its sources have changed. Ends a running dune on drop.
struct Builder {
    root: PathBuf,
    target: PathBuf,
    sources: Sources,
    /// Whether something has changed since the last build began.
    is_due: bool,
    running: Option<(Child, Turn)>,
}

impl Builder {
    /// Watches the sources; the first build is due.
    fn new(root: &Path, target: &Path) -> Result<Self, Failure> {
        Ok(Self {
            root: root.to_owned(),
            target: target.to_owned(),
            sources: Sources::watch(root)?,
            is_due: true,
            running: None,
        })
    }

    /// Ends and begins builds. Returns whether none is running or due, so that the program's file
    /// is that of the sources.
    fn step(&mut self) -> Result<bool, Failure> {
        let folder = self.root.join("_build");
        if let Some((dune, _)) = &mut self.running {
            let Some(status) = dune.try_wait().on("dune")? else {
                return Ok(false);
            };
            self.running = None;
            // One that has met another dune has built nothing. Other errors are those of sources,
            // which a change mends.
            self.is_due |= !status.success() && turn::dunes(&folder) == Others::Build;
        }
        if self.sources.changed()? {
            self.sources.quiet()?;
            self.is_due = true;
        }
        if self.is_due {
            match turn::take(&folder) {
                Ok(turn) => {
                    let dune = self.dune().spawn().map_err(dune::not_started)?;
                    self.running = Some((dune, turn));
                    self.is_due = false;
                }
                // It builds what has changed.
                Err(Others::Watch) => self.is_due = false,
                Err(_) => {}
            }
        }
        Ok(self.running.is_none() && !self.is_due)
    }

    fn dune(&self) -> Command {
        let mut dune = Command::new("dune");
        dune.args(["build", "--no-print-directory", "--root"]);
        dune.arg(&self.root).arg(&self.target);
        terminated_at_our_end(&mut dune);
        dune
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        if let Some((dune, _)) = &mut self.running {
            end(dune, Duration::from_secs(2));
        }
    }
}

/// Starts the program, and restarts it when its file changes.
fn follow(
    program: &Path,
    mut builder: Option<&mut Builder>,
    inbox: &Receiver<i32>,
) -> Result<u8, Failure> {
    let mut runner: Option<Child> = None;
    // The version started last, and the version seen by the last polls with their number.
    let (mut started, mut seen, mut looks) = (None, None, 0_u32);
    loop {
        let is_built = match &mut builder {
            Some(builder) => builder.step()?,
            None => true,
        };
        let found = version(program);
        looks = if found == seen {
            looks.saturating_add(1)
        } else {
            0
        };
        // Dune removes write permission from complete targets.
        let complete = |found: &Version| match builder.is_some() {
            true => found.4 & 0o222 == 0,
            false if looks < SETTLED => false,
            false => looks >= GIVEN_UP || program::inspect(program).is_ok(),
        };
        if is_built && found != started && found.is_some_and(|found| complete(&found)) {
            if let Some(mut before) = runner.take() {
                say(&format!("{} has changed", program.display()));
                end(&mut before, GRACE);
            }
            runner = Some(start()?);
            started = found;
        }
        seen = found;
        match inbox.recv_timeout(TICK) {
            Ok(signal) => {
                if let Some(mut runner) = runner {
                    end(&mut runner, GRACE);
                }
                return Ok(128_u8.saturating_add(u8::try_from(signal).unwrap_or_default()));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
        }
        if let Some(status) = ended(&mut runner)? {
            say(&format!(
                "the program ended with {status}; waiting for a change"
            ));
        }
    }
}

/// Returns the program's status if it has ended by itself.
fn ended(runner: &mut Option<Child>) -> Result<Option<ExitStatus>, Failure> {
    let Some(child) = runner else {
        return Ok(None);
    };
    let status = child.try_wait().on("soil run")?;
    if status.is_some() {
        *runner = None;
    }
    Ok(status)
}

fn version(program: &Path) -> Option<Version> {
    let known = std::fs::metadata(program).ok()?;
    let changed = (known.ctime(), known.ctime_nsec());
    Some((
        known.ino(),
        known.size(),
        changed.0,
        changed.1,
        known.mode(),
    ))
}

/// Starts `soil run` with the same arguments except `--watch`.
fn start() -> Result<Child, Failure> {
    let soil: PathBuf = std::env::current_exe().on("soil")?;
    let mut command = Command::new(&soil);
    command.args(without_watch(std::env::args_os().skip(1)));
    dies_with_us(&mut command);
    command.spawn().on(&soil)
}

/// Removes the option from the arguments; those after `--` are the program's.
fn without_watch(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut ours = true;
    let keep = |word: &OsString| {
        ours &= word != "--";
        !(ours && word == "--watch")
    };
    words.filter(keep).collect()
}

/// Requests a child to end, and kills it after `grace`.
fn end(child: &mut Child, grace: Duration) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = kill_process(Pid::from_child(child), Signal::TERM);
    }
    let until = Instant::now() + grace;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::{without_watch, workspace};
    use std::ffi::OsString;
    use std::path::Path;

    #[test]
    fn the_option_is_ours_and_what_follows_the_dashes_the_programs() {
        let words = ["run", "--watch", "x", "--", "--watch", "--", "--watch"].map(OsString::from);
        let kept = without_watch(words.into_iter());
        assert_eq!(kept, ["run", "x", "--", "--watch", "--", "--watch"]);
    }

    #[test]
    fn a_program_in_a_build_folder_has_a_workspace() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("_build/soil/a/main.exe");
        assert_eq!(workspace(&program), None);
        std::fs::write(folder.path().join("dune-project"), "").expect("written");
        let target = Path::new("_build/soil/a/main.exe");
        assert_eq!(workspace(&program), Some((folder.path(), target)));
        assert_eq!(workspace(Path::new("/a/main.exe")), None);
    }
}

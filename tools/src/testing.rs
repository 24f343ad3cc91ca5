//! `soil test`: the tests of a dune workspace, each as a process and as an image.
//!
//! A test is a `(test)` or `(tests)` stanza, and passes if its program ends with status 0. Both
//! forms are run by `soil run` in the folder where dune built them, without a network (the loopback
//! is there), until a limit of time. A file `NAME.run` beside the dune file of the test `NAME` has
//! further options of `soil run`, and the program's arguments behind `--`. Its disks are copied for
//! each run, so that tests may write and run side by side.

use crate::cli::{self, Cli, Command, Testing};
use crate::dune::{Stanza, Workspace};
use crate::exit_status::TIMED_OUT;
use crate::failure::{Context as _, Failure};
use crate::json;
use crate::program::{self, Form};
use crate::run::dies_with_us;
use anstyle::{AnsiColor, Style};
use clap::Parser as _;
use indicatif::ProgressBar;
use serde::Serialize;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Instant;

/// One test in one form.
struct Case {
    name: String,
    form: Form,
    executable: PathBuf,
    /// Whether its dune file lets it run in this form.
    enabled: bool,
    options: Options,
}

/// The words of `NAME.run`.
#[derive(Clone, Debug, Default)]
struct Options {
    words: Vec<String>,
    /// The files of disks, and whether each is written to.
    disks: Vec<(String, bool)>,
    network: bool,
    limit: bool,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Passed,
    Failed,
    TimedOut,
    Skipped,
}

/// A test that was run.
#[derive(Serialize)]
struct Report {
    test: String,
    form: &'static str,
    outcome: Outcome,
    /// The exit status, if it ended.
    status: Option<i32>,
    seconds: f64,
    /// What it printed, to standard output and error output.
    output: String,
    /// Why it was not run.
    reason: Option<String>,
}

/// Builds the workspace, runs its tests and prints how each ended. The result is whether none
/// failed.
pub fn run(options: &Testing) -> Result<bool, Failure> {
    let workspace = Workspace::find()?;
    workspace.build(options.release)?;
    let cases = cases(&workspace, options)?;
    if cases.is_empty() {
        return Err(match options.words.is_empty() {
            true => Failure::on(
                workspace.root(),
                "no dune file has a (test) or (tests) stanza",
            ),
            false => Failure::new(format!("no test is called {}", options.words.join(", "))),
        });
    }
    let reports = all(&cases, options)?;
    let count = |outcome| {
        reports
            .iter()
            .filter(|report| report.outcome == outcome)
            .count()
    };
    let failed = count(Outcome::Failed) + count(Outcome::TimedOut);
    if options.json {
        json::print(&reports)?;
    } else {
        let skipped = match count(Outcome::Skipped) {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        let passed = count(Outcome::Passed);
        anstream::println!("{passed} passed, {failed} failed{skipped}");
    }
    Ok(failed == 0)
}

/// The tests that the words name, in both forms.
fn cases(workspace: &Workspace, options: &Testing) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for stanza in workspace.stanzas() {
        let name = stanza.shown();
        let wanted = |word: &String| name.contains(word.as_str());
        let built = [Form::Process, Form::Image].map(|form| workspace.executable(&stanza, form));
        let made = built.iter().any(|executable| executable.exists());
        if !stanza.test || !made || !(options.words.is_empty() || options.words.iter().any(wanted))
        {
            continue;
        }
        let run = run_options(workspace, &stanza)?;
        for (executable, form) in built.into_iter().zip([Form::Process, Form::Image]) {
            if options.form.is_none_or(|wanted| wanted.form() == form) {
                cases.push(Case {
                    name: name.clone(),
                    form,
                    executable,
                    enabled: stanza.enabled(form),
                    options: run.clone(),
                });
            }
        }
    }
    Ok(cases)
}

/// The options of `NAME.run`, if there is one: words as in a shell, `#` begins a comment.
fn run_options(workspace: &Workspace, stanza: &Stanza) -> Result<Options, Failure> {
    let folder = workspace.root().join(&stanza.folder);
    let path = folder.join(format!("{}.run", stanza.name));
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Options::default()),
        Err(error) => Err(Failure::on(&path, error)),
    }
}

fn parse(path: &Path, text: &str) -> Result<Options, Failure> {
    let shown = path.display().to_string();
    let words = shlex::split(text).ok_or_else(|| Failure::on(&shown, "a quote isn't closed"))?;
    let line = ["soil", "run", "test.exe"].map(str::to_owned);
    let parsed = Cli::try_parse_from(line.iter().chain(&words)).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Failure::on(&shown, first.trim_start_matches("error: "))
    })?;
    let Command::Run(run) = parsed.command else {
        return Err(Failure::on(&shown, "has no options of soil run"));
    };
    let disks = run.disks.iter().map(|disk| {
        let file = disk.file.display().to_string();
        (file, !disk.read_only)
    });
    Ok(Options {
        disks: disks.collect(),
        network: !run.nets.is_empty(),
        limit: run.timeout.is_some(),
        words,
    })
}

/// Runs the tests side by side and prints each as it ends; the reports are in the order of `cases`.
fn all(cases: &[Case], options: &Testing) -> Result<Vec<Report>, Failure> {
    let processors = available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(processors).clamp(1, cases.len());
    let bar = crate::progress::count("testing", cases.len());
    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<(usize, Report)>> = Mutex::default();
    let work = || -> Result<(), Failure> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else {
                return Ok(());
            };
            let report = one(case, options)?;
            bar.inc(1);
            if !options.json {
                show(&bar, &report);
            }
            if let Ok(mut reports) = reports.lock() {
                reports.push((number, report));
            }
        }
    };
    // A child ends with the thread that started it: each waits for its own.
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect::<Result<Vec<()>, Failure>>()
    })?;
    bar.finish_and_clear();
    let mut reports = reports.into_inner().unwrap_or_default();
    reports.sort_by_key(|(number, _)| *number);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

/// Prints one line for a test, and the output of one that failed.
fn show(bar: &ProgressBar, report: &Report) {
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into())).bold();
    let (style, word) = match report.outcome {
        Outcome::Passed => (color(AnsiColor::Green), "ok  "),
        Outcome::Failed | Outcome::TimedOut => (color(AnsiColor::Red), "FAIL"),
        Outcome::Skipped => (color(AnsiColor::Yellow), "skip"),
    };
    let why = match (report.outcome, report.status, &report.reason) {
        (Outcome::Passed, ..) => String::new(),
        (Outcome::TimedOut, ..) => format!(": still running after {:.0} s", report.seconds),
        (_, _, Some(reason)) => format!(": {reason}"),
        (_, Some(status), None) => format!(": exit status {status}"),
        (_, None, None) => ": ended by a signal".to_owned(),
    };
    bar.suspend(|| {
        let (test, form) = (&report.test, report.form);
        anstream::println!("{style}{word}{style:#}  {test} ({form}){why}");
        if !matches!(report.outcome, Outcome::Passed | Outcome::Skipped) {
            for line in report.output.lines() {
                anstream::println!("      {line}");
            }
        }
        let _ = std::io::stdout().flush();
    });
}

/// Runs one test.
fn one(case: &Case, options: &Testing) -> Result<Report, Failure> {
    let form = match case.form {
        Form::Process => "process",
        Form::Image => "image",
    };
    let mut report = Report {
        test: case.name.clone(),
        form,
        outcome: Outcome::Skipped,
        status: None,
        seconds: 0.0,
        output: String::new(),
        reason: None,
    };
    if !case.enabled || !case.executable.exists() {
        report.reason = Some("its dune file excludes this form".to_owned());
        return Ok(report);
    }
    if let Err(failure) = program::inspect(&case.executable) {
        report.reason = Some(failure.to_string());
        return Ok(report);
    }
    let scratch = tempfile::tempdir().on(std::env::temp_dir())?;
    let folder = case.executable.parent().unwrap_or(Path::new("."));
    let words = copied_disks(&case.options, folder, scratch.path())?;
    let mut output = tempfile::tempfile().on(std::env::temp_dir())?;
    let began = Instant::now();
    let status = soil_run(case, options, &words, folder, &output)?;
    report.seconds = began.elapsed().as_secs_f64();
    output.rewind().on("the output of a test")?;
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).on("the output of a test")?;
    report.output = String::from_utf8_lossy(&bytes).replace('\r', "");
    report.status = status;
    report.outcome = match status {
        Some(0) => Outcome::Passed,
        Some(status) if status == i32::from(TIMED_OUT) => Outcome::TimedOut,
        _ => Outcome::Failed,
    };
    Ok(report)
}

/// `soil run` with the program of a test.
fn soil_run(
    case: &Case,
    options: &Testing,
    words: &[String],
    folder: &Path,
    output: &File,
) -> Result<Option<i32>, Failure> {
    let soil = std::env::current_exe().on("soil")?;
    let mut command = std::process::Command::new(&soil);
    command.arg("run").arg(&case.executable);
    if !case.options.network {
        command.args(["--net", "none"]);
    }
    if !case.options.limit {
        command.arg("--timeout");
        command.arg(options.timeout.as_secs_f64().to_string());
    }
    let errors = output.try_clone().on("the output of a test")?;
    command
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().on("the output of a test")?)
        .stderr(errors);
    dies_with_us(&mut command);
    Ok(command.status().on(&soil)?.code())
}

/// The words with each disk that is written to replaced by a copy in `scratch`.
fn copied_disks(options: &Options, folder: &Path, scratch: &Path) -> Result<Vec<String>, Failure> {
    let mut words = options.words.clone();
    for (number, (file, written)) in options.disks.iter().enumerate() {
        if !written {
            continue;
        }
        let copy = scratch.join(number.to_string());
        let source = folder.join(file);
        std::fs::copy(&source, &copy).on(&source)?;
        // Dune's targets are read-only.
        std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .on(&copy)?;
        let copy = copy.display().to_string();
        let end = words.iter().position(|word| word == "--");
        for index in 0..end.unwrap_or(words.len()) {
            let follows = index.checked_sub(1).and_then(|before| words.get(before));
            let follows = follows.is_some_and(|before| before == "--disk");
            let Some(word) = words.get_mut(index) else {
                break;
            };
            let (option, value) = match word.strip_prefix("--disk=") {
                Some(value) => ("--disk=", value),
                None if follows => ("", word.as_str()),
                None => continue,
            };
            let (name, rest) = value.split_once('=').unwrap_or((value, ""));
            let rest = rest.strip_prefix(file.as_str()).unwrap_or("no");
            if rest.is_empty() || rest.starts_with(',') {
                *word = format!("{option}{name}={copy}{rest}");
            }
        }
    }
    Ok(words)
}

impl cli::TestForm {
    fn form(self) -> Form {
        match self {
            Self::Process => Form::Process,
            Self::Image => Form::Image,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{copied_disks, parse};
    use std::path::Path;

    #[test]
    fn a_file_of_options_is_read_as_a_shell_would() {
        let text = "# a disk\n--disk data=d.img,sector=512 --net user\n-- 'a b' --mem\n";
        let options = parse(Path::new("t.run"), text).expect("valid");
        assert_eq!(options.disks, [("d.img".to_owned(), true)]);
        assert!(options.network && !options.limit);
        assert_eq!(options.words[4..], ["--", "a b", "--mem"]);
    }

    #[test]
    fn what_can_not_be_read_names_the_file() {
        for (text, named) in [("--disk 'a", "quote"), ("--memory 1G", "--memory")] {
            let error = parse(Path::new("t.run"), text).expect_err(text).to_string();
            assert!(
                error.starts_with("t.run: ") && error.contains(named),
                "{error}"
            );
        }
    }

    #[test]
    fn each_run_has_disks_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("d.img"), "x").expect("written");
        let text = "--disk a=d.img,sector=512 --disk=r=e.img,ro -- x=d.img";
        let options = parse(Path::new("t.run"), text).expect("valid");
        let scratch = tempfile::tempdir().expect("a folder");
        let words = copied_disks(&options, folder.path(), scratch.path()).expect("copied");
        let copy = scratch.path().join("0").display().to_string();
        let disk = format!("a={copy},sector=512");
        assert_eq!(
            words,
            ["--disk", &disk, "--disk=r=e.img,ro", "--", "x=d.img"]
        );
        assert_eq!(std::fs::read(copy).expect("there"), b"x");
    }
}

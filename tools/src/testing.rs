//! `soil test`: the tests of a dune workspace, each as a process and as an image.
//!
//! A test is a `(test)` or `(tests)` stanza, or a rule of the alias `runtest` that runs a program
//! of the workspace. It passes if its program ends with status 0 and its output matches the
//! expected-output file, if any. `soil run` runs both forms in the folder of the dune file, with
//! the loopback as the only network, under a time limit. Dune itself runs other actions and cram
//! tests, as processes. The file `NAME.run` beside the dune file of the test `NAME` contains
//! further options of `soil run`, and the program's arguments after `--`. Each run gets copies of
//! its disks, so that tests can write and run in parallel.

use crate::child::{dies_with_us, terminated_at_our_end};
use crate::cli::{Cli, Command, Testing, value_name};
use crate::dune::sources::Sources;
use crate::dune::{Action, Stanza, Workspace, turn};
use crate::exit_status::TIMED_OUT;
use crate::failure::{Context as _, Failure};
use crate::json;
use crate::messages::{print, print_styled, say};
use crate::program::{self, Form};
use crate::project;
use anstyle::{AnsiColor, Style};
use clap::Parser as _;
use indicatif::ProgressBar;
use serde::Serialize;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
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
    /// Whether its dune file enables it in this form.
    enabled: bool,
    work: Work,
}

/// The way to run a test.
enum Work {
    Program(Program),
    /// Dune runs the alias `runtest` of this folder, in the context of processes.
    Dune(PathBuf),
}

/// A test's program.
struct Program {
    executable: PathBuf,
    /// The folder in which dune would run it.
    folder: PathBuf,
    arguments: Vec<String>,
    /// The file with the expected output.
    expected: Option<PathBuf>,
    options: Options,
}

/// The contents of `NAME.run`.
#[derive(Clone, Debug, Default)]
struct Options {
    words: Vec<String>,
    /// The files of disks, and whether each is writable.
    disks: Vec<(String, bool)>,
    network: bool,
    limit: bool,
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Passed,
    Failed,
    TimedOut,
    Skipped,
}

impl Outcome {
    /// The outcome for an exit status, if there is one.
    fn of(status: Option<i32>) -> Self {
        match status {
            Some(0) => Self::Passed,
            Some(status) if status == i32::from(TIMED_OUT) => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

/// The report of one test.
#[derive(Serialize)]
struct Report {
    test: String,
    form: String,
    outcome: Outcome,
    /// The exit status, if the test ended.
    status: Option<i32>,
    seconds: f64,
    /// Its standard output and standard error.
    output: String,
    /// The reason why it was skipped.
    reason: Option<String>,
}

/// Builds the workspace, runs its tests and prints their outcomes. Returns whether none failed.
/// Repeats that when sources change, if the options say so, until a signal ends this process.
pub fn run(options: &Testing) -> Result<bool, Failure> {
    let workspace = Workspace::find()?;
    if !options.watch {
        return once(&workspace, options);
    }
    // From before the build on.
    let mut sources = Sources::watch(workspace.root())?;
    loop {
        if let Err(failure) = once(&workspace, options) {
            say(&failure.to_string());
        }
        say("waiting for a change");
        sources.wait()?;
    }
}

fn once(workspace: &Workspace, options: &Testing) -> Result<bool, Failure> {
    workspace.build(options.release)?;
    let cases = cases(workspace, options)?;
    if cases.is_empty() {
        return Err(match options.words.is_empty() {
            true => Failure::on(
                workspace.root(),
                "no dune file has a test, and there are no cram tests",
            ),
            false => Failure::new(format!("no test is called {}", options.words.join(", "))),
        });
    }
    let reports = all(workspace, &cases, options)?;
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
        print(&format!("{passed} passed, {failed} failed{skipped}\n"))?;
    }
    Ok(failed == 0)
}

/// Returns the tests that match the words, in both forms.
fn cases(workspace: &Workspace, options: &Testing) -> Result<Vec<Case>, Failure> {
    let mut cases: Vec<Case> = Vec::new();
    for stanza in workspace.stanzas() {
        let name = stanza.shown();
        let wanted = |word: &String| name.contains(word.as_str());
        let is_wanted = options.words.is_empty() || options.words.iter().any(wanted);
        let made = [Form::Process, Form::Image]
            .iter()
            .any(|form| workspace.executable(&stanza, *form).exists());
        // One run of a folder's alias covers all its tests that dune runs.
        let again = stanza.action.is_none() && cases.iter().any(|case| case.name == name);
        if !stanza.test || !is_wanted || again || (stanza.action.is_some() && !made) {
            continue;
        }
        let run = run_options(workspace, &stanza)?;
        for form in [Form::Process, Form::Image] {
            if options.form.is_some_and(|wanted| wanted != form) {
                continue;
            }
            let work = match &stanza.action {
                None => Work::Dune(stanza.folder.clone()),
                Some(action) => Work::Program(program(workspace, &stanza, action, form, &run)),
            };
            cases.push(Case {
                name: name.clone(),
                form,
                enabled: stanza.enabled(form),
                work,
            });
        }
    }
    Ok(cases)
}

fn program(
    workspace: &Workspace,
    stanza: &Stanza,
    action: &Action,
    form: Form,
    options: &Options,
) -> Program {
    let source = workspace.root().join(&stanza.folder);
    let beside = source.join(format!("{}.expected", stanza.name));
    let expected = match &action.expected {
        Some(file) => Some(source.join(file)),
        // Dune compares the output of a test without an action by the same rule.
        None => Some(beside).filter(|file| action.arguments.is_empty() && file.is_file()),
    };
    Program {
        executable: workspace.executable(stanza, form),
        folder: workspace.folder(stanza, form),
        arguments: action.arguments.clone(),
        expected,
        options: options.clone(),
    }
}

/// Reads the options in `NAME.run`, if it exists: words as in a shell; `#` begins a comment.
fn run_options(workspace: &Workspace, stanza: &Stanza) -> Result<Options, Failure> {
    let folder = workspace.root().join(&stanza.folder);
    let path = folder.join(format!("{}.run", stanza.name));
    let text = project::text_of(&path)?;
    text.map_or(Ok(Options::default()), |text| parse(&path, &text))
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

/// Runs the tests in parallel and prints each as it ends. Returns the reports in the order of
/// `cases`.
fn all(workspace: &Workspace, cases: &[Case], options: &Testing) -> Result<Vec<Report>, Failure> {
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
            let report = match &case.work {
                Work::Program(program) => one(case, program, options)?,
                Work::Dune(folder) => {
                    // One dune at a time: it locks the build folder.
                    let _turn = turn::wait(&workspace.build_folder());
                    by_dune(workspace, case, folder, options)?
                }
            };
            bar.inc(1);
            if !options.json {
                show(&bar, &report)?;
            }
            if let Ok(mut reports) = reports.lock() {
                reports.push((number, report));
            }
        }
    };
    // A child is killed when the thread that started it ends, so each thread waits for its child.
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

/// Prints one line for a test, and the output if it failed.
fn show(bar: &ProgressBar, report: &Report) -> Result<(), Failure> {
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
        let (test, form) = (&report.test, &report.form);
        let mut text = format!("{style}{word}{style:#}  {test} ({form}){why}\n");
        if !matches!(report.outcome, Outcome::Passed | Outcome::Skipped) {
            for line in report.output.lines() {
                text.push_str(&format!("      {line}\n"));
            }
        }
        print_styled(&text)
    })
}

/// Returns the report of a test that hasn't run.
fn skipped(case: &Case, reason: Option<String>) -> Report {
    Report {
        test: case.name.clone(),
        form: value_name(&case.form),
        outcome: Outcome::Skipped,
        status: None,
        seconds: 0.0,
        output: String::new(),
        reason,
    }
}

const EXCLUDED: &str = "its dune file excludes this form";

/// Runs one test.
fn one(case: &Case, program: &Program, options: &Testing) -> Result<Report, Failure> {
    if !case.enabled || !program.executable.exists() {
        return Ok(skipped(case, Some(EXCLUDED.to_owned())));
    }
    if let Err(failure) = program::inspect(&program.executable) {
        return Ok(skipped(case, Some(failure.to_string())));
    }
    let mut report = skipped(case, None);
    let scratch = tempfile::tempdir().on(std::env::temp_dir())?;
    let words = words(program, scratch.path())?;
    let output = complete(soil_run(program, options, &words)?, &mut report)?;
    if let (Outcome::Passed, Some(expected)) = (report.outcome, &program.expected) {
        let wanted = std::fs::read_to_string(expected).on(expected)?;
        report.reason = difference(&wanted, &output).map(|difference| {
            let file = expected.file_name().unwrap_or_default();
            format!("its output isn't that of {}: {difference}", file.display())
        });
        if report.reason.is_some() {
            report.outcome = Outcome::Failed;
        }
    }
    Ok(report)
}

/// Returns the first line that differs from the expected output.
fn difference(expected: &str, output: &str) -> Option<String> {
    let (mut wanted, mut printed) = (expected.split('\n'), output.split('\n'));
    for number in 1.. {
        let (wanted, printed) = match (wanted.next(), printed.next()) {
            (None, None) => return None,
            (wanted, printed) if wanted == printed => continue,
            (wanted, printed) => (wanted.unwrap_or(""), printed.unwrap_or("")),
        };
        return Some(format!(
            "line {number} is {printed:?} in place of {wanted:?}"
        ));
    }
    None
}

/// Runs the command to its end, writes the outcome to the report, and returns the standard output.
fn complete(mut command: std::process::Command, report: &mut Report) -> Result<String, Failure> {
    let subject = "the output of a test";
    let output = tempfile::tempfile().on(subject)?;
    let errors = tempfile::tempfile().on(subject)?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone().on(subject)?)
        .stderr(errors.try_clone().on(subject)?);
    let began = Instant::now();
    let status = command.status();
    let status = status.map_err(|error| Failure::on(command.get_program(), error))?;
    let text = |mut file: File| -> Result<String, Failure> {
        file.rewind().on(subject)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).on(subject)?;
        Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
    };
    let output = text(output)?;
    report.seconds = began.elapsed().as_secs_f64();
    report.status = status.code();
    report.outcome = Outcome::of(report.status);
    report.output = output.clone() + &text(errors)?;
    Ok(output)
}

/// Runs the tests of a folder that only dune can run. Dune has no time limit, so this runs it
/// under `timeout`(1).
fn by_dune(
    workspace: &Workspace,
    case: &Case,
    folder: &Path,
    options: &Testing,
) -> Result<Report, Failure> {
    if case.form == Form::Image {
        let reason = "cram tests and actions of their own run as processes only";
        return Ok(skipped(case, Some(reason.to_owned())));
    }
    if !case.enabled {
        return Ok(skipped(case, Some(EXCLUDED.to_owned())));
    }
    let mut report = skipped(case, None);
    let alias = Path::new("_build/default").join(folder).join("runtest");
    let dune = workspace.dune(options.release);
    let mut command = std::process::Command::new("timeout");
    command
        .arg("--foreground")
        .arg(options.timeout.as_secs_f64().to_string())
        .arg(dune.get_program())
        .args(dune.get_args())
        .arg(format!("@@{}", alias.display()))
        // Three signals within a second make dune exit at once and leave its children running: one
        // Ctrl-C would reach it from the terminal, from `timeout`, and at our end.
        .process_group(0);
    terminated_at_our_end(&mut command);
    complete(command, &mut report)?;
    Ok(report)
}

/// Returns the `soil run` command for a test's program.
fn soil_run(
    program: &Program,
    options: &Testing,
    words: &[String],
) -> Result<std::process::Command, Failure> {
    let soil = std::env::current_exe().on("soil")?;
    let mut command = std::process::Command::new(soil);
    command.arg("run").arg(&program.executable);
    if !program.options.network {
        command.args(["--net", "none"]);
    }
    if !program.options.limit {
        command.arg("--timeout");
        command.arg(options.timeout.as_secs_f64().to_string());
    }
    command.args(words).current_dir(&program.folder);
    dies_with_us(&mut command);
    Ok(command)
}

/// Returns the words after the program: the options, with copies of its disks, and the arguments.
fn words(program: &Program, scratch: &Path) -> Result<Vec<String>, Failure> {
    let mut words = copied_disks(&program.options, &program.folder, scratch)?;
    if !program.arguments.is_empty() {
        let end = words.iter().position(|word| word == "--");
        let own = end.map(|end| words.split_off(end + 1));
        if end.is_none() {
            words.push("--".to_owned());
        }
        words.extend(program.arguments.iter().cloned());
        words.extend(own.unwrap_or_default());
    }
    Ok(words)
}

/// Returns the options with each writable disk replaced by a copy in `scratch`.
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

#[cfg(test)]
mod tests {
    use super::{Program, copied_disks, difference, parse, words};
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
    fn arguments_of_an_action_come_before_those_of_the_file() {
        let program = |text: &str, arguments: &[&str]| Program {
            executable: "t.exe".into(),
            folder: ".".into(),
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            expected: None,
            options: parse(Path::new("t.run"), text).expect("valid"),
        };
        let found = |text, arguments: &[&str]| {
            words(&program(text, arguments), Path::new("/none")).expect("no disks")
        };
        assert_eq!(
            found("--mem 8M -- c", &["a", "--b"]),
            ["--mem", "8M", "--", "a", "--b", "c"]
        );
        assert_eq!(found("--mem 8M", &["a"]), ["--mem", "8M", "--", "a"]);
        assert_eq!(found("--mem 8M", &[]), ["--mem", "8M"]);
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let said = difference("a\nb\n", "a\nc\n").expect("they differ");
        assert_eq!(said, "line 2 is \"c\" in place of \"b\"");
        let said = difference("a\n", "a\nmore\n").expect("they differ");
        assert_eq!(said, "line 2 is \"more\" in place of \"\"");
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

//! `soil simulate`: runs a test of the library `soil-sim` with many seeds, shrinks its failures,
//! and draws, debugs or bisects one run.
//!
//! The test runs whole programs in virtual time, with faults that its seed draws. This command and
//! the test agree on variables and on the report ([`execution`], [`report`]), which
//! docs/simulation.md describes.

mod bisect;
mod campaign;
mod coverage;
mod drawing;
mod events;
mod execution;
mod page;
mod report;
mod shrink;
mod summary;
mod workers;

pub use drawing::escaped;

use crate::cli::simulate::{Instant as Virtual, Simulate};
use crate::failure::{Context as _, Failure};
use crate::json;
use crate::messages::{print, print_error, print_styled, say};
use crate::options::given;
use crate::progress;
use campaign::{Group, Plan, Results};
use execution::{Case, Test};
use report::{Report, Verdict};
use shrink::{End, Found};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_default};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
use summary::{Failed, Summary};

/// The kinds of failures that are shrunk; the first ones.
const MAX_SHRUNK: usize = 10;
/// The time for shrinking, of all failures together.
const SHRINK_TIME: Duration = Duration::from_mins(1);

/// Does what the options say. Returns whether nothing failed.
pub fn run(options: &Simulate) -> Result<bool, Failure> {
    let test = Test::new(&options.test, given(&options.variables), options.limit)?;
    let Some(seed) = options.seed else {
        return all(&test, options);
    };
    let case = Case {
        seed,
        faults: options.faults.clone(),
        operations: options.operations,
        until: options.until,
    };
    if let (Some(node), Some(at)) = (&options.gdb, options.at) {
        return debug(&test, &case, node, at);
    }
    if let Some(good) = &options.bisect {
        print(&bisect::run(&test, &case, good, &options.targets)?)?;
        return Ok(true);
    }
    stop_at_signals(&test.stopped)?;
    let began = Instant::now();
    let ended = progress::during("the seed runs", || campaign::checked(&test, &case, true))?;
    if ended.is_stopped {
        return Err(Failure::new("interrupted before the run ended"));
    }
    let mut results = Results {
        is_part: case != Case::of(seed),
        ..Results::default()
    };
    let first = ended.report.clone();
    results.add(ended);
    let is_shrunk = options.shrink_time.is_some();
    let (failures, were_shrunk) = shrunk(&test, options, &results, &case, is_shrunk, 1);
    let passed = finish(options, &mut results, failures, began, &test)?;
    were_shrunk?;
    if let Some(file) = &options.trace {
        say(&draw(&test, &case, file, options.events, &first)?);
    }
    Ok(passed)
}

/// Stops runs when a signal requests an end, so that the results so far are printed. A second
/// signal ends the command at once.
fn stop_at_signals(stopped: &Arc<AtomicBool>) -> Result<(), Failure> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        register_conditional_default(signal, Arc::clone(stopped))
            .and_then(|_| register(signal, Arc::clone(stopped)))
            .map_err(|error| Failure::new(format!("signals can't be handled: {error}")))?;
    }
    Ok(())
}

/// Runs all seeds and shrinks the failures.
fn all(test: &Test, options: &Simulate) -> Result<bool, Failure> {
    stop_at_signals(&test.stopped)?;
    let began = Instant::now();
    let processors = available_parallelism().map_or(1, usize::from);
    let seeds = options.seeds;
    let count = (seeds.last - seeds.first).saturating_add(1);
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let plan = Plan {
        first: seeds.first,
        count: options.duration.is_none().then_some(count),
        duration: options.duration,
        jobs: match options.jobs.unwrap_or(processors) {
            jobs if options.duration.is_none() => jobs.min(most),
            jobs => jobs,
        },
        twice: options.check_determinism,
    };
    let (mut results, ran) = campaign::run(test, plan);
    if results.seeds == 0 {
        return ran.and(Err(Failure::new("interrupted before a seed ended")));
    }
    let whole = Case::default();
    let is_shrunk = !options.no_shrink;
    let (failures, were_shrunk) = shrunk(test, options, &results, &whole, is_shrunk, plan.jobs);
    // An error doesn't take the results before it away.
    let passed = finish(options, &mut results, failures, began, test);
    ran.and(were_shrunk).and(passed)
}

/// Shrinks the first failure of each kind, several side by side, if `is_shrunk`. They begin as runs
/// of `case` with other seeds. After an error or a request to stop failures stay as they were
/// found.
fn shrunk(
    test: &Test,
    options: &Simulate,
    results: &Results,
    case: &Case,
    is_shrunk: bool,
    jobs: usize,
) -> (Vec<Failed>, Result<(), Failure>) {
    let mut groups: Vec<&Group> = results.groups.values().collect();
    groups.sort_by_key(|group| group.report.seed);
    let command = command(options);
    let found = |group: &Group| Found {
        case: Case {
            seed: group.report.seed,
            ..case.clone()
        },
        report: group.report.clone(),
    };
    let can_shrink = |(number, group): (usize, &&Group)| {
        is_shrunk && number < MAX_SHRUNK && group.report.can_shrink()
    };
    let count = groups
        .iter()
        .enumerate()
        .filter(|it| can_shrink(*it))
        .count();
    if count > 0 && !test.is_stopped() {
        // Shrinking may be killed.
        for group in groups.iter().take(MAX_SHRUNK) {
            let Found { case, report } = found(group);
            let text = Failed::new(&case, report, group, &command).text(results.seeds);
            print_error(&anstream::adapter::strip_str(&text).to_string());
        }
    }
    let time = options.shrink_time.unwrap_or(SHRINK_TIME);
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let failures: Mutex<Vec<Failed>> = Mutex::default();
    let work = || -> Result<(), Failure> {
        let mut ended = Ok(());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = groups.get(number) else {
                return ended;
            };
            let found = found(group);
            let mut failed = Failed::new(&found.case, found.report.clone(), group, &command);
            if can_shrink((number, group)) && ended.is_ok() {
                // Each kind has an equal part of the time that is left.
                let rounds = groups
                    .len()
                    .min(MAX_SHRUNK)
                    .saturating_sub(number)
                    .div_ceil(jobs);
                let left = time.saturating_sub(began.elapsed());
                let part = left / u32::try_from(rounds.max(1)).unwrap_or(u32::MAX);
                let timed = test.until(Instant::now().checked_add(part));
                let (found, end) = smaller(&timed, found, options.shrink_runs);
                failed = Failed::new(&found.case, found.report, group, &command);
                match end {
                    End::Complete => {}
                    End::Runs => failed.resume(time, Some(options.shrink_runs.saturating_mul(2))),
                    End::Stopped if test.is_stopped() => failed.resume(time, None),
                    End::Stopped => failed.resume(time.saturating_mul(2), None),
                    End::Error(error) => ended = Err(error),
                }
            }
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push(failed);
        }
    };
    let ended = workers::run(jobs, work);
    let failures = failures.into_inner();
    (failures.unwrap_or_else(PoisonError::into_inner), ended)
}

/// Shrinks a failure, with its progress.
fn smaller(test: &Test, found: Found, limit: usize) -> (Found, End) {
    let seed = found.case.seed;
    let line = progress::Line::new(&format!("shrinking seed {seed}"));
    let mut runs = 0;
    let run = |case: &Case, best: &Found| {
        runs += 1;
        let faults = best.report.faults.len();
        let operations = best.report.operations;
        line.set(format!(
            "shrinking seed {seed}: run {runs} of at most {limit}; {faults} faults and {operations} \
            operations of a client so far"
        ));
        if test.is_stopped() {
            return Ok(None);
        }
        let ended = test.run(case, None)?;
        Ok((!ended.is_stopped).then_some(ended.report))
    };
    shrink::shrink(found, limit, run)
}

/// Prints the summary, and then writes the hashes. Returns whether nothing failed.
fn finish(
    options: &Simulate,
    results: &mut Results,
    failures: Vec<Failed>,
    began: Instant,
    test: &Test,
) -> Result<bool, Failure> {
    results.is_interrupted = test.is_stopped();
    let summary = Summary::new(results, failures, began.elapsed());
    match options.json {
        true => json::print(&summary)?,
        false => print_styled(&summary.text())?,
    }
    if let Some(file) = &options.hashes {
        let lines = results.hashes.iter();
        let text: String = lines
            .map(|(seed, hash)| format!("{seed} {hash}\n"))
            .collect();
        std::fs::write(file, text).on(file)?;
    }
    Ok(summary.passed())
}

/// The beginning of a command that repeats a run.
fn command(options: &Simulate) -> String {
    let program = shown(&options.test, std::env::var_os("INSIDE_DUNE").is_some());
    let mut words = vec!["soil".to_owned(), "simulate".to_owned(), program];
    for variable in &options.variables {
        words.push("--env".to_owned());
        words.push(match &variable.value {
            Some(value) => format!("{}={value}", variable.name),
            None => variable.name.clone(),
        });
    }
    if let Some(limit) = options.own_limit() {
        words.extend(["--limit".to_owned(), limit]);
    }
    let words = words.iter().map(String::as_str);
    shlex::try_join(words).unwrap_or_else(|_| "soil simulate".to_owned())
}

/// The test's file as its user would write it: dune runs this command inside of `_build`, where a
/// sandbox is a copy that lasts only for one action.
fn shown(program: &Path, is_inside_dune: bool) -> String {
    let absolute = std::path::absolute(program).unwrap_or_else(|_| program.to_owned());
    let parts: Vec<_> = absolute.iter().collect();
    let build = parts.iter().rposition(|part| *part == "_build");
    let path = match build.and_then(|build| parts.get(build..)) {
        Some([build, sandbox, _, rest @ ..]) if is_inside_dune && *sandbox == ".sandbox" => {
            Path::new(build).join(rest.iter().collect::<PathBuf>())
        }
        Some(parts) if is_inside_dune => parts.iter().collect(),
        _ => program.to_owned(),
    };
    path.display().to_string()
}

/// Stops a node in gdb. Ctrl-C is gdb's.
fn debug(test: &Test, case: &Case, node: &str, at: Virtual) -> Result<bool, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    register(SIGINT, interrupted)
        .map_err(|error| Failure::new(format!("signals can't be handled: {error}")))?;
    let report = test.debug(case, node, at)?;
    say(&format!("{}: {}", report.verdict, report.described()));
    Ok(report.kind().is_none())
}

/// Runs the case once more and draws its events. Returns a line about the file. Says if that run
/// isn't the same as the `first` one.
fn draw(
    test: &Test,
    case: &Case,
    file: &Path,
    limit: usize,
    first: &Report,
) -> Result<String, Failure> {
    let trace = tempfile::NamedTempFile::new().on(std::env::temp_dir())?;
    let drawn = progress::during("the seed runs again", || test.run(case, Some(trace.path())))?;
    let drawn = drawn.report;
    // The kind of two runs that differ is of neither.
    let is_one = first.verdict != Verdict::Nondeterministic;
    if drawn.hash != first.hash || is_one && drawn.kind() != first.kind() {
        let described = drawn.described();
        let line = described.lines().next().unwrap_or_default();
        let verdict = drawn.verdict;
        say(&format!("the run that is drawn differs: {verdict}: {line}"));
    }
    let text = std::fs::read(trace.path()).on(trace.path())?;
    let events = events::parse(&String::from_utf8_lossy(&text)).on(test.program())?;
    if events.is_empty() {
        return Err(Failure::on(test.program(), "the run wrote no events")
            .remedy("build the test with this version of Soil's libraries"));
    }
    let part = events::Part::before_failure(&events, limit);
    let title = format!("seed {}", case.seed);
    let picture = drawing::svg(&events, &part, &title);
    let text = match file.extension().is_some_and(|end| end == "html") {
        true => page::html(&picture, &events, &part, &title),
        false => picture,
    };
    std::fs::write(file, text).on(file)?;
    Ok(format!("{}: {}", file.display(), part.described()))
}

#[cfg(test)]
mod tests {
    use super::shown;
    use std::path::Path;

    #[test]
    fn inside_dune_the_test_is_named_from_the_workspace() {
        let program = Path::new("/home/a/project/_build/default/test/simulate.exe");
        assert_eq!(shown(program, true), "_build/default/test/simulate.exe");
        let hash = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
        let copy = format!("/home/a/project/_build/.sandbox/{hash}/default/test/simulate.exe");
        assert_eq!(
            shown(Path::new(&copy), true),
            "_build/default/test/simulate.exe"
        );
        assert_eq!(shown(Path::new("./test.exe"), false), "./test.exe");
        assert_eq!(shown(Path::new("./test.exe"), true), "./test.exe");
    }
}

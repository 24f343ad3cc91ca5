//! Runs of many seeds, side by side.

use super::coverage::Coverage;
use super::execution::{Case, Ended, Test};
use super::report::{Kind, Report, Verdict};
use super::workers;
use crate::cli::simulate::MAX_SEED;
use crate::failure::Failure;
use crate::progress;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The seeds that run twice in any case.
const ALWAYS_TWICE: u64 = 3;
/// The kinds of failures of which a report and an output are kept. Messages with words drawn from
/// the seed make each seed a kind of its own.
const MAX_KINDS: usize = 100;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first seed.
    pub first: u64,
    /// The number of seeds; `None`: until the time is over.
    pub count: Option<u64>,
    /// The time after which no further run begins.
    pub duration: Option<Duration>,
    /// Runs side by side.
    pub jobs: usize,
    /// Whether every seed runs twice.
    pub twice: bool,
}

/// The failures of one kind.
pub struct Group {
    /// The report of the lowest seed.
    pub report: Report,
    /// The end of its output.
    pub output: String,
    /// The seeds that failed, in ascending order at the end.
    pub seeds: Vec<u64>,
}

/// The results of the seeds so far.
#[derive(Default)]
pub struct Results {
    /// The number of seeds.
    pub seeds: u64,
    /// Whether an error kept further seeds from running.
    pub is_cut: bool,
    /// Whether a signal did so.
    pub is_interrupted: bool,
    /// Whether options cut the runs short.
    pub is_part: bool,
    /// The virtual time of all seeds.
    pub virtual_time: Duration,
    /// The events of all seeds.
    pub events: u64,
    /// The failures by kind.
    pub groups: BTreeMap<Kind, Group>,
    /// The number of seeds with failures of further kinds.
    pub others: usize,
    /// The coverage.
    pub coverage: Coverage,
    /// Seeds and the hashes of their runs, in ascending order at the end.
    pub hashes: Vec<(u64, String)>,
}

impl Results {
    /// Adds the run of a seed. Returns whether it is the first failure of a kind that is kept.
    pub fn add(&mut self, ended: Ended) -> bool {
        let Ended { report, output, .. } = ended;
        self.seeds += 1;
        self.virtual_time += Duration::from_nanos(report.virtual_ns);
        self.events = self.events.saturating_add(report.events);
        self.coverage.add(&report);
        self.hashes.push((report.seed, report.hash.clone()));
        let Some(kind) = report.kind() else {
            return false;
        };
        let seed = report.seed;
        let is_full = self.groups.len() >= MAX_KINDS;
        match self.groups.get_mut(&kind) {
            None if is_full => self.others += 1,
            None => {
                let seeds = vec![seed];
                let group = Group {
                    report,
                    output,
                    seeds,
                };
                self.groups.insert(kind, group);
                return true;
            }
            Some(group) => {
                group.seeds.push(seed);
                if seed < group.report.seed {
                    (group.report, group.output) = (report, output);
                }
            }
        }
        false
    }

    /// The number of seeds that failed.
    pub fn failures(&self) -> usize {
        let counts = self.groups.values().map(|group| group.seeds.len());
        counts.sum::<usize>() + self.others
    }
}

/// Runs a case, and again if `twice` says so or it fails. Two runs that differ are a failure, and
/// so is one that runs into the limit, unless the first has failed already.
pub fn checked(test: &Test, case: &Case, twice: bool) -> Result<Ended, Failure> {
    let mut ended = test.run(case, None)?;
    let report = &ended.report;
    let is_checked = report.verdict == Verdict::Nondeterministic || ended.is_killed;
    let has_failed = report.kind().is_some() && !report.hash.is_empty();
    if !is_checked && (twice || has_failed) {
        let mut again = test.run(case, None)?;
        if again.is_stopped {
            return Ok(ended);
        }
        // A busy machine can slow down one of two runs that are the same.
        if again.is_killed {
            if report.kind().is_some() {
                return Ok(ended);
            }
            again.report.hash = ended.report.hash;
            return Ok(again);
        }
        let again = again.report;
        if again.hash != report.hash || again.kind() != report.kind() {
            ended.report = different(report, &again);
        }
    }
    Ok(ended)
}

/// The report about two runs that differ.
fn different(first: &Report, second: &Report) -> Report {
    let line = |report: &Report| {
        let described = match report.kind() {
            None => String::new(),
            Some(_) => format!(": {}", report.described()),
        };
        let first = described.lines().next().unwrap_or_default().to_owned();
        let Report { hash, verdict, .. } = report;
        format!("hash {hash}, {verdict}{first}")
    };
    Report {
        verdict: Verdict::Nondeterministic,
        check: String::new(),
        message: format!(
            "two runs of the same seed differ\nthe first: {}\nthe second: {}",
            line(first),
            line(second)
        ),
        ..first.clone()
    }
}

/// Runs the seeds. A new kind of failure is said at once. Returns the results up to an error or a
/// request to stop, too.
pub fn run(test: &Test, plan: Plan) -> (Results, Result<(), Failure>) {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let shared = Mutex::new((Results::default(), Progress::new(plan, began)));
    let work = || -> Result<(), Failure> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            // A run that tests nothing wouldn't have passed.
            let is_late = || plan.duration.is_some_and(|time| began.elapsed() >= time);
            let is_last =
                plan.count.is_some_and(|count| number >= count) || number > 0 && is_late();
            let seed = plan.first.checked_add(number).filter(|_| !is_last);
            let seed = seed.filter(|seed| *seed <= MAX_SEED);
            let has_ended = is_over.load(Ordering::Relaxed) || test.is_stopped();
            let Some(seed) = seed.filter(|_| !has_ended) else {
                return Ok(());
            };
            let ended = checked(test, &Case::of(seed), plan.twice || number < ALWAYS_TWICE);
            let ended = ended.inspect_err(|_| is_over.store(true, Ordering::Relaxed))?;
            if ended.is_stopped {
                return Ok(());
            }
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let (results, progress) = &mut *shared;
            let described = ended.report.described();
            if results.add(ended)
                && let Some(line) = described.lines().next()
            {
                progress.line.note(&format!("seed {seed}: {line}"));
            }
            progress.show(results);
        }
    };
    let ended = workers::run(plan.jobs, work);
    let (mut results, progress) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    drop(progress);
    results.is_cut = ended.is_err();
    results.hashes.sort_unstable();
    for group in results.groups.values_mut() {
        group.seeds.sort_unstable();
    }
    (results, ended)
}

/// The progress of a campaign.
struct Progress {
    line: progress::Line,
    total: Option<u64>,
    began: Instant,
}

impl Progress {
    fn new(plan: Plan, began: Instant) -> Self {
        Self {
            line: progress::Line::new("the first seeds run"),
            total: plan.count,
            began,
        }
    }

    fn show(&self, results: &Results) {
        let seeds = results.seeds;
        let of = self
            .total
            .map_or_else(String::new, |total| format!(" of {total}"));
        let rate = rate(seeds, self.began.elapsed());
        let time = shown(results.virtual_time);
        let failures = results.failures();
        self.line.set(format!(
            "{seeds}{of} seeds, {rate}, {time} of virtual time, {failures} failed"
        ));
    }
}

/// Seeds a second, as text.
fn rate(seeds: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let seeds = u32::try_from(seeds).unwrap_or(u32::MAX);
    format!("{:.1} a second", f64::from(seeds) / seconds)
}

/// A duration as text, such as "2 h 3 min" or "4.2 s".
pub fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{:.1} s", time.as_secs_f64()),
        (0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, Results, different, shown};
    use crate::simulate::report::{Report, Verdict};
    use std::time::Duration;

    fn failed(seed: u64, message: &str) -> Ended {
        let report = Report::error(seed, message.to_owned());
        let output = format!("output of {seed}");
        Ended {
            report,
            output,
            is_killed: false,
            is_stopped: false,
        }
    }

    #[test]
    fn the_first_of_each_kind_is_kept() {
        let mut results = Results::default();
        for (seed, message) in [(5, "term 3"), (4, "crash"), (2, "term 17"), (9, "term 1")] {
            results.add(failed(seed, message));
        }
        assert_eq!(
            (results.seeds, results.failures(), results.groups.len()),
            (4, 4, 2)
        );
        let group = results.groups.values().find(|group| group.seeds.len() == 3);
        let group = group.expect("of three");
        assert_eq!(
            (group.report.seed, group.output.as_str()),
            (2, "output of 2")
        );
        assert_eq!(group.report.message, "term 17");
    }

    #[test]
    fn kinds_beyond_a_hundred_are_counted() {
        let mut results = Results::default();
        for seed in 0..150 {
            let word = "x".repeat(usize::try_from(seed).expect("small"));
            assert_eq!(results.add(failed(seed, &word)), seed < 100);
        }
        results.add(failed(200, "xx"));
        let kept = results.groups.len();
        assert_eq!((kept, results.others, results.failures()), (100, 50, 151));
    }

    #[test]
    fn runs_that_differ_are_one_kind_of_failure() {
        let run = |hash: &str, verdict| {
            let mut report = Report::error(1, "a".to_owned());
            (report.hash, report.verdict) = (hash.to_owned(), verdict);
            report
        };
        let one = different(&run("9f", Verdict::Passed), &run("a0", Verdict::Failed));
        assert_eq!(
            one.message,
            "two runs of the same seed differ\nthe first: hash 9f, passed\nthe second: hash a0, \
             failed: a"
        );
        let other = different(&run("b1", Verdict::Failed), &run("c2", Verdict::Failed));
        assert_eq!(one.kind(), other.kind());
    }

    #[test]
    fn times_are_written_in_two_units() {
        for (seconds, text) in [(4.21, "4.2 s"), (61.0, "1 min 1 s"), (7380.0, "2 h 3 min")] {
            assert_eq!(shown(Duration::from_secs_f64(seconds)), text);
        }
    }
}

//! The summary at the end, as text and as JSON.

use super::campaign::{Group, Results, shown};
use super::coverage::{Exercised, Operations};
use super::execution::Case;
use super::report::{Fault, Report, Verdict, described, seconds};
use crate::cli::simulate::{Faults, Instant};
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The lines of a message, and of an output, that are printed.
const MAX_LINES: usize = 30;
/// The faults that are printed of a failure.
const MAX_FAULTS: usize = 30;
/// The seeds of a kind of failure that JSON lists.
const MAX_SEEDS: usize = 100;

/// A kind of failure.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    verdict: Verdict,
    check: String,
    message: String,
    /// The number of seeds that failed in this way.
    count: usize,
    first_seed: u64,
    /// The first of them.
    seeds: Vec<u64>,
    faults: Vec<Fault>,
    /// The command that repeats the failure.
    command: String,
    /// The command that goes on to shrink it; empty if it needs none.
    resume: String,
    /// The end of the test's output.
    output: String,
}

/// The results of all seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    seeds: u64,
    seconds: f64,
    virtual_seconds: f64,
    events: u64,
    failures: Vec<Failed>,
    /// The number of seeds with failures of further kinds.
    other_failures: usize,
    faults: BTreeMap<String, Exercised>,
    sometimes: BTreeMap<String, u64>,
    /// The faults and situations that occurred in no seed, which is a failure.
    never_exercised: Vec<String>,
    /// The operations of all clients; `null` without any.
    operations: Option<Operations>,
    /// The reason if all faults came too late to have an effect, which is a failure.
    untested: Option<String>,
    /// Whether a signal ended the command early.
    interrupted: bool,
    passed: bool,
    #[serde(skip)]
    table: String,
}

impl Failed {
    /// A kind of failure, of which `case` is the smallest run and `report` its report. `command`
    /// begins the command that repeats it.
    pub fn new(case: &Case, report: Report, group: &Group, command: &str) -> Self {
        let seeds = &group.seeds;
        Self {
            verdict: report.verdict,
            check: report.check,
            message: report.message,
            count: seeds.len(),
            first_seed: case.seed,
            seeds: seeds.iter().take(MAX_SEEDS).copied().collect(),
            faults: report.faults,
            command: repeated(command, case),
            resume: String::new(),
            output: group.output.clone(),
        }
    }

    /// Says that shrinking ended early, and with which limits it goes on.
    pub fn resume(&mut self, time: Duration, runs: Option<usize>) {
        self.resume = format!("{} --shrink-time {}s", self.command, time.as_secs_f64());
        if let Some(runs) = runs {
            self.resume.push_str(&format!(" --shrink-runs {runs}"));
        }
    }

    /// The failure for people, with styles. The number of all seeds is `seeds`.
    pub fn text(&self, seeds: u64) -> String {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
        let word = self.verdict.to_string().to_uppercase();
        let described = described(&self.check, &self.message);
        let mut lines = described.lines();
        let first = lines.next().unwrap_or_default();
        let counted = match seeds {
            1 => format!("   (seed {})", self.first_seed),
            _ => format!(
                "   ({} of {seeds} seeds, first {})",
                self.count, self.first_seed
            ),
        };
        let mut text = format!("{red}{word}{red:#} {first}{counted}\n");
        text.push_str(&indented(lines, MAX_LINES));
        let mut faults: Vec<String> = self.faults.iter().map(fault).collect();
        if self.faults.is_empty() && self.verdict != Verdict::Error {
            faults.push("no faults".to_owned());
        }
        text.push_str(&indented(faults.iter().map(String::as_str), MAX_FAULTS));
        if self.verdict == Verdict::Error && !self.output.is_empty() {
            let lines: Vec<&str> = self.output.lines().collect();
            let first = lines.len().saturating_sub(MAX_LINES);
            let last = lines.get(first..).unwrap_or_default();
            text.push_str(&indented(last.iter().copied(), MAX_LINES));
        }
        text.push_str(&format!("  {}\n", self.command));
        if !self.resume.is_empty() {
            text.push_str(&format!(
                "  not shrunk to the end; to go on: {}\n",
                self.resume
            ));
        }
        text
    }
}

fn fault(fault: &Fault) -> String {
    let what = match fault.what.as_str() {
        "" => String::new(),
        what => format!(" {what}"),
    };
    format!("{}{what} at {}", fault.name, seconds(fault.at))
}

/// At most `limit` lines, indented by two spaces.
fn indented<'a>(lines: impl Iterator<Item = &'a str>, limit: usize) -> String {
    let mut text = String::new();
    let mut left_out = 0;
    for (index, line) in lines.enumerate() {
        match index < limit {
            true => text.push_str(&format!("  {line}\n")),
            false => left_out += 1,
        }
    }
    if left_out > 0 {
        text.push_str(&format!("  … and {left_out} more\n"));
    }
    text
}

/// The command that repeats a case.
fn repeated(command: &str, case: &Case) -> String {
    let mut text = format!("{command} --seed {}", case.seed);
    if let Some(faults) = &case.faults {
        let faults = match faults {
            Faults(ids) if ids.is_empty() => "none".to_owned(),
            faults => faults.to_string(),
        };
        text.push_str(&format!(" --faults {faults}"));
    }
    if let Some(operations) = case.operations {
        text.push_str(&format!(" --operations {operations}"));
    }
    if let Some(Instant(ns)) = case.until {
        text.push_str(&format!(" --until {}", Instant(ns)));
    }
    text
}

impl Summary {
    /// The summary of these results, with the failures in the order of their first seeds.
    pub fn new(results: &Results, mut failures: Vec<Failed>, elapsed: Duration) -> Self {
        failures.sort_by_key(|failed| failed.first_seed);
        let never_exercised = results.coverage.never();
        let operations = results.coverage.operations;
        let untested = operations.filter(|_| !results.is_part);
        let untested = untested.and_then(|operations| operations.untested());
        Self {
            seeds: results.seeds,
            seconds: elapsed.as_secs_f64(),
            virtual_seconds: results.virtual_time.as_secs_f64(),
            events: results.events,
            passed: failures.is_empty()
                && never_exercised.is_empty()
                && untested.is_none()
                && !results.is_cut
                && !results.is_interrupted,
            failures,
            other_failures: results.others,
            faults: results.coverage.faults.clone(),
            sometimes: results.coverage.sometimes.clone(),
            never_exercised,
            operations,
            untested,
            interrupted: results.is_interrupted,
            table: results.coverage.table(),
        }
    }

    /// Whether nothing failed.
    pub const fn passed(&self) -> bool {
        self.passed
    }

    /// The text for people, with styles.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for failed in &self.failures {
            text.push_str(&failed.text(self.seeds));
        }
        if self.other_failures > 0 {
            let count = self.other_failures;
            text.push_str(&format!("… and {count} more that failed in other ways\n"));
        }
        if self.seeds > 1 {
            text.push_str(&self.table);
        }
        if let Some(operations) = self.operations {
            text.push_str(&operations.line());
        }
        let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
        for name in &self.never_exercised {
            text.push_str(&format!("{red}FAILED{red:#} never exercised: {name}\n"));
        }
        if let Some(reason) = &self.untested {
            text.push_str(&format!("{red}FAILED{red:#} {reason}\n"));
        }
        let counts = self.failures.iter().map(|failed| failed.count);
        let failed = counts.sum::<usize>() + self.other_failures;
        let (seeds, events) = (self.seeds, self.events);
        let time = shown(Duration::from_secs_f64(self.virtual_seconds));
        let real = shown(Duration::from_secs_f64(self.seconds));
        let mut ended = match failed {
            0 if self.passed => "all passed".to_owned(),
            0 => "none failed".to_owned(),
            failed => format!("{failed} failed"),
        };
        if !self.never_exercised.is_empty() {
            ended.push_str(&format!(", {} never exercised", self.never_exercised.len()));
        }
        if self.untested.is_some() {
            ended.push_str(", nothing tested");
        }
        if self.interrupted {
            ended.push_str(", interrupted");
        }
        let noun = if seeds == 1 { "seed" } else { "seeds" };
        text + &format!(
            "{seeds} {noun}, {ended}: {time} of virtual time and {events} events in {real}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Failed, Summary, repeated};
    use crate::cli::simulate::{Faults, Instant};
    use crate::simulate::campaign::{Group, Results};
    use crate::simulate::execution::Case;
    use crate::simulate::report::{Fault, Report, Verdict};
    use std::time::Duration;

    #[test]
    fn a_failure_names_its_faults_and_the_command_that_repeats_it() {
        let case = Case {
            seed: 41,
            faults: Some(Faults(vec![3, 7])),
            operations: Some(2),
            until: Some(Instant(4_200_000_000)),
        };
        let mut report = Report::error(41, "db0 and db2 lead\nsince then".to_owned());
        report.verdict = Verdict::Failed;
        "one leader".clone_into(&mut report.check);
        let fault = |id, name: &str, what: &str, at| Fault {
            id,
            name: name.to_owned(),
            what: what.to_owned(),
            at,
        };
        report.faults = vec![
            fault(3, "partition", "db0 | db1 db2", 1_200_000_000),
            fault(7, "kill", "db1", 2_513_400_000),
        ];
        let group = Group {
            report: report.clone(),
            output: "unseen".to_owned(),
            seeds: vec![41, 57],
        };
        let mut failed = Failed::new(&case, report, &group, "soil simulate test.exe");
        failed.resume(Duration::from_secs(120), Some(400));
        let results = Results {
            seeds: 1000,
            others: 3,
            ..Results::default()
        };
        let summary = Summary::new(&results, vec![failed], Duration::from_secs(61));
        let text = anstream::adapter::strip_str(&summary.text()).to_string();
        assert_eq!(
            text,
            "FAILED one leader: db0 and db2 lead   (2 of 1000 seeds, first 41)\n  \
               since then\n  \
               partition db0 | db1 db2 at 1.200 s\n  \
               kill db1 at 2.513 s\n  \
               soil simulate test.exe --seed 41 --faults 3,7 --operations 2 --until 4.2\n  \
               not shrunk to the end; to go on: soil simulate test.exe --seed 41 --faults 3,7 \
             --operations 2 --until 4.2 --shrink-time 120s --shrink-runs 400\n\
             … and 3 more that failed in other ways\n\
             1000 seeds, 5 failed: 0.0 s of virtual time and 0 events in 1 min 1 s\n"
        );
        assert!(!summary.passed());
        let none = Case {
            faults: Some(Faults::default()),
            ..Case::of(3)
        };
        assert_eq!(repeated("soil", &none), "soil --seed 3 --faults none");
    }
}

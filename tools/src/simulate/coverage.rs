//! The faults that the seeds exercised, and the situations that they reached.

use super::report::{Report, Verdict, Workload, seconds};
use serde::Serialize;
use std::collections::BTreeMap;

/// The seeds below which a fault or situation that never occurred is no failure.
const ENOUGH: u64 = 20;

/// How a kind of fault was exercised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exercised {
    /// The number of seeds with at least one.
    pub seeds: u64,
    /// The number of faults of this kind in all seeds.
    pub times: u64,
}

/// The operations of all seeds, and the faults in seeds with operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Operations {
    /// Those that began.
    pub count: u64,
    /// Those that ended with a result.
    pub returned: u64,
    /// The earliest time of a seed's last operation: virtual nanoseconds.
    pub earliest_end: u64,
    /// The latest one.
    pub latest_end: u64,
    /// The faults that struck.
    pub faults: u64,
    /// Those of them that struck after the last operation of their seed.
    pub late_faults: u64,
}

impl Operations {
    fn of(run: Workload) -> Self {
        Self {
            count: run.operations,
            returned: run.returned,
            earliest_end: run.last,
            latest_end: run.last,
            faults: run.faults,
            late_faults: run.late,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            returned: self.returned.saturating_add(other.returned),
            earliest_end: self.earliest_end.min(other.earliest_end),
            latest_end: self.latest_end.max(other.latest_end),
            faults: self.faults.saturating_add(other.faults),
            late_faults: self.late_faults.saturating_add(other.late_faults),
        }
    }

    /// The times of the last operations, as text.
    fn ends(&self) -> String {
        let (earliest, latest) = (seconds(self.earliest_end), seconds(self.latest_end));
        match earliest == latest {
            true => latest,
            false => format!("{earliest} to {latest}"),
        }
    }

    /// One line about them.
    pub fn line(&self) -> String {
        let Self {
            count, returned, ..
        } = self;
        let (faults, late) = (self.faults, self.late_faults);
        let share = late.saturating_mul(100).checked_div(faults);
        let share = share.map_or_else(String::new, |share| format!(" ({share} %)"));
        let ends = self.ends();
        format!(
            "{count} operations, {returned} with a result, the last at {ends}; {late} of {faults} \
            faults{share} struck after it\n"
        )
    }

    /// The reason and the remedy if no fault struck while clients were active.
    pub fn untested(&self) -> Option<String> {
        let is_untested = self.faults > 0 && self.late_faults == self.faults;
        is_untested.then(|| {
            format!(
                "nothing tested: all {} faults struck after the last operation, which was at {}: \
                leave ~operations of Soil_sim.workload out, so that clients go on until the calm \
                part, or increase it",
                self.faults,
                self.ends()
            )
        })
    }
}

/// The coverage of all seeds that ran to a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The number of these seeds.
    pub seeds: u64,
    /// The number of seeds without any fault.
    pub calm: u64,
    /// Each kind of fault.
    pub faults: BTreeMap<String, Exercised>,
    /// The number of seeds in which each `sometimes` held.
    pub sometimes: BTreeMap<String, u64>,
    /// The operations; `None` without any.
    pub operations: Option<Operations>,
}

impl Coverage {
    /// Adds a run of a seed.
    pub fn add(&mut self, report: &Report) {
        if report.verdict == Verdict::Error {
            return;
        }
        self.seeds += 1;
        self.calm += u64::from(report.covered.values().all(|times| *times == 0));
        for (name, times) in &report.covered {
            let fault = self.faults.entry(name.clone()).or_default();
            fault.seeds += u64::from(*times > 0);
            fault.times = fault.times.saturating_add(*times);
        }
        for (name, times) in &report.sometimes {
            let seeds = self.sometimes.entry(name.clone()).or_default();
            *seeds += u64::from(*times > 0);
        }
        if let Some(run) = report.workload.map(Operations::of) {
            self.operations = Some(self.operations.map_or(run, |sum| sum.and(run)));
        }
    }

    /// The faults and situations that occurred in no seed, if there were enough seeds.
    pub fn never(&self) -> Vec<String> {
        if self.seeds < ENOUGH {
            return Vec::new();
        }
        let faults = self.faults.iter().filter(|(_, fault)| fault.seeds == 0);
        let faults = faults.map(|(name, _)| name.clone());
        let situations = self.sometimes.iter().filter(|(_, seeds)| **seeds == 0);
        let situations = situations.map(|(name, _)| name.clone());
        faults.chain(situations).collect()
    }

    /// The report as a table; empty if the test declares neither faults nor situations.
    pub fn table(&self) -> String {
        let mut rows = Vec::new();
        for (name, fault) in &self.faults {
            let (seeds, times) = (fault.seeds, fault.times);
            let missed = self.seeds.saturating_sub(seeds);
            rows.push((
                name,
                format!("{seeds} seeds, {times} times; none in {missed}"),
            ));
        }
        for (name, seeds) in &self.sometimes {
            rows.push((name, format!("held in {seeds} seeds")));
        }
        let name_width = |(name, _): &(&String, String)| name.chars().count();
        let width = rows.iter().map(name_width).max().unwrap_or_default();
        let rows = rows.iter();
        let mut text: String = rows
            .map(|(name, row)| format!("  {name:width$}  {row}\n"))
            .collect();
        if !self.faults.is_empty() && self.calm > 0 {
            text.push_str(&format!("  no fault at all in {} seeds\n", self.calm));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Coverage;
    use crate::simulate::report::{Report, Verdict, Workload};

    fn report(covered: &[(&str, u64)], sometimes: &[(&str, u64)]) -> Report {
        let named = |pairs: &[(&str, u64)]| {
            let pairs = pairs
                .iter()
                .map(|(name, times)| ((*name).to_owned(), *times));
            pairs.collect()
        };
        let mut report = Report::error(1, String::new());
        report.verdict = Verdict::Passed;
        report.covered = named(covered);
        report.sometimes = named(sometimes);
        report
    }

    #[test]
    fn seeds_are_counted_and_absences_named_from_twenty_on() {
        let mut coverage = Coverage::default();
        for _ in 0..19 {
            coverage.add(&report(
                &[("kill", 2), ("partition", 0)],
                &[("a", 1), ("b", 0)],
            ));
        }
        assert_eq!(coverage.never(), [] as [String; 0]);
        coverage.add(&report(
            &[("kill", 0), ("partition", 0)],
            &[("a", 0), ("b", 0)],
        ));
        assert_eq!(coverage.never(), ["partition", "b"]);
        assert_eq!(
            coverage.table(),
            "  kill       19 seeds, 38 times; none in 1\n  \
               partition  0 seeds, 0 times; none in 20\n  \
               a          held in 19 seeds\n  \
               b          held in 0 seeds\n  \
               no fault at all in 1 seeds\n"
        );
        coverage.add(&Report::error(3, "it died".to_owned()));
        assert_eq!(coverage.seeds, 20);
        assert_eq!(coverage.operations, None);
    }

    #[test]
    fn faults_after_the_last_operation_test_nothing() {
        let mut coverage = Coverage::default();
        let mut add = |seconds: u64, faults, late| {
            let mut report = report(&[], &[]);
            report.workload = Some(Workload {
                operations: 100,
                returned: 90,
                last: seconds * 1_000_000_000,
                faults,
                late,
            });
            coverage.add(&report);
            coverage.operations.expect("some")
        };
        let none = add(13, 0, 0);
        assert_eq!(
            none.line(),
            "100 operations, 90 with a result, the last at 13.000 s; 0 of 0 faults struck after it\n"
        );
        assert_eq!(none.untested(), None);
        let all = add(14, 6, 6);
        assert_eq!(
            all.line(),
            "200 operations, 180 with a result, the last at 13.000 s to 14.000 s; 6 of 6 faults \
            (100 %) struck after it\n"
        );
        let reason = all.untested().expect("untested");
        assert!(
            reason.starts_with(
                "nothing tested: all 6 faults struck after the last operation, which was at \
                13.000 s to 14.000 s: leave ~operations of Soil_sim.workload out"
            ),
            "{reason}"
        );
        let one = add(55, 1, 0);
        assert!(one.line().contains("6 of 7 faults (85 %)"), "{one:?}");
        assert_eq!(one.untested(), None);
    }
}

//! The faults that the seeds exercised, and the situations that they reached.

use super::report::{Report, Verdict};
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
    use crate::simulate::report::{Report, Verdict};

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
    }
}

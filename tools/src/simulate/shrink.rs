//! Shrinks a failure: fewer faults, fewer operations and a shorter run that fail in the same way.

use super::execution::Case;
use super::report::{Kind, Report};
use crate::cli::simulate::{Faults, Instant};
use crate::failure::Failure;

/// The rounds over faults, operations and time: a smaller case may have room again.
const MAX_ROUNDS: usize = 3;
/// The numbers of operations below the one that a binary search finds, each of which is tried: a
/// failure may need an exact number.
const LINEAR: u64 = 8;

/// A case and the report of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The case.
    pub case: Case,
    /// Its report.
    pub report: Report,
}

/// How shrinking ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// No smaller case was left to try.
    Complete,
    /// The number of runs was reached.
    Runs,
    /// A run was stopped.
    Stopped,
    /// A run wasn't possible.
    Error(Failure),
}

/// Returns the smallest case found that fails as `found` does, by at most `limit` runs. `run`
/// returns `None` if it was stopped.
pub fn shrink(
    found: Found,
    limit: usize,
    run: impl FnMut(&Case, &Found) -> Result<Option<Report>, Failure>,
) -> (Found, End) {
    let Some(kind) = found.report.kind() else {
        return (found, End::Complete);
    };
    let mut shrinker = Shrinker {
        kind,
        best: found,
        run,
        left: limit,
        end: End::Complete,
        tried: Vec::new(),
    };
    for _ in 0..MAX_ROUNDS {
        let before = shrinker.best.case.clone();
        shrinker.faults();
        shrinker.operations();
        shrinker.time();
        if shrinker.best.case == before || shrinker.end != End::Complete {
            break;
        }
    }
    (shrinker.best, shrinker.end)
}

struct Shrinker<R> {
    kind: Kind,
    best: Found,
    run: R,
    /// The runs that may follow.
    left: usize,
    /// Anything but [`End::Complete`] ends the runs.
    end: End,
    /// Cases that don't fail in this way.
    tried: Vec<Case>,
}

impl<R> Shrinker<R>
where
    R: FnMut(&Case, &Found) -> Result<Option<Report>, Failure>,
{
    /// Runs a case, if `count` runs may follow.
    fn report(&mut self, case: &Case, count: usize) -> Option<Report> {
        if self.end != End::Complete {
            return None;
        }
        if self.left < count {
            self.end = End::Runs;
            return None;
        }
        self.left -= 1;
        match (self.run)(case, &self.best) {
            Ok(Some(report)) => return Some(report),
            Ok(None) => self.end = End::Stopped,
            Err(error) => self.end = End::Error(error),
        }
        None
    }

    /// Runs a case, if `count` runs may follow. Keeps it, and returns true, if it fails in the same
    /// way.
    fn keep(&mut self, case: Case, count: usize) -> bool {
        if self.best.case == case {
            return true;
        }
        if self.tried.contains(&case) {
            return false;
        }
        let Some(report) = self.report(&case, count) else {
            return false;
        };
        if report.kind().as_ref() != Some(&self.kind) {
            self.tried.push(case);
            return false;
        }
        self.best = Found { case, report };
        true
    }

    fn fails(&mut self, case: Case) -> bool {
        self.keep(case, 1)
    }

    /// Like [`Self::fails`], but no if the case fails without faults, too: a check at the end of a
    /// run that is cut short may fail only because operations or time are missing.
    fn fails_by_faults(&mut self, case: Case) -> bool {
        if self.best.case == case || self.best.report.faults.is_empty() {
            return self.fails(case);
        }
        let before = self.best.clone();
        let without = Case {
            faults: Some(Faults::default()),
            ..case.clone()
        };
        // The second run may not be left out.
        if !self.keep(case.clone(), 2) {
            return false;
        }
        if self.fails(without) || self.end != End::Complete {
            self.tried.push(case);
            self.best = before;
            return false;
        }
        true
    }

    fn faults(&mut self) {
        let mut injected: Vec<u64> = self.best.report.faults.iter().map(|it| it.id).collect();
        injected.sort_unstable();
        injected.dedup();
        let base = self.best.case.clone();
        minimise(&injected, |ids| {
            self.fails(Case {
                faults: Some(Faults(ids.to_vec())),
                ..base.clone()
            })
        });
    }

    fn operations(&mut self) {
        let base = self.best.case.clone();
        let with = |operations| Case {
            operations: Some(operations),
            ..base.clone()
        };
        let most = self.best.report.operations;
        let mut high = base.operations.map_or(most, |limit| limit.min(most));
        let mut low = 0;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.fails_by_faults(with(middle)) {
                true => high = middle.min(self.best.report.operations.max(low)),
                false => low = middle + 1,
            }
        }
        let mut below = high;
        while below > 0 && high - below < LINEAR {
            below -= 1;
            if self.fails_by_faults(with(below)) {
                high = below;
            }
        }
    }

    fn time(&mut self) {
        let base = self.best.case.clone();
        let step = step(self.best.report.virtual_ns);
        let with = |steps: u64| Case {
            until: Some(Instant(steps.saturating_mul(step))),
            ..base.clone()
        };
        let mut high = self.best.report.virtual_ns.div_ceil(step);
        // A later end than the present one is no progress.
        let is_later = base
            .until
            .is_some_and(|until| with(high).until >= Some(until));
        if high == 0 || (!is_later && !self.fails_by_faults(with(high))) {
            return;
        }
        let mut low = 0;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.fails_by_faults(with(middle)) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
    }
}

/// The precision of a time for `--until`: a power of ten, for two or three digits.
fn step(ns: u64) -> u64 {
    let mut step = 1;
    while ns / step >= 1000 {
        step *= 10;
    }
    step
}

/// Delta debugging (ddmin): a subset for which `fails` holds, and none of its parts found smaller.
/// Assumes that it holds for `items`.
fn minimise<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    if fails(&[]) {
        return Vec::new();
    }
    let mut kept = items.to_vec();
    let mut parts = 2;
    while kept.len() >= 2 {
        let size = kept.len().div_ceil(parts);
        let chunks: Vec<Vec<T>> = kept.chunks(size).map(<[T]>::to_vec).collect();
        let others = |left_out: usize| -> Vec<T> {
            let rest = chunks.iter().enumerate();
            let rest = rest.filter(|(index, _)| *index != left_out);
            rest.flat_map(|(_, chunk)| chunk.clone()).collect()
        };
        let mut smaller = None;
        for chunk in &chunks {
            if fails(chunk) {
                smaller = Some((chunk.clone(), 2));
                break;
            }
        }
        for index in 0..chunks.len() {
            // With two parts the others are the parts themselves.
            if smaller.is_some() || chunks.len() == 2 {
                break;
            }
            let others = others(index);
            if fails(&others) {
                smaller = Some((others, (chunks.len() - 1).max(2)));
            }
        }
        match smaller {
            Some((items, next)) => (kept, parts) = (items, next),
            None if size == 1 => break,
            None => parts = (parts * 2).min(kept.len()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::{End, Found, minimise, shrink, step};
    use crate::cli::simulate::{Faults, Instant};
    use crate::failure::Failure;
    use crate::simulate::execution::Case;
    use crate::simulate::report::{Fault, Report, Verdict};
    use proptest::prelude::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn the_faults_that_are_needed_remain(
            count in 1_u64..60,
            needed in proptest::collection::btree_set(0_u64..60, 0..5),
        ) {
            let needed: Vec<u64> = needed.into_iter().filter(|id| *id < count).collect();
            let all: Vec<u64> = (0..count).collect();
            let mut runs = 0;
            let found = minimise(&all, |ids| {
                runs += 1;
                needed.iter().all(|id| ids.contains(id))
            });
            prop_assert_eq!(found, needed);
            assert!(runs < 200, "{runs}");
        }
    }

    /// A system with faults and operations.
    #[derive(Clone, Copy)]
    struct System {
        /// It fails at 4.17 s once two faults have happened, if each client does at least this many
        /// operations.
        enough: u64,
        /// It fails without faults, too, if a client does fewer operations than this, or the run
        /// ends before this time in nanoseconds.
        least: (u64, u64),
    }

    fn run(case: &Case, system: System) -> Report {
        let all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let faults = all.iter().filter(|id| {
            let wanted = case.faults.as_ref();
            wanted.is_none_or(|faults| faults.0.contains(id))
        });
        let end = case.until.map_or(60_000_000_000, |until| until.0);
        let faults: Vec<Fault> = faults
            .map(|id| Fault {
                id: *id,
                name: "kill".to_owned(),
                what: "db0".to_owned(),
                at: id * 500_000_000,
            })
            .filter(|fault| fault.at < end)
            .collect();
        let done = case.operations.unwrap_or(240).min(240);
        let has = |id| faults.iter().any(|fault: &Fault| fault.id == id);
        let System { enough, least } = system;
        let is_cut = done < least.0 || end < least.1;
        let fails = is_cut || has(3) && has(7) && done >= enough && end >= 4_170_000_000;
        let mut report = Report::error(case.seed, "in term 3".to_owned());
        report.verdict = match fails {
            true => Verdict::Failed,
            false => Verdict::Passed,
        };
        report.operations = done;
        report.virtual_ns = end;
        report.faults = faults;
        report
    }

    /// A whole run of the system.
    fn whole(system: System) -> Found {
        let case = Case::of(41);
        let report = run(&case, system);
        Found { case, report }
    }

    /// The case that shrinking finds, how it ends, and the number of runs.
    fn shrunk(system: System, limit: usize) -> (Case, End, usize) {
        let mut runs = 0;
        let counted = |case: &Case, _: &Found| {
            runs += 1;
            Ok(Some(run(case, system)))
        };
        let (found, end) = shrink(whole(system), limit, counted);
        assert_eq!(found.report, run(&found.case, system));
        assert_eq!(found.report.verdict, Verdict::Failed);
        (found.case, end, runs)
    }

    const WHOLE: System = System {
        enough: 17,
        least: (0, 0),
    };

    #[test]
    fn faults_operations_and_time_are_shrunk() {
        let (case, end, runs) = shrunk(WHOLE, 200);
        assert_eq!(end, End::Complete);
        let expected = Case {
            seed: 41,
            faults: Some(Faults(vec![3, 7])),
            operations: Some(17),
            until: Some(Instant(4_170_000_000)),
        };
        assert_eq!(case, expected);
        assert!(runs < 100, "{runs}");
    }

    #[test]
    fn a_check_that_needs_a_longer_run_leaves_the_faults() {
        let system = System {
            enough: 0,
            least: (20, 6_000_000_000),
        };
        let (case, _, runs) = shrunk(system, 200);
        let expected = Case {
            seed: 41,
            faults: Some(Faults(vec![3, 7])),
            operations: Some(20),
            until: Some(Instant(6_000_000_000)),
        };
        assert_eq!(case, expected);
        assert!(runs < 150, "{runs}");
    }

    #[test]
    fn no_more_runs_are_made_than_the_limit() {
        for limit in 0..40 {
            let (_, end, runs) = shrunk(WHOLE, limit);
            assert!(runs <= limit, "{runs} of {limit}");
            // It takes about 60.
            assert_eq!(end, End::Runs);
        }
    }

    #[test]
    fn the_smallest_case_so_far_remains_when_runs_end() {
        let system = System {
            enough: 0,
            least: (20, 6_000_000_000),
        };
        for (last, expected) in [
            (Ok(()), End::Stopped),
            (Err("gone"), End::Error(Failure::new("gone"))),
        ] {
            for limit in 0..100 {
                let (mut left, mut after) = (limit, 0);
                let answer = |case: &Case, best: &Found| {
                    assert_eq!(best.report, run(&best.case, system));
                    match left {
                        0 => {
                            after += 1;
                            match &last {
                                Ok(()) => Ok(None),
                                Err(error) => Err(Failure::new(error)),
                            }
                        }
                        _ => {
                            left -= 1;
                            Ok(Some(run(case, system)))
                        }
                    }
                };
                let (found, end) = shrink(whole(system), 1000, answer);
                assert!(after <= 1, "runs follow the end");
                if after == 1 {
                    assert_eq!(end, expected);
                }
                // Its faults are the cause: none that fails without them is kept.
                let Case { operations, .. } = found.case;
                assert!(
                    operations.is_none_or(|count| count >= 20),
                    "{:?}",
                    found.case
                );
                assert_eq!(found.report, run(&found.case, system));
            }
        }
    }

    #[test]
    fn a_failure_of_another_kind_is_none() {
        let case = Case::of(1);
        let report = Report::error(1, "one".to_owned());
        let other =
            |case: &Case, _: &Found| Ok(Some(Report::error(case.seed, "another".to_owned())));
        let found = Found { case, report };
        assert_eq!(shrink(found.clone(), 50, other), (found, End::Complete));
    }

    #[test]
    fn times_have_two_or_three_digits() {
        assert_eq!(step(60_000_000_000), 100_000_000);
        assert_eq!(step(4_170_000_000), 10_000_000);
        assert_eq!(step(0), 1);
        assert_eq!(step(999), 1);
    }
}

//! Threads that run tests side by side.

use crate::failure::Failure;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Calls `work` on `jobs` threads, and returns the first failure. A test is killed when the thread
/// that started it ends, so each thread waits for its test.
pub fn run(jobs: usize, work: impl Fn() -> Result<(), Failure> + Sync) -> Result<(), Failure> {
    let first = sched_getcpu();
    std::thread::scope(|scope| {
        let start = |number| {
            let work = &work;
            scope.spawn(move || {
                stay(number, jobs, first);
                work()
            })
        };
        let workers: Vec<_> = (0..jobs).map(start).collect();
        let ended = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect::<Result<Vec<()>, Failure>>()
    })?;
    Ok(())
}

/// Keeps this thread, and the programs that it starts, on a processor, if there is one for each of
/// `jobs`. The processes of a test run one at a time: one that wakes another on a second processor
/// waits for that to resume.
fn stay(number: usize, jobs: usize, first: usize) {
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    if let Some(processor) = chosen(&allowed, number, jobs, first) {
        let mut own = CpuSet::new();
        own.set(processor);
        // Without effect where a sandbox forbids that.
        let _ = sched_setaffinity(None, &own);
    }
}

/// The processor of a worker, if there is one for each of `jobs`. They are numbered from `first`
/// on: commands that run side by side would otherwise all share the lowest ones.
fn chosen(allowed: &CpuSet, number: usize, jobs: usize, first: usize) -> Option<usize> {
    let all = (0..CpuSet::MAX_CPU).map(|number| (first + number) % CpuSet::MAX_CPU);
    let mut processors = all.filter(|&processor| allowed.is_set(processor));
    let is_enough = allowed.count() as usize >= jobs;
    processors.nth(number).filter(|_| is_enough)
}

#[cfg(test)]
mod tests {
    use super::{CpuSet, chosen};

    #[test]
    fn processors_are_taken_from_the_present_one_on() {
        let mut allowed = CpuSet::new();
        for processor in [1, 2, 5] {
            allowed.set(processor);
        }
        let chosen = |jobs, first| -> Vec<Option<usize>> {
            let workers = 0..jobs;
            workers
                .map(|number| chosen(&allowed, number, jobs, first))
                .collect()
        };
        assert_eq!(chosen(3, 2), [Some(2), Some(5), Some(1)]);
        assert_eq!(chosen(1, 0), [Some(1)]);
        assert_eq!(chosen(4, 2), [None; 4]);
    }
}

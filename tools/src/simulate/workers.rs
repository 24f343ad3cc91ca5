//! Threads that run tests side by side.

use crate::failure::Failure;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Calls `work` on `jobs` threads, and returns the first failure. A test is killed when the thread
/// that started it ends, so each thread waits for its test.
pub fn run(jobs: usize, work: impl Fn() -> Result<(), Failure> + Sync) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let start = |number| {
            let work = &work;
            scope.spawn(move || {
                stay(number, jobs);
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
fn stay(number: usize, jobs: usize) {
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let mut processors = (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor));
    if allowed.count() as usize >= jobs
        && let Some(processor) = processors.nth(number)
    {
        let mut own = CpuSet::new();
        own.set(processor);
        // Without effect where a sandbox forbids that.
        let _ = sched_setaffinity(None, &own);
    }
}

//! Freezes: what starts while a volume is frozen, and in which order.

use super::{SECTOR, files};
use crate::files::mounted_volume::fiber::Suspension;
use crate::files::mounted_volume::job::request::{Op, Request, Value};
use crate::files::mounted_volume::job::{Job, Output, Waiter};
use crate::files::mounted_volume::schedule::{Action, Schedule};
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

/// A step; the numbers are files.
#[derive(Clone, Copy, Debug)]
enum Step {
    Size(usize),
    Truncate(usize),
    Close(usize),
    Unlink,
    Freeze,
    Thaw,
    Cancel(u64),
    /// Runs this many jobs.
    Run(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize).prop_map(Step::Size),
        4 => (0..2usize).prop_map(Step::Truncate),
        3 => (0..2usize).prop_map(Step::Close),
        2 => Just(Step::Unlink),
        2 => Just(Step::Freeze),
        2 => Just(Step::Thaw),
        1 => (1..60u64).prop_map(Step::Cancel),
        6 => (0..5usize).prop_map(Step::Run),
    ]
}

/// What began, by its token; a freeze and a thaw have none.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Began {
    Job(u64),
    Freeze,
    Thaw,
}

/// Runs the next job, which ends at once. `false`: none can start.
fn run_job(schedule: &mut Schedule, began: &mut Vec<Began>) -> bool {
    let mut token = 0;
    loop {
        match schedule.next(|| false, SECTOR) {
            Action::Open { .. } => {
                let active = schedule.active.as_ref().expect("active");
                token = active.job.waiter.token();
                schedule.opened(false);
            }
            Action::Start(request) => {
                began.push(match request {
                    Request::Freeze => Began::Freeze,
                    Request::Thaw => Began::Thaw,
                    _ => Began::Job(token),
                });
                schedule.suspended(Some(Suspension::Done(Ok(Value::Number(0)))));
            }
            Action::Answer(_) => return true,
            Action::Wait => return false,
            _ => panic!("an unexpected action"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// In any order of jobs, freezes and thaws: no change starts between a freeze and its thaw;
    /// changes and closes of a file keep their order; each job runs once, unless it was cancelled.
    #[test]
    fn frozen_volumes_do_not_change(steps in proptest::collection::vec(step(), 0..80)) {
        let files = files();
        let mut schedule = Schedule::new();
        let mut jobs: BTreeMap<u64, Step> = BTreeMap::new();
        let mut cancelled = Vec::new();
        let mut began = Vec::new();
        for next in steps.into_iter().chain([Step::Thaw, Step::Run(1000)]) {
            let request = match next {
                Step::Size(file) => Request::Size(files[file]),
                Step::Truncate(file) => Request::Truncate(files[file], 0),
                Step::Close(file) => Request::Close(files[file]),
                Step::Unlink => Request::At {
                    path: String::from("/a"),
                    follow: false,
                    directory: false,
                    op: Op::Unlink,
                },
                Step::Freeze => {
                    let job = Job::new(Waiter::Freeze(1), Request::Freeze);
                    schedule.push(job).expect("room");
                    continue;
                }
                Step::Thaw => {
                    schedule.thaw();
                    continue;
                }
                Step::Cancel(token) => {
                    if schedule.cancel(token) {
                        cancelled.push(token);
                    }
                    continue;
                }
                Step::Run(count) => {
                    let _ = (0..count).all(|_| run_job(&mut schedule, &mut began));
                    continue;
                }
            };
            let token = jobs.len() as u64 + 1;
            jobs.insert(token, next);
            let waiter = Waiter::Operation(token, Output::Number);
            schedule.push(Job::new(waiter, request)).expect("room");
        }
        assert!(schedule.is_idle() && !schedule.is_runnable());
        let mut frozen = false;
        let mut order = Vec::new();
        for began in began {
            match began {
                Began::Freeze => frozen = true,
                Began::Thaw => frozen = false,
                Began::Job(token) => {
                    let changes = matches!(jobs[&token], Step::Truncate(_) | Step::Unlink);
                    assert!(!(frozen && changes), "{:?} while frozen", jobs[&token]);
                    order.push(token);
                }
            }
        }
        assert!(!frozen);
        let of_file = |token: &&u64, file| match jobs[*token] {
            Step::Truncate(other) | Step::Close(other) => other == file,
            _ => false,
        };
        for file in 0..2 {
            let ordered: Vec<_> = order.iter().filter(|token| of_file(token, file)).collect();
            assert!(ordered.is_sorted(), "{ordered:?}");
        }
        let mut ended = order.clone();
        ended.extend(&cancelled);
        ended.sort_unstable();
        assert!(ended.iter().copied().eq(jobs.keys().copied()));
    }
}

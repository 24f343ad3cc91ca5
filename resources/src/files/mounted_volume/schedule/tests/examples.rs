//! Orders of events that are worth a test of their own.

use super::{IO, SECTOR, files};
use crate::files::mounted_volume::fiber::{Access, Suspension};
use crate::files::mounted_volume::job::request::{Request, Value};
use crate::files::mounted_volume::job::{Job, Output, Waiter};
use crate::files::mounted_volume::schedule::{Action, Schedule};
use std::string::String;

/// A job of each kind that comes during a flush, and whether it waits for that.
#[test]
fn a_file_is_closed_after_the_sync_of_it_and_all_else_after_that() {
    let [a, b] = files();
    let mut schedule = Schedule::new();
    schedule.barrier.begin(true);
    for (request, expected) in [
        (Request::Size(a), false),
        (Request::Close(b), false),
        (Request::SyncFile(a), true),
        (Request::Sync, true),
        (Request::Unmount, true),
        (Request::Close(b), false),
        (Request::Size(a), false),
        (Request::Close(a), true),
        (Request::Size(b), true),
        (Request::Close(b), true),
    ] {
        let job = Job::new(Waiter::None, request);
        let waits = schedule.waits_for_flush(&job);
        assert_eq!(waits, expected);
        if waits {
            schedule.deferred.push_back(job);
        }
    }
    assert_eq!(schedule.deferred.len(), 6);
}

/// The caller of an abandoned operation learns exactly once that the memory it lent is in use.
#[test]
fn an_abandoned_operation_is_told_once_that_its_memory_is_in_use() {
    let mut schedule = Schedule::new();
    let waiter = |token| Waiter::Operation(token, Output::Number);
    for token in [4, 5] {
        schedule
            .push(Job::new(waiter(token), Request::Sync))
            .expect("room");
    }
    let next = |schedule: &mut Schedule| schedule.next(|| false, SECTOR);
    assert!(matches!(
        next(&mut schedule),
        Action::Open { unmounts: false }
    ));
    schedule.opened(false);
    assert!(matches!(next(&mut schedule), Action::Start(Request::Sync)));
    let access = Access::Flush { ordered: true };
    schedule.suspended(Some(Suspension::Access(access)));
    assert!(matches!(
        next(&mut schedule),
        Action::Flush { ordered: true }
    ));
    schedule.flush_submitted(None, true, 7);
    assert!(matches!(next(&mut schedule), Action::Resume(Ok(()))));
    assert!(!schedule.take_abandoned(0) && !schedule.take_abandoned(4));
    schedule.time_out(String::from("late"));
    for token in [4, 5] {
        let abandoned = next(&mut schedule);
        assert!(matches!(abandoned, Action::Abandon(waiter) if waiter.token() == token));
    }
    assert!(matches!(next(&mut schedule), Action::Wait));
    let told = [0, 5, 4, 4].map(|token| schedule.take_abandoned(token));
    assert_eq!(told, [false, false, true, false]);
}

/// Merged syncs get the same answer: a failure is reported to each.
#[test]
fn syncs_that_are_merged_fail_together() {
    let [a, b] = files();
    for fails in [false, true] {
        let outcome = match fails {
            true => Err(crate::disks::error(IO).into()),
            false => Ok(Value::Number(0)),
        };
        let mut schedule = Schedule::new();
        let requests = [Request::SyncFile(a), Request::Sync, Request::SyncFile(b)];
        for (token, request) in (4..).zip(requests) {
            let waiter = Waiter::Operation(token, Output::Number);
            schedule.push(Job::new(waiter, request)).expect("room");
        }
        schedule.merges_syncs = true;
        let opens = schedule.next(|| false, SECTOR);
        assert!(matches!(opens, Action::Open { unmounts: false }));
        schedule.opened(true);
        let mut next = |suspension| {
            schedule.suspended(suspension);
            schedule.next(|| false, SECTOR)
        };
        assert!(matches!(next(None), Action::Start(Request::Sync)));
        let mut action = next(Some(Suspension::Done(outcome)));
        for token in 4..7 {
            let Action::Answer(answered) = action else {
                panic!("{token} isn't answered");
            };
            assert_eq!(answered.waiter.token(), token);
            assert_eq!(answered.outcome.is_err(), fails, "{token}");
            action = next(None);
        }
        assert!(matches!(action, Action::Wait));
    }
}

//! What a volume waits for, and until when.

use super::super::super::spec::Spec;
use super::super::super::work::Work;
use super::super::flushing::Flushing;
use super::super::{Job, Running, Then, Volume};
use std::string::String;
use std::vec;

fn volume() -> Volume {
    Volume::new(Spec::parse("/a=fat:data").expect("valid"))
}

fn job(token: u64) -> Job {
    Job {
        token,
        work: Work::Sync,
        then: Then::Nothing,
        walking: None,
    }
}

fn running() -> Running {
    Running {
        token: 1,
        then: Then::Answer,
        walking: None,
        given_up: 0,
        durable: false,
        last: false,
        excused: false,
        held: None,
    }
}

#[test]
fn the_first_deadline_of_what_was_asked_for_counts() {
    let mut volume = volume();
    for (outstanding, until, flush, expected) in [
        (0, 0, None, None),
        (0, 50, None, None),
        (1, 50, None, Some(50)),
        (2, 50, Some(70), Some(50)),
        (1, 50, Some(30), Some(30)),
        (0, 10, Some(30), Some(30)),
    ] {
        (volume.outstanding, volume.until) = (outstanding, until);
        volume.flushing = flush.map(|until| Flushing::new(until, true));
        assert_eq!(volume.due(), expected);
    }
    // It is told once.
    volume.overdue = Some(String::from("late"));
    assert_eq!(volume.due(), None);
}

#[test]
fn a_disk_answers_again_when_nothing_is_left_of_what_was_asked() {
    for (is_running, is_flushing) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut volume = volume();
        volume.overdue = Some(String::from("late"));
        volume.running = is_running.then(running);
        volume.flushing = is_flushing.then(Flushing::default);
        volume.settle();
        assert_eq!(volume.overdue.is_none(), !is_running && !is_flushing);
    }
}

/// What keeps a volume from beginning, from being idle and from being over.
#[test]
fn a_volume_knows_what_it_waits_for() {
    type Change = fn(&mut Volume);
    let changes: [(Change, [bool; 4]); 8] = [
        (|_| (), [false, true, true, true]),
        (|v| v.push(job(5)).expect("room"), [true, true, false, true]),
        (|v| v.push(job(0)).expect("room"), [true, true, false, true]),
        (
            |v| v.running = Some(running()),
            [false, false, false, false],
        ),
        (|v| v.outstanding = 1, [false, true, true, false]),
        (
            |v| v.flushing = Some(Flushing::default()),
            [false, true, false, false],
        ),
        (
            |v| v.overdue = Some(String::new()),
            [false, false, true, false],
        ),
        (
            |v| {
                let mut last = running();
                last.last = true;
                v.held = vec![(last, Ok(super::super::Value::Number(0)))];
            },
            [false, false, false, true],
        ),
    ];
    for (n, (change, expected)) in changes.iter().enumerate() {
        let mut volume = volume();
        change(&mut volume);
        let found = [
            volume.is_runnable(),
            volume.is_free(),
            volume.is_idle(),
            volume.is_over(),
        ];
        assert_eq!(found, *expected, "{n}");
    }
    // While its disk is late, those who wait are to be told, and the others stay.
    for (token, expected) in [(5, true), (0, false)] {
        let mut volume = volume();
        volume.overdue = Some(String::from("late"));
        volume.push(job(token)).expect("room");
        assert_eq!(volume.is_runnable(), expected, "{token}");
    }
}

//! Tokens, parking and cancelling, on fake pipes.

use super::{Cancelled, MAX_DRIVERS, MAX_TOKEN, TokenHasher};
use crate::Resources;
use crate::completions::Leader;
use crate::table::{Fd, Kind, cannot_park, cannot_read, cannot_shut_down, cannot_write};
use crate::wait::{FIRST_OF_THREADS, scheduler};
use core::hash::Hasher;
use host::Host;
use platform::Direction;
use platform::error::{Answer, Error, Failure, Stop};
use std::collections::BTreeSet;
use std::vec::Vec;

/// Resources for tests: pipes that count bytes.
pub struct Fake {
    pipes: Vec<Pipe>,
}

struct Pipe {
    capacity: usize,
    len: usize,
    /// Read end and write end.
    ends: [u32; 2],
}

/// A runtime with them.
pub type Runtime = super::Runtime<Fake>;
/// A driver of theirs.
pub type Driver = super::Driver<Fake>;
type Operations = crate::table::Operations<Runtime>;

impl Resources for Fake {
    type Platform = Host;
    const NONE: Fake = Fake { pipes: Vec::new() };

    fn start() -> Result<(), Failure> {
        Ok(())
    }

    fn entered() {}
}

/// Takes bytes out of a pipe, and wakes the writer.
fn take(rt: &mut Runtime, key: u32, wanted: usize) -> Answer {
    let pipe = &mut rt.resources.pipes[key as usize];
    let n = wanted.min(pipe.len);
    if n == 0 {
        return Err(Stop::WouldBlock);
    }
    pipe.len -= n;
    let writer = pipe.ends[1];
    rt.wake(writer, Direction::Write);
    Ok(n)
}

/// Puts bytes into a pipe, and wakes the reader.
fn put(rt: &mut Runtime, key: u32, wanted: usize) -> Answer {
    let pipe = &mut rt.resources.pipes[key as usize];
    let n = wanted.min(pipe.capacity - pipe.len);
    if n == 0 {
        return Err(Stop::WouldBlock);
    }
    pipe.len += n;
    let reader = pipe.ends[0];
    rt.wake(reader, Direction::Read);
    Ok(n)
}

static READING: Operations = Operations {
    kind: Kind::Pipe,
    read: |rt, key, into| take(rt, key, into.len()),
    write: cannot_write,
    ready: |rt, key, _| Ok(rt.resources.pipes[key as usize].len > 0),
    shutdown: cannot_shut_down,
    close: |_, _| (),
};

static WRITING: Operations = Operations {
    kind: Kind::Pipe,
    read: cannot_read,
    write: |rt, key, from| put(rt, key, from.len()),
    ready: |rt, key, _| {
        let pipe = &rt.resources.pipes[key as usize];
        Ok(pipe.len < pipe.capacity)
    },
    shutdown: cannot_shut_down,
    close: |_, _| (),
};

const PENDING: Answer = Err(Stop::Pending);

/// The ends of a new pipe: read, write.
fn pipe_of(rt: &mut Runtime, capacity: usize) -> (Fd, Fd) {
    let key = rt.resources.pipes.len() as u32;
    let reader = rt.table.insert(&READING, key).expect("room");
    let writer = rt.table.insert(&WRITING, key).expect("room");
    rt.resources.pipes.push(Pipe {
        capacity,
        len: 0,
        ends: [reader.index, writer.index],
    });
    (reader, writer)
}

/// The completions, in order.
fn completions(rt: &mut Runtime) -> Vec<(u64, Answer)> {
    core::iter::from_fn(|| rt.next_completion(0)).collect()
}

#[test]
fn tokens_are_positive_and_used_once() {
    const LAST: isize = MAX_TOKEN as isize;
    let mut rt = Runtime::new();
    let (reader, _writer) = pipe_of(&mut rt, 8);
    let invalid = Err(Stop::Error(Error::Invalid));
    for token in [0, -1, isize::MIN, LAST + 1] {
        assert_eq!(rt.park(reader, Direction::Read, token), invalid, "{token}");
    }
    assert_eq!(rt.park(reader, Direction::Read, LAST), PENDING);
    assert_eq!(rt.park(reader, Direction::Read, LAST), invalid);
    assert_eq!(rt.cancel(LAST), Ok(1));
    assert_eq!(rt.park(reader, Direction::Read, LAST), PENDING);
    assert!(completions(&mut rt).is_empty());
}

#[test]
fn a_threads_answer_stays_until_it_is_taken() {
    const TOKEN: u64 = FIRST_OF_THREADS;
    let mut rt = Runtime::new();
    assert_eq!(rt.event(TOKEN as isize), PENDING);
    assert_eq!(rt.take_completion(TOKEN), None);
    assert_eq!(rt.set_event(TOKEN as isize), Ok(1));
    assert_eq!(rt.set_event(TOKEN as isize), Ok(0));
    rt.complete(TOKEN, Ok(7));
    rt.complete_failed(TOKEN, Failure::new(Error::Io, "late"));
    assert_eq!(rt.messages.take(TOKEN as isize, &mut [0; 8]), 0);
    assert_eq!(rt.cancel(TOKEN as isize), Ok(0));
    let invalid = Err(Stop::Error(Error::Invalid));
    assert_eq!(rt.event(TOKEN as isize), invalid, "the token isn't free");
    assert!(!rt.has_completions());
    assert_eq!(rt.take_completion(TOKEN), Some(Ok(0)));
    assert_eq!((rt.take_completion(TOKEN), rt.outstanding()), (None, 0));
    assert_eq!(rt.event(TOKEN as isize), PENDING);
}

#[test]
fn what_is_ready_does_not_park() {
    let mut rt = Runtime::new();
    let (reader, writer) = pipe_of(&mut rt, 4);
    assert_eq!(rt.park(writer, Direction::Write, 1), Ok(0));
    assert_eq!(rt.park(reader, Direction::Read, 1), PENDING);
    assert_eq!(rt.write(writer, b"abcdef"), Ok(4));
    assert_eq!(completions(&mut rt), [(1, Ok(0))]);
    assert_eq!(rt.park(reader, Direction::Read, 2), Ok(0));
    assert_eq!(rt.park(writer, Direction::Write, 2), PENDING);
    assert_eq!(rt.read(reader, &mut [0; 2]), Ok(2));
    assert_eq!(completions(&mut rt), [(2, Ok(0))]);
}

#[test]
fn a_watcher_is_woken_by_the_next_change_of_any_descriptor() {
    let mut rt = Runtime::new();
    let (reader, writer) = pipe_of(&mut rt, 4);
    let (other, _) = pipe_of(&mut rt, 4);
    assert_eq!([1, 2, 3].map(|token| rt.watch(token)), [PENDING; 3]);
    assert_eq!(rt.park(other, Direction::Read, 4), PENDING);
    assert_eq!(rt.cancel(2), Ok(1));
    assert_eq!(rt.write(writer, b"a"), Ok(1));
    let received: BTreeSet<_> = completions(&mut rt).into_iter().map(|(t, _)| t).collect();
    assert_eq!(received, BTreeSet::from([1, 3]));
    assert_eq!(rt.read(reader, &mut [0; 2]), Ok(1));
    assert!(completions(&mut rt).is_empty(), "heard once");
}

#[test]
fn a_cancelled_operation_is_forgotten() {
    let mut rt = Runtime::new();
    let (reader, writer) = pipe_of(&mut rt, 4);
    for token in [1, 2, 3] {
        assert_eq!(rt.park(reader, Direction::Read, token), PENDING);
    }
    assert_eq!(
        (rt.cancel(2), rt.cancel(2), rt.cancel(9)),
        (Ok(1), Ok(0), Ok(0))
    );
    assert_eq!(rt.cancel(-1), Err(Stop::Error(Error::Invalid)));
    // The token belongs to another operation now, and the old slot must not complete it.
    let (other, _writer) = pipe_of(&mut rt, 4);
    assert_eq!(rt.park(other, Direction::Read, 2), PENDING);
    assert_eq!(rt.write(writer, b"abcd"), Ok(4));
    let mut woken: Vec<u64> = completions(&mut rt).iter().map(|c| c.0).collect();
    woken.sort_unstable();
    assert_eq!(woken, [1, 3]);
}

#[test]
fn closing_completes_what_is_parked() {
    let mut rt = Runtime::new();
    let (reader, _writer) = pipe_of(&mut rt, 4);
    assert_eq!(rt.park(reader, Direction::Read, 5), PENDING);
    assert_eq!(rt.close(reader), Ok(0));
    assert_eq!(completions(&mut rt), [(5, Err(Error::Closed.into()))]);
    // Its token is free, and closing again has no effect.
    assert_eq!(rt.new_token(5), Ok(5));
    assert_eq!(rt.close(reader), Ok(0));
    let closed = Err(Stop::Error(Error::Closed));
    assert_eq!(rt.park(reader, Direction::Read, 5), closed);
    assert_eq!(rt.new_token(5), Ok(5));
}

#[test]
fn an_operation_completes_once() {
    let mut rt = Runtime::new();
    rt.give(3, |_, _| Cancelled::Later).expect("memory");
    assert_eq!(rt.cancel(3), PENDING);
    rt.complete(3, Ok(9));
    rt.complete(3, Ok(10));
    rt.complete(4, Ok(11));
    assert_eq!(completions(&mut rt), [(3, Ok(9))]);
    rt.give(3, |_, _| Cancelled::Done).expect("memory");
    assert_eq!(rt.cancel(3), Ok(1));
    rt.complete(3, Ok(12));
    assert!(completions(&mut rt).is_empty());
}

#[test]
fn what_tasks_alone_complete_is_not_outside() {
    let mut rt = Runtime::new();
    let (reader, writer) = pipe_of(&mut rt, 4);
    assert_eq!(rt.park(reader, Direction::Read, 1), PENDING);
    assert_eq!((rt.outstanding(), rt.outstanding_outside()), (1, 0));
    assert_eq!(rt.event(2), PENDING);
    assert_eq!(rt.watch(3), PENDING);
    rt.give(4, |_, _| Cancelled::Later).expect("memory");
    assert_eq!(rt.event(FIRST_OF_THREADS as isize), PENDING);
    assert_eq!((rt.outstanding(), rt.outstanding_outside()), (5, 3));
    assert_eq!(rt.write(writer, b"a"), Ok(1));
    rt.complete(4, Ok(0));
    assert_eq!((rt.outstanding(), rt.outstanding_outside()), (2, 1));
}

#[test]
fn tokens_are_spread() {
    let hash = |token: u64| {
        let mut hasher = TokenHasher::default();
        hasher.write_u64(token);
        hasher.finish()
    };
    // The table uses the low bits as the index, and compares the top seven.
    let low: BTreeSet<u64> = (1..=1024).map(|token| hash(token) & 1023).collect();
    let top: BTreeSet<u64> = (1..=1024).map(|token| hash(token) >> 57).collect();
    assert!(
        low.len() > 512 && top.len() > 64,
        "{} {}",
        low.len(),
        top.len()
    );
    let bytes = |bytes: &[u8]| {
        let mut hasher = TokenHasher::default();
        hasher.write(bytes);
        hasher.finish()
    };
    let pairs = (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| [a, b]));
    let hashes: BTreeSet<u64> = pairs.map(|pair| bytes(&pair)).collect();
    assert!(hashes.len() > 65_000, "{}", hashes.len());
}

#[test]
fn a_request_to_stop_is_a_completion_without_a_token() {
    let mut rt = Runtime::new();
    assert!(!rt.has_completions());
    rt.request_stop(1);
    rt.request_stop(2);
    assert!(rt.has_completions());
    assert_eq!(completions(&mut rt), [(0, Ok(1)), (0, Ok(2))]);
}

#[test]
fn each_way_to_shut_down_is_passed_on() {
    static WAYS: Operations = Operations {
        kind: Kind::Echo,
        read: cannot_read,
        write: cannot_write,
        ready: cannot_park,
        shutdown: |_, key, receive, send| {
            Ok(key as usize + usize::from(receive) + 2 * usize::from(send))
        },
        close: |_, _| (),
    };
    let mut rt = Runtime::new();
    let fd = rt.table.insert(&WAYS, 70).expect("room");
    let ways = [0, 1, 2].map(|how| rt.shutdown(fd, how));
    assert_eq!(ways, [Ok(71), Ok(72), Ok(73)]);
    for how in [-1, 3] {
        assert_eq!(rt.shutdown(fd, how), Err(Stop::Error(Error::Invalid)));
    }
}

#[test]
fn a_counter_is_the_sum_of_the_drivers_shares() {
    let mut rt = Runtime::new();
    let (reader, _writer) = pipe_of(&mut rt, 8);
    assert_eq!(rt.park(reader, Direction::Read, 5), PENDING);
    assert_eq!((rt.table.count(), rt.outstanding()), (2, 1));
    let driver = &Driver {
        poll: |_, _| (),
        deadline: |_| None,
        interest: |_, _| (),
        finish: |_| true,
        counter: |_, which| if which == 3 { 10 } else { 0 },
    };
    assert_eq!(rt.counter(3), 0);
    for _ in 0..MAX_DRIVERS {
        rt.register(driver).expect("room");
    }
    assert_eq!(rt.register(driver), Err(Error::TooManyOpen));
    assert_eq!((rt.counter(3), rt.counter(4)), (10 * MAX_DRIVERS, 0));
}

/// A listener that is never ready.
static LISTENER: Operations =
    Operations::without_data(Kind::Listener, |_, _, _| Ok(false), |_, _| ());

/// All that wait are woken.
#[test]
fn a_change_wakes_tasks_and_threads_of_all_domains() {
    let mut rt = Runtime::new();
    let fd = rt.table.insert(&LISTENER, 0).expect("room");
    let tasks = [1, 2, scheduler(1) + 1, scheduler(2) + 1];
    let thread = FIRST_OF_THREADS + 1;
    for token in tasks.into_iter().chain([thread]) {
        assert_eq!(rt.park(fd, Direction::Read, token as isize), PENDING);
    }
    rt.completions.follow(scheduler(1)).expect("memory");
    rt.wake(fd.index, Direction::Read);
    let mut woken: Vec<_> = (0..3)
        .flat_map(|domain| core::iter::from_fn(move || Some(domain)).take(2))
        .filter_map(|domain| rt.next_completion(domain))
        .map(|(token, _)| token)
        .collect();
    woken.sort_unstable();
    assert_eq!(woken, tasks);
    assert_eq!(rt.take_completion(thread), Some(Ok(0)));
}

/// A listener's connection wakes one of those that sleep, the leader before followers; where all
/// run, it reaches all of them.
#[test]
fn a_connection_wakes_one_that_sleeps() {
    let mut rt = Runtime::new();
    let fd = rt.table.insert(&LISTENER, 0).expect("room");
    let thread = FIRST_OF_THREADS + 1;
    let tokens = [scheduler(3) + 1, scheduler(1) + 1, scheduler(2) + 1, thread];
    for token in tokens {
        assert_eq!(rt.park(fd, Direction::Read, token as isize), PENDING);
    }
    // Two sleep, of which domain 2 has waited for longer. Domain 1 leads.
    for waiter in [thread, scheduler(2)] {
        rt.completions.follow(waiter).expect("memory");
    }
    rt.leader = Leader::Awake;
    rt.led_by = scheduler(1);
    assert!(rt.wake_one(fd.index, Direction::Read));
    assert_eq!(rt.next_completion(1), Some((tokens[1], Ok(0))));
    assert!(rt.wake_one(fd.index, Direction::Read));
    assert_eq!(rt.next_completion(2), Some((tokens[2], Ok(0))));
    assert!(rt.wake_one(fd.index, Direction::Read));
    assert_eq!(rt.take_completion(thread), Some(Ok(0)));
    // Domain 3 runs.
    assert_eq!(rt.next_completion(3), None);
    assert!(!rt.wake_one(fd.index, Direction::Read));
    assert_eq!(rt.next_completion(3), Some((tokens[0], Ok(0))));
    assert!(!rt.table.has_waiters(fd.index, Direction::Read));
}

/// The leader's sleep ends if no other thread waits.
#[test]
fn a_connection_wakes_a_leader_that_sleeps() {
    let mut rt = Runtime::new();
    let fd = rt.table.insert(&LISTENER, 0).expect("room");
    let token = scheduler(2) + 1;
    assert_eq!(rt.park(fd, Direction::Read, token as isize), PENDING);
    rt.leader = Leader::Asleep;
    rt.led_by = scheduler(2);
    assert!(!rt.wake_one(fd.index, Direction::Read));
    assert_eq!(rt.next_completion(2), Some((token, Ok(0))));
    assert!(rt.leader == Leader::Nudged);
}

//! Tokens, parking and cancelling, on pipes.

use super::{Cancelled, Driver, MAX_DRIVERS, Runtime, TokenHasher};
use super::{beside, call, call_at_exit, lock, own, unlock};
use crate::error::{Error, Stop};
use crate::ffi::constants::{COUNTER_BLOCK_REQUESTS, COUNTER_CONNECTIONS, COUNTER_DESCRIPTORS};
use crate::ffi::constants::{COUNTER_MEMORY, COUNTER_OPERATIONS, COUNTER_SLEEPS, MAX_TOKEN};
use crate::pipe;
use crate::runtime::encode;
use crate::table::{Direction, Fd, Operations};
use crate::table::{cannot_park, cannot_read, cannot_write};
use core::hash::Hasher;
use std::collections::BTreeSet;
use std::thread;
use std::vec::Vec;

const PENDING: Result<usize, Stop> = Err(Stop::Pending);

fn pipe_of(rt: &mut Runtime, capacity: isize) -> (Fd, Fd) {
    pipe::open(rt, capacity).expect("memory")
}

/// The completions, in their order.
fn completions(rt: &mut Runtime) -> Vec<(u64, isize)> {
    core::iter::from_fn(|| rt.next_completion()).collect()
}

#[test]
fn tokens_are_positive_and_used_once() {
    let mut rt = Runtime::new();
    let (reader, _writer) = pipe_of(&mut rt, 8);
    let invalid = Err(Stop::Error(Error::Invalid));
    for token in [0, -1, isize::MIN, MAX_TOKEN + 1] {
        assert_eq!(rt.park(reader, Direction::Read, token), invalid, "{token}");
    }
    assert_eq!(rt.park(reader, Direction::Read, MAX_TOKEN), PENDING);
    assert_eq!(rt.park(reader, Direction::Read, MAX_TOKEN), invalid);
    assert_eq!(rt.cancel(MAX_TOKEN), Ok(1));
    assert_eq!(rt.park(reader, Direction::Read, MAX_TOKEN), PENDING);
    assert!(completions(&mut rt).is_empty());
}

#[test]
fn what_is_ready_does_not_park() {
    let mut rt = Runtime::new();
    let (reader, writer) = pipe_of(&mut rt, 4);
    assert_eq!(rt.park(writer, Direction::Write, 1), Ok(0));
    assert_eq!(rt.park(reader, Direction::Read, 1), PENDING);
    assert_eq!(rt.write(writer, b"abcdef"), Ok(4));
    assert_eq!(completions(&mut rt), [(1, 0)]);
    assert_eq!(rt.park(reader, Direction::Read, 2), Ok(0));
    assert_eq!(rt.park(writer, Direction::Write, 2), PENDING);
    assert_eq!(rt.read(reader, &mut [0; 2]), Ok(2));
    assert_eq!(completions(&mut rt), [(2, 0)]);
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
    // The token is another operation's now, and the old place must not complete it.
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
    assert_eq!(completions(&mut rt), [(5, -(Error::Closed as isize))]);
    // Its token is free, and closing again does nothing.
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
    assert_eq!(completions(&mut rt), [(3, 9)]);
    rt.give(3, |_, _| Cancelled::Done).expect("memory");
    assert_eq!(rt.cancel(3), Ok(1));
    rt.complete(3, Ok(12));
    assert!(completions(&mut rt).is_empty());
}

/// The one test with the program's own runtime, since all threads share that.
#[test]
fn the_owner_is_served_and_one_call_at_a_time() {
    const BUSY: fn() -> isize = || encode(Err(Error::Busy.into()));
    let elsewhere = |f: fn() -> isize| thread::spawn(f).join().expect("no panic");
    assert_eq!(elsewhere(|| call(|_| Ok(7))), 7, "it has no owner yet");
    own();
    assert_eq!(call(|_| Ok(7)), 7);
    assert_eq!(elsewhere(|| call(|_| Ok(7))), BUSY());
    assert_eq!(elsewhere(|| call_at_exit(|_| Ok(8))), 8);
    // Neither a call within a call, nor what interrupts one.
    let mut within = Vec::new();
    let mut interrupted = false;
    let outer = call(|_| {
        within.push(call(|_| Ok(1)));
        within.push(call_at_exit(|_| Ok(1)));
        beside(|_| interrupted = true);
        Ok(9)
    });
    assert_eq!((outer, interrupted), (9, false));
    assert_eq!(within, [BUSY(), BUSY()]);
    beside(|_| interrupted = true);
    assert!(interrupted);
    assert!(lock() && !lock());
    assert_eq!(call(|_| Ok(1)), BUSY());
    unlock();
    assert_eq!(call(|_| Ok(1)), 1);
    super::OWNER.store(0, core::sync::atomic::Ordering::Relaxed);
}

#[test]
fn tokens_are_spread() {
    let hash = |token: u64| {
        let mut hasher = TokenHasher::default();
        hasher.write_u64(token);
        hasher.finish()
    };
    // The table looks at the low bits for a place, and at the top seven for a match.
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
    assert_eq!(completions(&mut rt), [(0, 1), (0, 2)]);
}

#[test]
fn each_way_to_shut_down_is_passed_on() {
    static WAYS: Operations = Operations {
        kind: 9,
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
    assert_eq!(rt.kind(fd), Ok(9));
}

#[test]
fn counters_are_the_runtimes_and_those_of_its_parts() {
    let mut rt = Runtime::new();
    let (reader, _writer) = pipe_of(&mut rt, 8);
    assert_eq!(rt.park(reader, Direction::Read, 5), PENDING);
    rt.sleeps = 77;
    let connections = COUNTER_CONNECTIONS;
    let counts = |rt: &mut Runtime| {
        [
            COUNTER_DESCRIPTORS,
            COUNTER_OPERATIONS,
            COUNTER_SLEEPS,
            connections,
        ]
        .map(|which| rt.counter(which))
    };
    assert_eq!(counts(&mut rt), [Ok(2), Ok(1), Ok(77), Ok(0)]);
    assert_eq!(rt.counter(COUNTER_BLOCK_REQUESTS), Ok(0));
    assert!(rt.counter(COUNTER_MEMORY).is_ok_and(|bytes| bytes > 4096));
    for other in [-1, COUNTER_SLEEPS + 1] {
        let refused = Err(Stop::Error(Error::Invalid));
        assert_eq!(rt.counter(other), refused, "{other}");
    }
    let part = Driver {
        poll: |_, _| (),
        deadline: |_| None,
        interest: |_, _| (),
        finish: |_| true,
        counter: |_, which| if which == COUNTER_CONNECTIONS { 10 } else { 0 },
    };
    for _ in 0..MAX_DRIVERS {
        rt.register(part).expect("room");
    }
    assert_eq!(rt.register(part), Err(Error::TooManyOpen));
    let all = 10 * MAX_DRIVERS;
    assert_eq!(counts(&mut rt), [Ok(2), Ok(1), Ok(77), Ok(all)]);
}

//! Tokens, parking and cancelling, on pipes.

use super::{Cancelled, Runtime};
use crate::abi::MAX_TOKEN;
use crate::error::{Error, Stop};
use crate::pipe;
use crate::table::{Direction, Fd};
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

//! Pipes: order, end of stream, and wake-ups.

use super::{READING, open};
use crate::Runtime;
use crate::runtime::next_completion;
use platform::Direction;
use platform::error::{Error, Stop};
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

const PENDING: Result<usize, Stop> = Err(Stop::Pending);
const WOULD_BLOCK: Result<usize, Stop> = Err(Stop::WouldBlock);
const BROKEN: Result<usize, Stop> = Err(Stop::Error(Error::BrokenPipe));

fn completions(rt: &mut Runtime) -> Vec<(u64, isize)> {
    core::iter::from_fn(|| next_completion(rt, 0)).collect()
}

/// Arbitrary lengths, so that the end of the ring falls at any place in a write or read.
#[test]
fn bytes_come_out_as_they_went_in() {
    for capacity in [1, 2, 7, 64] {
        let mut rt = Runtime::new();
        let (reader, writer) = open(&mut rt, capacity).expect("room");
        let capacity = capacity as usize;
        let mut model: VecDeque<u8> = VecDeque::new();
        let mut next = 0u8;
        for round in 0..2000usize {
            let bytes: Vec<u8> = (0..1 + round * 7 % 11)
                .map(|at| next.wrapping_add(at as u8))
                .collect();
            let fits = bytes.len().min(capacity - model.len());
            let expected = if fits == 0 { WOULD_BLOCK } else { Ok(fits) };
            assert_eq!(rt.write(writer, &bytes), expected);
            model.extend(&bytes[..fits]);
            next = next.wrapping_add(fits as u8);
            let mut into = vec![0; round * 5 % 9];
            let there = into.len().min(model.len());
            let expected = if model.is_empty() && !into.is_empty() {
                WOULD_BLOCK
            } else {
                Ok(there)
            };
            assert_eq!(rt.read(reader, &mut into), expected);
            assert!(model.drain(..there).eq(into[..there].iter().copied()));
        }
    }
}

#[test]
fn a_reader_that_closes_wakes_the_writer() {
    for by_shutdown in [false, true] {
        let mut rt = Runtime::new();
        let (reader, writer) = open(&mut rt, 4).expect("room");
        assert_eq!(rt.write(writer, b"abcdef"), Ok(4));
        assert_eq!(rt.park(writer, Direction::Write, 1), PENDING);
        if by_shutdown {
            // 0 shuts down receiving.
            assert_eq!(rt.shutdown(reader, 0), Ok(0));
            assert_eq!(rt.read(reader, &mut [0; 4]), Ok(0));
        } else {
            assert_eq!(rt.close(reader), Ok(0));
        }
        assert_eq!(completions(&mut rt), [(1, 0)]);
        assert_eq!(rt.write(writer, b"x"), BROKEN);
        assert_eq!(
            rt.park(writer, Direction::Write, 2),
            Ok(0),
            "it needn't wait"
        );
    }
}

#[test]
fn a_writer_that_closes_wakes_the_reader_and_leaves_what_it_wrote() {
    let mut rt = Runtime::new();
    let (reader, writer) = open(&mut rt, 4).expect("room");
    assert_eq!(rt.park(reader, Direction::Read, 1), PENDING);
    assert_eq!(rt.close(writer), Ok(0));
    assert_eq!(completions(&mut rt), [(1, 0)]);
    assert_eq!(rt.read(reader, &mut [0; 4]), Ok(0));
    let (reader, writer) = open(&mut rt, 4).expect("room");
    assert_eq!(rt.write(writer, b"abc"), Ok(3));
    assert_eq!(rt.close(writer), Ok(0));
    let mut into = [0; 4];
    assert_eq!(rt.read(reader, &mut into), Ok(3));
    assert_eq!(&into, b"abc\0");
    assert_eq!(rt.read(reader, &mut into), Ok(0));
}

/// If the table has no room for both descriptors, neither the pipe nor one end stays.
#[test]
fn a_pipe_without_descriptors_leaves_nothing() {
    let mut rt = Runtime::new();
    let mut others = Vec::new();
    while let Ok(fd) = rt.table.insert(&READING, u32::MAX) {
        others.push(fd);
    }
    let all = rt.table.count();
    for left in 0..2 {
        assert_eq!(open(&mut rt, 4).err(), Some(Error::TooManyOpen.into()));
        assert_eq!(rt.table.count(), all - left);
        assert!(rt.resources.pipes.is_empty(), "{left} left");
        let other = others.pop().expect("a descriptor");
        rt.table.remove(other, |_| ());
    }
    let (reader, writer) = open(&mut rt, 4).expect("room for both");
    assert_eq!(rt.write(writer, b"ab"), Ok(2));
    assert_eq!(rt.read(reader, &mut [0; 4]), Ok(2));
}

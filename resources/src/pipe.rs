//! Pipes: a bounded ring of bytes between a reading and a writing descriptor.

use crate::Operations;
use crate::Runtime;
use crate::types::Int;
use alloc::vec::Vec;
use platform::Direction;
use platform::error::{Answer, Error, Stop};
use reactor::table::{Fd, Kind, cannot_read, cannot_write};
use slab::Slab;

/// Maximum capacity in bytes.
const MAX_CAPACITY: usize = 16 << 20;

/// Maximum room in bytes that a writer waits for: POSIX's `PIPE_BUF`.
pub const ATOMIC: usize = 4096;

/// All pipes.
pub type Pipes = Slab<Pipe>;

/// The ring buffer, and the descriptor-table indices of its ends; `None` for a closed end.
pub struct Pipe {
    ring: Vec<u8>,
    start: usize,
    len: usize,
    reader: Option<u32>,
    writer: Option<u32>,
    /// Number of descriptors that refer to it.
    users: u8,
}

static READING: Operations = Operations {
    kind: Kind::Pipe,
    read,
    write: cannot_write,
    ready,
    shutdown: |rt, key, receive, send| {
        if send {
            return Err(Error::WrongKind.into());
        }
        if receive {
            end_reading(rt, key);
        }
        Ok(0)
    },
    close: |rt, key| {
        end_reading(rt, key);
        release(rt, key);
    },
};

static WRITING: Operations = Operations {
    kind: Kind::Pipe,
    read: cannot_read,
    write,
    ready,
    shutdown: |rt, key, receive, send| {
        if receive {
            return Err(Error::WrongKind.into());
        }
        if send {
            end_writing(rt, key);
        }
        Ok(0)
    },
    close: |rt, key| {
        end_writing(rt, key);
        release(rt, key);
    },
};

impl Pipe {
    /// Appends as much of `from` as fits. Returns the number of bytes.
    fn put(&mut self, from: &[u8]) -> usize {
        let capacity = self.ring.len();
        let n = from.len().min(capacity - self.len);
        let (first, second) = from.split_at(n.min(capacity - self.end()));
        let end = self.end();
        if let Some(into) = self.ring.get_mut(end..end + first.len()) {
            into.copy_from_slice(first);
        }
        let second = second.get(..n - first.len()).unwrap_or(&[]);
        if let Some(into) = self.ring.get_mut(..second.len()) {
            into.copy_from_slice(second);
        }
        self.len += n;
        n
    }

    /// Returns the index at which the next byte is written.
    fn end(&self) -> usize {
        let end = self.start + self.len;
        if end >= self.ring.len() {
            end - self.ring.len()
        } else {
            end
        }
    }

    /// Removes as many bytes as are available and fit. Returns their number.
    fn take(&mut self, into: &mut [u8]) -> usize {
        let capacity = self.ring.len();
        let n = into.len().min(self.len);
        let first = n.min(capacity - self.start);
        let (head, tail) = into.split_at_mut(first);
        if let Some(from) = self.ring.get(self.start..self.start + first) {
            head.copy_from_slice(from);
        }
        if let (Some(to), Some(from)) = (tail.get_mut(..n - first), self.ring.get(..n - first)) {
            to.copy_from_slice(from);
        }
        self.len -= n;
        self.start = if self.len == 0 {
            0
        } else {
            (self.start + n) % capacity
        };
        n
    }
}

/// See `soil_pipe`.
pub fn open(rt: &mut Runtime, capacity: Int) -> Result<(Fd, Fd), Stop> {
    let capacity = usize::try_from(capacity).map_err(|_| Error::Invalid)?;
    if !(1..=MAX_CAPACITY).contains(&capacity) {
        return Err(Error::Invalid.into());
    }
    let mut ring = Vec::new();
    ring.try_reserve_exact(capacity)
        .map_err(|_| Error::OutOfMemory)?;
    ring.resize(capacity, 0);
    let key = rt.resources.pipes.insert(Pipe {
        ring,
        start: 0,
        len: 0,
        reader: None,
        writer: None,
        users: 2,
    });
    // A key is below the number of descriptors, which is below 2^20.
    let ends = rt.table.insert(&READING, key as u32).and_then(|reader| {
        let writer = rt.table.insert(&WRITING, key as u32);
        if writer.is_err() {
            rt.table.remove(reader, |_| ());
        }
        Ok((reader, writer?))
    });
    let Ok((reader, writer)) = ends else {
        rt.resources.pipes.try_remove(key);
        return Err(Error::TooManyOpen.into());
    };
    if let Some(pipe) = rt.resources.pipes.get_mut(key) {
        pipe.reader = Some(reader.index);
        pipe.writer = Some(writer.index);
    }
    Ok((reader, writer))
}

/// State of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Bytes available to read.
    pub len: usize,
    /// Free bytes.
    pub room: usize,
    /// Whether the opposite end is open.
    pub has_peer: bool,
}

/// Returns the state of a descriptor's pipe.
pub fn state(rt: &mut Runtime, fd: Fd) -> Result<State, Error> {
    let (operations, key) = rt.table.get(fd)?;
    if operations.kind != Kind::Pipe {
        return Err(Error::WrongKind);
    }
    let pipe = pipe(rt, key)?;
    let peer = match pipe.reader {
        Some(reader) if reader == fd.index => pipe.writer,
        reader => reader,
    };
    Ok(State {
        len: pipe.len,
        room: pipe.ring.len() - pipe.len,
        has_peer: peer.is_some(),
    })
}

fn pipe(rt: &mut Runtime, key: u32) -> Result<&mut Pipe, Error> {
    rt.resources
        .pipes
        .get_mut(key as usize)
        .ok_or(Error::Closed)
}

fn read(rt: &mut Runtime, key: u32, into: &mut [u8]) -> Answer {
    let pipe = pipe(rt, key)?;
    if into.is_empty() || pipe.reader.is_none() {
        return Ok(0);
    }
    if pipe.len == 0 {
        return if pipe.writer.is_some() {
            Err(Stop::WouldBlock)
        } else {
            Ok(0)
        };
    }
    // With that much room no writer waits, and the readiness doesn't change.
    let was_short = pipe.ring.len() - pipe.len < ATOMIC;
    let n = pipe.take(into);
    if let Some(writer) = pipe.writer.filter(|_| was_short) {
        rt.wake(writer, Direction::Write);
    }
    Ok(n)
}

fn write(rt: &mut Runtime, key: u32, from: &[u8]) -> Answer {
    let pipe = pipe(rt, key)?;
    let (Some(reader), Some(_)) = (pipe.reader, pipe.writer) else {
        return Err(Error::BrokenPipe.into());
    };
    let n = pipe.put(from);
    if n == 0 {
        return if from.is_empty() {
            Ok(0)
        } else {
            Err(Stop::WouldBlock)
        };
    }
    rt.wake(reader, Direction::Read);
    Ok(n)
}

fn ready(rt: &mut Runtime, key: u32, direction: Direction) -> Result<bool, Error> {
    let pipe = pipe(rt, key)?;
    Ok(match direction {
        Direction::Read => pipe.len > 0 || pipe.writer.is_none() || pipe.reader.is_none(),
        Direction::Write => {
            pipe.len < pipe.ring.len() || pipe.reader.is_none() || pipe.writer.is_none()
        }
    })
}

/// Closes the read end: frees the ring and wakes writers.
fn end_reading(rt: &mut Runtime, key: u32) {
    let Ok(pipe) = pipe(rt, key) else { return };
    pipe.len = 0;
    let reader = pipe.reader.take();
    let writer = pipe.writer;
    for (index, direction) in [(reader, Direction::Read), (writer, Direction::Write)] {
        if let Some(index) = index {
            rt.wake(index, direction);
        }
    }
}

/// Closes the write end: readers get the rest and then the end of the stream.
fn end_writing(rt: &mut Runtime, key: u32) {
    let Ok(pipe) = pipe(rt, key) else { return };
    let writer = pipe.writer.take();
    let reader = pipe.reader;
    for (index, direction) in [(reader, Direction::Read), (writer, Direction::Write)] {
        if let Some(index) = index {
            rt.wake(index, direction);
        }
    }
}

/// Releases one of the two ends; the second one frees the pipe.
fn release(rt: &mut Runtime, key: u32) {
    let Ok(pipe) = pipe(rt, key) else { return };
    pipe.users = pipe.users.saturating_sub(1);
    if pipe.users == 0 {
        rt.resources.pipes.try_remove(key as usize);
    }
}

#[cfg(test)]
mod tests;

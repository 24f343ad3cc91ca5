//! Pipes and pairs of sockets, inside the process.

use crate::memory::store;
use crate::objects::{Channel, End, Kind, SharedChannel};
use crate::state;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes that a channel holds.
const CAPACITY: usize = 64 << 10;
/// A write of at most this many bytes is whole or not at all (pipe(7)).
const ATOMIC: usize = 4096;

fn channel() -> SharedChannel {
    Rc::new(RefCell::new(Channel {
        bytes: VecDeque::new(),
        arrivals: 0,
        reader_gone: false,
        writer_gone: false,
    }))
}

/// Opens two ends, and writes their descriptors to `at`.
fn open(ends: [End; 2], at: usize, flags: i32) -> Result<isize, i32> {
    let [first, second] = ends;
    let pair = state::with(|state| {
        let first = state.add(Kind::End(first), flags)?;
        match state.add(Kind::End(second), flags) {
            Ok(second) => Ok([first, second]),
            Err(error) => {
                state.forget(first);
                crate::kernel::close(first);
                Err(error)
            }
        }
    })?;
    store(at, pair);
    Ok(0)
}

/// pipe2(2).
pub fn pipe(at: usize, flags: i32) -> Result<isize, i32> {
    let channel = channel();
    let reader = End {
        input: Some(channel.clone()),
        output: None,
        socket: false,
    };
    let writer = End {
        input: None,
        output: Some(channel),
        socket: false,
    };
    open([reader, writer], at, flags)
}

/// socketpair(2) for streams.
pub fn pair(at: usize, flags: i32) -> Result<isize, i32> {
    let (there, back) = (channel(), channel());
    let first = End {
        input: Some(back.clone()),
        output: Some(there.clone()),
        socket: true,
    };
    let second = End {
        input: Some(there),
        output: Some(back),
        socket: true,
    };
    open([first, second], at, flags)
}

impl End {
    /// Up to `max` bytes, which stay with `peek`; none at the end.
    ///
    /// # Errors
    /// `EAGAIN`: there are none yet. `EBADF`: a pipe's other end.
    pub fn read(&self, max: usize, peek: bool) -> Result<Vec<u8>, i32> {
        let mut channel = self.input.as_ref().ok_or(libc::EBADF)?.borrow_mut();
        let len = max.min(channel.bytes.len());
        if len == 0 && max > 0 && !channel.writer_gone && !channel.reader_gone {
            return Err(libc::EAGAIN);
        }
        match peek {
            true => Ok(channel.bytes.iter().take(len).copied().collect()),
            false => Ok(channel.bytes.drain(..len).collect()),
        }
    }

    /// Writes as much as fits; returns the number of bytes.
    ///
    /// # Errors
    /// `EAGAIN`: nothing fits. `EPIPE`. `EBADF`: a pipe's other end.
    pub fn write(&self, from: &[u8]) -> Result<usize, i32> {
        let mut channel = self.output.as_ref().ok_or(libc::EBADF)?.borrow_mut();
        if channel.reader_gone || channel.writer_gone {
            return Err(libc::EPIPE);
        }
        let room = CAPACITY - channel.bytes.len();
        if room < from.len().min(ATOMIC) {
            return Err(libc::EAGAIN);
        }
        let len = from.len().min(room);
        channel.bytes.extend(from.iter().take(len));
        channel.arrivals += 1;
        Ok(len)
    }

    /// Bytes to read.
    pub fn unread(&self) -> usize {
        self.input
            .as_ref()
            .map_or(0, |input| input.borrow().bytes.len())
    }

    /// How often something arrived; the end counts.
    pub fn arrivals(&self) -> u64 {
        self.input.as_ref().map_or(0, |input| {
            let input = input.borrow();
            input.arrivals + u64::from(input.writer_gone || input.reader_gone)
        })
    }

    /// What poll(2) says of it.
    pub fn events(&self) -> u32 {
        let mut events = 0;
        if let Some(input) = &self.input {
            let input = input.borrow();
            let at_end = input.writer_gone || input.reader_gone;
            if !input.bytes.is_empty() || (at_end && self.socket) {
                events |= libc::POLLIN | libc::POLLRDNORM;
            }
            if at_end {
                events |= if self.socket {
                    libc::POLLRDHUP
                } else {
                    libc::POLLHUP
                };
            }
        }
        if let Some(output) = &self.output {
            let output = output.borrow();
            if output.reader_gone {
                events |= if self.socket {
                    libc::POLLHUP
                } else {
                    libc::POLLERR
                };
            }
            if output.reader_gone || CAPACITY - output.bytes.len() >= ATOMIC {
                events |= libc::POLLOUT | libc::POLLWRNORM;
            }
        }
        events as u32
    }
}

#[cfg(test)]
mod tests {
    use super::{ATOMIC, CAPACITY, channel};
    use crate::objects::End;

    fn ends() -> [End; 2] {
        let channel = channel();
        let end = |input, output| End {
            input,
            output,
            socket: false,
        };
        [end(Some(channel.clone()), None), end(None, Some(channel))]
    }

    #[test]
    fn a_pipe_keeps_the_order_and_ends() {
        let [reader, writer] = ends();
        assert_eq!(reader.read(4, false), Err(libc::EAGAIN));
        assert_eq!(writer.write(b"hello"), Ok(5));
        assert_eq!(reader.read(2, true), Ok(b"he".to_vec()));
        assert_eq!(reader.read(2, false), Ok(b"he".to_vec()));
        writer.output.as_ref().unwrap().borrow_mut().writer_gone = true;
        assert_eq!(reader.read(9, false), Ok(b"llo".to_vec()));
        assert_eq!(reader.read(9, false), Ok(vec![]));
        assert_eq!(reader.events(), libc::POLLHUP as u32);
    }

    #[test]
    fn a_full_pipe_takes_short_writes_whole_or_not() {
        let [reader, writer] = ends();
        let bytes = vec![1; CAPACITY - 10];
        assert_eq!(writer.write(&bytes), Ok(bytes.len()));
        assert_eq!(writer.write(&[2; 11]), Err(libc::EAGAIN));
        assert_eq!(writer.events(), 0);
        assert_eq!(
            reader.read(ATOMIC, false).map(|read| read.len()),
            Ok(ATOMIC)
        );
        assert_eq!(writer.write(&[2; 11]), Ok(11));
        reader.input.as_ref().unwrap().borrow_mut().reader_gone = true;
        assert_eq!(writer.write(b"x"), Err(libc::EPIPE));
    }
}

//! The two ends of a pipe (pipe(7)).

use crate::blocking::lent::Lent;
use crate::blocking::operation::{self, at_once, number};
use crate::blocking::readiness::{self, Events};
use crate::blocking::signals;
use crate::errors::{Result, errno};
use crate::file::{Description, File, Offset, Pieces};
use crate::stat::Stat;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use platform::Direction;
use reactor::table::Fd;
use resources::types::Int;
use resources::{Runtime, pipe};

/// The capacity of a pipe in bytes, as Linux's.
const CAPACITY: Int = 64 << 10;

/// Maximum size of an atomic write (`PIPE_BUF`).
pub const ATOMIC: usize = pipe::ATOMIC;

/// The end to read from.
pub struct Reader(Fd);

/// The end to write to.
pub struct Writer(Fd);

/// `pipe2`: the ends: read, write. `flags`: `O_NONBLOCK`.
pub fn open(flags: i32) -> Result<[Arc<Description>; 2]> {
    let mut ends = None;
    at_once(|rt| {
        ends = Some(pipe::open(rt, CAPACITY)?);
        Ok(0)
    })?;
    let (reader, writer) = ends.ok_or(libc::EMFILE)?;
    let kept = flags & libc::O_NONBLOCK;
    Ok([
        Description::new(Reader(reader), libc::O_RDONLY | kept),
        Description::new(Writer(writer), libc::O_WRONLY | kept),
    ])
}

fn stat(fd: Fd) -> Stat {
    Stat::special(libc::S_IFIFO, 0o600, fd.encode() as u64 | 1)
}

fn name(fd: Fd) -> String {
    format!("pipe:[{}]", stat(fd).inode)
}

/// Number of bytes in the pipe.
fn available(fd: Fd) -> Result<u64> {
    at_once(|rt| Ok(pipe::state(rt, fd)?.len)).map(|len| len as u64)
}

/// Waits until an end is worth a try, with the memory that the call was lent.
fn park(fd: Fd, direction: Direction, flags: i32, lent: Lent) -> Result<()> {
    match flags & libc::O_NONBLOCK {
        0 => operation::park(fd, direction, None).and_then(|()| lent.check()),
        _ => Err(libc::EAGAIN),
    }
}

/// Closes an end, which never fails.
fn close(fd: Fd) {
    let _ = at_once(|rt| rt.close(fd));
}

impl File for Reader {
    fn stat(&self) -> Result<Stat> {
        Ok(stat(self.0))
    }

    fn name(&self) -> String {
        name(self.0)
    }

    fn read(&self, into: &mut [u8], offset: Offset, flags: i32) -> Result<usize> {
        offset.check_stream()?;
        let lent = Lent::to_write(into);
        loop {
            match at_once(|rt| rt.read(self.0, into)) {
                Err(libc::EAGAIN) => park(self.0, Direction::Read, flags, lent)?,
                done => return done,
            }
        }
    }

    fn has_more(&self) -> bool {
        available(self.0).is_ok_and(|count| count > 0)
    }

    fn available(&self) -> Result<u64> {
        available(self.0)
    }

    fn events(&self, rt: &mut Runtime) -> Events {
        let Ok(pipe) = pipe::state(rt, self.0) else {
            return Events::ERR;
        };
        Events::when(pipe.len > 0, Events::READABLE) | Events::when(!pipe.has_peer, Events::HUP)
    }

    fn changes(&self, rt: &mut Runtime) -> u64 {
        rt.table.changes(self.0)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        close(self.0);
    }
}

impl Writer {
    fn write_in_parts(&self, from: &[u8], flags: i32) -> Result<usize> {
        let mut done = 0;
        let lent = Lent::to_read(from);
        while done < from.len() {
            let rest = from.get(done..).unwrap_or_default();
            let written = match at_once(|rt| rt.write(self.0, rest)) {
                Err(libc::EAGAIN) => park(self.0, Direction::Write, flags, lent).map(|()| 0),
                written => written,
            };
            match written {
                Ok(n) => done += n,
                Err(libc::EPIPE) if done > 0 => {
                    signals::raise(libc::SIGPIPE);
                    break;
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }
}

impl File for Writer {
    fn stat(&self) -> Result<Stat> {
        Ok(stat(self.0))
    }

    fn name(&self) -> String {
        name(self.0)
    }

    /// Writes up to [`ATOMIC`] bytes at once or not at all, and more in parts: all, if the call may
    /// wait for the pipe, otherwise as much as there is room for. A pipe without a reader sends
    /// SIGPIPE, even after a part was written.
    fn write(&self, from: &[u8], offset: Offset, flags: i32) -> Result<usize> {
        offset.check_stream()?;
        let written = match from.len() {
            0 => Ok(0),
            len if len <= ATOMIC => readiness::retry(flags, Lent::to_read(from), |rt| {
                let pipe = pipe::state(rt, self.0).map_err(errno)?;
                if pipe.has_peer && pipe.room < len {
                    return Ok(None);
                }
                rt.write(self.0, from).map(Some).map_err(number)
            }),
            _ => self.write_in_parts(from, flags),
        };
        if written == Err(libc::EPIPE) {
            signals::raise(libc::SIGPIPE);
        }
        written
    }

    fn pieces(&self) -> Pieces {
        Pieces::Atomic(ATOMIC)
    }

    fn available(&self) -> Result<u64> {
        available(self.0)
    }

    fn events(&self, rt: &mut Runtime) -> Events {
        let Ok(pipe) = pipe::state(rt, self.0) else {
            return Events::ERR;
        };
        Events::when(pipe.room >= ATOMIC, Events::WRITABLE)
            | Events::when(!pipe.has_peer, Events::ERR)
    }

    fn changes(&self, rt: &mut Runtime) -> u64 {
        rt.table.changes(self.0)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        close(self.0);
    }
}

//! The console: the three standard streams, and the bidirectional terminal.

use crate::blocking::console;
use crate::blocking::readiness::{self, Events};
use crate::errors::Result;
use crate::file::{File, Offset};
use crate::stat::Stat;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};
use platform::error::Stop;
use platform::{Console as _, Direction, Stream};
use resources::Runtime;
use resources::current::Current;

/// The direction of the console that a descriptor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
    /// Both directions.
    Terminal,
}

/// Number of reads: input after one is a new edge.
static READS: AtomicU64 = AtomicU64::new(0);

fn has_input() -> bool {
    Current::console_ready(Stream::Standard, Direction::Read)
}

impl Console {
    fn reads(self) -> bool {
        matches!(self, Console::Input | Console::Terminal)
    }
}

impl File for Console {
    fn stat(&self) -> Result<Stat> {
        Ok(Stat::special(libc::S_IFCHR, 0o666, 1))
    }

    fn name(&self) -> String {
        let name = match self {
            Console::Input => "/dev/stdin",
            Console::Output => "/dev/stdout",
            Console::Error => "/dev/stderr",
            Console::Terminal => "/dev/tty",
        };
        name.into()
    }

    fn read(&self, into: &mut [u8], offset: Offset, flags: i32) -> Result<usize> {
        offset.check_stream()?;
        if !self.reads() {
            return Err(libc::EBADF);
        }
        READS.fetch_add(1, Ordering::Relaxed);
        loop {
            let seen = console::events();
            match Current::console_read(into) {
                Ok(count) => return Ok(count),
                Err(Stop::Error(_)) => return Err(libc::EIO),
                Err(_) if flags & libc::O_NONBLOCK != 0 => return Err(libc::EAGAIN),
                Err(_) => console::wait(Direction::Read, seen)?,
            }
        }
    }

    /// Waits while the console accepts nothing, whatever the flags, since a terminal's output can't
    /// be polled for. A signal ends it with a shorter count.
    fn write(&self, from: &[u8], offset: Offset, _: i32) -> Result<usize> {
        offset.check_stream()?;
        let stream = match self {
            Console::Input => return Err(libc::EBADF),
            Console::Output | Console::Terminal => Stream::Standard,
            Console::Error => Stream::Error,
        };
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let seen = console::events();
            match Current::console_write(stream, rest) {
                Ok(count) => done += count,
                Err(Stop::Error(_)) => return Err(libc::EIO),
                Err(_) => match console::wait(Direction::Write, seen) {
                    Err(_) if done > 0 => break,
                    waited => waited?,
                },
            }
        }
        Ok(done)
    }

    /// Only the first bytes of a read are waited for.
    fn has_more(&self) -> bool {
        false
    }

    fn events(&self, rt: &mut Runtime) -> Events {
        let input = self.reads() && has_input();
        if self.reads() && !input {
            readiness::await_input(rt);
        }
        Events::WRITABLE | Events::when(input, Events::READABLE)
    }

    fn changes(&self, _: &mut Runtime) -> u64 {
        READS.load(Ordering::Relaxed)
    }
}

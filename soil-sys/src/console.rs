//! The console as a descriptor. What it is made of is the platform's business.

use crate::error::{Answer, Error};
use crate::ffi::constants::KIND_CONSOLE;
use crate::platform::{Current, Interest, Platform};
use crate::runtime::Runtime;
use crate::table::{Direction, Fd, Operations, cannot_shut_down};

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Standard input and output.
    Standard,
    /// Error output; there is nothing to read.
    Error,
}

/// The descriptors handed out, if they are open.
pub struct Console {
    open: [Option<Fd>; 2],
}

static CONSOLE: Operations = Operations {
    kind: KIND_CONSOLE,
    read: |_, key, into| match which(key) {
        Which::Standard => Current::console_read(into),
        Which::Error => Err(Error::WrongKind.into()),
    },
    write: |_, key, from| {
        if from.is_empty() {
            Ok(0)
        } else {
            Current::console_write(which(key), from)
        }
    },
    ready: |_, key, direction| match (which(key), direction) {
        (Which::Error, Direction::Read) => Err(Error::WrongKind),
        (which, direction) => Ok(Current::console_ready(which, direction)),
    },
    shutdown: cannot_shut_down,
    close: |rt, key| {
        if let Some(open) = rt.console.open.get_mut(key as usize) {
            *open = None;
        }
    },
};

fn which(key: u32) -> Which {
    if key == 0 {
        Which::Standard
    } else {
        Which::Error
    }
}

impl Console {
    /// Nothing open yet.
    pub const fn new() -> Console {
        Console { open: [None; 2] }
    }
}

/// See `soil_console`, `soil_console_error`.
pub fn open(rt: &mut Runtime, which: Which) -> Answer {
    let key = which as usize;
    if let Some(Some(fd)) = rt.console.open.get(key) {
        return Ok(fd.encode() as usize);
    }
    let fd = rt.table.insert(&CONSOLE, key as u32)?;
    if let Some(open) = rt.console.open.get_mut(key) {
        *open = Some(fd);
    }
    Ok(fd.encode() as usize)
}

/// What tasks are parked on, each with its place in the table.
fn parked(rt: &Runtime) -> impl Iterator<Item = (Which, Direction, u32)> + use<> {
    let all = [
        (Which::Standard, Direction::Read),
        (Which::Standard, Direction::Write),
        (Which::Error, Direction::Write),
    ];
    let found = all.map(|(which, direction)| {
        let fd = rt.console.open.get(which as usize).copied().flatten()?;
        rt.table
            .has_waiters(fd.index, direction)
            .then_some((which, direction, fd.index))
    });
    found.into_iter().flatten()
}

/// Completes what is parked on the console and can go on.
pub fn poll(rt: &mut Runtime) {
    for (which, direction, index) in parked(rt) {
        if Current::console_ready(which, direction) {
            rt.wake(index, direction);
        }
    }
}

/// Adds what is parked on the console to what the platform waits for.
pub fn interest(rt: &Runtime, interest: &mut Interest) {
    for (which, direction, _) in parked(rt) {
        interest.console(which, direction);
    }
}

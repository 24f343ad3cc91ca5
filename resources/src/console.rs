//! The console as a descriptor. The platform supplies the device.

use crate::Operations;
use crate::current::{Current, Interest};
use crate::{Driver, Runtime};
use platform::Direction;
use platform::error::{Answer, Error};
use platform::{Console as _, Interest as _, Stream};
use reactor::table::{Fd, Kind, cannot_shut_down};

/// Descriptors of the console, if they are open.
pub(crate) struct Console {
    open: [Option<Fd>; 2],
    /// Whether the driver is registered.
    registered: bool,
}

static CONSOLE: Operations = Operations {
    kind: Kind::Console,
    read: |_, key, into| match stream(key) {
        Stream::Standard => Current::console_read(into),
        Stream::Error => Err(Error::WrongKind.into()),
    },
    write: |_, key, from| {
        if from.is_empty() {
            Ok(0)
        } else {
            Current::console_write(stream(key), from)
        }
    },
    ready: |_, key, direction| match (stream(key), direction) {
        (Stream::Error, Direction::Read) => Err(Error::WrongKind),
        (stream, direction) => Ok(Current::console_ready(stream, direction)),
    },
    shutdown: cannot_shut_down,
    close: |rt, key| {
        if let Some(open) = rt.resources.console.open.get_mut(key as usize) {
            *open = None;
        }
    },
};

fn stream(key: u32) -> Stream {
    if key == 0 {
        Stream::Standard
    } else {
        Stream::Error
    }
}

impl Console {
    /// Creates a console without open descriptors.
    pub const fn new() -> Console {
        Console {
            open: [None; 2],
            registered: false,
        }
    }
}

/// See `soil_console`, `soil_console_error`.
pub fn open(rt: &mut Runtime, stream: Stream) -> Answer {
    let key = stream as usize;
    if let Some(Some(fd)) = rt.resources.console.open.get(key) {
        return Ok(fd.encode() as usize);
    }
    if !rt.resources.console.registered {
        rt.register(const { &Driver::of_events(|rt, _| poll(rt), |rt, all| interest(rt, all)) })?;
        rt.resources.console.registered = true;
    }
    let fd = rt.table.insert(&CONSOLE, key as u32)?;
    if let Some(open) = rt.resources.console.open.get_mut(key) {
        *open = Some(fd);
    }
    Ok(fd.encode() as usize)
}

/// Iterates over the streams and directions that tasks are parked on, with their index in the
/// table.
fn parked(rt: &Runtime) -> impl Iterator<Item = (Stream, Direction, u32)> + use<> {
    let all = [
        (Stream::Standard, Direction::Read),
        (Stream::Standard, Direction::Write),
        (Stream::Error, Direction::Write),
    ];
    let found = all.map(|(stream, direction)| {
        let fd = rt
            .resources
            .console
            .open
            .get(stream as usize)
            .copied()
            .flatten()?;
        rt.table
            .has_waiters(fd.index, direction)
            .then_some((stream, direction, fd.index))
    });
    found.into_iter().flatten()
}

/// Wakes the tasks parked on the console whose stream is ready.
fn poll(rt: &mut Runtime) {
    for (stream, direction, index) in parked(rt) {
        if Current::console_ready(stream, direction) {
            rt.wake(index, direction);
        }
    }
}

/// Adds the streams that tasks are parked on to what the platform waits for.
fn interest(rt: &Runtime, interest: &mut Interest) {
    for (stream, direction, _) in parked(rt) {
        interest.console(stream, direction);
    }
}

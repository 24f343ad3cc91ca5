//! Descriptors of the console beside others: reading, writing, and waiting for both; the program's
//! end.

use super::memory::{bytes_mut, load, number, store};
use crate::blocking::without_handlers;
use crate::descriptors::{self, Object};
use crate::errors::Result;
use crate::io::{self, Place};
use kernel::wait::For;
use kernel::{console, signals, syscall, time, wait};
use platform::Direction;

/// How long the end of a program waits for its disks, in nanoseconds: as the end of one that uses
/// the library `soil`.
const GRACE_NS: u64 = 10_000_000_000;

/// Reads from a standard stream.
pub fn read(stream: u64, pieces: &[[u64; 2]], place: Place) -> Result<u64> {
    match place {
        Place::Position => syscall::read_console(stream, pieces).map_err(number),
        Place::Byte(_) => Err(libc::ESPIPE),
    }
}

/// Writes to a standard stream.
pub fn write(stream: u64, pieces: &[[u64; 2]], place: Place) -> Result<u64> {
    match place {
        Place::Position => syscall::write_console(stream, pieces).map_err(number),
        Place::Byte(_) => Err(libc::ESPIPE),
    }
}

/// Before the machine ends: writes back all volumes.
pub fn finish() {
    // A failure has its line in the log.
    let _ = without_handlers(|| resources::runtime::finish(GRACE_NS));
}

/// Whether reading and writing a descriptor wouldn't wait.
fn readiness(descriptor: u64) -> Result<[bool; 2]> {
    let description = descriptors::get(descriptor)?;
    Ok(match &description.object {
        Object::Console(0) => [console::has_input(), true],
        Object::Console(_) => [false, true],
        Object::Terminal => [console::has_input(), true],
        Object::Pipe(fd) => {
            let ready = |direction| io::is_ready(*fd, direction);
            match description.check_readable() {
                Ok(()) => [ready(Direction::Read), false],
                Err(_) => [false, ready(Direction::Write)],
            }
        }
        _ => [true, true],
    })
}

/// Repeats `look` until it finds something, or the deadline has passed.
fn wait_until(deadline: Option<u64>, mut look: impl FnMut() -> Result<u64>) -> Result<u64> {
    loop {
        let found = look()?;
        if found > 0 || deadline.is_some_and(|deadline| time::monotonic_ns() >= deadline) {
            return Ok(found);
        }
        if signals::is_ready() {
            return Err(libc::EINTR);
        }
        wait::pause_until(For::Interrupt, deadline);
    }
}

/// The deadline of a `timespec` (`unit` 1) or `timeval` (1000) at `start`; `None` where that is
/// null.
fn deadline(start: u64, unit: u64) -> Result<Option<u64>> {
    if start == 0 {
        return Ok(None);
    }
    let [seconds, parts] = load(start)?;
    if seconds > i64::MAX as u64 || parts > i64::MAX as u64 || unit == 1 && parts > 999_999_999 {
        return Err(libc::EINVAL);
    }
    let span = seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(parts.saturating_mul(unit));
    Ok(Some(time::monotonic_ns().saturating_add(span)))
}

/// `poll`, `ppoll`, `select` and `pselect6`.
pub fn wait(call: i64, arguments: [u64; 6]) -> Option<Result<u64>> {
    Some(match call {
        libc::SYS_poll | libc::SYS_ppoll => poll(call, arguments),
        _ => select(call, arguments),
    })
}

fn poll(call: i64, [list, count, timeout, mask, size, _]: [u64; 6]) -> Result<u64> {
    let deadline = if call == libc::SYS_ppoll {
        signals::wait_under(mask, size).map_err(number)?;
        deadline(timeout, 1)?
    } else {
        let ms = u64::try_from(timeout as i32).ok();
        ms.map(|ms| time::monotonic_ns() + ms * 1_000_000)
    };
    if count > descriptors::MAX_OPEN as u64 {
        return Err(libc::EINVAL);
    }
    let entries = bytes_mut(list, count * 8)?;
    wait_until(deadline, || {
        let mut found = 0;
        for entry in entries.chunks_exact_mut(8) {
            let [a, b, c, d, low, high, to_low, to_high] = entry else {
                continue;
            };
            let descriptor = i32::from_le_bytes([*a, *b, *c, *d]);
            let wanted = i16::from_le_bytes([*low, *high]);
            let events = match u64::try_from(descriptor).map(readiness) {
                Err(_) => 0,
                Ok(Err(_)) => libc::POLLNVAL,
                Ok(Ok([read, write])) => {
                    let of = |ready: bool, event: i16| if ready { wanted & event } else { 0 };
                    of(read, libc::POLLIN | libc::POLLRDNORM)
                        | of(write, libc::POLLOUT | libc::POLLWRNORM)
                }
            };
            [*to_low, *to_high] = events.to_le_bytes();
            found += u64::from(events != 0);
        }
        Ok(found)
    })
}

/// Words of an `fd_set`.
const SET: usize = 1024 / 64;

fn select(call: i64, arguments: [u64; 6]) -> Result<u64> {
    let [count, reads, writes, exceptions, timeout, mask] = arguments;
    let deadline = deadline(timeout, if call == libc::SYS_select { 1000 } else { 1 })?;
    if call == libc::SYS_pselect6 && mask != 0 {
        let [mask, size] = load(mask)?;
        signals::wait_under(mask, size).map_err(number)?;
    }
    let count = usize::try_from(count as i32).map_err(|_| libc::EINVAL)?;
    let words = count.min(SET * 64).div_ceil(64);
    let set = |start: u64| {
        let mut set = [0_u64; SET];
        if start != 0 {
            let bytes = kernel::memory::bytes(start, words as u64 * 8).map_err(number)?;
            for (word, bytes) in set.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
            }
        }
        Ok::<_, i32>(set)
    };
    let wanted = [set(reads)?, set(writes)?, set(exceptions)?];
    let mut found = [[0_u64; SET]; 2];
    let total = wait_until(deadline, || {
        found = [[0; SET]; 2];
        let mut total = 0;
        for descriptor in 0..count.min(SET * 64) {
            let (word, bit) = (descriptor / 64, 1 << (descriptor % 64));
            let is_in = |set: &[u64; SET]| set.get(word).is_some_and(|word| word & bit != 0);
            if !wanted.iter().any(is_in) {
                continue;
            }
            let ready = readiness(descriptor as u64)?;
            for ((set, into), ready) in wanted.iter().zip(&mut found).zip(ready) {
                if ready
                    && is_in(set)
                    && let Some(into) = into.get_mut(word)
                {
                    *into |= bit;
                    total += 1;
                }
            }
        }
        Ok(total)
    })?;
    let none = [0; SET];
    for (start, set) in [(reads, &found[0]), (writes, &found[1]), (exceptions, &none)] {
        if start != 0 {
            store(start, set.get(..words).unwrap_or_default())?;
        }
    }
    // As on Linux, the timeout becomes the rest of it.
    if let (libc::SYS_select, Some(deadline)) = (call, deadline) {
        let left = deadline.saturating_sub(time::monotonic_ns()) / 1000;
        store(timeout, &[left / 1_000_000, left % 1_000_000])?;
    }
    Ok(total)
}

//! Waiting for the console: `poll` and `select`.

use super::clocks::timespec;
use super::numbers as n;
use super::program::{bytes_mut, load, store};
use crate::errno::Errno;
use crate::{console, time, wait};

/// Waits until the console has input (if `for_input`) or the deadline; whether there is input.
fn wait_for_console(for_input: bool, deadline: Option<u64>) -> bool {
    loop {
        if for_input && console::has_input() {
            return true;
        }
        if deadline.is_some_and(|deadline| time::monotonic_ns() >= deadline) {
            return false;
        }
        wait::pause_until(deadline);
    }
}

pub(super) fn poll(number: u64, [list, count, timeout, ..]: [u64; 6]) -> Result<u64, Errno> {
    const IN: u16 = 1;
    const OUT: u16 = 4;
    const INVALID: u16 = 0x20;
    let deadline = match number {
        n::PPOLL if timeout == 0 => None,
        n::PPOLL => Some(time::monotonic_ns().saturating_add(timespec(timeout)?)),
        _ if (timeout as i32) < 0 => None,
        _ => Some(time::monotonic_ns() + u64::from(timeout as u32) * 1_000_000),
    };
    let entries = bytes_mut(list, count.checked_mul(8).ok_or(Errno::EINVAL)?)?;
    let mut for_input = false;
    let mut ready = 0;
    loop {
        for entry in entries.chunks_exact_mut(8) {
            let descriptor = i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let wanted = u16::from_le_bytes([entry[4], entry[5]]);
            for_input |= descriptor == 0 && wanted & IN != 0;
            let found = match descriptor {
                ..0 => 0,
                0 if console::has_input() => wanted & (IN | OUT),
                0..3 => wanted & OUT,
                _ => INVALID,
            };
            ready += u64::from(found != 0);
            entry[6..8].copy_from_slice(&found.to_le_bytes());
        }
        if ready > 0 || !wait_for_console(for_input, deadline) {
            return Ok(ready);
        }
    }
}

/// Descriptors above 2 aren't there, so the sets are one word each.
pub(super) fn select(
    number: u64,
    [_, reads, writes, exceptions, timeout, _]: [u64; 6],
) -> Result<u64, Errno> {
    let word = |set: u64| {
        if set == 0 {
            Ok(0)
        } else {
            load(set).map(|[word]| word)
        }
    };
    let (wanted_reads, wanted_writes) = (word(reads)?, word(writes)?);
    if (wanted_reads | wanted_writes) & !7 != 0 {
        return Err(Errno::EBADF);
    }
    let deadline = match (number, timeout) {
        (_, 0) => None,
        (n::SELECT, _) => {
            let [seconds, us] = load(timeout)?;
            let span = seconds
                .saturating_mul(1_000_000)
                .saturating_add(us)
                .saturating_mul(1000);
            Some(time::monotonic_ns().saturating_add(span))
        }
        _ => Some(time::monotonic_ns().saturating_add(timespec(timeout)?)),
    };
    let found_writes = wanted_writes & 6;
    let for_input = wanted_reads & 1 != 0;
    let input = if found_writes != 0 {
        for_input && console::has_input()
    } else {
        wait_for_console(for_input, deadline)
    };
    let found_reads = u64::from(input);
    for (set, found) in [
        (reads, found_reads),
        (writes, found_writes),
        (exceptions, 0),
    ] {
        if set != 0 {
            store(set, &[found])?;
        }
    }
    Ok(u64::from(
        found_reads.count_ones() + found_writes.count_ones(),
    ))
}

//! Waiting for the console: `poll` and `select`.

use super::clocks::deadline;
use super::descriptors::{open_set, standard};
use super::numbers as n;
use crate::errno::Errno;
use crate::memory::{bytes_mut, load, store};
use crate::wait::For;
use crate::{console, signals, time, wait};

/// Waits until the console has input (if `for_input`) or the deadline; whether there is input.
///
/// # Errors
/// EINTR when a signal is to be handled.
fn wait_for_console(for_input: bool, deadline: Option<u64>) -> Result<bool, Errno> {
    loop {
        if for_input && console::has_input() {
            return Ok(true);
        }
        if deadline.is_some_and(|deadline| time::monotonic_ns() >= deadline) {
            return Ok(false);
        }
        if signals::is_ready() {
            return Err(Errno::EINTR);
        }
        let wait = if for_input { For::Interrupt } else { For::Time };
        wait::pause_until(wait, deadline);
    }
}

pub(super) fn poll(
    number: u64,
    [list, count, timeout, mask, size, _]: [u64; 6],
) -> Result<u64, Errno> {
    const IN: u16 = 1;
    const OUT: u16 = 4;
    const INVALID: u16 = 0x20;
    let deadline = match number {
        n::PPOLL => {
            signals::wait_under(mask, size)?;
            deadline(timeout, 1)?
        }
        _ if (timeout as i32) < 0 => None,
        _ => Some(time::monotonic_ns() + u64::from(timeout as u32) * 1_000_000),
    };
    let len = count.checked_mul(8).ok_or(Errno::EINVAL)?;
    let mut for_input = false;
    let mut ready = 0;
    loop {
        // Another thread may have unmapped it meanwhile.
        let entries = bytes_mut(list, len)?;
        for entry in entries.chunks_exact_mut(8) {
            let descriptor = i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let wanted = u16::from_le_bytes([entry[4], entry[5]]);
            for_input |= descriptor == 0 && wanted & IN != 0;
            let found = match descriptor {
                ..0 => 0,
                _ if standard(descriptor as u64).is_err() => INVALID,
                0 if console::has_input() => wanted & (IN | OUT),
                _ => wanted & OUT,
            };
            ready += u64::from(found != 0);
            entry[6..8].copy_from_slice(&found.to_le_bytes());
        }
        if ready > 0 || !wait_for_console(for_input, deadline)? {
            return Ok(ready);
        }
    }
}

/// Only descriptors 0 to 2 exist, so the sets are one word each.
pub(super) fn select(
    number: u64,
    [count, reads, writes, exceptions, timeout, mask]: [u64; 6],
) -> Result<u64, Errno> {
    let deadline = deadline(timeout, if number == n::SELECT { 1000 } else { 1 })?;
    if number == n::PSELECT6 && mask != 0 {
        let [mask, size] = load(mask)?;
        signals::wait_under(mask, size)?;
    }
    if (count as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    // Only the descriptors of a set below `count` count.
    let considered = !(u64::MAX << count.min(63));
    let word = |set: u64| {
        if set == 0 || count == 0 {
            return Ok(0);
        }
        load(set).map(|[word]| word & considered)
    };
    let (wanted_reads, wanted_writes) = (word(reads)?, word(writes)?);
    if (wanted_reads | wanted_writes | word(exceptions)?) & !open_set() != 0 {
        return Err(Errno::EBADF);
    }
    let found_writes = wanted_writes & 6;
    let for_input = wanted_reads & 1 != 0;
    let input = if found_writes != 0 {
        for_input && console::has_input()
    } else {
        wait_for_console(for_input, deadline)?
    };
    let found_reads = u64::from(input);
    for (set, found) in [
        (reads, found_reads),
        (writes, found_writes),
        (exceptions, 0),
    ] {
        if set != 0 && count != 0 {
            store(set, &[found])?;
        }
    }
    // As on Linux, the timeout becomes the rest of it.
    if let (n::SELECT, Some(deadline)) = (number, deadline) {
        let left = deadline.saturating_sub(time::monotonic_ns()) / 1000;
        store(timeout, &[left / 1_000_000, left % 1_000_000])?;
    }
    Ok(u64::from(
        found_reads.count_ones() + found_writes.count_ones(),
    ))
}

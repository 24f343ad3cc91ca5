//! `poll` and `select`.
//!
//! Without a descriptor (negative ones are none) they are sleeps, which OCaml's tick thread makes
//! 20 times a second. A wait of the reactor would make that thread its leader: each packet would
//! then run it in place of the thread that wants the packet.

use super::program::{self, bytes_mut, load, store};
use super::signals::wait_under;
use super::time::deadline;
use crate::blocking::readiness::{self, Events};
use crate::errors::Result;
use crate::process;
use crate::select::{self, SET, scan};
use crate::table::MAX_OPEN;
use kernel::{time, wait};
use resources::Runtime;

/// The deadline of a number of milliseconds; none for a negative one.
pub fn deadline_ms(ms: u64) -> Option<u64> {
    let ms = u64::try_from(ms as i32).ok()?;
    Some(time::monotonic_ns().saturating_add(ms * 1_000_000))
}

/// `poll`.
pub fn poll([list, count, timeout, ..]: [u64; 6]) -> Result<u64> {
    poll_until(list, count, deadline_ms(timeout))
}

/// `ppoll`.
pub fn ppoll([list, count, timeout, mask, size, _]: [u64; 6]) -> Result<u64> {
    let deadline = deadline(timeout, 1)?;
    wait_under(mask, size)?;
    let found = poll_until(list, count, deadline);
    put_remaining(timeout, 1, deadline);
    found
}

/// Replaces the timeout at `start` by the remaining time, as Linux does after success and failure.
/// If its memory is read-only, it stays, and the call doesn't fail for it.
fn put_remaining(start: u64, unit: u64, deadline: Option<u64>) {
    if let Some(deadline) = deadline {
        let left = deadline.saturating_sub(time::monotonic_ns());
        let _ = store(start, &select::timeout(left, unit));
    }
}

fn poll_until(list: u64, count: u64, deadline: Option<u64>) -> Result<u64> {
    if count > MAX_OPEN as u64 {
        return Err(libc::EINVAL);
    }
    let entries = || bytes_mut(list, count * 8).map(|bytes| bytes.as_chunks_mut::<8>().0);
    let listed = entries()?;
    // By the sign.
    if listed.iter().all(|[_, _, _, high, ..]| high & 0x80 != 0) {
        for [.., to_low, to_high] in listed {
            [*to_low, *to_high] = [0; 2];
        }
        return sleep(deadline);
    }
    let found = readiness::wait_for(deadline, libc::EINTR, |rt| {
        let mut found = 0;
        // Another thread may have unmapped it meanwhile.
        for [a, b, c, d, low, high, to_low, to_high] in entries()? {
            let descriptor = i32::from_le_bytes([*a, *b, *c, *d]);
            let events = polled(rt, descriptor, u16::from_le_bytes([*low, *high]));
            [*to_low, *to_high] = events.to_le_bytes();
            found += u64::from(events != 0);
        }
        Ok(Some(found).filter(|found| *found > 0))
    })?;
    Ok(found.unwrap_or(0))
}

fn sleep(deadline: Option<u64>) -> Result<u64> {
    wait::sleep(deadline)?;
    Ok(0)
}

/// `revents` of one descriptor.
fn polled(rt: &mut Runtime, descriptor: i32, wanted: u16) -> u16 {
    let Ok(descriptor) = u64::try_from(descriptor) else {
        return 0;
    };
    match process::get(descriptor) {
        Ok(description) => {
            let reported = u32::from(wanted) | Events::ALWAYS.bits();
            (description.file().events(rt).bits() & reported) as u16
        }
        Err(_) => libc::POLLNVAL as u16,
    }
}

/// `select`.
pub fn select([count, reads, writes, exceptions, timeout, _]: [u64; 6]) -> Result<u64> {
    let deadline = deadline(timeout, 1000)?;
    let found = select_until(count, [reads, writes, exceptions], deadline);
    put_remaining(timeout, 1000, deadline);
    found
}

/// `pselect6`.
pub fn pselect([count, reads, writes, exceptions, timeout, mask]: [u64; 6]) -> Result<u64> {
    let deadline = deadline(timeout, 1)?;
    if mask != 0 {
        let [mask, size] = load(mask)?;
        wait_under(mask, size)?;
    }
    let found = select_until(count, [reads, writes, exceptions], deadline);
    put_remaining(timeout, 1, deadline);
    found
}

fn select_until(count: u64, starts: [u64; 3], deadline: Option<u64>) -> Result<u64> {
    let count = usize::try_from(count as i32).map_err(|_| libc::EINVAL)?;
    let count = count.min(SET * 64);
    let words = count.div_ceil(64);
    let mut wanted = [[0; SET]; 3];
    for (set, start) in wanted.iter_mut().zip(starts) {
        if start != 0 {
            let bytes = program::bytes(start, words as u64 * 8)?;
            for (word, bytes) in set.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
            }
        }
    }
    let mut found = [[0; SET]; 3];
    let total = if select::is_empty(count, &wanted) {
        Some(sleep(deadline)?)
    } else {
        readiness::wait_for(deadline, libc::EINTR, |rt| {
            found = [[0; SET]; 3];
            let total = scan(rt, count, &wanted, &mut found)?;
            Ok(Some(total).filter(|total| *total > 0))
        })?
    };
    for (start, set) in starts.into_iter().zip(&found) {
        if start != 0 {
            store(start, set.get(..words).unwrap_or_default())?;
        }
    }
    Ok(total.unwrap_or(0))
}

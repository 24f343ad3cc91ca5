//! Setting locks of files and waiting for them: `flock`, and records of `fcntl`.

use crate::blocking::readiness;
use crate::errors::{RESTART, Result};
use crate::file::Description;
use crate::locks::{Lock, Owner};
use crate::process;
use core::ops::Range;

/// Sets a lock (`Some(exclusive)`) on a range, or releases it.
///
/// # Errors
/// [`libc::EAGAIN`] for a conflict, unless it `waits`; [`RESTART`] for a signal meanwhile.
pub fn set(
    description: &Description,
    owner: Owner,
    range: Range<u64>,
    kind: Option<bool>,
    waits: bool,
) -> Result<u64> {
    let Some(file) = description.file().id()? else {
        return Ok(0);
    };
    if kind.is_none() || matches!(owner, Owner::Whole(_)) {
        // `flock` releases the old lock before it takes another one.
        process::with(|process| process.locks.release(file, &owner, &range));
        readiness::changed();
    }
    let Some(exclusive) = kind else {
        return Ok(0);
    };
    description.note_lock(readiness::changed);
    let lock = Lock {
        file,
        owner,
        exclusive,
        range,
    };
    let attempt = || {
        process::with(|process| {
            process.locks.set_wake_waiters(readiness::changed);
            let free = process.locks.conflict(&lock).is_none();
            if free {
                process.locks.add(lock.clone());
            }
            free.then_some(0)
        })
    };
    let taken = match waits {
        true => readiness::wait_for(None, RESTART, |_| Ok(attempt()))?,
        false => attempt(),
    };
    // A lock that is no longer exclusive may unblock others.
    readiness::changed();
    taken.ok_or(libc::EAGAIN)
}

/// The first lock that one like this would have to wait for.
pub fn conflict(
    description: &Description,
    owner: Owner,
    range: Range<u64>,
    exclusive: bool,
) -> Result<Option<Lock>> {
    let Some(file) = description.file().id()? else {
        return Ok(None);
    };
    let wanted = Lock {
        file,
        owner,
        exclusive,
        range,
    };
    Ok(process::with(|process| {
        process.locks.conflict(&wanted).cloned()
    }))
}

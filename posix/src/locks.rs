//! Locks of files: `flock`, and records of `fcntl`, which are the process's (POSIX.1-2024) or an
//! open file description's (`F_OFD_SETLK`).
//!
//! There is one process, so that its records conflict with descriptions' alone. Source: fcntl(2),
//! flock(2), Linux's `fs/locks.c`.

use crate::descriptors::Description;
use crate::errors::{RESTART, Result};
use crate::readiness;
use crate::socket_names::File;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Mutex;

/// The owner of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The process: a record.
    Process,
    /// The open file description at this address: a record.
    Description(usize),
    /// The same, for `flock`, which records don't know.
    Whole(usize),
}

impl Owner {
    /// The owner of a description's records.
    pub fn of(description: &Description) -> Owner {
        Owner::Description(core::ptr::from_ref(description) as usize)
    }

    /// The owner of a description's lock by `flock`.
    pub fn whole(description: &Description) -> Owner {
        Owner::Whole(core::ptr::from_ref(description) as usize)
    }

    fn meets(self, other: Owner) -> bool {
        let whole = |owner| matches!(owner, Owner::Whole(_));
        whole(self) == whole(other) && self != other
    }
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    file: File,
    /// See [`Owner`].
    pub owner: Owner,
    /// Not shared.
    pub exclusive: bool,
    /// Bytes; `u64::MAX` is the end of any file.
    pub range: Range<u64>,
}

/// All locks.
struct Locks(Vec<Lock>);

impl Locks {
    /// The first lock that `wanted` would have to wait for.
    fn conflict(&self, wanted: &Lock) -> Option<&Lock> {
        self.0.iter().find(|lock| {
            lock.file == wanted.file
                && lock.owner.meets(wanted.owner)
                && (lock.exclusive || wanted.exclusive)
                && lock.range.start < wanted.range.end
                && wanted.range.start < lock.range.end
        })
    }

    /// Takes `range` out of the locks of an owner on a file.
    fn release(&mut self, file: File, owner: Owner, range: &Range<u64>) {
        let mut rest = Vec::new();
        self.0.retain(|lock| {
            let meets = lock.file == file
                && lock.owner == owner
                && lock.range.start < range.end
                && range.start < lock.range.end;
            if meets {
                let before = lock.range.start..range.start;
                let after = range.end..lock.range.end;
                for range in [before, after]
                    .into_iter()
                    .filter(|range| !range.is_empty())
                {
                    rest.push(Lock {
                        range,
                        ..lock.clone()
                    });
                }
            }
            !meets
        });
        self.0.append(&mut rest);
    }

    /// Adds a lock that has no conflict, joined with its neighbours.
    fn add(&mut self, mut lock: Lock) {
        self.release(lock.file, lock.owner, &lock.range);
        self.0.retain(|other| {
            let joins = other.file == lock.file
                && other.owner == lock.owner
                && other.exclusive == lock.exclusive
                && (other.range.end == lock.range.start || lock.range.end == other.range.start);
            if joins {
                lock.range.start = lock.range.start.min(other.range.start);
                lock.range.end = lock.range.end.max(other.range.end);
            }
            !joins
        });
        self.0.push(lock);
    }
}

static LOCKS: Mutex<Locks> = Mutex::new(Locks(Vec::new()));
/// There was a lock: before that, closing a descriptor releases none.
static USED: AtomicBool = AtomicBool::new(false);

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
    let Some(file) = description.file()? else {
        return Ok(0);
    };
    if kind.is_none() || matches!(owner, Owner::Whole(_)) {
        // `flock` gives the old lock up before it takes another one.
        LOCKS.lock().release(file, owner, &range);
        readiness::changed();
    }
    let Some(exclusive) = kind else {
        return Ok(0);
    };
    USED.store(true, Ordering::Relaxed);
    let lock = Lock {
        file,
        owner,
        exclusive,
        range,
    };
    let attempt = || {
        let mut locks = LOCKS.lock();
        let free = locks.conflict(&lock).is_none();
        if free {
            locks.add(lock.clone());
        }
        free.then_some(0)
    };
    let taken = match waits {
        true => readiness::wait_for(None, RESTART, |_| Ok(attempt()))?,
        false => attempt(),
    };
    // A lock that isn't exclusive any more lets others in.
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
    let Some(file) = description.file()? else {
        return Ok(None);
    };
    let wanted = Lock {
        file,
        owner,
        exclusive,
        range,
    };
    Ok(LOCKS.lock().conflict(&wanted).cloned())
}

/// A descriptor of the description is closed: the process's records on its file go, as POSIX has
/// it.
pub fn close(description: &Description) {
    if !USED.load(Ordering::Relaxed) {
        return;
    }
    let is_record = |lock: &Lock| lock.owner == Owner::Process;
    let has_records = LOCKS.lock().0.iter().any(is_record);
    if let (true, Ok(Some(file))) = (has_records, description.file()) {
        LOCKS.lock().release(file, Owner::Process, &(0..u64::MAX));
        readiness::changed();
    }
}

/// The description is no more: its locks go.
pub fn release(description: &Description) {
    if !USED.load(Ordering::Relaxed) {
        return;
    }
    let owners = [Owner::of(description), Owner::whole(description)];
    LOCKS.lock().0.retain(|lock| !owners.contains(&lock.owner));
    readiness::changed();
}

#[cfg(test)]
mod tests {
    use super::{Lock, Locks, Owner};
    use std::vec;

    const A: Owner = Owner::Description(1);
    const B: Owner = Owner::Description(2);

    fn lock(owner: Owner, exclusive: bool, range: core::ops::Range<u64>) -> Lock {
        Lock {
            file: (1, 1),
            owner,
            exclusive,
            range,
        }
    }

    #[test]
    fn locks_of_others_conflict_unless_both_are_shared() {
        let mut locks = Locks(vec![]);
        locks.add(lock(A, false, 10..20));
        let conflicts = |locks: &Locks, lock: Lock| locks.conflict(&lock).is_some();
        assert!(!conflicts(&locks, lock(B, false, 0..100)));
        assert!(conflicts(&locks, lock(B, true, 19..20)));
        assert!(!conflicts(&locks, lock(B, true, 20..30)));
        assert!(!conflicts(&locks, lock(B, true, 0..10)));
        assert!(!conflicts(&locks, lock(A, true, 0..100)), "its own");
        assert!(conflicts(&locks, lock(Owner::Process, true, 0..100)));
        let whole = lock(Owner::Whole(2), true, 0..100);
        assert!(!conflicts(&locks, whole), "flock knows no records");
        let mut other = lock(B, true, 0..100);
        other.file = (1, 2);
        assert!(!conflicts(&locks, other));
    }

    #[test]
    fn a_range_is_split_replaced_and_joined() {
        let mut locks = Locks(vec![]);
        locks.add(lock(A, true, 0..100));
        locks.release((1, 1), A, &(40..60));
        locks.release((1, 1), B, &(0..100));
        assert_eq!(locks.0, [lock(A, true, 0..40), lock(A, true, 60..100)]);
        locks.add(lock(A, false, 30..70));
        assert_eq!(
            locks.0,
            [
                lock(A, true, 0..30),
                lock(A, true, 70..100),
                lock(A, false, 30..70)
            ]
        );
        locks.add(lock(A, true, 30..70));
        assert_eq!(locks.0, [lock(A, true, 0..100)]);
        locks.release((1, 1), A, &(0..u64::MAX));
        assert_eq!(locks.0, []);
    }
}

//! Locks of files: `flock`, and records of `fcntl`, which belong to the process (POSIX.1-2024) or
//! to an open file description (`F_OFD_SETLK`).
//!
//! There is one process, so its records conflict only with those of descriptions. Source: fcntl(2),
//! flock(2), Linux's `fs/locks.c`.

use crate::file::Description;
use crate::stat::FileId;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

/// The owner of a lock. A description's locks end with it.
#[derive(Clone)]
pub enum Owner {
    /// The process: a record.
    Process,
    /// An open file description: a record.
    Description(Weak<Description>),
    /// The same for `flock`, which is independent of records.
    Whole(Weak<Description>),
}

impl PartialEq for Owner {
    fn eq(&self, other: &Owner) -> bool {
        match (self, other) {
            (Owner::Process, Owner::Process) => true,
            (Owner::Description(a), Owner::Description(b)) | (Owner::Whole(a), Owner::Whole(b)) => {
                a.ptr_eq(b)
            }
            _ => false,
        }
    }
}

impl Owner {
    /// The owner of a description's records.
    pub fn of(description: &Arc<Description>) -> Owner {
        Owner::Description(Arc::downgrade(description))
    }

    /// The owner of a description's lock by `flock`.
    pub fn whole(description: &Arc<Description>) -> Owner {
        Owner::Whole(Arc::downgrade(description))
    }

    /// Whether locks of the two can conflict.
    fn conflicts(&self, other: &Owner) -> bool {
        let whole = |owner: &Owner| matches!(owner, Owner::Whole(_));
        whole(self) == whole(other) && self != other
    }

    fn is_alive(&self) -> bool {
        match self {
            Owner::Process => true,
            Owner::Description(it) | Owner::Whole(it) => it.strong_count() > 0,
        }
    }
}

/// A lock.
#[derive(Clone, PartialEq)]
pub struct Lock {
    /// The file.
    pub file: FileId,
    /// See [`Owner`].
    pub owner: Owner,
    /// Whether it is exclusive.
    pub exclusive: bool,
    /// Bytes; `u64::MAX` is the end of any file.
    pub range: Range<u64>,
}

/// All locks of the process and its descriptions.
pub struct Locks {
    list: Vec<Lock>,
    /// Wakes threads that may wait for a lock; set with the first lock.
    wake_waiters: Option<fn()>,
}

impl Locks {
    /// No locks.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Locks {
        Locks {
            list: Vec::new(),
            wake_waiters: None,
        }
    }

    /// Sets the function that wakes threads that may wait for a lock.
    pub fn set_wake_waiters(&mut self, wake_waiters: fn()) {
        self.wake_waiters = Some(wake_waiters);
    }

    /// Releases the process's records on a file; returns the function to call then.
    pub fn release_records(&mut self, file: FileId) -> Option<fn()> {
        self.release(file, &Owner::Process, &(0..u64::MAX));
        self.wake_waiters
    }

    /// Whether the process has records: before that, closing a descriptor releases none.
    pub fn has_records(&self) -> bool {
        self.list.iter().any(|lock| lock.owner == Owner::Process)
    }

    /// The first lock that `wanted` would have to wait for.
    pub fn conflict(&mut self, wanted: &Lock) -> Option<&Lock> {
        self.list.retain(|lock| lock.owner.is_alive());
        self.list.iter().find(|lock| {
            lock.file == wanted.file
                && lock.owner.conflicts(&wanted.owner)
                && (lock.exclusive || wanted.exclusive)
                && lock.range.start < wanted.range.end
                && wanted.range.start < lock.range.end
        })
    }

    /// Removes `range` from the locks of an owner on a file.
    pub fn release(&mut self, file: FileId, owner: &Owner, range: &Range<u64>) {
        let mut rest = Vec::new();
        self.list.retain(|lock| {
            let conflicts = lock.file == file
                && lock.owner == *owner
                && lock.range.start < range.end
                && range.start < lock.range.end;
            if conflicts {
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
            !conflicts
        });
        self.list.append(&mut rest);
    }

    /// Adds a lock without conflicts, merged with adjacent ones.
    pub fn add(&mut self, mut lock: Lock) {
        self.release(lock.file, &lock.owner, &lock.range);
        self.list.retain(|other| {
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
        self.list.push(lock);
    }
}

#[cfg(test)]
mod tests {
    use super::{Lock, Locks, Owner};
    use crate::file::Description;
    use crate::files::devices::Device;
    use alloc::sync::Arc;

    /// Two descriptions, and the owners of their records.
    fn owners() -> ([Arc<Description>; 2], [Owner; 2]) {
        let descriptions = [(); 2].map(|()| Description::new(Device::Null, libc::O_RDWR));
        let owners = [0, 1].map(|i: usize| Owner::of(&descriptions[i]));
        (descriptions, owners)
    }

    fn lock(owner: &Owner, exclusive: bool, range: core::ops::Range<u64>) -> Lock {
        Lock {
            file: (1, 1),
            owner: owner.clone(),
            exclusive,
            range,
        }
    }

    #[test]
    fn locks_of_others_conflict_unless_both_are_shared() {
        let (descriptions, [a, b]) = owners();
        let (a, b) = (&a, &b);
        let mut locks = Locks::new();
        locks.add(lock(a, false, 10..20));
        let conflicts = |locks: &mut Locks, lock: Lock| locks.conflict(&lock).is_some();
        assert!(!conflicts(&mut locks, lock(b, false, 0..100)));
        assert!(conflicts(&mut locks, lock(b, true, 19..20)));
        assert!(!conflicts(&mut locks, lock(b, true, 20..30)));
        assert!(!conflicts(&mut locks, lock(b, true, 0..10)));
        assert!(!conflicts(&mut locks, lock(a, true, 0..100)), "its own");
        assert!(conflicts(&mut locks, lock(&Owner::Process, true, 0..100)));
        let whole = lock(&Owner::whole(&descriptions[1]), true, 0..100);
        assert!(!conflicts(&mut locks, whole), "flock knows no records");
        let mut other = lock(b, true, 0..100);
        other.file = (1, 2);
        assert!(!conflicts(&mut locks, other));
    }

    #[test]
    fn a_range_is_split_replaced_and_joined() {
        let (_descriptions, [a, b]) = owners();
        let (a, b) = (&a, &b);
        let mut locks = Locks::new();
        locks.add(lock(a, true, 0..100));
        locks.release((1, 1), a, &(40..60));
        locks.release((1, 1), b, &(0..100));
        assert!(locks.list == [lock(a, true, 0..40), lock(a, true, 60..100)]);
        locks.add(lock(a, false, 30..70));
        let parts = [
            lock(a, true, 0..30),
            lock(a, true, 70..100),
            lock(a, false, 30..70),
        ];
        assert!(locks.list == parts);
        locks.add(lock(a, true, 30..70));
        assert!(locks.list == [lock(a, true, 0..100)]);
        locks.release((1, 1), a, &(0..u64::MAX));
        assert!(locks.list.is_empty());
    }

    #[test]
    fn locks_end_with_their_description() {
        let ([first, second], [a, b]) = owners();
        let mut locks = Locks::new();
        locks.add(lock(&a, true, 0..100));
        locks.add(lock(&Owner::whole(&first), true, 0..100));
        assert!(locks.conflict(&lock(&b, true, 0..1)).is_some());
        drop(first);
        assert!(locks.conflict(&lock(&b, true, 0..1)).is_none());
        let whole = Owner::whole(&second);
        assert!(locks.conflict(&lock(&whole, true, 0..1)).is_none());
    }
}

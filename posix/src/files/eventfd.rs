//! eventfd(2): a counter that is read and written.

use crate::blocking::lent::Lent;
use crate::blocking::readiness::{self, Events};
use crate::errors::Result;
use crate::file::{File, Offset};
use crate::stat::Stat;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};
use resources::Runtime;

/// The maximum value; a write that would exceed it waits.
const MAX_VALUE: u64 = u64::MAX - 1;

/// A counter.
pub struct Counter {
    value: AtomicU64,
    /// A read subtracts one (`EFD_SEMAPHORE`).
    semaphore: bool,
    /// Number of reads and writes.
    changes: AtomicU64,
}

impl Counter {
    /// A counter with this value.
    pub const fn new(value: u32, semaphore: bool) -> Counter {
        Counter {
            value: AtomicU64::new(value as u64),
            semaphore,
            changes: AtomicU64::new(0),
        }
    }

    /// Takes the value, or one of it; `None` at 0.
    fn take(&self, into: &mut [u8]) -> Result<Option<usize>> {
        let into = into.get_mut(..8).ok_or(libc::EINVAL)?;
        let taken = |value| if self.semaphore { 1 } else { value };
        let Some(value) = self.change(|value| (value > 0).then(|| value - taken(value))) else {
            return Ok(None);
        };
        into.copy_from_slice(&taken(value).to_le_bytes());
        Ok(Some(8))
    }

    /// Adds to the value; `None` if it would exceed the maximum.
    fn add(&self, from: &[u8]) -> Result<Option<usize>> {
        let bytes = from.first_chunk().ok_or(libc::EINVAL)?;
        let number = u64::from_le_bytes(*bytes);
        if number == u64::MAX {
            return Err(libc::EINVAL);
        }
        let added = self.change(|value| value.checked_add(number).filter(|sum| *sum <= MAX_VALUE));
        Ok(added.map(|_| 8))
    }

    /// Changes the value, if `next` returns another one for it; returns the old one.
    fn change(&self, next: impl FnMut(u64) -> Option<u64>) -> Option<u64> {
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        let changed = self.value.fetch_update(set, get, next).ok();
        changed.inspect(|_| _ = self.changes.fetch_add(1, Ordering::Relaxed))
    }
}

impl File for Counter {
    fn stat(&self) -> Result<Stat> {
        Ok(Stat::special(0, 0o600, 1))
    }

    fn name(&self) -> String {
        "anon_inode:[eventfd]".into()
    }

    fn read(&self, into: &mut [u8], _: Offset, flags: i32) -> Result<usize> {
        readiness::retry(flags, Lent::to_write(into), |rt| {
            let read = self.take(into)?;
            Ok(read.inspect(|_| rt.wake_watchers()))
        })
    }

    fn write(&self, from: &[u8], _: Offset, flags: i32) -> Result<usize> {
        readiness::retry(flags, Lent::to_read(from), |rt| {
            let written = self.add(from)?;
            Ok(written.inspect(|_| rt.wake_watchers()))
        })
    }

    fn has_more(&self) -> bool {
        false
    }

    fn seek(&self, _: i64, _: i32) -> Result<u64> {
        Ok(0)
    }

    fn events(&self, _: &mut Runtime) -> Events {
        let value = self.value.load(Ordering::Relaxed);
        Events::when(value > 0, Events::IN) | Events::when(value < MAX_VALUE, Events::OUT)
    }

    /// Every read and write changes it.
    fn changes(&self, _: &mut Runtime) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;
    use crate::blocking::readiness::Events;
    use crate::tests::events;

    fn read(counter: &Counter) -> Option<u64> {
        let mut bytes = [0; 8];
        let read = counter.take(&mut bytes).expect("room");
        read.map(|_| u64::from_le_bytes(bytes))
    }

    #[test]
    fn a_read_takes_all_and_of_a_semaphore_one() {
        let (all, one) = (Counter::new(3, false), Counter::new(3, true));
        assert_eq!([read(&all), read(&all)], [Some(3), None]);
        assert_eq!([read(&one), read(&one)], [Some(1), Some(1)]);
        assert_eq!([read(&one), read(&one)], [Some(1), None]);
        assert_eq!(events(&one), Events::OUT);
        assert_eq!(one.take(&mut [0; 7]), Err(libc::EINVAL));
    }

    #[test]
    fn a_write_never_exceeds_the_largest_value() {
        let counter = Counter::new(0, false);
        let write = |number: u64| counter.add(&number.to_le_bytes());
        assert_eq!(write(u64::MAX), Err(libc::EINVAL));
        assert_eq!(write(u64::MAX - 2), Ok(Some(8)));
        assert_eq!(
            [write(2), write(1), write(1)],
            [Ok(None), Ok(Some(8)), Ok(None)]
        );
        assert_eq!(events(&counter), Events::IN);
        assert_eq!(read(&counter), Some(u64::MAX - 1));
        assert_eq!(counter.add(&[0; 7]), Err(libc::EINVAL));
    }
}

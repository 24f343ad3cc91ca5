//! eventfd(2): a counter that is read and written.

use crate::errors::Result;
use crate::readiness::Events;
use core::sync::atomic::{AtomicU64, Ordering};

/// The largest value; a write that would exceed it waits.
const MAX_VALUE: u64 = u64::MAX - 1;

/// A counter.
pub struct Counter {
    value: AtomicU64,
    /// A read takes one off (`EFD_SEMAPHORE`).
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

    /// The events that it has.
    pub fn events(&self) -> Events {
        let value = self.value.load(Ordering::Relaxed);
        Events::when(value > 0, Events::IN) | Events::when(value < MAX_VALUE, Events::OUT)
    }

    /// A number that every read and write changes.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// `read`: the value, or one of it; `None` at 0.
    pub fn read(&self, into: &mut [u8]) -> Result<Option<usize>> {
        let into = into.get_mut(..8).ok_or(libc::EINVAL)?;
        let taken = |value| if self.semaphore { 1 } else { value };
        let Some(value) = self.change(|value| (value > 0).then(|| value - taken(value))) else {
            return Ok(None);
        };
        into.copy_from_slice(&taken(value).to_le_bytes());
        Ok(Some(8))
    }

    /// `write`: adds to the value; `None` if there is no room for that.
    pub fn write(&self, from: &[u8]) -> Result<Option<usize>> {
        let bytes = from.first_chunk().ok_or(libc::EINVAL)?;
        let number = u64::from_le_bytes(*bytes);
        if number == u64::MAX {
            return Err(libc::EINVAL);
        }
        let added = self.change(|value| value.checked_add(number).filter(|sum| *sum <= MAX_VALUE));
        Ok(added.map(|_| 8))
    }

    /// Changes the value, if `next` has another one for it; the old one.
    fn change(&self, next: impl FnMut(u64) -> Option<u64>) -> Option<u64> {
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        let changed = self.value.fetch_update(set, get, next).ok();
        changed.inspect(|_| _ = self.changes.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;
    use crate::readiness::Events;

    fn read(counter: &Counter) -> Option<u64> {
        let mut bytes = [0; 8];
        let read = counter.read(&mut bytes).expect("room");
        read.map(|_| u64::from_le_bytes(bytes))
    }

    #[test]
    fn a_read_takes_all_and_of_a_semaphore_one() {
        let (all, one) = (Counter::new(3, false), Counter::new(3, true));
        assert_eq!([read(&all), read(&all)], [Some(3), None]);
        assert_eq!([read(&one), read(&one)], [Some(1), Some(1)]);
        assert_eq!([read(&one), read(&one)], [Some(1), None]);
        assert_eq!(one.events(), Events::OUT);
        assert_eq!(one.read(&mut [0; 7]), Err(libc::EINVAL));
    }

    #[test]
    fn a_write_never_exceeds_the_largest_value() {
        let counter = Counter::new(0, false);
        let write = |number: u64| counter.write(&number.to_le_bytes());
        assert_eq!(write(u64::MAX), Err(libc::EINVAL));
        assert_eq!(write(u64::MAX - 2), Ok(Some(8)));
        assert_eq!(
            [write(2), write(1), write(1)],
            [Ok(None), Ok(Some(8)), Ok(None)]
        );
        assert_eq!(counter.events(), Events::IN);
        assert_eq!(read(&counter), Some(u64::MAX - 1));
        assert_eq!(counter.write(&[0; 7]), Err(libc::EINVAL));
    }
}

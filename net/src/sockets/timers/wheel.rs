//! A timer wheel for entries that are mostly removed soon after they were added: an array of
//! buckets for the next second, and heaps for entries that are due or far away. Adding takes
//! constant time.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::types::Handle;

/// A bucket is for 2^22 ns, 4 ms.
const SHIFT: u32 = 22;
const BUCKETS: u64 = 256;
/// Entries for which an empty bucket or heap keeps its memory.
const SPARE: usize = 16;

type Entry = (u64, Handle);

#[derive(Debug, Default)]
struct Bucket {
    entries: Vec<Entry>,
    least_ns: u64,
}

/// Entries by time.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    /// Entries of the current bucket's time, or before it.
    due: BinaryHeap<Reverse<Entry>>,
    /// Entries of the following times; allocated with the first entry.
    buckets: Vec<Bucket>,
    /// A bit for each bucket that has entries.
    used: [u64; BUCKETS as usize / 64],
    far: BinaryHeap<Reverse<Entry>>,
    /// The number of the current bucket's time.
    now: u64,
    len: usize,
}

impl Wheel {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.len += 1;
        self.put(entry);
    }

    fn put(&mut self, entry: Entry) {
        let time = entry.0 >> SHIFT;
        if time <= self.now {
            return self.due.push(Reverse(entry));
        }
        if time - self.now >= BUCKETS {
            return self.far.push(Reverse(entry));
        }
        if self.buckets.is_empty() {
            self.buckets.resize_with(BUCKETS as usize, Bucket::default);
        }
        let at = (time % BUCKETS) as usize;
        if let (Some(bucket), Some(used)) = (self.buckets.get_mut(at), self.used.get_mut(at / 64)) {
            if bucket.entries.is_empty() {
                bucket.least_ns = entry.0;
            }
            bucket.least_ns = bucket.least_ns.min(entry.0);
            bucket.entries.push(entry);
            *used |= 1 << (at % 64);
        }
    }

    /// Distance from the current bucket to the first one with entries.
    fn first_used(&self) -> Option<u64> {
        let first = (self.now + 1) % BUCKETS;
        let (word, bit) = (first / 64, first % 64);
        // The first word is read twice: first its upper bits, at the end its lower ones.
        (0..=BUCKETS / 64).find_map(|step| {
            let at = (word + step) % (BUCKETS / 64);
            let mut bits = self.used.get(at as usize).copied()?;
            if step == 0 {
                bits &= u64::MAX << bit;
            }
            let found = at * 64 + u64::from(bits.trailing_zeros());
            (bits != 0).then(|| (found + BUCKETS - self.now % BUCKETS) % BUCKETS)
        })
    }

    fn advance(&mut self, now_ns: u64, revise: &mut impl FnMut(Entry) -> Option<u64>) {
        let now = now_ns >> SHIFT;
        if now <= self.now {
            return;
        }
        let mut later = Vec::new();
        while let Some(step) = self.first_used().filter(|step| self.now + step <= now) {
            let at = ((self.now + step) % BUCKETS) as usize;
            if let (Some(bucket), Some(used)) =
                (self.buckets.get_mut(at), self.used.get_mut(at / 64))
            {
                // All at once: each entry refers to arbitrary memory, which is prefetched for many
                // at a time.
                for entry in bucket.entries.drain(..) {
                    match revise(entry) {
                        Some(at_ns) if at_ns >> SHIFT <= now => {
                            self.due.push(Reverse((at_ns, entry.1)));
                        }
                        Some(at_ns) => later.push((at_ns, entry.1)),
                        None => self.len -= 1,
                    }
                }
                if bucket.entries.capacity() > SPARE {
                    bucket.entries = Vec::new();
                }
                *used &= !(1 << (at % 64));
            }
        }
        self.now = now;
        for entry in later {
            self.put(entry);
        }
        while let Some(Reverse(entry)) = self.far.peek()
            && (entry.0 >> SHIFT) < now + BUCKETS
            && let Some(Reverse(entry)) = self.far.pop()
        {
            self.put(entry);
        }
        if self.far.is_empty() && self.far.capacity() > SPARE {
            self.far = BinaryHeap::new();
        }
    }

    /// Takes the earliest entry if its time has come. `revise` returns the current time of an entry
    /// that comes near, not earlier than before, or `None` to drop it.
    pub(super) fn pop_due(
        &mut self,
        now_ns: u64,
        revise: &mut impl FnMut(Entry) -> Option<u64>,
    ) -> Option<Entry> {
        self.advance(now_ns, revise);
        let Reverse(first) = self.due.peek()?;
        if first.0 > now_ns {
            return None;
        }
        self.len -= 1;
        let entry = self.due.pop().map(|Reverse(entry)| entry);
        if self.due.is_empty() && self.due.capacity() > SPARE {
            self.due = BinaryHeap::new();
        }
        entry
    }

    /// The time of the earliest entry.
    pub(super) fn next_ns(&self) -> Option<u64> {
        if let Some(Reverse(first)) = self.due.peek() {
            return Some(first.0);
        }
        if let Some(step) = self.first_used() {
            let bucket = self.buckets.get(((self.now + step) % BUCKETS) as usize)?;
            return Some(bucket.least_ns);
        }
        self.far.peek().map(|Reverse(first)| first.0)
    }

    /// Drops the entries for which `keep` returns false, and excess memory.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Entry) -> bool) {
        let now = self.now;
        let Wheel {
            due, buckets, far, ..
        } = core::mem::take(self);
        self.now = now;
        let near = buckets.into_iter().flat_map(|bucket| bucket.entries);
        let heaps = due.into_iter().chain(far).map(|Reverse(entry)| entry);
        for entry in heaps.chain(near).filter(|entry| keep(*entry)) {
            self.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Wheel;
    use crate::types::Handle;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Times within a bucket, a round and far beyond; small and large steps of the clock.
        #[test]
        fn behaves_as_a_sorted_set(steps in proptest::collection::vec(
            (0u32..4, 0u64..3_000_000_000, 0u32..34), 1..200
        )) {
            let mut wheel = Wheel::default();
            let mut set = BTreeSet::new();
            let mut now_ns = 0u64;
            for (n, (what, time, scale)) in steps.into_iter().enumerate() {
                let handle = Handle::from_raw(n as u64);
                let time = time >> scale;
                match what {
                    0 => {
                        now_ns += time;
                        let mut due = Vec::new();
                        while let Some(entry) = wheel.pop_due(now_ns, &mut |entry| Some(entry.0)) {
                            due.push(entry);
                        }
                        let later = set.split_off(&(now_ns + 1, Handle::from_raw(0)));
                        let earlier = core::mem::replace(&mut set, later);
                        let expected: Vec<_> = earlier.into_iter().collect();
                        prop_assert_eq!(due, expected);
                    }
                    1 if scale == 0 => {
                        wheel.retain(|(at_ns, _)| at_ns % 3 != 0);
                        set.retain(|(at_ns, _)| at_ns % 3 != 0);
                    }
                    _ => {
                        wheel.push((now_ns + time, handle));
                        set.insert((now_ns + time, handle));
                    }
                }
                prop_assert_eq!(wheel.len(), set.len());
                prop_assert_eq!(wheel.next_ns(), set.first().map(|(at_ns, _)| *at_ns));
            }
        }
    }
}

//! A hash index: from a key's hash to the index of its entry in another table.
//!
//! Linear probing with backward-shift deletion, so that no tombstones remain: the size of the table
//! depends only on the keys present at the same time, and it shrinks again.

use alloc::vec::Vec;

/// Marks a free entry.
const FREE: u32 = u32::MAX;
/// Minimum size of a table.
const MIN_SIZE: usize = 16;

/// Hash and place of a key.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    place: u32,
}

const EMPTY: Entry = Entry {
    hash: 0,
    place: FREE,
};

/// A multimap from hashes to indices. The caller compares the keys.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// A power of two, or none.
    entries: Vec<Entry>,
    len: usize,
}

impl Index {
    pub(crate) const fn new() -> Index {
        Index {
            entries: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn mask(&self) -> usize {
        self.entries.len().wrapping_sub(1)
    }

    /// Adds an index, which must be new and not `u32::MAX`.
    pub(crate) fn insert(&mut self, hash: u32, place: u32) {
        if (self.len + 1) * 4 > self.entries.len() * 3 {
            self.resize((self.entries.len() * 2).max(MIN_SIZE));
        }
        self.put(Entry { hash, place });
        self.len += 1;
    }

    fn put(&mut self, entry: Entry) {
        let mask = self.mask();
        let mut at = entry.hash as usize & mask;
        while let Some(old) = self.entries.get_mut(at) {
            if old.place == FREE {
                *old = entry;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// The first index of this hash for which `is_it` returns true.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        // A quarter is free, so this ends.
        while let Some(entry) = self.entries.get(at).filter(|entry| entry.place != FREE) {
            if entry.hash == hash && is_it(entry.place) {
                return Some(entry.place);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Removes an index; returns whether it was present.
    pub(crate) fn remove(&mut self, hash: u32, place: u32) -> bool {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        loop {
            match self.entries.get(at) {
                None | Some(Entry { place: FREE, .. }) => return false,
                Some(entry) if entry.place == place => break,
                Some(_) => at = (at + 1) & mask,
            }
        }
        // The following entries shift back, unless they are at their hash's place or after the gap.
        let mut next = (at + 1) & mask;
        while let Some(entry) = self.entries.get(next).copied()
            && entry.place != FREE
        {
            let home = entry.hash as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(at) & mask {
                if let Some(gap) = self.entries.get_mut(at) {
                    *gap = entry;
                }
                at = next;
            }
            next = (next + 1) & mask;
        }
        if let Some(gap) = self.entries.get_mut(at) {
            *gap = EMPTY;
        }
        self.len -= 1;
        if self.len == 0 {
            self.entries = Vec::new();
        } else if self.len * 8 < self.entries.len() && self.entries.len() > MIN_SIZE {
            self.resize(self.entries.len() / 2);
        }
        true
    }

    fn resize(&mut self, size: usize) {
        let old = core::mem::replace(&mut self.entries, alloc::vec![EMPTY; size]);
        for entry in old.into_iter().filter(|entry| entry.place != FREE) {
            self.put(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Index;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Few hashes and many steps: chains are long, and wrap around the end.
        #[test]
        fn behaves_as_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..40), 0..400)) {
            let mut index = Index::new();
            let mut set = BTreeSet::new();
            for (add, place) in steps {
                let hash = (place / 3).wrapping_mul(0x9e37_79b9) >> 20;
                if add {
                    if set.insert(place) {
                        index.insert(hash, place);
                    }
                } else {
                    prop_assert_eq!(index.remove(hash, place), set.remove(&place));
                }
                prop_assert_eq!(index.len(), set.len());
                for other in 0..40u32 {
                    let hash = (other / 3).wrapping_mul(0x9e37_79b9) >> 20;
                    let found = index.find(hash, |place| place == other);
                    prop_assert_eq!(found.is_some(), set.contains(&other));
                }
            }
        }
    }

    #[test]
    fn churn_needs_no_more_room_and_an_empty_index_none() {
        let mut index = Index::new();
        for n in 0..1_000_000u32 {
            index.insert(n.wrapping_mul(0x9e37_79b9), n);
            if n >= 100 {
                assert!(index.remove((n - 100).wrapping_mul(0x9e37_79b9), n - 100));
            }
        }
        assert_eq!((index.len(), index.entries.len()), (100, 256));
        for n in 999_900..1_000_000u32 {
            assert!(index.remove(n.wrapping_mul(0x9e37_79b9), n));
        }
        assert_eq!(index.entries.capacity(), 0);
    }
}

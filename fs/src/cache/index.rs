//! Sorted map from the number of a page or buffer to its slot.

use alloc::vec::Vec;
use core::ops::Range;

/// Slots in order of their numbers. An insertion or removal moves all entries behind it, of sixteen
/// bytes each: little beside the 4 or 64 KiB of a page or buffer.
#[derive(Default)]
pub(super) struct SortedIndex(Vec<(u64, usize)>);

impl SortedIndex {
    fn find(&self, index: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&index, |entry| entry.0)
    }

    /// Returns the slot of a number.
    pub fn get(&self, index: u64) -> Option<usize> {
        let found = self.find(index).ok()?;
        self.0.get(found).map(|entry| entry.1)
    }

    /// Sets the slot of a number.
    pub fn insert(&mut self, index: u64, slot: usize) {
        match self.find(index) {
            Ok(found) => {
                if let Some(known) = self.0.get_mut(found) {
                    known.1 = slot;
                }
            }
            Err(after) => self.0.insert(after, (index, slot)),
        }
    }

    /// Removes a number and returns its slot.
    pub fn remove(&mut self, index: u64) -> Option<usize> {
        let found = self.find(index).ok()?;
        Some(self.0.remove(found).1)
    }

    /// Returns the numbers in `range` and their slots.
    pub fn range(&self, range: Range<u64>) -> &[(u64, usize)] {
        let first = self.0.partition_point(|entry| entry.0 < range.start);
        let rest = self.0.get(first..).unwrap_or_default();
        let count = rest.partition_point(|entry| entry.0 < range.end);
        rest.get(..count).unwrap_or_default()
    }

    /// Removes all numbers.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(
            steps in prop::collection::vec((0u64..40, 0usize..99, any::<bool>()), 1..200),
        ) {
            let (mut sorted, mut map) = (SortedIndex::default(), BTreeMap::new());
            for (index, slot, is_new) in steps {
                if is_new {
                    sorted.insert(index, slot);
                    map.insert(index, slot);
                } else {
                    prop_assert_eq!(sorted.remove(index), map.remove(&index));
                }
                prop_assert_eq!(sorted.get(index), map.get(&index).copied());
                let range = index..index + 7;
                let wanted: Vec<_> = map.range(range.clone()).map(|(a, b)| (*a, *b)).collect();
                prop_assert_eq!(sorted.range(range), wanted);
            }
        }
    }
}

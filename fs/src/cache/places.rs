//! Where in a list which piece of the device is.

use alloc::vec::Vec;
use core::ops::Range;

/// Places in the order of the pieces' numbers. Sixteen bytes each, of which those behind one that
/// comes or goes are moved: little beside the 4 or 64 KiB that such a piece is.
#[derive(Default)]
pub(super) struct Places(Vec<(u64, usize)>);

impl Places {
    fn find(&self, index: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&index, |place| place.0)
    }

    /// The place of a piece.
    pub fn get(&self, index: u64) -> Option<usize> {
        let found = self.find(index).ok()?;
        self.0.get(found).map(|place| place.1)
    }

    /// Notes where a piece is, or where it is now.
    pub fn insert(&mut self, index: u64, place: usize) {
        match self.find(index) {
            Ok(found) => {
                if let Some(known) = self.0.get_mut(found) {
                    known.1 = place;
                }
            }
            Err(after) => self.0.insert(after, (index, place)),
        }
    }

    /// Forgets a piece, and gives its place.
    pub fn remove(&mut self, index: u64) -> Option<usize> {
        let found = self.find(index).ok()?;
        Some(self.0.remove(found).1)
    }

    /// Pieces and their places.
    pub fn range(&self, range: Range<u64>) -> &[(u64, usize)] {
        let first = self.0.partition_point(|place| place.0 < range.start);
        let rest = self.0.get(first..).unwrap_or_default();
        let count = rest.partition_point(|place| place.0 < range.end);
        rest.get(..count).unwrap_or_default()
    }

    /// Forgets them all.
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
        fn it_is_a_map(steps in prop::collection::vec((0u64..40, 0usize..99, any::<bool>()), 1..200)) {
            let (mut places, mut map) = (Places::default(), BTreeMap::new());
            for (index, place, is_new) in steps {
                if is_new {
                    places.insert(index, place);
                    map.insert(index, place);
                } else {
                    prop_assert_eq!(places.remove(index), map.remove(&index));
                }
                prop_assert_eq!(places.get(index), map.get(&index).copied());
                let range = index..index + 7;
                let wanted: Vec<_> = map.range(range.clone()).map(|(a, b)| (*a, *b)).collect();
                prop_assert_eq!(places.range(range), wanted);
            }
        }
    }
}

//! Index of a directory: its used slots, and the tags of their names.
//!
//! A tag is 16 bits of a name's hash. Different tags mean different names; equal tags need a
//! comparison with the disk. The index takes four bytes per slot of 32 bytes, plus the list heads
//! of the buckets.

use alloc::vec::Vec;
use core::iter;

/// End of a bucket's list; also the link of a used slot without a name.
const NONE: u16 = u16::MAX;

/// Link of a free slot.
const FREE: u16 = u16::MAX - 1;

/// Maximum number of slots of one index: slot numbers are below the two above.
pub(super) const MAX_SLOTS: usize = FREE as usize;

/// Slots of the longest name: 20 for its characters, and the short entry.
pub(super) const MAX_RUN: usize = 21;

/// Slots per bucket when the index is built, and the limit at which it needs a rebuild.
const SPARSE: usize = 4;
const CROWDED: usize = 64;

#[derive(Debug, Clone, Copy)]
struct IndexSlot {
    tag: u16,
    /// Next slot in the list of the tag's bucket.
    next: u16,
}

const EMPTY: IndexSlot = IndexSlot { tag: 0, next: FREE };

/// Index of a directory; see the module documentation.
#[derive(Debug)]
pub(super) struct Index {
    /// First slot of each bucket's list; the length is a power of two.
    heads: Vec<u16>,
    slots: Vec<IndexSlot>,
    /// No run of that many free slots begins before this slot.
    from: [u16; MAX_RUN + 1],
    /// First of the slots that were never used.
    end: usize,
}

fn buckets(slots: usize) -> usize {
    (slots / SPARSE).clamp(16, 1 << 14).next_power_of_two()
}

impl Index {
    /// Returns the memory for `slots` slots in bytes.
    pub fn cost(slots: usize) -> usize {
        slots * size_of::<IndexSlot>() + buckets(slots) * size_of::<u16>()
    }

    /// Creates an index of free slots; `None` when there are too many, or memory is short.
    pub fn new(slots: usize) -> Option<Self> {
        let mut index = Self {
            heads: Vec::new(),
            slots: Vec::new(),
            from: [0; MAX_RUN + 1],
            end: 0,
        };
        index.heads.try_reserve_exact(buckets(slots)).ok()?;
        index.heads.resize(buckets(slots), NONE);
        index.grow(slots).then_some(index)
    }

    /// Adds free slots at the end; `false` when the index needs a rebuild for that many.
    pub fn grow(&mut self, slots: usize) -> bool {
        let more = slots.saturating_sub(self.slots.len());
        if slots > MAX_SLOTS.min(self.heads.len() * CROWDED)
            || self.slots.try_reserve_exact(more).is_err()
        {
            return false;
        }
        self.slots.resize(slots.max(self.slots.len()), EMPTY);
        true
    }

    /// Returns the number of slots in the directory.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns the first of the slots that were never used.
    pub fn end(&self) -> usize {
        self.end
    }

    fn head(&mut self, tag: u16) -> Option<&mut u16> {
        let bucket = usize::from(tag) & (self.heads.len() - 1);
        self.heads.get_mut(bucket)
    }

    /// Iterates over the slots that hold a name with this tag.
    pub fn find(&self, tag: u16) -> impl Iterator<Item = usize> {
        let bucket = usize::from(tag) & (self.heads.len() - 1);
        let mut next = self.heads.get(bucket).copied().unwrap_or(NONE);
        iter::from_fn(move || {
            loop {
                let at = usize::from(next);
                let slot = self.slots.get(at)?;
                next = slot.next;
                if slot.tag == tag {
                    return Some(at);
                }
            }
        })
    }

    /// Marks a slot as used, with or without a name; it was free, or used without a name.
    pub fn take(&mut self, slot: usize, tag: Option<u16>) {
        let mut next = NONE;
        if let (Some(head), Ok(first)) = (tag.and_then(|tag| self.head(tag)), u16::try_from(slot)) {
            next = core::mem::replace(head, first);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = IndexSlot {
                tag: tag.unwrap_or(0),
                next,
            };
        }
        self.end = self.end.max(slot + 1);
    }

    /// Marks a slot as free.
    pub fn release(&mut self, slot: usize) {
        let Some(old) = self.slots.get_mut(slot) else {
            return;
        };
        let IndexSlot { tag, next } = core::mem::replace(old, EMPTY);
        let number = slot as u16;
        // Unlink the slot from the list of its bucket, if it had a name.
        if let Some(head) = self.head(tag) {
            let mut at = *head;
            if at == number {
                *head = next;
            }
            while let Some(other) = self.slots.get_mut(usize::from(at)) {
                at = other.next;
                if at == number {
                    other.next = next;
                }
            }
        }
        for (count, from) in self.from.iter_mut().enumerate() {
            // The slot may complete a run that was too short.
            *from = (*from).min(number.saturating_sub(count as u16));
        }
    }

    /// Returns the first of `count` consecutive free slots.
    pub fn room(&mut self, count: usize) -> Option<usize> {
        let known = self.from.get(..=count)?.iter().max();
        let mut start = usize::from(known.copied().unwrap_or(0));
        let mut found = None;
        while start < self.slots.len() {
            let free = |slot: &&IndexSlot| slot.next == FREE;
            let rest = self.slots.get(start..).unwrap_or_default();
            let run = rest.iter().take(count).take_while(free).count();
            if run == count {
                found = Some(start);
                break;
            }
            if start + run == self.slots.len() {
                break;
            }
            start += run + 1;
        }
        if let Some(from) = self.from.get_mut(count) {
            *from = start.min(MAX_SLOTS) as u16;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Add(usize, u16),
        Remove(usize),
        Grow(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            // Few tags, so that lists are long.
            6 => (1usize..=MAX_RUN, 0u16..40).prop_map(|(count, tag)| Step::Add(count, tag)),
            4 => (0usize..1000).prop_map(Step::Remove),
            1 => (1usize..64).prop_map(Step::Grow),
        ];
        prop::collection::vec(step, 1..300)
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list_of_all_slots(steps in steps()) {
            let mut index = Index::new(48).unwrap();
            // State of each slot: free, used, or used with a name.
            let mut model: Vec<Option<Option<u16>>> = vec![None; 48];
            let mut names: Vec<(usize, usize)> = Vec::new();
            for step in steps {
                match step {
                    Step::Add(count, tag) => {
                        let first = (0..model.len()).find(|at| {
                            let run = model.get(*at..at + count);
                            run.is_some_and(|run| run.iter().all(Option::is_none))
                        });
                        prop_assert_eq!(index.room(count), first);
                        let Some(first) = first else { continue };
                        for (slot, known) in model.iter_mut().enumerate().skip(first).take(count) {
                            let named = (slot == first || slot + 1 == first + count).then_some(tag);
                            index.take(slot, named);
                            *known = Some(named);
                        }
                        names.push((first, count));
                    }
                    Step::Remove(which) if !names.is_empty() => {
                        let (first, count) = names.remove(which % names.len());
                        for (slot, known) in model.iter_mut().enumerate().skip(first).take(count) {
                            index.release(slot);
                            *known = None;
                        }
                    }
                    Step::Remove(_) => {}
                    Step::Grow(more) => {
                        if index.grow(model.len() + more) {
                            model.resize(model.len() + more, None);
                        }
                    }
                }
                for tag in 0..40 {
                    let mut found: Vec<usize> = index.find(tag).collect();
                    found.sort_unstable();
                    let all = 0..model.len();
                    let wanted: Vec<usize> =
                        all.filter(|slot| model[*slot] == Some(Some(tag))).collect();
                    prop_assert_eq!(found, wanted);
                }
            }
        }
    }

    /// Four bytes per slot, and two per bucket, of which there are at least 16.
    #[test]
    fn memory_goes_with_slots() {
        assert_eq!(Index::cost(0), 32);
        assert_eq!(Index::cost(64), 64 * 4 + 32);
        assert_eq!(Index::cost(100), 100 * 4 + 32 * 2);
        assert_eq!(Index::cost(MAX_SLOTS), MAX_SLOTS * 4 + (2 << 14));
        let mut index = Index::new(100).unwrap();
        assert_eq!((index.len(), index.heads.len()), (100, 32));
        // Lists that grow too long are rebuilt.
        assert!(index.grow(32 * 64));
        assert_eq!(index.len(), 32 * 64);
        assert!(!index.grow(32 * 64 + 1) && index.len() == 32 * 64);
        assert!(index.grow(10) && index.len() == 32 * 64);
    }

    #[test]
    fn the_largest_directory_fits_and_no_larger_one() {
        assert!(Index::new(MAX_SLOTS + 1).is_none());
        let mut index = Index::new(MAX_SLOTS).unwrap();
        for slot in 0..MAX_SLOTS {
            assert_eq!(index.room(1), Some(slot));
            index.take(slot, Some(slot as u16));
        }
        assert_eq!((index.room(1), index.end()), (None, MAX_SLOTS));
        for slot in (0..MAX_SLOTS).step_by(777) {
            assert_eq!(index.find(slot as u16).collect::<Vec<_>>(), [slot]);
        }
        assert!(Index::cost(MAX_SLOTS) < 300 << 10);
    }
}

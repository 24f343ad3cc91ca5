//! Small records of connections by flow, in the order in which they are due.

use alloc::vec::Vec;
use core::hash::BuildHasher;

use crate::hash::Index;
use crate::hash::KeyedHash;
use crate::tcp::flow::FlowKey;

/// No slot.
const NONE: u32 = u32::MAX;
/// Slots per allocation of some KiB, so that freed memory can be reused. One growing table would
/// need all of its memory in one piece, beside the old one, which fragments the heap.
const CHUNK: usize = 64;

/// Identifies a record until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordId(u32);

#[derive(Debug)]
struct Entry<T> {
    key: FlowKey,
    /// Its list, and its neighbors there; for a free slot: the next one.
    list: u8,
    before: u32,
    after: u32,
    value: Option<T>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

/// Records, each in one of `LISTS` lists, in the order of insertion. Each operation takes constant
/// time, amortised. Memory stays that of the maximum number of records until all are removed.
#[derive(Debug)]
pub(crate) struct Records<T, const LISTS: usize> {
    /// Each full but the last one, and never longer than `CHUNK`. The first one is kept.
    chunks: Vec<Vec<Entry<T>>>,
    free: u32,
    lists: [List; LISTS],
    index: Index,
    keyed: KeyedHash,
}

impl<T, const LISTS: usize> Records<T, LISTS> {
    pub(crate) fn new(keyed: KeyedHash) -> Self {
        Records {
            chunks: Vec::new(),
            free: NONE,
            lists: [List {
                first: NONE,
                last: NONE,
            }; LISTS],
            index: Index::new(),
            keyed,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    fn hash(&self, key: &FlowKey) -> u32 {
        self.keyed.hash_one(key) as u32
    }

    fn entry(&self, at: u32) -> Option<&Entry<T>> {
        let at = at as usize;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    fn entry_mut(&mut self, at: u32) -> Option<&mut Entry<T>> {
        let at = at as usize;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    /// The record of a flow.
    pub(crate) fn find(&self, key: &FlowKey) -> Option<RecordId> {
        if self.index.len() == 0 {
            return None;
        }
        let is_it = |at| self.entry(at).is_some_and(|entry| entry.key == *key);
        self.index.find(self.hash(key), is_it).map(RecordId)
    }

    pub(crate) fn get(&self, place: RecordId) -> Option<&T> {
        self.entry(place.0)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, place: RecordId) -> Option<&mut T> {
        self.entry_mut(place.0)?.value.as_mut()
    }

    pub(crate) fn key(&self, place: RecordId) -> Option<FlowKey> {
        self.entry(place.0).map(|entry| entry.key)
    }

    /// The oldest record of `list`.
    pub(crate) fn first(&self, list: usize) -> Option<RecordId> {
        let first = self.lists.get(list)?.first;
        (first != NONE).then_some(RecordId(first))
    }

    /// Adds a record for a flow that has none.
    pub(crate) fn insert(&mut self, key: FlowKey, list: usize, value: T) -> RecordId {
        let at = self.free;
        let place = if let Some(entry) = self.entry_mut(at) {
            let next = entry.after;
            entry.key = key;
            entry.value = Some(value);
            self.free = next;
            at
        } else {
            self.push(Entry {
                key,
                list: 0,
                before: NONE,
                after: NONE,
                value: Some(value),
            })
        };
        self.index.insert(self.hash(&key), place);
        self.link(place, list);
        RecordId(place)
    }

    /// Adds a slot at the end.
    fn push(&mut self, entry: Entry<T>) -> u32 {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        match self.chunks.last_mut() {
            Some(last) => {
                last.push(entry);
                (before + last.len() - 1) as u32
            }
            None => NONE,
        }
    }

    /// Moves a record to the end of `list`.
    pub(crate) fn put_last(&mut self, place: RecordId, list: usize) {
        if self.get(place).is_some() {
            self.unlink(place.0);
            self.link(place.0, list);
        }
    }

    pub(crate) fn remove(&mut self, place: RecordId) -> Option<T> {
        let RecordId(at) = place;
        let value = self.entry_mut(at)?.value.take()?;
        self.unlink(at);
        let key = self.entry(at)?.key;
        self.index.remove(self.hash(&key), at);
        let free = core::mem::replace(&mut self.free, at);
        self.entry_mut(at)?.after = free;
        if self.index.len() == 0 && self.chunks.len() > 1 {
            self.chunks.truncate(1);
            self.chunks.shrink_to_fit();
            self.chunks.iter_mut().for_each(Vec::clear);
            self.free = NONE;
        }
        Some(value)
    }

    /// The records of one list or all.
    pub(crate) fn places(&self) -> impl Iterator<Item = RecordId> + '_ {
        let used =
            |(at, entry): (usize, &Entry<T>)| entry.value.as_ref().map(|_| RecordId(at as u32));
        self.chunks.iter().flatten().enumerate().filter_map(used)
    }

    fn link(&mut self, at: u32, list: usize) {
        let Some(ends) = self.lists.get_mut(list) else {
            return;
        };
        let before = core::mem::replace(&mut ends.last, at);
        if before == NONE {
            ends.first = at;
        } else if let Some(entry) = self.entry_mut(before) {
            entry.after = at;
        }
        if let Some(entry) = self.entry_mut(at) {
            (entry.list, entry.before, entry.after) = (list as u8, before, NONE);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(&Entry {
            list,
            before,
            after,
            ..
        }) = self.entry(at)
        else {
            return;
        };
        match self.entry_mut(before) {
            Some(entry) => entry.after = after,
            None => self.set_end(list, |ends| ends.first = after),
        }
        match self.entry_mut(after) {
            Some(entry) => entry.before = before,
            None => self.set_end(list, |ends| ends.last = before),
        }
    }

    fn set_end(&mut self, list: u8, set: impl FnOnce(&mut List)) {
        if let Some(ends) = self.lists.get_mut(usize::from(list)) {
            set(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Records;
    use crate::hash::KeyedHash;
    use crate::tcp::flow::FlowKey;
    use crate::tcp::numbers::counting_random;
    use proptest::prelude::*;

    fn flow(port: u16) -> FlowKey {
        let ip = |text: &str| text.parse::<core::net::IpAddr>().unwrap();
        FlowKey::new((ip("10.0.0.1"), 80), (ip("10.0.0.2"), port))
    }

    /// Drains a list and returns its contents.
    fn contents(mut records: Records<u16, 2>, list: usize) -> Vec<u16> {
        let mut all = Vec::new();
        while let Some(place) = records.first(list) {
            all.extend(records.remove(place));
        }
        all
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Put(u16, usize),
        Remove(u16),
    }

    proptest! {
        #[test]
        fn behaves_as_two_lists(steps in proptest::collection::vec(prop_oneof![
            2 => (0u16..150, 0usize..2).prop_map(|(n, list)| Step::Put(n, list)),
            1 => (0u16..150).prop_map(Step::Remove),
        ], 0..600)) {
            let mut records = Records::<u16, 2>::new(KeyedHash::new(&mut counting_random()));
            let mut lists = [Vec::new(), Vec::new()];
            for step in steps {
                let (Step::Put(n, _) | Step::Remove(n)) = step;
                let found = records.find(&flow(n));
                let known = lists.iter().any(|list: &Vec<u16>| list.contains(&n));
                prop_assert_eq!(found.is_some(), known);
                lists.iter_mut().for_each(|list| list.retain(|other| *other != n));
                match (step, found) {
                    (Step::Put(n, list), None) => {
                        records.insert(flow(n), list, n);
                        lists[list].push(n);
                    }
                    (Step::Put(n, list), Some(place)) => {
                        prop_assert_eq!(records.get(place), Some(&n));
                        prop_assert_eq!(records.key(place), Some(flow(n)));
                        records.put_last(place, list);
                        lists[list].push(n);
                    }
                    (Step::Remove(n), Some(place)) => prop_assert_eq!(
                        records.remove(place),
                        Some(n),
                    ),
                    (Step::Remove(_), None) => {}
                }
                prop_assert_eq!(records.len(), lists[0].len() + lists[1].len());
                prop_assert_eq!(records.places().count(), records.len());
            }
            let [first, second] = lists;
            let mut seen = Vec::new();
            while let Some(place) = records.first(1) {
                seen.extend(records.remove(place));
            }
            prop_assert_eq!(seen, second);
            prop_assert_eq!(contents(records, 0), first);
        }
    }

    #[test]
    fn nothing_is_kept_of_many() {
        let mut records = Records::<u16, 1>::new(KeyedHash::new(&mut counting_random()));
        for n in 0..10_000 {
            records.insert(flow(n), 0, n);
        }
        while let Some(place) = records.first(0) {
            records.remove(place);
        }
        assert_eq!((records.len(), records.chunks.len()), (0, 1));
        // And a few that come and go don't make it ask for memory each time.
        let place = records.insert(flow(1), 0, 1);
        records.remove(place);
        assert_eq!(
            (records.chunks.len(), records.chunks[0].capacity()),
            (1, super::CHUNK)
        );
    }

    /// Nothing moves when records are added, and no allocation is large.
    #[test]
    fn memory_comes_in_small_pieces() {
        let mut records = Records::<u64, 1>::new(KeyedHash::new(&mut counting_random()));
        let first = records.insert(flow(0), 0, 0);
        let at = core::ptr::from_ref(records.get(first).expect("there"));
        for n in 1..5000 {
            records.insert(flow(n), 0, n.into());
        }
        assert_eq!(core::ptr::from_ref(records.get(first).expect("there")), at);
        assert!(
            records
                .chunks
                .iter()
                .all(|chunk| chunk.capacity() == super::CHUNK)
        );
        assert_eq!(records.places().count(), 5000);
    }
}

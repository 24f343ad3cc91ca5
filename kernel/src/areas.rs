//! The program's address space: which ranges it has asked for, with what protection.
//!
//! Pure bookkeeping; [`crate::memory`] applies it to page tables. A range is *committed* once it
//! could be written: from then on memory stands behind every page of it, touched or not, so that a
//! request that can't be met fails when it is made (`malloc` returns null) and not when a page is
//! touched. Address space that was only reserved costs nothing.

use crate::frames::PAGE;
use alloc::vec::Vec;
use core::ops::Range;

/// What the program may do with a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Loads.
    pub read: bool,
    /// Stores.
    pub write: bool,
    /// Instruction fetches.
    pub execute: bool,
}

impl Protection {
    /// Whether an access of this kind is allowed: a fetch, a store, or else a load.
    pub fn allows(self, write: bool, fetch: bool) -> bool {
        if fetch {
            self.execute
        } else if write {
            self.write
        } else {
            self.read
        }
    }
}

/// A range with one protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Page-aligned addresses.
    pub range: Range<u64>,
    /// What is allowed.
    pub protection: Protection,
    /// Counted in [`Areas::committed`].
    pub committed: bool,
}

impl Area {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn continues(&self, next: &Area) -> bool {
        self.range.end == next.range.start
            && self.protection == next.protection
            && self.committed == next.committed
    }
}

/// The ranges in use within `limits`, in order, none overlapping.
pub struct Areas {
    list: Vec<Area>,
    limits: Range<u64>,
    first: u64,
    committed: u64,
}

impl Areas {
    /// No ranges; addresses are allowed within `limits`, and given out from `first` on.
    pub const fn new(limits: Range<u64>, first: u64) -> Self {
        Self {
            list: Vec::new(),
            limits,
            first,
            committed: 0,
        }
    }

    /// How many areas the list holds at most, if it is to have room for one more change; `None`
    /// where it has that room. The list never grows by itself: it is changed while memory can't be
    /// allocated.
    pub fn wants_capacity(&self) -> Option<usize> {
        /// A change cuts at two ends and adds an area.
        const ROOM: usize = 3;
        let wanted = self.list.len() + ROOM;
        (wanted > self.list.capacity()).then_some((2 * wanted).max(32))
    }

    /// Moves the list to `storage`, which is empty and large enough; gives the old storage back to
    /// be freed.
    pub fn move_to(&mut self, mut storage: Vec<Area>) -> Vec<Area> {
        debug_assert!(storage.capacity() > self.list.len());
        storage.append(&mut self.list);
        core::mem::replace(&mut self.list, storage)
    }

    /// Bytes that are committed.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The range that contains `address`.
    pub fn find(&self, address: u64) -> Option<&Area> {
        self.list
            .get(self.first_ending_behind(address))
            .filter(|area| area.range.start <= address)
    }

    /// Whether every byte of `range` may be loaded and, if `write`, stored to.
    pub fn permits(&self, range: &Range<u64>, write: bool) -> bool {
        let mut at = range.start;
        while at < range.end {
            match self.find(at) {
                Some(area) if area.protection.read && (area.protection.write || !write) => {
                    at = area.range.end;
                }
                _ => return false,
            }
        }
        true
    }

    fn first_ending_behind(&self, address: u64) -> usize {
        self.list.partition_point(|area| area.range.end <= address)
    }

    /// Whether `range` may be asked for at that address.
    pub fn allows(&self, range: &Range<u64>) -> bool {
        range.start >= self.limits.start && range.end <= self.limits.end && range.start < range.end
    }

    /// The lowest free range of `len` bytes.
    pub fn gap(&self, len: u64) -> Option<Range<u64>> {
        let mut start = self.first;
        for area in &self.list {
            if area.range.start.saturating_sub(start) >= len {
                break;
            }
            start = start.max(area.range.end);
        }
        let end = start.checked_add(len)?;
        (end <= self.limits.end).then_some(start..end)
    }

    /// Whether no page of `range` is in use.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        let next = self.list.get(self.first_ending_behind(range.start));
        next.is_none_or(|area| area.range.start >= range.end)
    }

    /// Adds `area`, whose range must be free.
    pub fn insert(&mut self, area: Area) {
        debug_assert!(self.is_free(&area.range));
        if area.committed {
            self.committed += area.len();
        }
        let at = self.first_ending_behind(area.range.start);
        self.list.insert(at, area);
        self.join(at + 1);
        self.join(at);
    }

    /// Joins the area at `at` with the one before, if they are alike.
    fn join(&mut self, at: usize) {
        if at == 0 || at >= self.list.len() || !self.list[at - 1].continues(&self.list[at]) {
            return;
        }
        let area = self.list.remove(at);
        self.list[at - 1].range.end = area.range.end;
    }

    /// Makes `address` a border between areas, if it is inside one.
    fn split(&mut self, address: u64) {
        let at = self.first_ending_behind(address);
        if let Some(area) = self.list.get_mut(at)
            && area.range.start < address
        {
            let tail = Area {
                range: address..area.range.end,
                ..area.clone()
            };
            area.range.end = address;
            self.list.insert(at + 1, tail);
        }
    }

    /// The indexes of the areas in `range` after splitting at its ends.
    fn cut(&mut self, range: &Range<u64>) -> Range<usize> {
        self.split(range.start);
        self.split(range.end);
        self.first_ending_behind(range.start)
            ..self
                .list
                .partition_point(|area| area.range.start < range.end)
    }

    /// Forgets `range`.
    pub fn remove(&mut self, range: &Range<u64>) {
        let cut = self.cut(range);
        for area in self.list.drain(cut) {
            if area.committed {
                self.committed -= area.len();
            }
        }
    }

    /// The bytes of `range` in use, and those that [`Areas::protect`] with `protection` would
    /// commit.
    pub fn measure(&self, range: &Range<u64>, protection: Protection) -> (u64, u64) {
        let mut used = 0;
        let mut newly_committed = 0;
        for area in &self.list[self.first_ending_behind(range.start)..] {
            if area.range.start >= range.end {
                break;
            }
            let len = area.range.end.min(range.end) - area.range.start.max(range.start);
            used += len;
            if protection.write && !area.committed {
                newly_committed += len;
            }
        }
        (used, newly_committed)
    }

    /// Bytes of `range` that are committed.
    pub fn committed_in(&self, range: &Range<u64>) -> u64 {
        let writable = Protection {
            write: true,
            ..Protection::default()
        };
        let (used, uncommitted) = self.measure(range, writable);
        used - uncommitted
    }

    /// Sets the protection of what is in use in `range`.
    pub fn protect(&mut self, range: &Range<u64>, protection: Protection) {
        let cut = self.cut(range);
        for area in &mut self.list[cut.clone()] {
            if protection.write && !area.committed {
                area.committed = true;
                self.committed += area.len();
            }
            area.protection = protection;
        }
        for at in (cut.start..=cut.end).rev() {
            self.join(at);
        }
    }
}

/// `len` rounded up to whole pages; `None` for 0 and where that overflows.
pub fn whole_pages(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(PAGE).filter(|len| *len > 0)
}

#[cfg(test)]
mod tests {
    use super::{Area, Areas, PAGE, Protection, whole_pages};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    const NONE: Protection = Protection {
        read: false,
        write: false,
        execute: false,
    };
    const WRITE: Protection = Protection {
        read: true,
        write: true,
        execute: false,
    };

    fn area(range: core::ops::Range<u64>, protection: Protection) -> Area {
        Area {
            range,
            protection,
            committed: protection.write,
        }
    }

    #[test]
    fn joins_neighbours_and_reuses_the_lowest_gap() {
        let mut areas = Areas::new(0x1000..0x10_0000, 0x1000);
        areas.insert(area(0x1000..0x3000, WRITE));
        areas.insert(area(0x5000..0x6000, WRITE));
        assert_eq!(areas.gap(0x2000), Some(0x3000..0x5000));
        assert_eq!(areas.gap(0x3000), Some(0x6000..0x9000));
        areas.insert(area(0x3000..0x5000, WRITE));
        assert_eq!(areas.list, [area(0x1000..0x6000, WRITE)]);
        assert_eq!(areas.committed(), 0x5000);
        assert_eq!(areas.gap(0x10_0000), None);
    }

    #[test]
    fn gives_addresses_out_from_the_first_on() {
        let mut areas = Areas::new(0x1000..0x10_0000, 0x5000);
        assert_eq!(areas.gap(0x1000), Some(0x5000..0x6000));
        // What was asked for by its address may lie below, and across.
        areas.insert(area(0x1000..0x2000, WRITE));
        areas.insert(area(0x4000..0x6000, WRITE));
        assert_eq!(areas.gap(0x1000), Some(0x6000..0x7000));
        areas.insert(area(0x8000..0x9000, WRITE));
        assert_eq!(areas.gap(0x2000), Some(0x6000..0x8000));
        assert_eq!(areas.gap(0x3000), Some(0x9000..0xc000));
    }

    #[test]
    fn the_list_asks_for_room_before_it_needs_it() {
        let mut areas = Areas::new(0..1 << 30, 0);
        assert_eq!(areas.wants_capacity(), Some(32));
        assert_eq!(areas.move_to(Vec::with_capacity(32)).capacity(), 0);
        let piece = |n: u64| area(n * 0x2000..n * 0x2000 + 0x1000, WRITE);
        for n in 0..29 {
            assert_eq!(areas.wants_capacity(), None, "{n} areas");
            areas.insert(piece(n));
        }
        // A change may still cut an area in two, but not once more.
        assert_eq!(areas.wants_capacity(), None);
        areas.insert(piece(29));
        assert_eq!(areas.wants_capacity(), Some(66));
        let before = areas.list.clone();
        let old = areas.move_to(Vec::with_capacity(66));
        assert_eq!((old.len(), old.capacity()), (0, 32));
        assert_eq!((areas.list == before, areas.wants_capacity()), (true, None));
    }

    #[test]
    fn an_access_is_allowed_by_its_own_flag() {
        let only = |read, write, execute| Protection {
            read,
            write,
            execute,
        };
        for (protection, allowed) in [
            (only(true, false, false), [true, false, false]),
            (only(false, true, false), [false, true, false]),
            (only(false, false, true), [false, false, true]),
        ] {
            // A load, a store, a fetch; the last is one whatever else is said.
            let accesses = [(false, false), (true, false), (false, true)];
            assert_eq!(accesses.map(|(w, f)| protection.allows(w, f)), allowed);
            assert_eq!(protection.allows(true, true), protection.execute);
        }
    }

    #[test]
    fn what_is_readable_alone_permits_loads_alone() {
        let mut areas = Areas::new(0..0x10_0000, 0);
        let read = Protection { read: true, ..NONE };
        areas.insert(area(0x1000..0x2000, read));
        areas.insert(area(0x2000..0x3000, WRITE));
        areas.insert(area(0x3000..0x4000, NONE));
        for (range, load, store) in [
            (0x1000..0x3000, true, false),
            (0x1000..0x2000, true, false),
            (0x2000..0x3000, true, true),
            (0x2fff..0x3001, false, false),
            (0xfff..0x1001, false, false),
            (0x1fff..0x2001, true, false),
        ] {
            let permitted = [false, true].map(|write| areas.permits(&range, write));
            assert_eq!(permitted, [load, store], "{range:x?}");
        }
    }

    #[test]
    fn a_range_is_within_the_limits_and_free_or_not() {
        let mut areas = Areas::new(0x1000..0x9000, 0x1000);
        for (range, allowed) in [
            (0x1000..0x9000, true),
            (0xfff..0x9000, false),
            (0x1000..0x9001, false),
            (0x8000..0x9000, true),
            (0x9000..0xa000, false),
            (0..0x1000, false),
            (0x2000..0x2000, false),
        ] {
            assert_eq!(areas.allows(&range), allowed, "{range:x?}");
        }
        areas.insert(area(0x3000..0x5000, WRITE));
        for (range, free) in [
            (0x1000..0x3000, true),
            (0x1000..0x3001, false),
            (0x4000..0x4001, false),
            (0x4fff..0x6000, false),
            (0x5000..0x6000, true),
        ] {
            assert_eq!(areas.is_free(&range), free, "{range:x?}");
        }
    }

    #[test]
    fn lengths_are_whole_pages_and_not_none() {
        let cases = [
            (0, None),
            (1, Some(PAGE)),
            (PAGE, Some(PAGE)),
            (PAGE + 1, Some(2 * PAGE)),
            (u64::MAX, None),
        ];
        for (len, pages) in cases {
            assert_eq!(whole_pages(len), pages, "{len}");
        }
    }

    #[test]
    fn commits_what_becomes_writable_and_keeps_it_so() {
        let mut areas = Areas::new(0..0x10_0000, 0);
        areas.insert(area(0..0x8000, NONE));
        let middle = 0x2000..0x4000;
        assert_eq!(areas.measure(&(0..0x9000), WRITE), (0x8000, 0x8000));
        areas.protect(&middle, WRITE);
        assert_eq!(areas.committed(), 0x2000);
        areas.protect(&middle, NONE);
        assert_eq!(areas.committed(), 0x2000);
        assert_eq!(areas.find(0x2000).map(|area| area.protection), Some(NONE));
        areas.remove(&(0x1000..0x3000));
        assert_eq!(areas.committed(), 0x1000);
        assert_eq!(areas.committed_in(&(0..0x8000)), 0x1000);
        assert!(areas.find(0x1000).is_none());
        assert!(areas.find(0x3000).is_some());
    }

    proptest! {
        /// The list against one flag for each page.
        #[test]
        fn agrees_with_a_flag_for_each_page(
            steps in proptest::collection::vec((0..4u8, 0..32u64, 1..12u64), 1..80)
        ) {
            let mut areas = Areas::new(0..48 * PAGE, 0);
            let mut pages: [Option<(Protection, bool)>; 48] = [None; 48];
            for (kind, first, count) in steps {
                let range = first * PAGE..(first + count) * PAGE;
                let these = &mut pages[first as usize..(first + count) as usize];
                match kind {
                    0 => areas.remove(&range),
                    1 => areas.protect(&range, WRITE),
                    2 => areas.protect(&range, NONE),
                    _ => {
                        areas.remove(&range);
                        areas.insert(area(range.clone(), if count % 2 == 0 { NONE } else { WRITE }));
                    }
                }
                for page in these {
                    *page = match (kind, *page) {
                        (0, _) => None,
                        (1, Some(_)) => Some((WRITE, true)),
                        (2, Some((_, committed))) => Some((NONE, committed)),
                        (3, _) if count % 2 == 0 => Some((NONE, false)),
                        (3, _) => Some((WRITE, true)),
                        (_, page) => page,
                    };
                }
                for (page, expected) in (0u64..).zip(&pages) {
                    let found = areas.find(page * PAGE).map(|area| (area.protection, area.committed));
                    prop_assert_eq!(found, *expected);
                }
                let writable = pages[first as usize..(first + count) as usize]
                    .iter()
                    .all(|page| page.is_some_and(|(protection, _)| protection == WRITE));
                prop_assert_eq!(areas.permits(&range, true), writable);
                prop_assert_eq!(areas.permits(&range, false), writable);
                let committed = pages.iter().filter(|page| page.is_some_and(|page| page.1)).count();
                prop_assert_eq!(areas.committed(), committed as u64 * PAGE);
                prop_assert!(areas.list.windows(2).all(|pair| !pair[0].continues(&pair[1])));
            }
        }
    }
}

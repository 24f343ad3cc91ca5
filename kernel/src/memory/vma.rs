//! Virtual memory areas (VMAs): the ranges of address space that the program has requested, with
//! their protection.
//!
//! Pure bookkeeping; [`crate::memory`] applies it to page tables. A range is *committed* once it
//! could be written: from then on memory is reserved for every page of it, touched or not, so that
//! a request that can't be met fails when it is made (`malloc` returns null) and not when a page is
//! touched. Reserved address space alone costs nothing.

use crate::arch::paging::PAGE;
use alloc::vec::Vec;
use core::ops::Range;

/// The accesses to a range that are allowed.
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
pub struct Vma {
    /// Page-aligned addresses.
    pub range: Range<u64>,
    /// The allowed accesses.
    pub protection: Protection,
    /// Counted in [`Vmas::committed`].
    pub committed: bool,
}

impl Vma {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn continues(&self, next: &Vma) -> bool {
        self.range.end == next.range.start
            && self.protection == next.protection
            && self.committed == next.committed
    }
}

/// The ranges in use within `limits`, sorted and disjoint.
pub struct Vmas {
    list: Vec<Vma>,
    limits: Range<u64>,
    first: u64,
    committed: u64,
}

impl Vmas {
    /// No ranges; addresses are allowed within `limits`, and allocated from `first` on.
    pub const fn new(limits: Range<u64>, first: u64) -> Self {
        Self {
            list: Vec::new(),
            limits,
            first,
            committed: 0,
        }
    }

    /// The capacity that the list needs for one more change; `None` if it has that. The list never
    /// grows by itself: it is changed while memory can't be allocated.
    pub fn wants_capacity(&self) -> Option<usize> {
        /// A change splits at two ends and adds a VMA.
        const ROOM: usize = 3;
        let wanted = self.list.len() + ROOM;
        (wanted > self.list.capacity()).then_some((2 * wanted).max(32))
    }

    /// Moves the list to `storage`, which is empty and large enough; returns the old storage to be
    /// freed.
    pub fn move_to(&mut self, mut storage: Vec<Vma>) -> Vec<Vma> {
        debug_assert!(storage.capacity() > self.list.len());
        storage.append(&mut self.list);
        core::mem::replace(&mut self.list, storage)
    }

    /// Bytes that are committed.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The range that contains `address`.
    pub fn find(&self, address: u64) -> Option<&Vma> {
        self.list
            .get(self.first_ending_behind(address))
            .filter(|vma| vma.range.start <= address)
    }

    /// Whether every byte of `range` may be loaded and, if `write`, stored to.
    pub fn permits(&self, range: &Range<u64>, write: bool) -> bool {
        let mut at = range.start;
        while at < range.end {
            match self.find(at) {
                Some(vma) if vma.protection.read && (vma.protection.write || !write) => {
                    at = vma.range.end;
                }
                _ => return false,
            }
        }
        true
    }

    fn first_ending_behind(&self, address: u64) -> usize {
        self.list.partition_point(|vma| vma.range.end <= address)
    }

    /// Whether `range` may be requested at that address.
    pub fn allows(&self, range: &Range<u64>) -> bool {
        range.start >= self.limits.start && range.end <= self.limits.end && range.start < range.end
    }

    /// The lowest free range of `len` bytes.
    pub fn gap(&self, len: u64) -> Option<Range<u64>> {
        let mut start = self.first;
        for vma in &self.list {
            if vma.range.start.saturating_sub(start) >= len {
                break;
            }
            start = start.max(vma.range.end);
        }
        let end = start.checked_add(len)?;
        (end <= self.limits.end).then_some(start..end)
    }

    /// All ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Vma> {
        self.list.iter()
    }

    /// Whether no page of `range` is in use.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        let next = self.list.get(self.first_ending_behind(range.start));
        next.is_none_or(|vma| vma.range.start >= range.end)
    }

    /// Adds `vma`, whose range must be free.
    pub fn insert(&mut self, vma: Vma) {
        debug_assert!(self.is_free(&vma.range));
        if vma.committed {
            self.committed += vma.len();
        }
        let at = self.first_ending_behind(vma.range.start);
        self.list.insert(at, vma);
        self.join(at + 1);
        self.join(at);
    }

    /// Joins the VMA at `at` with the previous one, if they are alike.
    fn join(&mut self, at: usize) {
        if at == 0 || at >= self.list.len() || !self.list[at - 1].continues(&self.list[at]) {
            return;
        }
        let vma = self.list.remove(at);
        self.list[at - 1].range.end = vma.range.end;
    }

    /// Makes `address` a boundary between VMAs, if it is inside one.
    fn split(&mut self, address: u64) {
        let at = self.first_ending_behind(address);
        if let Some(vma) = self.list.get_mut(at)
            && vma.range.start < address
        {
            let tail = Vma {
                range: address..vma.range.end,
                ..vma.clone()
            };
            vma.range.end = address;
            self.list.insert(at + 1, tail);
        }
    }

    /// The indexes of the VMAs in `range` after splitting at its ends.
    fn cut(&mut self, range: &Range<u64>) -> Range<usize> {
        self.split(range.start);
        self.split(range.end);
        self.first_ending_behind(range.start)
            ..self.list.partition_point(|vma| vma.range.start < range.end)
    }

    /// Removes `range`.
    pub fn remove(&mut self, range: &Range<u64>) {
        let cut = self.cut(range);
        for vma in self.list.drain(cut) {
            if vma.committed {
                self.committed -= vma.len();
            }
        }
    }

    /// The bytes of `range` in use, and those that [`Vmas::protect`] with `protection` would
    /// commit.
    pub fn measure(&self, range: &Range<u64>, protection: Protection) -> (u64, u64) {
        let mut used = 0;
        let mut newly_committed = 0;
        for vma in &self.list[self.first_ending_behind(range.start)..] {
            if vma.range.start >= range.end {
                break;
            }
            let len = vma.range.end.min(range.end) - vma.range.start.max(range.start);
            used += len;
            if protection.write && !vma.committed {
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

    /// Sets the protection of the used parts of `range`.
    pub fn protect(&mut self, range: &Range<u64>, protection: Protection) {
        let cut = self.cut(range);
        for vma in &mut self.list[cut.clone()] {
            if protection.write && !vma.committed {
                vma.committed = true;
                self.committed += vma.len();
            }
            vma.protection = protection;
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
    use super::{PAGE, Protection, Vma, Vmas, whole_pages};
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

    fn vma(range: core::ops::Range<u64>, protection: Protection) -> Vma {
        Vma {
            range,
            protection,
            committed: protection.write,
        }
    }

    #[test]
    fn joins_neighbours_and_reuses_the_lowest_gap() {
        let mut vmas = Vmas::new(0x1000..0x10_0000, 0x1000);
        vmas.insert(vma(0x1000..0x3000, WRITE));
        vmas.insert(vma(0x5000..0x6000, WRITE));
        assert_eq!(vmas.gap(0x2000), Some(0x3000..0x5000));
        assert_eq!(vmas.gap(0x3000), Some(0x6000..0x9000));
        vmas.insert(vma(0x3000..0x5000, WRITE));
        assert_eq!(vmas.list, [vma(0x1000..0x6000, WRITE)]);
        assert_eq!(vmas.committed(), 0x5000);
        assert_eq!(vmas.gap(0x10_0000), None);
    }

    #[test]
    fn gives_addresses_out_from_the_first_on() {
        let mut vmas = Vmas::new(0x1000..0x10_0000, 0x5000);
        assert_eq!(vmas.gap(0x1000), Some(0x5000..0x6000));
        // A range requested by address may lie below, and overlap.
        vmas.insert(vma(0x1000..0x2000, WRITE));
        vmas.insert(vma(0x4000..0x6000, WRITE));
        assert_eq!(vmas.gap(0x1000), Some(0x6000..0x7000));
        vmas.insert(vma(0x8000..0x9000, WRITE));
        assert_eq!(vmas.gap(0x2000), Some(0x6000..0x8000));
        assert_eq!(vmas.gap(0x3000), Some(0x9000..0xc000));
    }

    #[test]
    fn the_list_requests_room_before_it_needs_it() {
        let mut vmas = Vmas::new(0..1 << 30, 0);
        assert_eq!(vmas.wants_capacity(), Some(32));
        assert_eq!(vmas.move_to(Vec::with_capacity(32)).capacity(), 0);
        let piece = |n: u64| vma(n * 0x2000..n * 0x2000 + 0x1000, WRITE);
        for n in 0..29 {
            assert_eq!(vmas.wants_capacity(), None, "{n} vmas");
            vmas.insert(piece(n));
        }
        // A change may still split a VMA in two, but not once more.
        assert_eq!(vmas.wants_capacity(), None);
        vmas.insert(piece(29));
        assert_eq!(vmas.wants_capacity(), Some(66));
        let before = vmas.list.clone();
        let old = vmas.move_to(Vec::with_capacity(66));
        assert_eq!((old.len(), old.capacity()), (0, 32));
        assert_eq!((vmas.list == before, vmas.wants_capacity()), (true, None));
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
            // A load, a store, a fetch; the last is one whatever the other flags are.
            let accesses = [(false, false), (true, false), (false, true)];
            assert_eq!(accesses.map(|(w, f)| protection.allows(w, f)), allowed);
            assert_eq!(protection.allows(true, true), protection.execute);
        }
    }

    #[test]
    fn what_is_readable_alone_permits_loads_alone() {
        let mut vmas = Vmas::new(0..0x10_0000, 0);
        let read = Protection { read: true, ..NONE };
        vmas.insert(vma(0x1000..0x2000, read));
        vmas.insert(vma(0x2000..0x3000, WRITE));
        vmas.insert(vma(0x3000..0x4000, NONE));
        for (range, load, store) in [
            (0x1000..0x3000, true, false),
            (0x1000..0x2000, true, false),
            (0x2000..0x3000, true, true),
            (0x2fff..0x3001, false, false),
            (0xfff..0x1001, false, false),
            (0x1fff..0x2001, true, false),
        ] {
            let permitted = [false, true].map(|write| vmas.permits(&range, write));
            assert_eq!(permitted, [load, store], "{range:x?}");
        }
    }

    #[test]
    fn a_range_is_within_the_limits_and_free_or_not() {
        let mut vmas = Vmas::new(0x1000..0x9000, 0x1000);
        for (range, allowed) in [
            (0x1000..0x9000, true),
            (0xfff..0x9000, false),
            (0x1000..0x9001, false),
            (0x8000..0x9000, true),
            (0x9000..0xa000, false),
            (0..0x1000, false),
            (0x2000..0x2000, false),
        ] {
            assert_eq!(vmas.allows(&range), allowed, "{range:x?}");
        }
        vmas.insert(vma(0x3000..0x5000, WRITE));
        for (range, free) in [
            (0x1000..0x3000, true),
            (0x1000..0x3001, false),
            (0x4000..0x4001, false),
            (0x4fff..0x6000, false),
            (0x5000..0x6000, true),
        ] {
            assert_eq!(vmas.is_free(&range), free, "{range:x?}");
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
        let mut vmas = Vmas::new(0..0x10_0000, 0);
        vmas.insert(vma(0..0x8000, NONE));
        let middle = 0x2000..0x4000;
        assert_eq!(vmas.measure(&(0..0x9000), WRITE), (0x8000, 0x8000));
        vmas.protect(&middle, WRITE);
        assert_eq!(vmas.committed(), 0x2000);
        vmas.protect(&middle, NONE);
        assert_eq!(vmas.committed(), 0x2000);
        assert_eq!(vmas.find(0x2000).map(|vma| vma.protection), Some(NONE));
        vmas.remove(&(0x1000..0x3000));
        assert_eq!(vmas.committed(), 0x1000);
        assert_eq!(vmas.committed_in(&(0..0x8000)), 0x1000);
        assert!(vmas.find(0x1000).is_none());
        assert!(vmas.find(0x3000).is_some());
    }

    proptest! {
        /// The list against one flag per page.
        #[test]
        fn agrees_with_a_flag_for_each_page(
            steps in proptest::collection::vec((0..4u8, 0..32u64, 1..12u64), 1..80)
        ) {
            let mut vmas = Vmas::new(0..48 * PAGE, 0);
            let mut pages: [Option<(Protection, bool)>; 48] = [None; 48];
            for (kind, first, count) in steps {
                let range = first * PAGE..(first + count) * PAGE;
                let these = &mut pages[first as usize..(first + count) as usize];
                match kind {
                    0 => vmas.remove(&range),
                    1 => vmas.protect(&range, WRITE),
                    2 => vmas.protect(&range, NONE),
                    _ => {
                        vmas.remove(&range);
                        vmas.insert(vma(range.clone(), if count % 2 == 0 { NONE } else { WRITE }));
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
                    let found = vmas.find(page * PAGE).map(|vma| (vma.protection, vma.committed));
                    prop_assert_eq!(found, *expected);
                }
                let writable = pages[first as usize..(first + count) as usize]
                    .iter()
                    .all(|page| page.is_some_and(|(protection, _)| protection == WRITE));
                prop_assert_eq!(vmas.permits(&range, true), writable);
                prop_assert_eq!(vmas.permits(&range, false), writable);
                let committed = pages.iter().filter(|page| page.is_some_and(|page| page.1)).count();
                prop_assert_eq!(vmas.committed(), committed as u64 * PAGE);
                prop_assert!(vmas.list.windows(2).all(|pair| !pair[0].continues(&pair[1])));
            }
        }
    }
}

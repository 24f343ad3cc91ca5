//! Page tables: four levels of 512 entries, 4 KiB pages.
//!
//! Accesses tables in physical memory through [`TableMemory`], so that the tests run it on arrays.
//! Nothing here touches the processor: a caller that changes an entry which the processor may have
//! cached flushes it. The processor's part are the entries ([`crate::arch::paging`]).

use crate::arch::paging::{
    PAGE, RECORDS_WRITES, frame_of, is_large, is_present, table, with_records,
};
#[cfg(not(test))]
use crate::smp::is_smp;
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(test)]
use tests::is_smp;

/// The memory of page tables.
///
/// # Implementation safety
/// `table` returns a pointer to the 512 entries of the frame, valid and unaliased while the caller
/// changes them.
pub unsafe trait TableMemory {
    /// A zeroed frame for a table, or `None` when memory is exhausted.
    fn allocate_table(&mut self) -> Option<u64>;
    /// The entries of the table in `frame`.
    fn table(&mut self, frame: u64) -> *mut [u64; 512];
}

/// No frame was left for a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFrames;

/// The tables below one root.
pub struct PageTables {
    root: u64,
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize & 511
}

impl PageTables {
    /// Empty tables.
    pub fn new(memory: &mut impl TableMemory) -> Result<Self, OutOfFrames> {
        Ok(Self {
            root: memory.allocate_table().ok_or(OutOfFrames)?,
        })
    }

    /// Physical address of the root, for the processor.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The entry for `address` at `leaf_level` (0: 4 KiB, 1: 2 MiB); creates the tables above it.
    fn slot(
        &mut self,
        memory: &mut impl TableMemory,
        address: u64,
        leaf_level: u32,
    ) -> Result<&mut u64, OutOfFrames> {
        let mut table = self.root;
        for level in (leaf_level + 1..4).rev() {
            // SAFETY: `table` is a table of ours; see the trait.
            let entry = unsafe { &mut (*memory.table(table))[index(address, level)] };
            if !is_present(*entry) {
                let new = memory.allocate_table().ok_or(OutOfFrames)?;
                // SAFETY: as above. Taken again, since the allocation used `memory`.
                let entry = unsafe { &mut (*memory.table(table))[index(address, level)] };
                store(entry, self::table(new));
                table = new;
            } else {
                table = frame_of(*entry);
            }
        }
        // SAFETY: as above; the reference lives as long as `self` is borrowed.
        Ok(unsafe { &mut (*memory.table(table))[index(address, leaf_level)] })
    }

    /// Sets the entry of the 4 KiB page at `address`; returns the old one.
    pub fn set(
        &mut self,
        memory: &mut impl TableMemory,
        address: u64,
        entry: u64,
    ) -> Result<u64, OutOfFrames> {
        let place = self.slot(memory, address, 0)?;
        let old = *place;
        store(place, entry);
        Ok(old)
    }

    /// Sets the entry of the 2 MiB page at `address`, a multiple of that.
    pub fn set_large(
        &mut self,
        memory: &mut impl TableMemory,
        address: u64,
        entry: u64,
    ) -> Result<(), OutOfFrames> {
        *self.slot(memory, address, 1)? = entry;
        Ok(())
    }

    /// The entry that maps `address`, 0 if none does; and the size of its page.
    pub fn get(&self, memory: &mut impl TableMemory, address: u64) -> (u64, u64) {
        let mut table = self.root;
        for level in (0..4).rev() {
            // SAFETY: `table` is a table of ours; see the trait.
            let entry = unsafe { (*memory.table(table))[index(address, level)] };
            if level == 0 || !is_present(entry) || is_large(entry) {
                return (entry, PAGE << (9 * level));
            }
            table = frame_of(entry);
        }
        (0, PAGE)
    }

    /// Replaces each non-zero entry of the 4 KiB pages in `[start, end)`, in order, by what
    /// `change` returns for its address and the entry. Skips a missing table in one step, so a
    /// large range that was never touched costs little.
    pub fn update<M: TableMemory>(
        &mut self,
        memory: &mut M,
        start: u64,
        end: u64,
        mut change: impl FnMut(&mut M, u64, u64) -> u64,
    ) {
        let mut address = start;
        'pages: while address < end {
            let mut table = self.root;
            for level in (1..4).rev() {
                // SAFETY: `table` is a table of ours; see the trait.
                let entry = unsafe { (*memory.table(table))[index(address, level)] };
                if !is_present(entry) || is_large(entry) {
                    let span = PAGE << (9 * level);
                    address = (address & !(span - 1)).saturating_add(span);
                    continue 'pages;
                }
                table = frame_of(entry);
            }
            let entries = memory.table(table);
            loop {
                // SAFETY: as above; no reference to the table is held while `change` runs.
                let entry = unsafe { (*entries)[index(address, 0)] };
                if entry != 0 {
                    let new = change(memory, address, entry);
                    // SAFETY: as above.
                    replace(unsafe { &mut (*entries)[index(address, 0)] }, entry, new);
                }
                address += PAGE;
                if address >= end || index(address, 0) == 0 {
                    break;
                }
            }
        }
    }
}

/// Sets an entry of a table or a frame. Another processor may use it at once.
fn store(place: &mut u64, entry: u64) {
    // SAFETY: exclusively borrowed, but for processors that walk the tables, by atomic accesses.
    let place = unsafe { AtomicU64::from_ptr(place) };
    // Release: who finds the frame by this entry finds it zeroed.
    place.store(entry, Ordering::Release);
}

/// Replaces the entry `old` by `new`. Another processor may record a write there meanwhile.
///
/// Not inlined, so that a test finds its calls before the flushes (`tests/cases/builds.py`).
#[inline(never)]
fn replace(place: &mut u64, old: u64, new: u64) {
    if RECORDS_WRITES && is_smp() {
        replace_shared(place, old, new);
    } else {
        *place = new;
    }
}

#[cold]
#[inline(never)]
fn replace_shared(place: &mut u64, old: u64, new: u64) {
    // SAFETY: exclusively borrowed, but for processors that walk the tables, by atomic accesses.
    let place = unsafe { AtomicU64::from_ptr(place) };
    let new_of = |now| Some(with_records(old, now, new));
    // Relaxed: who caches translations is asked to forget them later. The closure always returns a
    // value.
    let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, new_of);
}

#[cfg(test)]
mod tests {
    use super::{OutOfFrames, PAGE, PageTables, TableMemory, frame_of, index, is_present};
    use crate::arch::paging::{
        Kind, change, clear_written, is_written, large_page, page, retain, set_written,
    };

    /// Others may use the tables.
    pub(super) fn is_smp() -> bool {
        true
    }

    struct Fake {
        tables: Vec<Box<[u64; 512]>>,
        limit: usize,
    }

    // SAFETY: each table is a box of its own, and the tests use one at a time.
    unsafe impl TableMemory for Fake {
        fn allocate_table(&mut self) -> Option<u64> {
            (self.tables.len() < self.limit).then(|| {
                self.tables.push(Box::new([0; 512]));
                self.tables.len() as u64 * PAGE
            })
        }

        fn table(&mut self, frame: u64) -> *mut [u64; 512] {
            &mut *self.tables[(frame / PAGE) as usize - 1]
        }
    }

    /// An entry for the page with this number.
    fn entry(number: u64) -> u64 {
        page(number * PAGE, Kind::Data)
    }

    fn fake() -> Fake {
        Fake {
            tables: Vec::new(),
            limit: 100,
        }
    }

    #[test]
    fn finds_what_was_set() {
        let mut memory = fake();
        let mut tables = PageTables::new(&mut memory).unwrap();
        let high = 0xffff_8000_0020_0000;
        let entry = page(0x1234_5000, Kind::Data);
        assert_eq!(tables.set(&mut memory, 0x40_0000, entry), Ok(0));
        tables
            .set_large(&mut memory, high, large_page(0x20_0000, Kind::Data))
            .unwrap();
        assert_eq!(tables.get(&mut memory, 0x40_0fff), (entry, PAGE));
        assert_eq!(frame_of(entry), 0x1234_5000);
        assert_eq!(tables.get(&mut memory, 0x40_1000).0, 0);
        let (large, size) = tables.get(&mut memory, high + 0x1f_0000);
        assert_eq!((frame_of(large), size), (0x20_0000, 2 << 20));
    }

    #[test]
    fn says_how_much_nothing_maps() {
        let mut memory = fake();
        let mut tables = PageTables::new(&mut memory).unwrap();
        assert_eq!(tables.root(), PAGE);
        tables
            .set(&mut memory, 0x40_0000, page(PAGE, Kind::Data))
            .unwrap();
        let sizes = [
            (0x40_1000, PAGE),
            (0x60_0000, PAGE << 9),
            (0x4000_0000, PAGE << 18),
            (1 << 39, PAGE << 27),
        ];
        for (address, size) in sizes {
            assert_eq!(tables.get(&mut memory, address), (0, size), "{address:#x}");
        }
    }

    /// After a missing table, at each level, follows the next entry, and none is skipped.
    #[test]
    fn no_more_than_a_missing_table_is_passed_over() {
        let mut memory = fake();
        let mut tables = PageTables::new(&mut memory).unwrap();
        let there = [
            0,
            1 << 21,
            3 << 21,
            1 << 30,
            (1 << 30) + (3 << 21),
            1 << 39,
            3 << 39,
        ];
        for address in there {
            tables
                .set(&mut memory, address, page(PAGE, Kind::Data))
                .unwrap();
        }
        for start in [0, PAGE, (1 << 21) + PAGE, (1 << 30) + 5, 1 << 31] {
            let mut seen = Vec::new();
            let start = start & !(PAGE - 1);
            tables.update(&mut memory, start, 1 << 47, |_, address, entry| {
                seen.push(address);
                entry
            });
            let expected = there.iter().filter(|at| **at >= start).copied();
            assert_eq!(seen, expected.collect::<Vec<_>>(), "from {start:#x}");
        }
    }

    #[test]
    fn visits_only_what_is_there() {
        let mut memory = fake();
        let mut tables = PageTables::new(&mut memory).unwrap();
        let base = 0x40_0000_0000;
        for page in [0, 5, 511, 512, 3 << 18] {
            tables
                .set(&mut memory, base + page * PAGE, entry(page))
                .unwrap();
        }
        let mut seen = Vec::new();
        tables.update(
            &mut memory,
            base + PAGE,
            base + (1 << 40),
            |_, address, _| {
                seen.push((address - base) / PAGE);
                0
            },
        );
        assert_eq!(seen, [5, 511, 512, 3 << 18]);
        tables.update(&mut memory, 0, 1 << 47, |_, address, entry| {
            assert_eq!(address, base);
            entry
        });
    }

    #[test]
    fn a_range_ends_where_it_says() {
        let mut memory = fake();
        let mut tables = PageTables::new(&mut memory).unwrap();
        // Two tables full of pages, the second next to a missing one.
        let base = 0x40_0000_0000;
        for page in 0..1024 {
            tables
                .set(&mut memory, base + page * PAGE, entry(page))
                .unwrap();
        }
        for (first, end) in [
            (3, 7),
            (0, 1),
            (500, 513),
            (511, 512),
            (512, 700),
            (1020, 1023),
            (600, 600),
        ] {
            let mut seen = Vec::new();
            tables.update(
                &mut memory,
                base + first * PAGE,
                base + end * PAGE,
                |_, address, entry| {
                    seen.push((address - base) / PAGE);
                    entry
                },
            );
            assert_eq!(seen, (first..end).collect::<Vec<_>>());
        }
        // The result of `change` is stored; the entries before and after it stay.
        tables.update(
            &mut memory,
            base + 5 * PAGE,
            base + 6 * PAGE,
            |_, _, entry| retain(entry),
        );
        let present =
            [4, 5, 6].map(|page| is_present(tables.get(&mut memory, base + page * PAGE).0));
        assert_eq!(present, [true, false, true]);
    }

    #[test]
    fn large_pages_are_passed_over() {
        let mut memory = fake();
        let mut tables = PageTables::new(&mut memory).unwrap();
        tables
            .set_large(&mut memory, 0x20_0000, large_page(0, Kind::Data))
            .unwrap();
        tables
            .set(&mut memory, 0x40_0000, page(PAGE, Kind::Data))
            .unwrap();
        let mut seen = Vec::new();
        tables.update(&mut memory, 0x20_1000, 0x80_0000, |_, address, entry| {
            seen.push(address);
            entry
        });
        assert_eq!(seen, [0x40_0000]);
    }

    /// Another processor writes to the page after its entry was read, before that is replaced.
    #[test]
    fn a_write_that_is_recorded_meanwhile_is_kept() {
        const AT: u64 = 0x40_0000;
        let mut memory = fake();
        let mut tables = PageTables::new(&mut memory).unwrap();
        let old = entry(1);
        let mut replaced = |before, new| {
            tables.set(&mut memory, AT, before).unwrap();
            tables.update(&mut memory, AT, AT + PAGE, |memory, address, _| {
                let leaves = memory.tables.last_mut().expect("the last level's");
                leaves[index(address, 0)] = set_written(before);
                new
            });
            tables.get(&mut memory, AT).0
        };
        for new in [old, change(old, Kind::Constant), retain(old)] {
            assert_eq!(replaced(old, new), set_written(new));
        }
        // What the change has seen is what it says, and a page that is gone has no entry.
        assert!(!is_written(replaced(set_written(old), clear_written(old))));
        assert_eq!(replaced(old, 0), 0);
    }

    #[test]
    fn says_when_frames_are_out() {
        let mut memory = Fake {
            tables: Vec::new(),
            limit: 2,
        };
        let mut tables = PageTables::new(&mut memory).unwrap();
        assert_eq!(tables.set(&mut memory, 0, entry(0)), Err(OutOfFrames));
    }
}

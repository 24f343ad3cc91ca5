//! Clears entries of page tables, and then the translations that processors have cached of them.
//!
//! A processor may read an entry at any time, also without an access of the program (Intel SDM
//! volume 3, 4.10.2.3; Arm ARM, D8.14): a flush before the change may be undone before the change.

use super::tables::{PageTables, TableMemory};
use crate::arch::mmu;
use core::ops::Range;

/// From this many pages on, flushing all translations is cheaper than flushing each.
const FLUSH_EACH: usize = 64;

/// The translations that the processor caches.
pub trait Translations {
    /// Flushes those of these pages.
    fn flush_each(&mut self, pages: &[u64]);
    /// Flushes all.
    fn flush_all(&mut self);
}

/// Those of the processor that runs.
pub enum Own {
    /// Entries may be cached.
    Cached,
    /// All processors have forgotten them before.
    Forgotten,
}

impl Translations for Own {
    #[inline(always)]
    fn flush_each(&mut self, pages: &[u64]) {
        if matches!(self, Self::Cached) {
            mmu::flush_each(pages.iter().copied());
        }
    }

    #[inline(always)]
    fn flush_all(&mut self) {
        if matches!(self, Self::Cached) {
            mmu::flush_all();
        }
    }
}

/// Clears each entry of the pages in `range` once `free` has seen its address and the entry; then
/// flushes their translations. Nothing may be allocated before this returns.
pub fn clear_pages<M: TableMemory>(
    tables: &mut PageTables,
    memory: &mut M,
    range: &Range<u64>,
    cached: &mut impl Translations,
    mut free: impl FnMut(&mut M, u64, u64),
) {
    let mut pages = [0; FLUSH_EACH];
    let mut count = 0;
    tables.update(memory, range.start, range.end, |memory, address, entry| {
        free(memory, address, entry);
        if let Some(place) = pages.get_mut(count) {
            *place = address;
        }
        count += 1;
        0
    });
    match pages.get(..count) {
        Some(pages) => cached.flush_each(pages),
        None => cached.flush_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::{PageTables, TableMemory};
    use super::{FLUSH_EACH, Translations, clear_pages};
    use crate::arch::paging::{Kind, PAGE, frame_of, is_present, page};
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    const BASE: u64 = 0x40_0000;

    /// A processor that walks the tables at every step, and caches each entry that it finds.
    #[derive(Clone, Default)]
    struct Processor(Rc<RefCell<State>>);

    #[derive(Default)]
    struct State {
        tables: Vec<Box<[u64; 512]>>,
        cached: BTreeMap<u64, u64>,
    }

    impl Processor {
        fn walk(&self) {
            let State { tables, cached } = &mut *self.0.borrow_mut();
            let below = |frame: u64| &tables[(frame / PAGE) as usize - 1];
            let mut found = vec![(0, PAGE)];
            for level in (0..4).rev() {
                let entries = found.iter().flat_map(|(start, frame)| {
                    below(*frame)
                        .iter()
                        .zip(0u64..)
                        .map(move |(entry, at)| (start + (at << (12 + 9 * level)), *entry))
                });
                let present = entries.filter(|(_, entry)| is_present(*entry));
                found = present
                    .map(|(start, entry)| (start, frame_of(entry)))
                    .collect();
            }
            cached.extend(found);
        }
    }

    // SAFETY: each table is a box of its own; the model reads them only between two changes.
    unsafe impl TableMemory for Processor {
        fn allocate_table(&mut self) -> Option<u64> {
            let tables = &mut self.0.borrow_mut().tables;
            tables.push(Box::new([0; 512]));
            Some(tables.len() as u64 * PAGE)
        }

        fn table(&mut self, frame: u64) -> *mut [u64; 512] {
            &mut *self.0.borrow_mut().tables[(frame / PAGE) as usize - 1]
        }
    }

    impl Translations for Processor {
        fn flush_each(&mut self, pages: &[u64]) {
            for page in pages {
                self.walk();
                self.0.borrow_mut().cached.remove(page);
            }
            self.walk();
        }

        fn flush_all(&mut self) {
            self.0.borrow_mut().cached.clear();
            self.walk();
        }
    }

    /// The pages, of so many from [`BASE`] on and one before and after them, whose translations are
    /// cached once these are cleared.
    fn cached_after(pages: u64) -> Vec<u64> {
        let mut memory = Processor::default();
        let mut tables = PageTables::new(&mut memory).unwrap();
        for at in (BASE - PAGE..=BASE + pages * PAGE).step_by(PAGE as usize) {
            let entry = page(at + (1 << 30), Kind::Data);
            assert_eq!(tables.set(&mut memory, at, entry), Ok(0));
        }
        let mut cached = memory.clone();
        let mut freed = Vec::new();
        let range = BASE..BASE + pages * PAGE;
        clear_pages(
            &mut tables,
            &mut memory,
            &range,
            &mut cached,
            |memory, at, entry| {
                memory.walk();
                freed.push(frame_of(entry) - (1 << 30));
                assert_eq!(freed.last(), Some(&at));
            },
        );
        assert_eq!(freed.len() as u64, pages);
        let state = memory.0.borrow();
        state.cached.keys().copied().collect()
    }

    #[test]
    fn no_translation_of_a_cleared_page_stays_cached() {
        let limit = FLUSH_EACH as u64;
        for pages in [1, 2, limit - 1, limit, limit + 1, 700] {
            assert_eq!(
                cached_after(pages),
                [BASE - PAGE, BASE + pages * PAGE],
                "{pages}"
            );
        }
    }
}

//! Pages that the page cache may still have to write.
//!
//! A direct write waits for them inside `io_submit`, even if it is non-blocking: on a stalled disk
//! of the host the whole process would block.

use alloc::collections::BTreeMap;
use core::ops::Range;

/// Number of ranges from which on they are merged into one: the set is bounded, and a page too many
/// only costs a wait.
const MAX_RANGES: usize = 1024;

/// Disjoint, non-adjacent ranges of page numbers: end by beginning.
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    const EMPTY: Ranges = Ranges(BTreeMap::new());

    fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        while let Some((&first, &last)) = self.0.range(..=end).next_back().filter(|r| *r.1 >= start)
        {
            start = start.min(first);
            end = end.max(last);
            self.0.remove(&first);
        }
        self.0.insert(start, end);
        if self.0.len() > MAX_RANGES {
            let first = self.0.keys().next().copied().unwrap_or(0);
            let last = self.0.values().next_back().copied().unwrap_or(u64::MAX);
            self.0 = BTreeMap::from([(first, last)]);
        }
    }

    fn overlaps(&self, range: &Range<u64>) -> bool {
        let before = self.0.range(..range.end).next_back();
        before.is_some_and(|(_, &end)| end > range.start)
    }
}

/// Set of pages that the page cache may still have to write. A flush or writeback removes a page if
/// it began after the page's last write had completed.
pub struct Unflushed {
    written: Ranges,
    /// The writeback request in progress, and its pages.
    flushing: Option<(usize, Ranges)>,
}

impl Unflushed {
    /// The set for a file that others may just have written to: all pages.
    pub fn new() -> Unflushed {
        Unflushed {
            written: Ranges(BTreeMap::from([(0, u64::MAX)])),
            flushing: None,
        }
    }

    /// A write to these pages through the page cache has completed.
    pub fn wrote(&mut self, pages: Range<u64>) {
        self.written.insert(pages);
    }

    /// Whether the page cache may have to write any of these pages.
    pub fn overlaps(&self, pages: &Range<u64>) -> bool {
        let flushing = self.flushing.as_ref();
        self.written.overlaps(pages) || flushing.is_some_and(|(_, ranges)| ranges.overlaps(pages))
    }

    /// Whether a writeback request is in progress.
    pub fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }

    /// The writeback request `key` begins. A second one at a time has no effect.
    pub fn begin(&mut self, key: usize) {
        if self.flushing.is_none() {
            let written = core::mem::replace(&mut self.written, Ranges::EMPTY);
            self.flushing = Some((key, written));
        }
    }

    /// The request `key` has completed.
    pub fn end(&mut self, key: usize, succeeded: bool) {
        if let Some((_, ranges)) = self.flushing.take_if(|(other, _)| *other == key)
            && !succeeded
        {
            for (start, end) in ranges.0 {
                self.written.insert(start..end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_RANGES, Unflushed};

    fn flushed() -> Unflushed {
        let mut pages = Unflushed::new();
        pages.begin(0);
        pages.end(0, true);
        pages
    }

    #[test]
    fn all_of_a_file_is_unflushed_until_its_first_flush() {
        let mut pages = Unflushed::new();
        assert!(pages.overlaps(&(0..1)) && pages.overlaps(&(1 << 40..(1 << 40) + 1)));
        pages.begin(3);
        assert!(pages.is_flushing() && pages.overlaps(&(0..1)), "not ended");
        pages.end(4, true);
        assert!(pages.overlaps(&(0..1)), "another request's end");
        pages.end(3, true);
        assert!(!pages.is_flushing() && !pages.overlaps(&(0..u64::MAX)));
    }

    #[test]
    fn what_was_written_since_is_unflushed_to_its_last_page() {
        let mut pages = flushed();
        for range in [20..30, 50..60, 10..20] {
            pages.wrote(range);
        }
        assert_eq!(pages.written.0.len(), 2, "those that touch are one");
        for (range, overlaps) in [
            (0..10, false),
            (0..11, true),
            (29..30, true),
            (30..50, false),
            (30..51, true),
            (60..70, false),
            (0..70, true),
        ] {
            assert_eq!(pages.overlaps(&range), overlaps, "{range:?}");
        }
        pages.wrote(5..55);
        assert_eq!(pages.written.0.len(), 1);
        assert!(pages.overlaps(&(59..60)) && pages.overlaps(&(5..6)) && !pages.overlaps(&(60..61)));
    }

    #[test]
    fn a_flush_covers_only_writes_that_ended_before_it() {
        let mut pages = flushed();
        pages.wrote(0..1);
        pages.begin(1);
        pages.wrote(2..3);
        pages.begin(2);
        pages.end(2, true);
        assert!(pages.overlaps(&(0..1)) && pages.overlaps(&(2..3)));
        pages.end(1, true);
        assert!(!pages.overlaps(&(0..1)) && pages.overlaps(&(2..3)));
    }

    #[test]
    fn a_failed_flush_covers_nothing() {
        let mut pages = flushed();
        pages.wrote(0..1);
        pages.begin(1);
        pages.wrote(1..2);
        pages.end(1, false);
        assert!(pages.overlaps(&(0..1)) && pages.overlaps(&(1..2)) && !pages.overlaps(&(2..9)));
    }

    #[test]
    fn scattered_pages_are_bounded() {
        let mut pages = flushed();
        let many = 3 * MAX_RANGES as u64;
        for page in 0..many {
            pages.wrote(page * 2..page * 2 + 1);
        }
        assert!(pages.written.0.len() <= MAX_RANGES);
        assert!((0..many).all(|page| pages.overlaps(&(page * 2..page * 2 + 1))));
        assert!(!pages.overlaps(&(many * 2..u64::MAX)));
    }
}

//! Page cache: contents of files that were read, in chunks of 64 KiB, as far as the budget allows.
//!
//! A chunk is never older than the other parts of the cache: every write goes through
//! [`PageCache::written`]. A lent chunk never changes: a write to it drops it from the cache, and
//! the next read allocates another.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::index::SortedIndex;
use crate::budget::CacheBudget;
use crate::lease::Lease;
use crate::piece::{CHUNK, COST, Piece};

/// Bytes per bit of `valid`: no device has smaller sectors.
const UNIT: usize = 512;

struct Chunk {
    /// Number of the chunk on the device.
    index: u64,
    piece: Arc<Piece>,
    /// Mask of the valid units.
    valid: u128,
    /// Read since the clock hand last passed.
    used: bool,
}

impl Chunk {
    fn knows(&self, range: &Range<usize>) -> bool {
        let wanted = bits(range.start, range.end.next_multiple_of(UNIT));
        self.valid & wanted == wanted
    }

    /// Copies `data` to byte `from` of the chunk; `false` if the chunk is lent.
    fn put(&mut self, from: usize, data: &[u8]) -> bool {
        let to = from + data.len();
        let Some(piece) = Arc::get_mut(&mut self.piece) else {
            return false;
        };
        if let Some(place) = piece.data.get_mut(from..to) {
            place.copy_from_slice(data);
            self.valid |= bits(from, to);
        }
        true
    }
}

#[derive(Default)]
pub(super) struct PageCache {
    budget: Option<&'static CacheBudget>,
    chunks: Vec<Chunk>,
    /// Index into `chunks` by number of the chunk.
    by_index: SortedIndex,
    /// Next candidate for eviction (the clock algorithm).
    hand: u64,
}

/// Mask of the units from byte `from` to before `to` of a chunk.
fn bits(from: usize, to: usize) -> u128 {
    let (from, to) = (from / UNIT, to / UNIT);
    let below = |n: usize| if n >= 128 { u128::MAX } else { (1 << n) - 1 };
    below(to) & !below(from)
}

/// Splits `len` bytes at byte `at` of the device: number of the chunk, offset in it, and length.
pub(super) fn parts(at: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, mut left) = (at, len);
    core::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let from = (at % CHUNK as u64) as usize;
        let count = left.min(CHUNK - from);
        let part = (at / CHUNK as u64, from, count);
        at += count as u64;
        left -= count;
        Some(part)
    })
}

impl PageCache {
    pub fn new(budget: Option<&'static CacheBudget>) -> Self {
        if let Some(budget) = budget {
            budget.join();
        }
        Self {
            budget,
            chunks: Vec::new(),
            by_index: SortedIndex::default(),
            hand: 0,
        }
    }

    fn find(&mut self, index: u64) -> Option<&mut Chunk> {
        let place = self.by_index.get(index)?;
        self.chunks.get_mut(place)
    }

    /// Whether a file of `len` bytes is worth keeping: a larger one would only evict the others
    /// before its own start is read again.
    pub fn has_room_for(&self, len: u64) -> bool {
        self.budget
            .is_some_and(|budget| len <= budget.limit() as u64 / 2)
    }

    /// Fills `out` from byte `at` on, if all of it is cached.
    pub fn serve(&mut self, at: u64, out: &mut [u8]) -> bool {
        if self.chunks.is_empty() {
            return false;
        }
        let known = parts(at, out.len()).all(|(index, from, count)| {
            let chunk = self.find(index);
            chunk.is_some_and(|chunk| chunk.knows(&(from..from + count)))
        });
        if !known {
            return false;
        }
        let mut rest = out;
        for (index, from, count) in parts(at, rest.len()) {
            let (place, after) = rest.split_at_mut(count);
            rest = after;
            let Some(chunk) = self.find(index) else {
                return false;
            };
            chunk.used = true;
            match chunk.piece.get(from..from + count) {
                Some(data) => place.copy_from_slice(data),
                None => return false,
            }
        }
        true
    }

    /// Stores data that was read at byte `at`, as far as there is memory.
    pub fn keep(&mut self, at: u64, data: &[u8]) {
        let mut rest = data;
        for (index, from, count) in parts(at, data.len()) {
            let (new, after) = rest.split_at(count);
            rest = after;
            if !self.make(index) {
                return;
            }
            // A lent chunk stays; another read of missing data may replace it.
            if let Some(chunk) = self.find(index) {
                chunk.put(from, new);
            }
        }
    }

    /// Lends the bytes `range` of the chunk `index`, if they are cached.
    pub fn lend(&mut self, index: u64, range: Range<usize>) -> Option<Lease> {
        let chunk = self.find(index).filter(|chunk| chunk.knows(&range))?;
        chunk.used = true;
        Some(Lease::cached(Arc::clone(&chunk.piece), range))
    }

    /// Stores as many bytes of the chunk `index`, from its start on, as `read` fills; `None` if
    /// there is no room for it now.
    pub fn fill<E>(
        &mut self,
        index: u64,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Option<Result<(), E>> {
        if self
            .find(index)
            .is_some_and(|chunk| Arc::strong_count(&chunk.piece) > 1)
        {
            self.forget(index);
        }
        if !self.make(index) {
            return None;
        }
        let chunk = self.find(index)?;
        let piece = Arc::get_mut(&mut chunk.piece)?;
        chunk.valid = 0;
        Some(read(&mut piece.data).map(|count| chunk.valid = bits(0, count)))
    }

    fn forget(&mut self, index: u64) {
        if let Some(place) = self.by_index.remove(index) {
            self.take_out(place);
        }
    }

    /// Removes the chunk at `place` from `chunks`; `by_index` no longer has it.
    fn take_out(&mut self, place: usize) -> Chunk {
        let chunk = self.chunks.swap_remove(place);
        if let Some(moved) = self.chunks.get(place) {
            self.by_index.insert(moved.index, place);
        }
        chunk
    }

    /// Ensures that a chunk for `index` exists; `false` when there is no memory for it.
    fn make(&mut self, index: u64) -> bool {
        if self.by_index.get(index).is_some() {
            return true;
        }
        let Some(budget) = self.budget else {
            return false;
        };
        // A released chunk is for another volume, so this one then reuses a chunk of its own.
        let must_shrink = budget.must_shrink(self.chunks.len() * COST);
        if must_shrink {
            self.drop_one();
        }
        let new = if must_shrink {
            None
        } else {
            Piece::new(budget)
        };
        // Otherwise reuse the memory of another chunk.
        let Some(piece) = new.or_else(|| self.unlink_one().map(|old| old.piece)) else {
            budget.want();
            return false;
        };
        let chunk = Chunk {
            index,
            piece,
            valid: 0,
            used: false,
        };
        self.by_index.insert(index, self.chunks.len());
        self.chunks.push(chunk);
        true
    }

    fn unlink_one(&mut self) -> Option<Chunk> {
        // At most two rounds, each past the end: the first clears the marks. Lent chunks stay:
        // dropping them would free nothing.
        let mut found = None;
        for _ in 0..self.chunks.len() * 2 + 2 {
            let next = self.by_index.range(self.hand..u64::MAX).first().copied();
            let Some((index, place)) = next else {
                self.hand = 0;
                continue;
            };
            self.hand = index + 1;
            let chunk = self.chunks.get_mut(place)?;
            if !core::mem::take(&mut chunk.used) && Arc::strong_count(&chunk.piece) == 1 {
                found = Some((index, place));
                break;
            }
        }
        let (index, place) = found?;
        self.by_index.remove(index);
        Some(self.take_out(place))
    }

    fn drop_one(&mut self) {
        self.unlink_one();
    }

    /// Applies a write at byte `at` to the cached chunks.
    pub fn written(&mut self, at: u64, data: &[u8]) {
        if self.chunks.is_empty() {
            return;
        }
        let mut rest = data;
        for (index, from, count) in parts(at, data.len()) {
            let (new, after) = rest.split_at(count);
            rest = after;
            if self.find(index).is_some_and(|chunk| !chunk.put(from, new)) {
                self.forget(index);
            }
        }
    }

    /// Drops all chunks and frees the memory that isn't lent.
    pub fn clear(&mut self) {
        self.by_index.clear();
        self.chunks.clear();
    }
}

impl Drop for PageCache {
    fn drop(&mut self) {
        self.clear();
        if let Some(budget) = self.budget {
            budget.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn memory_is_bounded_and_goes_to_who_has_none() {
        static BUDGET: CacheBudget = CacheBudget::new(COST * 4);
        let (mut one, mut other) = (PageCache::new(Some(&BUDGET)), PageCache::new(Some(&BUDGET)));
        for n in 0..10 {
            one.keep(n * CHUNK as u64, &vec![n as u8; CHUNK]);
            assert!(BUDGET.statistics().used_bytes <= COST * 4);
        }
        assert_eq!(one.chunks.len(), 4);
        let mut out = vec![0; 100 * UNIT];
        assert!(one.serve(9 * CHUNK as u64, &mut out) && out == vec![9; 100 * UNIT]);
        assert!(!one.serve(0, &mut out));
        // The other volume has nothing; the first releases a chunk with its next read, and so on.
        for n in 0..4 {
            other.keep(0, &[1; CHUNK]);
            one.keep((20 + n) * CHUNK as u64, &[2; CHUNK]);
        }
        other.keep(0, &[1; CHUNK]);
        assert!(other.serve(0, &mut out));
        drop(one);
        drop(other);
        assert_eq!(BUDGET.statistics().used_bytes, 0);
    }

    #[test]
    fn what_is_written_is_what_is_served() {
        static BUDGET: CacheBudget = CacheBudget::new(COST * 4);
        let mut chunks = PageCache::new(Some(&BUDGET));
        let at = CHUNK as u64 - 1024;
        chunks.keep(at, &[1; 4096]);
        chunks.written(at + 512, &[2; 1024]);
        let mut out = [0; 2048];
        assert!(chunks.serve(at, &mut out));
        assert_eq!((out[0], out[512], out[1535], out[1536]), (1, 2, 2, 1));
        assert!(!chunks.serve(at - 512, &mut out));
    }

    #[test]
    fn a_file_is_worth_half_of_the_budget() {
        static BUDGET: CacheBudget = CacheBudget::new(1001);
        let chunks = PageCache::new(Some(&BUDGET));
        assert!(chunks.has_room_for(500) && !chunks.has_room_for(501));
        assert!(!PageCache::new(None).has_room_for(0));
    }

    #[test]
    fn what_is_cleared_is_gone() {
        static BUDGET: CacheBudget = CacheBudget::new(COST * 4);
        let mut chunks = PageCache::new(Some(&BUDGET));
        for n in 0..3 {
            chunks.keep(n * CHUNK as u64, &[1; CHUNK]);
        }
        chunks.clear();
        assert_eq!(BUDGET.statistics().used_bytes, 0);
        assert!(!chunks.serve(0, &mut [0; 512]));
        chunks.keep(2 * CHUNK as u64, &[2; CHUNK]);
        let mut out = [0; 512];
        assert!(!chunks.serve(0, &mut out) && chunks.serve(2 * CHUNK as u64, &mut out));
        assert_eq!(out, [2; 512]);
    }

    #[test]
    fn what_is_read_again_stays_and_what_is_lent_does() {
        static BUDGET: CacheBudget = CacheBudget::new(COST * 3);
        let mut chunks = PageCache::new(Some(&BUDGET));
        for n in 0..3 {
            chunks.keep(n * CHUNK as u64, &[n as u8; CHUNK]);
        }
        let lent = chunks.lend(0, 0..512).unwrap();
        for n in 3..9 {
            // The second file is read repeatedly.
            assert!(
                chunks.serve(CHUNK as u64, &mut [0; 512]),
                "before piece {n}"
            );
            chunks.keep(n * CHUNK as u64, &[n as u8; CHUNK]);
            assert!(chunks.serve(n * CHUNK as u64, &mut [0; 512]));
        }
        assert!(chunks.serve(0, &mut [9; 512]) && lent.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_lent_stays_and_counts() {
        static BUDGET: CacheBudget = CacheBudget::new(COST * 3);
        let mut chunks = PageCache::new(Some(&BUDGET));
        chunks.keep(0, &[1; CHUNK]);
        let first = chunks.lend(0, 100..900).unwrap();
        // The cache drops the chunk, because lent data must not change.
        chunks.written(512, &[2; 512]);
        assert!(first.len() == 800 && first.iter().all(|byte| *byte == 1));
        assert!(chunks.lend(0, 0..CHUNK).is_none() && !chunks.serve(0, &mut [0; 512]));
        assert_eq!(BUDGET.statistics().used_bytes, COST);
        chunks.keep(0, &[3; CHUNK]);
        let second = chunks.lend(0, 0..CHUNK).unwrap();
        // Two of three are lent: the others share the remaining one.
        for n in 1..5 {
            chunks.keep(n * CHUNK as u64, &[4; CHUNK]);
            assert!(BUDGET.statistics().used_bytes <= COST * 3);
        }
        assert!(chunks.serve(0, &mut [0; 512]) && chunks.serve(4 * CHUNK as u64, &mut [0; 512]));
        drop((first, chunks));
        assert!(second.iter().all(|byte| *byte == 3));
        assert_eq!(BUDGET.statistics().used_bytes, COST);
        drop(second);
        assert_eq!(BUDGET.statistics().used_bytes, 0);
    }
}

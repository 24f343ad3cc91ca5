//! Buffer cache: lines of the device in memory, some of them newer than the device.

use alloc::vec::Vec;

use super::index::SortedIndex;
use crate::buffer::LineData;
use crate::memory_pressure::is_memory_short;

/// Minimum limit: enough for the changes of one operation of a file system.
pub(super) const MIN_BUFFERS: usize = 16;

/// Index of a line that holds nothing yet: no device is that large.
const UNASSIGNED: u64 = u64::MAX;

/// Aligned part of the device. Bit `n` of each mask is the line's sector `n`.
pub(super) struct Line {
    /// Location on the device, in lines.
    pub index: u64,
    /// `LINE` bytes.
    pub data: LineData,
    /// Sectors with valid contents.
    pub valid: u8,
    /// Sectors that are newer here than on the device; a subset of `valid`.
    pub dirty: u8,
    /// Sectors that hold tables or directories rather than the contents of files. Meaningful for
    /// dirty sectors only.
    pub metadata: u8,
    /// Time of the last use, for eviction.
    used: u64,
    /// Time of the last change of metadata, for writing changes in order.
    pub changed: u64,
}

/// Lines in memory, at most `limit` of them.
pub(super) struct BufferCache {
    slots: Vec<Line>,
    by_index: SortedIndex,
    limit: usize,
    ticks: u64,
    dirty: usize,
}

/// Mask of `count` sectors of a line, from sector `from` on.
pub(super) fn mask(from: usize, count: usize) -> u8 {
    (((1u16 << count) - 1) << from) as u8
}

/// Runs of set bits in `mask`, as first bit and length.
pub(super) fn runs(mask: u8) -> impl Iterator<Item = (usize, usize)> {
    let mut rest = mask;
    core::iter::from_fn(move || {
        if rest == 0 {
            return None;
        }
        let from = rest.trailing_zeros() as usize;
        let count = (rest >> from).trailing_ones() as usize;
        rest &= !self::mask(from, count);
        Some((from, count))
    })
}

impl BufferCache {
    /// Creates a cache of at most `limit` lines, but never less than [`MIN_BUFFERS`].
    pub fn new(limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            by_index: SortedIndex::default(),
            limit: limit.max(MIN_BUFFERS),
            ticks: 0,
            dirty: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// Approximate maximum number of lines; the current number while memory is short.
    pub fn limit(&self) -> usize {
        if is_memory_short() {
            self.slots.len()
        } else {
            self.limit
        }
    }

    /// Ensures that [`MIN_BUFFERS`] lines are in memory; `false` when memory is exhausted.
    pub fn prepare(&mut self) -> bool {
        while self.slots.len() < MIN_BUFFERS {
            if self.add(UNASSIGNED).is_none() {
                return false;
            }
        }
        true
    }

    /// Allocates one more line and returns its slot.
    fn add(&mut self, index: u64) -> Option<usize> {
        self.slots.try_reserve(1).ok()?;
        self.slots.push(Line {
            index,
            data: LineData::new()?,
            valid: 0,
            dirty: 0,
            metadata: 0,
            used: 0,
            changed: 0,
        });
        Some(self.slots.len() - 1)
    }

    /// Number of lines with dirty sectors.
    pub fn dirty(&self) -> usize {
        self.dirty
    }

    /// Returns the line at `index` if it is in memory.
    pub fn find(&self, index: u64) -> Option<&Line> {
        self.by_index
            .get(index)
            .and_then(|slot| self.slots.get(slot))
    }

    /// Returns the line at `index` if it is in memory, and marks it as used.
    pub fn touch(&mut self, index: u64) -> Option<&mut Line> {
        let now = self.tick();
        let line = self
            .by_index
            .get(index)
            .and_then(|slot| self.slots.get_mut(slot))?;
        line.used = now;
        Some(line)
    }

    /// Makes room for the line at `index`, which must not be in memory, and marks all its sectors
    /// as invalid: allocates a line, or evicts the least recently used clean one. While memory is
    /// short, eviction comes first. `false` when all lines are dirty and no more can be allocated.
    pub fn insert(&mut self, index: u64) -> bool {
        let now = self.tick();
        let may_grow = self.slots.len() < self.limit;
        let slot = if may_grow && !is_memory_short() {
            self.add(index).or_else(|| self.replaceable())
        } else {
            // Without a line to evict, the changes of an operation would be written one by one,
            // before they are consistent. Better to use the memory that is reserved for essential
            // allocations.
            self.replaceable()
                .or_else(|| may_grow.then(|| self.add(index)).flatten())
        };
        let Some((slot, line)) = slot.and_then(|slot| Some((slot, self.slots.get_mut(slot)?)))
        else {
            return false;
        };
        self.by_index.remove(line.index);
        line.index = index;
        line.valid = 0;
        line.metadata = 0;
        line.used = now;
        self.by_index.insert(index, slot);
        true
    }

    /// Returns the slot of the least recently used clean line.
    fn replaceable(&self) -> Option<usize> {
        let clean = self.slots.iter().enumerate();
        clean
            .filter(|(_, line)| line.dirty == 0)
            .min_by_key(|(_, line)| line.used)
            .map(|(slot, _)| slot)
    }

    fn line_mut(&mut self, index: u64) -> Option<&mut Line> {
        let slot = self.by_index.get(index)?;
        self.slots.get_mut(slot)
    }

    /// Stores new contents of `sectors` in the line at `index`, which is in memory.
    pub fn put(&mut self, index: u64, at: usize, data: &[u8], sectors: u8, metadata: bool) {
        let now = self.tick();
        let Some(line) = self.line_mut(index) else {
            return;
        };
        let Some(place) = line.data.get_mut(at..at + data.len()) else {
            return;
        };
        place.copy_from_slice(data);
        let was_clean = line.dirty == 0;
        line.valid |= sectors;
        line.dirty |= sectors;
        line.used = now;
        if metadata {
            line.metadata |= sectors;
            line.changed = now;
        } else {
            line.metadata &= !sectors;
        }
        self.dirty += usize::from(was_clean);
    }

    /// Marks `sectors` of the line at `index` as equal to the device.
    pub fn clean(&mut self, index: u64, sectors: u8) {
        let Some(line) = self.line_mut(index) else {
            return;
        };
        let was_dirty = line.dirty != 0;
        line.dirty &= !sectors;
        if was_dirty && line.dirty == 0 {
            self.dirty -= 1;
        }
    }

    /// Drops the contents of `sectors` of the line at `index`, dirty or not.
    pub fn forget(&mut self, index: u64, sectors: u8) {
        self.clean(index, sectors);
        if let Some(line) = self.line_mut(index) {
            line.valid &= !sectors;
        }
    }

    /// Drops all dirty sectors.
    pub fn discard(&mut self) {
        for line in &mut self.slots {
            line.valid &= !line.dirty;
            line.dirty = 0;
        }
        self.dirty = 0;
    }

    /// Iterates over the lines in memory from `first` to before `end`, in order.
    pub fn range(&self, first: u64, end: u64) -> impl Iterator<Item = &Line> {
        self.by_index
            .range(first..end)
            .iter()
            .filter_map(|(_, slot)| self.slots.get(*slot))
    }

    /// Iterates over the dirty lines in order of location.
    pub fn dirty_lines(&self) -> impl Iterator<Item = &Line> {
        self.range(0, u64::MAX).filter(|line| line.dirty != 0)
    }

    /// Returns the index of the least recently used dirty line.
    pub fn oldest_dirty(&self) -> Option<u64> {
        self.slots
            .iter()
            .filter(|line| line.dirty != 0)
            .min_by_key(|line| line.used)
            .map(|line| line.index)
    }
}

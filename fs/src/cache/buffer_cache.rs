//! The buffer cache: lines of the device in memory, some of them newer than the device.

use alloc::vec::Vec;

use super::buffer::LineData;
use super::index::SortedIndex;
use crate::memory_pressure::is_memory_short;

/// The least limit: what an operation of a file system changes at once fits.
pub(super) const LEAST: usize = 16;

/// The place of a line that holds nothing yet: no device has so many.
const NOWHERE: u64 = u64::MAX;

/// One aligned piece of the device. Bit `n` of each mask is the line's sector `n`.
pub(super) struct Line {
    /// Its place on the device, in lines.
    pub index: u64,
    /// `LINE` bytes.
    pub data: LineData,
    /// Sectors whose contents are known.
    pub valid: u8,
    /// Sectors that are newer here than on the device; a subset of `valid`.
    pub dirty: u8,
    /// Sectors that hold tables or directories rather than the contents of files. Means
    /// something for dirty sectors only.
    pub metadata: u8,
    /// When it was last used, for choosing what to drop.
    used: u64,
    /// When metadata in it last changed, for writing changes in their order.
    pub changed: u64,
}

/// The lines in memory, at most `limit` of them.
pub(super) struct BufferCache {
    slots: Vec<Line>,
    by_index: SortedIndex,
    limit: usize,
    ticks: u64,
    dirty: usize,
}

/// The bits of `count` sectors from sector `from` of a line on.
pub(super) fn mask(from: usize, count: usize) -> u8 {
    (((1u16 << count) - 1) << from) as u8
}

/// The runs of set bits in `mask`, as first bit and length.
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
    /// At most `limit` lines, but [`LEAST`] in any case.
    pub fn new(limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            by_index: SortedIndex::default(),
            limit: limit.max(LEAST),
            ticks: 0,
            dirty: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// How many lines there may be, by and large: those that are there when memory is short.
    pub fn limit(&self) -> usize {
        if is_memory_short() {
            self.slots.len()
        } else {
            self.limit
        }
    }

    /// Has [`LEAST`] lines in memory; `false` when there is none left for them.
    pub fn prepare(&mut self) -> bool {
        while self.slots.len() < LEAST {
            if self.add(NOWHERE).is_none() {
                return false;
            }
        }
        true
    }

    /// Takes memory for one more line, and gives its slot.
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

    /// Lines with dirty sectors.
    pub fn dirty(&self) -> usize {
        self.dirty
    }

    /// The line at `index` if it is in memory.
    pub fn find(&self, index: u64) -> Option<&Line> {
        self.by_index
            .get(index)
            .and_then(|slot| self.slots.get(slot))
    }

    /// The line at `index` if it is in memory, noted as used.
    pub fn touch(&mut self, index: u64) -> Option<&mut Line> {
        let now = self.tick();
        let line = self
            .by_index
            .get(index)
            .and_then(|slot| self.slots.get_mut(slot))?;
        line.used = now;
        Some(line)
    }

    /// Makes room for the line at `index`, with nothing valid in it: a new one, or in place of the
    /// clean one that was not used for longest. While memory is short the latter comes first.
    /// `false` when all lines are dirty, and there can't be more. The line must not be in memory
    /// yet.
    pub fn insert(&mut self, index: u64) -> bool {
        let now = self.tick();
        let may_grow = self.slots.len() < self.limit;
        let slot = if may_grow && !is_memory_short() {
            self.add(index).or_else(|| self.replaceable())
        } else {
            // With nothing to replace the changes of an operation would be written one by one,
            // before they fit together: better to take what is kept for those that can't do
            // without.
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

    /// The slot of the clean line that was not used for longest.
    fn replaceable(&self) -> Option<usize> {
        let clean = self.slots.iter().enumerate();
        clean
            .filter(|(_, line)| line.dirty == 0)
            .min_by_key(|(_, line)| line.used)
            .map(|(slot, _)| slot)
    }

    /// Puts `sectors` of new contents into the line at `index`, which is in memory.
    pub fn put(&mut self, index: u64, at: usize, data: &[u8], sectors: u8, metadata: bool) {
        let now = self.tick();
        let Some(line) = self
            .by_index
            .get(index)
            .and_then(|slot| self.slots.get_mut(slot))
        else {
            return;
        };
        let Some(place) = line.data.get_mut(at..at + data.len()) else {
            return;
        };
        place.copy_from_slice(data);
        if line.dirty == 0 {
            self.dirty += 1;
        }
        line.valid |= sectors;
        line.dirty |= sectors;
        line.used = now;
        if metadata {
            line.metadata |= sectors;
            line.changed = now;
        } else {
            line.metadata &= !sectors;
        }
    }

    /// Notes that `sectors` of the line at `index` are on the device as they are here.
    pub fn clean(&mut self, index: u64, sectors: u8) {
        let Some(line) = self
            .by_index
            .get(index)
            .and_then(|slot| self.slots.get_mut(slot))
        else {
            return;
        };
        if line.dirty != 0 && line.dirty & !sectors == 0 {
            self.dirty -= 1;
        }
        line.dirty &= !sectors;
    }

    /// Forgets what `sectors` of the line at `index` hold, written or not.
    pub fn forget(&mut self, index: u64, sectors: u8) {
        self.clean(index, sectors);
        if let Some(line) = self
            .by_index
            .get(index)
            .and_then(|slot| self.slots.get_mut(slot))
        {
            line.valid &= !sectors;
        }
    }

    /// Forgets all that is newer than the device.
    pub fn discard(&mut self) {
        for line in &mut self.slots {
            line.valid &= !line.dirty;
            line.dirty = 0;
        }
        self.dirty = 0;
    }

    /// Lines in memory from `first` to before `end`, in order.
    pub fn range(&self, first: u64, end: u64) -> impl Iterator<Item = &Line> {
        self.by_index
            .range(first..end)
            .iter()
            .filter_map(|(_, slot)| self.slots.get(*slot))
    }

    /// Dirty lines, in the order of their places.
    pub fn dirty_lines(&self) -> impl Iterator<Item = &Line> {
        self.range(0, u64::MAX).filter(|line| line.dirty != 0)
    }

    /// The index of the dirty line that was not used for longest, but for those in `keep`.
    pub fn oldest_dirty(&self, keep: &[u64]) -> Option<u64> {
        self.slots
            .iter()
            .filter(|line| line.dirty != 0 && !keep.contains(&line.index))
            .min_by_key(|line| line.used)
            .map(|line| line.index)
    }
}

//! The memory map that the image gets (x86-64), or that becomes nodes of its device tree (arm64).

use firmware::pvh::{Entry, Kind};

/// A memory map under construction: firmware's many small ranges become few, since the kernel wants
/// one range behind the image.
#[derive(Debug)]
pub struct Map<'a> {
    entries: &'a mut [Entry],
    count: usize,
}

impl<'a> Map<'a> {
    /// An empty map with room for `entries`.
    pub fn new(entries: &'a mut [Entry]) -> Self {
        Self { entries, count: 0 }
    }

    /// Adds a range of `len` bytes. `false` if the map is full; the range is then missing, so it
    /// isn't used.
    pub fn add(&mut self, start: u64, len: u64, kind: Kind) -> bool {
        if let Some(last) = self.count.checked_sub(1).map(|at| &mut self.entries[at])
            && last.end() == start
            && last.kind == kind as u32
        {
            last.len = last.len.saturating_add(len);
            return true;
        }
        let Some(entry) = self.entries.get_mut(self.count) else {
            return false;
        };
        *entry = Entry {
            start,
            len,
            kind: kind as u32,
            reserved: 0,
        };
        self.count += 1;
        true
    }

    /// The ranges of usable memory: address and length.
    pub fn usable(&self) -> impl Iterator<Item = (u64, u64)> {
        let usable = |entry: &&Entry| entry.kind == Kind::Ram as u32;
        let known = self.entries[..self.count].iter().filter(usable);
        known.map(|entry| (entry.start, entry.len))
    }

    /// The number of entries.
    pub fn count(&self) -> u32 {
        self.count as u32
    }

    /// The highest address from which on `len` bytes of usable memory lie below `limit`, on a page.
    /// Of each range only the end below `limit` is tried.
    pub fn below(&self, limit: u64, len: u64) -> Option<u64> {
        self.entries[..self.count]
            .iter()
            .filter(|entry| entry.kind == Kind::Ram as u32)
            .filter_map(|entry| Some(entry.end().min(limit).checked_sub(len)? & !4095))
            .filter(|start| self.holds(*start, start + len))
            .max()
    }

    /// Whether one range of usable memory holds the bytes from `start` to `end`, and none of
    /// another kind overlaps them: a BIOS's ranges may overlap (ACPI 6.5, 15.1).
    pub fn holds(&self, start: u64, end: u64) -> bool {
        let (mut held, mut lost) = (false, false);
        for entry in &self.entries[..self.count] {
            match entry.kind == Kind::Ram as u32 {
                true => held |= entry.start <= start && end <= entry.end(),
                false => lost |= entry.start < end && start < entry.end(),
            }
        }
        held && !lost
    }
}

#[cfg(test)]
mod tests {
    use super::Map;
    use firmware::pvh::{Entry, Kind};

    #[test]
    fn joins_neighbours_of_the_same_kind() {
        let mut entries = [Entry::default(); 2];
        let mut map = Map::new(&mut entries);
        assert!(map.add(0x1000, 0x1000, Kind::Ram));
        assert!(map.add(0x2000, 0x1000, Kind::Ram));
        assert!(map.add(0x3000, 0x1000, Kind::Reserved));
        assert!(!map.add(0x5000, 0x1000, Kind::Ram));
        assert_eq!(map.count(), 2);
        assert!(map.usable().eq([(0x1000, 0x2000)]));
        assert_eq!(map.below(u64::MAX, 0x1800), Some(0x1000));
        assert_eq!(map.below(0x2800, 0x800), Some(0x2000));
        assert_eq!(map.below(u64::MAX, 0x2001), None);
        assert!(map.holds(0x1000, 0x3000));
        assert!(!map.holds(0xfff, 0x3000));
        assert!(!map.holds(0x1000, 0x3001));
        assert!(!map.holds(0x3000, 0x3001));
    }

    #[test]
    fn memory_that_another_kind_overlaps_is_not_usable() {
        let mut entries = [Entry::default(); 2];
        let mut map = Map::new(&mut entries);
        assert!(map.add(0x1000, 0x8000, Kind::Ram));
        assert!(map.add(0x4000, 0x1000, Kind::Acpi));
        assert!(map.holds(0x1000, 0x4000) && map.holds(0x5000, 0x9000));
        assert!(!map.holds(0x1000, 0x4001) && !map.holds(0x4fff, 0x9000));
        assert_eq!(map.below(u64::MAX, 0x4000), Some(0x5000));
        assert_eq!(map.below(u64::MAX, 0x4001), None);
    }
}

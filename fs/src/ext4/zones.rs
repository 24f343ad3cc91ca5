//! Blocks that belong to the file system and never to a file: copies of the superblock,
//! descriptors, bitmaps, inodes, and the journal. A file that maps such a block is damaged,
//! whatever the cause: Linux makes the same check (`block_validity`).

use alloc::vec::Vec;

use super::superblock::Geometry;
use crate::Error;

type Result<T> = core::result::Result<T, Error>;

/// Sorted, disjoint runs of blocks: first, and the one after the last.
#[derive(Debug, Default)]
pub struct Zones(Vec<(u64, u64)>);

impl Zones {
    /// Adds `count` blocks from `first` on. [`has`](Self::has) is correct only after
    /// [`normalize`](Self::normalize).
    pub fn add(&mut self, first: u64, count: u64) -> Result<()> {
        if self.0.len() == self.0.capacity() {
            self.normalize();
            let more = self.0.len().max(64);
            self.0.try_reserve(more).map_err(|_| Error::OutOfMemory)?;
        }
        self.0.push((first, first.saturating_add(count)));
        Ok(())
    }

    /// Sorts the runs and merges adjacent ones.
    pub fn normalize(&mut self) {
        self.0.sort_unstable();
        self.0.dedup_by(|next, before| {
            let touches = next.0 <= before.1;
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
    }

    /// Iterates over the runs that overlap the blocks from `first` to before `end`.
    pub fn within(&self, first: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        let at = self.0.partition_point(|zone| zone.1 <= first);
        let rest = self.0.get(at..).unwrap_or_default();
        rest.iter().copied().take_while(move |zone| zone.0 < end)
    }

    /// Whether any of `count` blocks from `first` on is in a run.
    pub fn has(&self, first: u64, count: u64) -> bool {
        self.within(first, first.saturating_add(count))
            .next()
            .is_some()
    }
}

/// Number of blocks of a group's inode table.
pub fn table_blocks(geometry: &Geometry) -> u64 {
    let bytes = geometry.inodes_per_group as u64 * geometry.inode_size as u64;
    bytes.div_ceil(geometry.block as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_joined_and_found() {
        let mut zones = Zones::default();
        for (first, count) in [(50, 10), (10, 5), (15, 5), (12, 2), (100, 1)] {
            zones.add(first, count).unwrap();
        }
        zones.normalize();
        let all: Vec<_> = zones.within(0, u64::MAX).collect();
        assert_eq!(all, [(10, 20), (50, 60), (100, 101)]);
        let cases = [
            (0, 10, false),
            (0, 11, true),
            (19, 1, true),
            (20, 30, false),
        ];
        for (first, count, has) in cases.into_iter().chain([(60, 40, false), (99, 9, true)]) {
            assert_eq!(zones.has(first, count), has, "{count} from {first}");
        }
        assert!(!zones.has(u64::MAX, u64::MAX));
    }
}

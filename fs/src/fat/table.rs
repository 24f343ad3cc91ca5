//! File allocation table: its entries ("FAT Data Structure"), and the allocation of clusters.

use alloc::vec::Vec;
use core::ops::Range;

use super::geometry::{FIRST, FatKind, Geometry};
use crate::bytes::{put_u32, u32_at};
use crate::cache::Cache;
use crate::{BlockError, Error};

/// Bytes of the table in memory at a time. Sectors and tables start at window boundaries.
const WINDOW: usize = 512;

/// Signatures of FSInfo and their offsets ("FAT32 FSInfo Sector Structure and Backup Boot Sector").
const INFO_SIGNATURES: [(usize, u32); 3] =
    [(0, 0x4161_5252), (484, 0x6141_7272), (508, 0xaa55_0000)];

/// Offset of `FSI_Free_Count` in FSInfo, followed by `FSI_Nxt_Free`; its value if it is unknown.
const INFO_FREE: usize = 488;
const UNKNOWN: u32 = u32::MAX;

/// Table of a volume, read and written through a window, which moves once per run of entries.
pub(super) struct Table<'a> {
    geometry: &'a Geometry,
    /// First byte of the table in the window.
    at: u64,
    window: [u8; WINDOW],
    /// The window is dirty; see [`flush`](Self::flush).
    is_changed: bool,
}

impl<'a> Table<'a> {
    pub fn new(geometry: &'a Geometry) -> Self {
        Self {
            geometry,
            at: u64::MAX,
            window: [0; WINDOW],
            is_changed: false,
        }
    }

    /// Moves the window to byte `at` of the table, and returns the bytes from there on.
    fn load<const N: usize>(
        &mut self,
        at: u64,
        cache: &mut Cache,
    ) -> Result<&mut [u8; N], BlockError> {
        let inside = (at % WINDOW as u64) as usize;
        let start = at - inside as u64;
        if start != self.at {
            self.flush(cache)?;
            self.at = u64::MAX;
            cache.read_bytes(self.geometry.table + start, &mut self.window)?;
            self.at = start;
        }
        let bytes = self.window.get_mut(inside..);
        let bytes = bytes.and_then(|bytes| bytes.first_chunk_mut());
        bytes.ok_or(BlockError::OutOfRange)
    }

    /// Writes the whole window to the tables if it is dirty, so that no read is needed.
    pub fn flush(&mut self, cache: &mut Cache) -> Result<(), BlockError> {
        if self.is_changed {
            self.is_changed = false;
            let tables = [Some(self.geometry.table), self.geometry.mirror];
            for table in tables.into_iter().flatten() {
                cache.write_bytes(table + self.at, &self.window)?;
            }
        }
        Ok(())
    }

    /// Returns the entry of `cluster`, which is a valid number.
    pub fn get(&mut self, cluster: u32, cache: &mut Cache) -> Result<u32, BlockError> {
        let (kind, at) = (self.geometry.kind, self.geometry.kind.entry_offset(cluster));
        Ok(match kind {
            FatKind::Fat32 => u32::from_le_bytes(*self.load(at, cache)?) & kind.mask(),
            FatKind::Fat16 => u16::from_le_bytes(*self.load(at, cache)?).into(),
            FatKind::Fat12 => {
                // The second byte may be in the next window.
                let ([low], [high]) = (*self.load(at, cache)?, *self.load(at + 1, cache)?);
                u32::from(u16::from_le_bytes([low, high])) >> (cluster % 2 * 4) & kind.mask()
            }
        })
    }

    /// Sets the entry of `cluster`, which is a valid number.
    pub fn set(&mut self, cluster: u32, value: u32, cache: &mut Cache) -> Result<(), BlockError> {
        let (kind, at) = (self.geometry.kind, self.geometry.kind.entry_offset(cluster));
        let value = value & kind.mask();
        match kind {
            FatKind::Fat32 => {
                let bytes = self.load(at, cache)?;
                let reserved = u32::from_le_bytes(*bytes) & !kind.mask();
                *bytes = (reserved | value).to_le_bytes();
            }
            FatKind::Fat16 => *self.load(at, cache)? = (value as u16).to_le_bytes(),
            FatKind::Fat12 => {
                let shift = cluster % 2 * 4;
                let (new, kept) = (value << shift, !(kind.mask() << shift));
                for (at, new, kept) in [(at, new, kept), (at + 1, new >> 8, kept >> 8)] {
                    let [byte] = self.load(at, cache)?;
                    *byte = *byte & kept as u8 | new as u8;
                    self.is_changed = true;
                }
            }
        }
        self.is_changed = true;
        Ok(())
    }

    /// Returns the cluster after `cluster`, which is a valid number; `None` for the last one, `Err`
    /// for an invalid entry.
    pub fn next(
        &mut self,
        cluster: u32,
        cache: &mut Cache,
    ) -> Result<Result<Option<u32>, ()>, BlockError> {
        let (last, max) = (self.geometry.kind.mask() - 7, self.geometry.max);
        Ok(match self.get(cluster, cache)? {
            value if value >= last => Ok(None),
            value if (FIRST..=max).contains(&value) => Ok(Some(value)),
            _ => Err(()),
        })
    }

    /// Counts the consecutive clusters from `cluster` on, at most `most`, whose entries pass
    /// `test`, within the window.
    fn count(&self, cluster: u32, most: u32, test: impl Fn(u32, u32) -> bool) -> u32 {
        let kind = self.geometry.kind;
        let inside = kind.entry_offset(cluster).checked_sub(self.at);
        let inside = inside.and_then(|inside| usize::try_from(inside).ok());
        let shown = inside.and_then(|inside| self.window.get(inside..));
        let (shown, most) = (shown.unwrap_or_default(), most as usize);
        let passes = |(value, cluster): &(u32, u32)| test(value & kind.mask(), *cluster);
        let count = match kind {
            FatKind::Fat32 => {
                let entries = shown.as_chunks().0.iter();
                let entries = entries.map(|entry| u32::from_le_bytes(*entry));
                entries.zip(cluster..).take(most).take_while(passes).count()
            }
            FatKind::Fat16 => {
                let entries = shown.as_chunks().0.iter();
                let entries = entries.map(|entry| u16::from_le_bytes(*entry).into());
                entries.zip(cluster..).take(most).take_while(passes).count()
            }
            FatKind::Fat12 => 0,
        };
        count as u32
    }

    /// Returns the number of clusters that follow `cluster` contiguously, in the chain and on the
    /// disk: at most `most`, and only within the window.
    pub fn beside(&self, cluster: u32, most: u64) -> u64 {
        let most = most.min(self.geometry.max.saturating_sub(cluster).into());
        let count = self.count(cluster, most as u32, |value, cluster| value == cluster + 1);
        count.into()
    }

    /// Returns whether `cluster` is free, and the length of a run of clusters from it on in the
    /// same state: at least one, not necessarily the whole run.
    fn run(&mut self, cluster: u32, cache: &mut Cache) -> Result<(bool, u32), BlockError> {
        let is_free = self.get(cluster, cache)? == 0;
        let most = self.geometry.max + 1 - cluster;
        let count = self.count(cluster, most, |value, _| (value == 0) == is_free);
        Ok((is_free, count.max(1)))
    }
}

/// Allocator of a volume's clusters.
pub(super) struct Clusters {
    pub geometry: Geometry,
    /// Number of free clusters, if it is known. The number in FSInfo may be wrong.
    free: Option<u32>,
    /// Cluster where the search for a free one begins.
    next: u32,
    /// A search found no free cluster.
    is_full: bool,
    /// `free` or `next` differ from FSInfo.
    is_changed: bool,
}

impl Clusters {
    /// Reads FSInfo, if it is valid.
    pub fn new(mut geometry: Geometry, cache: &mut Cache) -> Result<Self, BlockError> {
        let mut info = [0; 512];
        if let Some(at) = geometry.info {
            cache.read_bytes(at, &mut info)?;
        }
        let is_valid = |(at, signature): &(usize, u32)| u32_at(&info, *at) == *signature;
        geometry.info = geometry
            .info
            .filter(|_| INFO_SIGNATURES.iter().all(is_valid));
        let known = |at| geometry.info.map(|_| u32_at(&info, at));
        let next = known(INFO_FREE + 4).filter(|next| (FIRST..=geometry.max).contains(next));
        Ok(Self {
            geometry,
            free: known(INFO_FREE).filter(|free| *free < geometry.max),
            next: next.unwrap_or(FIRST),
            is_full: false,
            is_changed: false,
        })
    }

    /// Writes FSInfo if it differs.
    pub fn write_info(&mut self, cache: &mut Cache) -> Result<(), BlockError> {
        if let Some(at) = self.geometry.info.filter(|_| self.is_changed) {
            let mut info = [0; 8];
            put_u32(&mut info, 0, self.free.unwrap_or(UNKNOWN));
            put_u32(&mut info, 4, self.next);
            cache.write_bytes(at + INFO_FREE as u64, &info)?;
        }
        self.is_changed = false;
        Ok(())
    }

    /// Returns the number of free clusters. Reads the whole table if it is unknown.
    pub fn free(&mut self, cache: &mut Cache) -> Result<u32, BlockError> {
        if let Some(free) = self.free {
            return Ok(free);
        }
        let mut table = Table::new(&self.geometry);
        let (mut cluster, mut free) = (FIRST, 0);
        while cluster <= self.geometry.max {
            let (is_free, count) = table.run(cluster, cache)?;
            free += if is_free { count } else { 0 };
            cluster += count;
        }
        self.free = Some(free);
        self.is_changed = true;
        Ok(free)
    }

    /// Allocates up to `wanted` clusters, fewer if the volume is full, and appends them to the
    /// chain that ends with cluster `before`, or to none (0).
    pub fn take(
        &mut self,
        before: u32,
        wanted: u32,
        cache: &mut Cache,
    ) -> Result<Vec<Range<u32>>, Error> {
        let max = self.geometry.max;
        let mut table = Table::new(&self.geometry);
        let mut spans: Vec<Range<u32>> = Vec::new();
        let (mut cluster, mut left) = (self.next, wanted);
        let mut unseen = if self.is_full { 0 } else { max - 1 };
        while left > 0 && unseen > 0 {
            let (is_free, count) = table.run(cluster, cache)?;
            let count = if is_free { count.min(left) } else { count }.min(unseen);
            if is_free {
                left -= count;
                match spans.last_mut() {
                    Some(span) if span.end == cluster => span.end += count,
                    _ => {
                        spans.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
                        spans.push(cluster..cluster + count);
                    }
                }
            }
            unseen -= count;
            cluster += count;
            if cluster > max {
                cluster = FIRST;
            }
        }
        if !spans.is_empty() {
            let end = self.geometry.kind.mask();
            self.link(before, spans.iter().cloned(), end, true, cache)?;
            self.next = cluster;
        }
        if left > 0 {
            self.is_full = true;
            self.is_changed |= self.free != Some(0);
            self.free = Some(0);
        }
        Ok(spans)
    }

    /// Frees clusters that [`take`](Self::take) appended to `before`.
    pub fn give_back(&mut self, before: u32, spans: &[Range<u32>], cache: &mut Cache) {
        let end = self.geometry.kind.mask();
        let _ = self.link(before, spans.iter().cloned(), end, false, cache);
    }

    /// Allocates free clusters or frees used ones: all of them, or none on failure. As a chain they
    /// follow `before` (0 for none), and `end` is the entry of the last.
    pub(super) fn link(
        &mut self,
        before: u32,
        spans: impl Iterator<Item = Range<u32>> + Clone,
        end: u32,
        taken: bool,
        cache: &mut Cache,
    ) -> Result<(), BlockError> {
        let written = self.write(before, spans.clone(), end, taken, cache);
        if written.is_err() {
            let _ = self.write(before, spans, end, !taken, cache);
            return written;
        }
        let count: u32 = spans.map(|span| span.end - span.start).sum();
        let free = self.free.and_then(|free| match taken {
            true => free.checked_sub(count),
            false => free.checked_add(count),
        });
        // An impossible number is recounted when it is needed.
        self.free = free.filter(|free| *free < self.geometry.max);
        self.is_full &= taken;
        self.is_changed = true;
        Ok(())
    }

    fn write(
        &self,
        before: u32,
        spans: impl Iterator<Item = Range<u32>>,
        end: u32,
        taken: bool,
        cache: &mut Cache,
    ) -> Result<(), BlockError> {
        let mut table = Table::new(&self.geometry);
        let mut clusters = spans.flatten().peekable();
        let first = clusters.peek().copied().unwrap_or(end);
        while let Some(cluster) = clusters.next() {
            let next = clusters.peek().copied().unwrap_or(end);
            table.set(cluster, if taken { next } else { 0 }, cache)?;
        }
        if before != 0 {
            let last = self.geometry.kind.mask();
            table.set(before, if taken { first } else { last }, cache)?;
        }
        table.flush(cache)
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use super::*;
    use crate::VolumeOptions;
    use crate::fake::Disk;
    use crate::fat::tests::{KINDS, cache, roomy, with_file};

    #[test]
    fn clusters_in_a_row_are_counted_within_the_window() {
        for (kind, entries) in [(FatKind::Fat16, 256), (FatKind::Fat32, 128)] {
            let (geometry, mut bytes) = with_file(kind, 600);
            let (max, len) = (geometry.max, if kind == FatKind::Fat32 { 4 } else { 2 });
            let place = |cluster: u32| geometry.table as usize + cluster as usize * len;
            // The upper bits of a FAT32 entry are reserved, and the last cluster of the volume has
            // no neighbour.
            let ignored = if kind == FatKind::Fat32 { 0xf0 } else { 0 };
            bytes[place(11) - 1] |= ignored;
            for cluster in [max - 1, max] {
                let next = (cluster + 1).to_le_bytes();
                bytes[place(cluster)..][..len].copy_from_slice(&next[..len]);
            }
            let mut cache = cache(&Disk::new(bytes, 512));
            let mut table = Table::new(&geometry);
            assert_eq!(table.beside(3, 9), 0, "nothing is read yet");
            assert_eq!(table.next(3, &mut cache), Ok(Ok(Some(4))));
            let shown = entries - 3;
            for (cluster, most, expected) in [
                (3, 9, 9),
                (3, 1000, shown),
                (3, shown, shown),
                (entries - 1, 9, 1),
                (entries, 9, 0),
            ] {
                let found = table.beside(cluster as u32, most);
                assert_eq!(found, expected, "{kind:?}, {most} after {cluster}");
            }
            assert_eq!(table.next(max - 1, &mut cache), Ok(Ok(Some(max))));
            assert_eq!([table.beside(max - 1, 9), table.beside(max, 9)], [1, 0]);
        }
    }

    /// An entry of FAT12 may begin in one window and end in the next.
    #[test]
    fn the_table_is_read_once_for_each_window() {
        for (kind, steps) in [
            (
                FatKind::Fat16,
                &[(3, 0), (255, 0), (256, 512), (300, 512), (255, 0), (130, 0)][..],
            ),
            (FatKind::Fat32, &[(3, 0), (127, 0), (128, 512), (255, 512)]),
            (
                FatKind::Fat12,
                &[
                    (3, 0),
                    (341, 512),
                    (342, 512),
                    (681, 512),
                    (3, 0),
                    (682, 1024),
                ],
            ),
        ] {
            let (geometry, bytes) = with_file(kind, 1000);
            let mut cache = cache(&Disk::new(bytes, 512));
            let mut table = Table::new(&geometry);
            for &(cluster, window) in steps {
                // Marks the window: this proves that it isn't read again.
                let stays = table.at == window;
                if stays {
                    table.window.fill(0);
                }
                let next = if stays {
                    Err(())
                } else {
                    Ok(Some(cluster + 1))
                };
                assert_eq!(table.next(cluster, &mut cache), Ok(next), "{kind:?}");
                assert_eq!(table.at, window, "{kind:?} {cluster}");
            }
        }
    }

    /// Returns the entry of a cluster in each table, from the bytes of the disk.
    fn entries(bytes: &[u8], geometry: &Geometry, cluster: u32) -> [u32; 2] {
        let mirror = geometry.mirror.unwrap();
        [geometry.table, mirror].map(|table| {
            let at = (table + geometry.kind.entry_offset(cluster)) as usize;
            let entry = u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
            match geometry.kind {
                FatKind::Fat12 => entry >> (cluster % 2 * 4) & 0xfff,
                FatKind::Fat16 => entry & 0xffff,
                FatKind::Fat32 => entry,
            }
        })
    }

    /// Returns the clusters of an empty volume, its layout, its disk and a cache.
    fn empty(kind: FatKind) -> (Clusters, Geometry, Disk, Cache) {
        let disk = Disk::new(roomy(kind), 512);
        let boot = disk.bytes();
        let geometry = Geometry::parse(boot.first_chunk().unwrap(), u64::MAX).unwrap();
        let mut cache = cache(&disk);
        let clusters = Clusters::new(geometry, &mut cache).unwrap();
        (clusters, geometry, disk, cache)
    }

    fn committed(cache: &mut Cache, disk: &Disk) -> Vec<u8> {
        cache.commit(crate::cache::Order::TablesFirst).unwrap();
        disk.bytes()
    }

    #[test]
    fn an_entry_on_the_border_of_sectors_changes_alone() {
        // Bytes 511 and 512 of the table; 1023 and 1024.
        for cluster in [341, 682] {
            for value in [0, 0x123, 0xabc, 0xfff] {
                let (geometry, bytes) = with_file(FatKind::Fat12, 1000);
                let disk = Disk::new(bytes.clone(), 512);
                let mut cache = cache(&disk);
                let mut table = Table::new(&geometry);
                table.set(cluster, value, &mut cache).unwrap();
                assert_eq!(table.get(cluster, &mut cache), Ok(value));
                table.flush(&mut cache).unwrap();
                let changed = committed(&mut cache, &disk);
                assert_eq!(entries(&changed, &geometry, cluster), [value; 2]);
                for other in [cluster - 1, cluster + 1] {
                    assert_eq!(entries(&changed, &geometry, other), [other + 1; 2]);
                }
                let count = bytes.iter().zip(&changed).filter(|(a, b)| a != b).count();
                assert!(count <= 4, "{count} bytes");
            }
        }
    }

    /// The upper four bits of a FAT32 entry are reserved, and preserved.
    #[test]
    fn reserved_bits_stay() {
        let (geometry, mut bytes) = with_file(FatKind::Fat32, 9);
        bytes[geometry.table as usize + 5 * 4 + 3] |= 0xa0;
        let disk = Disk::new(bytes, 512);
        let mut cache = cache(&disk);
        let mut table = Table::new(&geometry);
        assert_eq!(table.get(5, &mut cache), Ok(6));
        table.set(5, 0x0fff_ffff, &mut cache).unwrap();
        table.flush(&mut cache).unwrap();
        let bytes = committed(&mut cache, &disk);
        assert_eq!(entries(&bytes, &geometry, 5), [0xafff_ffff; 2]);
    }

    /// `BPB_ExtFlags`: one table is active, and the other stays untouched.
    #[test]
    fn a_table_that_is_not_in_use_stays() {
        let (whole, mut bytes) = with_file(FatKind::Fat32, 9);
        bytes[40] = 0x81;
        let geometry = Geometry::parse(bytes.first_chunk().unwrap(), u64::MAX).unwrap();
        assert_eq!(
            (Some(geometry.table), geometry.mirror),
            (whole.mirror, None)
        );
        let disk = Disk::new(bytes, 512);
        let mut cache = cache(&disk);
        let mut clusters = Clusters::new(geometry, &mut cache).unwrap();
        clusters.cut(3, 512, &mut cache).unwrap();
        let bytes = committed(&mut cache, &disk);
        assert_eq!(entries(&bytes, &whole, 3), [4, 0x0fff_ffff]);
        assert_eq!(entries(&bytes, &whole, 4), [5, 0]);
        let mut odd = bytes;
        odd[40] = 0x82;
        assert!(Geometry::parse(odd.first_chunk().unwrap(), u64::MAX).is_err());
    }

    fn one(spans: Result<Vec<Range<u32>>, Error>) -> Range<u32> {
        let [span] = spans.unwrap().try_into().unwrap();
        span
    }

    #[test]
    fn every_cluster_is_taken_once() {
        for kind in KINDS {
            let (mut clusters, geometry, disk, mut cache) = empty(kind);
            // The root directory of FAT32 has the first one.
            let first = if kind == FatKind::Fat32 { 3 } else { 2 };
            let count = geometry.max + 1 - first;
            assert_eq!(clusters.free(&mut cache), Ok(count), "{kind:?}");
            let some = one(clusters.take(0, 100, &mut cache));
            assert_eq!(some, first..first + 100);
            let rest = one(clusters.take(first + 99, u32::MAX, &mut cache));
            assert_eq!(rest, first + 100..geometry.max + 1);
            assert_eq!(clusters.free(&mut cache), Ok(0));
            disk.state().reads = 0;
            assert_eq!(clusters.take(0, 1, &mut cache), Ok(vec![]));
            assert_eq!(disk.state().reads, 0, "a search needs no second one");
            clusters.cut(first, 50 * 512, &mut cache).unwrap();
            assert_eq!(clusters.free(&mut cache), Ok(count - 50));
            let again = one(clusters.take(0, 1, &mut cache));
            assert_eq!(again, first + 100..first + 101, "where the search ended");
            // The same from the table.
            clusters.free = None;
            assert_eq!(clusters.free(&mut cache), Ok(count - 51));
        }
    }

    #[test]
    fn a_search_goes_on_at_the_first_cluster() {
        for kind in KINDS {
            let (mut clusters, geometry, disk, mut cache) = empty(kind);
            let (first, max) = (if kind == FatKind::Fat32 { 3 } else { 2 }, geometry.max);
            clusters.take(0, 2, &mut cache).unwrap();
            clusters.next = max - 1;
            let spans = clusters.take(first, 5, &mut cache).unwrap();
            assert_eq!(spans, [max - 1..max + 1, first + 2..first + 5], "{kind:?}");
            assert_eq!(clusters.next, first + 5);
            let bytes = committed(&mut cache, &disk);
            for (cluster, next) in [
                (first, max - 1),
                (max - 1, max),
                (max, first + 2),
                (first + 4, kind.mask()),
            ] {
                assert_eq!(entries(&bytes, &geometry, cluster), [next; 2]);
            }
        }
    }

    /// "FAT32 FSInfo Sector Structure": hints that may be wrong.
    #[test]
    fn what_fsinfo_says_is_not_trusted() {
        let info = |free: u32, next: u32| {
            let (_, geometry, disk, _) = empty(FatKind::Fat32);
            let at = geometry.info.unwrap() as usize + INFO_FREE;
            put_u32(&mut disk.state().bytes, at, free);
            put_u32(&mut disk.state().bytes, at + 4, next);
            let mut cache = cache(&disk);
            let clusters = Clusters::new(geometry, &mut cache).unwrap();
            (clusters, disk, cache, at, geometry.max)
        };
        let max = info(0, 0).4;
        for (free, next, start) in [
            // Unknown, or greater than the volume.
            (UNKNOWN, UNKNOWN, 3),
            (max, max + 1, 3),
            (max - 2, 1, 3),
            // Too low: a search still finds more.
            (0, 100, 100),
            (7, max, max),
        ] {
            let (mut clusters, disk, mut cache, at, _) = info(free, next);
            let taken = clusters.take(0, 10, &mut cache).unwrap();
            assert_eq!(taken[0].start, start, "{free} free, {next} next");
            let left = max - 2 - 10;
            assert_eq!(clusters.free(&mut cache), Ok(left), "{free} free");
            clusters.write_info(&mut cache).unwrap();
            let bytes = committed(&mut cache, &disk);
            let found = (u32_at(&bytes, at), u32_at(&bytes, at + 4));
            assert_eq!(found, (left, clusters.next));
        }
        // Without its signatures it is ignored, and never written.
        let (_, disk, _, at, _) = info(5, 100);
        for (place, _) in INFO_SIGNATURES {
            let before = disk.bytes();
            disk.state().bytes[at - INFO_FREE + place] ^= 1;
            let mut cache = cache(&disk);
            let boot = disk.bytes();
            let geometry = Geometry::parse(boot.first_chunk().unwrap(), u64::MAX).unwrap();
            let mut clusters = Clusters::new(geometry, &mut cache).unwrap();
            clusters.take(0, 1, &mut cache).unwrap();
            assert_eq!((clusters.free(&mut cache), clusters.next), (Ok(max - 3), 4));
            clusters.write_info(&mut cache).unwrap();
            assert_eq!(committed(&mut cache, &disk)[512..1024], boot[512..1024]);
            disk.state().bytes = before;
        }
    }

    /// A change of more of the tables than the cache has lines for is atomic.
    #[test]
    fn a_chain_is_taken_and_given_back_completely_or_not_at_all() {
        for kind in [FatKind::Fat16, FatKind::Fat32] {
            let (geometry, bytes) = with_file(kind, 20_000);
            let first = if kind == FatKind::Fat32 { 3 } else { 2 };
            let mut failures = [0; 2];
            for (fail, cuts) in (1..60).flat_map(|fail| [(fail, true), (fail, false)]) {
                let disk = Disk::new(bytes.clone(), 512);
                let options = VolumeOptions {
                    cache_bytes: 0,
                    ..VolumeOptions::default()
                };
                let mut cache = Cache::new(Box::new(disk.clone()), &options);
                let mut clusters = Clusters::new(geometry, &mut cache).unwrap();
                clusters.next = geometry.max - 1000;
                disk.state().fail_read = Some(fail);
                let changed = match cuts {
                    true => clusters.cut(first, 512, &mut cache).err(),
                    false => clusters.take(first + 19_999, 300, &mut cache).err(),
                };
                if disk.state().fail_read.take().is_some() {
                    continue;
                }
                failures[usize::from(cuts)] += 1;
                assert_eq!(changed, Some(Error::Io), "{kind:?}, read {fail}");
                let left = committed(&mut cache, &disk);
                assert!(left == bytes, "{kind:?}, read {fail}, cut {cuts}");
            }
            assert!(failures[0] > 1 && failures[1] > 9, "{kind:?}: {failures:?}");
        }
    }
}

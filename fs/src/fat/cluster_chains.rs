//! Cluster chains of files and directories, read directly from the table.
//!
//! hadris-fat follows a chain entry by entry, through a buffer of one sector, and again for each
//! read. This module finds runs of contiguous clusters once and stores them, so that a read goes
//! directly to the cache and the device.

use alloc::vec::Vec;

use hadris_fat::{FatKind, Geometry};
use hadris_fat_raw::ChainGuard;

use crate::BlockError;
use crate::cache::{Cache, Run};

/// Bytes of the table to read at a time.
const WINDOW: usize = 512;

/// Maximum number of stored runs of one chain, of 24 bytes each.
const MAX_RUNS: usize = 4096;

/// Progress along a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// Reached the wanted byte.
    All,
    /// Reached the end of the chain first.
    End,
    /// Reached the maximum number of runs.
    Full,
    /// The chain is invalid or loops.
    Odd,
}

/// Known part of a cluster chain: its start, or a later part of a chain with many runs.
#[derive(Debug)]
pub(super) struct Chain {
    /// First cluster of the chain.
    first: u32,
    runs: Vec<Run>,
    /// Last known cluster.
    last: u32,
    /// Detects loops by the starts of runs: a looping chain returns to one.
    guard: ChainGuard,
}

impl Chain {
    /// Creates a chain that begins with cluster `first`.
    pub fn new(first: u32) -> Self {
        Self {
            first,
            runs: Vec::new(),
            last: 0,
            guard: ChainGuard::new(0),
        }
    }

    /// Creates a chain of one run that isn't in the table: the root directory of FAT12 and FAT16.
    pub fn fixed(disk: u64, len: u64) -> Self {
        Self {
            runs: alloc::vec![Run { file: 0, disk, len }],
            ..Self::new(0)
        }
    }

    /// Returns the known runs.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns the last known cluster.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// Returns the first byte whose location isn't known.
    pub fn len(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.file + run.len)
    }

    /// Follows the chain until the locations of the bytes from `from` to before `wanted` are known,
    /// or the maximum number of runs is reached. Reads the necessary part of the table.
    pub fn reach(
        &mut self,
        from: u64,
        wanted: u64,
        geometry: &Geometry,
        cache: &mut Cache,
    ) -> Result<Reached, BlockError> {
        if self.runs.first().is_some_and(|run| run.file > from) {
            *self = Self::new(self.first);
        }
        let unit = u64::from(geometry.cluster_size());
        let mut table = Table::new(geometry);
        let mut len = self.len();
        while len < wanted {
            let next = match self.runs.is_empty() {
                true => self.first,
                false => match table.next(self.last, cache)? {
                    Ok(Some(next)) => next,
                    Ok(None) => return Ok(Reached::End),
                    Err(()) => return Ok(Reached::Odd),
                },
            };
            match self.runs.last_mut() {
                Some(run) if next == self.last + 1 => run.len += unit,
                _ => {
                    let Some(disk) = geometry.cluster_offset(next) else {
                        return Ok(Reached::Odd);
                    };
                    if self.runs.len() >= MAX_RUNS || self.runs.try_reserve(1).is_err() {
                        if len > from {
                            return Ok(Reached::Full);
                        }
                        self.runs.clear();
                    }
                    if !self.guard.step(next) {
                        return Ok(Reached::Odd);
                    }
                    self.runs.push(Run {
                        file: len,
                        disk,
                        len: unit,
                    });
                }
            }
            // Most clusters follow contiguously, which the window shows at once.
            let beside = table.beside(next, (wanted - len).div_ceil(unit) - 1);
            if let Some(run) = self.runs.last_mut() {
                run.len += beside * unit;
            }
            self.last = next + beside as u32;
            len += (1 + beside) * unit;
        }
        Ok(Reached::All)
    }
}

/// Table of a volume, read through a window.
struct Table {
    kind: FatKind,
    max: u32,
    /// First byte of the active copy.
    start: u64,
    /// First byte in the window.
    at: u64,
    window: [u8; WINDOW],
}

impl Table {
    fn new(geometry: &Geometry) -> Self {
        Self {
            kind: geometry.kind(),
            max: geometry.max_cluster(),
            start: geometry.fat_copy(geometry.active_fat()),
            at: u64::MAX,
            window: [0; WINDOW],
        }
    }

    /// Returns the number of clusters that follow `cluster` contiguously, in the chain and on the
    /// disk: at most `most`, and only within the window.
    fn beside(&self, cluster: u32, most: u64) -> u64 {
        let at = self.start + self.kind.entry_offset(cluster.into());
        let inside = at
            .checked_sub(self.at)
            .and_then(|n| usize::try_from(n).ok());
        let shown = inside.and_then(|inside| self.window.get(inside..));
        let most = most.min(self.max.saturating_sub(cluster).into()) as usize;
        let (shown, mask) = (shown.unwrap_or_default(), self.kind.mask());
        let found = match self.kind {
            FatKind::Fat32 => count(
                cluster,
                shown
                    .as_chunks()
                    .0
                    .iter()
                    .map(|entry| u32::from_le_bytes(*entry) & mask),
                most,
            ),
            FatKind::Fat16 => count(
                cluster,
                shown
                    .as_chunks()
                    .0
                    .iter()
                    .map(|entry| u16::from_le_bytes(*entry).into()),
                most,
            ),
            _ => 0,
        };
        found as u64
    }

    /// Returns the cluster after `cluster`, which is on the volume; `None` for the last one, `Err`
    /// for an invalid entry.
    fn next(
        &mut self,
        cluster: u32,
        cache: &mut Cache,
    ) -> Result<Result<Option<u32>, ()>, BlockError> {
        let cluster = u64::from(cluster);
        let at = self.start + self.kind.entry_offset(cluster);
        let len = self.kind.entry_len();
        let known = |from: u64| {
            let inside = at.checked_sub(from).filter(|n| *n < WINDOW as u64)? as usize;
            (inside + len <= WINDOW).then_some(inside)
        };
        let inside = match known(self.at) {
            Some(inside) => inside,
            None => {
                // An entry of FAT12 may begin in one window and end in the next.
                let aligned = at / WINDOW as u64 * WINDOW as u64;
                let from = known(aligned).map_or(at, |_| aligned);
                self.at = u64::MAX;
                cache.read_bytes(from, &mut self.window)?;
                self.at = from;
                (at - from) as usize
            }
        };
        let entry = self.window.get(inside..inside + len);
        let entry = entry.ok_or(BlockError::OutOfRange)?;
        let stored = self.kind.decode(cluster, entry);
        Ok(self.kind.next(stored, self.max).map_err(|_| ()))
    }
}

/// Counts the `entries`, from that of `cluster` on, that point to the adjacent cluster.
fn count(cluster: u32, entries: impl Iterator<Item = u32>, most: usize) -> usize {
    let pairs = entries.take(most).zip(cluster + 1..);
    pairs.take_while(|(stored, next)| stored == next).count()
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use hadris_fat::FatOptions;
    use hadris_fat::sync::FatFs;
    use hadris_fs::{Extent, MountOptions, Name, NodeId, SetAttr};
    use hadris_storage::{BlockSize, MemDevice};
    use proptest::prelude::*;

    use super::*;
    use crate::VolumeOptions;
    use crate::fake::Disk;

    type Fat = FatFs<MemDevice<Vec<u8>>>;

    fn formatted(kind: FatKind) -> Fat {
        let mut image = match kind {
            FatKind::Fat12 => vec![0; 1 << 20],
            FatKind::Fat16 => vec![0; 16 << 20],
            _ => vec![0; 40 << 20],
        };
        let options = FatOptions::new().with_kind(kind).with_cluster_size(512);
        hadris_fat::sync::format(&mut image, &options).unwrap();
        let device = MemDevice::new(image, BlockSize::new(512).unwrap());
        FatFs::mount(device, MountOptions::new()).unwrap()
    }

    /// Location of a file according to hadris-fat.
    fn told(fat: &mut Fat, node: NodeId) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        loop {
            let mut some = [Extent::new(0, 0); 16];
            let from = runs.last().map_or(0, |run| run.file + run.len);
            let count = fat.extents(node, from, &mut some).unwrap();
            if count == 0 {
                return runs;
            }
            runs.extend(some.iter().take(count).map(|extent| Run {
                file: extent.file_offset(),
                disk: extent.offset(),
                len: extent.len(),
            }));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn chains_are_where_hadris_fat_says(
            sizes in prop::collection::vec((0usize..4, 1u64..1200), 1..24),
            ask in prop::collection::vec(1u64..400_000, 1..6),
            kind in prop::sample::select(vec![FatKind::Fat12, FatKind::Fat16, FatKind::Fat32]),
        ) {
            let mut fat = formatted(kind);
            // Files that grow in turns are in many pieces.
            let root = fat.root();
            let names = ["a", "b", "c", "d"];
            let attributes = SetAttr::new();
            let nodes = names.map(|name| fat.create(root, Name::new(name), &attributes).unwrap());
            let mut lens = [0; 4];
            for (which, clusters) in sizes {
                lens[which] += clusters * 512;
                let _ = fat.truncate(nodes[which], lens[which]);
            }
            let geometry = *fat.info();
            let wanted = nodes.map(|node| told(&mut fat, node));
            fat.sync().unwrap();
            let disk = Disk::new(fat.into_inner().into_inner(), 512);
            let mut cache = Cache::new(Box::new(disk), &VolumeOptions::default());
            for wanted in wanted.iter().filter(|runs| !runs.is_empty()) {
                let len = wanted.last().map_or(0, |run| run.file + run.len);
                let first = (wanted[0].disk - geometry.data_start()) / 512 + 2;
                let mut chain = Chain::new(first as u32);
                let mut furthest = 0;
                for ask in ask.iter().copied().chain([len]) {
                    furthest = furthest.max(ask.next_multiple_of(512));
                    let reached = chain.reach(0, ask, &geometry, &mut cache).unwrap();
                    prop_assert_eq!(reached, if ask <= len { Reached::All } else { Reached::End });
                    prop_assert!(chain.len() >= ask.min(len) && chain.len() <= len.min(furthest));
                }
                prop_assert_eq!(chain.runs(), wanted);
            }
        }
    }

    /// Creates a volume whose one file has `clusters` clusters, all in a row.
    fn with_file(kind: FatKind, clusters: u64) -> (Geometry, Vec<u8>) {
        let mut fat = formatted(kind);
        let root = fat.root();
        let node = fat.create(root, Name::new("a"), &SetAttr::new()).unwrap();
        fat.truncate(node, clusters * 512).unwrap();
        fat.sync().unwrap();
        (*fat.info(), fat.into_inner().into_inner())
    }

    fn cache(disk: &Disk) -> Cache {
        Cache::new(Box::new(disk.clone()), &VolumeOptions::default())
    }

    #[test]
    fn what_is_known_needs_no_table() {
        let (geometry, bytes) = with_file(FatKind::Fat16, 40);
        let disk = Disk::new(bytes, 512);
        let mut chain = Chain::new(2);
        let reached = chain.reach(0, 20 * 512, &geometry, &mut cache(&disk));
        assert_eq!((reached, chain.len()), (Ok(Reached::All), 20 * 512));
        // A later part begins where it was left.
        let known = chain.runs[0];
        chain.runs[0] = Run {
            file: 3 * 512,
            disk: known.disk + 3 * 512,
            len: 17 * 512,
        };
        disk.state().gone = true;
        for from in [3 * 512, 4 * 512, 19 * 512] {
            let reached = chain.reach(from, 20 * 512, &geometry, &mut cache(&disk));
            assert_eq!(reached, Ok(Reached::All), "from {from}");
        }
        // What is before it isn't known.
        let failed = chain.reach(3 * 512 - 1, 20 * 512, &geometry, &mut cache(&disk));
        assert_eq!(failed, Err(BlockError::Io));
        disk.state().gone = false;
        let reached = chain.reach(0, 20 * 512, &geometry, &mut cache(&disk));
        assert_eq!((reached, chain.runs()), (Ok(Reached::All), &[known][..]));
    }

    #[test]
    fn clusters_in_a_row_are_counted_within_the_window() {
        for (kind, entries) in [(FatKind::Fat16, 256), (FatKind::Fat32, 128)] {
            let (geometry, mut bytes) = with_file(kind, 600);
            let (max, len) = (geometry.max_cluster(), kind.entry_len());
            let place = |cluster: u32| geometry.fat_start() as usize + cluster as usize * len;
            // The upper bits of an entry of FAT32 are reserved; the last cluster has none beside
            // it.
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

    /// An entry is read from the window that has it whole, else from the aligned one, and an entry
    /// of FAT12 that is in two of these from one that begins with it.
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
                &[(3, 0), (340, 0), (341, 511), (342, 511), (681, 511), (3, 0)],
            ),
        ] {
            let (geometry, bytes) = with_file(kind, 1000);
            let mut cache = cache(&Disk::new(bytes, 512));
            let mut table = Table::new(&geometry);
            for &(cluster, window) in steps {
                // Marks the window: it isn't read again.
                let stays = table.at == geometry.fat_start() + window;
                if stays {
                    table.window.fill(0);
                }
                let next = if stays {
                    Err(())
                } else {
                    Ok(Some(cluster + 1))
                };
                assert_eq!(table.next(cluster, &mut cache), Ok(next), "{kind:?}");
                assert_eq!(
                    table.at - geometry.fat_start(),
                    window,
                    "{kind:?} {cluster}"
                );
            }
        }
    }

    #[test]
    fn a_chain_that_is_odd_ends() {
        let (geometry, bytes) = with_file(FatKind::Fat16, 40);
        let max = geometry.max_cluster() as u16;
        // A link to its start, to itself, to nowhere, out of the volume.
        for (cluster, value) in [(20, 2), (20, 10), (20, 20), (20, 0), (20, max + 1), (2, 2)] {
            let mut bytes = bytes.clone();
            let at = geometry.fat_start() as usize + cluster * 2;
            bytes[at..at + 2].copy_from_slice(&u16::to_le_bytes(value));
            let disk = Disk::new(bytes, 512);
            let mut cache = Cache::new(Box::new(disk), &VolumeOptions::default());
            let mut chain = Chain::new(2);
            let reached = chain.reach(0, 1 << 30, &geometry, &mut cache);
            assert_eq!(reached, Ok(Reached::Odd), "{cluster} leads to {value}");
            assert!(chain.runs().len() < 10);
        }
    }
}

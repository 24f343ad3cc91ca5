//! Cluster chains of files and directories: their runs of contiguous clusters, found once and
//! stored, so that a read or write goes directly to the cache and the device.

use alloc::vec::Vec;
use core::ops::Range;

use super::geometry::Geometry;
use super::table::{Clusters, Table};
use crate::cache::{Cache, Run};
use crate::{BlockError, Error};

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
    guard: Guard,
}

/// Brent's cycle detection ("An improved Monte Carlo factorization algorithm", 1980): compares with
/// a start that is replaced after 1, 2, 4, ... steps.
#[derive(Debug, Default)]
struct Guard {
    mark: u32,
    steps: u32,
}

impl Guard {
    /// Notes the start of a run; `false` if the chain has returned to an earlier one.
    fn step(&mut self, start: u32) -> bool {
        if self.mark == start {
            return false;
        }
        self.steps += 1;
        if self.steps.is_power_of_two() {
            self.mark = start;
        }
        true
    }
}

impl Chain {
    /// Creates a chain that begins with cluster `first`.
    pub fn new(first: u32) -> Self {
        Self {
            first,
            runs: Vec::new(),
            last: 0,
            guard: Guard::default(),
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
        let unit = u64::from(geometry.unit);
        let mut table = Table::new(geometry);
        let mut len = self.len();
        while len < wanted {
            let next = match self.runs.is_empty() {
                true if self.first == 0 => return Ok(Reached::End),
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

    /// Returns the cluster of byte `at`, if its location is known.
    pub fn cluster_at(&self, at: u64, geometry: &Geometry) -> Option<u32> {
        let run = self.runs.partition_point(|run| run.file + run.len <= at);
        let run = self.runs.get(run).filter(|run| run.file <= at)?;
        Some(geometry.cluster_of(run.disk + at - run.file))
    }

    /// Returns the known clusters from byte `from` on, which begins one.
    pub fn spans(
        &self,
        from: u64,
        geometry: &Geometry,
    ) -> impl Iterator<Item = Range<u32>> + Clone {
        let runs = self
            .runs
            .iter()
            .filter(move |run| run.file + run.len > from);
        runs.map(move |run| {
            let skip = from.saturating_sub(run.file);
            let [start, end] = [skip, run.len].map(|at| geometry.cluster_of(run.disk + at));
            start..end
        })
    }
}

impl Clusters {
    /// Ends the chain from `first` on after `keep` bytes, a number of whole clusters, and frees the
    /// rest. On failure the chain is unchanged, unless it has more runs than are stored: then the
    /// rest is lost until fsck.fat finds it.
    pub fn cut(&mut self, first: u32, keep: u64, cache: &mut Cache) -> Result<(), Error> {
        let geometry = self.geometry;
        let mut chain = Chain::new(first);
        let mut reached = Reached::Full;
        // Follows the chain to its end before any change.
        while reached == Reached::Full {
            reached = chain.reach(chain.len(), u64::MAX, &geometry, cache)?;
        }
        if reached != Reached::End || chain.len() < keep {
            return Err(Error::Corrupt);
        }
        let mut keep = keep;
        loop {
            let last = keep.saturating_sub(geometry.unit.into());
            let reached = chain.reach(last, u64::MAX, &geometry, cache)?;
            let before = match keep {
                0 => 0,
                _ => chain.cluster_at(last, &geometry).ok_or(Error::Corrupt)?,
            };
            let rest = match reached {
                Reached::End => None,
                _ => {
                    let next = Table::new(&geometry).next(chain.last(), cache)?;
                    next.map_err(|()| Error::Corrupt)?
                }
            };
            let end = rest.unwrap_or(geometry.kind.mask());
            if chain.len() > keep {
                let spans = chain.spans(keep, &geometry);
                self.link(before, spans, end, false, cache)?;
            }
            let Some(rest) = rest else {
                return Ok(());
            };
            (chain, keep) = (Chain::new(rest), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::Volume;
    use crate::fake::Disk;
    use crate::fat::geometry::FatKind;
    use crate::fat::tests::{WRITE, cache, mounted, roomy, with_file};

    /// Returns the location of a file according to the table entries of its clusters, one by one.
    fn told(bytes: &[u8], geometry: &Geometry, first: u32) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut cluster, mut file) = (first, 0);
        while (2..=geometry.max).contains(&cluster) {
            let disk = geometry.data + u64::from(cluster - 2) * 512;
            match runs.last_mut() {
                Some(run) if run.disk + run.len == disk => run.len += 512,
                _ => runs.push(Run {
                    file,
                    disk,
                    len: 512,
                }),
            }
            file += 512;
            let at = geometry.table as usize + geometry.kind.entry_offset(cluster) as usize;
            let entry = u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
            cluster = match geometry.kind {
                FatKind::Fat12 => entry >> (cluster % 2 * 4) & 0xfff,
                FatKind::Fat16 => entry & 0xffff,
                FatKind::Fat32 => entry & 0x0fff_ffff,
            };
        }
        runs
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn chains_are_where_the_table_says(
            sizes in prop::collection::vec((0usize..4, 1u64..1200), 1..24),
            ask in prop::collection::vec(1u64..400_000, 1..6),
            kind in prop::sample::select(vec![FatKind::Fat12, FatKind::Fat16, FatKind::Fat32]),
        ) {
            let (mut volume, disk) = mounted(roomy(kind), 512);
            // Files that grow in turns become fragmented.
            let files = ["a", "b", "c", "d"].map(|name| volume.open(name, WRITE).unwrap());
            let mut lens = [0; 4];
            for (which, clusters) in sizes {
                let more = clusters * 512;
                match volume.truncate(files[which], lens[which] + more) {
                    Ok(()) => lens[which] += more,
                    Err(_) => prop_assert!(volume.space().unwrap().free < more),
                }
            }
            let geometry = volume.geometry();
            let firsts = files.map(|file| {
                let place = volume.handles.get(file).unwrap().place;
                volume.node(place).unwrap().entry.first_cluster(kind)
            });
            volume.sync().unwrap();
            let bytes = disk.bytes();
            let mut cache = cache(&disk);
            for (first, size) in firsts.into_iter().zip(lens) {
                let wanted = told(&bytes, &geometry, first);
                let len = wanted.last().map_or(0, |run| run.file + run.len);
                prop_assert_eq!(len, size);
                let mut chain = Chain::new(first);
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

    #[test]
    fn what_is_known_needs_no_table() {
        let (geometry, bytes) = with_file(FatKind::Fat16, 40);
        let disk = Disk::new(bytes, 512);
        let mut chain = Chain::new(2);
        let reached = chain.reach(0, 20 * 512, &geometry, &mut cache(&disk));
        assert_eq!((reached, chain.len()), (Ok(Reached::All), 20 * 512));
        // A later part starts at the last stored run.
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
        // The location of earlier bytes isn't known.
        let failed = chain.reach(3 * 512 - 1, 20 * 512, &geometry, &mut cache(&disk));
        assert_eq!(failed, Err(BlockError::Io));
        disk.state().gone = false;
        let reached = chain.reach(0, 20 * 512, &geometry, &mut cache(&disk));
        assert_eq!((reached, chain.runs()), (Ok(Reached::All), &[known][..]));
    }

    #[test]
    fn a_chain_that_is_odd_ends() {
        let (geometry, bytes) = with_file(FatKind::Fat16, 40);
        let max = geometry.max as u16;
        // Links to its start, to itself, to an invalid cluster, and beyond the volume.
        for (cluster, value) in [(20, 2), (20, 10), (20, 20), (20, 0), (20, max + 1), (2, 2)] {
            let mut bytes = bytes.clone();
            let at = geometry.table as usize + cluster * 2;
            bytes[at..at + 2].copy_from_slice(&u16::to_le_bytes(value));
            let disk = Disk::new(bytes, 512);
            let mut cache = cache(&disk);
            let mut chain = Chain::new(2);
            let reached = chain.reach(0, 1 << 30, &geometry, &mut cache);
            assert_eq!(reached, Ok(Reached::Odd), "{cluster} leads to {value}");
            assert!(chain.runs().len() < 10);
        }
    }
}

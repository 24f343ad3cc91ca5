//! Writes of files: clusters first, then contents, then the entry.

use alloc::vec::Vec;
use core::ops::Range;

use super::cluster_chains::{Chain, Reached};
use super::fat_volume::{Change, FatVolume, Result};
use super::slots::{ATTR_ARCHIVE, ShortEntry};
use super::times;
use crate::{Clock, Error, FileId};

/// Maximum file size: the disk stores 32 bits.
pub(super) const MAX_FILE: u64 = u32::MAX as u64;

/// Bytes per step of a write; changes may be committed between steps.
const STEP: usize = 1 << 20;

/// Bytes per step of growing a file, which writes zeros.
const ZEROS: usize = 64 << 10;

/// Clusters that a step allocated: the last one before them (0 for none), and their location.
#[derive(Default)]
struct Growth {
    before: u32,
    spans: Vec<Range<u32>>,
}

impl FatVolume {
    /// Writes `buf`, or as much of it as the file and the volume can hold.
    pub(super) fn write_file(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        let size = self.size_of(file)?;
        if offset > size {
            self.extend(file, offset)?;
        }
        let room = usize::try_from(MAX_FILE - offset).unwrap_or(usize::MAX);
        let mut done = 0;
        for step in buf.get(..room).unwrap_or(buf).chunks(STEP) {
            match self.write_step(file, offset + done as u64, step) {
                Ok(count) if count < step.len() => return Ok(done + count),
                Ok(count) => done += count,
                Err(Error::NoSpace) if done > 0 => break,
                Err(error) => {
                    if offset > size {
                        // Without the data after it, the gap would be useless.
                        let place = self.handles.get(file)?.place;
                        let _ = self.cut(place, size);
                    }
                    return Err(error);
                }
            }
        }
        Ok(done)
    }

    /// Changes the size of a file, completely or not at all.
    pub(super) fn resize(&mut self, file: FileId, size: u64) -> Result<()> {
        if size > MAX_FILE {
            return Err(Error::TooLarge);
        }
        if size < self.size_of(file)? {
            let place = self.handles.get(file)?.place;
            return self.cut(place, size);
        }
        self.extend(file, size)
    }

    /// Extends a file with zeros, completely or not at all.
    fn extend(&mut self, file: FileId, size: u64) -> Result<()> {
        let old = self.size_of(file)?;
        let mut zeros = Vec::new();
        let len = (size - old).min(ZEROS as u64) as usize;
        zeros
            .try_reserve_exact(len)
            .map_err(|_| Error::OutOfMemory)?;
        zeros.resize(len, 0);
        let mut reached = old;
        while reached < size {
            // All writes but the first begin at a sector.
            let most = (size - reached).min(ZEROS as u64 - reached % ZEROS as u64) as usize;
            let step = zeros.get(..most).unwrap_or(&zeros);
            match self.write_step(file, reached, step) {
                Ok(count) if count == step.len() => reached += count as u64,
                failed => {
                    let place = self.handles.get(file)?.place;
                    if failed.is_ok() || reached > old {
                        let _ = self.cut(place, old);
                    }
                    return Err(failed.err().unwrap_or(Error::NoSpace));
                }
            }
        }
        Ok(())
    }

    /// Writes `buf` within a file or at its end, or as much of it as the volume has room for. A
    /// step that fails allocates no clusters, and leaves the size unchanged.
    fn write_step(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        self.begin(Change::Taking)?;
        let written = self.write_whole(file, offset, buf);
        let written = self.done(written, "writing a file: its chain of clusters is broken");
        self.end();
        match written {
            Ok(0) => Err(Error::NoSpace),
            written => written,
        }
    }

    fn write_whole(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        self.bound_chains(file, offset + buf.len() as u64)?;
        let handle = self.handles.get_mut(file)?;
        let (place, known) = (handle.place, handle.chain.take());
        let mut node = self.node(place)?;
        let kind = self.clusters.geometry.kind;
        let mut chain = known.unwrap_or_else(|| Chain::new(node.entry.first_cluster(kind)));
        let mut growth = Growth::default();
        let size = node.entry.size();
        let written = self.fill(&mut chain, &mut growth, size.into(), offset, buf);
        let stored = written.and_then(|count| {
            if count > 0 {
                node.entry
                    .set_size(size.max((offset + count as u64) as u32));
                if let (0, Some(span)) = (growth.before, growth.spans.first()) {
                    node.entry.set_first_cluster(kind, span.start);
                }
                self.touch(&mut node.entry);
                self.put_entry(&node)?;
            }
            Ok(count)
        });
        match stored {
            Ok(0) => {}
            Ok(_) => {
                self.note_size(place, Some(node.entry.size().into()));
                self.handles.get_mut(file)?.chain = Some(chain);
            }
            Err(_) if growth.spans.is_empty() => {}
            Err(_) => {
                let Growth { before, spans } = &growth;
                self.clusters.give_back(*before, spans, &mut self.cache);
            }
        }
        stored
    }

    /// Writes contents, after the allocation of the necessary clusters. Returns the number of bytes
    /// written.
    fn fill(
        &mut self,
        chain: &mut Chain,
        growth: &mut Growth,
        size: u64,
        offset: u64,
        buf: &[u8],
    ) -> Result<usize> {
        let geometry = self.clusters.geometry;
        let end = offset + buf.len() as u64;
        let is_aligned = geometry.has_whole_sectors(self.cache.sector_size());
        let mut at = offset;
        while at < end {
            match chain.reach(at, end, &geometry, &mut self.cache)? {
                Reached::Odd => return Err(Error::Corrupt),
                // A chain that is shorter than the file is corrupt.
                Reached::End if chain.len() < size => return Err(Error::Corrupt),
                Reached::End if growth.spans.is_empty() => {
                    let wanted = (end - chain.len()).div_ceil(geometry.unit.into());
                    growth.before = chain.last();
                    let taken = self
                        .clusters
                        .take(growth.before, wanted as u32, &mut self.cache);
                    growth.spans = taken?;
                    if let (0, Some(span)) = (growth.before, growth.spans.first()) {
                        *chain = Chain::new(span.start);
                    }
                    if !growth.spans.is_empty() {
                        continue;
                    }
                }
                _ => {}
            }
            let known = chain.len().min(end);
            if known <= at {
                break;
            }
            let piece = buf.get((at - offset) as usize..(known - offset) as usize);
            let piece = piece.unwrap_or_default();
            // Contents beyond the end of the file needn't be preserved.
            let pad = is_aligned && known >= size;
            self.cache.write_runs(chain.runs(), at, piece, pad)?;
            at = known;
        }
        Ok((at - offset) as usize)
    }

    /// Truncates a file, completely or not at all.
    pub(super) fn cut(&mut self, place: u64, size: u64) -> Result<()> {
        self.begin(Change::Giving)?;
        let cut = self.cut_whole(place, size);
        let cut = self.done(cut, "cutting a file: its chain of clusters is broken");
        self.note_size(place, None);
        self.end();
        cut
    }

    fn cut_whole(&mut self, place: u64, size: u64) -> Result<()> {
        let mut node = self.node(place)?;
        let old = node;
        let kind = self.clusters.geometry.kind;
        let first = node.entry.first_cluster(kind);
        if size == 0 {
            node.entry.set_first_cluster(kind, 0);
        }
        node.entry.set_size(size as u32);
        self.touch(&mut node.entry);
        self.put_entry(&node)?;
        let keep = size.next_multiple_of(self.clusters.geometry.unit.into());
        let cut = self.clusters.cut(first, keep, &mut self.cache);
        if cut.is_err() {
            let _ = self.put_entry(&old);
        }
        cut
    }

    /// Sets the time of the last write.
    fn touch(&self, entry: &mut ShortEntry) {
        let (date, time, _) = times::encode(Clock::time(self.clock));
        entry.set_modified(date, time);
        entry.set_accessed(date);
        entry.set_attributes(entry.attributes() | ATTR_ARCHIVE);
    }
}

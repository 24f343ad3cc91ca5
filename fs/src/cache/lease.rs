//! Leases of the cache: contents of files that are read in place.

use alloc::vec::Vec;

use super::page_cache::parts;
use super::{Cache, Run};
use crate::piece::CHUNK;
use crate::{BlockError, Error, Lease};

impl Cache {
    /// Lends `len` bytes from byte `at` of the device on, chunk by chunk, and reads missing ones.
    /// `false` if the cache has no room for the next chunk.
    fn lend(&mut self, at: u64, len: usize, out: &mut Vec<Lease>) -> Result<bool, BlockError> {
        for (index, from, count) in parts(at, len) {
            let range = from..from + count;
            let mut lent = self.pages.lend(index, range.clone());
            if lent.is_some() {
                self.count(true);
            } else if self.is_unresponsive() {
                return Err(BlockError::Io);
            } else if self.fill(index)? {
                lent = self.pages.lend(index, range);
            }
            let Some(lent) = lent else {
                return Ok(false);
            };
            out.push(lent);
        }
        Ok(true)
    }

    /// Reads a whole chunk of the device into the cache; `false` if there is no room for it.
    fn fill(&mut self, index: u64) -> Result<bool, BlockError> {
        let per_piece = (CHUNK / self.sector) as u64;
        let first = index * per_piece;
        let count = per_piece.min(self.sectors.saturating_sub(first));
        let bytes = count as usize * self.sector;
        // Taken out of the cache meanwhile, because the read needs the rest of it.
        let mut chunks = core::mem::take(&mut self.pages);
        let filled = chunks.fill(index, |memory| {
            let memory = memory.get_mut(..bytes).ok_or(BlockError::OutOfRange)?;
            self.read_stream(first, memory)?;
            self.gather.overlay(first, memory, self.sector);
            self.overlay_lines(first, count, memory);
            Ok(bytes)
        });
        self.pages = chunks;
        filled.map_or(Ok(false), |filled| filled.map(|()| true))
    }

    /// Lends `len` bytes from byte `offset` on of the file of `size` bytes that is in `runs`, as
    /// [`read_runs`](Self::read_runs) reads them. Lends fewer if the cache has no room for more, as
    /// for a file that is too large for the cache.
    pub fn lend_runs(
        &mut self,
        runs: &[Run],
        size: u64,
        (offset, len): (u64, usize),
        out: &mut Vec<Lease>,
    ) -> Result<(), Error> {
        if !self.pages.has_room_for(size) {
            return Ok(());
        }
        let (mut at, mut left) = (offset, len);
        let first = runs.partition_point(|run| run.file + run.len <= offset);
        for run in runs.get(first..).unwrap_or_default() {
            let gap = run.file.saturating_sub(at).min(left as u64) as usize;
            zeros(gap, out)?;
            at += gap as u64;
            left -= gap;
            let inside = at.saturating_sub(run.file);
            let count = run.len.saturating_sub(inside).min(left as u64) as usize;
            if count > 0 && !self.lend(run.disk + inside, count, out)? {
                return Ok(());
            }
            at += count as u64;
            left -= count;
            if left == 0 {
                break;
            }
        }
        zeros(left, out)
    }
}

/// Appends `len` zeros, for the holes between the runs.
fn zeros(len: usize, out: &mut Vec<Lease>) -> Result<(), Error> {
    let mut left = len;
    while left > 0 {
        let lent = Lease::copied(left, |bytes| Ok(bytes.len()))?;
        left -= lent.len();
        out.push(lent);
    }
    Ok(())
}

//! Access past the cache, for the metadata of a file system with a journal, which caches its own
//! blocks. Writes are collected in one buffer, adjacent ones as one request, and go to the device
//! with the contents of files, as one batch.

use alloc::vec::Vec;

use super::buffer_cache::runs;
use super::{Cache, FETCH};
use crate::buffer::Buffer;
use crate::buffer::LINE;
use crate::{Block, BlockError};

/// Maximum number of bytes to collect before a write.
const GATHERED: usize = 256 << 10;

/// Collected writes.
#[derive(Default)]
pub(super) struct Raw {
    buffer: Buffer,
    used: usize,
    /// First sector, offset in the buffer, and length.
    writes: Vec<(u64, usize, usize)>,
}

impl Raw {
    /// Adds a write at sector `first`, if there is room.
    fn add(&mut self, sector: usize, first: u64, data: &[u8]) -> bool {
        let (from, to) = (self.used, self.used + data.len());
        if to > GATHERED || !self.buffer.grow(GATHERED) {
            return false;
        }
        let Some(place) = self.buffer.get_mut(from..to) else {
            return false;
        };
        place.copy_from_slice(data);
        self.used = to;
        match self.writes.last_mut() {
            Some((before, start, end))
                if *end == from && *before + ((*end - *start) / sector) as u64 == first =>
            {
                *end = to;
            }
            _ => self.writes.push((first, from, to)),
        }
        true
    }

    fn clear(&mut self) {
        self.used = 0;
        self.writes.clear();
    }
}

impl Cache {
    /// The device itself, for reads while no writes are pending.
    pub fn device(&mut self) -> &mut dyn Block {
        &mut *self.device
    }

    /// Sectors on the device.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Reads sectors from `first` on from the device itself.
    pub fn read_raw(&mut self, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.check(first, buf.len())?;
        let is_large = buf.len() > FETCH * LINE && self.raw.used == 0;
        let (buffer, most) = if is_large && self.raw.buffer.try_grow_optional(GATHERED) {
            (&mut self.raw.buffer, GATHERED)
        } else {
            (&mut self.fetch, FETCH * LINE)
        };
        if self.device.is_unresponsive() || !buffer.grow(most) {
            return Err(BlockError::Io);
        }
        let mut at = first;
        for piece in buf.chunks_mut(most) {
            let fetched = buffer.get_mut(..piece.len());
            let fetched = fetched.ok_or(BlockError::OutOfRange)?;
            self.device.read(at, fetched)?;
            piece.copy_from_slice(fetched);
            at += (piece.len() / self.sector) as u64;
        }
        Ok(())
    }

    /// Queues a write of sectors from `first` on for the next [`commit_raw`](Self::commit_raw), or
    /// earlier.
    pub fn put_raw(&mut self, first: u64, data: &[u8]) -> Result<(), BlockError> {
        self.check(first, data.len())?;
        if self.frozen || self.device.read_only() {
            return Err(BlockError::ReadOnly);
        }
        if self.raw.add(self.sector, first, data) {
            return Ok(());
        }
        self.write_raw()?;
        if self.raw.add(self.sector, first, data) {
            return Ok(());
        }
        // There is no memory to collect it.
        self.unflushed = true;
        self.device.write(first, data)
    }

    /// Drops pending contents of sectors that only [`put_raw`](Self::put_raw) writes from now on:
    /// one batch has no order among its writes.
    pub fn forget(&mut self, first: u64, count: u64) -> Result<(), BlockError> {
        if self.gather.overlaps(first, count, self.sector) {
            self.flush_gather()?;
        }
        self.forget_lines(first, count);
        self.report_dirty();
        Ok(())
    }

    /// Makes the next flush reach the device, even if nothing was written.
    pub fn expect_flush(&mut self) {
        self.unflushed = true;
    }

    /// Writes the collected data.
    fn write_raw(&mut self) -> Result<(), BlockError> {
        let mut batch: Vec<(u64, &[u8])> = Vec::new();
        for (first, from, to) in &self.raw.writes {
            let data = self.raw.buffer.get(*from..*to);
            batch.push((*first, data.ok_or(BlockError::OutOfRange)?));
        }
        self.unflushed = true;
        let written = self.device.write_batch(&batch);
        self.raw.clear();
        written
    }

    /// Writes the collected data and the pending contents of files, as one batch.
    pub fn commit_raw(&mut self) -> Result<(), BlockError> {
        let mut pieces: Vec<(u64, &[u8])> = Vec::new();
        let mut lines: Vec<(u64, u8)> = Vec::new();
        for line in self.buffers.dirty_lines() {
            for (from, count) in runs(line.dirty) {
                let bytes = from * self.sector..(from + count) * self.sector;
                let data = line.data.get(bytes).ok_or(BlockError::Io)?;
                pieces.push((line.index * self.per_line + from as u64, data));
            }
            lines.push((line.index, line.dirty));
        }
        let mut batch: Vec<(u64, &[u8])> = Vec::new();
        let sector = self.sector;
        let neighbours =
            |a: &(u64, &[u8]), b: &(u64, &[u8])| a.0 + (a.1.len() / sector) as u64 == b.0;
        for run in pieces.chunk_by(neighbours) {
            for (first, data) in run {
                // A copy costs less than a request, where there is room.
                if run.len() == 1 || !self.raw.add(sector, *first, data) {
                    batch.push((*first, data));
                }
            }
        }
        if !self.gather.is_empty() {
            batch.push((self.gather.first, self.gather.data()));
        }
        for (first, from, to) in &self.raw.writes {
            let data = self.raw.buffer.get(*from..*to);
            batch.push((*first, data.ok_or(BlockError::OutOfRange)?));
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.unflushed = true;
        let written = self.device.write_batch(&batch);
        self.raw.clear();
        if written.is_ok() {
            self.gather.clear();
            for (index, dirty) in lines {
                self.buffers.clean(index, dirty);
            }
        } else {
            self.ahead.clear();
        }
        self.report_dirty();
        written
    }
}

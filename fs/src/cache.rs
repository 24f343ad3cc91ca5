//! The layer between a file system and its device: a small write-back cache, read-ahead, and
//! commits that leave the device consistent.
//!
//! A file system writes tables and directories in steps between which they are inconsistent. Here
//! those writes, and small writes of file contents, stay in memory until [`Cache::commit`], which
//! the file system calls between operations: contents first, then tables and directories as one
//! batch of requests. The device is inconsistent only while that batch is in progress.
//!
//! Large transfers go straight between the caller's buffer and the device; sequential ones that
//! aren't large are read ahead and gathered. All views agree: a read sees every write before it.

mod buffer_cache;
mod index;
mod lease;
mod page_cache;
mod raw;
mod runs;
mod sequential;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;

use buffer_cache::{BufferCache, mask, runs};
use page_cache::PageCache;
pub(crate) use runs::Run;
use sequential::{Gather, ReadAhead};

use crate::budget::{CacheBudget, CacheCounters};
use crate::buffer::{Buffer, LINE};
use crate::{Block, BlockError, VolumeOptions};

/// Lines fetched by one request when tables or directories are read in order.
const FETCH: usize = 8;

/// Order in which a commit writes changed sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Tables, then directories: right after clusters were allocated, so that no entry ever points
    /// to free clusters.
    TablesFirst,
    /// Directories, then tables: right after clusters were freed.
    DirectoriesFirst,
}

/// Layout of a file system, as sector numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// End of the area of tables; directories may be anywhere else.
    pub tables_end: u64,
    /// The file system has a journal: the order of writes matters only around its flushes, and the
    /// other field has no meaning.
    pub journaled: bool,
}

/// Write-back cache of one volume; see the module documentation. Checks all sector numbers and
/// lengths against the device.
pub(crate) struct Cache {
    device: Box<dyn Block + Send>,
    sector: usize,
    sectors: u64,
    per_line: u64,
    buffers: BufferCache,
    ahead: ReadAhead,
    gather: Gather,
    fetch: Buffer,
    raw: raw::Raw,
    last_fetched: u64,
    pages: PageCache,
    /// The file being read is worth keeping in the page cache.
    keep: bool,
    /// Counters of this volume and of all volumes.
    counters: [Option<&'static CacheCounters>; 2],
    /// Dirty bytes that were last reported to the counters.
    counted_dirty: usize,
    layout: Layout,
    /// Writes were made since the last flush.
    unflushed: bool,
    /// Writes are disabled: the file system was found corrupt.
    frozen: bool,
}

impl Cache {
    /// Creates a cache of `cache_bytes` (at least 64 KiB) with two buffers of `stream_bytes`, for
    /// reading ahead and for gathering, as `options` say. The device's sector size must be a power
    /// of two from 512 to 4096.
    pub fn new(device: Box<dyn Block + Send>, options: &VolumeOptions) -> Self {
        let sector = device.sector_size();
        let sectors = device.sectors();
        let stream_bytes = options.stream_bytes / LINE * LINE;
        Self {
            device,
            sector,
            sectors,
            per_line: (LINE / sector) as u64,
            buffers: BufferCache::new(options.cache_bytes / LINE),
            ahead: ReadAhead::new(stream_bytes, sector),
            gather: Gather::new(stream_bytes),
            pages: PageCache::new(options.budget),
            keep: false,
            counters: [options.counters, options.budget.map(CacheBudget::counters)],
            counted_dirty: 0,
            fetch: Buffer::default(),
            raw: raw::Raw::default(),
            last_fetched: u64::MAX - 1,
            layout: Layout::default(),
            unflushed: false,
            frozen: false,
        }
    }

    /// Bytes in a sector.
    pub fn sector_size(&self) -> usize {
        self.sector
    }

    /// Sets the layout, once a file system has recognised its own.
    pub fn set_layout(&mut self, layout: Layout) {
        self.layout = layout;
    }

    /// Whether [`commit`](Self::commit) would write anything.
    pub fn is_dirty(&self) -> bool {
        self.buffers.dirty() > 0 || !self.gather.is_empty()
    }

    /// Reserves the memory for an operation that changes the file system. `false` when memory is
    /// exhausted; the operation must not begin, because it couldn't keep its changes until they are
    /// consistent.
    pub fn prepare(&mut self) -> bool {
        self.buffers.prepare() && self.fetch.grow(FETCH * LINE)
    }

    /// Whether a commit is due, before changes have to be written one by one. While memory is
    /// short, that is as soon as half of the existing lines have changed.
    pub fn is_filling(&self) -> bool {
        self.buffers.dirty() * 2 >= self.buffers.limit()
    }

    /// Drops every change that isn't on the device and rejects further ones.
    pub fn freeze(&mut self) {
        self.frozen = true;
        self.buffers.discard();
        self.gather.clear();
        self.ahead.clear();
        self.pages.clear();
        self.report_dirty();
    }

    /// Treats reads as those of a file of `len` bytes, which is kept unless it is too large.
    pub fn begin_reading(&mut self, len: u64) {
        self.keep = self.pages.has_room_for(len);
    }

    /// Ends [`begin_reading`](Self::begin_reading).
    pub fn end_reading(&mut self) {
        self.keep = false;
    }

    fn counters(&self) -> impl Iterator<Item = &'static CacheCounters> + use<> {
        self.counters.into_iter().flatten()
    }

    fn report_dirty(&mut self) {
        let dirty = self.buffers.dirty() * LINE + self.gather.data().len();
        for counters in self.counters() {
            counters.set_dirty(self.counted_dirty, dirty);
        }
        self.counted_dirty = dirty;
    }

    /// Whether the cache only serves from memory; see [`Block::is_unresponsive`].
    pub fn is_unresponsive(&self) -> bool {
        self.device.is_unresponsive()
    }

    /// Counts a read. While the device is unresponsive the caller counts the read itself, once it
    /// was served.
    fn count(&self, hit: bool) {
        if self.is_unresponsive() {
            return;
        }
        for counters in self.counters() {
            counters.count(hit);
        }
    }

    fn check(&self, first: u64, bytes: usize) -> Result<u64, BlockError> {
        let count = (bytes / self.sector) as u64;
        let whole = bytes.is_multiple_of(self.sector);
        match first.checked_add(count) {
            Some(end) if whole && end <= self.sectors => Ok(count),
            _ => Err(BlockError::OutOfRange),
        }
    }

    /// Reads sectors from `first` on.
    pub fn read(&mut self, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let count = self.check(first, buf.len())?;
        let at = first * self.sector as u64;
        if self.pages.serve(at, buf) {
            self.count(true);
            return Ok(());
        }
        if buf.len() <= LINE {
            return self.read_lines(first, buf);
        }
        if self.is_unresponsive() {
            return Err(BlockError::Io);
        }
        self.read_stream(first, buf)?;
        self.gather.overlay(first, buf, self.sector);
        self.overlay_lines(first, count, buf);
        if self.keep {
            self.pages.keep(at, buf);
        }
        Ok(())
    }

    fn read_lines(&mut self, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        for (index, from, piece) in pieces(first, self.per_line, buf.chunks_exact_mut(self.sector))
        {
            self.load(index, mask(from, 1))?;
            let at = from * self.sector;
            let line = self.buffers.find(index).ok_or(BlockError::Io)?;
            piece.copy_from_slice(line.data.get(at..at + self.sector).ok_or(BlockError::Io)?);
        }
        Ok(())
    }

    /// Loads the `wanted` sectors of a line into memory.
    fn load(&mut self, index: u64, wanted: u8) -> Result<(), BlockError> {
        let away = self.is_unresponsive();
        match self.buffers.touch(index) {
            Some(line) if line.valid & wanted == wanted => {
                self.count(true);
                return Ok(());
            }
            _ if away => return Err(BlockError::Io),
            _ => self.count(false),
        }
        // Not when few lines can be replaced: the last lines would evict the first.
        let spare = self.buffers.limit() - self.buffers.dirty().min(self.buffers.limit());
        let in_order = index == self.last_fetched + 1 && spare > 2 * FETCH;
        let end = self.sectors.div_ceil(self.per_line);
        let mut count = 1;
        while in_order && count < FETCH && index + (count as u64) < end {
            if self.buffers.find(index + count as u64).is_some() {
                break;
            }
            count += 1;
        }
        let first = index * self.per_line;
        let sectors = (count as u64 * self.per_line).min(self.sectors - first);
        if !self.fetch.grow(FETCH * LINE) {
            return Err(BlockError::Io);
        }
        let bytes = sectors as usize * self.sector;
        let fetched = self.fetch.get_mut(..bytes).ok_or(BlockError::OutOfRange)?;
        self.device.read(first, fetched)?;
        self.gather.overlay(first, fetched, self.sector);
        self.last_fetched = index + count as u64 - 1;
        for line in 0..count as u64 {
            self.take_fetched(index + line, line as usize * LINE, bytes)?;
        }
        Ok(())
    }

    /// Moves one line from the fetch buffer to the cache, except sectors that are newer in the
    /// cache.
    fn take_fetched(&mut self, index: u64, at: usize, end: usize) -> Result<(), BlockError> {
        self.room_for(index)?;
        let sector = self.sector;
        let Some(line) = self.buffers.touch(index) else {
            return Err(BlockError::Io);
        };
        let count = (end - at).min(LINE) / sector;
        for (from, run) in runs(mask(0, count) & !line.valid) {
            let (from, bytes) = (from * sector, run * sector);
            if let (Some(place), Some(new)) = (
                line.data.get_mut(from..from + bytes),
                self.fetch.get(at + from..at + from + bytes),
            ) {
                place.copy_from_slice(new);
            }
        }
        line.valid |= mask(0, count);
        Ok(())
    }

    /// Ensures that a line for `index` exists; writes the oldest changes to make room.
    fn room_for(&mut self, index: u64) -> Result<(), BlockError> {
        while self.buffers.find(index).is_none() && !self.buffers.insert(index) {
            let oldest = self.buffers.oldest_dirty().ok_or(BlockError::Io)?;
            self.write_line(oldest)?;
        }
        Ok(())
    }

    /// Writes the changes of one line out of turn.
    fn write_line(&mut self, index: u64) -> Result<(), BlockError> {
        log::debug!("file system cache full: changes written before their commit");
        let Some(line) = self.buffers.find(index) else {
            return Ok(());
        };
        for (from, count) in runs(line.dirty) {
            let bytes = from * self.sector..(from + count) * self.sector;
            let data = line.data.get(bytes).ok_or(BlockError::Io)?;
            self.device
                .write(index * self.per_line + from as u64, data)?;
        }
        self.unflushed = true;
        self.buffers.clean(index, u8::MAX);
        Ok(())
    }

    fn read_stream(&mut self, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let (mut first, mut rest) = (first, buf);
        let served = self.ahead.serve(first, rest, self.sector);
        first += served;
        rest = rest.split_at_mut(served as usize * self.sector).1;
        self.count(rest.is_empty());
        if rest.is_empty() {
            return Ok(());
        }
        let count = (rest.len() / self.sector) as u64;
        if let Some(window) = self.ahead.plan(first, count) {
            let window = window.min(self.sectors - first);
            if window > count
                && let Some(mut buffer) = self.ahead.take(window as usize * self.sector)
            {
                let bytes = window as usize * self.sector;
                let ahead = buffer.get_mut(..bytes).ok_or(BlockError::Io)?;
                self.device.read(first, ahead)?;
                // Changes that are newer in memory reach the device without passing through this
                // buffer.
                self.gather.overlay(first, ahead, self.sector);
                self.overlay_lines(first, window, ahead);
                self.ahead.fill(buffer, first, window);
                for counters in self.counters() {
                    counters.count_ahead((window - count) * self.sector as u64);
                }
                self.ahead.serve(first, rest, self.sector);
                return Ok(());
            }
        }
        self.device.read(first, rest)
    }

    /// Copies the cached contents of the sectors from `first` on over `buf`.
    fn overlay_lines(&self, first: u64, count: u64, buf: &mut [u8]) {
        let (per_line, sector) = (self.per_line, self.sector);
        for line in self
            .buffers
            .range(first / per_line, (first + count).div_ceil(per_line))
        {
            for (from, run) in runs(line.dirty) {
                for at in from..from + run {
                    let place = line.index * per_line + at as u64;
                    let Some(offset) = place.checked_sub(first) else {
                        continue;
                    };
                    let offset = offset as usize * sector;
                    if let (Some(out), Some(new)) = (
                        buf.get_mut(offset..offset + sector),
                        line.data.get(at * sector..(at + 1) * sector),
                    ) {
                        out.copy_from_slice(new);
                    }
                }
            }
        }
    }

    /// Writes tables or directories to the sectors from `first` on; with a journal, contents.
    pub fn write(&mut self, first: u64, data: &[u8]) -> Result<(), BlockError> {
        self.write_as(first, data, self.layout.journaled)
    }

    /// Writes sectors from `first` on: to memory, or large contents of a file to the device.
    fn write_as(&mut self, first: u64, data: &[u8], contents: bool) -> Result<(), BlockError> {
        let count = self.check(first, data.len())?;
        if self.frozen || self.device.read_only() {
            return Err(BlockError::ReadOnly);
        }
        self.pages.written(first * self.sector as u64, data);
        let written = if contents && data.len() > LINE {
            self.write_stream(first, count, data)
        } else {
            self.write_lines(first, count, data, !contents)
        };
        if written.is_err() {
            self.pages.clear();
        }
        self.report_dirty();
        written
    }

    fn write_lines(
        &mut self,
        first: u64,
        count: u64,
        data: &[u8],
        metadata: bool,
    ) -> Result<(), BlockError> {
        if self.gather.overlaps(first, count, self.sector) {
            self.flush_gather()?;
        }
        self.ahead.written(first, data, self.sector);
        let mut rest = data;
        let mut at = first;
        while !rest.is_empty() {
            let (index, from) = (at / self.per_line, (at % self.per_line) as usize);
            let sectors = (self.per_line as usize - from).min(rest.len() / self.sector);
            let (piece, after) = rest.split_at(sectors * self.sector);
            self.room_for(index)?;
            self.buffers.put(
                index,
                from * self.sector,
                piece,
                mask(from, sectors),
                metadata,
            );
            rest = after;
            at += sectors as u64;
        }
        Ok(())
    }

    /// Drops the cached contents of the sectors from `first` on.
    fn forget_lines(&mut self, first: u64, count: u64) {
        let lines = first / self.per_line..(first + count).div_ceil(self.per_line);
        let found: Vec<u64> = self
            .buffers
            .range(lines.start, lines.end)
            .map(|line| line.index)
            .collect();
        for index in found {
            let start = index * self.per_line;
            let from = first.saturating_sub(start).min(self.per_line);
            let end = (first + count - start).min(self.per_line);
            self.buffers
                .forget(index, mask(from as usize, (end - from) as usize));
        }
    }

    fn write_stream(&mut self, first: u64, count: u64, data: &[u8]) -> Result<(), BlockError> {
        self.ahead.written(first, data, self.sector);
        // The cached sectors are stale from here on, even if the write fails.
        self.forget_lines(first, count);
        if self.gather.overlaps(first, count, self.sector) {
            self.flush_gather()?;
        }
        if !self.gather.add(first, data, self.sector) {
            self.flush_gather()?;
            if !self.gather.add(first, data, self.sector) {
                return self.write_device(first, data);
            }
        }
        if self.gather.is_full() {
            self.flush_gather()
        } else {
            Ok(())
        }
    }

    fn write_device(&mut self, first: u64, data: &[u8]) -> Result<(), BlockError> {
        self.unflushed = true;
        let result = self.device.write(first, data);
        if result.is_err() {
            self.ahead.clear();
        }
        result
    }

    fn flush_gather(&mut self) -> Result<(), BlockError> {
        if self.gather.is_empty() {
            return Ok(());
        }
        self.unflushed = true;
        let result = self.device.write(self.gather.first, self.gather.data());
        // Kept when the write fails: a later commit retries.
        match result {
            Ok(()) => self.gather.clear(),
            Err(_) => self.ahead.clear(),
        }
        result
    }

    /// Writes every change to the device without making it durable. The file system calls this
    /// between operations, when its writes are consistent. After an error the unwritten changes are
    /// still cached, and another call retries.
    pub fn commit(&mut self, order: Order) -> Result<(), BlockError> {
        let committed = self.commit_all(order);
        self.report_dirty();
        committed
    }

    fn commit_all(&mut self, order: Order) -> Result<(), BlockError> {
        self.flush_gather()?;
        let contents: Vec<(u64, u8)> = self
            .buffers
            .dirty_lines()
            .map(|line| (line.index, line.dirty & !line.metadata))
            .filter(|(_, sectors)| *sectors != 0)
            .collect();
        self.write_sectors(&contents)?;
        let tables_end = self.layout.tables_end;
        let per_line = self.per_line;
        // Tables in order of sector, as the lines are; directories in order of change. The most
        // recent changes are mostly last already.
        let mut tables: Vec<(u64, u8)> = Vec::new();
        let mut directories: Vec<(u64, (u64, u8))> = Vec::new();
        for line in self.buffers.dirty_lines() {
            let sectors = (line.index, line.dirty);
            if line.index * per_line < tables_end {
                tables.push(sectors);
            } else {
                let place = directories.partition_point(|other| other.0 <= line.changed);
                directories.insert(place, (line.changed, sectors));
            }
        }
        let directories = directories.into_iter().map(|(_, sectors)| sectors);
        let metadata: Vec<_> = if order == Order::TablesFirst {
            tables.into_iter().chain(directories).collect()
        } else {
            directories.chain(tables).collect()
        };
        self.write_sectors(&metadata)
    }

    /// Writes sectors of lines, in this order, as one batch. Merges neighbours into one request as
    /// far as the fetch buffer has room: a copy costs less than a request.
    fn write_sectors(&mut self, sectors: &[(u64, u8)]) -> Result<(), BlockError> {
        let mut pieces: Vec<(u64, &[u8])> = Vec::new();
        for (index, dirty) in sectors {
            let line = self.buffers.find(*index).ok_or(BlockError::Io)?;
            for (from, count) in runs(*dirty) {
                let bytes = from * self.sector..(from + count) * self.sector;
                let data = line.data.get(bytes).ok_or(BlockError::Io)?;
                pieces.push((index * self.per_line + from as u64, data));
            }
        }
        if pieces.is_empty() {
            return Ok(());
        }
        if pieces.len() > 1 {
            self.fetch.grow(FETCH * LINE);
        }
        let mut room: &mut [u8] = &mut self.fetch;
        let mut batch: Vec<(u64, &[u8])> = Vec::new();
        let sector = self.sector;
        let neighbours =
            |a: &(u64, &[u8]), b: &(u64, &[u8])| a.0 + (a.1.len() / sector) as u64 == b.0;
        for run in pieces.chunk_by(neighbours) {
            let bytes: usize = run.iter().map(|(_, data)| data.len()).sum();
            match run {
                [(first, _), _, ..] if bytes <= room.len() => {
                    let (place, rest) = core::mem::take(&mut room).split_at_mut(bytes);
                    room = rest;
                    let mut left = &mut *place;
                    for (_, data) in run {
                        let (to, after) = left.split_at_mut(data.len());
                        to.copy_from_slice(data);
                        left = after;
                    }
                    batch.push((*first, place));
                }
                _ => batch.extend(run),
            }
        }
        self.unflushed = true;
        self.device.write_batch(&batch)?;
        for (index, dirty) in sectors {
            self.buffers.clean(*index, *dirty);
        }
        Ok(())
    }

    /// Makes committed changes durable.
    pub fn flush(&mut self) -> Result<(), BlockError> {
        if self.unflushed {
            if self.layout.journaled {
                self.device.flush()?;
            } else {
                self.device.flush_unordered()?;
            }
            self.unflushed = false;
        }
        Ok(())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        for counters in self.counters() {
            counters.set_dirty(self.counted_dirty, 0);
        }
    }
}

/// Location of each sector of a request: its line, its number in the line, and its bytes.
fn pieces<'a>(
    first: u64,
    per_line: u64,
    sectors: impl Iterator<Item = &'a mut [u8]>,
) -> impl Iterator<Item = (u64, usize, &'a mut [u8])> {
    sectors.enumerate().map(move |(n, bytes)| {
        let at = first + n as u64;
        (at / per_line, (at % per_line) as usize, bytes)
    })
}

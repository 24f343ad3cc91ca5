//! Disks for tests: in memory, with failures on request and a log of writes.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use spin::{Mutex, MutexGuard};

use crate::{Block, BlockError};

/// Request that a recorded disk received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Data written to the sectors from the first on.
    Write(u64, Vec<u8>),
    /// Writes that were submitted together.
    Batch(Vec<(u64, Vec<u8>)>),
    /// Flush that precedes the writes logged after it.
    Flush,
    /// Flush that later writes may have overtaken ([`Block::flush_unordered`]).
    FlushUnordered,
}

/// Contents and behaviour of a [`Disk`].
#[derive(Debug, Default)]
pub struct State {
    /// The contents.
    pub bytes: Vec<u8>,
    /// Bytes in a sector.
    pub sector: usize,
    /// Refuses writes.
    pub read_only: bool,
    /// Fails the n-th read from now on, once; 1 is the next read.
    pub fail_read: Option<u64>,
    /// As `fail_read`, for writes.
    pub fail_write: Option<u64>,
    /// As `fail_read`, for flushes.
    pub fail_flush: Option<u64>,
    /// Fails all requests from now on.
    pub gone: bool,
    /// A full host: fails with this error writes to blocks of 4 KiB in which all is zero.
    pub full: Option<BlockError>,
    /// Reports [`Block::is_unresponsive`], and fails all requests as if `gone` were set.
    pub away: bool,
    /// When set, records all writes and flushes.
    pub log: Option<Vec<Event>>,
    /// Reads, writes and flushes so far; a batch counts each of its writes.
    pub reads: u64,
    /// See `reads`.
    pub writes: u64,
    /// See `reads`.
    pub flushes: u64,
    /// Bytes read so far.
    pub bytes_read: u64,
    /// Bytes written so far.
    pub bytes_written: u64,
}

/// Bytes of a block that a sparse file has or hasn't.
const HOLE: usize = 4096;

/// Disk in memory. Clones share one disk, so that a test can keep access to it.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

/// Decrements the countdown to a failure; `true` when it ends.
fn fails(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(1) => {
            *countdown = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

impl Disk {
    /// Creates a disk that holds `bytes`; an incomplete last sector isn't accessible.
    pub fn new(bytes: Vec<u8>, sector: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            bytes,
            sector,
            ..State::default()
        })))
    }

    /// Creates a disk of `len` zeros with sectors of 512 bytes.
    pub fn zeroed(len: usize) -> Self {
        Self::new(vec![0; len], 512)
    }

    /// Contents and behaviour, to inspect or change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Copy of the contents.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }
}

impl State {
    fn write(&mut self, first: u64, buf: &[u8]) -> Result<(), BlockError> {
        self.writes += 1;
        if self.read_only {
            return Err(BlockError::ReadOnly);
        }
        if self.gone || self.away || fails(&mut self.fail_write) {
            return Err(BlockError::Io);
        }
        let range = self.range(first, buf.len())?;
        if let Some(error) = self.full {
            let blocks = range.start / HOLE..range.end.div_ceil(HOLE);
            let is_hole = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
            let mut all = self.bytes.chunks(HOLE).skip(blocks.start);
            if all.by_ref().take(blocks.len()).any(is_hole) {
                return Err(error);
            }
        }
        self.bytes_written += buf.len() as u64;
        self.bytes[range].copy_from_slice(buf);
        Ok(())
    }

    fn flush(&mut self, event: Event) -> Result<(), BlockError> {
        self.flushes += 1;
        if self.gone || self.away || fails(&mut self.fail_flush) {
            return Err(BlockError::Io);
        }
        if let Some(log) = &mut self.log {
            log.push(event);
        }
        Ok(())
    }

    fn range(&self, first: u64, len: usize) -> Result<core::ops::Range<usize>, BlockError> {
        let sectors = (self.bytes.len() / self.sector) as u64;
        let count = (len / self.sector) as u64;
        if !len.is_multiple_of(self.sector) || first.saturating_add(count) > sectors {
            return Err(BlockError::OutOfRange);
        }
        let from = first as usize * self.sector;
        Ok(from..from + len)
    }
}

impl Block for Disk {
    fn sector_size(&self) -> usize {
        self.state().sector
    }

    fn sectors(&self) -> u64 {
        let state = self.state();
        (state.bytes.len() / state.sector) as u64
    }

    fn read_only(&self) -> bool {
        self.state().read_only
    }

    fn is_unresponsive(&self) -> bool {
        self.state().away
    }

    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let state = &mut *self.state();
        state.reads += 1;
        if state.gone || state.away || fails(&mut state.fail_read) {
            return Err(BlockError::Io);
        }
        let range = state.range(first_sector, buf.len())?;
        state.bytes_read += buf.len() as u64;
        buf.copy_from_slice(&state.bytes[range]);
        Ok(())
    }

    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        let state = &mut *self.state();
        state.write(first_sector, buf)?;
        if let Some(log) = &mut state.log {
            log.push(Event::Write(first_sector, buf.to_vec()));
        }
        Ok(())
    }

    fn write_batch(&mut self, writes: &[(u64, &[u8])]) -> Result<(), BlockError> {
        let state = &mut *self.state();
        writes
            .iter()
            .try_for_each(|(first, data)| state.write(*first, data))?;
        if let Some(log) = &mut state.log {
            let batch = writes.iter().map(|(first, data)| (*first, data.to_vec()));
            log.push(Event::Batch(batch.collect()));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        self.state().flush(Event::Flush)
    }

    fn flush_unordered(&mut self) -> Result<(), BlockError> {
        self.state().flush(Event::FlushUnordered)
    }
}

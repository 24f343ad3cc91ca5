//! The cache as rsext4 sees it.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};
use spin::Mutex;

use super::amend::Amend;
use super::probe::Found;
use crate::BlockError;
use crate::cache::{Cache, Order};

/// Requests that one operation may make. The largest honest one (giving back a file that is in
/// pieces all over a large disk) makes some ten thousand; what makes more is a damaged volume that
/// leads in circles.
pub(super) const OPERATION_CALLS: u64 = 1 << 20;

/// Requests that mounting may make: it reads each block of the journal up to three times.
pub(super) const MOUNT_CALLS: u64 = 8 << 20;

/// The largest block.
const MAX_BLOCK: usize = 4096;

pub(super) type SharedCache = Arc<Mutex<Cache>>;

/// A block device on the cache that it shares with the volume it belongs to. Clones are the same
/// device: the volume keeps one, and rsext4 has one.
#[derive(Clone)]
pub(super) struct Device {
    pub cache: SharedCache,
    /// Bytes in a sector, and in a block of the file system.
    pub sector: usize,
    pub block: usize,
    sectors: u64,
    read_only: bool,
    counts: Arc<Counts>,
    amend: Arc<Mutex<Amend>>,
}

#[derive(Default)]
struct Counts {
    /// Requests that the operation under way may still make.
    calls: AtomicU64,
    /// Bytes written in single blocks since the file system was mounted: the journal, most of it.
    waiting: AtomicU64,
}

impl Device {
    pub fn new(
        cache: SharedCache,
        sector: usize,
        sectors: u64,
        read_only: bool,
        found: &mut Found,
    ) -> Self {
        Self {
            cache,
            sector,
            block: found.block as usize,
            sectors,
            read_only,
            amend: Arc::new(Mutex::new(Amend::new(core::mem::take(&mut found.places)))),
            counts: Arc::default(),
        }
    }

    /// Begins an operation that may make `count` requests.
    pub fn allow(&self, count: u64) {
        self.counts.calls.store(count, Ordering::Relaxed);
    }

    /// Whether the operation used up its requests.
    pub fn is_used_up(&self) -> bool {
        self.counts.calls.load(Ordering::Relaxed) == 0
    }

    /// At most how many bytes of journal have not been written to their places, since
    /// [`begin_waiting`](Self::begin_waiting).
    pub fn waiting(&self) -> u64 {
        self.counts.waiting.load(Ordering::Relaxed)
    }

    /// See [`waiting`](Self::waiting).
    pub fn begin_waiting(&self) {
        self.counts.waiting.store(0, Ordering::Relaxed);
        if let Some(mut amend) = self.amend.try_lock() {
            amend.begin();
        }
    }

    fn take_call(&self) -> Ext4Result<()> {
        match self.counts.calls.load(Ordering::Relaxed).checked_sub(1) {
            Some(left) => {
                self.counts.calls.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => Err(Ext4Error::corrupted().with_operation("operation without an end")),
        }
    }

    /// The volume and rsext4 take turns, so the lock is free unless an operation was given up half
    /// way; then everything that follows fails, rather than hang.
    fn with<T>(&self, f: impl FnOnce(&mut Cache) -> Result<T, BlockError>) -> Ext4Result<T> {
        self.take_call()?;
        let mut cache = self.cache.try_lock().ok_or_else(Ext4Error::io)?;
        f(&mut cache).map_err(|error| match error {
            BlockError::ReadOnly => Ext4Error::read_only(),
            BlockError::Io | BlockError::Unsupported => Ext4Error::io(),
            BlockError::OutOfRange => Ext4Error::corrupted().with_operation("outside the disk"),
        })
    }

    /// Tells where the journal is, as runs of blocks, so that what goes there is looked at, too.
    pub fn set_journal(&self, runs: Vec<(u64, u64)>) -> Ext4Result<()> {
        let mut superblock = vec![0; self.block];
        let Some((first, _)) = runs.first() else {
            return Ok(());
        };
        let sector = first.saturating_mul(self.block_sectors());
        self.with(|cache| cache.read(sector, &mut superblock))?;
        if let Some(mut amend) = self.amend.try_lock() {
            amend.set_journal(runs, &superblock);
        }
        Ok(())
    }

    /// Looks at what is written; see [`Amend`].
    fn note(&self, sector: u64, data: &[u8]) {
        let per_block = self.block_sectors();
        if sector.is_multiple_of(per_block)
            && data.len().is_multiple_of(self.block)
            && let Some(mut amend) = self.amend.try_lock()
        {
            amend.note(sector / per_block, data);
        }
    }

    fn block_sectors(&self) -> u64 {
        (self.block / self.sector) as u64
    }

    fn bytes(&self, count: u32) -> usize {
        count as usize * self.sector
    }
}

impl BlockIo for Device {
    fn write(&mut self, buffer: &[u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let data = buffer
            .get(..self.bytes(count))
            .ok_or_else(Ext4Error::invalid_input)?;
        if data.len() <= MAX_BLOCK {
            self.counts
                .waiting
                .fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        self.with(|cache| {
            cache.write(sector.raw(), data)?;
            self.note(sector.raw(), data);
            if cache.is_filling() {
                cache.commit(Order::TablesFirst)?;
            }
            Ok(())
        })
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let bytes = self.bytes(count);
        let place = buffer
            .get_mut(..bytes)
            .ok_or_else(Ext4Error::invalid_input)?;
        self.with(|cache| cache.read(sector.raw(), place))
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(self.sector as u32, self.sectors)
    }

    /// No "force unit access": a flush after the write does the same, and `Block` has it.
    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities {
            read_only: self.read_only,
            flush: true,
            ..DeviceCapabilities::default()
        }
    }

    /// The only point at which the order of writes counts: all that came before is on stable
    /// storage when it returns.
    fn flush(&mut self) -> Ext4Result<()> {
        self.with(|cache| {
            if let Some(mut amend) = self.amend.try_lock()
                && amend.is_due()
            {
                amend.settle(cache)?;
            }
            cache.commit(Order::TablesFirst)?;
            cache.flush()
        })
    }
}

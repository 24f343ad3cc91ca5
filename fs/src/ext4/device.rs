//! The cache as rsext4 sees it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};
use spin::Mutex;

use super::probe::{Bitmaps, Found};
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
    bitmaps: Arc<Bitmaps>,
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
            bitmaps: Arc::new(core::mem::take(&mut found.bitmaps)),
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
            BlockError::Io => Ext4Error::io(),
            BlockError::OutOfRange => Ext4Error::corrupted().with_operation("outside the disk"),
        })
    }

    /// Writes those of the inode bitmaps again that were written without their last bits.
    fn pad_bitmaps(&self, cache: &mut Cache, first: u64, data: &[u8]) -> Result<(), BlockError> {
        let block = self.block_sectors();
        let from = self.bitmaps.blocks.partition_point(|at| at * block < first);
        let end = first + (data.len() / self.sector) as u64;
        let rest = self.bitmaps.blocks.get(from..).unwrap_or_default();
        for at in rest
            .iter()
            .map(|at| at * block)
            .take_while(|at| at + block <= end)
        {
            let from = (at - first) as usize * self.sector;
            let written = data.get(from..from + self.block).unwrap_or_default();
            let mut padded = written.to_vec();
            self.bitmaps.pad(&mut padded);
            if padded != written {
                cache.write(at, &padded)?;
            }
        }
        Ok(())
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
            self.pad_bitmaps(cache, sector.raw(), data)?;
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
            cache.commit(Order::TablesFirst)?;
            cache.flush()
        })
    }
}

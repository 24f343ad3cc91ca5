//! The cache as a device of hadris-fat.

use alloc::sync::Arc;

use hadris_fs::{Error as HadrisError, ErrorKind};
use hadris_io::ErrorType;
use hadris_storage::sync::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};
use spin::Mutex;

use crate::BlockError;
use crate::cache::Cache;

pub(super) type SharedCache = Arc<Mutex<Cache>>;

/// Block device on the cache that it shares with its volume.
pub(super) struct Device {
    pub cache: SharedCache,
    pub block_size: BlockSize,
    pub blocks: u64,
    pub writable: bool,
}

impl ErrorType for Device {
    type Error = BlockError;
}

fn failed(error: BlockError) -> HadrisError<BlockError> {
    match error {
        BlockError::ReadOnly => HadrisError::new(ErrorKind::ReadOnly, "the device is read-only"),
        error => HadrisError::device(error, "the device failed"),
    }
}

impl Device {
    /// The volume and hadris-fat take turns, so the lock is free unless an operation was aborted
    /// half way; then all later operations fail instead of hanging.
    fn with<T>(
        &self,
        f: impl FnOnce(&mut Cache) -> Result<T, BlockError>,
    ) -> Result<T, HadrisError<BlockError>> {
        match self.cache.try_lock() {
            Some(mut cache) => f(&mut cache).map_err(failed),
            None => Err(failed(BlockError::Io)),
        }
    }
}

impl BlockDevice for Device {
    fn block_size(&self) -> BlockSize {
        self.block_size
    }

    fn block_count(&self) -> u64 {
        self.blocks
    }

    fn writable(&self) -> bool {
        self.writable
    }

    fn read_blocks(
        &mut self,
        first: BlockIndex,
        buf: &mut [u8],
    ) -> Result<(), HadrisError<BlockError>> {
        self.with(|cache| cache.read(first.get(), buf))
    }

    fn write_blocks(
        &mut self,
        first: BlockIndex,
        buf: &[u8],
    ) -> Result<(), HadrisError<BlockError>> {
        self.with(|cache| cache.write(first.get(), buf))
    }

    /// Does nothing: the volume commits and flushes after hadris-fat's operation, so the dirty mark
    /// that hadris-fat flushes on the way never reaches the device.
    fn flush(&mut self) -> Result<(), HadrisError<BlockError>> {
        Ok(())
    }
}

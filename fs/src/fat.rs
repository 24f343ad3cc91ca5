//! FAT12, FAT16 and FAT32.

use alloc::boxed::Box;

use crate::{Block, Clock, Error, MountError, Volume};

/// How a FAT volume is mounted.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Never write to the device.
    pub read_only: bool,
    /// Where times come from; without one, what is written is dated 1980-01-01.
    pub clock: Option<&'static Clock>,
    /// Bytes for the cache of tables, directories and small writes: at least 64 KiB.
    pub cache_bytes: usize,
    /// Bytes of the buffer for reading ahead and for gathering small sequential writes; 0 for none.
    pub stream_bytes: usize,
}

impl Default for Options {
    /// Writable, no clock, 256 KiB of cache and 256 KiB of stream buffer.
    fn default() -> Self {
        Self {
            read_only: false,
            clock: None,
            cache_bytes: 256 << 10,
            stream_bytes: 256 << 10,
        }
    }
}

/// Mounts the FAT file system on `device`, which is the whole disk.
pub fn mount(
    device: Box<dyn Block + Send>,
    options: Options,
) -> Result<Box<dyn Volume>, MountError> {
    let _ = (device, options);
    Err(MountError {
        error: Error::Unsupported,
        detail: "not yet".into(),
    })
}

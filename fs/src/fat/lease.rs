//! Leases of file contents, read in place.

use alloc::vec::Vec;

use super::fat_volume::{FatVolume, Result};
use crate::volume::lend_copy;
use crate::{FileId, Lease, OpenFlags};

impl FatVolume {
    /// See [`crate::Volume::lend`].
    pub fn lend_file(
        &mut self,
        file: FileId,
        offset: u64,
        len: usize,
        out: &mut Vec<Lease>,
    ) -> Result<()> {
        self.file(file, OpenFlags::READ)?;
        let size = self.size_of(file)?;
        let count = (len as u64).min(size.saturating_sub(offset)) as usize;
        if count > 0 {
            let end = self.locate(file, offset, offset + count as u64)?;
            if let Some(chain) = &self.handles.get(file)?.chain {
                let count = (end - offset) as usize;
                self.cache
                    .lend_runs(chain.runs(), size, (offset, count), out)?;
            }
        }
        // Copy the part that doesn't fit the cache.
        lend_copy(self, file, offset, len, out)
    }
}

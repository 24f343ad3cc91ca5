//! Reads of files, directly from their clusters.

use super::cluster_chains::{Chain, Reached};
use super::fat_volume::{FatVolume, Result};
use crate::{Error, FileId, OpenFlags};

/// Maximum number of stored runs of all open files, 24 bytes each.
const MAX_RUNS: usize = 8192;

impl FatVolume {
    /// Returns the size of an open file in bytes.
    pub(super) fn size_of(&mut self, file: FileId) -> Result<u64> {
        let handle = self.file(file, OpenFlags::empty())?;
        if let Some(size) = handle.size {
            return Ok(size);
        }
        let size = self.node(handle.place)?.entry.size().into();
        self.handles.get_mut(file)?.size = Some(size);
        Ok(size)
    }

    /// Stores the size of the file at `place` in its handles; without a size, also drops its
    /// location.
    pub(super) fn note_size(&mut self, place: u64, size: Option<u64>) {
        let handles = self.handles.all_mut();
        for handle in handles.filter(|handle| handle.place == place) {
            match size {
                Some(size) => handle.size = Some(size),
                None => handle.forget(),
            }
        }
    }

    /// Drops the stored runs of all files if there are too many, before those of a file grow up to
    /// byte `wanted`.
    pub(super) fn bound_chains(&mut self, file: FileId, wanted: u64) -> Result<()> {
        let chain = &self.handles.get(file)?.chain;
        if chain.as_ref().is_some_and(|chain| chain.len() >= wanted) {
            return Ok(());
        }
        let chains = self.handles.all().flat_map(|handle| &handle.chain);
        if chains.map(|chain| chain.runs().len()).sum::<usize>() > MAX_RUNS {
            self.handles
                .all_mut()
                .for_each(|handle| handle.chain = None);
        }
        Ok(())
    }

    /// Extends the handle's chain to the bytes of an open file from `from` on. Returns the end of
    /// the known part: at most `wanted`, which is within the file.
    pub(super) fn locate(&mut self, file: FileId, from: u64, wanted: u64) -> Result<u64> {
        self.bound_chains(file, wanted)?;
        let geometry = self.geometry();
        let handle = self.handles.get(file)?;
        if handle.chain.is_none() {
            let first = self.node(handle.place)?.entry.first_cluster(geometry.kind);
            self.handles.get_mut(file)?.chain = Some(Chain::new(first));
        }
        let chain = self.handles.get_mut(file)?.chain.as_mut();
        let chain = chain.ok_or(Error::Closed)?;
        let reached = chain.reach(from, wanted, &geometry, &mut self.cache)?;
        let end = chain.len().min(wanted);
        let found = match reached {
            Reached::All | Reached::Full => Ok(end),
            Reached::End | Reached::Odd => Err(Error::Corrupt),
        };
        self.done(
            found,
            "reading a file: its chain of clusters leads nowhere, in circles or not far enough",
        )
    }

    /// Reads from an open file; see [`crate::Volume::read_at`].
    pub(super) fn read_file(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.file(file, OpenFlags::READ)?;
        let size = self.size_of(file)?;
        let count = size.saturating_sub(offset).min(buf.len() as u64);
        let mut done = 0;
        while done < count {
            let end = self.locate(file, offset + done, offset + count)? - offset;
            let piece = buf.get_mut(done as usize..end as usize).ok_or(Error::Io)?;
            let chain = self.handles.get(file)?.chain.as_ref();
            let chain = chain.filter(|_| !piece.is_empty()).ok_or(Error::Io)?;
            self.cache.begin_reading(size);
            let read = self.cache.read_runs(chain.runs(), offset + done, piece);
            self.cache.end_reading();
            read?;
            done = end;
        }
        Ok(count as usize)
    }
}

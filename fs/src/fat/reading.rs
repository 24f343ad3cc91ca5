//! Reading of files, directly from their clusters.

use hadris_fs::{ErrorKind, NodeId};

use super::cluster_chains::{Chain, Reached};
use super::volume::{FatVolume, Result};
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
        let size = self.metadata(handle.node)?.size;
        self.handles.get_mut(file)?.size = Some(size);
        Ok(size)
    }

    /// Stores the size of a file in its handles; without a size, drops its location too.
    pub(super) fn note_size(&mut self, node: NodeId, size: Option<u64>) {
        for handle in self.handles.all_mut().filter(|handle| handle.node == node) {
            match size {
                Some(size) => handle.size = Some(size),
                None => handle.forget(),
            }
        }
    }

    /// Extends the handle's chain to the bytes of an open file from `from` on. Returns the end of
    /// the known part: `wanted`, which is within the file, or less.
    pub(super) fn locate(&mut self, file: FileId, from: u64, wanted: u64) -> Result<u64> {
        let handle = self.handles.get(file)?;
        let (node, geometry) = (handle.node, *self.fat.info());
        if handle
            .chain
            .as_ref()
            .is_none_or(|chain| chain.len() < wanted)
        {
            let chains = self.handles.all().flat_map(|handle| &handle.chain);
            if chains.map(|chain| chain.runs().len()).sum::<usize>() > MAX_RUNS {
                for handle in self.handles.all_mut() {
                    handle.chain = None;
                }
            }
        }
        if self.handles.get(file)?.chain.is_none() {
            let first = self.short_entry(node)?.first_cluster(geometry.kind());
            self.handles.get_mut(file)?.chain = Some(Chain::new(first));
        }
        let cache = self.cache.clone();
        let mut cache = cache.try_lock().ok_or(Error::Io)?;
        let chain = self.handles.get_mut(file)?.chain.as_mut();
        let chain = chain.ok_or(Error::Closed)?;
        let reached = chain.reach(from, wanted, &geometry, &mut cache)?;
        let end = chain.len().min(wanted);
        drop(cache);
        match reached {
            Reached::All | Reached::Full => Ok(end),
            Reached::End | Reached::Odd => {
                let text = "its chain of clusters leads nowhere, in circles or not far enough";
                let found = hadris_fs::Error::new(ErrorKind::Corrupt, text);
                self.done(Err(found), "reading a file")
            }
        }
    }

    /// Reads from an open file; see [`Volume::read_at`].
    pub(super) fn read_file(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.file(file, OpenFlags::READ)?;
        let size = self.size_of(file)?;
        let count = size.saturating_sub(offset).min(buf.len() as u64);
        let mut done = 0;
        while done < count {
            let end = self.locate(file, offset + done, offset + count)? - offset;
            let handle = self.handles.get(file)?;
            let piece = buf.get_mut(done as usize..end as usize).ok_or(Error::Io)?;
            let chain = handle.chain.as_ref().filter(|_| !piece.is_empty());
            let chain = chain.ok_or(Error::Io)?;
            let mut cache = self.cache.try_lock().ok_or(Error::Io)?;
            cache.begin_reading(size);
            let read = cache.read_runs(chain.runs(), offset + done, piece);
            cache.end_reading();
            read?;
            done = end;
        }
        Ok(count as usize)
    }
}

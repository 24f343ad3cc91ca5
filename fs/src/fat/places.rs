//! Where files are on the disk: hadris-fat walks along a file's chain each time it is asked, so the
//! answer is kept until the volume changes.

use alloc::vec::Vec;

use hadris_fs::{Extent, NodeId};

use super::volume::{FatVolume, Result};
use crate::cache::Run;
use crate::lend::or_copy;
use crate::{Error, FileId, Lent, OpenFlags, Volume};

/// Files that are remembered, however often they are opened and closed.
const FILES: usize = 16;

/// Pieces of a file that are remembered; one in more isn't.
const PIECES: usize = 64;

/// Files whose places are known, by the places of their directory entries.
#[derive(Default)]
pub(super) struct Places(Vec<(u64, Vec<Run>)>);

impl Places {
    /// To be called before anything on the volume changes.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

/// [`crate::lend`] for a volume of this kind; `None` for another.
pub(crate) fn lend(
    volume: &mut dyn Volume,
    file: FileId,
    offset: u64,
    len: usize,
    out: &mut Vec<Lent>,
) -> Option<Result<()>> {
    let volume: &mut FatVolume = volume.as_any()?.downcast_mut()?;
    Some(volume.lend_file(file, offset, len, out))
}

impl FatVolume {
    fn lend_file(
        &mut self,
        file: FileId,
        offset: u64,
        len: usize,
        out: &mut Vec<Lent>,
    ) -> Result<()> {
        let handle = self.file(file, OpenFlags::READ)?;
        let size = self.metadata(handle.node)?.size;
        self.lend_node(handle.node, size, (offset, len), out)?;
        or_copy(self, file, offset, len, out)
    }

    /// Lends bytes of a file, unless that takes a copy.
    fn lend_node(
        &mut self,
        node: NodeId,
        size: u64,
        (offset, len): (u64, usize),
        out: &mut Vec<Lent>,
    ) -> Result<()> {
        let count = (len as u64).min(size.saturating_sub(offset)) as usize;
        if count == 0 {
            return Ok(());
        }
        let mut entry = [Extent::new(0, 0)];
        let found = self.fat.records(node, &mut entry);
        self.done(found, "reading a directory entry")?;
        let entry = entry.map(|entry| entry.offset())[0];
        let known = self.places.0.iter().position(|(place, _)| *place == entry);
        let index = match known {
            Some(index) => index,
            None => {
                let Some(runs) = self.runs(node, size)? else {
                    return Ok(());
                };
                if self.places.0.len() >= FILES {
                    self.places.0.remove(0);
                }
                self.places.0.push((entry, runs));
                self.places.0.len() - 1
            }
        };
        let cache = self.cache.clone();
        let mut cache = cache.try_lock().ok_or(Error::Io)?;
        let runs = self.places.0.get(index).map_or(&[][..], |(_, runs)| runs);
        cache.lend_runs(runs, size, (offset, count), out)
    }

    /// Where a file of `size` bytes is; `None` if it is in too many pieces, or its chain is too short.
    fn runs(&mut self, node: NodeId, size: u64) -> Result<Option<Vec<Run>>> {
        let mut extents = [Extent::new(0, 0); PIECES];
        let found = self.fat.extents(node, 0, &mut extents);
        let count = self.done(found, "reading where a file is")?;
        let mut runs = Vec::new();
        let mut at = 0;
        for extent in extents.iter().take(count) {
            runs.push(Run {
                file: at,
                disk: extent.offset(),
                len: extent.len(),
            });
            at += extent.len();
        }
        Ok((at == size).then_some(runs))
    }
}

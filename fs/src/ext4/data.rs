//! The contents of files: reading straight from where they are, writing in steps that fit.

use alloc::vec::Vec;
use core::cmp::Ordering;

use rsext4::{FileExtentState, FileExtentTarget, InodeNumber};

use super::volume::{Ext4Volume, Result};
use crate::cache::Run;
use crate::{Error, Lent};

/// Bytes of one step of a write.
const STEP: u64 = 1 << 20;

/// Pieces of a file whose places are remembered; a file in more is read through rsext4.
const MAX_EXTENTS: usize = 16 << 10;

/// Blocks kept for metadata (the extent tree, bitmaps, a directory that grows) when it is decided
/// whether a write fits.
const SLACK: u64 = 64;

/// The largest number of blocks that a file can have.
const MAX_BLOCKS: u64 = u32::MAX as u64;

impl Ext4Volume {
    /// Where the contents of an open file are; `None` when that is too much to remember.
    fn extents(&mut self, inode: InodeNumber) -> Result<Option<&[Run]>> {
        let node = self.node(inode)?;
        let size = node.size;
        if node.extents.is_none() {
            // rsext4 isn't to be asked what it can't read now.
            if self.with_cache(|cache| cache.is_away())? {
                return Err(Error::Io);
            }
            let found = self.call("reading where a file is", |ext4| {
                ext4.inode_extents(inode, 0, size.max(1), FileExtentTarget::Data, MAX_EXTENTS)
            })?;
            if !found.complete {
                return Ok(None);
            }
            let written = found.extents.iter();
            let written = written.filter(|extent| extent.state == FileExtentState::Initialized);
            let runs = written.map(|extent| Run {
                file: extent.logical_start,
                disk: extent.physical_start,
                len: extent.length,
            });
            self.node(inode)?.extents = Some(runs.collect());
        }
        Ok(self.node(inode)?.extents.as_deref())
    }

    /// Reads from an open file, as [`crate::Volume::read_at`].
    pub(super) fn read_file(
        &mut self,
        inode: InodeNumber,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize> {
        let left = self.node(inode)?.size.saturating_sub(offset);
        let count = (buf.len() as u64).min(left) as usize;
        let Some(buf) = buf.get_mut(..count).filter(|buf| !buf.is_empty()) else {
            return Ok(0);
        };
        if self.is_recent(inode) || self.extents(inode)?.is_none() {
            if self.with_cache(|cache| cache.is_away())? {
                return Err(Error::Io);
            }
            let mut done = 0;
            while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
                let at = offset + done as u64;
                match self.call("reading a file", |ext4| ext4.read_inode(inode, at, rest))? {
                    0 => break,
                    count => done += count,
                }
            }
            return Ok(done);
        }
        let cache = self.cache.clone();
        let mut cache = cache.try_lock().ok_or(Error::Io)?;
        let size = self.node(inode)?.size;
        cache.begin_reading(size);
        let extents = self.extents(inode)?.unwrap_or_default();
        let read = cache.read_runs(extents, offset, buf);
        cache.end_reading();
        Ok(read.map(|()| count)?)
    }

    /// Lends from an open file, as [`crate::Volume::lend`], what can be lent without a copy.
    pub(super) fn lend_file(
        &mut self,
        inode: InodeNumber,
        offset: u64,
        len: usize,
        out: &mut Vec<Lent>,
    ) -> Result<()> {
        let size = self.node(inode)?.size;
        let count = (len as u64).min(size.saturating_sub(offset)) as usize;
        if count == 0 || self.is_recent(inode) || self.extents(inode)?.is_none() {
            return Ok(());
        }
        let cache = self.cache.clone();
        let mut cache = cache.try_lock().ok_or(Error::Io)?;
        let extents = self.extents(inode)?.unwrap_or_default();
        cache.lend_runs(extents, size, (offset, count), out)
    }

    /// [`Error::NoSpace`] when there isn't room for a new name, file or directory and what that
    /// takes on the way.
    pub(super) fn reserve_for_entry(&mut self) -> Result<()> {
        let mut known = self.known_space()?;
        if (known.free_inodes == 0 || known.free_blocks < 4) && self.has_leftover() {
            self.sync_all()?;
            known = self.known_space()?;
        }
        if known.free_inodes == 0 || known.free_blocks < 4 {
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    /// Writes `buf` at `offset` of an open file, or as much of it as fits the file and the volume.
    pub(super) fn write_file(
        &mut self,
        inode: InodeNumber,
        offset: u64,
        buf: &[u8],
    ) -> Result<usize> {
        self.check_writable()?;
        let room = (MAX_BLOCKS * self.block as u64).saturating_sub(offset);
        if room == 0 {
            return Err(Error::TooLarge);
        }
        let fits = room.min(buf.len() as u64) as usize;
        let mut done = 0;
        while let Some(rest) = buf.get(done..fits).filter(|rest| !rest.is_empty()) {
            let at = offset + done as u64;
            let step = self.step(at, rest.len())?;
            let piece = rest.get(..step).unwrap_or_default();
            match self.write_step(inode, at, piece) {
                Ok(()) => done += step,
                Err(Error::NoSpace | Error::TooLarge) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// How much of a write of `len` bytes at `offset` to hand to rsext4 at once. Where the volume
    /// may become full that is a block: what a larger step had been given before it failed would
    /// stay taken, and belong to nobody.
    fn step(&mut self, offset: u64, len: usize) -> Result<usize> {
        let block = self.block as u64;
        let to_boundary = |unit: u64| (unit - offset % unit).min(len as u64) as usize;
        let needed = (len as u64).min(STEP).div_ceil(block) + 2 + SLACK;
        if self.known_space()?.free_blocks < needed && self.has_leftover() {
            self.sync_all()?;
        }
        if self.known_space()?.free_blocks >= needed {
            Ok(to_boundary(STEP))
        } else {
            Ok(to_boundary(block))
        }
    }

    fn write_step(&mut self, inode: InodeNumber, offset: u64, data: &[u8]) -> Result<()> {
        self.settle()?;
        self.note_recent(inode);
        if self.node(inode)?.has_lists {
            // rsext4 changes these lists outside of its transactions, and fails where one has to
            // end meanwhile.
            self.make_room();
        }
        let written = self.call("writing a file", |ext4| {
            ext4.write_inode(inode, offset, data)
        });
        let end = offset + data.len() as u64;
        let node = self.node(inode)?;
        node.extents = None;
        written?;
        node.size = node.size.max(end);
        self.checkpoint_if_due()
    }

    /// Cuts an open file, or extends it with zeros that take no room.
    pub(super) fn resize(&mut self, inode: InodeNumber, size: u64) -> Result<()> {
        self.check_writable()?;
        if size > MAX_BLOCKS * self.block as u64 {
            return Err(Error::TooLarge);
        }
        match size.cmp(&self.node(inode)?.size) {
            Ordering::Equal => return Ok(()),
            Ordering::Less => self.note_cut(),
            Ordering::Greater => {}
        }
        self.note_recent(inode);
        let resized = self.call("resizing a file", |ext4| ext4.truncate_inode(inode, size));
        let known = self.inode(inode);
        let node = self.node(inode)?;
        node.extents = None;
        if let Ok(known) = known {
            node.size = known.size;
        }
        resized
    }
}

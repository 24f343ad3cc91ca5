//! Ranges of a file: preallocation, holes, and zeros.
//!
//! Preallocation uses unwritten extents (kernel documentation, "Extent Tree"), which block lists
//! don't have: reads return zeros, never the old contents of the disk, because the transaction that
//! marks an extent as written comes after the write of its contents.

use super::ext4_volume::Ext4Volume;
use super::extents::MAX_UNWRITTEN;
use super::filesystem::{Fs, Result};
use super::inode::EXTENTS;
use crate::volume::range_end;
use crate::{Error, Fallocate, Seek};

/// Maximum number of pieces of a file to examine for the next data or hole.
const MAX_EXAMINED: usize = 64 << 10;

/// Blocks of a file, from the first to before the second.
type Blocks = (u64, u64);

impl Fs {
    /// Runs one step of allocating blocks for a file from `from` to before `end`: unwritten ones in
    /// holes, and with `zeroes` in place of the others too. Returns the next block.
    fn allocate_step(&mut self, number: u32, (from, end): Blocks, zeroes: bool) -> Result<u64> {
        let mut inode = self.inode(number)?;
        let mut at = from;
        let mut goal = None;
        while at < end && !self.is_long() {
            let most = (end - at).min(MAX_UNWRITTEN);
            let piece = self.piece(&inode, at, most)?;
            let mut len = piece.len;
            if piece.physical == 0 {
                let near = match goal {
                    Some(goal) => goal,
                    None => self.write_goal(&inode, at)?,
                };
                let (physical, taken) = self.take_blocks(number, near, len)?;
                self.attach(&mut inode, at, (physical, taken), true)?;
                (len, goal) = (taken, Some(physical + taken));
            } else if zeroes && !piece.unwritten {
                self.mark_blocks(&mut inode, at, len, true)?;
            }
            at += len;
        }
        inode.changed = self.now();
        if zeroes {
            inode.modified = inode.changed;
        }
        self.write_inode(&inode)?;
        Ok(at)
    }

    /// Runs one step of freeing a file's blocks; `true` if that was the last.
    fn punch_step(&mut self, number: u32, (from, end): Blocks) -> Result<bool> {
        let mut inode = self.inode(number)?;
        let mut is_done = false;
        while !is_done && !self.is_long() {
            is_done = !self.detach(&mut inode, from, end)?;
        }
        inode.changed = self.now();
        inode.modified = inode.changed;
        self.write_inode(&inode)?;
        Ok(is_done)
    }

    /// Writes zeros from byte `from` to before `to` in the blocks that the range covers only in
    /// part.
    fn zero_edges(&mut self, number: u32, from: u64, to: u64) -> Result<()> {
        let block = self.geometry.block as u64;
        let inode = self.inode(number)?;
        self.zero_rest(&inode, from, to)?;
        let last = to / block * block;
        if last >= from && last < to {
            self.zero_part(&inode, last, to)?;
        }
        Ok(())
    }

    /// Number of missing blocks of a file.
    fn missing(&mut self, number: u32, (from, end): Blocks) -> Result<u64> {
        let inode = self.inode(number)?;
        let (mut at, mut missing) = (from, 0);
        while at < end {
            let piece = self.piece(&inode, at, end - at)?;
            if piece.physical == 0 {
                missing += piece.len;
                if missing > self.free_blocks {
                    break;
                }
            }
            at += piece.len;
        }
        Ok(missing)
    }
}

impl Ext4Volume {
    /// Implements [`crate::Volume::fallocate`] for an open file.
    pub fn reshape(&mut self, number: u32, how: Fallocate, offset: u64, len: u64) -> Result<()> {
        self.check_writable()?;
        let end = range_end(offset, len)?;
        let inode = self.inode(number)?;
        let block = self.fs.geometry.block as u64;
        let size = self.node(number)?.size;
        self.node(number)?.runs = None;
        // Blocks entirely in the range, and blocks that the range touches.
        let inner = (offset.div_ceil(block), end / block);
        let outer = (offset / block, end.div_ceil(block));
        if how == Fallocate::PunchHole {
            self.change(&mut |fs| fs.zero_edges(number, offset, end))?;
            // Blocks after the end of the file hold no data.
            let last = if end >= size { outer.1 } else { inner.1 };
            return self.change_all(&mut |fs| fs.punch_step(number, (inner.0, last)));
        }
        if inode.flags & EXTENTS == 0 {
            return Err(Error::Unsupported);
        }
        if end > self.fs.max_size(&inode) {
            return Err(Error::TooLarge);
        }
        let missing = self.inspect(|fs| fs.missing(number, outer))?;
        if missing > self.fs.free_blocks {
            return Err(Error::NoSpace);
        }
        self.allocate(number, outer, false)?;
        if how == Fallocate::ZeroRange {
            self.change(&mut |fs| fs.zero_edges(number, offset, end))?;
            self.allocate(number, inner, true)?;
        }
        if how != Fallocate::KeepSize && end > size {
            self.resize(number, end)?;
        }
        Ok(())
    }

    fn allocate(&mut self, number: u32, (from, end): Blocks, zeroes: bool) -> Result<()> {
        let mut at = from;
        while at < end {
            at = self.change(&mut |fs| fs.allocate_step(number, (at, end), zeroes))?;
        }
        Ok(())
    }

    /// Implements [`crate::Volume::seek`] for an open file.
    pub fn next(&mut self, number: u32, to: Seek, offset: u64) -> Result<Option<u64>> {
        let size = self.node(number)?.size;
        if offset >= size {
            return Ok(None);
        }
        let block = self.fs.geometry.block as u64;
        self.inspect(|fs| {
            let inode = fs.inode(number)?;
            let end = size.div_ceil(block);
            let (mut at, mut looked) = (offset / block, 0);
            while at < end {
                let piece = fs.piece(&inode, at, end - at)?;
                let is_hole = piece.physical == 0 || piece.unwritten;
                looked += 1;
                // Treat the rest of a file with too many pieces as data.
                let is_rest = looked > MAX_EXAMINED && to == Seek::Data;
                if is_hole == (to == Seek::Hole) || is_rest {
                    return Ok(Some(offset.max(at * block)));
                }
                if looked > MAX_EXAMINED {
                    break;
                }
                at += piece.len;
            }
            Ok((to == Seek::Hole).then_some(size))
        })
    }
}

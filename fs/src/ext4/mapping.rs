//! Block map of a file, as extents or as block lists.

use super::extents::{self, Extent};
use super::filesystem::{Fs, Result};
use super::inode::{self, Inode};
use crate::Error;

/// Consecutive blocks of a file in the same state, from the requested one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// First block on the disk; 0 for a hole.
    pub physical: u64,
    pub len: u64,
    /// The blocks are allocated, but read as zeros.
    pub unwritten: bool,
}

impl Fs {
    /// Maximum number of blocks of a file.
    pub fn max_blocks(&self, inode: &Inode) -> u64 {
        if inode.flags & inode::EXTENTS != 0 {
            // The last block number marks the end.
            extents::END - 1
        } else {
            self.max_listed().min(extents::END - 1)
        }
    }

    /// Returns the state of `block` of the file, and the number of blocks in the same state, at
    /// most `most`.
    pub fn piece(&mut self, inode: &Inode, block: u64, most: u64) -> Result<Mapping> {
        if block >= self.max_blocks(inode) {
            return Ok(Mapping {
                physical: 0,
                len: most,
                unwritten: false,
            });
        }
        if inode.flags & inode::EXTENTS == 0 {
            let (physical, len) = self.list_at(inode, block, most.max(1))?;
            return Ok(Mapping {
                physical,
                len,
                unwritten: false,
            });
        }
        Ok(match self.extent_at(inode, block as u32)? {
            Ok(found) => Mapping {
                physical: found.physical + (block - u64::from(found.start)),
                len: (found.end() - block).min(most),
                unwritten: found.unwritten,
            },
            Err(end) => Mapping {
                physical: 0,
                len: (end - block).min(most),
                unwritten: false,
            },
        })
    }

    /// Returns the disk block of `block` of a directory, which has no holes.
    pub fn directory_block(&mut self, inode: &Inode, block: u64) -> Result<u64> {
        let piece = self.piece(inode, block, 1)?;
        if piece.physical == 0 || piece.unwritten {
            return Err(self.damage("a directory with a hole", inode.number.into()));
        }
        Ok(piece.physical)
    }

    /// Maps newly allocated blocks into a hole of the file.
    pub fn attach(
        &mut self,
        inode: &mut Inode,
        block: u64,
        (physical, len): (u64, u64),
        unwritten: bool,
    ) -> Result<()> {
        if block + len > self.max_blocks(inode) {
            return Err(Error::TooLarge);
        }
        inode.blocks = inode.blocks.saturating_add(len * self.units());
        if inode.flags & inode::EXTENTS == 0 {
            // Block lists have 32-bit numbers.
            if physical + len > u32::MAX.into() {
                return Err(Error::NoSpace);
            }
            return self.list_blocks(inode, block, physical, len);
        }
        let new = Extent {
            start: block as u32,
            physical,
            len: len as u32,
            unwritten,
        };
        self.insert_extent(inode, new)
    }

    /// Number of 512-byte units in a block.
    pub fn units(&self) -> u64 {
        self.geometry.block as u64 / 512
    }

    /// Frees the first contiguous blocks of the file between `from` and before `to`; `false` if
    /// there were none.
    pub fn detach(&mut self, inode: &mut Inode, from: u64, to: u64) -> Result<bool> {
        let to = to.min(self.max_blocks(inode));
        if from >= to {
            return Ok(false);
        }
        let (physical, len) = if inode.flags & inode::EXTENTS != 0 {
            match self.take_extent(inode, from as u32, to)? {
                Some(found) => (found.physical, u64::from(found.len)),
                None => return Ok(false),
            }
        } else {
            let mut at = from;
            loop {
                let (physical, len) = self.list_at(inode, at, to - at)?;
                if physical != 0 {
                    self.unlist_blocks(inode, at, len)?;
                    break (physical, len);
                }
                at += len;
                if at >= to {
                    return Ok(false);
                }
            }
        };
        inode.blocks = inode.blocks.saturating_sub(len * self.units());
        if !inode.is_regular() {
            for block in physical..physical + len {
                self.forget(block);
            }
        }
        self.release_blocks(physical, len)?;
        Ok(true)
    }

    /// Marks blocks as written, or at most [`extents::MAX_UNWRITTEN`] of them as unwritten.
    pub fn mark_blocks(
        &mut self,
        inode: &mut Inode,
        block: u64,
        len: u64,
        unwritten: bool,
    ) -> Result<()> {
        let mut at = block;
        while at < block + len {
            let Some(found) = self.take_extent(inode, at as u32, block + len)? else {
                return Ok(());
            };
            at = found.end();
            let marked = Extent { unwritten, ..found };
            self.insert_extent(inode, marked)?;
        }
        Ok(())
    }

    /// Allocates a block for the map itself.
    pub fn new_map_block(&mut self, inode: &mut Inode) -> Result<u64> {
        let goal = self.goal_of(inode);
        let (block, _) = self.take_blocks(inode.number, goal, 1)?;
        inode.blocks = inode.blocks.saturating_add(self.units());
        Ok(block)
    }

    /// Frees a block of the map.
    pub fn release_map_block(&mut self, inode: &mut Inode, block: u64) -> Result<()> {
        inode.blocks = inode.blocks.saturating_sub(self.units());
        self.forget(block);
        self.release_blocks(block, 1)
    }
}

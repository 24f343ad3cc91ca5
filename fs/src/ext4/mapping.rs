//! Where the blocks of a file are, whichever way it is written down.

use super::extents::{self, Extent};
use super::filesystem::{Fs, Result};
use super::inode::{self, Inode};
use crate::Error;

/// Blocks of a file that are alike, from the one that was asked for on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where they are; 0 for a hole.
    pub physical: u64,
    pub len: u64,
    /// They are the file's, and read as zeros.
    pub unwritten: bool,
}

impl Fs {
    /// Blocks that a file can have.
    pub fn max_blocks(&self, inode: &Inode) -> u64 {
        if inode.flags & inode::EXTENTS != 0 {
            // The last block number means the end.
            extents::END - 1
        } else {
            self.max_listed().min(extents::END - 1)
        }
    }

    /// What is at `block` of the file, and how many blocks after it are like it, `most` at most.
    pub fn piece(&mut self, inode: &Inode, block: u64, most: u64) -> Result<Piece> {
        if block >= self.max_blocks(inode) {
            return Ok(Piece {
                physical: 0,
                len: most,
                unwritten: false,
            });
        }
        if inode.flags & inode::EXTENTS == 0 {
            let (physical, len) = self.list_at(inode, block, most.max(1))?;
            return Ok(Piece {
                physical,
                len,
                unwritten: false,
            });
        }
        Ok(match self.extent_at(inode, block as u32)? {
            Ok(found) => Piece {
                physical: found.physical + (block - u64::from(found.start)),
                len: (found.end() - block).min(most),
                unwritten: found.unwritten,
            },
            Err(end) => Piece {
                physical: 0,
                len: (end - block).min(most),
                unwritten: false,
            },
        })
    }

    /// The block at `block` of a directory, which has no holes.
    pub fn directory_block(&mut self, inode: &Inode, block: u64) -> Result<u64> {
        let piece = self.piece(inode, block, 1)?;
        if piece.physical == 0 || piece.unwritten {
            return Err(self.damage("a directory with a hole", inode.number.into()));
        }
        Ok(piece.physical)
    }

    /// Gives the file blocks that were allocated for it, where it had a hole.
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
            // Lists have numbers of 32 bits.
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

    /// Units of 512 bytes in a block.
    pub fn units(&self) -> u64 {
        self.geometry.block as u64 / 512
    }

    /// Gives back the first blocks that lie together of the file's from `from` to before `to`;
    /// whether there were any.
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
        self.give_blocks(physical, len)?;
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

    /// A block for the map itself.
    pub fn new_map_block(&mut self, inode: &mut Inode) -> Result<u64> {
        let goal = self.goal_of(inode);
        let (block, _) = self.take_blocks(inode.number, goal, 1)?;
        inode.blocks = inode.blocks.saturating_add(self.units());
        Ok(block)
    }

    /// Gives back a block of the map.
    pub fn give_map_block(&mut self, inode: &mut Inode, block: u64) -> Result<()> {
        inode.blocks = inode.blocks.saturating_sub(self.units());
        self.forget(block);
        self.give_blocks(block, 1)
    }
}

//! Contents of files: reading, writing and truncation.
//!
//! Contents go through the cache to their blocks. New blocks are written whole, with zeros around
//! the data, so that no reader sees what another file had there; the commit writes them before the
//! end of the transaction.

use alloc::vec;
use alloc::vec::Vec;

use super::filesystem::{Fs, Result};
use super::inode::Inode;
use super::superblock::read_only;
use crate::Error;
use crate::cache::Run;

/// Maximum number of stored pieces of a file.
const MAX_RUNS: usize = 16 << 10;

/// Maximum number of pieces to examine for that, holes and unwritten ones included: the map of a
/// maliciously damaged disk may have no end.
const MAX_EXAMINED: usize = 4 * MAX_RUNS;

/// Minimum and maximum number of blocks to reserve for a growing file.
const MIN_RESERVED: u64 = 16;
const MAX_RESERVED: u64 = 2048;

/// Maximum number of 512-byte units of a file without the feature `huge_file`.
const MAX_UNITS: u64 = 1 << 32;

impl Fs {
    /// Maximum size of a file in bytes.
    pub fn max_size(&self, inode: &Inode) -> u64 {
        let blocks = self.max_blocks(inode);
        let most = blocks.saturating_mul(self.geometry.block as u64);
        if self.geometry.to_write & read_only::LARGE_FILE == 0 {
            return most.min(i32::MAX as u64);
        }
        if self.geometry.to_write & read_only::HUGE_FILE == 0 {
            return most.min((MAX_UNITS - (1 << 22)) * 512);
        }
        most
    }

    /// Returns the location of a file's contents without its zeros; `None` when it is too much to
    /// store.
    pub fn runs(&mut self, inode: &Inode) -> Result<Option<Vec<Run>>> {
        let block = self.geometry.block as u64;
        let end = inode.size.div_ceil(block);
        let mut runs: Vec<Run> = Vec::new();
        let (mut at, mut looked) = (0, 0);
        while at < end {
            looked += 1;
            if looked > MAX_EXAMINED {
                return Ok(None);
            }
            let piece = self.piece(inode, at, end - at)?;
            let new = Run {
                file: at * block,
                disk: piece.physical * block,
                len: piece.len * block,
            };
            at += piece.len.max(1);
            if piece.physical == 0 || piece.unwritten {
                continue;
            }
            let is_full = runs.len() >= MAX_RUNS;
            match runs.last_mut() {
                Some(last)
                    if last.file + last.len == new.file && last.disk + last.len == new.disk =>
                {
                    last.len += new.len;
                }
                _ if is_full => return Ok(None),
                _ => runs.push(new),
            }
        }
        Ok(Some(runs))
    }

    /// Reads from byte `offset` on, within the file, and looks the blocks up on the way.
    pub fn read_pieces(&mut self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<()> {
        let block = self.geometry.block as u64;
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let inside = at % block;
            let most = (inside + rest.len() as u64).div_ceil(block);
            let piece = self.piece(inode, at / block, most)?;
            let count = (piece.len * block - inside).min(rest.len() as u64);
            let (some, after) = rest.split_at_mut(count as usize);
            if piece.physical == 0 || piece.unwritten {
                some.fill(0);
            } else {
                self.cache
                    .read_bytes(piece.physical * block + inside, some)?;
            }
            at += count;
            rest = after;
        }
        Ok(())
    }

    /// Writes bytes at byte `at` of the disk, in blocks that the file already has.
    fn write_bytes(&mut self, at: u64, data: &[u8]) -> Result<()> {
        let sector = self.cache.sector_size();
        let (mut at, mut rest) = (at, data);
        let mut edge = Vec::new();
        while !rest.is_empty() {
            let inside = (at % sector as u64) as usize;
            let number = at / sector as u64;
            if inside == 0 && rest.len() >= sector {
                let (whole, after) = rest.split_at(rest.len() / sector * sector);
                self.cache.write(number, whole)?;
                at += whole.len() as u64;
                rest = after;
                continue;
            }
            edge.resize(sector, 0);
            self.cache.read(number, &mut edge)?;
            let count = rest.len().min(sector - inside);
            let (some, after) = rest.split_at(count);
            if let Some(place) = edge.get_mut(inside..inside + count) {
                place.copy_from_slice(some);
            }
            self.cache.write(number, &edge)?;
            at += count as u64;
            rest = after;
        }
        Ok(())
    }

    /// Writes bytes from byte `inside` of block `first` on, in newly allocated blocks; fills the
    /// rest of the first and the last block with zeros.
    fn write_new(&mut self, first: u64, inside: usize, data: &[u8]) -> Result<()> {
        let block = self.geometry.block;
        let (mut number, mut inside, mut rest) = (first, inside, data);
        while !rest.is_empty() {
            let sector = self.sectors(number);
            if inside == 0 && rest.len() >= block {
                let (whole, after) = rest.split_at(rest.len() / block * block);
                self.cache.write(sector, whole)?;
                number += (whole.len() / block) as u64;
                rest = after;
                continue;
            }
            let mut edge = vec![0; block];
            let (some, after) = rest.split_at(rest.len().min(block - inside));
            if let Some(place) = edge.get_mut(inside..inside + some.len()) {
                place.copy_from_slice(some);
            }
            self.cache.write(sector, &edge)?;
            number += 1;
            inside = 0;
            rest = after;
        }
        Ok(())
    }

    /// Writes pending contents if the cache has room for few more. They may reach the disk before
    /// the transaction: the old contents there are free or overwritten.
    pub fn flush_if_full(&mut self) -> Result<()> {
        if self.cache.is_filling() {
            self.cache.commit_raw()?;
        }
        Ok(())
    }

    /// Writes zeros to the rest of the block that holds byte `from` of a file, up to byte `to`.
    pub fn zero_rest(&mut self, inode: &Inode, from: u64, to: u64) -> Result<()> {
        if from.is_multiple_of(self.geometry.block as u64) {
            return Ok(());
        }
        self.zero_part(inode, from, to)
    }

    /// As [`zero_rest`](Self::zero_rest), even if the rest is the whole block.
    pub fn zero_part(&mut self, inode: &Inode, from: u64, to: u64) -> Result<()> {
        let block = self.geometry.block as u64;
        let inside = from % block;
        let count = (block - inside).min(to.saturating_sub(from));
        if count == 0 {
            return Ok(());
        }
        let piece = self.piece(inode, from / block, 1)?;
        if piece.physical == 0 || piece.unwritten {
            return Ok(());
        }
        self.write_bytes(piece.physical * block + inside, &vec![0; count as usize])
    }

    /// Runs one step of writing `data` at `offset`; returns its length. `progress` has the same
    /// value during the step and after an error.
    pub fn write_step(
        &mut self,
        number: u32,
        (offset, data): (u64, &[u8]),
        progress: &mut usize,
    ) -> Result<usize> {
        let block = self.geometry.block as u64;
        let mut inode = self.inode(number)?;
        *progress = 0;
        if offset > inode.size {
            self.zero_rest(&inode, inode.size, offset)?;
        }
        let mut goal = None;
        while *progress < data.len() && !self.is_long() {
            let at = offset + *progress as u64;
            let (first, inside) = (at / block, at % block);
            let rest = data.get(*progress..).unwrap_or_default();
            let wanted = (inside + rest.len() as u64).div_ceil(block);
            let piece = self.piece(&inode, first, wanted)?;
            let mut len = piece.len;
            let mut place = piece.physical;
            if place == 0 {
                let near = match goal {
                    Some(goal) => goal,
                    None => self.write_goal(&inode, first)?,
                };
                (place, len) = self.take_blocks(number, near, piece.len)?;
                self.attach(&mut inode, first, (place, len), false)?;
            } else if piece.unwritten {
                self.mark_blocks(&mut inode, first, len, false)?;
            }
            goal = Some(place + len);
            let count = (len * block - inside).min(rest.len() as u64) as usize;
            let some = rest.get(..count).unwrap_or_default();
            if piece.physical == 0 || piece.unwritten {
                self.write_new(place, inside as usize, some)?;
            } else {
                self.write_bytes(place * block + inside, some)?;
            }
            *progress += count;
            if piece.physical == 0 && at + count as u64 > inode.size {
                let kept = first + len;
                self.reserve(number, place + len, kept.clamp(MIN_RESERVED, MAX_RESERVED));
            }
        }
        inode.size = inode.size.max(offset + *progress as u64);
        let now = self.now();
        (inode.modified, inode.changed) = (now, now);
        self.write_inode(&inode)?;
        Ok(*progress)
    }

    /// Returns the goal for block `first` of a file: after the preceding block, or near the inode.
    pub fn write_goal(&mut self, inode: &Inode, first: u64) -> Result<u64> {
        if let Some(before) = first.checked_sub(1) {
            let piece = self.piece(inode, before, 1)?;
            if piece.physical != 0 {
                return Ok(piece.physical + 1);
            }
        }
        Ok(self.goal_of(inode))
    }

    /// Runs the first step of setting a file's size; `true` if that was the last step.
    pub fn resize_step(&mut self, number: u32, size: u64) -> Result<bool> {
        let block = self.geometry.block as u64;
        let mut inode = self.inode(number)?;
        let old = inode.size;
        self.zero_rest(
            &inode,
            old.min(size),
            old.max(size).max(1).next_multiple_of(block),
        )?;
        inode.size = size;
        let now = self.now();
        (inode.modified, inode.changed) = (now, now);
        if size < old && !self.detach_all(&mut inode, size.div_ceil(block))? {
            self.add_orphan(&mut inode)?;
            return Ok(false);
        }
        self.write_inode(&inode)?;
        Ok(true)
    }

    /// Returns the target of a symbolic link.
    pub fn link_target(&mut self, inode: &Inode) -> Result<Vec<u8>> {
        let block = self.geometry.block as u64;
        if inode.size == 0 || inode.size > block.min(4096) {
            return Err(Error::NameTooLong);
        }
        let len = inode.size as usize;
        if inode.is_fast_link(block) {
            return Ok(inode.map.get(..len).unwrap_or_default().to_vec());
        }
        let mut target = vec![0; len];
        self.read_pieces(inode, 0, &mut target)?;
        Ok(target)
    }

    /// Stores the target of a new symbolic link.
    pub fn set_link_target(&mut self, inode: &mut Inode, target: &[u8]) -> Result<()> {
        inode.size = target.len() as u64;
        if let Some(place) = inode.map.get_mut(..target.len())
            && target.len() < super::inode::MAP_LENGTH
        {
            place.copy_from_slice(target);
            if let Some(rest) = inode.map.get_mut(target.len()..) {
                rest.fill(0);
            }
            inode.flags &= !super::inode::EXTENTS;
            return Ok(());
        }
        let goal = self.goal_of(inode);
        let (first, _) = self.take_blocks(inode.number, goal, 1)?;
        self.attach(inode, 0, (first, 1), false)?;
        self.write_new(first, 0, target)
    }
}

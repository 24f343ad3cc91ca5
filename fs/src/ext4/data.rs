//! The contents of files: reading, writing and cutting them.
//!
//! Contents go through the cache to where they are. New blocks are written whole, what isn't given
//! being zeros, so that no reader sees what another file had there; that they are written before
//! the transaction ends is the commit's affair.

use alloc::vec;
use alloc::vec::Vec;

use super::filesystem::{Fs, Result};
use super::inode::Inode;
use super::superblock::read_only;
use crate::Error;
use crate::cache::Run;

/// Pieces of a file whose places are remembered.
const MAX_RUNS: usize = 16 << 10;

/// Pieces that are looked at for that, holes and unwritten ones included: on a disk that was
/// damaged on purpose they needn't end.
const MAX_LOOKED: usize = 4 * MAX_RUNS;

/// Blocks that are kept for a file that grows, at least and at most.
const MIN_RESERVED: u64 = 16;
const MAX_RESERVED: u64 = 2048;

/// Units of 512 bytes that a file can have without the feature `huge_file`.
const MAX_UNITS: u64 = 1 << 32;

impl Fs {
    /// Bytes that a file can have.
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

    /// Where the contents of a file are, but for zeros; `None` when that is too much to remember.
    pub fn runs(&mut self, inode: &Inode) -> Result<Option<Vec<Run>>> {
        let block = self.geometry.block as u64;
        let end = inode.size.div_ceil(block);
        let mut runs: Vec<Run> = Vec::new();
        let (mut at, mut looked) = (0, 0);
        while at < end {
            looked += 1;
            if looked > MAX_LOOKED {
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

    /// Reads from byte `offset` on, which is all in the file, looking its places up on the way.
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

    /// Writes bytes at byte `at` of the disk, in blocks that a file has.
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

    /// Writes bytes from byte `inside` of block `first` on, in blocks that were free: what isn't
    /// written of the first and the last is zeros.
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

    /// Writes contents that wait, if the cache has no room for many more. They may be on the disk
    /// before the transaction: what is there now is free, or is overwritten.
    pub fn relieve(&mut self) -> Result<()> {
        if self.cache.is_filling() {
            self.cache.commit_raw()?;
        }
        Ok(())
    }

    /// Has zeros in the rest of the block that byte `from` of a file is in, up to byte `to`.
    pub fn zero_rest(&mut self, inode: &Inode, from: u64, to: u64) -> Result<()> {
        if from.is_multiple_of(self.geometry.block as u64) {
            return Ok(());
        }
        self.zero_part(inode, from, to)
    }

    /// The same, if that is the whole block, too.
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

    /// One step of writing `data` at `offset`; how much it was. `progress` is the same while it is
    /// under way, and after an error.
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

    /// Where block `first` of a file should be: after the one before it, or near its inode.
    pub fn write_goal(&mut self, inode: &Inode, first: u64) -> Result<u64> {
        if let Some(before) = first.checked_sub(1) {
            let piece = self.piece(inode, before, 1)?;
            if piece.physical != 0 {
                return Ok(piece.physical + 1);
            }
        }
        Ok(self.goal_of(inode))
    }

    /// The first step of giving a file another size; whether that was the last.
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

    /// What a symbolic link says.
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

    /// Has a new symbolic link say something.
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

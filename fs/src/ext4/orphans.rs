//! Unlinked files that aren't released yet, and files that are being truncated (kernel
//! documentation, "Orphan file", which also describes the older list): the superblock stores the
//! last, and each inode its predecessor. After an unclean end the next mount completes the work.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::fields::superblock as sb;
use super::filesystem::{Fs, Result};
use super::inode::Inode;
use super::metadata_cache::BlockKind;
use super::superblock::{compatible, read_only};
use crate::bytes::{put_u32, u32_at};

impl Fs {
    /// Adds a file to the list and writes its inode.
    pub fn add_orphan(&mut self, inode: &mut Inode) -> Result<()> {
        if self.orphans.contains(&inode.number) {
            return self.write_inode(inode);
        }
        self.keep_orphans();
        inode.deleted = self.orphans.last().copied().unwrap_or(0);
        self.orphans.push(inode.number);
        self.write_inode(inode)
    }

    /// Removes a file from the list, if it is there. The caller writes the file's own inode.
    pub fn remove_orphan(&mut self, inode: &mut Inode) -> Result<()> {
        let place = self.orphans.iter().position(|known| *known == inode.number);
        let Some(place) = place else {
            return Ok(());
        };
        self.keep_orphans();
        self.orphans.remove(place);
        if let Some(next) = self.orphans.get(place).copied() {
            let before = place.checked_sub(1).and_then(|at| self.orphans.get(at));
            let before = before.copied().unwrap_or(0);
            let mut next = self.inode(next)?;
            next.deleted = before;
            self.write_inode(&next)?;
        }
        inode.deleted = 0;
        Ok(())
    }

    /// Runs one step of releasing a file without a name; `true` if that was the last.
    pub fn reap_step(&mut self, number: u32) -> Result<bool> {
        let mut inode = self.inode(number)?;
        if !self.detach_all(&mut inode, 0)? {
            inode.size = 0;
            self.add_orphan(&mut inode)?;
            return Ok(false);
        }
        self.remove_orphan(&mut inode)?;
        self.release_inode(&inode)?;
        Ok(true)
    }

    /// Runs one step of an orphan's pending work: truncates a file that has a name, and releases
    /// others. `true` if that was the last.
    pub fn release_step(&mut self, number: u32) -> Result<bool> {
        if self.inode(number)?.links > 0 {
            self.cut_step(number)
        } else {
            self.reap_step(number)
        }
    }

    /// Frees the file's blocks from `from` on, as many as one operation may; `true` if none is
    /// left.
    pub fn detach_all(&mut self, inode: &mut Inode, from: u64) -> Result<bool> {
        if !inode.has_map(self.geometry.block as u64) {
            return Ok(true);
        }
        while !self.is_long() {
            if !self.detach(inode, from, u64::MAX)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Runs one step of a pending truncation; `true` if that was the last.
    pub fn cut_step(&mut self, number: u32) -> Result<bool> {
        let mut inode = self.inode(number)?;
        let end = inode.size.div_ceil(self.geometry.block as u64);
        if !self.detach_all(&mut inode, end)? {
            self.add_orphan(&mut inode)?;
            return Ok(false);
        }
        // A file without a name stays in the list until it is closed.
        if inode.links > 0 {
            self.remove_orphan(&mut inode)?;
        }
        self.write_inode(&inode)?;
        Ok(true)
    }

    /// Reads the list from the disk.
    fn read_orphans(&mut self) -> Result<()> {
        let (block, at) = self.geometry.superblock();
        let mut next = u32_at(self.block(block, BlockKind::Super)?, at + sb::LAST_ORPHAN);
        let mut seen = BTreeSet::new();
        while next != 0 {
            if !seen.insert(next) {
                return Err(self.damage("a list of orphans that leads in circles", next.into()));
            }
            let inode = self.inode(next)?;
            self.orphans.push(next);
            next = inode.deleted;
        }
        self.orphans.reverse();
        Ok(())
    }

    /// Completes the work that was pending when the volume was last used.
    pub fn finish_orphans(&mut self) -> Result<()> {
        self.read_orphans()?;
        let listed: Vec<u32> = self.orphans.iter().rev().copied().collect();
        for number in listed {
            self.finish_orphan(number)?;
        }
        if self.geometry.compatible & compatible::ORPHAN_FILE != 0
            && self.geometry.to_write & read_only::ORPHANS != 0
        {
            self.finish_orphan_file()?;
        }
        Ok(())
    }

    fn finish_orphan(&mut self, number: u32) -> Result<()> {
        while !self.change(&mut |fs| fs.release_step(number))? {}
        Ok(())
    }

    /// Does the same for the orphan file, which only Linux uses.
    fn finish_orphan_file(&mut self) -> Result<()> {
        let file = self.inode(self.geometry.orphan_file)?;
        let (size, kind) = (self.geometry.block, BlockKind::Orphans(file.owner()));
        for number in 0..file.size / size as u64 {
            let block = self.directory_block(&file, number)?;
            let data = self.block(block, kind)?.to_vec();
            for at in (0..size - 8).step_by(4) {
                let orphan = u32_at(&data, at);
                if orphan == 0 {
                    continue;
                }
                self.finish_orphan(orphan)?;
                self.change(&mut |fs| {
                    put_u32(fs.block_mut(block, kind)?, at, 0);
                    Ok(())
                })?;
            }
        }
        self.commit()?;
        let (block, at) = self.geometry.superblock();
        self.geometry.to_write &= !read_only::ORPHANS;
        let to_write = self.geometry.to_write;
        self.change(&mut |fs| {
            put_u32(
                fs.block_mut(block, BlockKind::Super)?,
                at + sb::FEATURE_RO_COMPAT,
                to_write,
            );
            Ok(())
        })
    }
}

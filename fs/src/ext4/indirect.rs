//! Block lists as in ext2 and ext3 (kernel documentation, "Direct/Indirect Block Addressing"):
//! twelve blocks in the inode, then a list, a list of lists, and a list of those.

use super::filesystem::{Fs, Result};
use super::inode::Inode;
use super::metadata_cache::BlockKind;
use crate::Error;
use crate::bytes::{put_u32, u32_at};

/// Blocks whose numbers are in the inode.
const DIRECT: u64 = 12;

/// Location of a block's number: the entry of the inode's map, and the entries of the lists below
/// it.
struct ListPath {
    root: usize,
    entries: [usize; 3],
    depth: usize,
    /// Number of blocks that one entry of the first list covers.
    span: u64,
}

impl Fs {
    /// Number of entries in a list.
    fn per_list(&self) -> u64 {
        self.geometry.block as u64 / 4
    }

    /// Maximum number of blocks of a file with block lists.
    pub fn max_listed(&self) -> u64 {
        let per = self.per_list();
        DIRECT + per + per * per + per * per * per
    }

    fn place_in_lists(&self, block: u64) -> Result<ListPath> {
        let per = self.per_list();
        let Some(mut at) = block.checked_sub(DIRECT) else {
            return Ok(ListPath {
                root: block as usize,
                entries: [0; 3],
                depth: 0,
                span: 1,
            });
        };
        let mut span = 1;
        for depth in 1..=3 {
            if at < span * per {
                let mut entries = [0; 3];
                let mut rest = at;
                let mut below = span;
                for entry in entries.iter_mut().take(depth) {
                    *entry = (rest / below) as usize;
                    rest %= below;
                    below = (below / per).max(1);
                }
                return Ok(ListPath {
                    root: 11 + depth,
                    entries,
                    depth,
                    span,
                });
            }
            at -= span * per;
            span *= per;
        }
        Err(Error::TooLarge)
    }

    fn listed(&mut self, inode: &Inode, block: u64) -> Result<u64> {
        if block != 0 && !self.is_valid_data_range(block, 1) {
            return Err(self.damage("a listed block that is none for files", inode.number.into()));
        }
        Ok(block)
    }

    /// Returns the block at `block` of the file, or 0, and the number of blocks after it that
    /// continue in the same way.
    pub fn list_at(&mut self, inode: &Inode, block: u64, most: u64) -> Result<(u64, u64)> {
        let place = self.place_in_lists(block)?;
        let mut found = u64::from(u32_at(&inode.map, place.root * 4));
        found = self.listed(inode, found)?;
        if place.depth == 0 {
            let count = (1..most.min(DIRECT - block)).take_while(|n| {
                let next = u64::from(u32_at(&inode.map, (block + n) as usize * 4));
                next == if found == 0 { 0 } else { found + n }
            });
            let count = count.count() as u64 + 1;
            return Ok((self.run(inode, found, count)?, count));
        }
        let per = self.per_list();
        let mut span = place.span;
        for (level, entry) in place.entries.iter().take(place.depth).enumerate() {
            if found == 0 {
                // The whole missing list is a hole.
                let inside = (block - DIRECT - self.before(place.depth)) % (span * per);
                return Ok((0, (span * per - inside).min(most)));
            }
            let data = self.block(found, BlockKind::List)?;
            let next = u64::from(u32_at(data, entry * 4));
            if level + 1 == place.depth {
                let room = (per - *entry as u64).min(most);
                let count = (1..room).take_while(|n| {
                    let after = u64::from(u32_at(data, (entry + *n as usize) * 4));
                    after == if next == 0 { 0 } else { next + n }
                });
                let count = count.count() as u64 + 1;
                return Ok((self.run(inode, next, count)?, count));
            }
            found = self.listed(inode, next)?;
            span = (span / per).max(1);
        }
        Ok((0, 1))
    }

    /// Number of blocks that lists of smaller depth cover.
    fn before(&self, depth: usize) -> u64 {
        let per = self.per_list();
        match depth {
            0 | 1 => 0,
            2 => per,
            _ => per + per * per,
        }
    }

    fn run(&mut self, inode: &Inode, first: u64, count: u64) -> Result<u64> {
        if first != 0 && !self.is_valid_data_range(first, count) {
            return Err(self.damage("listed blocks that are none for files", inode.number.into()));
        }
        Ok(first)
    }

    /// Maps the blocks of the file from `block` on to the disk blocks from `first` on.
    pub fn list_blocks(
        &mut self,
        inode: &mut Inode,
        block: u64,
        first: u64,
        count: u64,
    ) -> Result<()> {
        for n in 0..count {
            let place = self.place_in_lists(block + n)?;
            let new = (first + n) as u32;
            if place.depth == 0 {
                put_u32(&mut inode.map, place.root * 4, new);
                continue;
            }
            let mut list = u64::from(u32_at(&inode.map, place.root * 4));
            if list == 0 {
                list = self.new_list(inode)?;
                put_u32(&mut inode.map, place.root * 4, list as u32);
            }
            for (level, entry) in place.entries.iter().take(place.depth).enumerate() {
                list = self.listed(inode, list)?;
                if level + 1 == place.depth {
                    put_u32(self.block_mut(list, BlockKind::List)?, entry * 4, new);
                    break;
                }
                let mut next = u64::from(u32_at(self.block(list, BlockKind::List)?, entry * 4));
                if next == 0 {
                    next = self.new_list(inode)?;
                    put_u32(
                        self.block_mut(list, BlockKind::List)?,
                        entry * 4,
                        next as u32,
                    );
                }
                list = next;
            }
        }
        Ok(())
    }

    fn new_list(&mut self, inode: &mut Inode) -> Result<u64> {
        let block = self.new_map_block(inode)?;
        self.block_new(block, BlockKind::List)?;
        Ok(block)
    }

    /// Removes up to `count` blocks of the file from `block` on from their list, and the lists that
    /// become empty. The blocks are contiguous and all in one list.
    pub fn unlist_blocks(&mut self, inode: &mut Inode, block: u64, count: u64) -> Result<()> {
        let place = self.place_in_lists(block)?;
        if place.depth == 0 {
            for n in 0..count as usize {
                put_u32(&mut inode.map, (place.root + n) * 4, 0);
            }
            return Ok(());
        }
        let mut lists = [0u64; 3];
        let mut list = u64::from(u32_at(&inode.map, place.root * 4));
        for (known, entry) in lists.iter_mut().zip(place.entries).take(place.depth) {
            *known = self.listed(inode, list)?;
            if *known == 0 {
                return Ok(());
            }
            list = u64::from(u32_at(self.block(*known, BlockKind::List)?, entry * 4));
        }
        let mut cleared = count as usize;
        for level in (0..place.depth).rev() {
            let (list, entry) = match (lists.get(level), place.entries.get(level)) {
                (Some(list), Some(entry)) => (*list, *entry),
                _ => return Ok(()),
            };
            let data = self.block_mut(list, BlockKind::List)?;
            for n in 0..cleared {
                put_u32(data, (entry + n) * 4, 0);
            }
            if data.iter().any(|byte| *byte != 0) {
                return Ok(());
            }
            self.release_map_block(inode, list)?;
            cleared = 1;
        }
        put_u32(&mut inode.map, place.root * 4, 0);
        Ok(())
    }
}

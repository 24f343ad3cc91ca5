//! Allocation and release of blocks.
//!
//! A search begins at a goal, where the file continues, and takes free blocks there. Otherwise it
//! looks for a run of the wanted length, in the goal's group and then in the others; the state of
//! each group shows which to skip.
//!
//! Freed blocks can't be allocated before the transaction is committed: after a power cut they
//! would belong to the old owner again, with foreign contents. The blocks after the end of a
//! growing file are reserved for it while it is open, as long as there are others.

use alloc::vec::Vec;

use super::bitmap::{fill, next_clear, next_set};
use super::filesystem::{Fs, Result};
use super::groups::{BLOCKS_UNUSED, Group};
use super::inode::Inode;
use super::metadata_cache::BlockKind;
use crate::Error;

/// Maximum number of groups to search for a run of the wanted length.
const MAX_GROUPS: u32 = 32;

/// Run of free blocks: first bit, and number.
type FreeRun = (u32, u32);

impl Fs {
    /// Returns a group, with its block bitmap initialised.
    fn block_bitmap(&mut self, number: u32) -> Result<Group> {
        let group = self.group(number)?;
        if group.flags & BLOCKS_UNUSED == 0 || !self.geometry.has_descriptor_checksums() {
            self.load(group.block_bitmap, BlockKind::BlockBitmap(number))?;
            return Ok(group);
        }
        let geometry = &self.geometry;
        let (start, count) = (geometry.group_start(number), geometry.group_blocks(number));
        let end = start + u64::from(count);
        let own: Vec<(u64, u64)> = self.zones.within(start, end).collect();
        let bitmap = self.block_new(group.block_bitmap, BlockKind::BlockBitmap(number))?;
        for (first, stop) in &own {
            let (from, to) = ((*first).max(start), (*stop).min(end));
            fill(bitmap, (from - start) as usize, (to - from) as usize, true);
        }
        pad(bitmap, count as usize);
        self.group_mut(number)?.flags &= !BLOCKS_UNUSED;
        self.group(number)
    }

    /// Initialises the block bitmap of a group that gets its first inode.
    pub fn initialise_blocks(&mut self, number: u32) -> Result<()> {
        self.block_bitmap(number).map(|_| ())
    }

    /// Returns the part of the free run from block `first` on that is available now: its start and
    /// its end.
    fn without_waiting(&self, owner: Option<u32>, first: u64, end: u64) -> (u64, u64) {
        let mut start = first;
        loop {
            let before = |map: &alloc::collections::BTreeMap<u64, u64>| {
                let known = map.range(..=start).next_back();
                known.map(|(first, len)| first + len)
            };
            let freed = before(&self.freed).filter(|end| *end > start);
            let kept = owner.and_then(|owner| {
                let known = self.reserved.range(..=start).next_back();
                known
                    .filter(|(first, (len, inode))| *inode != owner && **first + len > start)
                    .map(|(first, (len, _))| first + len)
            });
            match freed.max(kept) {
                Some(after) if after >= end => return (end, end),
                Some(after) => start = after,
                None => break,
            }
        }
        let mut stop = end;
        if let Some((next, _)) = self.freed.range(start..stop).next() {
            stop = *next;
        }
        if let Some(owner) = owner {
            let mut kept = self.reserved.range(start..stop);
            if let Some((next, _)) = kept.find(|(_, (_, inode))| *inode != owner) {
                stop = *next;
            }
        }
        (start, stop)
    }

    /// Searches a group from bit `from` on for a run of `want` free blocks; returns the longest if
    /// there is none.
    fn search(
        &mut self,
        number: u32,
        (from, want): (u32, u32),
        owner: Option<u32>,
        at_goal: bool,
    ) -> Result<Option<FreeRun>> {
        let group = match self.block_bitmap(number) {
            Err(Error::Corrupt) => {
                self.avoid(number);
                return Err(Error::Corrupt);
            }
            group => group?,
        };
        let count = self.geometry.group_blocks(number);
        let start = self.geometry.group_start(number);
        let mut best: Option<FreeRun> = None;
        let mut at = from.max(group.first_free);
        let whole = at <= group.first_free;
        let mut first_clear = None;
        while at < count {
            let Some(entry) = self.blocks.get(group.block_bitmap) else {
                return Err(Error::Io);
            };
            let bitmap = &entry.data;
            let clear = next_clear(bitmap, at as usize, count as usize) as u32;
            if clear >= count {
                break;
            }
            first_clear = first_clear.or(Some(clear));
            let most = clear.saturating_add(want.max(64)).min(count);
            let set = next_set(bitmap, clear as usize, most as usize) as u32;
            let (first, end) = (start + u64::from(clear), start + u64::from(set));
            let (first, stop) = self.without_waiting(owner, first, end);
            let found = ((first - start) as u32, (stop - first) as u32);
            if found.1 > 0 {
                if found.1 >= want || at_goal && found.0 == from {
                    return Ok(Some((found.0, found.1.min(want))));
                }
                if best.is_none_or(|best| best.1 < found.1) {
                    best = Some(found);
                }
            }
            at = if stop < end {
                found.0 + found.1.max(1)
            } else {
                set
            };
        }
        if whole && let Some(group) = self.groups.get_mut(number as usize) {
            group.longest = best.map_or(0, |best| best.1);
            // Blocks that wait for the commit or are reserved become available again.
            if !self.freed.is_empty() || owner.is_some() && !self.reserved.is_empty() {
                group.longest = u32::MAX;
            }
            if let Some(first) = first_clear {
                group.first_free = group.first_free.max(first);
            }
        }
        Ok(best)
    }

    /// Allocates up to `want` contiguous blocks, as near to `goal` as possible, for the file with
    /// the inode `owner`. Returns the first and their number.
    pub fn take_blocks(&mut self, owner: u32, goal: u64, want: u64) -> Result<(u64, u64)> {
        if self.free_blocks == 0 {
            return Err(Error::NoSpace);
        }
        let want = want.clamp(1, u64::from(self.geometry.blocks_per_group)) as u32;
        let (group, bit) = self.geometry.place_of(goal).unwrap_or((0, 0));
        let found = match self.search_groups((group, bit), want, Some(owner))? {
            Some(found) => Some(found),
            None if self.reserved.is_empty() => None,
            // The volume is full: use the blocks that are reserved for others.
            None => self.search_groups((group, bit), want, None)?,
        };
        let (number, (first, count)) = found.ok_or(Error::NoSpace)?;
        let group = self.group(number)?;
        let bitmap = self.block_mut(group.block_bitmap, BlockKind::BlockBitmap(number))?;
        fill(bitmap, first as usize, count as usize, true);
        let group = self.group_mut(number)?;
        let Some(left) = group.free_blocks.checked_sub(count) else {
            let what = "a block group has more free than it says";
            return Err(self.damaged_group(number, what, number.into()));
        };
        group.free_blocks = left;
        if group.first_free == first {
            group.first_free = first + count;
        }
        let Some(left) = self.free_blocks.checked_sub(count.into()) else {
            return Err(self.damage("more blocks are free than the superblock says", 0));
        };
        self.free_blocks = left;
        let first = self.geometry.group_start(number) + u64::from(first);
        if self.zones.has(first, count.into()) {
            return Err(self.damaged_group(number, "a bitmap that has metadata as free", first));
        }
        Ok((first, count.into()))
    }

    fn search_groups(
        &mut self,
        (group, bit): (u32, u32),
        want: u32,
        owner: Option<u32>,
    ) -> Result<Option<(u32, FreeRun)>> {
        let mut best: Option<(u32, FreeRun)> = None;
        let mut looked = 0;
        let groups = self.geometry.groups;
        for n in 0..=groups {
            let number = (group + n) % groups;
            let known = self.group(number)?;
            let from = if n == 0 { bit } else { 0 };
            if known.avoided || known.free_blocks == 0 || n > 0 && known.longest == 0 {
                continue;
            }
            // After enough groups, accept any run.
            let enough = best.is_some() && looked >= MAX_GROUPS;
            if enough {
                break;
            }
            let hopeless = n > 0 && (known.longest < want || known.free_blocks < want);
            if hopeless
                && best.is_some_and(|(_, found)| found.1 >= known.longest.min(known.free_blocks))
            {
                continue;
            }
            looked += 1;
            let Some(found) = self.search(number, (from, want), owner, n == 0 && bit > 0)? else {
                continue;
            };
            let at_goal = n == 0 && bit > 0 && found.0 == bit;
            if found.1 >= want || at_goal {
                return Ok(Some((number, (found.0, found.1.min(want)))));
            }
            if best.is_none_or(|(_, best)| best.1 < found.1) {
                best = Some((number, found));
            }
        }
        Ok(best)
    }

    /// Frees blocks; others can allocate them after the commit of the transaction.
    pub fn release_blocks(&mut self, first: u64, count: u64) -> Result<()> {
        if !self.geometry.contains(first, count) {
            return Err(self.damage("blocks given back that there aren't", first));
        }
        let (mut at, end) = (first, first + count);
        while at < end {
            let Some((number, bit)) = self.geometry.place_of(at) else {
                return Err(self.damage("blocks given back that there aren't", at));
            };
            let here = u64::from(self.geometry.group_blocks(number) - bit).min(end - at);
            if self.zones.has(at, here) {
                return Err(self.damage("a file that has metadata as its own", at));
            }
            let group = self.block_bitmap(number)?;
            let bitmap = self.block_mut(group.block_bitmap, BlockKind::BlockBitmap(number))?;
            let (from, to) = (bit as usize, bit as usize + here as usize);
            if next_clear(bitmap, from, to) < to {
                return Err(self.damage("blocks given back that are free", at));
            }
            fill(bitmap, from, here as usize, false);
            let group = self.group_mut(number)?;
            group.free_blocks += here as u32;
            group.longest = u32::MAX;
            group.first_free = group.first_free.min(bit);
            at += here;
        }
        self.free_blocks += count;
        self.freed.insert(first, count);
        self.undo.freed.push(first);
        Ok(())
    }

    /// Returns the goal for the first blocks of a file: near its inode.
    pub fn goal_of(&self, inode: &Inode) -> u64 {
        let group = inode.number.saturating_sub(1) / self.geometry.inodes_per_group.max(1);
        self.geometry
            .group_start(group.min(self.geometry.groups.saturating_sub(1)))
    }

    /// Reserves up to `count` free blocks from `first` on for a growing file.
    pub fn reserve(&mut self, owner: u32, first: u64, count: u64) {
        self.release(owner);
        let Some((number, bit)) = self.geometry.place_of(first) else {
            return;
        };
        let Some(group) = self.groups.get(number as usize) else {
            return;
        };
        let Some(entry) = self.blocks.get(group.block_bitmap) else {
            return;
        };
        let end = self
            .geometry
            .group_blocks(number)
            .min(bit.saturating_add(count as u32));
        let free = next_set(&entry.data, bit as usize, end as usize) as u64 - u64::from(bit);
        let (start, stop) = self.without_waiting(Some(owner), first, first + free);
        if start == first && stop > first {
            self.reserved.insert(first, (stop - first, owner));
        }
    }

    /// Drops the reservations of a file.
    pub fn release(&mut self, owner: u32) {
        self.reserved.retain(|_, (_, inode)| *inode != owner);
    }
}

/// Sets the bits after the first `count`.
pub fn pad(bitmap: &mut [u8], count: usize) {
    let all = bitmap.len() * 8;
    fill(bitmap, count, all - count.min(all), true);
}

//! Growing to the size of the device, at the mount (Linux: `fs/ext4/resize.c`).
//!
//! The last block group is completed, and groups are added. Each new group has its own bitmaps and
//! inode table at its start; where descriptors have checksums, most of them stay uninitialised. New
//! descriptors take the blocks that `resize_inode` reserves after the existing ones.
//!
//! 1. Metadata of the new groups is written to its place. Nothing refers to it yet.
//! 2. One transaction changes all the rest: the superblock, the descriptors, the bitmap of the last
//!    group, and the resize inode. A power cut leaves the old size or the new one.
//! 3. A checkpoint empties the journal, the superblock last. Descriptors beyond the superblock's
//!    number of groups are ignored; fewer of them are an error before a replay, for Linux and
//!    e2fsck alike. So no later transaction is replayed by a superblock that has its blocks
//!    outside.
//!    The superblock's count of metadata blocks (`s_overhead_clusters`), which only `df` of Linux
//!    uses, stays as it was: a power cut between its sector and the first one's would leave a
//!    superblock with a wrong checksum.
//! 4. The backups of superblock and descriptors follow, the first backup's superblock last: the
//!    next mount finds by it that some are missing.

use alloc::vec;
use alloc::vec::Vec;

use super::allocation::pad;
use super::bitmap::fill;
use super::fields::{group as gd, superblock as sb};
use super::filesystem::{Fs, Result};
use super::groups::{self, BLOCKS_UNUSED, Group, INODES_UNUSED};
use super::metadata_cache::BlockKind;
use super::superblock::{
    Geometry, LENGTH, MAGIC, MAX_DESCRIPTOR_BYTES, VALID, compatible, incompatible,
};
use super::unreadable;
use super::zones::table_blocks;
use crate::bytes::{part, put, put_u16, put_u32, u16_at, u32_at};
use crate::{Error, MountError};

/// Least number of bytes to grow by.
const MIN_GAIN: u64 = 1 << 20;

/// Fewest blocks for files in the last group, as in e2fsprogs.
const SPARE: u64 = 50;

/// Maximum number of bytes of the transaction, which stay in memory: enough for as many reserved
/// blocks as e2fsprogs makes (4 MiB).
const MAX_CHANGES: u64 = 6 << 20;

/// The inode whose blocks are the reserved ones, and the word of its map that refers to them.
const RESIZE_INODE: u32 = 7;
const DOUBLE_INDIRECT: usize = 13;

/// Bytes of zeros per write.
const ZEROS: usize = 128 << 10;

/// Number of blocks of a group that its own metadata takes.
fn overhead(geometry: &Geometry, group: u32) -> u64 {
    let copies = 1 + geometry.descriptor_blocks() + u64::from(geometry.reserved_descriptors);
    let copies = if geometry.has_copies(group) {
        copies
    } else {
        0
    };
    copies + 2 + table_blocks(geometry)
}

/// Returns the geometry with at most `blocks` blocks. A last group without room for files is left
/// out.
fn with_blocks(old: &Geometry, blocks: u64) -> Geometry {
    let per_group = u64::from(old.blocks_per_group);
    let groups = |blocks: u64| blocks.saturating_sub(old.first_block).div_ceil(per_group) as u32;
    let mut new = Geometry {
        blocks,
        groups: groups(blocks),
        ..old.clone()
    };
    let last = new.groups.saturating_sub(1);
    if last >= old.groups && u64::from(new.group_blocks(last)) < overhead(old, last) + SPARE {
        new.blocks = old.group_start(last);
        new.groups = last;
    }
    new.inodes = new.groups.saturating_mul(old.inodes_per_group);
    let used = new.descriptor_blocks() - old.descriptor_blocks();
    new.reserved_descriptors = u64::from(old.reserved_descriptors).saturating_sub(used) as u32;
    let share = u128::from(old.reserved) * u128::from(new.blocks) / u128::from(old.blocks.max(1));
    new.reserved = share as u64;
    new
}

/// Returns the first of the new groups with copies of the descriptors.
fn first_copies(old: &Geometry, new: &Geometry) -> Option<u32> {
    (old.groups..new.groups).find(|group| new.has_copies(*group))
}

/// Number of blocks that the transaction changes, at most.
fn changes(old: &Geometry, new: &Geometry) -> u64 {
    let per_block = (old.block / old.descriptor) as u32;
    let first = u64::from((old.groups - 1) / per_block);
    let reserved = first_copies(old, new).map_or(0, |_| new.reserved_descriptors.into());
    // The superblock, the bitmap of the last group, the resize inode and its list.
    new.descriptor_blocks() - first + reserved + 4
}

/// Plans the growth to `blocks` blocks, if `fits` holds for the number of changed blocks. Returns
/// the new geometry, if it is larger, and whether that is all of the device.
fn plan(old: &Geometry, blocks: u64, fits: &dyn Fn(u64) -> bool) -> (Option<Geometry>, bool) {
    let least = MIN_GAIN / old.block as u64;
    // The reserved blocks are listed with 32-bit numbers.
    let blocks = blocks.min(u32::MAX.into());
    if blocks < old.blocks.saturating_add(least) {
        return (None, true);
    }
    let whole = with_blocks(old, blocks).blocks;
    if whole < old.blocks + least {
        return (None, true);
    }
    let is_reserving = old.compatible & compatible::RESIZE_INODE != 0;
    let reserved = u64::from(old.reserved_descriptors);
    let copies = 1 + old.descriptor_blocks() + reserved;
    if reserved > 0 && !is_reserving
        || copies + 2 + table_blocks(old) + SPARE > old.blocks_per_group.into()
    {
        return (None, false);
    }
    let per_block = (old.block / old.descriptor) as u64;
    let groups = ((copies - 1) * per_block)
        .min(MAX_DESCRIPTOR_BYTES / old.descriptor.max(64) as u64)
        .min(u64::from(u32::MAX / old.inodes_per_group));
    let most = old.first_block + groups * u64::from(old.blocks_per_group);
    let mut new = with_blocks(old, blocks.min(most).max(old.blocks));
    if !fits(changes(old, &new)) {
        // Without new copies of the descriptors, the reserved blocks don't change.
        let Some(group) = first_copies(old, &new) else {
            return (None, false);
        };
        new = with_blocks(old, old.group_start(group));
        if !fits(changes(old, &new)) {
            return (None, false);
        }
    }
    let fills = whole < new.blocks + least;
    ((new.blocks >= old.blocks + least).then_some(new), fills)
}

impl Fs {
    /// Grows the file system to the size of its device, as far as its reserved descriptors allow.
    /// Memory may have changes of a mount, but no file is open. Fails if the disk does; otherwise
    /// the file system is usable, and a warning says why it didn't grow.
    pub fn grow(&mut self) -> core::result::Result<(), MountError> {
        let old = self.geometry.clone();
        let device = self.device_blocks();
        let block = old.block as u64;
        let room = self.journal.as_ref().map(|journal| {
            let most = journal.len - journal.first;
            move |changes: u64| {
                let needed = journal.needed(changes as usize, 0) as u64;
                changes * block <= MAX_CHANGES && needed + 1 < most.into()
            }
        });
        let (new, fills) = match &room {
            Some(room) => plan(&old, device, room),
            // Nothing would protect the files from a power cut.
            None => (None, plan(&old, device, &|_| true).0.is_none()),
        };
        if let Some(new) = new {
            let grown = self.grow_to(&new);
            let found = self.found.take().unwrap_or_default();
            match grown {
                Ok(()) => {}
                Err(Error::OutOfMemory) if !self.failed => {
                    log::warn!("ext4 volume doesn't grow: give the machine more memory");
                }
                Err(Error::Corrupt) if !self.failed => {
                    log::warn!("ext4 volume doesn't grow: {found}; repair it with e2fsck -f");
                }
                Err(error) => return Err(unreadable(error)),
            }
            self.read_again()?;
            if grown.is_ok() {
                let mib = |geometry: &Geometry| (geometry.blocks * block) >> 20;
                log::info!(
                    "ext4 volume grew from {} to {} MiB",
                    mib(&old),
                    mib(&self.geometry)
                );
            }
        }
        if !fills {
            log::warn!(
                "ext4 volume of {} MiB can't grow at the mount to its disk's {} MiB: enlarge it \
                with soil disk grow",
                (self.geometry.blocks * block) >> 20,
                (device * block) >> 20
            );
        }
        self.update_backups().map_err(unreadable)
    }

    fn grow_to(&mut self, new: &Geometry) -> Result<()> {
        self.commit()?;
        self.checkpoint()?;
        let grown = self.stage(new).and_then(|()| self.commit());
        if let Err(error) = grown {
            if !self.failed && self.unwritten.is_none() {
                // Nothing was written.
                self.groups_written();
                self.blocks.clear();
            }
            return Err(error);
        }
        self.checkpoint()
    }

    /// Makes all changes, in memory but for the metadata of new groups.
    fn stage(&mut self, new: &Geometry) -> Result<()> {
        let old = self.geometry.clone();
        let added = self.new_groups(&old, new)?;
        self.begin();
        let staged = self.stage_all(&old, new, &added);
        self.end();
        staged
    }

    fn stage_all(&mut self, old: &Geometry, new: &Geometry, added: &[Group]) -> Result<()> {
        self.complete_last_group(old, new)?;
        let is_using = new.reserved_descriptors < old.reserved_descriptors;
        if old.reserved_descriptors > 0 && (is_using || first_copies(old, new).is_some()) {
            self.stage_resize_inode(old, new)?;
        }
        self.stage_descriptors(old, added)?;
        for group in added {
            self.free_blocks += u64::from(group.free_blocks);
            self.free_inodes += group.free_inodes;
        }
        let (block, at) = old.superblock();
        let wide = old.incompatible & incompatible::IS_64BIT != 0;
        let data = self.block_mut(block, BlockKind::Super)?;
        let s = data.get_mut(at..).ok_or(Error::Io)?;
        put_u32(s, sb::INODES_COUNT, new.inodes);
        put_u16(s, sb::RESERVED_GDT_BLOCKS, new.reserved_descriptors as u16);
        for (value, low, high) in [
            (new.blocks, sb::BLOCKS_COUNT_LO, sb::BLOCKS_COUNT_HI),
            (new.reserved, sb::R_BLOCKS_COUNT_LO, sb::R_BLOCKS_COUNT_HI),
        ] {
            put_u32(s, low, value as u32);
            if wide {
                put_u32(s, high, (value >> 32) as u32);
            }
        }
        Ok(())
    }

    /// Frees the blocks by which the last group becomes longer.
    fn complete_last_group(&mut self, old: &Geometry, new: &Geometry) -> Result<()> {
        let last = old.groups - 1;
        let (before, after) = (old.group_blocks(last), new.group_blocks(last));
        let gained = after.saturating_sub(before);
        if gained == 0 {
            return Ok(());
        }
        let group = self.group(last)?;
        if group.flags & BLOCKS_UNUSED == 0 || !old.has_descriptor_checksums() {
            let bitmap = self.block_mut(group.block_bitmap, BlockKind::BlockBitmap(last))?;
            fill(bitmap, before as usize, gained as usize, false);
        }
        self.group_mut(last)?.free_blocks += gained;
        self.free_blocks += u64::from(gained);
        Ok(())
    }

    /// Writes the metadata of the new groups and returns them. Only the last one needs a bitmap
    /// where descriptors have checksums: its end is beyond the file system.
    fn new_groups(&mut self, old: &Geometry, new: &Geometry) -> Result<Vec<Group>> {
        let mut added = Vec::new();
        let count = (new.groups - old.groups) as usize;
        added
            .try_reserve_exact(count)
            .map_err(|_| Error::OutOfMemory)?;
        let tracked = old.has_descriptor_checksums();
        let per_group = old.inodes_per_group;
        let table = table_blocks(old);
        let mut bitmap = vec![0; old.block];
        for number in old.groups..new.groups {
            let own = overhead(new, number);
            let blocks = new.group_blocks(number);
            let first = new.group_start(number) + own - table - 2;
            let mut group = Group {
                block_bitmap: first,
                inode_bitmap: first + 1,
                inode_table: first + 2,
                free_blocks: blocks.saturating_sub(own as u32),
                free_inodes: per_group,
                unused_inodes: if tracked { per_group } else { 0 },
                ..Group::default()
            };
            if tracked {
                group.flags = INODES_UNUSED | BLOCKS_UNUSED;
            } else {
                bitmap.fill(0);
                pad(&mut bitmap, per_group as usize);
                self.cache.put_raw(self.sectors(first + 1), &bitmap)?;
                self.clear_blocks(first + 2, table)?;
            }
            if !tracked || number + 1 == new.groups {
                group.flags &= !BLOCKS_UNUSED;
                bitmap.fill(0);
                fill(&mut bitmap, 0, own as usize, true);
                pad(&mut bitmap, blocks as usize);
                if old.has_checksums() {
                    let kind = BlockKind::BlockBitmap(number);
                    group.block_bitmap_checksum = self.bitmap_checksum(kind, &bitmap);
                }
                self.cache.put_raw(self.sectors(first), &bitmap)?;
            }
            added.push(group);
        }
        Ok(added)
    }

    /// Writes zeros.
    fn clear_blocks(&mut self, first: u64, count: u64) -> Result<()> {
        let zeros = vec![0; ZEROS];
        let (mut at, mut left) = (self.sectors(first), count as usize * self.geometry.block);
        while left > 0 {
            let some = part(&zeros, 0, left.min(ZEROS));
            self.cache.put_raw(at, some)?;
            at += (some.len() / self.cache.sector_size()) as u64;
            left -= some.len();
        }
        Ok(())
    }

    fn stage_descriptors(&mut self, old: &Geometry, added: &[Group]) -> Result<()> {
        let per_block = (old.block / old.descriptor) as u32;
        let (superblock, _) = old.superblock();
        for (number, group) in (old.groups..).zip(added) {
            let index = u64::from(number / per_block);
            let block = superblock + 1 + index;
            let at = (number % per_block) as usize * old.descriptor;
            if at == 0 && index >= old.descriptor_blocks() {
                self.block_new(block, BlockKind::Descriptors)?;
            }
            self.block_mut(block, BlockKind::Descriptors)?;
            let entry = self.blocks.touch(block).ok_or(Error::Io)?;
            let data = entry.data.get_mut(at..at + old.descriptor);
            let data = data.ok_or(Error::Io)?;
            data.fill(0);
            group.place(data);
            group.write(data);
            if let Some(sum) = groups::checksum(old, &self.crc, number, data) {
                put_u16(data, gd::CHECKSUM, sum);
            }
        }
        Ok(())
    }

    /// Takes the reserved blocks that become descriptors from the resize inode, and adds the
    /// reserved blocks in the new groups. Each reserved block of the first group lists its
    /// counterparts in the groups with copies; the inode's double indirect block lists those of the
    /// first group, by their number among the descriptors.
    fn stage_resize_inode(&mut self, old: &Geometry, new: &Geometry) -> Result<()> {
        let mut inode = self.inode(RESIZE_INODE)?;
        let list = u64::from(u32_at(&inode.map, DOUBLE_INDIRECT * 4));
        let entries = old.block / 4;
        let with_copies = (1..new.groups).filter(|group| new.has_copies(*group));
        let distances: Vec<u32> = with_copies
            .map(|group| group.saturating_mul(old.blocks_per_group))
            .collect();
        let known = (1..old.groups).filter(|group| old.has_copies(*group));
        let known = known.count();
        let units = |reserved: u32, copies: usize| {
            (1 + u64::from(reserved) * (1 + copies as u64)) * self.units()
        };
        let mut words = inode.map.chunks_exact(4).enumerate();
        let is_sound = inode.is_regular()
            && inode.links > 0
            && inode.blocks == units(old.reserved_descriptors, known)
            && words.all(|(n, word)| n == DOUBLE_INDIRECT || word == [0; 4])
            && old.reserved_descriptors as usize <= entries
            && distances.len() <= entries;
        inode.blocks = units(new.reserved_descriptors, distances.len());
        let (superblock, _) = old.superblock();
        let first = old.descriptor_blocks();
        let (end, used) = (
            first + u64::from(old.reserved_descriptors),
            new.descriptor_blocks(),
        );
        let data = self.block_mut(list, BlockKind::List)?;
        let mut is_listed = true;
        for n in first..end {
            let at = n as usize % entries * 4;
            is_listed &= u64::from(u32_at(data, at)) == superblock + 1 + n;
            if n < used {
                put_u32(data, at, 0);
            }
        }
        if !is_sound || !is_listed {
            return Err(self.damage("the resize inode contradicts itself", RESIZE_INODE.into()));
        }
        self.write_inode(&inode)?;
        if distances.len() == known {
            return Ok(());
        }
        let run = self.run_blocks();
        for n in used..end {
            let block = superblock + 1 + n;
            if (n - used).is_multiple_of(run) {
                // Nothing is rolled back, so the old contents needn't stay in memory.
                self.end();
                self.begin();
                let count = run.min(end - n);
                self.load_run((block, count), &|_| BlockKind::Descriptors)?;
            }
            let data = self.block_mut(block, BlockKind::Descriptors)?;
            let mut is_listed = true;
            for (at, distance) in distances.iter().enumerate() {
                let counterpart = distance.saturating_add(block as u32);
                if at < known {
                    is_listed &= u32_at(data, at * 4) == counterpart;
                }
                put_u32(data, at * 4, counterpart);
            }
            if !is_listed {
                return Err(self.damage("a reserved descriptor block contradicts itself", block));
            }
        }
        Ok(())
    }

    /// Returns the groups with copies of superblock and descriptors, without the first group.
    fn backup_groups(&self) -> impl DoubleEndedIterator<Item = u32> + use<> {
        let geometry = self.geometry.clone();
        (1..geometry.groups).filter(move |group| geometry.has_copies(*group))
    }

    /// Writes the backups of superblock and descriptors, unless the first one has the current size.
    fn update_backups(&mut self) -> Result<()> {
        let Some(first) = self.backup_groups().next() else {
            return Ok(());
        };
        let geometry = self.geometry.clone();
        let (superblock, at) = geometry.superblock();
        let mut data = vec![0; geometry.block];
        self.cache.read_raw(self.sectors(superblock), &mut data)?;
        let mut copy = vec![0; geometry.block];
        put(&mut copy, 0, part(&data, at, at + LENGTH));
        let start = self.sectors(geometry.group_start(first));
        self.cache.read_raw(start, &mut data)?;
        let fields = [sb::BLOCKS_COUNT_LO, sb::BLOCKS_COUNT_HI, sb::INODES_COUNT];
        let same = |at: usize| u32_at(&data, at) == u32_at(&copy, at);
        // The checksum is in another sector than the sizes, which a power cut may have separated.
        let sum = self.crc.update(!0, part(&data, 0, sb::CHECKSUM));
        let is_whole = !geometry.has_checksums() || u32_at(&data, sb::CHECKSUM) == sum;
        if u16_at(&data, sb::MAGIC) == MAGIC && fields.into_iter().all(same) && is_whole {
            return Ok(());
        }
        let state = u16_at(&copy, sb::STATE) & !VALID;
        put_u16(&mut copy, sb::STATE, state);
        let features = u32_at(&copy, sb::FEATURE_INCOMPAT) & !incompatible::RECOVER;
        put_u32(&mut copy, sb::FEATURE_INCOMPAT, features);
        let mut descriptors = vec![0; self.run_blocks() as usize * geometry.block];
        for group in self.backup_groups().rev() {
            let start = geometry.group_start(group);
            let (mut n, all) = (0, geometry.descriptor_blocks());
            while n < all {
                let count = self.run_blocks().min(all - n);
                let some = descriptors.get_mut(..count as usize * geometry.block);
                let some = some.unwrap_or_default();
                self.cache
                    .read_raw(self.sectors(superblock + 1 + n), some)?;
                self.cache.put_raw(self.sectors(start + 1 + n), some)?;
                n += count;
            }
            put_u16(&mut copy, sb::BLOCK_GROUP_NR, group as u16);
            if geometry.has_checksums() {
                let sum = self.crc.update(!0, part(&copy, 0, sb::CHECKSUM));
                put_u32(&mut copy, sb::CHECKSUM, sum);
            }
            if group == first {
                self.cache.commit_raw()?;
                self.cache.flush()?;
            }
            self.cache.put_raw(self.sectors(start), &copy)?;
        }
        self.cache.commit_raw()?;
        Ok(self.cache.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Of any superblock that a mount accepts.
        #[test]
        fn plans_are_consistent(
            shift in 10_u32..13,
            blocks in 9_u64..1 << 34,
            device in any::<u64>(),
            per_group in 64_u32..32_769,
            inodes in 1_u32..32_769,
            descriptor in 5_u32..8,
            reserved in any::<u16>(),
            (features, to_write) in (any::<u32>(), any::<u32>()),
            most in 0_u64..3000,
        ) {
            let block = 1_usize << shift;
            let mut old = Geometry {
                block,
                blocks,
                reserved: blocks / 20,
                first_block: u64::from(block == 1024),
                blocks_per_group: per_group.min(block as u32 * 8),
                inodes_per_group: inodes.min(block as u32 * 8),
                inode_size: 256,
                descriptor: 1 << descriptor,
                compatible: features,
                to_write,
                reserved_descriptors: reserved.into(),
                ..Geometry::default()
            };
            let groups = (blocks - old.first_block).div_ceil(old.blocks_per_group.into());
            // Larger tables are refused before a plan is made.
            if groups * old.descriptor.max(64) as u64 > MAX_DESCRIPTOR_BYTES {
                return Ok(());
            }
            prop_assume!(groups * u64::from(old.inodes_per_group) <= u32::MAX.into());
            old.groups = groups as u32;
            old.inodes = old.groups * old.inodes_per_group;
            let (new, _) = plan(&old, device, &|changes| changes < most);
            let Some(new) = new else { return Ok(()) };
            prop_assert!(new.blocks > old.blocks && new.blocks <= device);
            prop_assert!(new.blocks * block as u64 >= old.blocks * block as u64 + MIN_GAIN);
            let groups = (new.blocks - new.first_block).div_ceil(new.blocks_per_group.into());
            prop_assert_eq!(groups, new.groups.into());
            prop_assert_eq!(u64::from(new.inodes), groups * u64::from(new.inodes_per_group));
            prop_assert!(groups * new.descriptor.max(64) as u64 <= MAX_DESCRIPTOR_BYTES);
            let all = |geometry: &Geometry| {
                geometry.descriptor_blocks() + u64::from(geometry.reserved_descriptors)
            };
            prop_assert_eq!(all(&new), all(&old));
            prop_assert!(changes(&old, &new) < most && new.reserved <= new.blocks);
            for number in old.groups..new.groups.min(old.groups + 300) {
                prop_assert!(overhead(&new, number) <= new.group_blocks(number).into());
            }
        }

        /// Geometries as mkfs.ext4 makes them: the whole device is used but for a last group
        /// without room for files.
        #[test]
        fn usual_file_systems_grow_to_the_end(from in 8_u64..2048, to in 8_u64..8192) {
            let (blocks, device) = (from << 8, to << 8);
            let groups = blocks.div_ceil(32768) as u32;
            let old = Geometry {
                block: 4096,
                blocks,
                blocks_per_group: 32768,
                inodes_per_group: 8192,
                inode_size: 256,
                descriptor: 64,
                groups,
                inodes: groups * 8192,
                compatible: compatible::RESIZE_INODE,
                reserved_descriptors: 100,
                ..Geometry::default()
            };
            let (new, fills) = plan(&old, device, &|_| true);
            prop_assert!(fills);
            match new {
                Some(new) => prop_assert!(device - new.blocks < 1024),
                None => prop_assert!(device < blocks + 1024),
            }
        }
    }
}

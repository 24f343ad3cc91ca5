//! Extent trees (kernel documentation, "Extent Tree"): map the blocks of a file to the disk.
//!
//! The root is in the inode, the other nodes are blocks. A node's key in its parent always equals
//! its first key, as `e2fsck` requires. Each change searches from the root again: that costs a few
//! searches in memory, and leaves no state between steps that could become stale.

use super::fields::{extent as ee, extent_header as eh, extent_index as ei};
use super::filesystem::{Fs, Result};
use super::inode::Inode;
use super::metadata_cache::{BlockKind, Owner};
use crate::Error;
use crate::bytes::{clear, put_u16, put_u32, u16_at, u32_at, u48_at};

const MAGIC: u16 = 0xf30a;

/// Maximum depth: five levels address all blocks of the largest file.
const MAX_DEPTH: u16 = 5;

/// Bytes of a header, and of each entry.
const HEADER: usize = 12;
const ENTRY: usize = 12;

/// Maximum number of blocks in a written extent; a larger length marks an unwritten extent of that
/// many blocks less.
const MAX_WRITTEN: u32 = 32_768;

/// Maximum number of blocks in an unwritten extent.
pub const MAX_UNWRITTEN: u64 = 32_767;

/// End of the block numbers of a file.
pub const END: u64 = 1 << 32;

/// Contiguous blocks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub start: u32,
    pub physical: u64,
    pub len: u32,
    pub unwritten: bool,
}

impl Extent {
    pub fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.len)
    }

    fn max(&self) -> u32 {
        MAX_WRITTEN - u32::from(self.unwritten)
    }

    /// Whether `next` continues this extent, in the file and on the disk, and the sum isn't too
    /// long.
    fn is_continued_by(&self, next: &Self) -> bool {
        self.unwritten == next.unwritten
            && self.end() == u64::from(next.start)
            && self.physical + u64::from(self.len) == next.physical
            && self.len + next.len <= self.max()
    }
}

fn count(node: &[u8]) -> usize {
    u16_at(node, eh::ENTRIES).into()
}

fn room(node: &[u8]) -> usize {
    u16_at(node, eh::MAX).into()
}

fn depth(node: &[u8]) -> u16 {
    u16_at(node, eh::DEPTH)
}

fn key(node: &[u8], index: usize) -> u32 {
    u32_at(node, HEADER + index * ENTRY + ei::BLOCK)
}

fn child(node: &[u8], index: usize) -> u64 {
    let at = HEADER + index * ENTRY;
    u48_at(node, at + ei::LEAF_LO, at + ei::LEAF_HI)
}

fn extent(node: &[u8], index: usize) -> Extent {
    let at = HEADER + index * ENTRY;
    let len = u32::from(u16_at(node, at + ee::LEN));
    let unwritten = len > MAX_WRITTEN;
    Extent {
        start: u32_at(node, at + ee::BLOCK),
        physical: u48_at(node, at + ee::START_LO, at + ee::START_HI),
        len: if unwritten { len - MAX_WRITTEN } else { len },
        unwritten,
    }
}

fn put_extent(node: &mut [u8], index: usize, extent: &Extent) {
    let at = HEADER + index * ENTRY;
    let mark = if extent.unwritten { MAX_WRITTEN } else { 0 };
    put_u32(node, at + ee::BLOCK, extent.start);
    put_u16(node, at + ee::LEN, (extent.len + mark) as u16);
    put_u16(node, at + ee::START_HI, (extent.physical >> 32) as u16);
    put_u32(node, at + ee::START_LO, extent.physical as u32);
}

fn put_child(node: &mut [u8], index: usize, key: u32, block: u64) {
    let at = HEADER + index * ENTRY;
    put_u32(node, at + ei::BLOCK, key);
    put_u32(node, at + ei::LEAF_LO, block as u32);
    put_u16(node, at + ei::LEAF_HI, (block >> 32) as u16);
    put_u16(node, at + ei::UNUSED, 0);
}

/// Offset of the checksum in a tree block: after the last entry that the block has room for.
pub fn checksum_at(node: &[u8]) -> usize {
    HEADER + room(node) * ENTRY
}

/// Makes room for an entry.
fn open(node: &mut [u8], index: usize) {
    let count = count(node);
    let (from, to) = (HEADER + index * ENTRY, HEADER + count * ENTRY);
    if from <= to && to + ENTRY <= node.len() {
        node.copy_within(from..to, from + ENTRY);
        put_u16(node, eh::ENTRIES, count as u16 + 1);
    }
}

/// Removes an entry.
fn close(node: &mut [u8], index: usize) {
    let count = count(node);
    let (from, to) = (HEADER + index * ENTRY, HEADER + count * ENTRY);
    if index < count && to <= node.len() {
        node.copy_within(from + ENTRY..to, from);
        clear(node, to - ENTRY..to);
        put_u16(node, eh::ENTRIES, count as u16 - 1);
    }
}

fn begin(node: &mut [u8], depth: u16) {
    // Every block ends in four bytes for its checksum.
    let room = (node.len() - HEADER) / ENTRY;
    put_u16(node, eh::MAGIC, MAGIC);
    put_u16(node, eh::ENTRIES, 0);
    put_u16(node, eh::MAX, room as u16);
    put_u16(node, eh::DEPTH, depth);
    put_u32(node, eh::GENERATION, 0);
}

/// Whether a node is valid and its entries are sorted.
pub fn is_valid(node: &[u8]) -> bool {
    let (count, room, depth) = (count(node), room(node), depth(node));
    if u16_at(node, eh::MAGIC) != MAGIC
        || depth > MAX_DEPTH
        || count > room
        || HEADER + room * ENTRY > node.len()
        || depth > 0 && count == 0
    {
        return false;
    }
    let mut end = 0;
    (0..count).all(|index| {
        let start = u64::from(key(node, index));
        let in_order = start >= end;
        end = if depth > 0 {
            start + 1
        } else {
            extent(node, index).end()
        };
        in_order && end > start && end <= END
    })
}

/// Returns the extent of `block` if the root alone is a valid tree, as for most files.
fn in_root(root: &[u8], block: u32) -> Option<Extent> {
    if depth(root) > 0 || !is_valid(root) {
        return None;
    }
    let mut extents = (0..count(root)).map(|index| extent(root, index));
    extents.find(|found| found.start <= block && u64::from(block) < found.end())
}

/// Node on the path to a block: its number, 0 for the root, and the index of its entry. In a leaf
/// the index is the number of extents that begin at or before the block.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    block: u64,
    index: usize,
}

/// Nodes on the path to a block.
#[derive(Debug, Clone, Copy, Default)]
struct Path {
    steps: [Step; MAX_DEPTH as usize + 1],
    len: usize,
}

impl Path {
    fn get(&self, level: usize) -> Step {
        self.steps.get(level).copied().unwrap_or_default()
    }

    fn push(&mut self, step: Step) {
        if let Some(place) = self.steps.get_mut(self.len) {
            *place = step;
            self.len += 1;
        }
    }

    fn leaf(&self) -> Step {
        self.get(self.len.saturating_sub(1))
    }
}

impl Inode {
    pub fn owner(&self) -> Owner {
        Owner {
            inode: self.number,
            generation: self.generation,
        }
    }

    /// Initialises the map as an empty tree.
    pub fn begin_extents(&mut self) {
        self.map = [0; _];
        begin(&mut self.map, 0);
    }
}

impl Fs {
    fn node<'a>(&'a mut self, inode: &'a Inode, block: u64) -> Result<&'a [u8]> {
        if block == 0 {
            Ok(&inode.map)
        } else {
            self.block(block, BlockKind::Extents(inode.owner()))
        }
    }

    fn node_mut<'a>(&'a mut self, inode: &'a mut Inode, block: u64) -> Result<&'a mut [u8]> {
        if block == 0 {
            Ok(&mut inode.map)
        } else {
            self.block_mut(block, BlockKind::Extents(inode.owner()))
        }
    }

    fn wrong_keys(&mut self, inode: &Inode) -> Error {
        self.damage(
            "a tree of extents whose keys are wrong",
            inode.number.into(),
        )
    }

    fn find_extent(&mut self, inode: &Inode, wanted: u32) -> Result<Path> {
        if !is_valid(&inode.map) {
            return Err(self.damage(
                "an inode's extents contradict each other",
                inode.number.into(),
            ));
        }
        let mut path = Path::default();
        let mut block = 0;
        for left in (0..=depth(&inode.map)).rev() {
            let node = self.node(inode, block)?;
            if depth(node) != left {
                return Err(self.damage("a tree of extents of unequal depth", block));
            }
            let (mut low, mut high) = (0, count(node));
            while low < high {
                let middle = (low + high) / 2;
                if key(node, middle) <= wanted {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            let index = if left > 0 { low.saturating_sub(1) } else { low };
            let next = child(node, index);
            path.push(Step { block, index });
            block = next;
            if left > 0 && block == 0 {
                return Err(self.damage("a tree of extents leads nowhere", inode.number.into()));
            }
        }
        Ok(path)
    }

    /// Returns the first key after those of the leaf at the end of `path`.
    fn next_key(&mut self, inode: &Inode, path: &Path) -> Result<Option<u32>> {
        for level in (0..path.len.saturating_sub(1)).rev() {
            let step = path.get(level);
            let node = self.node(inode, step.block)?;
            if step.index + 1 < count(node) {
                return Ok(Some(key(node, step.index + 1)));
            }
        }
        Ok(None)
    }

    fn check_extent(&mut self, found: Extent) -> Result<Extent> {
        if self.is_valid_data_range(found.physical, found.len.into()) {
            return Ok(found);
        }
        Err(self.damage("an extent that has no blocks for files", found.physical))
    }

    /// Returns the extent of `block`, or the end of the hole around it.
    pub fn extent_at(
        &mut self,
        inode: &Inode,
        block: u32,
    ) -> Result<core::result::Result<Extent, u64>> {
        if let Some(found) = in_root(&inode.map, block) {
            return self.check_extent(found).map(Ok);
        }
        let path = self.find_extent(inode, block)?;
        let leaf = path.leaf();
        let node = self.node(inode, leaf.block)?;
        if leaf.index > 0 {
            let found = extent(node, leaf.index - 1);
            if found.end() > u64::from(block) {
                return self.check_extent(found).map(Ok);
            }
        }
        if leaf.index < count(node) {
            return Ok(Err(key(node, leaf.index).into()));
        }
        let next = self.next_key(inode, &path)?;
        Ok(Err(next.map_or(END, u64::from)))
    }

    /// Updates the keys in the ancestors of a node whose first key has changed.
    fn set_first_key(
        &mut self,
        inode: &mut Inode,
        path: &Path,
        level: usize,
        key: u32,
    ) -> Result<()> {
        for level in (0..level).rev() {
            let step = path.get(level);
            let node = self.node_mut(inode, step.block)?;
            put_u32(node, HEADER + step.index * ENTRY, key);
            if step.index > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Inserts an extent into a hole of the file.
    pub fn insert_extent(&mut self, inode: &mut Inode, new: Extent) -> Result<()> {
        // Each round that doesn't end frees an entry in one level.
        for _ in 0..=2 * MAX_DEPTH + 2 {
            let path = self.find_extent(inode, new.start)?;
            let level = path.len.saturating_sub(1);
            let Step { block, index } = path.leaf();
            let node = self.node(inode, block)?;
            let before = (index > 0).then(|| extent(node, index - 1));
            let after = (index < count(node)).then(|| extent(node, index));
            let is_full = count(node) >= room(node);
            let overlaps = before.is_some_and(|before| before.end() > new.start.into())
                || after.is_some_and(|after| new.end() > after.start.into());
            if overlaps {
                return Err(self.damage("extents that overlap", inode.number.into()));
            }
            if let Some(before) = before.filter(|before| before.is_continued_by(&new)) {
                let mut whole = Extent {
                    len: before.len + new.len,
                    ..before
                };
                let node = self.node_mut(inode, block)?;
                if let Some(after) = after.filter(|after| whole.is_continued_by(after)) {
                    whole.len += after.len;
                    close(node, index);
                }
                put_extent(node, index - 1, &whole);
                return Ok(());
            }
            if let Some(after) = after.filter(|after| new.is_continued_by(after)) {
                let whole = Extent {
                    len: new.len + after.len,
                    ..new
                };
                put_extent(self.node_mut(inode, block)?, index, &whole);
            } else if is_full {
                self.make_room(inode, &path)?;
                continue;
            } else {
                let node = self.node_mut(inode, block)?;
                open(node, index);
                put_extent(node, index, &new);
            }
            if index == 0 {
                self.set_first_key(inode, &path, level, new.start)?;
            }
            return Ok(());
        }
        Err(self.damage("a tree of extents without room", inode.number.into()))
    }

    /// Splits the node below the lowest one with room, or adds a level.
    fn make_room(&mut self, inode: &mut Inode, path: &Path) -> Result<()> {
        let last = path.len.saturating_sub(1);
        for level in (0..last).rev() {
            let node = self.node(inode, path.get(level).block)?;
            if count(node) < room(node) {
                return self.split_node(inode, path, level);
            }
        }
        if depth(&inode.map) >= MAX_DEPTH {
            return Err(Error::TooLarge);
        }
        let block = self.new_map_block(inode)?;
        let (map, owner) = (inode.map, inode.owner());
        let node = self.block_new(block, BlockKind::Extents(owner))?;
        begin(node, depth(&map));
        let entries = count(&map) * ENTRY;
        put_u16(node, eh::ENTRIES, count(&map) as u16);
        if let (Some(to), Some(from)) = (
            node.get_mut(HEADER..HEADER + entries),
            map.get(HEADER..HEADER + entries),
        ) {
            to.copy_from_slice(from);
        }
        begin(&mut inode.map, depth(&map) + 1);
        put_u16(&mut inode.map, eh::ENTRIES, 1);
        put_child(&mut inode.map, 0, key(&map, 0), block);
        Ok(())
    }

    /// Splits the node of `path` at `level`: in the middle, or near its end if the path continues
    /// there, so that growing files have full nodes.
    fn split_node(&mut self, inode: &mut Inode, path: &Path, level: usize) -> Result<()> {
        let (parent, step) = (path.get(level), path.get(level + 1));
        let node = self.node(inode, step.block)?;
        let (entries, depth) = (count(node), depth(node));
        if entries < 2 {
            return Err(self.damage("a tree of extents with tiny nodes", inode.number.into()));
        }
        let at_end = step.index + usize::from(depth > 0) >= entries;
        let stay = if at_end { entries - 1 } else { entries / 2 };
        let block = self.new_map_block(inode)?;
        let node = self.node_mut(inode, step.block)?;
        let first = key(node, stay);
        let range = HEADER + stay * ENTRY..HEADER + entries * ENTRY;
        let moved = node.get(range.clone()).unwrap_or_default().to_vec();
        clear(node, range);
        put_u16(node, eh::ENTRIES, stay as u16);
        let owner = inode.owner();
        let new = self.block_new(block, BlockKind::Extents(owner))?;
        begin(new, depth);
        put_u16(new, eh::ENTRIES, (entries - stay) as u16);
        if let Some(to) = new.get_mut(HEADER..HEADER + moved.len()) {
            to.copy_from_slice(&moved);
        }
        let node = self.node_mut(inode, parent.block)?;
        open(node, parent.index + 1);
        put_child(node, parent.index + 1, first, block);
        Ok(())
    }

    /// Removes the first extent that overlaps the blocks `from` to before `to`, as far as it lies
    /// in them. `None` if there is none.
    pub fn take_extent(&mut self, inode: &mut Inode, from: u32, to: u64) -> Result<Option<Extent>> {
        let first = match self.extent_at(inode, from)? {
            Ok(_) => from,
            Err(next) if next < to => next as u32,
            Err(_) => return Ok(None),
        };
        let path = self.find_extent(inode, first)?;
        let level = path.len.saturating_sub(1);
        let Step { block, index } = path.leaf();
        let node = self.node(inode, block)?;
        let Some(index) = index.checked_sub(1) else {
            return Err(self.wrong_keys(inode));
        };
        let found = extent(node, index);
        let (start, end) = (u64::from(first), found.end().min(to));
        if end <= start {
            return Err(self.wrong_keys(inode));
        }
        if !self.is_valid_data_range(found.physical, found.len.into()) {
            return Err(self.damage("an extent that has no blocks for files", found.physical));
        }
        let part = |start: u64, end: u64| Extent {
            start: start as u32,
            physical: found.physical + (start - u64::from(found.start)),
            len: (end - start) as u32,
            unwritten: found.unwritten,
        };
        let node = self.node_mut(inode, block)?;
        if start > found.start.into() {
            put_extent(node, index, &part(found.start.into(), start));
            if end < found.end() {
                self.insert_extent(inode, part(end, found.end()))?;
            }
        } else if end < found.end() {
            put_extent(node, index, &part(end, found.end()));
            if index == 0 {
                self.set_first_key(inode, &path, level, end as u32)?;
            }
        } else {
            close(node, index);
            self.free_empty_nodes(inode, &path, index)?;
        }
        Ok(Some(part(start, end)))
    }

    /// Frees nodes that became empty when the entry `index` of the leaf was removed.
    fn free_empty_nodes(&mut self, inode: &mut Inode, path: &Path, index: usize) -> Result<()> {
        let mut gone = index;
        for level in (0..path.len).rev() {
            let step = path.get(level);
            let node = self.node(inode, step.block)?;
            if count(node) > 0 {
                let first = key(node, 0);
                if gone == 0 {
                    self.set_first_key(inode, path, level, first)?;
                }
                return Ok(());
            }
            if level == 0 {
                begin(&mut inode.map, 0);
                return Ok(());
            }
            self.release_map_block(inode, step.block)?;
            let parent = path.get(level - 1);
            close(self.node_mut(inode, parent.block)?, parent.index);
            gone = parent.index;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ENTRY, Extent, HEADER, MAX_UNWRITTEN, MAX_WRITTEN, extent, put_extent};

    /// Kernel documentation, "Extent Tree": 32,768 blocks in a written extent, one less in an
    /// unwritten one, which is marked by its length. Extents become one up to that, and an entry
    /// has room for it.
    #[test]
    fn extents_join_up_to_the_longest_that_an_entry_holds() {
        let mut node = [0; HEADER + ENTRY];
        for (unwritten, limit) in [(false, MAX_WRITTEN), (true, MAX_UNWRITTEN as u32)] {
            for first in [1, 7, limit / 2, limit - 1, limit] {
                for sum in [limit - 1, limit, limit + 1, MAX_WRITTEN + 1] {
                    if sum <= first {
                        continue;
                    }
                    let extent_of = |start: u32, len| Extent {
                        start: 1000 + start,
                        physical: 1 << 33 | u64::from(start),
                        len,
                        unwritten,
                    };
                    let one = extent_of(0, first);
                    let next = extent_of(first, sum - first);
                    let joins = one.is_continued_by(&next);
                    assert_eq!(joins, sum <= limit, "{first} of {sum}, {unwritten}");
                    if joins {
                        let both = extent_of(0, sum);
                        put_extent(&mut node, 0, &both);
                        assert_eq!(extent(&node, 0), both);
                    }
                    let other = Extent {
                        unwritten: !unwritten,
                        ..next
                    };
                    assert!(!one.is_continued_by(&other));
                }
            }
        }
    }
}

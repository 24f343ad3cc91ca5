//! Directory indexes (kernel documentation, "Hash Tree Directories"): map hashes of names to the
//! blocks of their entries.
//!
//! The first block of an indexed directory is the root, which looks like a block with only `.` and
//! `..`; other nodes look like blocks without entries. An entry of a node covers the hashes from
//! its own to before that of the next entry. If the lowest bit of the hash is set, names with that
//! hash are in the preceding block as well.

use alloc::vec::Vec;

use super::filesystem::{Fs, Result};
use super::hash::{Hash, Hasher};
use super::inode::{INDEXED, Inode};
use super::metadata_cache::BlockKind;
use super::records::{self, TAIL, put_record, record_len};
use crate::Error;
use crate::bytes::{put_u16, put_u32, u16_at, u32_at};

/// Maximum number of levels of nodes without `large_dir`, root included.
const MAX_LEVELS: usize = 2;

/// Offset of the first entry of a root, and of other nodes.
const ROOT_ENTRIES: usize = 0x20;
const NODE_ENTRIES: usize = 8;

/// Offset of the first entry of an index block: the root begins with `.`.
pub fn entries_at(data: &[u8]) -> usize {
    if u32_at(data, 0) != 0 {
        ROOT_ENTRIES
    } else {
        NODE_ENTRIES
    }
}

fn count(data: &[u8]) -> usize {
    u16_at(data, entries_at(data) + 2).into()
}

fn room(data: &[u8]) -> usize {
    u16_at(data, entries_at(data)).into()
}

fn set_count(data: &mut [u8], count: usize) {
    let at = entries_at(data);
    put_u16(data, at + 2, count as u16);
}

/// The first entry has no hash: limit and count take its place.
fn hash_at(data: &[u8], index: usize) -> u32 {
    if index == 0 {
        0
    } else {
        u32_at(data, entries_at(data) + index * 8)
    }
}

fn child_at(data: &[u8], index: usize) -> u32 {
    u32_at(data, entries_at(data) + index * 8 + 4) & 0x0fff_ffff
}

fn levels(root: &[u8]) -> usize {
    usize::from(root.get(0x1e).copied().unwrap_or(0)) + 1
}

/// Inserts an entry after another.
fn insert(data: &mut [u8], index: usize, hash: u32, block: u32) {
    let start = entries_at(data);
    let (from, to) = (start + (index + 1) * 8, start + count(data) * 8);
    if from <= to && to + 8 <= data.len() {
        data.copy_within(from..to, from + 8);
        put_u32(data, from, hash);
        put_u32(data, from + 4, block);
        set_count(data, count(data) + 1);
    }
}

/// Whether a block is a valid index block with sorted entries.
pub fn is_valid(data: &[u8], with_tail: bool) -> bool {
    let start = entries_at(data);
    let tail = if with_tail { 8 } else { 0 };
    let most = (data.len() - start - tail) / 8;
    let (count, room) = (count(data), room(data));
    let head = if start == ROOT_ENTRIES {
        u16_at(data, 4) == TAIL as u16
            && usize::from(u16_at(data, 0x10)) == data.len() - TAIL
            && data.get(0x1d) == Some(&8)
            && levels(data) <= MAX_LEVELS
    } else {
        usize::from(u16_at(data, 4)) == data.len()
    };
    let in_order = |index: usize| hash_at(data, index - 1) <= hash_at(data, index);
    head && count >= 1 && count <= room && room <= most && (1..count).all(in_order)
}

/// Node on the path to a leaf: its block on the disk, and the index of its entry.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    block: u64,
    index: usize,
    count: usize,
}

/// Path to the entries with a given hash.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    steps: [Step; MAX_LEVELS],
    levels: usize,
    leaf: u32,
    /// Number of the leaf on the disk, once it was looked up.
    block: Option<u64>,
    pub hash: Hash,
    pub hasher: Hasher,
}

impl Probe {
    /// Number of the leaf in the directory.
    pub fn leaf(&self) -> u32 {
        self.leaf
    }
}

impl Fs {
    fn hasher(&self, version: u8) -> Hasher {
        Hasher {
            version,
            unsigned: self.geometry.hash_unsigned,
            seed: self.geometry.hash_seed,
        }
    }

    /// Returns the root of an indexed directory: its block on the disk, and its hash function.
    fn root(&mut self, directory: &Inode) -> Result<(u64, Hasher)> {
        let owner = directory.owner();
        let physical = match self.last_root {
            Some((last, physical)) if last == owner => physical,
            _ => self.directory_block(directory, 0)?,
        };
        self.last_root = Some((owner, physical));
        let root = self.block(physical, BlockKind::Index(owner))?;
        let version = root.get(0x1c).copied().unwrap_or(0);
        if entries_at(root) != ROOT_ENTRIES || version > 2 {
            return Err(self.damage(
                "a directory's index of an unknown kind",
                directory.number.into(),
            ));
        }
        Ok((physical, self.hasher(version)))
    }

    /// Returns the path to a name.
    pub fn probe(&mut self, directory: &Inode, name: &[u8]) -> Result<Option<Probe>> {
        let (root, hasher) = self.root(directory)?;
        match hasher.hash(name) {
            Some(hash) => self.probe_from(directory, root, hasher, hash).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the path to a hash.
    pub fn probe_hash(&mut self, directory: &Inode, hash: Hash) -> Result<Probe> {
        let (root, hasher) = self.root(directory)?;
        self.probe_from(directory, root, hasher, hash)
    }

    fn probe_from(
        &mut self,
        directory: &Inode,
        root: u64,
        hasher: Hasher,
        hash: Hash,
    ) -> Result<Probe> {
        let mut probe = Probe {
            steps: [Step::default(); MAX_LEVELS],
            levels: 0,
            leaf: 0,
            block: None,
            hash,
            hasher,
        };
        self.descend(directory, &mut probe, (0, root), Some(hash.0))?;
        Ok(probe)
    }

    /// Returns the number of the leaf on the disk.
    pub fn leaf_block(&mut self, directory: &Inode, probe: &mut Probe) -> Result<u64> {
        let block = match probe.block {
            Some(block) => block,
            None => self.directory_block(directory, probe.leaf.into())?,
        };
        probe.block = Some(block);
        Ok(block)
    }

    /// Descends from a node, given by its level and its block on the disk, to the leaf for `hash`,
    /// or to the first leaf.
    fn descend(
        &mut self,
        directory: &Inode,
        probe: &mut Probe,
        (level, block): (usize, u64),
        hash: Option<u32>,
    ) -> Result<()> {
        let mut physical = block;
        for level in level..MAX_LEVELS {
            let data = self.block(physical, BlockKind::Index(directory.owner()))?;
            if (entries_at(data) == ROOT_ENTRIES) != (level == 0) {
                return Err(self.damage("a directory's index with two roots", physical));
            }
            if level == 0 {
                probe.levels = levels(data);
            }
            let (mut low, mut high) = (1, count(data));
            while low < high && hash.is_some() {
                let middle = (low + high) / 2;
                if hash.is_some_and(|hash| hash_at(data, middle) <= hash) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            let index = low - 1;
            let (block, count) = (child_at(data, index), count(data));
            if let Some(step) = probe.steps.get_mut(level) {
                *step = Step {
                    block: physical,
                    index,
                    count,
                };
            }
            if level + 1 == probe.levels {
                (probe.leaf, probe.block) = (block, None);
                break;
            }
            physical = self.directory_block(directory, block.into())?;
        }
        if probe.leaf == 0 {
            return Err(self.damage(
                "a directory's index that leads to itself",
                directory.number.into(),
            ));
        }
        Ok(())
    }

    /// Advances to the next leaf; with `only`, just if names with that hash may be in it.
    pub fn advance(
        &mut self,
        directory: &Inode,
        probe: &mut Probe,
        only: Option<u32>,
    ) -> Result<bool> {
        for level in (0..probe.levels.min(MAX_LEVELS)).rev() {
            let Some(step) = probe.steps.get_mut(level) else {
                return Ok(false);
            };
            if step.index + 1 >= step.count {
                continue;
            }
            step.index += 1;
            let step = *step;
            let data = self.block(step.block, BlockKind::Index(directory.owner()))?;
            let (hash, block) = (hash_at(data, step.index), child_at(data, step.index));
            if only.is_some_and(|only| hash & 1 == 0 || hash & !1 != only) {
                return Ok(false);
            }
            if level + 1 == probe.levels {
                if block == 0 {
                    return Err(self.damage("a directory's index that leads to itself", step.block));
                }
                (probe.leaf, probe.block) = (block, None);
            } else {
                let physical = self.directory_block(directory, block.into())?;
                self.descend(directory, probe, (level + 1, physical), None)?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Returns the first hash of the leaf after this one.
    pub fn next_hash(&mut self, directory: &Inode, probe: &Probe) -> Result<Option<u32>> {
        for level in (0..probe.levels.min(MAX_LEVELS)).rev() {
            let step = probe.steps.get(level).copied().unwrap_or_default();
            if step.index + 1 < step.count {
                let data = self.block(step.block, BlockKind::Index(directory.owner()))?;
                return Ok(Some(hash_at(data, step.index + 1)));
            }
        }
        Ok(None)
    }

    /// Builds the index of a directory of one block; `false` if that isn't possible.
    pub fn make_index(&mut self, directory: &mut Inode) -> Result<bool> {
        let kind = BlockKind::Leaf(directory.owner());
        let version = if self.geometry.hash_version <= 2 {
            self.geometry.hash_version
        } else {
            1
        };
        let first = self.directory_block(directory, 0)?;
        let data = self.block(first, kind)?.to_vec();
        let parent = u16_at(&data, 4) as usize;
        let names: Vec<&[u8]> = records::all(&data)
            .take(2)
            .map(|record| record.name)
            .collect();
        if names != [b".".as_slice(), b".."] || parent != TAIL {
            return Ok(false);
        }
        let (above, kind_of_entry) = (u32_at(&data, TAIL), data.get(7).copied().unwrap_or(0));
        let (second, number) = self.add_leaf(directory)?;
        let leaf = self.block_mut(second, kind)?;
        let mut room = records::room(leaf, 0).ok_or(Error::NoSpace)?;
        for record in records::all(&data)
            .skip(2)
            .filter(|record| record.inode != 0)
        {
            let entry = (record.inode, data.get(record.at + 7).copied().unwrap_or(0));
            room = records::insert(leaf, room, record.name, entry)?;
        }
        let tail = if self.geometry.has_checksums() { 8 } else { 0 };
        let own = directory.number;
        let root = self.block_new(first, BlockKind::Index(directory.owner()))?;
        let rest = root.len() - TAIL;
        put_record(root, 0, TAIL, b".", (own, kind_of_entry));
        put_record(root, TAIL, rest, b"..", (above, kind_of_entry));
        let room = (root.len() - ROOT_ENTRIES - tail) / 8;
        if let Some(info) = root.get_mut(0x1c..0x1e) {
            info.copy_from_slice(&[version, 8]);
        }
        put_u16(root, ROOT_ENTRIES, room as u16);
        put_u16(root, ROOT_ENTRIES + 2, 1);
        put_u32(root, ROOT_ENTRIES + 4, number as u32);
        directory.flags |= INDEXED;
        Ok(true)
    }

    /// Adds an entry to an indexed directory; the path to its name may be known.
    pub fn add_indexed(
        &mut self,
        directory: &mut Inode,
        (name, probe): (&[u8], Option<Probe>),
        entry: (u32, u8),
    ) -> Result<()> {
        let mut probe = probe;
        // Each round that doesn't end frees an entry in one level.
        for _ in 0..3 * MAX_LEVELS + 6 {
            let mut probe = match probe.take() {
                Some(probe) => probe,
                None => self.probe(directory, name)?.ok_or(Error::InvalidName)?,
            };
            let leaf = self.leaf_block(directory, &mut probe)?;
            if self.insert_in(directory, leaf, name, entry)? {
                return Ok(());
            }
            self.make_room_in_index(directory, &probe, leaf)?;
        }
        Err(self.damage("a directory's index without room", directory.number.into()))
    }

    /// Splits the leaf, or the node below the lowest one with room, or adds a level.
    fn make_room_in_index(
        &mut self,
        directory: &mut Inode,
        probe: &Probe,
        leaf: u64,
    ) -> Result<()> {
        let kind = BlockKind::Index(directory.owner());
        for level in (0..probe.levels).rev() {
            let step = probe.steps.get(level).copied().unwrap_or_default();
            let data = self.block(step.block, kind)?;
            if count(data) >= room(data) {
                continue;
            }
            if level + 1 == probe.levels {
                return self.split_leaf(directory, probe, step, leaf);
            }
            let below = probe.steps.get(level + 1).copied().unwrap_or_default();
            return self.split_index(directory, step, below);
        }
        if probe.levels >= MAX_LEVELS {
            return Err(Error::NoSpace);
        }
        // The root's entries move to a new node, which becomes its only child.
        let (physical, number) = self.begin_node(directory)?;
        let root = probe.steps.first().copied().unwrap_or_default().block;
        let old = self.block(root, kind)?.to_vec();
        let node = self.block_mut(physical, kind)?;
        put_u32(node, NODE_ENTRIES + 4, child_at(&old, 0));
        for index in 1..count(&old) {
            insert(node, index - 1, hash_at(&old, index), child_at(&old, index));
        }
        let root = self.block_mut(root, kind)?;
        set_count(root, 1);
        put_u32(root, ROOT_ENTRIES + 4, number as u32);
        if let Some(levels) = root.get_mut(0x1e) {
            *levels += 1;
        }
        Ok(())
    }

    /// Appends a node with one entry, which the caller sets.
    fn begin_node(&mut self, directory: &mut Inode) -> Result<(u64, u64)> {
        let (physical, number) = self.add_directory_block(directory)?;
        let tail = if self.geometry.has_checksums() { 8 } else { 0 };
        let node = self.block_new(physical, BlockKind::Index(directory.owner()))?;
        let len = node.len();
        put_u16(node, 4, len as u16);
        put_u16(node, NODE_ENTRIES, ((len - NODE_ENTRIES - tail) / 8) as u16);
        put_u16(node, NODE_ENTRIES + 2, 1);
        Ok((physical, number))
    }

    /// Moves the upper half of a node to a new node.
    fn split_index(&mut self, directory: &mut Inode, parent: Step, below: Step) -> Result<()> {
        let kind = BlockKind::Index(directory.owner());
        let (physical, number) = self.begin_node(directory)?;
        let old = self.block(below.block, kind)?.to_vec();
        let entries = count(&old);
        let stay = entries / 2;
        if stay == 0 {
            return Err(self.damage("a directory's index with tiny nodes", below.block));
        }
        let node = self.block_mut(physical, kind)?;
        put_u32(node, NODE_ENTRIES + 4, child_at(&old, stay));
        for index in stay + 1..entries {
            insert(
                node,
                index - stay - 1,
                hash_at(&old, index),
                child_at(&old, index),
            );
        }
        set_count(self.block_mut(below.block, kind)?, stay);
        let parent_data = self.block_mut(parent.block, kind)?;
        insert(
            parent_data,
            parent.index,
            hash_at(&old, stay),
            number as u32,
        );
        Ok(())
    }

    /// Moves the entries with the larger hashes, half of the bytes, to a new block.
    fn split_leaf(
        &mut self,
        directory: &mut Inode,
        probe: &Probe,
        parent: Step,
        leaf: u64,
    ) -> Result<()> {
        let kind = BlockKind::Leaf(directory.owner());
        let (physical, number) = self.add_leaf(directory)?;
        let old = self.block(leaf, kind)?.to_vec();
        let mut entries: Vec<(Hash, usize)> = Vec::new();
        for record in records::all(&old).filter(|record| record.inode != 0) {
            let hash = probe.hasher.hash(record.name).ok_or(Error::InvalidName)?;
            entries.push((hash, record.at));
        }
        entries.sort_unstable();
        let len_at = |at: usize| record_len(usize::from(old.get(at + 6).copied().unwrap_or(0)));
        let all: usize = entries.iter().map(|(_, at)| len_at(*at)).sum();
        // At least one entry on each side.
        let (mut stay, mut bytes) = (0, 0);
        for (_, at) in &entries {
            if stay > 0 && bytes + len_at(*at) / 2 > all / 2 {
                break;
            }
            bytes += len_at(*at);
            stay += 1;
        }
        let stay = stay.min(entries.len().saturating_sub(1));
        let Some(((first, _), _)) = entries.get(stay).filter(|_| stay > 0) else {
            return Err(self.damage("a directory's block with too few entries to split", leaf));
        };
        let is_continued = entries
            .get(stay - 1)
            .is_some_and(|((last, _), _)| last == first);
        let first = *first | u32::from(is_continued);
        let with_tail = self.geometry.has_checksums();
        let (kept, moved) = entries.split_at(stay);
        for (block, part) in [(leaf, kept), (physical, moved)] {
            let data = self.block_mut(block, kind)?;
            data.fill(0);
            records::begin(data, with_tail);
            let mut room = records::room(data, 0).ok_or(Error::NoSpace)?;
            for (_, at) in part {
                let entry = (u32_at(&old, *at), old.get(*at + 7).copied().unwrap_or(0));
                let name = usize::from(old.get(*at + 6).copied().unwrap_or(0));
                let name = old.get(*at + 8..*at + 8 + name).unwrap_or_default();
                room = records::insert(data, room, name, entry)?;
            }
        }
        let node = self.block_mut(parent.block, BlockKind::Index(directory.owner()))?;
        insert(node, parent.index, first, number as u32);
        Ok(())
    }
}

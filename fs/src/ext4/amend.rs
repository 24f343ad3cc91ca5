//! What rsext4 writes and `e2fsck` wouldn't accept, put right on its way to the disk.
//!
//! A directory that grows may need blocks for the tree of its extents, and rsext4 doesn't add them to
//! the directory's `i_blocks`; in a block group that it uses first it leaves the bits clear that
//! come after the last block or inode. Both can be told from what is written. That is looked at in
//! the journal as well as in its place, so that a replay by anyone brings the right one. The
//! amending is done before a flush, when all blocks of a transaction are there; the journal has
//! its checksums computed again.
//!
//! rsext4's own copies stay as they are, so the same is amended each time it is written.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use rsext4::crc32c::{crc32c_append, crc32c_init};

use super::places::{Kind, Place, Places};
use crate::BlockError;
use crate::cache::Cache;

type Result<T> = core::result::Result<T, BlockError>;

/// The journal's magic number, and kinds of its blocks. Its numbers are big-endian.
const JOURNAL_MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const SUPERBLOCK: u32 = 4;

/// Features of the journal.
const COMMIT_CHECKSUMS: u32 = 0x1;
const WIDE: u32 = 0x2;
const CHECKSUMS_2: u32 = 0x8;
const CHECKSUMS_3: u32 = 0x10;

/// Flags of a tag.
const SAME_UUID: u32 = 0x2;
const LAST: u32 = 0x8;

/// Of an inode.
const DIRECTORY: u16 = 0x4000;
const FORMAT: u16 = 0xf000;
const EXTENTS: u32 = 0x8_0000;
const HUGE: u32 = 0x4_0000;

/// Of a block or root of an extent tree; the largest depth that Linux makes.
const EXTENT_MAGIC: u16 = 0xf30a;
const MAX_DEPTH: u16 = 5;

/// Inner blocks of extent trees that are looked at before a flush; what has more is damaged.
const MAX_NODES: u32 = 4096;

fn bytes<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    let found = data.get(at..at + N).and_then(|found| found.try_into().ok());
    found.unwrap_or([0; N])
}

fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(data, at))
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(data, at))
}

fn big_at(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(data, at))
}

fn put(data: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = data.get_mut(at..at + what.len()) {
        place.copy_from_slice(what);
    }
}

/// The journal as its superblock describes it.
#[derive(Debug, Default)]
struct Journal {
    /// Its blocks: first and number.
    runs: Vec<(u64, u64)>,
    compatible: u32,
    incompatible: u32,
    uuid: [u8; 16],
}

impl Journal {
    fn contains(&self, block: u64) -> bool {
        self.runs
            .iter()
            .any(|(first, count)| block.wrapping_sub(*first) < *count)
    }

    fn note_superblock(&mut self, data: &[u8]) {
        self.compatible = big_at(data, 0x24);
        self.incompatible = big_at(data, 0x28);
        self.uuid = bytes(data, 0x30);
    }

    fn has(&self, feature: u32) -> bool {
        self.incompatible & feature != 0
    }

    /// What the payloads after a descriptor are: their homes, and where their tags are in it.
    fn tags(&self, descriptor: &[u8]) -> Vec<Tag> {
        let mut tags = Vec::new();
        let mut at = 12;
        while at + 8 <= descriptor.len() {
            let third = self.has(CHECKSUMS_3);
            let (flags, high, length) = if third {
                (big_at(descriptor, at + 4), at + 8, 16)
            } else {
                let wide = if self.has(WIDE) { 4 } else { 0 };
                let checksum = if self.has(CHECKSUMS_2) { 2 } else { 0 };
                let flags = u16::from_be_bytes(bytes(descriptor, at + 6));
                (u32::from(flags), at + 8, 8 + wide + checksum)
            };
            let high = if third || self.has(WIDE) {
                big_at(descriptor, high)
            } else {
                0
            };
            tags.push(Tag {
                home: u64::from(big_at(descriptor, at)) | u64::from(high) << 32,
                at,
            });
            if flags & LAST != 0 {
                break;
            }
            at += length;
            if flags & SAME_UUID == 0 {
                at += 16;
            }
        }
        tags
    }

    /// Puts the checksum of `payload` into its tag, and the descriptor's own into its end.
    fn seal(&self, descriptor: &mut [u8], tag: usize, payload: &[u8]) {
        let seed = crc32c_append(crc32c_init(), &self.uuid);
        let sequence: [u8; 4] = bytes(descriptor, 8);
        let checksum = crc32c_append(crc32c_append(seed, &sequence), payload);
        if self.has(CHECKSUMS_3) {
            put(descriptor, tag + 12, &checksum.to_be_bytes());
        } else {
            put(descriptor, tag + 4, &(checksum as u16).to_be_bytes());
        }
        let end = descriptor.len().saturating_sub(4);
        put(descriptor, end, &[0; 4]);
        let checksum = crc32c_append(seed, descriptor);
        put(descriptor, end, &checksum.to_be_bytes());
    }
}

/// One payload that a descriptor announces.
#[derive(Debug, Clone, Copy)]
struct Tag {
    home: u64,
    at: usize,
}

/// A block that was written and is to be looked at before the next flush.
#[derive(Debug)]
struct Due {
    /// Where it was written.
    at: u64,
    place: Place,
    /// Which block of the place it is.
    index: u64,
    /// In the journal: its descriptor, and the place of its tag in that.
    tag: Option<(u64, usize)>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Amend {
    places: Places,
    journal: Journal,
    /// The descriptor last written, and the tags whose payloads are still to come, last first.
    descriptor: u64,
    tags: Vec<Tag>,
    due: Vec<Due>,
    /// Inner blocks of extent trees as the journal has them, by their homes.
    nodes: BTreeMap<u64, Vec<u8>>,
}

impl Amend {
    pub fn new(places: Places) -> Self {
        Self {
            places,
            ..Self::default()
        }
    }

    /// Forgets what the journal had: everything is in its place.
    pub fn begin(&mut self) {
        self.nodes.clear();
        self.tags.clear();
    }

    /// Tells where the journal is, as runs of blocks; `superblock` is its first.
    pub fn set_journal(&mut self, runs: Vec<(u64, u64)>, superblock: &[u8]) {
        self.journal.runs = runs;
        self.journal.note_superblock(superblock);
    }

    /// Notes what is written to the blocks from `first` on.
    pub fn note(&mut self, first: u64, data: &[u8]) {
        let block = self.places.block;
        if data.len() == block && self.journal.contains(first) {
            return self.note_journal(first, data);
        }
        let count = (data.len() / block.max(1)) as u64;
        for place in self.places.among(first, count) {
            let from = place.start.max(first);
            let to = (place.start + place.blocks).min(first + count);
            for at in from..to {
                let offset = (at - first) as usize * block;
                let image = data.get(offset..offset + block).unwrap_or_default();
                if is_suspect(&self.places, place.kind, image) {
                    self.due.push(Due {
                        at,
                        place: *place,
                        index: at - place.start,
                        tag: None,
                    });
                }
            }
        }
    }

    fn note_journal(&mut self, at: u64, data: &[u8]) {
        if big_at(data, 0) == JOURNAL_MAGIC {
            self.tags.clear();
            match big_at(data, 4) {
                DESCRIPTOR => {
                    self.descriptor = at;
                    self.tags = self.journal.tags(data);
                    self.tags.reverse();
                }
                SUPERBLOCK => self.journal.note_superblock(data),
                _ => {}
            }
            return;
        }
        let Some(tag) = self.tags.pop() else {
            return;
        };
        if u16_at(data, 0) == EXTENT_MAGIC && u16_at(data, 6) > 0 {
            self.nodes.insert(tag.home, data.to_vec());
        } else {
            self.nodes.remove(&tag.home);
        }
        // The old kind of checksum is in the commit block, over all that comes before it.
        if self.journal.compatible & COMMIT_CHECKSUMS != 0 {
            return;
        }
        if let Some(place) = self.places.find(tag.home)
            && is_suspect(&self.places, place.kind, data)
        {
            self.due.push(Due {
                at,
                place: *place,
                index: tag.home - place.start,
                tag: Some((self.descriptor, tag.at)),
            });
        }
    }

    /// Whether there is something to look at.
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Amends what was noted, in the cache.
    pub fn settle(&mut self, cache: &mut Cache) -> Result<()> {
        let per_block = (self.places.block / cache.sector_size()) as u64;
        let mut left = MAX_NODES;
        let mut image = vec![0; self.places.block];
        let mut descriptor = image.clone();
        for due in core::mem::take(&mut self.due) {
            cache.read(due.at * per_block, &mut image)?;
            if !self.amend(cache, &mut left, &due, &mut image) {
                continue;
            }
            cache.write(due.at * per_block, &image)?;
            if let Some((at, tag)) = due.tag
                && (self.journal.has(CHECKSUMS_2) || self.journal.has(CHECKSUMS_3))
            {
                cache.read(at * per_block, &mut descriptor)?;
                self.journal.seal(&mut descriptor, tag, &image);
                cache.write(at * per_block, &descriptor)?;
            }
        }
        Ok(())
    }

    /// Whether something in `image` had to change.
    fn amend(&self, cache: &mut Cache, left: &mut u32, due: &Due, image: &mut [u8]) -> bool {
        match due.place.kind {
            Kind::Bitmap(bits) => pad(image, bits),
            Kind::Inodes(first) => {
                let size = self.places.inode.max(128);
                let number = first as u64 + due.index * (image.len() / size) as u64;
                let mut changed = false;
                for (inode, number) in image.chunks_exact_mut(size).zip(number..) {
                    if is_tall_directory(inode) && self.count_blocks(cache, left, inode) {
                        self.seal_inode(inode, number as u32);
                        changed = true;
                    }
                }
                changed
            }
        }
    }

    /// Sets the `i_blocks` of a directory to what it has; whether that is a change.
    fn count_blocks(&self, cache: &mut Cache, left: &mut u32, inode: &mut [u8]) -> bool {
        let block = self.places.block as u64;
        let root = inode.get(0x28..0x64).unwrap_or_default();
        let Some(tree) = self.tree_blocks(cache, left, root, u16_at(root, 6)) else {
            return false;
        };
        let size = u64::from(u32_at(inode, 0x4)) | u64::from(u32_at(inode, 0x6c)) << 32;
        let attributes = u32_at(inode, 0x68) != 0 || u16_at(inode, 0x76) != 0;
        let blocks = size.div_ceil(block) + tree + u64::from(attributes);
        let sectors = blocks.saturating_mul(block / 512);
        let known = u64::from(u32_at(inode, 0x1c)) | u64::from(u16_at(inode, 0x74)) << 32;
        if known == sectors || sectors >= 1 << 48 {
            return false;
        }
        put(inode, 0x1c, &(sectors as u32).to_le_bytes());
        put(inode, 0x74, &((sectors >> 32) as u16).to_le_bytes());
        true
    }

    /// The blocks below a node of an extent tree; `None` when they don't make sense.
    fn tree_blocks(
        &self,
        cache: &mut Cache,
        left: &mut u32,
        node: &[u8],
        depth: u16,
    ) -> Option<u64> {
        let entries = usize::from(u16_at(node, 2));
        let is_node = u16_at(node, 0) == EXTENT_MAGIC && u16_at(node, 6) == depth;
        if !is_node || depth > MAX_DEPTH || 12 + entries * 12 > node.len() {
            return None;
        }
        if depth <= 1 {
            return Some(if depth == 1 { entries as u64 } else { 0 });
        }
        let per_block = (self.places.block / cache.sector_size()) as u64;
        let mut blocks = entries as u64;
        for entry in 1..=entries {
            *left = left.checked_sub(1)?;
            let low = u32_at(node, entry * 12 + 4);
            let high = u16_at(node, entry * 12 + 8);
            let home = u64::from(low) | u64::from(high) << 32;
            blocks += if let Some(child) = self.nodes.get(&home) {
                self.tree_blocks(cache, left, child, depth - 1)?
            } else {
                let mut child = vec![0; self.places.block];
                let sector = home.checked_mul(per_block)?;
                cache.read(sector, &mut child).ok()?;
                self.tree_blocks(cache, left, &child, depth - 1)?
            };
        }
        Some(blocks)
    }

    /// Computes the checksum of an inode again.
    fn seal_inode(&self, inode: &mut [u8], number: u32) {
        let Some(seed) = self.places.seed else {
            return;
        };
        let has_high = inode.len() > 128 && u16_at(inode, 0x80) >= 4;
        put(inode, 0x7c, &[0; 2]);
        if has_high {
            put(inode, 0x82, &[0; 2]);
        }
        let generation: [u8; 4] = bytes(inode, 0x64);
        let checksum = crc32c_append(seed, &number.to_le_bytes());
        let checksum = crc32c_append(crc32c_append(checksum, &generation), inode);
        put(inode, 0x7c, &(checksum as u16).to_le_bytes());
        if has_high {
            put(inode, 0x82, &((checksum >> 16) as u16).to_le_bytes());
        }
    }
}

/// Whether a block is worth being looked at.
fn is_suspect(places: &Places, kind: Kind, image: &[u8]) -> bool {
    match kind {
        // The last bit is clear in what isn't padded.
        Kind::Bitmap(_) => image.last().is_some_and(|byte| byte & 0x80 == 0),
        Kind::Inodes(_) => image
            .chunks_exact(places.inode.max(128))
            .any(is_tall_directory),
    }
}

/// Whether an inode is a directory whose extents have blocks of their own.
fn is_tall_directory(inode: &[u8]) -> bool {
    let flags = u32_at(inode, 0x20);
    u16_at(inode, 0) & FORMAT == DIRECTORY
        && u16_at(inode, 0x1a) > 0
        && flags & EXTENTS != 0
        && flags & HUGE == 0
        && u16_at(inode, 0x28) == EXTENT_MAGIC
        && u16_at(inode, 0x2e) > 0
}

/// Sets the bits of a bitmap after the first `bits`; whether one was clear.
fn pad(bitmap: &mut [u8], bits: usize) -> bool {
    let mut changed = false;
    for (at, byte) in bitmap.iter_mut().enumerate().skip(bits / 8) {
        let padded = *byte
            | match bits.checked_sub(at * 8) {
                Some(inside @ 1..8) => 0xffu8 << inside,
                _ => 0xff,
            };
        changed |= padded != *byte;
        *byte = padded;
    }
    changed
}

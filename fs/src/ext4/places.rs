//! Where a file system keeps the metadata that is looked at on its way to the disk.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use rsext4::crc32c::{crc32c_append, crc32c_init};

use super::probe::{MAX_DESCRIPTOR_BYTES, Superblock, refuse};
use crate::{Block, MountError};

const WIDE: u32 = 0x80;
const CHECKSUM_SEED: u32 = 0x2000;
const METADATA_CHECKSUMS: u32 = 0x400;

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bitmap in which so many bits stand for something; those after them are set.
    Bitmap(usize),
    /// The inodes from this number on.
    Inodes(u32),
}

/// Blocks with something to look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub start: u64,
    pub blocks: u64,
    pub kind: Kind,
}

/// All of them, and what is needed to understand them.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// In order.
    places: Vec<Place>,
    /// Bytes of an inode, and of a block.
    pub inode: usize,
    pub block: usize,
    /// Where checksums of inodes begin, if there are any.
    pub seed: Option<u32>,
}

impl Places {
    /// What the group descriptors say.
    pub fn read(
        superblock: &Superblock,
        device: &mut dyn Block,
        block: u64,
    ) -> Result<Self, MountError> {
        let incompatible = superblock.u32(0x60);
        let wide = incompatible & WIDE != 0;
        let length = if wide {
            usize::from(superblock.u16(0xfe)).max(64)
        } else {
            32
        };
        let per_group = superblock.u32(0x28);
        let bits = [superblock.u32(0x20), per_group].map(|bits| bits as usize);
        let is_old = superblock.u32(0x4c) == 0;
        let inode = if is_old { 128 } else { superblock.u16(0x58) };
        let table = (u64::from(per_group) * u64::from(inode)).div_ceil(block);
        let mut found = Self {
            places: Vec::new(),
            inode: usize::from(inode),
            block: block as usize,
            seed: (superblock.u32(0x64) & METADATA_CHECKSUMS != 0).then(|| {
                if incompatible & CHECKSUM_SEED != 0 {
                    superblock.u32(0x270)
                } else {
                    crc32c_append(crc32c_init(), superblock.bytes(0x68, 16))
                }
            }),
        };
        let groups = superblock.u32(0x0).div_ceil(per_group.max(1));
        // As many as `probe` allowed, whatever the number of inodes says.
        let groups = groups.min((MAX_DESCRIPTOR_BYTES / 64) as u32);
        let per_block = (block as usize / length).max(1);
        let sectors = block / device.sector_size() as u64;
        let end = device.sectors() / sectors;
        let first = u64::from(superblock.u32(0x14)) + 1;
        let mut descriptors = Superblock(vec![0; block as usize]);
        for group in 0..groups {
            let (at, inside) = (group as usize / per_block, group as usize % per_block);
            if inside == 0 {
                let at = first + at as u64;
                if at >= end {
                    break;
                }
                device
                    .read(at * sectors, &mut descriptors.0)
                    .map_err(|error| {
                        let detail =
                            format!("the group descriptors can't be read: {error}; check the disk");
                        refuse(error.into(), detail)
                    })?;
            }
            let number = |at: usize| {
                let at = inside * length + at;
                let high = if wide { descriptors.u32(at + 0x20) } else { 0 };
                u64::from(descriptors.u32(at)) | u64::from(high) << 32
            };
            for (at, bits) in [0x0, 0x4].into_iter().zip(bits) {
                // A bitmap that is full to its last bit has nothing after it.
                if bits < found.block * 8 {
                    found.add(number(at), 1, Kind::Bitmap(bits), end);
                }
            }
            let inodes = group.saturating_mul(per_group).saturating_add(1);
            found.add(number(0x8), table, Kind::Inodes(inodes), end);
        }
        found.places.sort_unstable_by_key(|place| place.start);
        // Only on a damaged file system are there two in one place.
        let mut end = 0;
        found.places.retain(|place| {
            let is_apart = place.start >= end;
            end = end.max(place.start + place.blocks);
            is_apart
        });
        Ok(found)
    }

    fn add(&mut self, start: u64, blocks: u64, kind: Kind, end: u64) {
        if start < end {
            self.places.push(Place {
                start,
                blocks,
                kind,
            });
        }
    }

    /// Those that have a part in `count` blocks from `first` on.
    pub fn among(&self, first: u64, count: u64) -> impl Iterator<Item = &Place> {
        let from = self
            .places
            .partition_point(|place| place.start + place.blocks <= first);
        let rest = self.places.get(from..).unwrap_or_default();
        rest.iter()
            .take_while(move |place| place.start < first + count)
    }

    /// What `block` is.
    pub fn find(&self, block: u64) -> Option<&Place> {
        self.among(block, 1).next()
    }
}

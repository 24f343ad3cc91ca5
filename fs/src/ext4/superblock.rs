//! Superblock (kernel documentation, "Super Block"): geometry of the file system, and the reasons
//! to refuse it.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::checksum::Crc32c;
use super::fields::superblock as sb;
use crate::bytes::{clear, part, put, put_u16, put_u32, u16_at, u32_at};
use crate::{Block, Error, MountError};

/// Offset of the superblock and its length, in bytes.
pub const PLACE: usize = 1024;
pub const LENGTH: usize = 1024;

/// Signature (`s_magic`).
pub const MAGIC: u16 = 0xef53;

/// Maximum size of all group descriptors, which stay in memory: enough for 32 TiB.
pub const MAX_DESCRIPTOR_BYTES: u64 = 16 << 20;

/// "Compatible" features.
pub mod compatible {
    pub const HAS_JOURNAL: u32 = 0x4;
    pub const RESIZE_INODE: u32 = 0x10;
    pub const DIR_INDEX: u32 = 0x20;
    pub const SPARSE_SUPER2: u32 = 0x200;
    pub const FAST_COMMIT: u32 = 0x400;
    pub const ORPHAN_FILE: u32 = 0x1000;
}

/// "Incompatible" features.
pub mod incompatible {
    pub const FILETYPE: u32 = 0x2;
    pub const RECOVER: u32 = 0x4;
    pub const JOURNAL_DEVICE: u32 = 0x8;
    pub const EXTENTS: u32 = 0x40;
    pub const IS_64BIT: u32 = 0x80;
    pub const MMP: u32 = 0x100;
    pub const FLEX_BG: u32 = 0x200;
    pub const CSUM_SEED: u32 = 0x2000;
    /// Features that this driver supports.
    pub const KNOWN: u32 = FILETYPE | RECOVER | EXTENTS | IS_64BIT | FLEX_BG | CSUM_SEED;
}

/// "Read-only compatible" features.
pub mod read_only {
    pub const SPARSE_SUPER: u32 = 0x1;
    pub const LARGE_FILE: u32 = 0x2;
    pub const HUGE_FILE: u32 = 0x8;
    pub const GDT_CSUM: u32 = 0x10;
    pub const DIR_NLINK: u32 = 0x20;
    pub const EXTRA_ISIZE: u32 = 0x40;
    pub const BIGALLOC: u32 = 0x200;
    pub const METADATA_CSUM: u32 = 0x400;
    pub const PROJECT: u32 = 0x2000;
    pub const ORPHANS: u32 = 0x1_0000;
    /// Features with which this driver can write.
    pub const KNOWN: u32 = SPARSE_SUPER
        | LARGE_FILE
        | HUGE_FILE
        | GDT_CSUM
        | DIR_NLINK
        | EXTRA_ISIZE
        | METADATA_CSUM
        | PROJECT
        | ORPHANS;
}

/// Bits of `s_state`.
pub const VALID: u16 = 1;
const HAS_ERRORS: u16 = 2;

/// Feature names of mkfs.ext4 and tune2fs.
const INCOMPATIBLE: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x10, "meta_bg"),
    (incompatible::MMP, "mmp"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];
const TO_WRITE: &[(u32, &str)] = &[
    (0x80, "snapshot"),
    (0x100, "quota"),
    (read_only::BIGALLOC, "bigalloc"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
];

/// Contents of the superblock that don't change while the volume is mounted.
#[derive(Debug, Clone, Default)]
pub struct Geometry {
    /// Bytes in a block.
    pub block: usize,
    pub blocks: u64,
    /// Blocks reserved for the administrator (`s_r_blocks_count`).
    pub reserved: u64,
    /// First block of the first group.
    pub first_block: u64,
    pub blocks_per_group: u32,
    pub inodes_per_group: u32,
    pub inodes: u32,
    pub inode_size: usize,
    /// Bytes in a group descriptor.
    pub descriptor: usize,
    pub groups: u32,
    pub compatible: u32,
    pub incompatible: u32,
    pub to_write: u32,
    /// Blocks reserved for more descriptors.
    pub reserved_descriptors: u32,
    pub backup_groups: [u32; 2],
    pub uuid: [u8; 16],
    /// Initial value of checksums.
    pub seed: u32,
    pub hash_seed: [u32; 4],
    pub hash_version: u8,
    pub hash_unsigned: bool,
    /// Bytes of a new inode beyond the first 128.
    pub extra_size: u16,
    pub first_inode: u32,
    pub journal: u32,
    pub orphan_file: u32,
    /// The file system is marked as damaged.
    pub has_errors: bool,
    /// Writes are allowed nevertheless: `s_errors` is "continue", as mkfs.ext4 and tune2fs -e set
    /// it.
    pub continue_on_error: bool,
}

impl Geometry {
    pub fn has_checksums(&self) -> bool {
        self.to_write & read_only::METADATA_CSUM != 0
    }

    /// Whether descriptors have checksums of either kind, and flags for uninitialised parts.
    pub fn has_descriptor_checksums(&self) -> bool {
        self.to_write & (read_only::METADATA_CSUM | read_only::GDT_CSUM) != 0
    }

    pub fn has_journal(&self) -> bool {
        self.compatible & compatible::HAS_JOURNAL != 0
    }

    pub fn has_extents(&self) -> bool {
        self.incompatible & incompatible::EXTENTS != 0
    }

    /// Returns the block of the superblock and the offset in it.
    pub fn superblock(&self) -> (u64, usize) {
        ((PLACE / self.block) as u64, PLACE % self.block)
    }

    /// Number of blocks of the descriptors.
    pub fn descriptor_blocks(&self) -> u64 {
        (self.groups as u64 * self.descriptor as u64).div_ceil(self.block as u64)
    }

    pub fn group_start(&self, group: u32) -> u64 {
        self.first_block + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// Number of blocks in a group; the last group may be shorter.
    pub fn group_blocks(&self, group: u32) -> u32 {
        let left = self.blocks.saturating_sub(self.group_start(group));
        left.min(u64::from(self.blocks_per_group)) as u32
    }

    /// Returns the group of a block, and the block's index in the group.
    pub fn place_of(&self, block: u64) -> Option<(u32, u32)> {
        if block >= self.blocks {
            return None;
        }
        let at = block.checked_sub(self.first_block)?;
        let per_group = u64::from(self.blocks_per_group);
        Some(((at / per_group) as u32, (at % per_group) as u32))
    }

    /// Whether all of `count` blocks from `first` on belong to the file system.
    pub fn contains(&self, first: u64, count: u64) -> bool {
        first >= self.first_block.max(1)
            && first
                .checked_add(count)
                .is_some_and(|end| end <= self.blocks)
    }

    /// Whether a group begins with copies of the superblock and the descriptors.
    pub fn has_copies(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.compatible & compatible::SPARSE_SUPER2 != 0 {
            return self.backup_groups.contains(&group);
        }
        if self.to_write & read_only::SPARSE_SUPER == 0 {
            return true;
        }
        let is_power_of = |base: u32| {
            let mut power = 1u32;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        group == 1 || is_power_of(3) || is_power_of(5) || is_power_of(7)
    }
}

/// Damage that was found since the superblock was last updated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Errors {
    pub count: u32,
    /// Last error: its description and the number of its location.
    pub what: &'static str,
    pub number: u64,
    /// Time of the last error in seconds since 1970.
    pub time: u32,
}

impl Errors {
    /// Stores the errors where Linux does (`s_error_count` and the fields after it), and marks the
    /// file system for e2fsck. The description takes the place of Linux's function name.
    pub fn put(&self, s: &mut [u8]) {
        put_u16(s, sb::STATE, u16_at(s, sb::STATE) | HAS_ERRORS);
        if self.count == 0 {
            return;
        }
        let known = u32_at(s, sb::ERROR_COUNT);
        put_u32(s, sb::ERROR_COUNT, known.saturating_add(self.count));
        // Time, inode, block and function of the first error; of the last, with the line before.
        let first = [
            sb::FIRST_ERROR_TIME,
            sb::FIRST_ERROR_BLOCK,
            sb::FIRST_ERROR_FUNC,
        ];
        let last = [
            sb::LAST_ERROR_TIME,
            sb::LAST_ERROR_BLOCK,
            sb::LAST_ERROR_FUNC,
        ];
        let places = if known == 0 {
            &[first, last][..]
        } else {
            &[last]
        };
        for [time, block, function] in places {
            put_u32(s, *time, self.time);
            put_u32(s, *time + 4, 0);
            put(s, *block, &self.number.to_le_bytes());
            clear(s, *function..*function + 32);
            put(
                s,
                *function,
                part(self.what.as_bytes(), 0, self.what.len().min(31)),
            );
        }
    }
}

pub fn corrupt(what: &str) -> MountError {
    let detail = format!("the ext4 file system is corrupt: {what}; repair it with e2fsck -f");
    MountError::new(Error::Corrupt, detail)
}

/// Names of the features in `bits`, separated by commas.
fn feature_names(bits: u32, known: &[(u32, &str)]) -> String {
    let named = known.iter().filter(|(bit, _)| bits & bit != 0);
    let mut names: Vec<String> = named.map(|(_, name)| String::from(*name)).collect();
    let rest = bits & !known.iter().fold(0, |all, (bit, _)| all | bit);
    if rest != 0 {
        names.push(format!("unknown ones ({rest:#x})"));
    }
    names.join(", ")
}

fn read(device: &mut dyn Block) -> Result<Vec<u8>, MountError> {
    let sector = device.sector_size();
    if !(512..=4096).contains(&sector) || !sector.is_power_of_two() {
        let detail =
            format!("sectors of {sector} bytes are not supported; use a disk with 512 or 4096");
        return Err(MountError::new(Error::Unsupported, detail));
    }
    let sectors = (PLACE + LENGTH).div_ceil(sector);
    if device.sectors() < sectors as u64 {
        let detail =
            "the disk is too small for a file system; make one with mkfs.ext4 on a larger disk";
        return Err(MountError::new(Error::Corrupt, detail));
    }
    let mut start = vec![0; sectors * sector];
    device
        .read(0, &mut start)
        .map_err(|error| MountError::unreadable("the first sectors", error))?;
    Ok(part(&start, PLACE, PLACE + LENGTH).to_vec())
}

/// Checks whether the file system on `device` can be mounted.
pub fn check(
    device: &mut dyn Block,
    read_only: bool,
    crc: &Crc32c,
) -> Result<Geometry, MountError> {
    let superblock = read(device)?;
    if u16_at(&superblock, sb::MAGIC) != MAGIC {
        let detail = "not an ext4 file system: no signature; make one with mkfs.ext4";
        return Err(MountError::new(Error::Corrupt, detail));
    }
    let mut found = parse(&superblock, device, crc)?;
    features(&found, read_only)?;
    check_numbers(&mut found)?;
    journal(&superblock, &found, read_only)?;
    if found.has_checksums()
        && crc.update(!0, part(&superblock, 0, sb::CHECKSUM)) != u32_at(&superblock, sb::CHECKSUM)
    {
        return Err(corrupt("the superblock's checksum is wrong"));
    }
    Ok(found)
}

/// Restores the checksum of a changed superblock without changing its field. The fields that change
/// while a volume is mounted are in its first 512 bytes, the checksum isn't. If the power failed
/// after one of two sectors was written, the file system could neither be mounted nor checked. So
/// the checksum stays, and an unused word (`s_snapshot_id`) is set to match it: a cyclic redundancy
/// check is linear.
pub fn seal(superblock: &mut [u8], crc: &Crc32c) {
    put_u32(superblock, sb::SNAPSHOT_ID, 0);
    let sum = crc.update(!0, part(superblock, 0, sb::CHECKSUM));
    let word = crc.back(
        sum ^ u32_at(superblock, sb::CHECKSUM),
        sb::CHECKSUM - sb::SNAPSHOT_ID,
    );
    put_u32(superblock, sb::SNAPSHOT_ID, word);
}

fn parse(s: &[u8], device: &mut dyn Block, crc: &Crc32c) -> Result<Geometry, MountError> {
    let sector = device.sector_size() as u64;
    let shift = u32_at(s, sb::LOG_BLOCK_SIZE);
    if shift > 6 {
        return Err(corrupt("blocks of an impossible size"));
    }
    let block = 1024u64 << shift;
    if block > 4096 || block < sector {
        let detail = format!(
            "an ext4 file system with blocks of {block} bytes on a disk with sectors of {sector}, \
            which is not supported; make one with mkfs.ext4 -b 4096"
        );
        return Err(MountError::new(Error::Unsupported, detail));
    }
    let incompatible = u32_at(s, sb::FEATURE_INCOMPAT);
    let to_write = u32_at(s, sb::FEATURE_RO_COMPAT);
    let wide = incompatible & incompatible::IS_64BIT != 0;
    let dynamic = u32_at(s, sb::REV_LEVEL) > 0;
    let mut uuid = [0; 16];
    uuid.copy_from_slice(s.get(sb::UUID..sb::UUID + 16).unwrap_or(&[0; 16]));
    let seed = if incompatible & incompatible::CSUM_SEED != 0 {
        u32_at(s, sb::CHECKSUM_SEED)
    } else {
        crc.update(!0, &uuid)
    };
    let high = |at: usize| {
        if wide {
            u64::from(u32_at(s, at)) << 32
        } else {
            0
        }
    };
    let mut found = Geometry {
        block: block as usize,
        blocks: u64::from(u32_at(s, sb::BLOCKS_COUNT_LO)) | high(sb::BLOCKS_COUNT_HI),
        reserved: u64::from(u32_at(s, sb::R_BLOCKS_COUNT_LO)) | high(sb::R_BLOCKS_COUNT_HI),
        first_block: u64::from(u32_at(s, sb::FIRST_DATA_BLOCK)),
        blocks_per_group: u32_at(s, sb::BLOCKS_PER_GROUP),
        inodes_per_group: u32_at(s, sb::INODES_PER_GROUP),
        inodes: u32_at(s, sb::INODES_COUNT),
        inode_size: if dynamic {
            u16_at(s, sb::INODE_SIZE).into()
        } else {
            128
        },
        descriptor: if wide {
            u16_at(s, sb::DESC_SIZE).into()
        } else {
            32
        },
        compatible: u32_at(s, sb::FEATURE_COMPAT),
        incompatible,
        to_write,
        reserved_descriptors: u16_at(s, sb::RESERVED_GDT_BLOCKS).into(),
        backup_groups: [u32_at(s, sb::BACKUP_BGS), u32_at(s, sb::BACKUP_BGS + 4)],
        uuid,
        seed,
        hash_seed: [0, 4, 8, 12].map(|at| u32_at(s, sb::HASH_SEED + at)),
        hash_version: s.get(sb::DEF_HASH_VERSION).copied().unwrap_or(0),
        hash_unsigned: u32_at(s, sb::FLAGS) & 2 != 0,
        extra_size: u16_at(s, sb::WANT_EXTRA_ISIZE),
        first_inode: if dynamic {
            u32_at(s, sb::FIRST_INO)
        } else {
            11
        },
        journal: u32_at(s, sb::JOURNAL_INUM),
        orphan_file: u32_at(s, sb::ORPHAN_FILE_INUM),
        has_errors: u16_at(s, sb::STATE) & HAS_ERRORS != 0,
        continue_on_error: u16_at(s, sb::ERRORS) == 1,
        ..Geometry::default()
    };
    let (claimed, disk) = (
        u128::from(found.blocks) * u128::from(block),
        u128::from(device.sectors()) * u128::from(sector),
    );
    if claimed > disk {
        let detail = format!(
            "truncated: the ext4 file system has {claimed} bytes and the disk only {disk}; \
            restore the disk image, or shrink the file system with resize2fs"
        );
        return Err(MountError::new(Error::Corrupt, detail));
    }
    if found.extra_size as usize + 128 > found.inode_size || !found.extra_size.is_multiple_of(4) {
        found.extra_size = if found.inode_size > 128 { 32 } else { 0 };
    }
    Ok(found)
}

/// Rejects inconsistent numbers, and computes the derived ones.
fn check_numbers(found: &mut Geometry) -> Result<(), MountError> {
    let block = found.block as u32;
    let inode = found.inode_size;
    // With clusters groups are larger, and may begin with the first block.
    let clusters = found.to_write & read_only::BIGALLOC != 0;
    let misplaced = found.first_block != u64::from(block == 1024);
    let per_group = found.blocks_per_group;
    let wrong = [
        (
            misplaced && !(clusters && found.first_block == 0),
            "its first block is misplaced",
        ),
        (found.blocks <= found.first_block + 8, "it has no blocks"),
        (
            per_group < 64 || per_group > block * 8 && !clusters,
            "its groups have an impossible number of blocks",
        ),
        (
            !(128..=found.block).contains(&inode) || !inode.is_power_of_two(),
            "its inodes have an impossible size",
        ),
        (
            found.inodes_per_group == 0 || found.inodes_per_group > block * 8,
            "its groups have an impossible number of inodes",
        ),
        (
            !(32..=found.block).contains(&found.descriptor) || !found.descriptor.is_power_of_two(),
            "its descriptors have an impossible size",
        ),
        (found.first_inode < 11, "its reserved inodes are too few"),
    ];
    if let Some((_, what)) = wrong.iter().find(|(is_wrong, _)| *is_wrong) {
        return Err(corrupt(what));
    }
    let groups = (found.blocks - found.first_block).div_ceil(found.blocks_per_group.into());
    if groups * found.descriptor.max(64) as u64 > MAX_DESCRIPTOR_BYTES {
        let detail = format!(
            "an ext4 file system with {groups} block groups, too many to keep in memory; make one \
            with mkfs.ext4 -b 4096 and without -g"
        );
        return Err(MountError::new(Error::Unsupported, detail));
    }
    found.groups = groups as u32;
    if u64::from(found.inodes) != groups * u64::from(found.inodes_per_group) {
        return Err(corrupt("its number of inodes isn't that of its groups"));
    }
    Ok(())
}

fn features(found: &Geometry, read_only: bool) -> Result<(), MountError> {
    if found.incompatible & incompatible::JOURNAL_DEVICE != 0 {
        let detail = "the journal of another ext4 file system; external journals are not \
            supported: make the file system with an internal one";
        return Err(MountError::new(Error::Unsupported, detail));
    }
    let mut unknown = found.incompatible & !incompatible::KNOWN;
    if read_only {
        unknown &= !incompatible::MMP;
    }
    if unknown != 0 {
        let names = feature_names(unknown, INCOMPATIBLE);
        let detail = format!(
            "an ext4 file system with features that are not supported: {names}; make one without \
            them (mkfs.ext4 -O ^name)"
        );
        return Err(MountError::new(Error::Unsupported, detail));
    }
    let unknown = found.to_write & !self::read_only::KNOWN;
    if unknown != 0 && !read_only {
        let names = feature_names(unknown, TO_WRITE);
        let detail = format!(
            "an ext4 file system with features that can only be read: {names}; mount it \
            read-only, or make one without them (mkfs.ext4 -O ^name)"
        );
        return Err(MountError::new(Error::Unsupported, detail));
    }
    Ok(())
}

fn journal(superblock: &[u8], found: &Geometry, read_only: bool) -> Result<(), MountError> {
    if found.has_journal() && found.journal == 0 && u32_at(superblock, sb::JOURNAL_DEV) != 0 {
        let detail = "an ext4 file system whose journal is on another disk, which is not \
            supported; give it an internal one (tune2fs -O ^has_journal, then tune2fs -j)";
        return Err(MountError::new(Error::Unsupported, detail));
    }
    if found.incompatible & incompatible::RECOVER != 0 && read_only {
        let detail = "the ext4 file system was not cleanly unmounted, and its journal can't be \
            replayed without writing; mount it writable once, or run e2fsck -p";
        return Err(MountError::new(Error::ReadOnly, detail));
    }
    if found.compatible & compatible::FAST_COMMIT != 0 && !read_only {
        let detail = "an ext4 file system with a feature that can only be read: fast_commit; take \
            it away with tune2fs -O ^fast_commit, or mount it read-only";
        return Err(MountError::new(Error::Unsupported, detail));
    }
    Ok(())
}

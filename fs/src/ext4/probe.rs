//! The superblock, looked at before rsext4 sees it: for the message that says why a file system
//! can't be used, and for limits on what it makes rsext4 allocate.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::places::Places;
use crate::{Block, Error, MountError};

/// Where the superblock is, and its length, in bytes.
const PLACE: usize = 1024;
const LENGTH: usize = 1024;

/// Bytes for the descriptors of all block groups, which stay in memory: enough for 32 TiB.
pub(super) const MAX_DESCRIPTOR_BYTES: u64 = 16 << 20;

const HAS_JOURNAL: u32 = 0x4;
const FAST_COMMIT: u32 = 0x400;
const RECOVER: u32 = 0x4;
const JOURNAL_DEVICE: u32 = 0x8;
const MMP: u32 = 0x100;
const HAS_ERRORS: u16 = 0x2;
const ORPHANS: u32 = 0x1_0000;

/// "Incompatible" features that rsext4 has: filetype, needs_recovery, extent, 64bit, flex_bg,
/// metadata_csum_seed.
const KNOWN_INCOMPATIBLE: u32 = 0x2 | 0x4 | 0x40 | 0x80 | 0x200 | 0x2000;

/// "Read-only compatible" features that it has: sparse_super, large_file, huge_file, uninit_bg,
/// dir_nlink, extra_isize, metadata_csum, project.
const KNOWN_TO_WRITE: u32 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | 0x400 | 0x2000;

/// Names as mkfs.ext4 and tune2fs take them.
const INCOMPATIBLE: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x10, "meta_bg"),
    (MMP, "mmp"),
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
    (0x200, "bigalloc"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
];

/// What the rest of mounting needs to know.
pub(super) struct Found {
    /// Bytes in a block.
    pub block: u64,
    /// The inode of the journal, if there is one.
    pub journal: Option<u32>,
    /// Marked by someone who found it damaged.
    pub has_errors: bool,
    /// Where its metadata is.
    pub places: Places,
}

pub(super) fn refuse(error: Error, detail: String) -> MountError {
    MountError { error, detail }
}

/// The names of the features in `bits`, with commas.
fn feature_names(bits: u32, known: &[(u32, &str)]) -> String {
    let named = known.iter().filter(|(bit, _)| bits & bit != 0);
    let mut names: Vec<String> = named.map(|(_, name)| String::from(*name)).collect();
    let rest = bits & !known.iter().fold(0, |all, (bit, _)| all | bit);
    if rest != 0 {
        names.push(format!("unknown ones ({rest:#x})"));
    }
    names.join(", ")
}

/// Numbers by their places; 0 beyond the end.
pub(super) struct Superblock(pub Vec<u8>);

impl Superblock {
    pub fn u16(&self, at: usize) -> u16 {
        let bytes = self.0.get(at..at + 2).and_then(|b| b.try_into().ok());
        u16::from_le_bytes(bytes.unwrap_or_default())
    }

    pub fn u32(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..at + 4).and_then(|b| b.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    }

    pub fn bytes(&self, at: usize, count: usize) -> &[u8] {
        self.0.get(at..at + count).unwrap_or_default()
    }
}

fn read(device: &mut dyn Block) -> Result<Superblock, MountError> {
    let sector = device.sector_size();
    if !(512..=4096).contains(&sector) || !sector.is_power_of_two() {
        let detail =
            format!("sectors of {sector} bytes are not supported; use a disk with 512 or 4096");
        return Err(refuse(Error::Unsupported, detail));
    }
    let sectors = (PLACE + LENGTH).div_ceil(sector);
    if device.sectors() < sectors as u64 {
        let detail = String::from(
            "the disk is too small for a file system; make one with mkfs.ext4 on a larger disk",
        );
        return Err(refuse(Error::Corrupt, detail));
    }
    let mut start = vec![0; sectors * sector];
    device.read(0, &mut start).map_err(|error| {
        let detail = format!("the first sectors can't be read: {error}; check the disk");
        refuse(error.into(), detail)
    })?;
    let superblock = start.get(PLACE..PLACE + LENGTH).unwrap_or_default();
    Ok(Superblock(superblock.to_vec()))
}

/// Whether what is on `device` can be mounted, and if not, why.
pub(super) fn check(device: &mut dyn Block, read_only: bool) -> Result<Found, MountError> {
    let superblock = read(device)?;
    if superblock.u16(0x38) != 0xef53 {
        let detail = String::from("not an ext4 file system: no signature; make one with mkfs.ext4");
        return Err(refuse(Error::Corrupt, detail));
    }
    let compatible = superblock.u32(0x5c);
    let incompatible = superblock.u32(0x60);
    let to_write = superblock.u32(0x64);
    let block = size(&superblock, device, incompatible)?;
    features(incompatible, to_write, read_only)?;
    journal(&superblock, compatible, incompatible, to_write, read_only)?;
    let has_errors = superblock.u16(0x3a) & HAS_ERRORS != 0;
    if has_errors && incompatible & RECOVER != 0 {
        let detail = String::from(
            "the ext4 file system is marked as having errors, and was not cleanly unmounted; repair it with e2fsck -f",
        );
        return Err(refuse(Error::Corrupt, detail));
    }
    let places = Places::read(&superblock, device, block)?;
    Ok(Found {
        block,
        places,
        journal: (compatible & HAS_JOURNAL != 0).then(|| superblock.u32(0xe0)),
        has_errors,
    })
}

fn size(
    superblock: &Superblock,
    device: &mut dyn Block,
    incompatible: u32,
) -> Result<u64, MountError> {
    let sector = device.sector_size() as u64;
    let shift = superblock.u32(0x18);
    let block = 1024u64.checked_shl(shift).unwrap_or(u64::MAX);
    if shift > 6 {
        let detail = String::from(
            "the ext4 file system is corrupt: blocks of an impossible size; repair it with e2fsck -f",
        );
        return Err(refuse(Error::Corrupt, detail));
    }
    if block > 4096 || block < sector {
        let detail = format!(
            "an ext4 file system with blocks of {block} bytes on a disk with sectors of {sector}, which is not supported; make one with mkfs.ext4 -b 4096"
        );
        return Err(refuse(Error::Unsupported, detail));
    }
    let mut blocks = u64::from(superblock.u32(0x4));
    let mut descriptor = 32;
    if incompatible & 0x80 != 0 {
        blocks |= u64::from(superblock.u32(0x150)) << 32;
        descriptor = u64::from(superblock.u16(0xfe)).max(32);
    }
    let (claimed, disk) = (
        u128::from(blocks) * u128::from(block),
        u128::from(device.sectors()) * u128::from(sector),
    );
    if claimed > disk {
        let detail = format!(
            "truncated: the ext4 file system has {claimed} bytes and the disk only {disk}; restore the disk image, or shrink the file system with resize2fs"
        );
        return Err(refuse(Error::Corrupt, detail));
    }
    let per_group = u64::from(superblock.u32(0x20)).max(1);
    if blocks.div_ceil(per_group) * descriptor.max(64) > MAX_DESCRIPTOR_BYTES {
        let detail = format!(
            "an ext4 file system with {} block groups, too many to keep in memory; make one with mkfs.ext4 -b 4096 and without -g",
            blocks.div_ceil(per_group)
        );
        return Err(refuse(Error::Unsupported, detail));
    }
    Ok(block)
}

fn features(incompatible: u32, to_write: u32, read_only: bool) -> Result<(), MountError> {
    if incompatible & JOURNAL_DEVICE != 0 {
        let detail = String::from(
            "the journal of another ext4 file system; external journals are not supported: make the file system with an internal one",
        );
        return Err(refuse(Error::Unsupported, detail));
    }
    let mut unknown = incompatible & !KNOWN_INCOMPATIBLE;
    if read_only {
        unknown &= !MMP;
    }
    if unknown != 0 {
        let names = feature_names(unknown, INCOMPATIBLE);
        let detail = format!(
            "an ext4 file system with features that are not supported: {names}; make one without them (mkfs.ext4 -O ^name)"
        );
        return Err(refuse(Error::Unsupported, detail));
    }
    let unknown = to_write & !KNOWN_TO_WRITE & !ORPHANS;
    if unknown != 0 && !read_only {
        let names = feature_names(unknown, TO_WRITE);
        let detail = format!(
            "an ext4 file system with features that can only be read: {names}; mount it read-only, or make one without them (mkfs.ext4 -O ^name)"
        );
        return Err(refuse(Error::Unsupported, detail));
    }
    Ok(())
}

fn journal(
    superblock: &Superblock,
    compatible: u32,
    incompatible: u32,
    to_write: u32,
    read_only: bool,
) -> Result<(), MountError> {
    if compatible & HAS_JOURNAL != 0 && superblock.u32(0xe0) == 0 && superblock.u32(0xe4) != 0 {
        let detail = String::from(
            "an ext4 file system whose journal is on another disk, which is not supported; give it an internal one (tune2fs -O ^has_journal, then tune2fs -j)",
        );
        return Err(refuse(Error::Unsupported, detail));
    }
    if incompatible & RECOVER != 0 && read_only {
        let detail = String::from(
            "the ext4 file system was not cleanly unmounted, and its journal can't be replayed without writing; mount it writable once, or run e2fsck -p",
        );
        return Err(refuse(Error::ReadOnly, detail));
    }
    if compatible & FAST_COMMIT != 0 && !read_only {
        let detail = String::from(
            "an ext4 file system with a feature that can only be read: fast_commit; take it away with tune2fs -O ^fast_commit, or mount it read-only",
        );
        return Err(refuse(Error::Unsupported, detail));
    }
    if to_write & ORPHANS != 0 && !read_only {
        let detail = String::from(
            "the ext4 file system was not cleanly unmounted, and lists unfinished removals in its orphan file; run e2fsck -p first",
        );
        return Err(refuse(Error::Unsupported, detail));
    }
    Ok(())
}

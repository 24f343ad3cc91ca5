//! Layout of a volume, from its boot sector ("Boot Sector and BPB Structure").

use alloc::format;
use alloc::string::String;

use super::probe::claimed_bytes;
use crate::bytes::{u16_at, u32_at};

/// Bytes of a boot sector that have fields.
pub(super) const BOOT: usize = 512;

/// Bytes of a slot of a directory.
pub(super) const ENTRY_SIZE: usize = 32;

/// First cluster that holds data.
pub(super) const FIRST: u32 = 2;

/// Width of the entries of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FatKind {
    Fat12,
    Fat16,
    Fat32,
}

impl FatKind {
    /// Significant bits of an entry: the upper four of FAT32 are reserved. All of them set mark the
    /// last cluster of a chain.
    pub const fn mask(self) -> u32 {
        match self {
            Self::Fat12 => 0xfff,
            Self::Fat16 => 0xffff,
            Self::Fat32 => 0x0fff_ffff,
        }
    }

    /// Returns the offset of an entry in the table. An entry of FAT12 uses half of its second byte.
    pub const fn entry_offset(self, cluster: u32) -> u64 {
        let cluster = cluster as u64;
        match self {
            Self::Fat12 => cluster * 3 / 2,
            Self::Fat16 => cluster * 2,
            Self::Fat32 => cluster * 4,
        }
    }

    /// Bit of the second entry that is set while no system has the volume in use.
    pub const fn clean_bit(self) -> u32 {
        match self {
            Self::Fat12 => 0,
            Self::Fat16 => 0x8000,
            Self::Fat32 => 0x0800_0000,
        }
    }
}

/// Layout of a volume in bytes of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub kind: FatKind,
    /// Bytes of a cluster: a power of two from 512 to 64 KiB.
    pub unit: u32,
    /// Start of the active table.
    pub table: u64,
    /// Start of the second table, if it mirrors the first.
    pub mirror: Option<u64>,
    /// End of the tables.
    pub tables_end: u64,
    /// Bytes of a root directory of fixed size, which follows the tables; 0 on FAT32.
    pub root_len: u64,
    /// First cluster of the root directory; 0 if it has a fixed size.
    pub root: u32,
    /// Start of the first cluster.
    pub data: u64,
    /// Last cluster.
    pub max: u32,
    /// Start of the sector FSInfo.
    pub info: Option<u64>,
}

impl Geometry {
    /// Checks a boot sector for a disk of `disk` bytes. The error describes the problem.
    pub fn parse(boot: &[u8; BOOT], disk: u64) -> Result<Self, String> {
        let (sector, per_cluster) = (u64::from(u16_at(boot, 11)), u64::from(boot[13]));
        if !matches!(sector, 512 | 1024 | 2048 | 4096) {
            return refuse("sectors of other than 512, 1024, 2048 or 4096 bytes");
        }
        if !per_cluster.is_power_of_two() || per_cluster * sector > 64 << 10 {
            return refuse("clusters of other than 2^n sectors, or of more than 64 KiB");
        }
        if let Some(claimed) = claimed_bytes(boot).filter(|claimed| *claimed > disk) {
            return Err(format!(
                "truncated: the FAT file system has {claimed} bytes and the disk only {disk}; \
                 restore the disk image"
            ));
        }
        if u16_at(boot, 510) != 0xaa55 {
            return refuse("boot sector signature missing");
        }
        let (reserved, copies) = (u64::from(u16_at(boot, 14)), boot[16]);
        if reserved == 0 || !matches!(copies, 1 | 2) {
            return refuse("no reserved sectors, or other than one or two tables");
        }
        let (root_entries, short_len) = (u64::from(u16_at(boot, 17)), u16_at(boot, 22));
        // Linux and mkfs.fat treat volumes with the fields of FAT32 and few clusters as FAT32.
        let is_fat32 = root_entries == 0 && short_len == 0;
        let table_len = sector
            * match is_fat32 {
                true => u64::from(u32_at(boot, 36)),
                false => short_len.into(),
            };
        let root_len = root_entries * ENTRY_SIZE as u64;
        let tables = reserved * sector;
        let tables_end = tables + table_len * u64::from(copies);
        let data = tables_end + root_len.next_multiple_of(sector);
        let unit = per_cluster * sector;
        let clusters = claimed_bytes(boot).unwrap_or(0).saturating_sub(data) / unit;
        let (kind, limit) = match clusters {
            _ if is_fat32 => (FatKind::Fat32, 0x0fff_fff5),
            ..4085 => (FatKind::Fat12, 4084),
            _ => (FatKind::Fat16, 65_524),
        };
        if root_entries == 0 && !is_fat32 {
            return refuse("no entries in its root directory");
        }
        let max = match u32::try_from(clusters) {
            Ok(clusters) if (1..=limit).contains(&clusters) => clusters + 1,
            _ => return refuse("no clusters, or more than its tables can number"),
        };
        let mut geometry = Self {
            kind,
            unit: unit as u32,
            table: tables,
            mirror: (copies > 1).then_some(tables + table_len),
            tables_end,
            root_len,
            root: 0,
            data,
            max,
            info: None,
        };
        let width = if is_fat32 { 4 } else { 2 };
        if kind.entry_offset(max) + width > table_len {
            return refuse("tables that are too small for its clusters");
        }
        if is_fat32 {
            // `BPB_ExtFlags`: with bit 7, only the table in bits 0 to 3 is in use.
            let flags = u16_at(boot, 40);
            if flags & 0x80 != 0 {
                geometry.mirror = None;
                geometry.table += u64::from(flags & 0xf) * table_len;
            }
            geometry.root = u32_at(boot, 44);
            let info = u64::from(u16_at(boot, 48));
            geometry.info = (1..reserved).contains(&info).then_some(info * sector);
            if u16_at(boot, 42) != 0 {
                return refuse("a version that is not supported");
            }
            if geometry.table >= tables_end || geometry.cluster_offset(geometry.root).is_none() {
                return refuse("a table or a root directory outside of the volume");
            }
        }
        Ok(geometry)
    }

    /// Returns the first byte of a cluster; `None` if the volume has no such cluster.
    pub fn cluster_offset(&self, cluster: u32) -> Option<u64> {
        let is_there = (FIRST..=self.max).contains(&cluster);
        is_there.then(|| self.data + u64::from(cluster - FIRST) * u64::from(self.unit))
    }

    /// Returns the cluster that contains this byte of the disk.
    pub fn cluster_of(&self, at: u64) -> u32 {
        (at.saturating_sub(self.data) / u64::from(self.unit)) as u32 + FIRST
    }

    /// Whether disk sectors of this size never span two clusters.
    pub fn has_whole_sectors(&self, sector: usize) -> bool {
        self.unit as usize >= sector && self.data.is_multiple_of(sector as u64)
    }
}

fn refuse(what: &str) -> Result<Geometry, String> {
    Err(format!(
        "not a FAT file system that can be used: {what}; check it with fsck.fat, or make one with \
         mkfs.fat"
    ))
}

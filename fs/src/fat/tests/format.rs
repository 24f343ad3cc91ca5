//! Formats volumes, after the specification's "FAT Volume Initialization".

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{put, put_u16, put_u32};
use crate::fat::geometry::FatKind;

/// Fields of a new volume.
pub(in super::super) struct FatOptions {
    kind: FatKind,
    unit: usize,
    root_entries: usize,
}

impl FatOptions {
    /// FAT12 with clusters of 1 KiB and 512 entries in the root directory.
    pub fn new() -> Self {
        Self {
            kind: FatKind::Fat12,
            unit: 1024,
            root_entries: 512,
        }
    }

    pub fn with_kind(self, kind: FatKind) -> Self {
        Self { kind, ..self }
    }

    pub fn with_cluster_size(self, unit: usize) -> Self {
        Self { unit, ..self }
    }

    pub fn with_root_entries(self, root_entries: usize) -> Self {
        Self {
            root_entries,
            ..self
        }
    }
}

pub(in super::super) fn make(len: usize, options: &FatOptions) -> Vec<u8> {
    let (is_large, sectors) = (options.kind == FatKind::Fat32, len / 512);
    let (reserved, root) = match is_large {
        true => (32, 0),
        false => (1, options.root_entries),
    };
    let (bits, filler) = match options.kind {
        FatKind::Fat12 => (12, 3),
        FatKind::Fat16 => (16, 4),
        FatKind::Fat32 => (32, 12),
    };
    let clusters = |table| (sectors - reserved - root / 16 - 2 * table) * 512 / options.unit;
    let fits = |table: &usize| (clusters(*table) + 2) * bits <= *table * 4096;
    let table = (1..).find(fits).unwrap();
    let mut image = vec![0; len];
    put(&mut image, 0, &[0xeb, 0x3c, 0x90]);
    put_u16(&mut image, 11, 512);
    image[13] = (options.unit / 512) as u8;
    put_u16(&mut image, 14, reserved as u16);
    image[16] = 2;
    put_u16(&mut image, 17, root as u16);
    image[21] = 0xf8;
    put_u32(&mut image, 32, sectors as u32);
    put_u16(&mut image, 510, 0xaa55);
    if is_large {
        put_u32(&mut image, 36, table as u32);
        put_u32(&mut image, 44, 2);
        put_u16(&mut image, 48, 1);
        for (at, value) in [
            (0, 0x4161_5252),
            (484, 0x6141_7272),
            (488, clusters(table) as u32 - 1),
            (492, 3),
            (508, 0xaa55_0000),
        ] {
            put_u32(&mut image, 512 + at, value);
        }
    } else {
        put_u16(&mut image, 22, table as u16);
    }
    for table in [reserved, reserved + table].map(|sector| sector * 512) {
        image[table..table + filler].fill(0xff);
        image[table] = 0xf8;
        if is_large {
            // The two reserved entries, and the root.
            for at in [3, 7, 11] {
                image[table + at] = 0x0f;
            }
        }
    }
    image
}

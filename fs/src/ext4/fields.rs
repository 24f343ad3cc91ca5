//! Offsets of the fields of ext4's and jbd2's structures, in bytes. The names are Linux's without
//! their prefixes (`fs/ext4/ext4.h`, `ext4_extents.h`, `include/linux/jbd2.h`).

/// `struct ext4_super_block`.
pub mod superblock {
    pub const INODES_COUNT: usize = 0x0;
    pub const BLOCKS_COUNT_LO: usize = 0x4;
    pub const R_BLOCKS_COUNT_LO: usize = 0x8;
    pub const FREE_BLOCKS_COUNT_LO: usize = 0xc;
    pub const FREE_INODES_COUNT: usize = 0x10;
    pub const FIRST_DATA_BLOCK: usize = 0x14;
    pub const LOG_BLOCK_SIZE: usize = 0x18;
    pub const BLOCKS_PER_GROUP: usize = 0x20;
    pub const INODES_PER_GROUP: usize = 0x28;
    pub const WTIME: usize = 0x30;
    pub const MAGIC: usize = 0x38;
    pub const STATE: usize = 0x3a;
    pub const ERRORS: usize = 0x3c;
    pub const REV_LEVEL: usize = 0x4c;
    pub const FIRST_INO: usize = 0x54;
    pub const INODE_SIZE: usize = 0x58;
    pub const BLOCK_GROUP_NR: usize = 0x5a;
    pub const FEATURE_COMPAT: usize = 0x5c;
    pub const FEATURE_INCOMPAT: usize = 0x60;
    pub const FEATURE_RO_COMPAT: usize = 0x64;
    pub const UUID: usize = 0x68;
    pub const RESERVED_GDT_BLOCKS: usize = 0xce;
    pub const JOURNAL_INUM: usize = 0xe0;
    pub const JOURNAL_DEV: usize = 0xe4;
    pub const LAST_ORPHAN: usize = 0xe8;
    pub const HASH_SEED: usize = 0xec;
    pub const DEF_HASH_VERSION: usize = 0xfc;
    pub const DESC_SIZE: usize = 0xfe;
    pub const BLOCKS_COUNT_HI: usize = 0x150;
    pub const R_BLOCKS_COUNT_HI: usize = 0x154;
    pub const FREE_BLOCKS_COUNT_HI: usize = 0x158;
    pub const WANT_EXTRA_ISIZE: usize = 0x15e;
    pub const FLAGS: usize = 0x160;
    pub const SNAPSHOT_ID: usize = 0x184;
    pub const ERROR_COUNT: usize = 0x194;
    pub const FIRST_ERROR_TIME: usize = 0x198;
    pub const FIRST_ERROR_BLOCK: usize = 0x1a0;
    pub const FIRST_ERROR_FUNC: usize = 0x1a8;
    pub const LAST_ERROR_TIME: usize = 0x1cc;
    pub const LAST_ERROR_BLOCK: usize = 0x1d8;
    pub const LAST_ERROR_FUNC: usize = 0x1e0;
    pub const BACKUP_BGS: usize = 0x24c;
    pub const CHECKSUM_SEED: usize = 0x270;
    pub const ORPHAN_FILE_INUM: usize = 0x280;
    pub const CHECKSUM: usize = 0x3fc;
}

/// `struct ext4_group_desc`.
pub mod group {
    pub const BLOCK_BITMAP_LO: usize = 0x0;
    pub const INODE_BITMAP_LO: usize = 0x4;
    pub const INODE_TABLE_LO: usize = 0x8;
    pub const FREE_BLOCKS_COUNT_LO: usize = 0xc;
    pub const FREE_INODES_COUNT_LO: usize = 0xe;
    pub const USED_DIRS_COUNT_LO: usize = 0x10;
    pub const FLAGS: usize = 0x12;
    pub const BLOCK_BITMAP_CSUM_LO: usize = 0x18;
    pub const INODE_BITMAP_CSUM_LO: usize = 0x1a;
    pub const ITABLE_UNUSED_LO: usize = 0x1c;
    pub const CHECKSUM: usize = 0x1e;
    pub const BLOCK_BITMAP_HI: usize = 0x20;
    pub const INODE_BITMAP_HI: usize = 0x24;
    pub const INODE_TABLE_HI: usize = 0x28;
    pub const FREE_BLOCKS_COUNT_HI: usize = 0x2c;
    pub const FREE_INODES_COUNT_HI: usize = 0x2e;
    pub const USED_DIRS_COUNT_HI: usize = 0x30;
    pub const ITABLE_UNUSED_HI: usize = 0x32;
    pub const BLOCK_BITMAP_CSUM_HI: usize = 0x38;
    pub const INODE_BITMAP_CSUM_HI: usize = 0x3a;
}

/// `struct ext4_inode`.
pub mod inode {
    pub const MODE: usize = 0x0;
    pub const SIZE_LO: usize = 0x4;
    pub const ATIME: usize = 0x8;
    pub const CTIME: usize = 0xc;
    pub const MTIME: usize = 0x10;
    pub const DTIME: usize = 0x14;
    pub const LINKS_COUNT: usize = 0x1a;
    pub const BLOCKS_LO: usize = 0x1c;
    pub const FLAGS: usize = 0x20;
    pub const BLOCK: usize = 0x28;
    pub const GENERATION: usize = 0x64;
    pub const FILE_ACL_LO: usize = 0x68;
    pub const SIZE_HIGH: usize = 0x6c;
    pub const BLOCKS_HIGH: usize = 0x74;
    pub const FILE_ACL_HIGH: usize = 0x76;
    pub const CHECKSUM_LO: usize = 0x7c;
    pub const EXTRA_ISIZE: usize = 0x80;
    pub const CHECKSUM_HI: usize = 0x82;
    pub const CTIME_EXTRA: usize = 0x84;
    pub const MTIME_EXTRA: usize = 0x88;
    pub const ATIME_EXTRA: usize = 0x8c;
    pub const CRTIME: usize = 0x90;
    pub const CRTIME_EXTRA: usize = 0x94;
}

/// `struct ext4_extent_header`, at the start of each node of a tree.
pub mod extent_header {
    pub const MAGIC: usize = 0x0;
    pub const ENTRIES: usize = 0x2;
    pub const MAX: usize = 0x4;
    pub const DEPTH: usize = 0x6;
    pub const GENERATION: usize = 0x8;
}

/// `struct ext4_extent`, an entry of a leaf.
pub mod extent {
    pub const BLOCK: usize = 0x0;
    pub const LEN: usize = 0x4;
    pub const START_HI: usize = 0x6;
    pub const START_LO: usize = 0x8;
}

/// `struct ext4_extent_idx`, an entry of the other nodes.
pub mod extent_index {
    pub const BLOCK: usize = 0x0;
    pub const LEAF_LO: usize = 0x4;
    pub const LEAF_HI: usize = 0x8;
    pub const UNUSED: usize = 0xa;
}

/// `struct journal_header_s`, at the start of each block of the journal but contents.
pub mod journal_header {
    pub const MAGIC: usize = 0x0;
    pub const BLOCKTYPE: usize = 0x4;
    pub const SEQUENCE: usize = 0x8;
}

/// `struct journal_superblock_s`.
pub mod journal {
    pub const BLOCKSIZE: usize = 0xc;
    pub const MAXLEN: usize = 0x10;
    pub const FIRST: usize = 0x14;
    pub const SEQUENCE: usize = 0x18;
    pub const START: usize = 0x1c;
    pub const ERRNO: usize = 0x20;
    pub const FEATURE_COMPAT: usize = 0x24;
    pub const FEATURE_INCOMPAT: usize = 0x28;
    pub const UUID: usize = 0x30;
    pub const CHECKSUM_TYPE: usize = 0x50;
    pub const CHECKSUM: usize = 0xfc;
}

/// `struct commit_header`.
pub mod commit {
    pub const CHECKSUM: usize = 0x10;
    pub const SECONDS: usize = 0x30;
}

/// `struct journal_block_tag_s`.
pub mod tag {
    pub const BLOCKNR: usize = 0x0;
    pub const CHECKSUM: usize = 0x4;
    pub const FLAGS: usize = 0x6;
    pub const BLOCKNR_HIGH: usize = 0x8;
}

/// `struct journal_block_tag3_s`, with `csum_v3`.
pub mod tag3 {
    pub const BLOCKNR: usize = 0x0;
    pub const FLAGS: usize = 0x4;
    pub const BLOCKNR_HIGH: usize = 0x8;
    pub const CHECKSUM: usize = 0xc;
}

//! Journal (kernel documentation, "Journal (jbd2)"): its location, its superblock, and the format
//! of transactions. All its numbers are big-endian.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::checksum::Crc32c;
use super::fields::{commit, journal as js, journal_header as header, tag, tag3};
use crate::bytes::{be32_at, clear, part, put, put_be16, put_be32};
use crate::cache::Cache;
use crate::{BlockError, Error};

/// Runs of a journal's blocks: first block in the journal, first block on the disk, and number.
pub type Runs = Vec<(u32, u64, u32)>;

pub const MAGIC: u32 = 0xc03b_3998;
pub const DESCRIPTOR: u32 = 1;
pub const COMMIT: u32 = 2;
const SUPERBLOCK_1: u32 = 3;
const SUPERBLOCK_2: u32 = 4;
pub const REVOKE: u32 = 5;

/// "Incompatible" features.
const REVOKES: u32 = 0x1;
pub const IS_64BIT: u32 = 0x2;
const ASYNC_COMMIT: u32 = 0x4;
pub const CHECKSUMS_2: u32 = 0x8;
pub const CHECKSUMS_3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
const KNOWN: u32 = REVOKES | IS_64BIT | CHECKSUMS_2 | CHECKSUMS_3;

/// Flags of a tag.
pub const ESCAPED: u32 = 0x1;
pub const SAME_UUID: u32 = 0x2;
pub const LAST: u32 = 0x8;

/// Bytes of the header of each block except logged ones.
pub const HEADER: usize = 12;

/// Minimum number of blocks in a journal, as in jbd2.
const MIN_BLOCKS: u32 = 1024;

/// Maximum number of pieces of a journal.
pub const MAX_RUNS: usize = 8192;

/// Maximum number of bytes of a transaction in the journal, which take as much memory.
const MAX_TRANSACTION: usize = 2 << 20;

/// Journal of a file system; see the module documentation.
#[derive(Debug)]
pub struct Journal {
    /// Location of its blocks.
    pub runs: Runs,
    /// Bytes in a block.
    block: usize,
    /// Number of blocks, and the first one for transactions.
    pub len: u32,
    pub first: u32,
    pub features: u32,
    uuid: [u8; 16],
    pub seed: u32,
    /// Contents of its first block.
    superblock: Vec<u8>,
    /// Block and number of the transaction where a replay begins; 0 for none.
    pub start: u32,
    pub start_sequence: u32,
    /// Block and number of the next transaction.
    pub head: u32,
    pub sequence: u32,
    /// Number of commits since the mount.
    pub commits: u64,
    /// Block and transaction where a replay may begin from now on, and the number of commits at
    /// that time: all blocks before that are at their home locations.
    pub may_start: Option<(u32, u32, u64)>,
    /// Blocks that may have a copy in the journal, and the commit of that copy.
    logged: BTreeMap<u64, u64>,
}

/// Reason for which a journal can't be used, as a part of a sentence.
pub enum Wrong {
    /// The disk failed to read or write its blocks.
    Disk(String),
    /// Its contents are invalid.
    Contents(String),
    /// There is not enough memory for its contents.
    Memory,
}

/// Reason for invalid contents.
pub fn damaged(what: &str) -> Wrong {
    Wrong::Contents(String::from(what))
}

/// Reason for an error of the inode or the blocks.
pub fn unreadable(error: Error) -> Wrong {
    match error {
        Error::Corrupt => damaged("its journal's inode contradicts itself"),
        error => Wrong::Disk(format!("its journal can't be read: {error}")),
    }
}

/// Opens and checks the journal whose `blocks` blocks are in `runs`.
pub fn open(
    cache: &mut Cache,
    crc: &Crc32c,
    block: usize,
    runs: Runs,
    blocks: u32,
) -> core::result::Result<Journal, Wrong> {
    let mut journal = Journal {
        runs,
        block,
        len: 0,
        first: 0,
        features: 0,
        uuid: [0; 16],
        seed: 0,
        superblock: vec![0; block],
        start: 0,
        start_sequence: 0,
        head: 0,
        sequence: 0,
        commits: 0,
        may_start: None,
        logged: BTreeMap::new(),
    };
    let mut superblock = vec![0; block];
    let read = journal.read(cache, 0, &mut superblock);
    read.map_err(|error| unreadable(error.into()))?;
    journal.superblock = superblock;
    journal.parse(crc, blocks)?;
    Ok(journal)
}

fn superblock_checksum(crc: &Crc32c, superblock: &[u8]) -> u32 {
    let sum = crc.update(!0, part(superblock, 0, js::CHECKSUM));
    crc.update(
        crc.update(sum, &[0; 4]),
        part(superblock, js::CHECKSUM + 4, 1024),
    )
}

impl Journal {
    fn parse(&mut self, crc: &Crc32c, blocks: u32) -> core::result::Result<(), Wrong> {
        let s = &self.superblock;
        let version = be32_at(s, header::BLOCKTYPE);
        if be32_at(s, header::MAGIC) != MAGIC || ![SUPERBLOCK_1, SUPERBLOCK_2].contains(&version) {
            return Err(damaged("its journal has no superblock"));
        }
        self.len = be32_at(s, js::MAXLEN);
        self.first = be32_at(s, js::FIRST);
        self.sequence = be32_at(s, js::SEQUENCE);
        self.start = be32_at(s, js::START);
        if version == SUPERBLOCK_2 {
            self.features = be32_at(s, js::FEATURE_INCOMPAT);
            self.uuid
                .copy_from_slice(s.get(js::UUID..js::UUID + 16).unwrap_or(&[0; 16]));
        }
        let unknown = self.features & !KNOWN;
        if unknown & ASYNC_COMMIT != 0 {
            return Err(damaged("its journal has the feature async_commit"));
        }
        if unknown & FAST_COMMIT != 0 {
            return Err(damaged("its journal has the feature fast_commit"));
        }
        if unknown != 0 {
            let wrong = format!("its journal has unknown features ({unknown:#x})");
            return Err(Wrong::Contents(wrong));
        }
        if be32_at(s, js::BLOCKSIZE) as usize != self.block
            || self.len > blocks
            || self.len < MIN_BLOCKS
            || self.first == 0
            || self.first >= self.len - MIN_BLOCKS / 2
            || self.start >= self.len
            || self.start != 0 && self.start < self.first
        {
            return Err(damaged("its journal's numbers are impossible"));
        }
        if self.has_checksums() && be32_at(s, js::CHECKSUM) != superblock_checksum(crc, s) {
            return Err(damaged("the checksum of its journal's superblock is wrong"));
        }
        self.seed = crc.update(!0, &self.uuid);
        self.start_sequence = self.sequence;
        self.head = self.first;
        Ok(())
    }

    /// Whether the journal's superblock stores an error that aborted it.
    pub fn was_aborted(&self) -> bool {
        be32_at(&self.superblock, js::ERRNO) != 0
    }

    pub fn has_checksums(&self) -> bool {
        self.features & (CHECKSUMS_2 | CHECKSUMS_3) != 0
    }

    /// Sets the features of future transactions. The journal must be empty.
    pub fn begin_writing(&mut self, has_checksums: bool, wide: bool) {
        let mut features = self.features | REVOKES;
        if wide {
            features |= IS_64BIT;
        }
        if !has_checksums {
            features &= !(CHECKSUMS_2 | CHECKSUMS_3);
        } else if features & CHECKSUMS_2 == 0 {
            features |= CHECKSUMS_3;
        }
        self.features = features;
        let s = &mut self.superblock;
        put_be32(s, header::BLOCKTYPE, SUPERBLOCK_2);
        // No checksums over whole transactions.
        let compatible = be32_at(s, js::FEATURE_COMPAT) & !1;
        put_be32(s, js::FEATURE_COMPAT, compatible);
        put_be32(s, js::FEATURE_INCOMPAT, features);
        // crc32c.
        put(s, js::CHECKSUM_TYPE, &[if has_checksums { 4 } else { 0 }]);
    }

    /// Returns the first sector of a block of the journal, and the number of contiguous blocks from
    /// it on.
    fn place(&self, cache: &Cache, at: u32) -> core::result::Result<(u64, u32), BlockError> {
        let next = self.runs.partition_point(|(first, ..)| *first <= at);
        let run = next.checked_sub(1).and_then(|run| self.runs.get(run));
        let (first, disk, count) = run.ok_or(BlockError::OutOfRange)?;
        let block = disk + u64::from(at - first);
        let sector = block * (self.block / cache.sector_size()) as u64;
        Ok((sector, count.saturating_sub(at - first)))
    }

    /// Reads contiguous blocks from `at` on, as many as fit. Returns their number.
    pub fn read(
        &self,
        cache: &mut Cache,
        at: u32,
        buf: &mut [u8],
    ) -> core::result::Result<u32, BlockError> {
        let (sector, count) = self.place(cache, at)?;
        let count = count.min(self.len.max(at + 1) - at);
        let count = count.min((buf.len() / self.block) as u32);
        let place = buf.get_mut(..count as usize * self.block);
        cache.read_raw(sector, place.ok_or(BlockError::OutOfRange)?)?;
        Ok(count)
    }

    /// Queues a block of the journal for the next commit of the cache.
    pub fn put(
        &self,
        cache: &mut Cache,
        at: u32,
        data: &[u8],
    ) -> core::result::Result<(), BlockError> {
        cache.put_raw(self.place(cache, at)?.0, data)
    }

    /// Returns the block after another.
    pub fn after(&self, at: u32) -> u32 {
        if at + 1 >= self.len {
            self.first
        } else {
            at + 1
        }
    }

    /// Number of free blocks for transactions.
    pub fn room(&self) -> u32 {
        let all = self.len - self.first;
        if self.start == 0 {
            return all;
        }
        let used = if self.head >= self.start {
            self.head - self.start
        } else {
            all - (self.start - self.head)
        };
        all - used
    }

    /// Maximum number of blocks of a transaction.
    pub fn max_transaction(&self) -> usize {
        let most = (self.len - self.first) as usize / 8;
        most.min(MAX_TRANSACTION / self.block)
    }

    /// Whether the journal may have a copy of a block.
    pub fn has(&self, block: u64) -> bool {
        self.logged.contains_key(&block)
    }

    /// Bytes of a tag, without the UUID in the first tag of each descriptor.
    pub fn tag_len(&self) -> usize {
        if self.features & CHECKSUMS_3 != 0 {
            return 16;
        }
        let checksum = if self.features & CHECKSUMS_2 != 0 {
            2
        } else {
            0
        };
        let wide = if self.features & IS_64BIT != 0 { 4 } else { 0 };
        8 + checksum + wide
    }

    fn tail_len(&self) -> usize {
        if self.has_checksums() { 4 } else { 0 }
    }

    /// Number of tags in one descriptor.
    fn tags(&self) -> usize {
        (self.block - HEADER - 16 - self.tail_len()) / self.tag_len()
    }

    fn revokes(&self) -> usize {
        let each = if self.features & IS_64BIT != 0 { 8 } else { 4 };
        (self.block - HEADER - 4 - self.tail_len()) / each
    }

    /// Number of journal blocks that a transaction needs.
    pub fn needed(&self, blocks: usize, revoked: usize) -> usize {
        blocks + blocks.div_ceil(self.tags()) + revoked.div_ceil(self.revokes()) + 1
    }

    fn header(&self, data: &mut [u8], kind: u32) {
        let len = data.len();
        clear(data, 0..len);
        put_be32(data, header::MAGIC, MAGIC);
        put_be32(data, header::BLOCKTYPE, kind);
        put_be32(data, header::SEQUENCE, self.sequence);
    }

    /// Returns the checksum at the end of a descriptor or revoke block.
    pub fn tail_checksum(&self, crc: &Crc32c, data: &[u8]) -> u32 {
        let sum = crc.update(self.seed, part(data, 0, data.len() - 4));
        crc.update(sum, &[0; 4])
    }

    fn seal(&self, crc: &Crc32c, data: &mut [u8]) {
        if self.has_checksums() {
            let sum = self.tail_checksum(crc, data);
            let end = data.len() - 4;
            put_be32(data, end, sum);
        }
    }

    /// Returns the checksum of a logged block in its form in the journal.
    pub fn block_checksum(&self, crc: &Crc32c, sequence: u32, data: &[u8]) -> u32 {
        let sum = crc.update(self.seed, &sequence.to_be_bytes());
        crc.update(sum, data)
    }

    fn put_tag(&self, data: &mut [u8], at: usize, home: u64, flags: u32, checksum: u32) {
        let high = (home >> 32) as u32;
        if self.features & CHECKSUMS_3 != 0 {
            put_be32(data, at + tag3::BLOCKNR, home as u32);
            put_be32(data, at + tag3::FLAGS, flags);
            put_be32(data, at + tag3::BLOCKNR_HIGH, high);
            put_be32(data, at + tag3::CHECKSUM, checksum);
            return;
        }
        put_be32(data, at + tag::BLOCKNR, home as u32);
        if self.features & CHECKSUMS_2 != 0 {
            put_be16(data, at + tag::CHECKSUM, checksum as u16);
        }
        put_be16(data, at + tag::FLAGS, flags as u16);
        if self.features & IS_64BIT != 0 {
            put_be32(data, at + tag::BLOCKNR_HIGH, high);
        }
    }

    /// Queues all blocks of a transaction except its commit block. Returns the location of the
    /// commit block.
    pub fn put_transaction(
        &mut self,
        (cache, crc): (&mut Cache, &Crc32c),
        blocks: &[(u64, &[u8])],
        revoked: &[u64],
    ) -> core::result::Result<u32, BlockError> {
        let mut at = self.head;
        let mut data = vec![0; self.block];
        for some in revoked.chunks(self.revokes()) {
            self.header(&mut data, REVOKE);
            let mut end = HEADER + 4;
            for block in some {
                if self.features & IS_64BIT != 0 {
                    put(&mut data, end, &block.to_be_bytes());
                    end += 8;
                } else {
                    put_be32(&mut data, end, *block as u32);
                    end += 4;
                }
            }
            put_be32(&mut data, HEADER, end as u32);
            self.seal(crc, &mut data);
            self.put(cache, at, &data)?;
            at = self.after(at);
        }
        let mut escaped = vec![0; self.block];
        for some in blocks.chunks(self.tags()) {
            self.header(&mut data, DESCRIPTOR);
            let mut tag = HEADER;
            for (n, (home, contents)) in some.iter().enumerate() {
                let mut flags = if n == 0 { 0 } else { SAME_UUID };
                if n + 1 == some.len() {
                    flags |= LAST;
                }
                let mut checksum = 0;
                if be32_at(contents, header::MAGIC) == MAGIC {
                    flags |= ESCAPED;
                }
                if self.has_checksums() {
                    checksum = if flags & ESCAPED != 0 {
                        escape(&mut escaped, contents);
                        self.block_checksum(crc, self.sequence, &escaped)
                    } else {
                        self.block_checksum(crc, self.sequence, contents)
                    };
                }
                self.put_tag(&mut data, tag, *home, flags, checksum);
                tag += self.tag_len();
                if n == 0 {
                    put(&mut data, tag, &self.uuid);
                    tag += 16;
                }
            }
            self.seal(crc, &mut data);
            self.put(cache, at, &data)?;
            at = self.after(at);
            for (_, contents) in some {
                if be32_at(contents, header::MAGIC) == MAGIC {
                    escape(&mut escaped, contents);
                    self.put(cache, at, &escaped)?;
                } else {
                    self.put(cache, at, contents)?;
                }
                at = self.after(at);
            }
        }
        Ok(at)
    }

    /// Queues the commit block.
    pub fn put_end(
        &self,
        (cache, crc): (&mut Cache, &Crc32c),
        at: u32,
        now: i64,
    ) -> core::result::Result<(), BlockError> {
        let mut data = vec![0; self.block];
        self.header(&mut data, COMMIT);
        put(&mut data, commit::SECONDS, &now.to_be_bytes());
        if self.has_checksums() {
            let sum = crc.update(self.seed, &data);
            put_be32(&mut data, commit::CHECKSUM, sum);
        }
        self.put(cache, at, &data)
    }

    /// Records that a transaction of these blocks, up to block `end`, is on the disk.
    pub fn committed(&mut self, blocks: &[u64], end: u32) {
        self.commits += 1;
        for block in blocks {
            self.logged.insert(*block, self.commits);
        }
        self.head = self.after(end);
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Queues the journal's superblock: a replay begins at block `start`, with the transaction
    /// `sequence`; 0 for nothing to replay.
    pub fn put_superblock(
        &mut self,
        (cache, crc): (&mut Cache, &Crc32c),
        start: u32,
        sequence: u32,
    ) -> core::result::Result<(), BlockError> {
        put_be32(&mut self.superblock, js::SEQUENCE, sequence);
        put_be32(&mut self.superblock, js::START, start);
        if self.has_checksums() {
            let sum = superblock_checksum(crc, &self.superblock);
            put_be32(&mut self.superblock, js::CHECKSUM, sum);
        }
        self.put(cache, 0, &self.superblock)
    }

    /// Records that a replay durably begins at `start`: the log before `commit` is free.
    pub fn started(&mut self, start: u32, sequence: u32, commit: u64) {
        (self.start, self.start_sequence) = (start, sequence);
        self.logged.retain(|_, known| *known >= commit);
    }
}

/// Escapes a block that begins with the journal's magic number by zeroing it.
fn escape(to: &mut [u8], from: &[u8]) {
    to.copy_from_slice(from);
    clear(to, 0..4);
}

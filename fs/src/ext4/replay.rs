//! Journal replay after an unclean end (kernel documentation, "Journal (jbd2)"): writes the blocks
//! of all complete transactions to their home locations, in order, except those that a later
//! transaction revokes. Writes nothing unless the whole log is valid.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::bytes::{be16_at, be32_at, put_be32};
use super::checksum::Crc32c;
use super::fields::{commit, journal_header as header, tag, tag3};
use super::filesystem::Fs;
use super::journal::{
    CHECKSUMS_3, COMMIT, DESCRIPTOR, ESCAPED, HEADER, Journal, LAST, MAGIC, REVOKE, SAME_UUID,
    WIDE, Wrong, damaged,
};

type Result<T> = core::result::Result<T, Wrong>;

/// Latest copy of a block in the journal.
#[derive(Debug, Clone, Copy)]
struct Logged {
    /// Number of the block in the journal.
    at: u32,
    /// Transaction, counted from the first.
    transaction: u32,
    escaped: bool,
    checksum: u32,
}

/// Contents of the transactions of a journal.
#[derive(Debug, Default)]
struct Log {
    blocks: BTreeMap<u64, Logged>,
    /// Revoked blocks: copies in this transaction or an earlier one don't count.
    revoked: BTreeMap<u64, u32>,
}

/// Approximate number of bytes per read of the journal.
const READ: usize = 256 << 10;

/// Reader of a journal's blocks, many at a time.
struct Reader<'a> {
    journal: &'a Journal,
    data: Vec<u8>,
    /// Blocks in the buffer: first and number.
    at: u32,
    count: u32,
}

impl<'a> Reader<'a> {
    fn new(journal: &'a Journal, block: usize) -> Result<Self> {
        let mut data = Vec::new();
        if data.try_reserve_exact(READ).is_err() {
            let wrong = String::from("its journal can't be read: out of memory");
            return Err(Wrong::Disk(wrong));
        }
        data.resize(READ / block * block, 0);
        let (at, count) = (0, 0);
        Ok(Self {
            journal,
            data,
            at,
            count,
        })
    }

    fn has(&self, at: u32) -> bool {
        (self.at..self.at + self.count).contains(&at)
    }

    /// Returns a block of the journal.
    fn block(&mut self, fs: &mut Fs, at: u32) -> Result<&mut [u8]> {
        if !self.has(at) {
            self.count = 0;
            let read = self.journal.read(&mut fs.cache, at, &mut self.data);
            let failed = |error| Wrong::Disk(format!("its journal can't be read: {error}"));
            (self.at, self.count) = (at, read.map_err(failed)?);
        }
        let (size, number) = (fs.geometry.block, (at - self.at) as usize);
        let block = self.data.get_mut(number * size..(number + 1) * size);
        block.ok_or_else(|| Wrong::Disk(String::from("its journal can't be read")))
    }
}

/// Tag of a descriptor block.
struct Tag {
    home: u64,
    flags: u32,
    checksum: u32,
}

fn tag_at(journal: &Journal, data: &[u8], at: usize) -> Tag {
    let high = |at| u64::from(be32_at(data, at)) << 32;
    if journal.features & CHECKSUMS_3 != 0 {
        return Tag {
            home: u64::from(be32_at(data, at + tag3::BLOCKNR)) | high(at + tag3::BLOCKNR_HIGH),
            flags: be32_at(data, at + tag3::FLAGS),
            checksum: be32_at(data, at + tag3::CHECKSUM),
        };
    }
    let wide = journal.features & WIDE != 0;
    let upper = if wide {
        high(at + tag::BLOCKNR_HIGH)
    } else {
        0
    };
    Tag {
        home: u64::from(be32_at(data, at + tag::BLOCKNR)) | upper,
        flags: be16_at(data, at + tag::FLAGS).into(),
        checksum: be16_at(data, at + tag::CHECKSUM).into(),
    }
}

/// Whether the checksum at the end of a block is correct, or there is none.
fn is_sealed(journal: &Journal, crc: &Crc32c, data: &[u8]) -> bool {
    !journal.has_checksums() || be32_at(data, data.len() - 4) == journal.tail_checksum(crc, data)
}

fn is_end(journal: &Journal, crc: &Crc32c, data: &mut [u8]) -> bool {
    let known = be32_at(data, commit::CHECKSUM);
    if !journal.has_checksums() {
        return true;
    }
    put_be32(data, commit::CHECKSUM, 0);
    crc.update(journal.seed, data) == known
}

/// Scans the log as far as transactions are complete. Returns the number of the first incomplete
/// one.
fn scan(fs: &mut Fs, journal: &Journal, log: &mut Log) -> Result<u32> {
    let mut reader = Reader::new(journal, fs.geometry.block)?;
    let (mut at, mut sequence) = (journal.start, journal.start_sequence);
    let mut pending = Log::default();
    let mut transaction = 0;
    // Visit each block at most once.
    let mut left = journal.len;
    while left > 0 {
        left -= 1;
        let data = reader.block(fs, at)?;
        at = journal.after(at);
        if be32_at(data, header::MAGIC) != MAGIC || be32_at(data, header::SEQUENCE) != sequence {
            break;
        }
        match be32_at(data, header::BLOCKTYPE) {
            DESCRIPTOR if is_sealed(journal, &fs.crc, data) => {
                let count = tags(fs, journal, (data, at, transaction), &mut pending, left);
                let Some(count) = count else { break };
                for _ in 0..count {
                    at = journal.after(at);
                }
                left -= count;
            }
            REVOKE if is_sealed(journal, &fs.crc, data) => {
                revokes(fs, journal, data, transaction, &mut pending);
            }
            COMMIT if is_end(journal, &fs.crc, data) => {
                log.blocks.append(&mut pending.blocks);
                log.revoked.append(&mut pending.revoked);
                sequence = sequence.wrapping_add(1);
                transaction += 1;
            }
            _ => break,
        }
    }
    Ok(sequence)
}

/// Records the blocks that a descriptor announces, from `at` on. `None` if the descriptor is
/// invalid.
fn tags(
    fs: &Fs,
    journal: &Journal,
    (data, at, transaction): (&[u8], u32, u32),
    log: &mut Log,
    left: u32,
) -> Option<u32> {
    let (mut place, mut count, mut at) = (HEADER, 0, at);
    let end = data.len() - if journal.has_checksums() { 4 } else { 0 };
    while place + journal.tag_len() <= end {
        let tag = tag_at(journal, data, place);
        count += 1;
        if count > left || tag.home >= fs.geometry.blocks {
            return None;
        }
        let logged = Logged {
            at,
            transaction,
            escaped: tag.flags & ESCAPED != 0,
            checksum: tag.checksum,
        };
        log.blocks.insert(tag.home, logged);
        at = journal.after(at);
        place += journal.tag_len();
        if tag.flags & SAME_UUID == 0 {
            place += 16;
        }
        if tag.flags & LAST != 0 {
            break;
        }
    }
    Some(count)
}

/// Records the blocks that a revoke block lists. Ignores numbers outside the file system, which
/// were never logged: a list of many such only takes memory.
fn revokes(fs: &Fs, journal: &Journal, data: &[u8], transaction: u32, log: &mut Log) {
    let each = if journal.features & WIDE != 0 { 8 } else { 4 };
    let end = (be32_at(data, HEADER) as usize).min(data.len());
    let mut at = HEADER + 4;
    while at + each <= end {
        let block = if each == 8 {
            u64::from(be32_at(data, at)) << 32 | u64::from(be32_at(data, at + 4))
        } else {
            be32_at(data, at).into()
        };
        if block < fs.geometry.blocks {
            log.revoked.insert(block, transaction);
        }
        at += each;
    }
}

/// Replays the journal and leaves it empty. The file system's own superblock may have changed.
pub fn replay(fs: &mut Fs, journal: &mut Journal) -> Result<()> {
    let mut log = Log::default();
    let end = scan(fs, journal, &mut log)?;
    let revoked = core::mem::take(&mut log.revoked);
    log.blocks.retain(|block, logged| {
        revoked
            .get(block)
            .is_none_or(|transaction| logged.transaction > *transaction)
    });
    // Read in the order of the journal, in large pieces.
    let mut blocks: Vec<(u64, Logged)> = log.blocks.into_iter().collect();
    blocks.sort_unstable_by_key(|(_, logged)| logged.at);
    let mut reader = Reader::new(journal, fs.geometry.block)?;
    // Verify all blocks first.
    for (_, logged) in blocks.iter().filter(|_| journal.has_checksums()) {
        let sequence = journal.start_sequence.wrapping_add(logged.transaction);
        let data = reader.block(fs, logged.at)?;
        let mut sum = journal.block_checksum(&fs.crc, sequence, data);
        if journal.features & CHECKSUMS_3 == 0 {
            sum &= 0xffff;
        }
        if sum != logged.checksum {
            return Err(damaged("a block of its journal is damaged"));
        }
    }
    let failed = |error| Wrong::Disk(format!("its journal can't be replayed: {error}"));
    for (home, logged) in &blocks {
        let sector = fs.sectors(*home);
        if !reader.has(logged.at) {
            // Write now, to have memory for another large read.
            fs.cache.commit_raw().map_err(failed)?;
        }
        let data = reader.block(fs, logged.at)?;
        if logged.escaped {
            put_be32(data, header::MAGIC, MAGIC);
        }
        fs.cache.put_raw(sector, data).map_err(failed)?;
    }
    let number = end.wrapping_add(1);
    let finish = |fs: &mut Fs, journal: &mut Journal| {
        fs.cache.commit_raw()?;
        // Empty the journal only when all blocks are durable at home.
        fs.cache.flush()?;
        journal.put_superblock((&mut fs.cache, &fs.crc), 0, number)?;
        fs.cache.commit_raw()?;
        // Write to the journal only when that is durable.
        fs.cache.flush()
    };
    finish(fs, journal).map_err(failed)?;
    (journal.start, journal.sequence) = (0, number);
    Ok(())
}

/// Restarts a journal whose contents are obsolete, with sequence numbers that it doesn't contain.
pub fn skip(fs: &mut Fs, journal: &mut Journal) -> Result<()> {
    let end = scan(fs, journal, &mut Log::default())?;
    (journal.start, journal.sequence) = (0, end.wrapping_add(1));
    Ok(())
}

//! Journal replay after an unclean end (kernel documentation, "Journal (jbd2)"): writes the blocks
//! of all complete transactions to their home locations, in order, except those that a later
//! transaction revokes. Writes nothing unless the whole log is valid.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::checksum::Crc32c;
use super::fields::{commit, journal_header as header, tag, tag3};
use super::filesystem::Fs;
use super::journal::{
    CHECKSUMS_3, COMMIT, DESCRIPTOR, ESCAPED, HEADER, IS_64BIT, Journal, LAST, MAGIC, REVOKE,
    SAME_UUID, Wrong, damaged,
};
use super::metadata_cache::hash;
use crate::bytes::{be16_at, be32_at, put_be32};

use crate::memory_pressure::is_memory_short;

type Result<T> = core::result::Result<T, Wrong>;

/// Copy of a block in the journal.
#[derive(Debug, Clone, Copy)]
struct Logged {
    /// Number of the block in the file system.
    home: u64,
    /// Number of the copy in the journal.
    at: u32,
    /// Transaction, counted from the first.
    transaction: u32,
    checksum: u32,
    escaped: bool,
    /// A later copy replaces it, or a later revoke record.
    obsolete: bool,
}

/// Copies in the transactions of a journal. Its memory is checked, since a few sectors of a hostile
/// disk can name any number of blocks.
#[derive(Debug, Default)]
struct Log {
    /// In the order of the journal.
    copies: Vec<Logged>,
    /// Number of copies in complete transactions.
    complete: usize,
    /// Indices of the latest copies of blocks, of complete transactions.
    latest: HashTable<u32>,
    /// Blocks of the journal with revoke records of the last transaction.
    revokes: Vec<u32>,
}

/// Fails if memory has to be left to others.
fn check_memory() -> Result<()> {
    if is_memory_short() {
        return Err(Wrong::Memory);
    }
    Ok(())
}

impl Log {
    /// Adds a copy of the last transaction.
    fn add(&mut self, copy: Logged) -> Result<()> {
        self.copies.try_reserve(1).map_err(|_| Wrong::Memory)?;
        self.copies.push(copy);
        Ok(())
    }

    /// Ends the last transaction: its copies replace earlier ones.
    fn commit(&mut self) -> Result<()> {
        let Self {
            copies,
            complete,
            latest,
            ..
        } = self;
        for index in *complete..copies.len() {
            let home = copies.get(index).map_or(0, |copy| copy.home);
            let home_of = |index: &u32| copies.get(*index as usize).map_or(0, |copy| copy.home);
            let rehash = |index: &u32| hash(home_of(index));
            let room = latest.try_reserve(1, rehash);
            room.map_err(|_| Wrong::Memory)?;
            let is_it = |index: &u32| home_of(index) == home;
            let before = latest.find_entry(hash(home), is_it);
            let before = before.map(|found| found.remove().0).ok();
            latest.insert_unique(hash(home), index as u32, rehash);
            if let Some(before) = before.and_then(|before| copies.get_mut(before as usize)) {
                before.obsolete = true;
            }
        }
        *complete = copies.len();
        Ok(())
    }

    /// Drops the latest copy of a block.
    fn revoke(&mut self, home: u64) {
        let copies = &mut self.copies;
        let is_it = |index: &u32| {
            copies
                .get(*index as usize)
                .is_some_and(|it| it.home == home)
        };
        let found = self.latest.find_entry(hash(home), is_it);
        let index = found.map(|found| found.remove().0).ok();
        if let Some(copy) = index.and_then(|index| copies.get_mut(index as usize)) {
            copy.obsolete = true;
        }
    }
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
        data.try_reserve_exact(READ).map_err(|_| Wrong::Memory)?;
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
    let wide = journal.features & IS_64BIT != 0;
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

/// Scans the journal as far as transactions are complete, into `log` if it is wanted. Returns the
/// number of the first incomplete one.
fn scan(fs: &mut Fs, journal: &Journal, mut log: Option<&mut Log>) -> Result<u32> {
    let mut reader = Reader::new(journal, fs.geometry.block)?;
    let (mut at, mut sequence) = (journal.start, journal.start_sequence);
    let mut transaction = 0;
    // Visit each block at most once.
    let mut left = journal.len;
    while left > 0 {
        left -= 1;
        let this = at;
        let data = reader.block(fs, this)?;
        at = journal.after(at);
        if be32_at(data, header::MAGIC) != MAGIC || be32_at(data, header::SEQUENCE) != sequence {
            break;
        }
        match be32_at(data, header::BLOCKTYPE) {
            DESCRIPTOR if is_sealed(journal, &fs.crc, data) => {
                check_memory()?;
                let log = log.as_deref_mut();
                let count = tags(fs, journal, (data, at, transaction), log, left)?;
                let Some(count) = count else { break };
                for _ in 0..count {
                    at = journal.after(at);
                }
                left -= count;
            }
            REVOKE if is_sealed(journal, &fs.crc, data) => {
                if let Some(log) = log.as_deref_mut() {
                    log.revokes.try_reserve(1).map_err(|_| Wrong::Memory)?;
                    log.revokes.push(this);
                }
            }
            COMMIT if is_end(journal, &fs.crc, data) => {
                if let Some(log) = log.as_deref_mut() {
                    check_memory()?;
                    log.commit()?;
                    let revokes = core::mem::take(&mut log.revokes);
                    for block in revokes {
                        let data = reader.block(fs, block)?;
                        revoked(journal, data, |home| log.revoke(home));
                    }
                }
                sequence = sequence.wrapping_add(1);
                transaction += 1;
            }
            _ => break,
        }
    }
    Ok(sequence)
}

/// Records the blocks that a descriptor announces, from `at` on; returns their number. `None` if
/// the descriptor is invalid.
fn tags(
    fs: &Fs,
    journal: &Journal,
    (data, at, transaction): (&[u8], u32, u32),
    mut log: Option<&mut Log>,
    left: u32,
) -> Result<Option<u32>> {
    let (mut place, mut count, mut at) = (HEADER, 0, at);
    let end = data.len() - if journal.has_checksums() { 4 } else { 0 };
    // The journal may have a superblock of a file system that grew.
    let blocks = fs.device_blocks();
    while place + journal.tag_len() <= end {
        let tag = tag_at(journal, data, place);
        count += 1;
        if count > left || tag.home >= blocks {
            return Ok(None);
        }
        if let Some(log) = log.as_deref_mut() {
            log.add(Logged {
                home: tag.home,
                at,
                transaction,
                checksum: tag.checksum,
                escaped: tag.flags & ESCAPED != 0,
                obsolete: false,
            })?;
        }
        at = journal.after(at);
        place += journal.tag_len();
        if tag.flags & SAME_UUID == 0 {
            place += 16;
        }
        if tag.flags & LAST != 0 {
            break;
        }
    }
    Ok(Some(count))
}

/// Calls `revoke` with each block that a revoke record lists. Copies of such a block in the same
/// transaction or an earlier one are ignored.
fn revoked(journal: &Journal, data: &[u8], mut revoke: impl FnMut(u64)) {
    let each = if journal.features & IS_64BIT != 0 {
        8
    } else {
        4
    };
    let end = (be32_at(data, HEADER) as usize).min(data.len());
    let mut at = HEADER + 4;
    while at + each <= end {
        revoke(if each == 8 {
            u64::from(be32_at(data, at)) << 32 | u64::from(be32_at(data, at + 4))
        } else {
            be32_at(data, at).into()
        });
        at += each;
    }
}

/// Replays the journal and leaves it empty. The file system's own superblock may have changed.
pub fn replay(fs: &mut Fs, journal: &mut Journal) -> Result<()> {
    let mut log = Log::default();
    let end = scan(fs, journal, Some(&mut log))?;
    log.copies.truncate(log.complete);
    log.latest = HashTable::new();
    log.copies.retain(|copy| !copy.obsolete);
    // In the order of the journal, so that it is read in large pieces.
    let blocks = log.copies;
    let mut reader = Reader::new(journal, fs.geometry.block)?;
    // Verify all blocks first.
    for logged in blocks.iter().filter(|_| journal.has_checksums()) {
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
    for logged in &blocks {
        let sector = fs.sectors(logged.home);
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
        // Empty the journal only when all blocks are durable at their home locations.
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
    let end = scan(fs, journal, None)?;
    (journal.start, journal.sequence) = (0, end.wrapping_add(1));
    Ok(())
}

//! Running transaction: operations join it, and a commit makes it durable.
//!
//! A commit writes one batch: the pending contents of files, the transaction's blocks to the
//! journal, and at times blocks of earlier transactions to their home locations. A flush, the
//! commit block and another flush follow.
//!
//! - The first flush keeps the commit block from reaching the disk before the blocks that it
//!   commits. Otherwise a replay would write garbage (kernel documentation, "Journal (jbd2)": a
//!   transaction counts if its commit block is there), and files that have grown would show foreign
//!   contents (ordered mode).
//! - The second flush makes the transaction durable, as `sync` promises. Blocks that the
//!   transaction frees become available to others only after it.
//!
//! A checkpoint (writing blocks to their home locations) needs no flush of its own: blocks that one
//! commit writes back are durable after its first flush. Everything before that commit is then at
//! its home location or in the commit itself, so a replay may begin with that commit. The batch of
//! the next commit stores this in the journal's superblock, and after the first flush of that
//! commit the log space is free.
//!
//! Each flush has its counterpart in jbd2 (`fs/jbd2` of Linux):
//!
//! - Before the commit block: `REQ_PREFLUSH` of `journal_submit_commit_record` (`commit.c`).
//! - After the commit block: `REQ_FUA` of the same.
//! - Before the journal's start moves: `jbd2_cleanup_journal_tail` (`checkpoint.c`). Here the first
//!   flush of the commit that wrote the blocks back serves. Without it a replay would begin after
//!   blocks that never reached their home locations.
//! - After the journal's start moved: `REQ_FUA` of `jbd2_journal_update_sb_log_tail` (`journal.c`).
//!   Here the first flush of the next commit serves. Without it new blocks could overwrite a
//!   transaction that a replay still reads.
//! - At the end of a replay: `jbd2_journal_recover` (`recovery.c`), and the superblock after it.
//! - At unmounting: `jbd2_journal_destroy` and `jbd2_mark_journal_empty` (`journal.c`).
//!
//! A commit without metadata flushes once, as `ext4_sync_file` does (`fs/ext4/fsync.c`).

use alloc::vec::Vec;

use super::fields::superblock as sb;
use super::filesystem::{Fs, Result};
use super::journal::Journal;
use super::metadata_cache::BlockKind;
use super::superblock::{Errors, VALID, incompatible};
use crate::bytes::{put_u16, put_u32, u16_at, u32_at};
use crate::{Error, Time};

/// Approximate number of blocks that one operation may change; longer ones run in steps.
pub const OPERATION: usize = 64;
/// Number of changed blocks after which a step ends.
pub const STEP: usize = 32;

/// Blocks of a transaction without a journal, which only memory limits.
const WITHOUT_JOURNAL: usize = 512;

/// Bytes that may be in the journal and in memory before a checkpoint writes them to their home
/// locations.
const MAX_LOGGED: usize = 4 << 20;

/// Free blocks and inodes, as the superblock stores them.
struct Counts {
    blocks: u64,
    inodes: u32,
    wide: bool,
}

impl Counts {
    fn put(&self, superblock: &mut [u8]) {
        put_u32(superblock, sb::FREE_BLOCKS_COUNT_LO, self.blocks as u32);
        if self.wide {
            put_u32(
                superblock,
                sb::FREE_BLOCKS_COUNT_HI,
                (self.blocks >> 32) as u32,
            );
        }
        put_u32(superblock, sb::FREE_INODES_COUNT, self.inodes);
    }
}

fn is_bitmap(kind: BlockKind) -> bool {
    matches!(kind, BlockKind::BlockBitmap(_) | BlockKind::InodeBitmap(_))
}

impl Fs {
    fn counts(&self) -> Counts {
        Counts {
            blocks: self.free_blocks,
            inodes: self.free_inodes,
            wide: self.geometry.incompatible & incompatible::IS_64BIT != 0,
        }
    }

    /// Whether the running operation has added enough blocks to the transaction to end its step.
    pub fn is_long(&self) -> bool {
        self.blocks.added() >= STEP
    }

    fn max_transaction(&self) -> usize {
        let journal = self.journal.as_ref();
        journal.map_or(WITHOUT_JOURNAL, Journal::max_transaction)
    }

    /// Runs an operation: either all of it joins one transaction, or nothing changes. If the only
    /// free blocks wait for the transaction's commit, or the last commit wasn't written, commits
    /// first.
    pub fn change<T>(&mut self, step: &mut dyn FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let is_full = self.blocks.dirty.len() + OPERATION > self.max_transaction();
        if is_full || self.unwritten.is_some() {
            self.commit()?;
        }
        loop {
            self.begin();
            match step(self) {
                Ok(done) => {
                    self.end();
                    return Ok(done);
                }
                Err(error) => {
                    self.roll_back();
                    if error == Error::Io {
                        // The next sync flushes the disk again.
                        self.cache.expect_flush();
                    }
                    if error != Error::NoSpace || self.freed.is_empty() {
                        return Err(error);
                    }
                    self.commit()?;
                }
            }
        }
    }

    /// Whether there are changes that aren't durable, other than contents of files.
    pub fn has_changes(&self) -> bool {
        !self.blocks.dirty.is_empty() || !self.dirty_groups.is_empty() || self.errors.count > 0
    }

    /// Marks the volume as in use in the superblock on the disk, so that the next mount replays the
    /// journal after an unclean end. The mark is durable before any other write.
    pub fn mark(&mut self) -> Result<()> {
        if self.marked {
            return Ok(());
        }
        let has_journal = self.journal.is_some();
        self.write_superblock(&mut |s| {
            if has_journal {
                let features = u32_at(s, sb::FEATURE_INCOMPAT) | incompatible::RECOVER;
                put_u32(s, sb::FEATURE_INCOMPAT, features);
            } else {
                put_u16(s, sb::STATE, u16_at(s, sb::STATE) & !VALID);
            }
        })?;
        self.marked = true;
        Ok(())
    }

    /// Stores the detected damage in the superblock on the disk where no transaction can.
    pub fn mark_errors(&mut self) -> Result<()> {
        let errors = core::mem::take(&mut self.errors);
        self.write_superblock(&mut |s| errors.put(s))
    }

    /// Writes the transaction's state into its blocks and returns their numbers.
    fn finish_blocks(&mut self, now: Time) -> Result<Vec<u64>> {
        let all = self.blocks.transaction();
        self.seal_all(&all, is_bitmap)?;
        self.write_groups()?;
        let (block, at) = self.geometry.superblock();
        let counts = self.counts();
        let orphan = self.orphans.last().copied().unwrap_or(0);
        let errors = self.geometry.has_errors.then_some(self.errors);
        let data = self.block_mut(block, BlockKind::Super)?;
        if let Some(s) = data.get_mut(at..) {
            counts.put(s);
            put_u32(s, sb::LAST_ORPHAN, orphan);
            put_u32(s, sb::WTIME, now.seconds as u32);
            if let Some(errors) = errors {
                errors.put(s);
            }
        }
        let all = self.blocks.transaction();
        self.seal_all(&all, |kind| !is_bitmap(kind))?;
        Ok(all)
    }

    /// Seals the blocks of the kinds that `is_due` names.
    fn seal_all(&mut self, blocks: &[u64], is_due: fn(BlockKind) -> bool) -> Result<()> {
        for block in blocks {
            let entry = self.blocks.get(*block);
            if entry.is_some_and(|entry| is_due(entry.kind)) {
                self.seal(*block)?;
            }
        }
        Ok(())
    }

    /// Commits the transaction: all earlier changes are durable afterwards. If memory is exhausted
    /// or a needed block can't be read, nothing was written, and the next commit retries.
    ///
    /// If the disk refuses a write, because the host's disk is full for example, the next commit
    /// repeats it, with the same blocks at the same places: so the commit block may be on the disk
    /// already, and whatever the power leaves of the repetition is the same transaction. Nothing
    /// changes meanwhile. If a flush fails, the volume writes nothing more.
    pub fn commit(&mut self) -> Result<()> {
        if !self.has_changes() {
            self.cache.commit_raw()?;
            return self.flush();
        }
        let (blocks, now) = if let Some(time) = self.unwritten {
            (self.blocks.transaction(), time)
        } else {
            self.load(self.geometry.superblock().0, BlockKind::Super)?;
            self.mark()?;
            self.begin();
            let now = self.now();
            let blocks = match self.finish_blocks(now) {
                Ok(blocks) => blocks,
                Err(error) => {
                    self.roll_back();
                    // Then no later transaction can commit either.
                    self.failed |= error == Error::Corrupt;
                    return Err(error);
                }
            };
            self.end();
            self.groups_written();
            self.errors = Errors::default();
            (blocks, now)
        };
        let written = self.write_transaction(&blocks, now);
        let was_unwritten = self.unwritten.take().is_some();
        if let Err(error) = written {
            self.failed |= !matches!(error, Error::Io | Error::NoSpace);
            self.unwritten = (!self.failed).then_some(now);
            if self.unwritten.is_some() && !was_unwritten {
                log::error!(
                    "ext4 volume: a commit wasn't written ({error}): changes fail until the disk \
                    takes it; each change and each sync tries again"
                );
            }
        } else if was_unwritten {
            log::warn!("ext4 volume: the commit was written, changes go on");
        }
        written
    }

    fn write_transaction(&mut self, blocks: &[u64], now: Time) -> Result<()> {
        match self.journal.take() {
            Some(mut journal) => {
                let written = self.log(&mut journal, blocks, now);
                self.journal = Some(journal);
                written?;
            }
            None => {
                self.put_in_place(blocks)?;
                self.cache.commit_raw()?;
                self.flush()?;
            }
        }
        self.blocks.committed(self.journal.is_some());
        self.freed.clear();
        self.revoked.clear();
        Ok(())
    }

    /// Queues blocks for their home locations in the next commit of the cache.
    fn put_in_place(&mut self, blocks: &[u64]) -> Result<()> {
        for block in blocks {
            let sector = self.sectors(*block);
            if let Some(entry) = self.blocks.get(*block) {
                self.cache.put_raw(sector, &entry.data)?;
            }
        }
        Ok(())
    }

    fn log(&mut self, journal: &mut Journal, blocks: &[u64], now: Time) -> Result<()> {
        let mut logged: Vec<(u64, &[u8])> = Vec::new();
        for block in blocks {
            let entry = self.blocks.get(*block).ok_or(Error::Io)?;
            logged.push((*block, &entry.data));
        }
        let mut revoked: Vec<u64> = self.revoked.iter().copied().collect();
        revoked.retain(|block| self.blocks.get(*block).is_none_or(|entry| !entry.dirty));
        let room = journal.room() as usize;
        let needed = journal.needed(blocks.len(), revoked.len());
        if needed + 1 >= room {
            log::error!("ext4: a transaction of {needed} blocks in a journal with {room}");
            self.failed = true;
            return Err(Error::Io);
        }
        let (start, sequence) = (journal.head, journal.sequence);
        let end = journal.put_transaction((&mut self.cache, &self.crc), &logged, &revoked)?;
        drop(logged);
        let may_start = journal.may_start;
        if journal.start == 0 {
            journal.put_superblock((&mut self.cache, &self.crc), start, sequence)?;
        } else if let Some((start, sequence, _)) = may_start {
            journal.put_superblock((&mut self.cache, &self.crc), start, sequence)?;
        }
        let all = (journal.len - journal.first) as usize;
        let is_filling = (all - room + needed) * 2 > all
            || self.blocks.logged * self.geometry.block > MAX_LOGGED;
        let waiting = if is_filling && may_start.is_none() {
            self.blocks.to_write_back()
        } else {
            Vec::new()
        };
        self.put_in_place(&waiting)?;
        self.cache.commit_raw()?;
        self.flush()?;
        journal.put_end((&mut self.cache, &self.crc), end, now.seconds)?;
        self.cache.commit_raw()?;
        self.flush()?;
        journal.may_start = None;
        if journal.start == 0 {
            journal.started(start, sequence, 0);
        } else if let Some((start, sequence, commit)) = may_start {
            journal.started(start, sequence, commit);
        }
        journal.committed(blocks, end);
        if is_filling && may_start.is_none() {
            self.blocks.written_back(&waiting);
            journal.may_start = Some((start, sequence, journal.commits));
        }
        Ok(())
    }

    /// Writes committed blocks to their home locations, and makes that durable.
    fn write_back(&mut self, blocks: &[u64]) -> Result<()> {
        self.put_in_place(blocks)?;
        self.cache.commit_raw()?;
        self.flush()?;
        self.blocks.written_back(blocks);
        Ok(())
    }

    /// Records that a replay has nothing to do, and makes that durable.
    fn empty_journal(&mut self) -> Result<()> {
        let Some(mut journal) = self.journal.take() else {
            return Ok(());
        };
        let sequence = journal.sequence;
        let emptied = journal.put_superblock((&mut self.cache, &self.crc), 0, sequence);
        journal.started(0, sequence, u64::MAX);
        journal.may_start = None;
        self.journal = Some(journal);
        emptied?;
        self.cache.commit_raw()?;
        self.flush()
    }

    /// Writes all committed blocks to their home locations, the superblock after the others, and
    /// empties the journal. There is no running transaction.
    pub fn checkpoint(&mut self) -> Result<()> {
        let (superblock, _) = self.geometry.superblock();
        let mut waiting = self.blocks.to_write_back();
        let is_last = |block: &u64| *block == superblock;
        let has_superblock = waiting.iter().any(is_last);
        waiting.retain(|block| !is_last(block));
        self.write_back(&waiting)?;
        if has_superblock {
            self.write_back(&[superblock])?;
        }
        self.empty_journal()
    }

    /// Writes everything to its home location, and leaves a file system that needs no replay.
    pub fn close(&mut self) -> Result<()> {
        self.commit()?;
        if !self.marked {
            return Ok(());
        }
        let waiting = self.blocks.to_write_back();
        // Empty the journal only when all blocks are durable at their home locations.
        self.write_back(&waiting)?;
        // The superblock may say that there is nothing to replay only when that is durable.
        self.empty_journal()?;
        let has_journal = self.journal.is_some();
        let counts = self.counts();
        let errors = self.geometry.has_errors.then_some(self.errors);
        // From here on in memory, even if the disk refuses it.
        self.marked = false;
        self.write_superblock(&mut |s| {
            if has_journal {
                let features = u32_at(s, sb::FEATURE_INCOMPAT) & !incompatible::RECOVER;
                put_u32(s, sb::FEATURE_INCOMPAT, features);
            }
            if let Some(errors) = errors {
                errors.put(s);
            }
            // The replay may have restored old counts, without a transaction since.
            counts.put(s);
            put_u16(s, sb::STATE, u16_at(s, sb::STATE) | VALID);
        })
    }
}

//! Metadata blocks in memory: clean ones, those that the running transaction has changed, and those
//! that are in the journal but not yet at their home locations.
//!
//! A failed operation is rolled back: the first change of a block in an operation saves its old
//! contents, so a transaction never contains half an operation.

use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::memory_pressure::is_memory_short;
use crate::{CacheBudget, Error};

/// Owner of a block, which its checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub inode: u32,
    pub generation: u32,
}

/// Kind of a block, which determines its checks and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Superblock.
    Super,
    /// Group descriptors.
    Descriptors,
    /// Block bitmap of this group.
    BlockBitmap(u32),
    /// Inode bitmap of this group.
    InodeBitmap(u32),
    /// Inodes from this number on.
    Inodes(u32),
    /// Directory entries.
    Leaf(Owner),
    /// Node of a directory index.
    Index(Owner),
    /// Node of an extent tree.
    Extents(Owner),
    /// Block list, as in ext3.
    List,
    /// Extended attributes.
    Attributes,
    /// Orphan file.
    Orphans(Owner),
}

impl BlockKind {
    /// Whether such a block belongs to a file.
    pub fn belongs_to_file(self) -> bool {
        match self {
            Self::Super | Self::Descriptors | Self::Inodes(_) => false,
            Self::BlockBitmap(_) | Self::InodeBitmap(_) => false,
            Self::Leaf(_) | Self::Index(_) | Self::Extents(_) | Self::List => true,
            Self::Attributes | Self::Orphans(_) => true,
        }
    }
}

/// Metadata block in memory.
#[derive(Debug)]
pub struct Entry {
    /// Number on the disk.
    pub block: u64,
    pub data: Vec<u8>,
    pub kind: BlockKind,
    /// The running transaction has changed the block.
    pub dirty: bool,
    /// The journal has the contents of the last commit; the home location has older ones.
    pub logged: bool,
    /// For inode blocks: bit masks of changed inodes, and of those with a verified checksum.
    pub changed: u32,
    pub checked: u32,
    /// Operation that last saved the block for rollback.
    operation: u64,
    used: u64,
}

/// Cache of metadata blocks; see the module documentation.
#[derive(Debug)]
pub struct MetadataCache {
    table: HashTable<Entry>,
    /// Blocks that the running transaction has changed; some may have been forgotten since.
    pub dirty: Vec<u64>,
    /// Old contents of blocks that the running operation changed, for its rollback.
    undo: Vec<(u64, Option<Entry>)>,
    dirty_before: usize,
    operation: u64,
    /// Buffers of dropped blocks, for reuse.
    spare: Vec<Vec<u8>>,
    ticks: u64,
    /// Bytes in a block.
    block: usize,
    /// Maximum number of blocks, not counting those that can't be dropped.
    limit: usize,
    /// Number of `logged` blocks.
    pub logged: usize,
    /// Budget that all volumes share, and its bytes in use for blocks above `limit`.
    budget: Option<&'static CacheBudget>,
    taken: usize,
}

/// Bytes to take from the budget at a time.
const SHARE: usize = 64 << 10;

const MAX_SPARE: usize = 64;

/// Fibonacci hashing: multiplication by 2^64 divided by the golden ratio spreads neighbours over
/// both ends of the hash.
pub fn hash(block: u64) -> u64 {
    let mixed = block.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

/// Returns a buffer for a block of `block` bytes.
fn memory(spare: &mut Vec<Vec<u8>>, block: usize) -> Result<Vec<u8>, Error> {
    if let Some(data) = spare.pop() {
        return Ok(data);
    }
    let mut data = Vec::new();
    data.try_reserve_exact(block)
        .map_err(|_| Error::OutOfMemory)?;
    data.resize(block, 0);
    Ok(data)
}

impl MetadataCache {
    pub fn new(block: usize, limit: usize, budget: Option<&'static CacheBudget>) -> Self {
        Self {
            table: HashTable::new(),
            dirty: Vec::new(),
            undo: Vec::new(),
            dirty_before: 0,
            operation: 1,
            spare: Vec::new(),
            ticks: 0,
            block,
            limit,
            logged: 0,
            budget,
            taken: 0,
        }
    }

    /// Drops everything, with the changes of the running transaction. Nothing may be `logged`.
    pub fn clear(&mut self) {
        self.table.clear();
        self.dirty.clear();
        self.undo.clear();
    }

    fn recycle(&mut self, data: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && data.len() == self.block {
            self.spare.push(data);
        }
    }

    /// Returns a buffer for a block to read, after dropping blocks if there are too many.
    pub fn memory_for_read(&mut self) -> Result<Vec<u8>, Error> {
        let bound = self.limit + self.taken / self.block + self.logged + self.dirty.len();
        if self.table.len() >= bound && !self.take_more()
            || is_memory_short() && self.spare.is_empty()
        {
            self.shrink();
        }
        memory(&mut self.spare, self.block)
    }

    /// Takes memory for more blocks, up to a quarter of the shared budget.
    fn take_more(&mut self) -> bool {
        let Some(budget) = self.budget else {
            return false;
        };
        let may_take = self.taken + SHARE <= budget.limit() / 4 && budget.take(SHARE);
        self.taken += if may_take { SHARE } else { 0 };
        may_take
    }

    /// Drops a quarter of the clean blocks, least recently used first.
    fn shrink(&mut self) {
        let operation = self.operation;
        let mut old: Vec<(u64, u64)> = self
            .table
            .iter()
            .filter(|entry| !entry.dirty && !entry.logged && entry.operation != operation)
            .map(|entry| (entry.used, entry.block))
            .collect();
        old.sort_unstable();
        old.truncate((old.len() / 4).max(8));
        for (_, block) in old {
            if let Some(entry) = self.take(block) {
                self.recycle(entry.data);
            }
        }
        if is_memory_short() {
            self.return_memory();
        }
    }

    fn return_memory(&mut self) {
        if let Some(budget) = self.budget {
            budget.release(core::mem::take(&mut self.taken));
        }
    }

    /// Returns a block if it is in memory.
    pub fn get(&self, block: u64) -> Option<&Entry> {
        self.table.find(hash(block), |entry| entry.block == block)
    }

    /// Number of lookups so far.
    #[cfg(test)]
    pub fn lookups(&self) -> u64 {
        self.ticks
    }

    fn get_mut(&mut self, block: u64) -> Option<&mut Entry> {
        self.table
            .find_mut(hash(block), |entry| entry.block == block)
    }

    fn take(&mut self, block: u64) -> Option<Entry> {
        let found = self
            .table
            .find_entry(hash(block), |entry| entry.block == block);
        Some(found.ok()?.remove().0)
    }

    /// Inserts a block that isn't in memory.
    fn put(&mut self, entry: Entry) -> Result<&mut Entry, Error> {
        let rehash = |entry: &Entry| hash(entry.block);
        let room = self.table.try_reserve(1, rehash);
        room.map_err(|_| Error::OutOfMemory)?;
        let put = self.table.insert_unique(hash(entry.block), entry, rehash);
        Ok(put.into_mut())
    }

    /// As [`get`](Self::get), but mutable, and marks the block as used.
    pub fn touch(&mut self, block: u64) -> Option<&mut Entry> {
        self.ticks += 1;
        let entry = self
            .table
            .find_mut(hash(block), |entry| entry.block == block)?;
        entry.used = self.ticks;
        Some(entry)
    }

    /// Inserts a block that was read.
    pub fn insert(&mut self, block: u64, data: Vec<u8>, kind: BlockKind) -> Result<(), Error> {
        if let Some(old) = self.take(block) {
            self.recycle(old.data);
        }
        self.ticks += 1;
        let entry = Entry {
            block,
            data,
            kind,
            dirty: false,
            logged: false,
            changed: 0,
            checked: 0,
            operation: 0,
            used: self.ticks,
        };
        self.put(entry).map(|_| ())
    }

    /// Returns a block for a change by the running operation, and adds it to the running
    /// transaction. `None` if it isn't in memory.
    pub fn change(&mut self, block: u64) -> Result<Option<&mut Entry>, Error> {
        let same = |entry: &Entry| entry.block == block;
        let Some(entry) = self.table.find_mut(hash(block), same) else {
            return Ok(None);
        };
        if entry.operation != self.operation {
            let mut data = memory(&mut self.spare, self.block)?;
            data.copy_from_slice(&entry.data);
            let before = Entry { data, ..*entry };
            entry.operation = self.operation;
            if !entry.dirty {
                entry.dirty = true;
                self.dirty.push(block);
            }
            self.undo.push((block, Some(before)));
        }
        self.ticks += 1;
        entry.used = self.ticks;
        Ok(Some(entry))
    }

    /// Returns a new block of zeros in the running transaction, which replaces any old contents.
    pub fn create(&mut self, block: u64, kind: BlockKind) -> Result<&mut Entry, Error> {
        let mut data = memory(&mut self.spare, self.block)?;
        data.fill(0);
        self.ticks += 1;
        let old = self.take(block);
        let was_dirty = old.as_ref().is_some_and(|old| old.dirty);
        let known = old
            .as_ref()
            .is_some_and(|old| old.operation == self.operation);
        self.count_logged(old.as_ref(), None);
        if !known {
            self.undo.push((block, old));
        }
        if !was_dirty {
            self.dirty.push(block);
        }
        let entry = Entry {
            block,
            data,
            kind,
            dirty: true,
            logged: false,
            changed: 0,
            checked: u32::MAX,
            operation: self.operation,
            used: self.ticks,
        };
        self.put(entry)
    }

    /// Forgets a block whose contents are obsolete.
    pub fn forget(&mut self, block: u64) {
        let Some(old) = self.take(block) else {
            return;
        };
        self.count_logged(Some(&old), None);
        if old.operation != self.operation {
            self.undo.push((block, Some(old)));
        }
    }

    fn count_logged(&mut self, old: Option<&Entry>, new: Option<&Entry>) {
        let is = |entry: Option<&Entry>| usize::from(entry.is_some_and(|entry| entry.logged));
        self.logged = (self.logged + is(new)).saturating_sub(is(old));
    }

    /// Begins an operation.
    pub fn begin(&mut self) {
        self.operation += 1;
        self.dirty_before = self.dirty.len();
    }

    /// Number of blocks that the running operation has added to the transaction.
    pub fn added(&self) -> usize {
        self.dirty.len().saturating_sub(self.dirty_before)
    }

    /// Ends a successful operation.
    pub fn end(&mut self) {
        while let Some((_, before)) = self.undo.pop() {
            if let Some(before) = before {
                self.recycle(before.data);
            }
        }
        self.operation += 1;
    }

    /// Restores the blocks that the running operation has changed.
    pub fn roll_back(&mut self) {
        while let Some((block, before)) = self.undo.pop() {
            let now = self.take(block);
            self.count_logged(now.as_ref(), before.as_ref());
            if let Some(now) = now {
                self.recycle(now.data);
            }
            if let Some(before) = before {
                let rehash = |entry: &Entry| hash(entry.block);
                self.table.insert_unique(hash(block), before, rehash);
            }
        }
        self.dirty.truncate(self.dirty_before);
        self.operation += 1;
    }

    /// Returns the blocks of the running transaction in order of number.
    pub fn transaction(&mut self) -> Vec<u64> {
        let mut blocks: Vec<u64> = self.dirty.clone();
        blocks.retain(|block| self.get(*block).is_some_and(|entry| entry.dirty));
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// Returns the blocks that are in the journal but not at their home locations, in order,
    /// without those of the running transaction.
    pub fn to_write_back(&self) -> Vec<u64> {
        let waiting = self.table.iter();
        let waiting = waiting.filter(|entry| entry.logged && !entry.dirty);
        let mut blocks: Vec<u64> = waiting.map(|entry| entry.block).collect();
        blocks.sort_unstable();
        blocks
    }

    /// Records that these blocks are at their home locations.
    pub fn written_back(&mut self, blocks: &[u64]) {
        for block in blocks {
            if let Some(entry) = self.get_mut(*block)
                && entry.logged
            {
                entry.logged = false;
                self.logged -= 1;
            }
        }
    }

    /// Records the commit of the transaction: its blocks are in the journal, or at their home
    /// locations.
    pub fn committed(&mut self, in_journal: bool) {
        for block in core::mem::take(&mut self.dirty) {
            let Some(entry) = self.get_mut(block).filter(|entry| entry.dirty) else {
                continue;
            };
            entry.dirty = false;
            if entry.logged != in_journal {
                entry.logged = in_journal;
                self.logged = if in_journal {
                    self.logged + 1
                } else {
                    self.logged.saturating_sub(1)
                };
            }
        }
    }
}

impl Drop for MetadataCache {
    fn drop(&mut self) {
        self.return_memory();
    }
}

//! The table of shared mappings: memory whose changes are written back to a file.

use crate::errors::Result;
use crate::file::{Description, File};
use crate::stat::FileId;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// A mapping whose changes are written back to a file.
pub struct Shared {
    /// Address range in memory.
    pub range: Range<u64>,
    /// Offset in the file of the first byte.
    pub offset: u64,
    /// The open file used to write changes back.
    pub description: Arc<Description>,
    /// The mapped file.
    pub file: FileId,
    /// Whether the contents have been read. Before that, the entry only reserves its range of the
    /// file.
    pub is_filled: bool,
    /// Number of the program's mappings that share it: another mapping of the same bytes gets the
    /// same memory.
    pub users: usize,
}

impl Shared {
    /// Returns the part within `range`.
    pub fn part(&self, range: &Range<u64>) -> Option<Shared> {
        let start = self.range.start.max(range.start);
        let end = self.range.end.min(range.end);
        (start < end).then(|| Shared {
            range: start..end,
            offset: self.offset + (start - self.range.start),
            description: Arc::clone(&self.description),
            file: self.file,
            is_filled: self.is_filled,
            users: self.users,
        })
    }

    fn overlaps(&self, file: FileId, bytes: &Range<u64>) -> bool {
        let len = self.range.end - self.range.start;
        self.file == file && self.offset < bytes.end && bytes.start < self.offset + len
    }
}

/// All mappings that are written back. Removed ones are returned, so that the caller drops them
/// outside of the process's lock.
#[derive(Default)]
pub struct Mappings(Vec<Shared>);

impl Mappings {
    /// Creates an empty table.
    pub const fn new() -> Mappings {
        Mappings(Vec::new())
    }

    /// Whether the table is empty.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the mapping of exactly these bytes of a file.
    pub fn same(&mut self, file: FileId, bytes: &Range<u64>) -> Option<&mut Shared> {
        let len = bytes.end - bytes.start;
        self.0.iter_mut().find(|it| {
            let is_same = it.offset == bytes.start && it.range.end - it.range.start == len;
            it.is_filled && it.file == file && is_same
        })
    }

    /// Whether any of these bytes of a file are mapped.
    pub fn is_mapped(&self, file: FileId, bytes: &Range<u64>) -> bool {
        self.0.iter().any(|shared| shared.overlaps(file, bytes))
    }

    /// Adds a mapping. Errors: [`libc::ENOMEM`], and [`libc::ENODEV`] if some of its bytes are
    /// mapped.
    pub fn add(&mut self, shared: Shared) -> Result<()> {
        let len = shared.range.end - shared.range.start;
        if self.is_mapped(shared.file, &(shared.offset..shared.offset + len)) {
            return Err(libc::ENODEV);
        }
        self.0.try_reserve(1).map_err(|_| libc::ENOMEM)?;
        self.0.push(shared);
        Ok(())
    }

    /// Marks the new mapping of this memory as filled, or removes it (`false`).
    pub fn filled(&mut self, range: &Range<u64>, filled: bool) -> Option<Shared> {
        let is_new = |shared: &Shared| !shared.is_filled && shared.range == *range;
        let at = self.0.iter().position(is_new)?;
        if !filled {
            return Some(self.0.swap_remove(at));
        }
        if let Some(shared) = self.0.get_mut(at) {
            shared.is_filled = true;
        }
        None
    }

    /// Returns the parts of mappings that `part` selects.
    pub fn parts(&self, part: impl FnMut(&Shared) -> Option<Shared>) -> Vec<Shared> {
        let filled = self.0.iter().filter(|shared| shared.is_filled);
        filled.filter_map(part).collect()
    }

    /// Whether this open file writes changes of a mapping back.
    pub fn writes_by(&self, file: &dyn File) -> bool {
        let mut mapped = self.0.iter().map(|shared| shared.description.file());
        mapped.any(|it| core::ptr::addr_eq(it, file))
    }

    /// Removes one of several mappings that share memory; `false` for any other range.
    pub fn leave(&mut self, range: &Range<u64>) -> bool {
        let mut several = self.0.iter_mut().filter(|shared| shared.users > 1);
        let it = several.find(|it| it.range == *range);
        it.is_some_and(|shared| {
            shared.users -= 1;
            true
        })
    }

    /// Removes these parts from their mappings. Errors: [`libc::ENOMEM`].
    pub fn remove(&mut self, parts: &[Shared]) -> Result<Vec<Shared>> {
        let mut removed = Vec::new();
        removed
            .try_reserve(parts.len())
            .and_then(|()| self.0.try_reserve(parts.len()))
            .map_err(|_| libc::ENOMEM)?;
        for part in parts {
            let around = [0..part.range.start, part.range.end..u64::MAX];
            let at = self.0.iter().position(|it| it.part(&part.range).is_some());
            if let Some(old) = at.map(|at| self.0.swap_remove(at)) {
                let rest = around.iter().filter_map(|range| old.part(range));
                self.0.extend(rest);
                removed.push(old);
            }
        }
        Ok(removed)
    }
}

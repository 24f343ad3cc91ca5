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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Console;

    const FILE: FileId = (1, 7);

    /// The mapping of `bytes` of [`FILE`] at `start`, with its contents.
    fn filled(mappings: &mut Mappings, start: u64, bytes: Range<u64>) -> Result<()> {
        let range = start..start + (bytes.end - bytes.start);
        mappings.add(Shared {
            range: range.clone(),
            offset: bytes.start,
            description: Description::new(Console::Output, libc::O_RDWR),
            file: FILE,
            is_filled: false,
            users: 1,
        })?;
        assert!(mappings.filled(&range, true).is_none());
        Ok(())
    }

    fn ranges(mappings: &Mappings) -> Vec<(Range<u64>, u64)> {
        let parts = mappings.parts(|shared| shared.part(&(0..u64::MAX)));
        let mut all: Vec<_> = parts.into_iter().map(|it| (it.range, it.offset)).collect();
        all.sort_unstable_by_key(|(range, _)| range.start);
        all
    }

    #[test]
    fn bytes_of_a_file_are_mapped_once() {
        let mut mappings = Mappings::new();
        assert_eq!(filled(&mut mappings, 0x10000, 0x1000..0x3000), Ok(()));
        assert_eq!(
            filled(&mut mappings, 0x20000, 0x2000..0x4000),
            Err(libc::ENODEV)
        );
        assert_eq!(filled(&mut mappings, 0x20000, 0x3000..0x4000), Ok(()));
        let other = (1, 8);
        assert!(!mappings.is_mapped(other, &(0x1000..0x3000)));
        assert!(mappings.same(FILE, &(0x1000..0x2000)).is_none());
        let same = mappings.same(FILE, &(0x1000..0x3000)).expect("mapped");
        same.users += 1;
        assert!(mappings.leave(&(0x10000..0x12000)));
        assert!(!mappings.leave(&(0x10000..0x12000)), "the last user");
    }

    /// What is unmapped in the middle leaves both ends, each with its own offset in the file.
    #[test]
    fn a_part_is_taken_out_of_the_middle() {
        let mut mappings = Mappings::new();
        filled(&mut mappings, 0x10000, 0x5000..0x8000).expect("room");
        let part = mappings.parts(|shared| shared.part(&(0x11000..0x12000)));
        let removed = mappings.remove(&part).expect("room");
        assert_eq!(removed.len(), 1);
        assert_eq!(
            ranges(&mappings),
            [(0x10000..0x11000, 0x5000), (0x12000..0x13000, 0x7000)]
        );
        assert!(
            mappings.filled(&(0x10000..0x11000), false).is_none(),
            "no new one"
        );
    }
}

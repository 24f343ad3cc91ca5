//! The program's mappings: `mmap`, `munmap`, `mprotect`, `mremap` and `madvise`.

use super::layout::image;
use super::space::{Memory, kind, with, with_room};
use super::vma::{Protection, Vma, whole_pages};
use crate::arch::mmu::{flush, flush_all, flush_range};
use crate::arch::paging::{self, PAGE, change, clear_written, is_present, is_written, retain};
use crate::errno::Errno;
use crate::smp;
use core::ops::Range;

/// Why a change of the address space was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The request is invalid: no length, an address out of bounds or not on a page boundary.
    Invalid,
    /// More memory or address space than available.
    OutOfMemory,
    /// The range isn't mapped.
    NotMapped,
    /// A page can't be both writable and executable.
    Denied,
}

impl From<MapError> for Errno {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Invalid => Self::EINVAL,
            MapError::OutOfMemory | MapError::NotMapped => Self::ENOMEM,
            MapError::Denied => Self::EACCES,
        }
    }
}

impl From<MapError> for i32 {
    fn from(error: MapError) -> Self {
        Errno::from(error).into()
    }
}

impl Memory {
    fn map(&mut self, range: Range<u64>, protection: Protection) -> bool {
        let reused = self.vmas.committed_in(&range);
        let len = range.end - range.start;
        if protection.write && !self.can_commit(len.saturating_sub(reused)) {
            return false;
        }
        if !self.vmas.is_free(&range) {
            self.release(&range);
            self.vmas.remove(&range);
        }
        self.vmas.insert(Vma {
            range,
            protection,
            committed: protection.write,
        });
        true
    }

    fn protect(&mut self, range: &Range<u64>, protection: Protection) -> Result<(), MapError> {
        let (used, newly_committed) = self.vmas.measure(range, protection);
        if used != range.end - range.start || !self.vmas.allows(range) {
            return Err(MapError::NotMapped);
        }
        if !self.can_commit(newly_committed) {
            return Err(MapError::OutOfMemory);
        }
        // Pages that were touched read-only become committed ones.
        let mut moved = 0;
        let Self {
            physical,
            tables,
            vmas,
            ..
        } = self;
        let open = protection != Protection::default();
        let mut changed = false;
        tables.update(physical, range.start, range.end, |_, address, entry| {
            changed |= is_present(entry);
            if newly_committed > 0 && vmas.find(address).is_some_and(|vma| !vma.committed) {
                moved += 1;
            }
            if open {
                change(entry, kind(protection))
            } else {
                retain(entry)
            }
        });
        self.physical.taken -= moved;
        self.vmas.protect(range, protection);
        flush_range(range.clone());
        if changed {
            smp::flush(range.clone());
        }
        Ok(())
    }

    /// Moves the pages of `from` to `to`, which is free and at least as large; false, with nothing
    /// moved, when no memory is left for page tables.
    fn move_pages(&mut self, from: &Range<u64>, to: u64) -> bool {
        let pages = (from.start..from.end).step_by(PAGE as usize);
        let mut moved = |page: u64, by: &mut dyn FnMut(&mut Self, u64, u64) -> bool| {
            let (entry, _) = self.tables.get(&mut self.physical, page);
            entry == 0 || by(self, to + (page - from.start), entry)
        };
        // The tables come first, so that the second pass can't fail half-way.
        let mut prepare = |memory: &mut Self, target: u64, _| {
            memory.tables.set(&mut memory.physical, target, 0).is_ok()
        };
        if !pages.clone().all(|page| moved(page, &mut prepare)) {
            return false;
        }
        let mut carry_out = |memory: &mut Self, target: u64, entry| {
            memory
                .tables
                .set(&mut memory.physical, target, entry)
                .is_ok()
        };
        pages.clone().for_each(|page| {
            moved(page, &mut carry_out);
        });
        self.tables
            .update(&mut self.physical, from.start, from.end, |_, _, _| 0);
        flush_all();
        smp::flush(from.clone());
        true
    }
}

/// Maps `len` bytes, at `fixed` (replacing existing mappings) or where there is room.
pub fn map(fixed: Option<u64>, len: u64, protection: Protection) -> Result<u64, MapError> {
    let len = whole_pages(len).ok_or(MapError::Invalid)?;
    with_room(|memory| {
        let range = match fixed {
            Some(start) => start..start.checked_add(len).ok_or(MapError::Invalid)?,
            None => memory.vmas.gap(len).ok_or(MapError::OutOfMemory)?,
        };
        if range.start % PAGE != 0 || !memory.vmas.allows(&range) {
            return Err(MapError::Invalid);
        }
        let start = range.start;
        if memory.map(range, protection) {
            Ok(start)
        } else {
            Err(MapError::OutOfMemory)
        }
    })
}

/// Whether the `len` bytes at `start` could be mapped there without replacing anything.
pub fn is_free(start: u64, len: u64) -> bool {
    start
        .checked_add(len)
        .is_some_and(|end| with(|memory| memory.vmas.is_free(&(start..end))))
}

fn range(start: u64, len: u64) -> Result<Range<u64>, MapError> {
    let len = whole_pages(len).ok_or(MapError::Invalid)?;
    let end = start.checked_add(len).ok_or(MapError::Invalid)?;
    if start.is_multiple_of(PAGE) {
        Ok(start..end)
    } else {
        Err(MapError::Invalid)
    }
}

/// Unmaps `len` bytes at `start`; unmapped parts are no error.
pub fn unmap(start: u64, len: u64) -> Result<(), MapError> {
    let range = range(start, len)?;
    with_room(|memory| {
        if !memory.vmas.allows(&range) {
            return Err(MapError::Invalid);
        }
        memory.release(&range);
        memory.vmas.remove(&range);
        Ok(())
    })
}

/// Changes the protection of `len` bytes at `start`.
pub fn protect(start: u64, len: u64, protection: Protection) -> Result<(), MapError> {
    let range = range(start, len)?;
    // The image's own pages keep their protection: a request such as RELRO's asks for less than W^X
    // already provides.
    if image::all().contains(&start) {
        let more = protection.write && start < image::data().start
            || protection.execute && !image::text().contains(&start);
        return if more { Err(MapError::Denied) } else { Ok(()) };
    }
    with(|memory| memory.protect(&range, protection))
}

/// Whether the page at `address` was written since the last call, or since it was mapped.
pub fn take_written(address: u64) -> bool {
    let mut written = false;
    with(|memory| {
        let Memory {
            physical, tables, ..
        } = memory;
        let end = address.saturating_add(PAGE);
        tables.update(physical, address, end, |_, _, entry| {
            written = is_written(entry);
            clear_written(entry)
        });
        if written {
            // The next write is recorded again, whichever processor makes it.
            flush(address);
            smp::flush(address..end);
        }
    });
    written
}

/// Marks the page at `address`, if it has memory, as written: undoes [`take_written`].
pub fn set_written(address: u64) {
    with(|memory| {
        let Memory {
            physical, tables, ..
        } = memory;
        let end = address.saturating_add(PAGE);
        tables.update(physical, address, end, |_, _, entry| {
            paging::set_written(entry)
        });
    });
}

/// Discards the contents of `len` bytes at `start`: they read as zero when touched again.
pub fn discard(start: u64, len: u64) -> Result<(), MapError> {
    let range = range(start, len)?;
    with_room(|memory| {
        if !memory.vmas.allows(&range) {
            return Err(MapError::Invalid);
        }
        memory.release(&range);
        Ok(())
    })
}

/// Changes the length of a mapping; moves its pages (no copy) if it can't grow in place and
/// `may_move`.
pub fn remap(start: u64, old_len: u64, new_len: u64, may_move: bool) -> Result<u64, MapError> {
    let old = range(start, old_len)?;
    let new_len = whole_pages(new_len).ok_or(MapError::Invalid)?;
    let old_len = old.end - old.start;
    if new_len <= old_len {
        if new_len < old_len {
            unmap(start + new_len, old_len - new_len)?;
        }
        return Ok(start);
    }
    with_room(|memory| {
        let vma = memory
            .vmas
            .find(start)
            .filter(|vma| vma.range.end >= old.end);
        let Vma {
            protection,
            committed,
            ..
        } = vma.ok_or(MapError::NotMapped)?.clone();
        if committed && !memory.can_commit(new_len - old_len) {
            return Err(MapError::OutOfMemory);
        }
        let tail = old.end..start.checked_add(new_len).ok_or(MapError::Invalid)?;
        if memory.vmas.allows(&tail) && memory.vmas.is_free(&tail) {
            memory.vmas.insert(Vma {
                range: tail,
                protection,
                committed,
            });
            return Ok(start);
        }
        if !may_move {
            return Err(MapError::OutOfMemory);
        }
        let new = memory.vmas.gap(new_len).ok_or(MapError::OutOfMemory)?;
        let to = new.start;
        if !memory.move_pages(&old, to) {
            return Err(MapError::OutOfMemory);
        }
        memory.vmas.remove(&old);
        memory.vmas.insert(Vma {
            range: new,
            protection,
            committed,
        });
        Ok(to)
    })
}

/// The protection that the bits of `mmap` and `mprotect` request.
///
/// # Errors
/// [`MapError::Denied`] for a page that would be writable and executable.
pub fn protection(bits: u64) -> Result<Protection, MapError> {
    const WRITE: u64 = 2;
    const EXECUTE: u64 = 4;
    if bits & (WRITE | EXECUTE) == WRITE | EXECUTE {
        return Err(MapError::Denied);
    }
    Ok(Protection {
        read: bits & 7 != 0,
        write: bits & WRITE != 0,
        execute: bits & EXECUTE != 0,
    })
}

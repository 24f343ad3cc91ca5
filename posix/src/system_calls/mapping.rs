//! `mmap` of a file: memory with a copy of its contents. A shared mapping's pages that have changed
//! are written back by `msync`, `munmap` and the program's end.

use super::memory::number;
use crate::descriptors::{self, Description, Object};
use crate::errors::Result;
use crate::io::{self, Place};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use kernel::errno::Errno;
use kernel::memory::{self, Protection};
use spin::Mutex;

const PAGE: u64 = 4096;

/// A shared mapping that can be written.
struct Mapping {
    description: Arc<Description>,
    /// Whole pages.
    range: Range<u64>,
    /// Its first byte in the file.
    offset: u64,
    /// Hashes of its pages, as the file has them.
    hashes: Mutex<Vec<u64>>,
}

/// All of them. The lock isn't held in a wait.
static SHARED: Mutex<Vec<Arc<Mapping>>> = Mutex::new(Vec::new());

/// FNV-1a by words.
fn hash(page: &[u8]) -> u64 {
    let words = page
        .chunks_exact(8)
        .map(|word| word.try_into().unwrap_or_default());
    let step = |hash: u64, word| (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        step(hash, word).rotate_left(29)
    })
}

impl Mapping {
    /// Writes the pages in `range` that have changed to the file, as far as that goes.
    fn write_back(&self, range: &Range<u64>) -> Result<()> {
        let size = io::size(&self.description)?;
        let pages = (self.range.start..self.range.end).step_by(PAGE as usize);
        for (index, page) in pages.enumerate() {
            if page < range.start || page >= range.end {
                continue;
            }
            let Ok(bytes) = super::memory::bytes(page, PAGE) else {
                // Closed by `mprotect`.
                continue;
            };
            let now = hash(bytes);
            let before = match self.hashes.lock().get_mut(index) {
                Some(hash) => core::mem::replace(hash, now),
                None => continue,
            };
            let at = self.offset + (page - self.range.start);
            let len = size.saturating_sub(at).min(PAGE) as usize;
            if before != now {
                let bytes = bytes.get(..len).unwrap_or_default();
                io::write(&self.description, bytes, Place::Byte(at))?;
            }
        }
        Ok(())
    }

    /// The part of it in `range`.
    fn part(&self, range: Range<u64>) -> Arc<Mapping> {
        let pages = |from: u64, to: u64| ((to - from) / PAGE) as usize;
        let hashes = self.hashes.lock();
        let first = pages(self.range.start, range.start);
        let part = hashes.get(first..first + pages(range.start, range.end));
        Arc::new(Mapping {
            description: Arc::clone(&self.description),
            offset: self.offset + (range.start - self.range.start),
            hashes: Mutex::new(part.unwrap_or_default().to_vec()),
            range,
        })
    }
}

/// The shared mappings with pages in a range.
fn shared(range: &Range<u64>) -> Vec<Arc<Mapping>> {
    let meets = |it: &&Arc<Mapping>| it.range.start < range.end && range.start < it.range.end;
    SHARED.lock().iter().filter(meets).cloned().collect()
}

fn pages(start: u64, len: u64) -> Range<u64> {
    start
        ..start
            .saturating_add(len)
            .checked_next_multiple_of(PAGE)
            .unwrap_or(u64::MAX)
}

/// `msync`.
pub fn sync(start: u64, len: u64, flags: u64) -> Result<u64> {
    let range = pages(start, len);
    for mapping in shared(&range) {
        mapping.write_back(&range)?;
        if flags as i32 & libc::MS_SYNC != 0 {
            io::sync(&mapping.description)?;
        }
    }
    Ok(0)
}

/// Writes shared mappings in a range back before the range is unmapped or replaced.
pub fn end(start: u64, len: u64) {
    let range = pages(start, len);
    for mapping in shared(&range) {
        // As on Linux: no one is told.
        let _ = mapping.write_back(&range);
        let before = mapping.range.start..range.start;
        let after = range.end..mapping.range.end;
        let parts = [before, after]
            .into_iter()
            .filter(|range| !range.is_empty());
        let parts: Vec<_> = parts.map(|range| mapping.part(range)).collect();
        let mut all = SHARED.lock();
        all.retain(|other| !Arc::ptr_eq(other, &mapping));
        all.extend(parts);
    }
}

/// Whether a range has shared mappings, which can't be moved.
pub fn is_shared(start: u64, len: u64) -> bool {
    !shared(&pages(start, len)).is_empty()
}

/// Maps a file. Bytes behind the file's end are zeros.
pub fn map([address, len, protection, flags, descriptor, offset]: [u64; 6]) -> Result<u64> {
    let description = descriptors::get(descriptor)?;
    if !matches!(description.object, Object::File(_)) {
        return Err(libc::ENODEV);
    }
    description.check_readable().map_err(|_| libc::EACCES)?;
    if len == 0 || offset % PAGE != 0 {
        return Err(libc::EINVAL);
    }
    let wanted = memory::protection(protection).map_err(|error| number(Errno::from(error)))?;
    let flags = flags as i32;
    let is_shared = flags & libc::MAP_TYPE != libc::MAP_PRIVATE && wanted.write;
    if is_shared {
        description.check_writable().map_err(|_| libc::EACCES)?;
    }
    let fixed = flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
    if flags & libc::MAP_FIXED_NOREPLACE != 0 && !memory::is_free(address, len) {
        return Err(libc::EEXIST);
    }
    let writable = Protection {
        read: true,
        write: true,
        execute: false,
    };
    let failed = |error| number(Errno::from(error));
    let start = memory::map(fixed.then_some(address), len, writable).map_err(failed)?;
    let filled = fill(&description, start, len, offset)
        .and_then(|()| memory::protect(start, len, wanted).map_err(failed));
    if filled.is_ok() && is_shared {
        let range = pages(start, len);
        let whole = super::memory::bytes(start, range.end - start)?;
        let mapping = Mapping {
            description,
            range,
            offset,
            hashes: Mutex::new(whole.chunks_exact(PAGE as usize).map(hash).collect()),
        };
        SHARED.lock().push(Arc::new(mapping));
    }
    if filled.is_err() {
        // New memory, so that it can be taken back.
        let _ = memory::unmap(start, len);
    }
    filled.map(|()| start)
}

fn fill(description: &Description, start: u64, len: u64, offset: u64) -> Result<()> {
    // Only what the file has: the rest of the memory is left untouched.
    let there = io::size(description)?.saturating_sub(offset).min(len);
    let mut done = 0;
    while done < there {
        let into = super::memory::bytes_mut(start + done, there - done)?;
        match io::read(description, into, Place::Byte(offset + done))? {
            0 => break,
            n => done += n as u64,
        }
    }
    Ok(())
}

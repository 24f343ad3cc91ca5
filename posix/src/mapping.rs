//! `mmap` of files: memory with a copy of the file's contents; shared mappings are written back.

use crate::errors::{self, Result};
use crate::file::{File, Offset};
use crate::mappings::Shared;
use crate::process;
use crate::stat::FileId;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use kernel::arch::paging::PAGE;
use kernel::errno::Errno;
use kernel::memory::{self, Protection};

fn number(errno: Errno) -> errors::Errno {
    errno as errors::Errno
}

const ALL: Range<u64> = 0..u64::MAX;

/// Maps a copy of a file. [`write_back`] writes the changes of shared memory to the file. Bytes
/// beyond the end of the file are zero.
pub fn map([address, len, protection, flags, descriptor, offset]: [u64; 6]) -> Result<u64> {
    let description = process::get(descriptor)?;
    if !description.file().is_regular() {
        return Err(libc::ENODEV);
    }
    let file = description.file().id()?.ok_or(libc::ENODEV)?;
    description.check_readable().map_err(|_| libc::EACCES)?;
    if len == 0 || !offset.is_multiple_of(PAGE) {
        return Err(libc::EINVAL);
    }
    let failed = |error| number(Errno::from(error));
    let wanted = memory::protection(protection).map_err(failed)?;
    let flags = flags as i32;
    let is_shared = match flags & libc::MAP_TYPE {
        libc::MAP_PRIVATE => false,
        libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE => true,
        _ => return Err(libc::EINVAL),
    };
    let is_writable = description.check_writable().is_ok();
    if is_shared && wanted.write && !is_writable {
        return Err(libc::EACCES);
    }
    let whole = len.checked_next_multiple_of(PAGE).ok_or(libc::ENOMEM)?;
    let behind = offset.checked_add(whole).ok_or(libc::EOVERFLOW)?;
    let bytes = offset..behind;
    let is_written_back = is_shared && is_writable;
    let fixed = flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
    if is_shared && !fixed {
        let same = process::with(|process| {
            let shared = process.mappings.same(file, &bytes)?;
            if wanted.write
                && let Err(error) = memory::protect(shared.range.start, len, wanted)
            {
                return Some(Err(failed(error)));
            }
            shared.users += 1;
            Some(Ok(shared.range.start))
        });
        if let Some(mapped) = same {
            return mapped;
        }
    }
    // A second copy wouldn't see changes of the first, and positional writes would be appended.
    let is_mapped = || process::with(|process| process.mappings.is_mapped(file, &bytes));
    if is_written_back && (description.flags() & libc::O_APPEND != 0 || is_mapped()) {
        return Err(libc::ENODEV);
    }
    if flags & libc::MAP_FIXED_NOREPLACE != 0 && !memory::is_free(address, len) {
        return Err(libc::EEXIST);
    }
    if fixed {
        forget(address, len)?;
    }
    let writable = Protection {
        read: true,
        write: true,
        execute: false,
    };
    flush(Some(file))?;
    let start = memory::map(fixed.then_some(address), len, writable).map_err(failed)?;
    let range = start..start + whole;
    let added = if is_written_back {
        let shared = Shared {
            range: range.clone(),
            offset,
            description: Arc::clone(&description),
            file,
            is_filled: false,
            users: 1,
        };
        // Another thread may have mapped it meanwhile.
        process::with(|process| process.mappings.add(shared))
    } else {
        Ok(())
    };
    let filled = added.and_then(|()| fill(description.file(), start, len, offset));
    let mapped = filled.and_then(|()| memory::protect(start, len, wanted).map_err(failed));
    if is_written_back {
        pages(&range).for_each(|page| _ = memory::take_written(page));
        let is_filled = mapped.is_ok();
        let _ = process::with(|process| process.mappings.filled(&range, is_filled));
    }
    if mapped.is_err() {
        // The memory is new, so it can be unmapped after an error.
        let _ = memory::unmap(start, len);
    }
    mapped.map(|()| start)
}

fn pages(range: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    range.clone().step_by(PAGE as usize)
}

/// Returns the parts of shared mappings that `part` selects.
fn parts(part: impl FnMut(&Shared) -> Option<Shared>) -> Vec<Shared> {
    process::with(|process| process.mappings.parts(part))
}

/// Whether changes of a shared mapping can be written through this open file.
pub fn writes_by(file: &dyn File) -> bool {
    process::with(|process| process.mappings.writes_by(file))
}

/// Writes changed pages of a shared mapping to its file.
fn write_part(part: &Shared) -> Result<()> {
    let mut copy = Vec::new();
    copy.try_reserve(PAGE as usize).map_err(|_| libc::ENOMEM)?;
    for page in pages(&part.range) {
        if !memory::take_written(page) {
            continue;
        }
        // A page that failed stays dirty, for the next call.
        write_page(part, page, &mut copy).inspect_err(|_| memory::set_written(page))?;
    }
    Ok(())
}

fn write_page(part: &Shared, page: u64, copy: &mut Vec<u8>) -> Result<()> {
    let at = part.offset + (page - part.range.start);
    let file = part.description.file();
    let len = file.size()?.saturating_sub(at).min(PAGE);
    // A copy, because another thread may unmap the page during the write.
    copy.clear();
    copy.extend_from_slice(memory::bytes(page, len).map_err(number)?);
    let mut done = 0;
    while let Some(rest) = copy.get(done..).filter(|rest| !rest.is_empty()) {
        done += file.write(rest, Offset::Exactly(at + done as u64), 0)?;
    }
    Ok(())
}

/// Writes the changes of all shared mappings to their files.
pub fn write_back() -> Result<()> {
    parts(|shared| shared.part(&ALL))
        .iter()
        .try_for_each(write_part)
}

/// Writes changes of a file's shared mappings back, before the file is read or written otherwise.
pub fn flush(file: Option<FileId>) -> Result<()> {
    let of_file = |shared: &Shared| shared.part(&ALL).filter(|it| Some(it.file) == file);
    parts(of_file).iter().try_for_each(write_part)
}

/// Copies `len` bytes, written to a file up to `end`, into its shared mappings.
pub fn refresh(file: Option<FileId>, end: u64, len: u64) -> Result<()> {
    let written = end.saturating_sub(len)..end;
    for part in parts(|shared| shared.part(&ALL).filter(|it| Some(it.file) == file)) {
        let behind = part.offset + (part.range.end - part.range.start);
        let from = written.start.max(part.offset);
        let to = written.end.min(behind);
        if from < to {
            let start = part.range.start + (from - part.offset);
            // Through the mapping's descriptor: the writer's may not be readable.
            fill(part.description.file(), start, to - from, from)?;
        }
    }
    Ok(())
}

/// Whether there are shared mappings to write back.
pub fn is_any() -> bool {
    process::with(|process| !process.mappings.is_empty())
}

/// `msync`.
pub fn sync(start: u64, len: u64, flags: u64) -> Result<u64> {
    const FLAGS: i32 = libc::MS_ASYNC | libc::MS_INVALIDATE | libc::MS_SYNC;
    let flags = flags as i32;
    let both = libc::MS_ASYNC | libc::MS_SYNC;
    if !start.is_multiple_of(PAGE) || flags & !FLAGS != 0 || flags & both == both {
        return Err(libc::EINVAL);
    }
    let range = start..start.checked_add(len).ok_or(libc::ENOMEM)?;
    for part in parts(|shared| shared.part(&range)) {
        write_part(&part)?;
        if flags & libc::MS_SYNC != 0 {
            part.description.file().sync()?;
        }
    }
    Ok(0)
}

/// Unmaps one of several mappings that share memory: `false` for any other range.
pub fn leave(start: u64, len: u64) -> bool {
    let len = len.checked_next_multiple_of(PAGE);
    let end = len.and_then(|len| start.checked_add(len));
    end.is_some_and(|end| process::with(|process| process.mappings.leave(&(start..end))))
}

/// Writes back memory that is about to be unmapped or replaced. Logs a failure of the disk.
pub fn forget(start: u64, len: u64) -> Result<()> {
    let len = len.checked_next_multiple_of(PAGE).ok_or(libc::EINVAL)?;
    let range = start..start.checked_add(len).ok_or(libc::EINVAL)?;
    let parts = parts(|shared| shared.part(&range));
    if parts.is_empty() {
        return Ok(());
    }
    for part in &parts {
        let _ = write_part(part);
    }
    let removed = process::with(|process| process.mappings.remove(&parts))?;
    // Dropped outside of the lock, because it may close their files.
    drop(removed);
    Ok(())
}

/// Whether a range contains shared mappings, which can't be moved.
pub fn is_shared(start: u64, len: u64) -> bool {
    let range = start..start.saturating_add(len);
    !parts(|shared| shared.part(&range)).is_empty()
}

fn fill(file: &dyn File, start: u64, len: u64, offset: u64) -> Result<()> {
    // Reads only up to the end of the file: the rest of the memory stays untouched.
    let there = file.size()?.saturating_sub(offset).min(len);
    let mut done = 0;
    while done < there {
        let into = memory::bytes_mut(start + done, there - done).map_err(number)?;
        match file.read(into, Offset::At(offset + done), 0)? {
            0 => break,
            n => done += n as u64,
        }
    }
    Ok(())
}

//! `mmap` of a file: memory with a copy of its contents.

use super::memory::number;
use crate::descriptors::{self, Object};
use crate::errors::Result;
use crate::io::{self, Place};
use kernel::errno::Errno;
use kernel::memory::{self, Protection};

/// Maps a file. What is written to the memory stays there: a mapping that is shared can only be
/// read ([`libc::ENODEV`]). Bytes behind the file's end are zeros.
pub fn map([address, len, protection, flags, descriptor, offset]: [u64; 6]) -> Result<u64> {
    const PAGE: u64 = 4096;
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
    if flags & libc::MAP_TYPE != libc::MAP_PRIVATE && wanted.write {
        return Err(libc::ENODEV);
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
    if filled.is_err() {
        // New memory, so that it can be taken back.
        let _ = memory::unmap(start, len);
    }
    filled.map(|()| start)
}

fn fill(description: &descriptors::Description, start: u64, len: u64, offset: u64) -> Result<()> {
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

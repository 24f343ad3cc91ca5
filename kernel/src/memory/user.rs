//! The program's memory as accessed by system calls: every range is checked before it is touched,
//! with no cell held.
//!
//! Calls that run one at a time have what they checked until they wait: so do those that take
//! memory away. Other calls run at the same time, and access a futex ([`atomic_word`]) and a few
//! words ([`load_shared`], [`store_shared`]) by their frames; the words while they use the address
//! space.

use super::describe::permits;
use super::layout::{DIRECT, PROGRAM};
use super::space::{Fault, Memory, with};
use crate::arch::paging::{PAGE, frame_of, is_present, set_written};
use crate::errno::Errno;
use crate::smp;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

/// The start of `len` bytes of the program.
///
/// # Errors
/// EFAULT if the program couldn't read (or write) all of the range. An empty range may be anywhere,
/// as on Linux.
fn user(start: u64, len: u64, write: bool) -> Result<NonNull<u8>, Errno> {
    if len == 0 {
        return Ok(NonNull::dangling());
    }
    NonNull::new(start as *mut u8)
        .filter(|_| permits(start, len, write))
        .ok_or(Errno::EFAULT)
}

/// The program's `len` bytes at `start`, for the duration of a system call.
pub fn bytes<'a>(start: u64, len: u64) -> Result<&'a [u8], Errno> {
    let pointer = user(start, len, false)?;
    // SAFETY: readable, as checked above. The slice ends before the system call returns.
    Ok(unsafe { core::slice::from_raw_parts(pointer.as_ptr(), len as usize) })
}

/// The program's buffer of `len` bytes at `start`, for the duration of a system call.
pub fn bytes_mut<'a>(start: u64, len: u64) -> Result<&'a mut [u8], Errno> {
    let pointer = user(start, len, true)?;
    // SAFETY: as for `bytes`, and writable; the program waits for the system call and doesn't read
    // it.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer.as_ptr(), len as usize) })
}

/// The zero-terminated string at `start`, with the length limit of paths.
pub fn path<'a>(start: u64) -> Result<&'a [u8], Errno> {
    const PATH_MAX: u64 = 4096;
    // Page by page, since the page after its end may not be mapped.
    let mut len = 0;
    while len < PATH_MAX {
        let rest = PAGE - start.wrapping_add(len) % PAGE;
        let piece = bytes(start.wrapping_add(len), rest)?;
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            return bytes(start, len + end as u64);
        }
        len += rest;
    }
    Err(Errno::ENAMETOOLONG)
}

/// Whether the string at `start` is readable and empty.
pub fn is_empty(start: u64) -> bool {
    path(start).is_ok_and(<[u8]>::is_empty)
}

/// Copies `data` to the program's buffer of `room` bytes at `start`.
pub fn copy_out(start: u64, room: u64, data: &[u8]) -> Result<(), Errno> {
    if room < data.len() as u64 {
        return Err(Errno::ERANGE);
    }
    bytes_mut(start, data.len() as u64)?.copy_from_slice(data);
    Ok(())
}

/// Stores words at `start`.
pub fn store(start: u64, words: &[u64]) -> Result<u64, Errno> {
    let (bytes, len) = (words.as_ptr().cast(), size_of_val(words));
    // SAFETY: words are as many bytes, any of which is one.
    let bytes = unsafe { core::slice::from_raw_parts(bytes, len) };
    bytes_mut(start, len as u64)?.copy_from_slice(bytes);
    Ok(0)
}

/// Loads the `N` words at `start`.
pub fn load<const N: usize>(start: u64) -> Result<[u64; N], Errno> {
    let pointer = user(start, N as u64 * 8, false)?;
    // SAFETY: readable, as checked above, and words have no invalid value.
    Ok(unsafe { pointer.cast().read_unaligned() })
}

impl Memory {
    /// Where the direct map has the program's byte at `address`, if the program may read (or write)
    /// it.
    fn in_direct_map(&mut self, address: u64, write: bool) -> Option<NonNull<u8>> {
        self.vmas
            .find(address)
            .filter(|vma| vma.protection.allows(write, false))?;
        if !self.present(address) && self.fault(address, write, false) != Fault::Mapped {
            return None;
        }
        let (entry, _) = self.tables.get(&mut self.physical, address);
        let place = DIRECT + frame_of(entry) + address % PAGE;
        NonNull::new(place as *mut u8).filter(|_| is_present(entry))
    }

    /// Copies `len` bytes of the program at `start` by `copy`, which gets where the direct map has
    /// each page's part, and that part's offset and length.
    fn copy_pages(
        &mut self,
        start: u64,
        len: usize,
        write: bool,
        mut copy: impl FnMut(NonNull<u8>, usize, usize),
    ) -> Result<(), Errno> {
        let mut done = 0;
        while done < len {
            let at = start.wrapping_add(done as u64);
            let part = (len - done).min((PAGE - at % PAGE) as usize);
            let place = self.in_direct_map(at, write).ok_or(Errno::EFAULT)?;
            copy(place, done, part);
            if write {
                let page = at - at % PAGE;
                let set = |_: &mut _, _, entry| set_written(entry);
                self.tables
                    .update(&mut self.physical, page, page + PAGE, set);
            }
            done += part;
        }
        Ok(())
    }
}

/// Like [`load`], while another call may take the memory away.
pub fn load_shared<const N: usize>(start: u64) -> Result<[u64; N], Errno> {
    if !smp::is_smp() || !PROGRAM.contains(&start) {
        return load(start);
    }
    let mut words = [0; N];
    let into: *mut u8 = words.as_mut_ptr().cast();
    with(|memory| {
        memory.copy_pages(start, N * 8, false, |place, offset, len| {
            // SAFETY: the frame is the program's and stays so while the address space is used here;
            // the part is within the words, any bytes of which are valid.
            unsafe {
                into.add(offset)
                    .copy_from_nonoverlapping(place.as_ptr(), len)
            };
        })
    })?;
    Ok(words)
}

/// Like [`store`], while another call may take the memory away.
pub fn store_shared(start: u64, words: &[u64]) -> Result<u64, Errno> {
    if !smp::is_smp() || !PROGRAM.contains(&start) {
        return store(start, words);
    }
    let from: *const u8 = words.as_ptr().cast();
    with(|memory| {
        memory.copy_pages(start, size_of_val(words), true, |place, offset, len| {
            // SAFETY: as in `load_shared`, and the program may write there.
            unsafe {
                place
                    .as_ptr()
                    .copy_from_nonoverlapping(from.add(offset), len)
            };
        })
    })?;
    Ok(0)
}

/// The program's futex at `start`, which its other threads change meanwhile. One that is only read
/// is in the direct map where several processors run, so that it may be unmapped: it then has any
/// value. One to `write` is for calls that run one at a time.
///
/// # Errors
/// EINVAL unless it is aligned; EFAULT if the program couldn't read (or write) it.
pub fn atomic_word<'a>(start: u64, write: bool) -> Result<&'a AtomicU32, Errno> {
    if !start.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let pointer = match smp::is_smp() && !write && PROGRAM.contains(&start) {
        true => with(|memory| memory.in_direct_map(start, false)).ok_or(Errno::EFAULT)?,
        false => user(start, 4, write)?,
    };
    // SAFETY: accessible, as checked above, and aligned; a word that is only readable is only read.
    // The reference ends before the system call returns.
    Ok(unsafe { AtomicU32::from_ptr(pointer.cast().as_ptr()) })
}

/// The `count` entries of `struct iovec` at `start`, each an address and a length.
pub fn vectors<'a>(start: u64, count: u64) -> Result<&'a [[u64; 2]], Errno> {
    const IOV_MAX: u64 = 1024;
    if count > IOV_MAX || !start.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    if count == 0 {
        return Ok(&[]);
    }
    let pointer = user(start, count * 16, false)?;
    // SAFETY: as for `bytes`, aligned, and two words have no invalid value.
    Ok(unsafe { core::slice::from_raw_parts(pointer.cast().as_ptr(), count as usize) })
}

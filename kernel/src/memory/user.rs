//! The program's memory as accessed by system calls: every range is checked before it is touched,
//! with no cell held.
//!
//! Calls that run one at a time have what they checked until they wait: so do those that take
//! memory away. Others use [`store`], [`load`], [`copy_out`] and [`atomic_word`], which check and
//! copy in one use of the address space where several processors run.

use super::describe::permits;
use super::layout::{DIRECT, PROGRAM};
use super::space::{self, Fault, Memory, with};
use crate::arch::paging::{PAGE, frame_of, is_present, is_writable, set_written};
use crate::errno::Errno;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Copies `len` bytes between the program's memory at an address and the kernel's, to the program
/// if the flag is set; returns where the first byte is in the direct map. `None` if the program
/// couldn't do that.
type Access = fn(u64, *mut u8, u64, bool) -> Option<NonNull<u8>>;

/// [`access`] where several processors run, else null.
static ACCESS: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// From now on several processors run, and may take memory away while a call uses it.
pub fn set_several() {
    space::set_several();
    // Hidden from the compiler: otherwise every program would link the function.
    let access: *mut () = core::hint::black_box(access as *mut ());
    ACCESS.store(access, Ordering::Relaxed);
}

/// The function for memory of the program that may be taken away.
fn access_at(start: u64) -> Option<Access> {
    // SAFETY: null is `None`, and `set_several` stores a function of this type.
    let access =
        unsafe { core::mem::transmute::<*mut (), Option<Access>>(ACCESS.load(Ordering::Relaxed)) };
    access.filter(|_| PROGRAM.contains(&start))
}

/// See [`Access`].
fn access(start: u64, own: *mut u8, len: u64, write: bool) -> Option<NonNull<u8>> {
    let end = start.checked_add(len)?;
    with(|memory| {
        if !memory.vmas.permits(&(start..end), write) {
            return None;
        }
        let mut first = None;
        let mut at = start;
        while at < end {
            let next = (at | (PAGE - 1)).saturating_add(1).min(end);
            let place = memory.place(at, write)?;
            let own = own.wrapping_add((at - start) as usize);
            // SAFETY: the frame is the program's while the address space is in use, and the caller
            // has as many bytes.
            unsafe {
                match write {
                    true => core::ptr::copy(own, place.as_ptr(), (next - at) as usize),
                    false => core::ptr::copy(place.as_ptr(), own, (next - at) as usize),
                }
            }
            first.get_or_insert(place);
            at = next;
        }
        first
    })
}

impl Memory {
    /// Where the byte at `address` is in the direct map, in a page that may be accessed so.
    fn place(&mut self, address: u64, write: bool) -> Option<NonNull<u8>> {
        let page = address & !(PAGE - 1);
        let usable = |entry| is_present(entry) && (!write || is_writable(entry));
        if !usable(self.tables.get(&mut self.physical, page).0)
            && self.fault(address, write, false) != Fault::Mapped
        {
            return None;
        }
        if write {
            let set = |_: &mut _, _, entry| set_written(entry);
            self.tables
                .update(&mut self.physical, page, page + PAGE, set);
        }
        let (entry, _) = self.tables.get(&mut self.physical, page);
        let place = DIRECT + frame_of(entry) + address % PAGE;
        NonNull::new(place as *mut u8).filter(|_| usable(entry))
    }
}

/// Copies between `len` bytes of the program and as many of the kernel's at `own`.
#[inline(never)]
fn transfer(start: u64, own: *mut u8, len: u64, write: bool) -> Result<(), Errno> {
    if let Some(access) = access_at(start) {
        return access(start, own, len, write)
            .map(|_| ())
            .ok_or(Errno::EFAULT);
    }
    let pointer = user(start, len, write)?.as_ptr();
    // SAFETY: accessible, as checked above, and the caller has as many bytes.
    unsafe {
        match write {
            true => core::ptr::copy(own, pointer, len as usize),
            false => core::ptr::copy(pointer, own, len as usize),
        }
    }
    Ok(())
}

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
    transfer(start, data.as_ptr().cast_mut(), data.len() as u64, true)
}

/// Stores words at `start`.
pub fn store(start: u64, words: &[u64]) -> Result<u64, Errno> {
    let own = words.as_ptr().cast_mut().cast();
    transfer(start, own, size_of_val(words) as u64, true).map(|()| 0)
}

/// Loads the `N` words at `start`.
pub fn load<const N: usize>(start: u64) -> Result<[u64; N], Errno> {
    let mut words = [0u64; N];
    let own = words.as_mut_ptr().cast();
    transfer(start, own, size_of_val(&words) as u64, false).map(|()| words)
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
    let pointer = match access_at(start).filter(|_| !write) {
        Some(access) => {
            let mut value = 0u32;
            let own = (&raw mut value).cast();
            access(start, own, 4, false).ok_or(Errno::EFAULT)?
        }
        None => user(start, 4, write)?,
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

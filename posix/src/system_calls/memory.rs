//! Memory: `mmap`, `munmap`, `mprotect`, `mremap`, `madvise`.

use super::parts;
use crate::blocking::lent;
use crate::errors::Result;
use kernel::memory;

/// The result of `brk`: there is no break, and musl's allocator falls back to `mmap`.
pub const NO_BREAK: u64 = 0x1000;

/// Memory is about to be taken away: waits until no disk uses it for another call.
fn await_unused(start: u64, len: u64) {
    if lent::is_any_pinned() {
        lent::await_unpinned(start, len);
    }
}

/// `mmap`.
pub fn map(arguments: [u64; 6]) -> Result<u64> {
    let [address, len, protection, flags, descriptor, _] = arguments;
    let flags = flags as i32;
    let is_fixed = flags & libc::MAP_FIXED != 0;
    if is_fixed {
        await_unused(address, len);
    }
    let files = parts::files();
    if flags & libc::MAP_ANONYMOUS == 0 {
        return match files {
            Some(files) => files.map(arguments),
            None if descriptor < 3 => Err(libc::ENODEV),
            None => Err(libc::EBADF),
        };
    }
    if is_fixed && let Some(files) = files {
        files.forget(address, len)?;
    }
    let is_placed = flags & libc::MAP_FIXED_NOREPLACE != 0;
    if is_placed && !memory::is_free(address, len) {
        return Err(libc::EEXIST);
    }
    let address = (is_fixed || is_placed).then_some(address);
    Ok(memory::map(address, len, memory::protection(protection)?)?)
}

/// `munmap`.
pub fn unmap(start: u64, len: u64) -> Result<u64> {
    await_unused(start, len);
    if let Some(files) = parts::files() {
        if files.leave(start, len) {
            return Ok(0);
        }
        files.forget(start, len)?;
    }
    memory::unmap(start, len)?;
    Ok(0)
}

/// `mprotect`.
pub fn protect(start: u64, len: u64, protection: u64) -> Result<u64> {
    await_unused(start, len);
    memory::protect(start, len, memory::protection(protection)?)?;
    Ok(0)
}

/// `mremap`.
pub fn remap(start: u64, old_len: u64, new_len: u64, flags: u64) -> Result<u64> {
    const MAY_MOVE: u64 = libc::MREMAP_MAYMOVE as u64;
    await_unused(start, old_len);
    if parts::files().is_some_and(|files| files.is_shared(start, old_len)) {
        return Err(libc::ENOMEM);
    }
    if flags & !MAY_MOVE != 0 {
        return Err(libc::EINVAL);
    }
    let may_move = flags & MAY_MOVE != 0;
    Ok(memory::remap(start, old_len, new_len, may_move)?)
}

/// `madvise`. Advice that discards no contents does nothing.
pub fn advise(start: u64, len: u64, advice: u64) -> Result<u64> {
    await_unused(start, len);
    if matches!(advice as i32, libc::MADV_DONTNEED | libc::MADV_FREE) {
        memory::discard(start, len)?;
    }
    Ok(0)
}

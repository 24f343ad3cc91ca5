//! Calls of Linux that aren't trapped.

use std::ffi::CStr;

/// The monotonic clock in nanoseconds, of which Linux has another one.
pub fn now() -> u64 {
    sim::monotonic_ns().unwrap_or(0)
}

/// The program's own call.
pub fn pass(number: i64, arguments: &[usize; 6]) -> isize {
    // SAFETY: the arguments are the program's.
    unsafe { sim::system_call(number, *arguments) }
}

/// A call without pointers.
pub fn call(number: i64, [a, b, c]: [usize; 3]) -> isize {
    // SAFETY: the callers in this crate pass numbers.
    unsafe { sim::system_call(number, [a, b, c, 0, 0, 0]) }
}

/// The result of a call that returns a descriptor, or the error number.
pub fn descriptor(result: isize) -> Result<i32, i32> {
    if result < 0 {
        Err(-result as i32)
    } else {
        Ok(result as i32)
    }
}

/// A descriptor of an empty file, which reserves the number of an object of this crate.
pub fn reserve(close_on_exec: bool) -> Result<i32, i32> {
    let path = c"/dev/null".as_ptr().expose_provenance();
    let flags = libc::O_RDWR | if close_on_exec { libc::O_CLOEXEC } else { 0 };
    let arguments = [libc::AT_FDCWD as usize, path, flags as usize, 0, 0, 0];
    // SAFETY: a valid path.
    descriptor(unsafe { sim::system_call(libc::SYS_openat, arguments) })
}

/// Closes a descriptor.
pub fn close(fd: i32) -> isize {
    call(libc::SYS_close, [fd as usize, 0, 0])
}

/// Whether Linux has a descriptor with this number.
pub fn is_open(fd: i32) -> bool {
    call(libc::SYS_fcntl, [fd as usize, libc::F_GETFD as usize, 0]) >= 0
}

/// A file in memory with these contents, open at its start.
pub fn file(name: &CStr, contents: &[u8], close_on_exec: bool) -> Result<i32, i32> {
    let flags = if close_on_exec { libc::MFD_CLOEXEC } else { 0 };
    let name = name.as_ptr().expose_provenance();
    let from = contents.as_ptr().expose_provenance();
    // SAFETY: a name that ends with a zero byte; reads within `contents`.
    unsafe {
        let arguments = [name, flags as usize, 0, 0, 0, 0];
        let fd = descriptor(sim::system_call(libc::SYS_memfd_create, arguments))?;
        let arguments = [fd as usize, from, contents.len(), 0, 0, 0];
        let written = descriptor(sim::system_call(libc::SYS_write, arguments));
        call(libc::SYS_lseek, [fd as usize, 0, libc::SEEK_SET as usize]);
        match written {
            Ok(len) if len as usize == contents.len() => Ok(fd),
            other => {
                close(fd);
                Err(other.err().unwrap_or(libc::ENOSPC))
            }
        }
    }
}

//! Functions of glibc whose arguments are checked or changed before one of musl's, where that takes
//! more than a comparison of two arguments (the other ones are the table of `rearranged!`).
//!
//! Each function has the safety conditions of the function that it calls. The room of a buffer is
//! as the compiler knows it, in bytes.

use super::buffer_overflow;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::mem::zeroed;
use core::ptr::null_mut;
use kernel::arch::numbers as n;
use libc::{
    FILE, gid_t, iovec, mallinfo, mallinfo2, nfds_t, off_t, pollfd, sigset_t, size_t, sockaddr,
    socklen_t, ssize_t, strlen, strnlen, timespec,
};

unsafe extern "C" {
    fn fgets_unlocked(to: *mut c_char, len: c_int, from: *mut FILE) -> *mut c_char;
    fn vsnprintf(to: *mut c_char, len: size_t, format: *const c_char, list: *mut c_void) -> c_int;
}

/// Functions by their glibc names: the condition of each, without which it ends the program, and
/// its result.
macro_rules! functions {
    ($(
        $glibc:literal = $name:ident($($argument:ident: $type:ty),*) -> $result:ty
        $([$fits:expr])? => $call:expr;
    )*) => {$(
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            // SAFETY: the caller keeps the conditions of the called function.
            unsafe {
                $(if !$fits {
                    buffer_overflow()
                })?
                $call
            }
        }
        defined! { $glibc = $name, }
    )*};
}

functions! {
    "__recvfrom_chk" = recvfrom(
        fd: c_int, to: *mut c_void, len: size_t, room: size_t, flags: c_int, from: *mut sockaddr,
        from_len: *mut socklen_t
    ) -> ssize_t [len <= room] => libc::recvfrom(fd, to, len, flags, from, from_len);
    // A negative number is an error of the call's own.
    "__getgroups_chk" = getgroups(count: c_int, to: *mut gid_t, room: size_t) -> c_int
        [count < 0 || count as size_t * size_of::<gid_t>() <= room]
        => libc::getgroups(count, to);
    "__fgets_chk" = fgets(to: *mut c_char, room: size_t, len: c_int, from: *mut FILE) -> *mut c_char
        [len <= 0 || len as size_t <= room] => libc::fgets(to, len, from);
    "__fgets_unlocked_chk" = fgets_without_lock(
        to: *mut c_char, room: size_t, len: c_int, from: *mut FILE
    ) -> *mut c_char [len <= 0 || len as size_t <= room] => fgets_unlocked(to, len, from);
    "__fread_chk" = fread(
        to: *mut c_void, room: size_t, size: size_t, count: size_t, from: *mut FILE
    ) -> size_t [is_within(size, count, room)] => libc::fread(to, size, count, from);
    "__fread_unlocked_chk" = fread_without_lock(
        to: *mut c_void, room: size_t, size: size_t, count: size_t, from: *mut FILE
    ) -> size_t [is_within(size, count, room)] => libc::fread_unlocked(to, size, count, from);
    "__poll_chk" = poll(of: *mut pollfd, count: nfds_t, ms: c_int, room: size_t) -> c_int
        [count as size_t <= room / size_of::<pollfd>()] => libc::poll(of, count, ms);
    "__ppoll_chk" = ppoll(
        of: *mut pollfd, count: nfds_t, time: *const timespec, mask: *const sigset_t, room: size_t
    ) -> c_int
        [count as size_t <= room / size_of::<pollfd>()] => libc::ppoll(of, count, time, mask);
    "__realpath_chk" = realpath(path: *const c_char, to: *mut c_char, room: size_t) -> *mut c_char
        [room >= libc::PATH_MAX as size_t] => libc::realpath(path, to);
    "__strcpy_chk" = strcpy(to: *mut c_char, from: *const c_char, room: size_t) -> *mut c_char
        [strlen(from) < room] => libc::strcpy(to, from);
    "__stpcpy_chk" = stpcpy(to: *mut c_char, from: *const c_char, room: size_t) -> *mut c_char
        [strlen(from) < room] => libc::stpcpy(to, from);
    "__strcat_chk" = strcat(to: *mut c_char, from: *const c_char, room: size_t) -> *mut c_char
        [strlen(to).saturating_add(strlen(from)) < room] => libc::strcat(to, from);
    "__strncat_chk" = strncat(
        to: *mut c_char, from: *const c_char, max: size_t, room: size_t
    ) -> *mut c_char
        [strlen(to).saturating_add(strnlen(from, max)) < room] => libc::strncat(to, from, max);
    "__vsprintf_chk" = vsprintf_checked(
        to: *mut c_char, _flag: c_int, room: size_t, format: *const c_char, list: *mut c_void
    ) -> c_int => vsprintf(to, room, format, list);

    // Without a mode, which only a created file has.
    "__open_2" = open(path: *const c_char, flags: c_int) -> c_int => libc::open(path, flags, 0);
    "__open64_2" = open64(path: *const c_char, flags: c_int) -> c_int => libc::open(path, flags, 0);
    "__openat_2" = openat(folder: c_int, path: *const c_char, flags: c_int) -> c_int
        => libc::openat(folder, path, flags, 0);
    "__openat64_2" = openat64(folder: c_int, path: *const c_char, flags: c_int) -> c_int
        => libc::openat(folder, path, flags, 0);
    "rawmemchr" = rawmemchr(from: *const c_void, byte: c_int) -> *mut c_void
        => libc::memchr(from, byte, usize::MAX);
    "__rawmemchr" = rawmemchr_2(from: *const c_void, byte: c_int) -> *mut c_void
        => libc::memchr(from, byte, usize::MAX);
    "canonicalize_file_name" = canonicalize(path: *const c_char) -> *mut c_char
        => libc::realpath(path, null_mut());
    // musl's allocator has no counters.
    "mallinfo" = no_counters() -> mallinfo => zeroed();
    "mallinfo2" = no_counters_2() -> mallinfo2 => zeroed();
    "preadv2" = preadv2(fd: c_int, of: *const iovec, count: c_int, at: off_t, flags: c_int)
        -> c_long => positioned(n::PREADV2, fd, of, count, at, flags);
    "preadv64v2" = preadv64v2(fd: c_int, of: *const iovec, count: c_int, at: off_t, flags: c_int)
        -> c_long => positioned(n::PREADV2, fd, of, count, at, flags);
    "pwritev2" = pwritev2(fd: c_int, of: *const iovec, count: c_int, at: off_t, flags: c_int)
        -> c_long => positioned(n::PWRITEV2, fd, of, count, at, flags);
    "pwritev64v2" = pwritev64v2(fd: c_int, of: *const iovec, count: c_int, at: off_t, flags: c_int)
        -> c_long => positioned(n::PWRITEV2, fd, of, count, at, flags);
    // The name by which the functions with variable arguments call it.
    "soil_vsprintf" = vsprintf_of_list(
        to: *mut c_char, room: size_t, format: *const c_char, list: *mut c_void
    ) -> c_int => vsprintf(to, room, format, list);
}

defined! { "__fdelt_chk" = word_of, }

/// The word of a descriptor's bit in a set of `select`.
extern "C" fn word_of(fd: c_long) -> c_long {
    if !(0..libc::FD_SETSIZE as c_long).contains(&fd) {
        buffer_overflow()
    }
    fd / c_long::BITS as c_long
}

/// Whether `count` elements of `size` bytes fit.
fn is_within(size: size_t, count: size_t, room: size_t) -> bool {
    size.checked_mul(count).is_some_and(|bytes| bytes <= room)
}

/// Prints into a buffer, and ends the program where it is too small.
///
/// # Safety
/// As of `vsnprintf`; `list` is a `va_list`, which C passes by its address.
unsafe fn vsprintf(
    to: *mut c_char,
    room: size_t,
    format: *const c_char,
    list: *mut c_void,
) -> c_int {
    let room = room.min(c_int::MAX as size_t);
    // SAFETY: the caller's promises.
    let len = unsafe { vsnprintf(to, room, format, list) };
    if usize::try_from(len).is_ok_and(|len| len >= room) {
        buffer_overflow()
    }
    len
}

/// A system call with an offset, which has two arguments for 32-bit machines.
///
/// # Safety
/// As of `preadv2` or `pwritev2`.
unsafe fn positioned(
    number: u64,
    fd: c_int,
    of: *const iovec,
    count: c_int,
    at: off_t,
    flags: c_int,
) -> c_long {
    let [fd, count, flags] = [fd, count, flags].map(c_long::from);
    // SAFETY: the caller's promises.
    unsafe { libc::syscall(number as c_long, fd, of, count, at, 0 as c_long, flags) }
}

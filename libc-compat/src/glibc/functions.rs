//! Functions of glibc that are more than another name of one of musl's.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_uint};
use core::ptr;
use libc::{PTHREAD_MUTEX_INITIALIZER, dev_t, protoent, pthread_mutex_t};

/// A mutex of musl's, whose type is no larger than the one of `libc`.
struct Mutex(UnsafeCell<pthread_mutex_t>);

// SAFETY: only the C library's functions access it, which are thread-safe.
unsafe impl Sync for Mutex {}

/// Held while musl's single position in its table of protocols is in use.
static PROTOCOLS: Mutex = Mutex(UnsafeCell::new(PTHREAD_MUTEX_INITIALIZER));

defined! {
    "getprotobyname_r" = protocol_by_name, "getprotobynumber_r" = protocol_by_number,
    "arc4random" = random, "arc4random_buf" = random_buf, "arc4random_uniform" = random_uniform,
    "gnu_dev_major" = major, "gnu_dev_minor" = minor, "gnu_dev_makedev" = makedev,
    "gnu_get_libc_version" = version, "gnu_get_libc_release" = release,
}

/// `getprotobyname_r`: 0, also if there is none, with null at `result`; else an error number.
/// Source: getprotoent_r(3).
///
/// # Safety
/// `name` is a string; `entry` and `result` may be written.
unsafe extern "C" fn protocol_by_name(
    name: *const c_char,
    entry: *mut protoent,
    _buffer: *mut c_char,
    len: usize,
    result: *mut *const protoent,
) -> c_int {
    // SAFETY: the caller's promises are those of the two functions.
    unsafe { protocol(|| libc::getprotobyname(name), entry, len, result) }
}

/// `getprotobynumber_r`, as [`protocol_by_name`].
///
/// # Safety
/// `entry` and `result` may be written.
unsafe extern "C" fn protocol_by_number(
    number: c_int,
    entry: *mut protoent,
    _buffer: *mut c_char,
    len: usize,
    result: *mut *const protoent,
) -> c_int {
    // SAFETY: the caller's promises are those of the two functions.
    unsafe { protocol(|| libc::getprotobynumber(number), entry, len, result) }
}

/// Copies the entry that `find` returns. The data that musl's entry points to is constant, so the
/// caller's buffer stays unused; glibc's own functions need some room there.
///
/// # Safety
/// `entry` and `result` may be written.
unsafe fn protocol(
    find: impl FnOnce() -> *const protoent,
    entry: *mut protoent,
    len: usize,
    result: *mut *const protoent,
) -> c_int {
    let mutex = PROTOCOLS.0.get();
    // SAFETY: a mutex of musl's. `find` returns null or musl's single entry, which nothing else
    // changes while the mutex is held; the caller allows the two others to be written.
    unsafe {
        *result = ptr::null();
        if len < size_of::<*const c_char>() {
            return libc::ERANGE;
        }
        libc::pthread_mutex_lock(mutex);
        let found = find();
        if !found.is_null() {
            entry.copy_from_nonoverlapping(found, 1);
            *result = entry;
        }
        libc::pthread_mutex_unlock(mutex);
    }
    0
}

/// `arc4random_buf`: random bytes. Never blocks.
///
/// # Safety
/// The `len` bytes at `to` may be written.
unsafe extern "C" fn random_buf(to: *mut u8, len: usize) {
    let mut done = 0;
    while done < len {
        // SAFETY: the rest of the bytes that the caller allows to be written.
        let count = unsafe { libc::getrandom(to.add(done).cast(), len - done, 0) };
        match usize::try_from(count) {
            Ok(count) if count > 0 => done += count,
            _ => panic!("arc4random: this machine gives no random bytes"),
        }
    }
}

/// `arc4random`.
extern "C" fn random() -> u32 {
    let mut bytes = [0; 4];
    // SAFETY: an array of this length.
    unsafe { random_buf(bytes.as_mut_ptr(), bytes.len()) };
    u32::from_ne_bytes(bytes)
}

/// `arc4random_uniform`: a uniform number below `bound`; 0 if that is at most 1.
extern "C" fn random_uniform(bound: u32) -> u32 {
    if bound <= 1 {
        return 0;
    }
    // The largest multiple of the bound: numbers from there on would favour small remainders.
    let surplus = (u32::MAX % bound + 1) % bound;
    loop {
        let number = random();
        if number <= u32::MAX - surplus {
            return number % bound;
        }
    }
}

/// `gnu_dev_major`, of which glibc's `major` is a macro.
extern "C" fn major(device: dev_t) -> c_uint {
    libc::major(device)
}

/// `gnu_dev_minor`.
extern "C" fn minor(device: dev_t) -> c_uint {
    libc::minor(device)
}

/// `gnu_dev_makedev`.
extern "C" fn makedev(major: c_uint, minor: c_uint) -> dev_t {
    libc::makedev(major, minor)
}

/// `gnu_get_libc_version`: the version whose names are defined here. Libraries check whether it is
/// recent enough.
extern "C" fn version() -> *const c_char {
    const VERSION: &CStr = c"2.41";
    VERSION.as_ptr()
}

/// `gnu_get_libc_release`.
extern "C" fn release() -> *const c_char {
    const RELEASE: &CStr = c"stable";
    RELEASE.as_ptr()
}

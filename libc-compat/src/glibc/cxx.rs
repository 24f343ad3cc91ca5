//! glibc's names that GCC's C++ library and unwinder need: both are built for glibc, and an image
//! links the distribution's.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use libc::{pthread_cond_t, pthread_key_t, pthread_mutex_t, pthread_rwlock_t, timespec};

unsafe extern "C" {
    fn pthread_rwlock_timedrdlock(lock: *mut pthread_rwlock_t, until: *const timespec) -> c_int;
    fn pthread_rwlock_timedwrlock(lock: *mut pthread_rwlock_t, until: *const timespec) -> c_int;
    safe fn __ctype_b_loc() -> &'static *mut u16;
    safe fn __ctype_tolower_loc() -> &'static *mut i32;
    safe fn __ctype_toupper_loc() -> &'static *mut i32;

    /// The image, and its table of frames (`tools/src/link/image.ld`), which is empty in programs
    /// without C++.
    static soil_image_start: u8;
    static soil_image_end: u8;
    static soil_unwinding_start: u8;
    static soil_unwinding_end: u8;
}

defined! {
    "_dl_find_object" = find_object, "__cxa_thread_atexit_impl" = at_thread_exit,
    // With `--wrap` (tools/src/link.rs): musl's own have no room for the tables of characters.
    "__wrap___newlocale" = new_locale, "__wrap___duplocale" = duplicate_locale,
    "__wrap___freelocale" = free_locale,
    "pthread_cond_clockwait" = wait_on_condition, "pthread_mutex_clocklock" = lock_mutex,
    "pthread_rwlock_clockrdlock" = lock_to_read, "pthread_rwlock_clockwrlock" = lock_to_write,
}

// `char __libc_single_threaded`: false, so that reference counts are always atomic.
core::arch::global_asm!(
    ".pushsection .rodata.compat.__libc_single_threaded,\"a\",@progbits",
    ".globl __libc_single_threaded",
    ".type __libc_single_threaded, @object",
    ".size __libc_single_threaded, 1",
    "__libc_single_threaded: .byte 0",
    ".popsection",
);

/// `struct dl_find_object` of <dlfcn.h>, on processors without `dlfo_eh_dbase`.
#[repr(C)]
struct FoundObject {
    flags: u64,
    start: *const u8,
    end: *const u8,
    link_map: *const c_void,
    frames: *const u8,
    reserved: [u64; 7],
}

/// `_dl_find_object`: 0 and the table of frames for an address in a C++ program, else -1.
///
/// # Safety
/// `found` may be written.
unsafe extern "C" fn find_object(address: *const u8, found: *mut FoundObject) -> c_int {
    let (start, end) = (&raw const soil_image_start, &raw const soil_image_end);
    let frames = &raw const soil_unwinding_start;
    if frames == &raw const soil_unwinding_end || !(start..end).contains(&address) {
        return -1;
    }
    // SAFETY: the caller allows it.
    unsafe {
        found.write(FoundObject {
            flags: 0,
            start,
            end,
            link_map: ptr::null(),
            frames,
            reserved: [0; 7],
        });
    }
    0
}

/// A destructor of a `thread_local` object, in a list of its thread, the last one first.
struct Destructor {
    run: unsafe extern "C" fn(*mut c_void),
    object: *mut c_void,
    next: *mut Destructor,
}

/// The number plus 1 of the key of each thread's list; 0 before the first destructor.
static KEY: AtomicU32 = AtomicU32::new(0);

/// Returns the key, creating it at the first call; `None` without memory or free keys.
fn key() -> Option<pthread_key_t> {
    // Relaxed: the C library's table of keys has a lock of its own.
    if let Some(key) = KEY.load(Ordering::Relaxed).checked_sub(1) {
        return Some(key);
    }
    let mut new = 0;
    // SAFETY: the number is the C library's to write; the key is deleted unless `KEY` has it.
    unsafe {
        // A thread runs its destructors at its end, but the first one ends with the process.
        if libc::pthread_key_create(&mut new, Some(run_destructors)) != 0 {
            return None;
        }
        match KEY.compare_exchange(0, new + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                libc::atexit(run_destructors_at_exit);
                Some(new)
            }
            Err(other) => {
                libc::pthread_key_delete(new);
                Some(other - 1)
            }
        }
    }
}

/// `__cxa_thread_atexit_impl`: registers the destructor of a `thread_local` object; -1 without
/// memory. Source: Itanium C++ ABI, 3.3.5.3, by thread.
///
/// # Safety
/// `run` may be called with `object` at the end of this thread.
unsafe extern "C" fn at_thread_exit(
    run: unsafe extern "C" fn(*mut c_void),
    object: *mut c_void,
    _library: *mut c_void,
) -> c_int {
    let Some(key) = key() else { return -1 };
    // SAFETY: the new node is written before it becomes the head of this thread's list.
    unsafe {
        let node = libc::malloc(size_of::<Destructor>()).cast::<Destructor>();
        if node.is_null() {
            return -1;
        }
        let next = libc::pthread_getspecific(key).cast();
        node.write(Destructor { run, object, next });
        match libc::pthread_setspecific(key, node.cast()) {
            0 => 0,
            _ => {
                libc::free(node.cast());
                -1
            }
        }
    }
}

/// Runs a thread's destructors, and those that they register.
///
/// # Safety
/// `list` is this thread's list, which nothing else refers to.
unsafe extern "C" fn run_destructors(list: *mut c_void) {
    let Some(key) = key() else { return };
    let mut node = list.cast::<Destructor>();
    while !node.is_null() {
        // SAFETY: a node of the list, which is taken out before its destructor may register more.
        unsafe {
            let Destructor { run, object, next } = node.read();
            libc::pthread_setspecific(key, next.cast());
            libc::free(node.cast());
            run(object);
            node = libc::pthread_getspecific(key).cast();
        }
    }
}

/// Runs the destructors of the thread that ends the program.
extern "C" fn run_destructors_at_exit() {
    if let Some(key) = key() {
        // SAFETY: this thread's own list.
        unsafe { run_destructors(libc::pthread_getspecific(key)) }
    }
}

/// glibc's `struct __locale_struct`, whose tables of characters libstdc++ reads. musl's functions
/// read the first words as theirs: null is the locale "C".
#[repr(C)]
struct Locale {
    categories: [*const c_void; 13],
    classes: AtomicPtr<u16>,
    to_lower: AtomicPtr<i32>,
    to_upper: AtomicPtr<i32>,
    names: [*const c_char; 13],
}

// SAFETY: all but the atomics is constant, and so is what the pointers refer to.
unsafe impl Sync for Locale {}

/// The locale "C".
static CLASSIC: Locale = Locale {
    categories: [ptr::null(); 13],
    classes: AtomicPtr::new(ptr::null_mut()),
    to_lower: AtomicPtr::new(ptr::null_mut()),
    to_upper: AtomicPtr::new(ptr::null_mut()),
    names: [c"C".as_ptr(); 13],
};

/// `__newlocale`: the locale "C", also as "POSIX" and as the default ("" without variables of the
/// environment), else null with ENOENT.
///
/// # Safety
/// `name` is a string.
unsafe extern "C" fn new_locale(
    _categories: c_int,
    name: *const c_char,
    _base: *const Locale,
) -> *const Locale {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    if ![c"C", c"POSIX", c""].contains(&name) {
        // SAFETY: this thread's number.
        unsafe { *libc::__errno_location() = libc::ENOENT };
        return ptr::null();
    }
    // Relaxed: musl's tables are constant, and each call stores the same addresses.
    CLASSIC
        .to_lower
        .store(*__ctype_tolower_loc(), Ordering::Relaxed);
    CLASSIC
        .to_upper
        .store(*__ctype_toupper_loc(), Ordering::Relaxed);
    CLASSIC.classes.store(*__ctype_b_loc(), Ordering::Relaxed);
    &CLASSIC
}

/// `__duplocale`: the only locale.
extern "C" fn duplicate_locale(locale: *const Locale) -> *const Locale {
    locale
}

/// `__freelocale`.
extern "C" fn free_locale(_locale: *const Locale) {}

const SECOND_NS: i64 = 1_000_000_000;

/// A time in nanoseconds, at most what fits.
fn nanoseconds(time: &timespec) -> i64 {
    let seconds = time.tv_sec.saturating_mul(SECOND_NS);
    seconds.saturating_add(time.tv_nsec)
}

/// The time of a clock in nanoseconds, `None` for an unknown one.
fn now(clock: c_int) -> Option<i64> {
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a structure of this type.
    let known = unsafe { libc::clock_gettime(clock, &mut time) } == 0;
    known.then(|| nanoseconds(&time))
}

/// Waits until a time of `clock` by a function that takes one of `CLOCK_REALTIME`, and returns its
/// result. A step of that clock ends no wait early.
///
/// # Safety
/// `until` is a time.
unsafe fn wait_until(
    clock: c_int,
    until: *const timespec,
    wait: impl Fn(&timespec) -> c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let until = unsafe { &*until };
    if clock == libc::CLOCK_REALTIME || !(0..SECOND_NS).contains(&until.tv_nsec) {
        return wait(until);
    }
    let end = nanoseconds(until);
    loop {
        let (Some(now_there), Some(now_here)) = (now(clock), now(libc::CLOCK_REALTIME)) else {
            return libc::EINVAL;
        };
        let end_here = now_here.saturating_add(end.saturating_sub(now_there));
        let result = wait(&timespec {
            tv_sec: end_here.div_euclid(SECOND_NS),
            tv_nsec: end_here.rem_euclid(SECOND_NS),
        });
        if result != libc::ETIMEDOUT || now(clock).is_none_or(|now| now >= end) {
            return result;
        }
    }
}

/// Functions that take a clock besides the time, by musl's that know `CLOCK_REALTIME` only.
macro_rules! by_clock {
    ($($name:ident($($object:ident: $type:ty),+) = $timed:path;)*) => {$(
        /// # Safety
        /// As of the function of musl's.
        unsafe extern "C" fn $name(
            $($object: *mut $type,)+
            clock: c_int,
            until: *const timespec,
        ) -> c_int {
            // SAFETY: the caller's promises.
            unsafe { wait_until(clock, until, |until| $timed($($object,)+ until)) }
        }
    )*};
}

by_clock! {
    // For a condition with the default clock, as `std::condition_variable` has it.
    wait_on_condition(condition: pthread_cond_t, mutex: pthread_mutex_t)
        = libc::pthread_cond_timedwait;
    lock_mutex(mutex: pthread_mutex_t) = libc::pthread_mutex_timedlock;
    lock_to_read(lock: pthread_rwlock_t) = pthread_rwlock_timedrdlock;
    lock_to_write(lock: pthread_rwlock_t) = pthread_rwlock_timedwrlock;
}

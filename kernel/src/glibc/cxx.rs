//! glibc's names that GCC's C++ library and unwinder need: both are built for glibc, and an image
//! links the distribution's.

use super::types::{Mutex, Timespec};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;

/// Linux's `ENOENT`: no such locale.
const ENOENT: c_int = 2;
/// Linux's `EINVAL`.
const EINVAL: c_int = 22;
/// Linux's `ETIMEDOUT`.
const ETIMEDOUT: c_int = 110;
/// Linux's `CLOCK_REALTIME`.
const REALTIME: c_int = 0;

unsafe extern "C" {
    fn __ctype_b_loc() -> *const *const u16;
    fn __ctype_tolower_loc() -> *const *const i32;
    fn __ctype_toupper_loc() -> *const *const i32;
    fn __errno_location() -> *mut c_int;
    fn atexit(function: extern "C" fn()) -> c_int;
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    fn free(block: *mut c_void);
    fn malloc(len: usize) -> *mut c_void;
    fn pthread_cond_timedwait(
        condition: *mut c_void,
        mutex: *mut c_void,
        until: *const Timespec,
    ) -> c_int;
    fn pthread_getspecific(key: u32) -> *mut c_void;
    fn pthread_key_create(key: *mut u32, end: unsafe extern "C" fn(*mut c_void)) -> c_int;
    fn pthread_mutex_lock(mutex: *mut c_void) -> c_int;
    fn pthread_mutex_timedlock(mutex: *mut c_void, until: *const Timespec) -> c_int;
    fn pthread_mutex_unlock(mutex: *mut c_void) -> c_int;
    fn pthread_rwlock_timedrdlock(lock: *mut c_void, until: *const Timespec) -> c_int;
    fn pthread_rwlock_timedwrlock(lock: *mut c_void, until: *const Timespec) -> c_int;
    fn pthread_setspecific(key: u32, value: *const c_void) -> c_int;
    fn strcmp(a: *const c_char, b: *const c_char) -> c_int;

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

/// The key of each thread's list, once it is created.
struct Key(UnsafeCell<Option<u32>>);

// SAFETY: accessed with `CREATING` locked only.
unsafe impl Sync for Key {}

static KEY: Key = Key(UnsafeCell::new(None));
static CREATING: Mutex = Mutex::new();

/// Returns the key, creating it at the first call; `None` without memory or free keys.
fn key() -> Option<u32> {
    // SAFETY: a mutex of musl's guards the cell. A key lasts.
    unsafe {
        pthread_mutex_lock(CREATING.get());
        let key = KEY.0.get();
        if (*key).is_none() {
            let mut new = 0;
            // A thread runs its destructors at its end, but the first one ends with the process.
            if pthread_key_create(&mut new, run_destructors) == 0 {
                *key = Some(new);
                atexit(run_destructors_at_exit);
            }
        }
        let key = *key;
        pthread_mutex_unlock(CREATING.get());
        key
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
        let node = malloc(size_of::<Destructor>()).cast::<Destructor>();
        if node.is_null() {
            return -1;
        }
        let next = pthread_getspecific(key).cast();
        node.write(Destructor { run, object, next });
        match pthread_setspecific(key, node.cast()) {
            0 => 0,
            _ => {
                free(node.cast());
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
            pthread_setspecific(key, next.cast());
            free(node.cast());
            run(object);
            node = pthread_getspecific(key).cast();
        }
    }
}

/// Runs the destructors of the thread that ends the program.
extern "C" fn run_destructors_at_exit() {
    if let Some(key) = key() {
        // SAFETY: this thread's own list.
        unsafe { run_destructors(pthread_getspecific(key)) }
    }
}

/// glibc's `struct __locale_struct`, whose tables of characters libstdc++ reads. musl's functions
/// read the first words as theirs: null is the locale "C".
#[repr(C)]
struct Locale {
    categories: [*const c_void; 13],
    classes: *const u16,
    to_lower: *const i32,
    to_upper: *const i32,
    names: [*const c_char; 13],
}

/// The locale "C".
struct ClassicLocale(UnsafeCell<Locale>);

// SAFETY: written with `WRITING` locked, always with the same values, and otherwise only read.
unsafe impl Sync for ClassicLocale {}

static CLASSIC: ClassicLocale = ClassicLocale(UnsafeCell::new(Locale {
    categories: [ptr::null(); 13],
    classes: ptr::null(),
    to_lower: ptr::null(),
    to_upper: ptr::null(),
    names: [c"C".as_ptr(); 13],
}));
static WRITING: Mutex = Mutex::new();

/// `__newlocale`: the locale "C", also as "POSIX" and as the default ("" without variables of the
/// environment), else null with ENOENT.
///
/// # Safety
/// `name` is a string.
unsafe extern "C" fn new_locale(
    _categories: c_int,
    name: *const c_char,
    _base: *mut Locale,
) -> *mut Locale {
    let is = |other: &CStr| {
        // SAFETY: both are strings.
        unsafe { strcmp(name, other.as_ptr()) == 0 }
    };
    // SAFETY: musl's tables are constant; the mutex guards the writes.
    unsafe {
        if !(is(c"C") || is(c"POSIX") || is(c"")) {
            *__errno_location() = ENOENT;
            return ptr::null_mut();
        }
        let locale = CLASSIC.0.get();
        pthread_mutex_lock(WRITING.get());
        if (*locale).classes.is_null() {
            (*locale).to_lower = *__ctype_tolower_loc();
            (*locale).to_upper = *__ctype_toupper_loc();
            (*locale).classes = *__ctype_b_loc();
        }
        pthread_mutex_unlock(WRITING.get());
        locale
    }
}

/// `__duplocale`: the only locale.
extern "C" fn duplicate_locale(locale: *mut Locale) -> *mut Locale {
    locale
}

/// `__freelocale`.
extern "C" fn free_locale(_locale: *mut Locale) {}

/// The time of a clock in nanoseconds, `None` for an unknown one.
fn now(clock: c_int) -> Option<i64> {
    let mut time = Timespec::default();
    // SAFETY: a structure of this type.
    let known = unsafe { clock_gettime(clock, &mut time) } == 0;
    known.then(|| time.nanoseconds())
}

/// Waits until a time of `clock` by a function that takes one of `CLOCK_REALTIME`, and returns its
/// result. A step of that clock ends no wait early.
///
/// # Safety
/// `until` is a time.
unsafe fn wait_until(
    clock: c_int,
    until: *const Timespec,
    wait: impl Fn(&Timespec) -> c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let until = unsafe { &*until };
    if clock == REALTIME || !until.is_valid() {
        return wait(until);
    }
    loop {
        let (Some(now_there), Some(now_here)) = (now(clock), now(REALTIME)) else {
            return EINVAL;
        };
        let rest = until.nanoseconds().saturating_sub(now_there);
        let result = wait(&Timespec::from_nanoseconds(now_here.saturating_add(rest)));
        let early = || now(clock).is_some_and(|now| now < until.nanoseconds());
        if result != ETIMEDOUT || !early() {
            return result;
        }
    }
}

/// `pthread_cond_clockwait`, for a condition with the default clock, as `std::condition_variable`
/// has it.
///
/// # Safety
/// As of `pthread_cond_timedwait`.
unsafe extern "C" fn wait_on_condition(
    condition: *mut c_void,
    mutex: *mut c_void,
    clock: c_int,
    until: *const Timespec,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        wait_until(clock, until, |until| {
            pthread_cond_timedwait(condition, mutex, until)
        })
    }
}

/// `pthread_mutex_clocklock`.
///
/// # Safety
/// As of `pthread_mutex_timedlock`.
unsafe extern "C" fn lock_mutex(mutex: *mut c_void, clock: c_int, until: *const Timespec) -> c_int {
    // SAFETY: the caller's promises.
    unsafe { wait_until(clock, until, |until| pthread_mutex_timedlock(mutex, until)) }
}

/// `pthread_rwlock_clockrdlock`.
///
/// # Safety
/// As of `pthread_rwlock_timedrdlock`.
unsafe extern "C" fn lock_to_read(
    lock: *mut c_void,
    clock: c_int,
    until: *const Timespec,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        wait_until(clock, until, |until| {
            pthread_rwlock_timedrdlock(lock, until)
        })
    }
}

/// `pthread_rwlock_clockwrlock`.
///
/// # Safety
/// As of `pthread_rwlock_timedwrlock`.
unsafe extern "C" fn lock_to_write(
    lock: *mut c_void,
    clock: c_int,
    until: *const Timespec,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        wait_until(clock, until, |until| {
            pthread_rwlock_timedwrlock(lock, until)
        })
    }
}

//! A cache of freed blocks in front of the C library's `malloc`, for each processor.
//!
//! musl's `malloc` has one lock, and returns each block of 128 KiB or more to the kernel, which
//! makes all processors forget its pages. OCaml takes each block above 1 KiB from it. The link
//! driver redirects the program's `malloc`, `calloc` and `free` to this module
//! (`tools/src/link.rs`), which leaves them to musl's until several processors run.
//!
//! All blocks are musl's. Those that a cache may keep have the size of a [`SizeClass`], which musl
//! records. So all other functions of the C library work on them.
//!
//! A thread that uses a cache may be pre-empted, or interrupted by a handler of a signal. Others of
//! its processor use musl's functions meanwhile: nothing waits for a cache.

use crate::free_lists::{FreeLists, SizeClass, may_be_kept};
use alloc::vec::Vec;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use kernel::processors::{available, count, number};
use kernel::{console, memory};
use spin::mutex::SpinMutex;

unsafe extern "C" {
    fn __real_malloc(size: usize) -> *mut u8;
    fn __real_calloc(count: usize, size: usize) -> *mut u8;
    fn __real_free(block: *mut u8);
    fn malloc_usable_size(block: *mut u8) -> usize;
    safe fn abort() -> !;
}

/// All caches keep at most this part of the machine's memory.
const PART: usize = 8;
/// A cache keeps no block of more than this part of its room.
const OF_ROOM: usize = 4;

type Cache = SpinMutex<FreeLists>;

/// The first of [`COUNT`] caches, which stay; null while there are none. Written once.
static CACHES: AtomicPtr<Cache> = AtomicPtr::new(null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// See [`room`]; 0 while there are none.
static ROOM: AtomicUsize = AtomicUsize::new(0);

/// How many bytes each cache may keep; 0 while one processor runs.
fn room() -> usize {
    match ROOM.load(Ordering::Relaxed) {
        0 if count() > 1 => begin(),
        room => room,
    }
}

/// Each of the running processors uses a cache from now on, if there is memory for them. Returns
/// the room of each; 0 if there is none, or not yet.
#[cold]
fn begin() -> usize {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    // Some may still be starting.
    let processors = available().max(count());
    let mut caches = Vec::new();
    if BEGUN.load(Ordering::Relaxed)
        || BEGUN.swap(true, Ordering::Relaxed)
        || caches.try_reserve_exact(processors).is_err()
    {
        return 0;
    }
    caches.resize_with(processors, || SpinMutex::new(FreeLists::new()));
    let caches: &'static mut [Cache] = caches.leak();
    COUNT.store(caches.len(), Ordering::Relaxed);
    // Release: who finds them finds their number, and empty lists.
    CACHES.store(caches.as_mut_ptr(), Ordering::Release);
    let total = memory::statistics().total as usize;
    let room = total / PART / processors;
    ROOM.store(room, Ordering::Relaxed);
    room
}

fn caches() -> &'static [Cache] {
    // Acquire: pairs with `begin`.
    let first = CACHES.load(Ordering::Acquire);
    match NonNull::new(first) {
        // SAFETY: `begin` has stored so many, which stay.
        Some(first) => unsafe {
            core::slice::from_raw_parts(first.as_ptr(), COUNT.load(Ordering::Relaxed))
        },
        None => &[],
    }
}

/// The class of blocks of `size` bytes that the caches keep.
fn kept(size: usize, class: fn(usize) -> Option<SizeClass>) -> Option<SizeClass> {
    let room = room();
    if room == 0 {
        return None;
    }
    class(size).filter(|class| class.size() <= room / OF_ROOM)
}

/// `malloc`. Source: malloc(3).
#[unsafe(no_mangle)]
extern "C" fn soil_malloc(size: usize) -> *mut u8 {
    let Some(class) = kept(size, SizeClass::of) else {
        return allocate(size);
    };
    let cache = caches().get(number()).and_then(SpinMutex::try_lock);
    match cache.and_then(|mut cache| cache.take(class)) {
        Some(block) => block.as_ptr(),
        None => allocate(class.size()),
    }
}

/// A block of musl's; where memory is short, after the caches have returned theirs.
fn allocate(size: usize) -> *mut u8 {
    // SAFETY: any size is allowed.
    let block = unsafe { __real_malloc(size) };
    if !block.is_null() || ROOM.load(Ordering::Relaxed) == 0 {
        return block;
    }
    let unused = caches().iter().filter_map(SpinMutex::try_lock);
    unused.for_each(|mut cache| shrink(&mut cache, 0));
    // SAFETY: as above.
    unsafe { __real_malloc(size) }
}

/// Returns blocks to musl until a cache keeps no more than `room` bytes.
fn shrink(cache: &mut FreeLists, room: usize) {
    while let Some(block) = cache.give_up(room) {
        // SAFETY: the block came from musl, and isn't in use.
        unsafe { __real_free(block.as_ptr()) };
    }
}

/// `calloc`. Source: calloc(3).
#[unsafe(no_mangle)]
extern "C" fn soil_calloc(count: usize, size: usize) -> *mut u8 {
    let bytes = count.saturating_mul(size);
    if kept(bytes, SizeClass::of).is_none() {
        // musl knows which blocks the kernel has filled with zeros: it gets none of a cache. It
        // refuses an excessive count.
        // SAFETY: any size is allowed.
        return unsafe { __real_calloc(count, size) };
    }
    let block = soil_malloc(bytes);
    if !block.is_null() {
        // SAFETY: the block has so many bytes, and nothing else uses it.
        unsafe { block.write_bytes(0, bytes) };
    }
    block
}

/// `free`. Ends the program if the block is free already, as musl does. Source: free(3).
///
/// # Safety
/// `block` is null, or is one of the C library's allocator that isn't used any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn soil_free(block: *mut u8) {
    let room = ROOM.load(Ordering::Relaxed);
    if let Some(given) = NonNull::new(block).filter(|_| room != 0) {
        // SAFETY: the caller's promise.
        let size = unsafe { malloc_usable_size(block) };
        if let Some(class) = kept(size, SizeClass::exactly) {
            // SAFETY: all classes have 16 bytes or more.
            if unsafe { may_be_kept(given) } {
                check(given, class);
            }
            let cache = caches().get(number()).and_then(SpinMutex::try_lock);
            match cache {
                Some(mut cache) if memory::is_short() => shrink(&mut cache, 0),
                Some(mut cache) => {
                    shrink(&mut cache, room - class.size());
                    // SAFETY: the caller's promise; the block has the size of its class.
                    unsafe { cache.keep(given, class) };
                    return;
                }
                None => {}
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { __real_free(block) }
}

/// Ends the program if a cache has this block.
#[cold]
fn check(block: NonNull<u8>, class: SizeClass) {
    let mut unused = caches().iter().filter_map(SpinMutex::try_lock);
    if unused.any(|cache| cache.has(block, class)) {
        console::line(format_args!(
            "free({block:p}): this block is free already: remove the second free from the C code"
        ));
        abort();
    }
}

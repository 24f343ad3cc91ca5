//! Types of the C library.

use core::cell::UnsafeCell;
use core::ffi::c_void;

/// Words of musl's `pthread_mutex_t` on 64-bit machines; all zero is an unlocked one.
const MUTEX_WORDS: usize = 5;
/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// `pthread_mutex_t`.
#[repr(transparent)]
pub struct Mutex(UnsafeCell<[usize; MUTEX_WORDS]>);

// SAFETY: only the C library's functions access it, which are thread-safe.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// An unlocked mutex.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; MUTEX_WORDS]))
    }

    /// Its address for the C library.
    pub fn get(&self) -> *mut c_void {
        self.0.get().cast()
    }
}

/// `struct timespec`.
#[repr(C)]
#[derive(Default)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Timespec {
    /// The time in nanoseconds, at most what fits.
    pub fn nanoseconds(&self) -> i64 {
        self.seconds
            .saturating_mul(SECOND_NS)
            .saturating_add(self.nanoseconds)
    }

    /// The inverse.
    pub fn from_nanoseconds(time: i64) -> Self {
        Self {
            seconds: time.div_euclid(SECOND_NS),
            nanoseconds: time.rem_euclid(SECOND_NS),
        }
    }

    /// Whether the nanoseconds are less than a second.
    pub fn is_valid(&self) -> bool {
        (0..SECOND_NS).contains(&self.nanoseconds)
    }
}

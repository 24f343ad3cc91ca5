//! A lock whose word says whether threads may wait for it: a release that finds that wakes one.

use sync::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and a thread waits for its release.
const AWAITED: u32 = 2;

/// A word that threads wait for as for a futex.
pub struct Lock(AtomicU32);

impl Lock {
    /// Free.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    /// Whether it was free.
    pub fn is_free(&self) -> bool {
        self.0.load(Ordering::Relaxed) == FREE
    }

    /// Takes it if it is free.
    pub fn take(&self) -> bool {
        // Acquire: what the last holder wrote is seen.
        self.0
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes it if it is free, marked, since others may be waiting; else marks it, for a wait while
    /// [`Lock::word`] stays so.
    pub fn take_or_mark(&self) -> bool {
        // Acquire, as in `take`. The wait compares the word again.
        self.0.swap(AWAITED, Ordering::Acquire) == FREE
    }

    /// The word to wait for, and its value while it is marked.
    pub fn word(&self) -> (&AtomicU32, u32) {
        (&self.0, AWAITED)
    }

    /// The word's address, as that of a futex.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Releases it; returns whether one that waits has to be woken.
    pub fn release(&self) -> bool {
        // Release, for the next holder. One operation reads the mark and frees the lock: who marks
        // it later finds it free.
        self.0.swap(FREE, Ordering::Release) == AWAITED
    }
}

//! A lock whose word says whether threads may wait for it, and which a thread that found it taken
//! again is handed.
//!
//! A release wakes a thread that waits, but leaves the lock free: a thread that makes one call
//! after another takes it back before the woken one comes, without a change of threads for each
//! call. The woken thread then claims the lock: the next release hands it over to one of those that
//! wait, and all others queue.

use crate::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and a thread waits for its release.
const AWAITED: u32 = 2;
/// The same, and a thread was woken for it in vain.
const CLAIMED: u32 = 3;
/// Free for threads that have waited.
const HANDED: u32 = 4;

/// A lock by a word that threads wait for as for a futex.
pub struct Lock(AtomicU32);

impl Lock {
    /// Free.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    /// Whether it is free for all.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.0.load(Ordering::Relaxed) == FREE
    }

    /// Whether a thread waits for its release.
    pub fn is_awaited(&self) -> bool {
        matches!(self.0.load(Ordering::Relaxed), AWAITED | CLAIMED | HANDED)
    }

    /// Takes it if it is free for all.
    #[inline]
    pub fn take(&self) -> bool {
        // Acquire: what the last holder wrote is seen.
        self.0
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes it once it is free, or handed over. `wait` waits while the word has this value, until
    /// a release wakes the thread, or returns early.
    pub fn await_release(&self, mut wait: impl FnMut(&AtomicU32, u32)) {
        let mut woken = false;
        while let Err(value) = self.take_or_mark(woken) {
            wait(&self.0, value);
            woken = true;
        }
    }

    /// Takes it if it is free, or handed over and the thread was `woken` for it; else marks it, and
    /// returns the value of the word to wait for. Taken here it is marked as awaited: others may be
    /// waiting.
    fn take_or_mark(&self, woken: bool) -> Result<(), u32> {
        let mut value = self.0.load(Ordering::Relaxed);
        loop {
            let (next, takes) = match value {
                FREE => (AWAITED, true),
                HANDED if woken => (AWAITED, true),
                HANDED | CLAIMED => return Err(value),
                _ if woken => (CLAIMED, false),
                AWAITED => return Err(value),
                _ => (AWAITED, false),
            };
            // Acquire, as in `take`.
            match { &self.0 }.compare_exchange(value, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if takes => return Ok(()),
                Ok(_) => return Err(next),
                Err(found) => value = found,
            }
        }
    }

    /// Releases it, and wakes by `wake` a thread that waits for the word, or all, if there may be
    /// any.
    #[inline]
    pub fn release(&self, wake: impl FnOnce(&AtomicU32)) {
        // Release, for the next holder.
        if { &self.0 }
            .compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.release_awaited();
            wake(&self.0);
        }
    }

    /// Only marks change the word meanwhile.
    #[cold]
    fn release_awaited(&self) {
        let mut value = self.0.load(Ordering::Relaxed);
        loop {
            // One operation reads the mark and frees the lock: a thread that marks it later finds
            // it free.
            let next = if value == CLAIMED { HANDED } else { FREE };
            // Release, as above.
            match { &self.0 }.compare_exchange(value, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => value = found,
            }
        }
    }
}

//! A device, or its state, that calls of the runtime use under the runtime's lock, and the wait
//! without it.
//!
//! The wait only looks at it, with interrupts disabled. On one processor nothing else runs
//! meanwhile, and a plain mark tells the wait that a call of another thread was interrupted in its
//! use. Where several processors run, the mark is a lock for which a call waits; the wait never
//! does.

use crate::smp::{is_smp, relax};
use core::ops::{Deref, DerefMut};
use sync::atomic::{AtomicBool, Ordering};
use sync::cell::UnsafeCell;

/// A value with one user at a time.
pub struct Guarded<T> {
    used: AtomicBool,
    value: UnsafeCell<T>,
}

/// The use of a value.
pub struct Guard<'a, T>(&'a Guarded<T>);

impl<T> Guarded<T> {
    /// A value that is not in use.
    pub const fn new(value: T) -> Self {
        Self {
            used: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Uses the value in a call of the runtime, once the wait doesn't.
    ///
    /// # Panics
    /// On one processor, if it is in use.
    pub fn lock(&self) -> Guard<'_, T> {
        while !self.take() {
            assert!(is_smp(), "a device is used within its use");
            relax();
        }
        Guard(self)
    }

    /// Uses the value unless it is in use.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.take().then(|| Guard(self))
    }

    #[inline(always)]
    fn take(&self) -> bool {
        if is_smp() {
            // Acquire: what the last user wrote is seen.
            let taken =
                self.used
                    .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            return taken.is_ok();
        }
        let free = !self.used.load(Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        free
    }
}

impl<T: Default> Default for Guarded<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mark admits one guard at a time.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // Release: pairs with the next user's acquisition.
        self.0.used.store(false, Ordering::Release);
    }
}

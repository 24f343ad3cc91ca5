//! A cell that checks that one piece of code at a time uses its value.
//!
//! The rules of each static say from where it may be used; [`ExclusiveCell`] checks them. One
//! processor runs the image, and interrupts keep away from what the interrupted code may be using
//! ([`crate::wait::start_ticks`]), so a value that is found in use is a bug: the kernel stops with
//! a report rather than corrupt the value. On several processors the same flag would be a spin
//! lock.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that one piece of code at a time may change, through [`ExclusiveCell::with`].
pub struct ExclusiveCell<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `busy` lets one holder at a time reach `value`, whichever processor it runs on.
unsafe impl<T: Send> Sync for ExclusiveCell<T> {}

impl<T> ExclusiveCell<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self {
            busy: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` on the value.
    ///
    /// # Panics
    /// When the value is in use already: `f` of an outer call led here, or was interrupted.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        match self.try_with(f) {
            Some(result) => result,
            None => in_use(),
        }
    }

    /// Runs `f` on the value, or returns `None` when the value is in use.
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: the flag was clear and is now set, so no other reference to the value exists
        // until it is cleared below.
        let result = f(unsafe { &mut *self.value.get() });
        self.busy.store(false, Ordering::Release);
        Some(result)
    }
}

/// Outlined from [`ExclusiveCell::with`], which is monomorphized for each use.
#[cold]
#[inline(never)]
fn in_use() -> ! {
    panic!("a kernel structure was used while it was being changed")
}

#[cfg(test)]
mod tests {
    use super::ExclusiveCell;

    #[test]
    fn refuses_a_second_holder() {
        let cell = ExclusiveCell::new(1);
        cell.with(|value| {
            *value = 2;
            assert_eq!(cell.try_with(|_| ()), None);
        });
        assert_eq!(cell.try_with(|value| *value), Some(2));
    }
}

//! A value with one owner at a time, checked.
//!
//! One processor runs the image, and what comes by an interrupt keeps away from values that the
//! interrupted code may use ([`crate::wait::start_ticks`]), so nothing may find a value in use:
//! when it does, that is a fault in the kernel and it stops with a report rather than corrupt the
//! value. A second processor would turn the refusal into waiting, which is why the flag is atomic
//! already.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that one piece of code at a time may change, through [`Exclusive::with`].
pub struct Exclusive<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `busy` lets one holder at a time reach `value`, whichever processor it runs on.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
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
    /// When the value is in use already, that is when `f` of an outer call led here.
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

/// Apart from [`Exclusive::with`], of which there is one for each use.
#[cold]
#[inline(never)]
fn in_use() -> ! {
    panic!("a kernel structure was used while it was being changed")
}

#[cfg(test)]
mod tests {
    use super::Exclusive;

    #[test]
    fn refuses_a_second_holder() {
        let cell = Exclusive::new(1);
        cell.with(|value| {
            *value = 2;
            assert_eq!(cell.try_with(|_| ()), None);
        });
        assert_eq!(cell.try_with(|value| *value), Some(2));
    }
}

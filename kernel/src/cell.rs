//! A cell that checks that its value has one user at a time.
//!
//! The documentation of each static says which contexts may use it; [`ExclusiveCell`] checks that.
//! One processor runs the image, interrupts don't touch what the interrupted code may be using
//! ([`crate::wait::start_ticks`]), and no other thread runs while a cell is in use, so a value
//! found in use is a bug: the kernel stops with a report rather than corrupt the value. On several
//! processors the same flag would be a spin lock.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence};

/// Number of cells in use. Changed without atomic operations: an interrupt leaves the number as it
/// was.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Whether a cell is in use: no other thread may run then.
pub fn any_in_use() -> bool {
    IN_USE.load(Ordering::Relaxed) != 0
}

/// Takes the cell of `busy`; false if it is in use.
fn take(busy: &AtomicBool) -> bool {
    // First: an interrupt in between sees that a cell may be in use. The interrupt is this
    // processor's, which sees its own stores in order: only the compiler could exchange them.
    count(1);
    compiler_fence(Ordering::SeqCst);
    // Acquire: what the last user wrote is seen.
    let taken = !busy.swap(true, Ordering::Acquire);
    if !taken {
        count(-1);
    }
    taken
}

fn release(busy: &AtomicBool) {
    // Release: pairs with the next user's acquisition.
    busy.store(false, Ordering::Release);
    compiler_fence(Ordering::SeqCst);
    count(-1);
}

fn count(by: isize) {
    let number = IN_USE.load(Ordering::Relaxed).wrapping_add_signed(by);
    IN_USE.store(number, Ordering::Relaxed);
}

/// A value with one user at a time, through [`ExclusiveCell::with`].
pub struct ExclusiveCell<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `busy` admits one user of `value` at a time, on any processor.
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
    /// When the value is already in use: `f` of an outer call led here, or was interrupted.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        match self.try_with(f) {
            Some(result) => result,
            None => in_use(),
        }
    }

    /// Runs `f` on the value, or returns `None` when the value is in use.
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !take(&self.busy) {
            return None;
        }
        // SAFETY: the flag was clear and is now set, so no other reference to the value exists
        // until it is cleared below.
        let result = f(unsafe { &mut *self.value.get() });
        release(&self.busy);
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

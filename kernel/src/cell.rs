//! A cell whose value has one user at a time: a spin lock between processors, a check on each.
//!
//! The documentation of each static says which contexts may use it; [`ExclusiveCell`] checks that.
//! On one processor, interrupts don't touch what the interrupted code may be using
//! ([`crate::wait::start_ticks`]), and no other thread runs while a cell is in use, so a value that
//! the processor finds in its own use is a bug: the kernel stops with a report rather than corrupt
//! the value. A value in use by another processor is waited for. The lock is unfair: with turns,
//! all would wait for a virtual processor that its host doesn't run.

use crate::arch::local;
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU8, Ordering};

/// Nobody uses the cell.
const FREE: u8 = 0;

/// Whether this processor uses a cell: no other thread may run on it then.
pub fn any_in_use() -> bool {
    local::cells() != 0
}

/// Takes the cell of `user`, which has the number of the processor that uses it plus 1; false if
/// it is in use.
fn try_take(user: &AtomicU8) -> bool {
    // First: an interrupt in between sees that a cell may be in use. The interrupt is this
    // processor's, which sees its own stores in order.
    local::enter();
    let taken = exchange(user);
    if !taken {
        local::leave();
    }
    taken
}

/// As [`try_take`], once no other processor uses the cell; false if this one does.
fn take(user: &AtomicU8) -> bool {
    local::enter();
    exchange(user) || take_later(user)
}

/// Takes the cell if it is free.
fn exchange(user: &AtomicU8) -> bool {
    // Acquire: what the last user wrote is seen.
    user.compare_exchange(FREE, local::owner(), Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Takes the cell of `user` once another processor has released it; false if it is this one's.
#[cold]
#[inline(never)]
fn take_later(user: &AtomicU8) -> bool {
    let own = local::owner();
    loop {
        // Reads until it may succeed: an exchange takes the memory from the one that releases.
        match user.load(Ordering::Relaxed) {
            FREE if exchange(user) => return true,
            number if number == own => {
                local::leave();
                return false;
            }
            _ => spin_loop(),
        }
    }
}

fn release(user: &AtomicU8) {
    // Release: pairs with the next user's acquisition.
    user.store(FREE, Ordering::Release);
    local::leave();
}

/// A value with one user at a time, through [`ExclusiveCell::with`].
pub struct ExclusiveCell<T> {
    user: AtomicU8,
    value: UnsafeCell<T>,
}

// SAFETY: `user` admits one user of `value` at a time, on any processor.
unsafe impl<T: Send> Sync for ExclusiveCell<T> {}

impl<T> ExclusiveCell<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self {
            user: AtomicU8::new(FREE),
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` on the value, once no other processor uses it.
    ///
    /// # Panics
    /// When this processor already uses the value: `f` of an outer call led here, or was
    /// interrupted.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        match self.with_unless_own(f) {
            Some(result) => result,
            None => in_use(),
        }
    }

    /// Runs `f` on the value, once no other processor uses it; `None` when this one does.
    pub fn with_unless_own<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        // SAFETY: just taken.
        take(&self.user).then(|| unsafe { self.run(f) })
    }

    /// Runs `f` on the value, or returns `None` when it is in use. Never waits: a processor that
    /// was stopped doesn't release its cells.
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        // SAFETY: just taken.
        try_take(&self.user).then(|| unsafe { self.run(f) })
    }

    /// Runs `f` on the value, then releases the cell.
    ///
    /// # Safety
    /// This processor has taken the cell.
    unsafe fn run<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: nobody used the value, and the processor's number is there now, so no other
        // reference to it exists until the release below.
        let result = f(unsafe { &mut *self.value.get() });
        release(&self.user);
        result
    }

    /// As [`ExclusiveCell::with`], where `f` switches to another thread of this processor, which
    /// ends the use of the value: in its own `hand_over`, whose switch led away from it, or with
    /// [`ExclusiveCell::take_over`]. After the switch `f` has the value as that of the thread that
    /// switched back.
    ///
    /// # Panics
    /// As [`ExclusiveCell::with`].
    ///
    /// # Safety
    /// `f` keeps no reference to the value over the switch.
    pub unsafe fn hand_over(&self, f: impl FnOnce(*mut T)) {
        if !take(&self.user) {
            in_use();
        }
        f(self.value.get());
        release(&self.user);
    }

    /// Runs `f` on the value, and ends the use of it that [`ExclusiveCell::hand_over`] began in the
    /// thread that switched to this one.
    ///
    /// # Safety
    /// The thread is new, and nothing but that use is in progress.
    pub unsafe fn take_over(&self, f: impl FnOnce(&mut T)) {
        // SAFETY: the caller's promise: this processor has taken the cell, for this thread.
        f(unsafe { &mut *self.value.get() });
        release(&self.user);
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
    use super::{ExclusiveCell, any_in_use};

    #[test]
    fn another_processor_waits() {
        static CELL: ExclusiveCell<(u32, u32)> = ExclusiveCell::new((0, 0));
        let add = || {
            for _ in 0..100 {
                CELL.with(|(first, second)| {
                    *first += 1;
                    std::thread::yield_now();
                    *second = *first;
                });
                assert!(!any_in_use());
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(add);
            }
        });
        assert_eq!(CELL.try_with(|value| *value), Some((300, 300)));
    }

    #[test]
    fn refuses_a_second_holder() {
        let cell = ExclusiveCell::new(1);
        cell.with(|value| {
            *value = 2;
            assert_eq!(cell.try_with(|_| ()), None);
        });
        assert_eq!(cell.try_with(|value| *value), Some(2));
    }

    #[test]
    fn a_use_passes_from_thread_to_thread() {
        let cell = ExclusiveCell::new(1);
        // Ends in another thread, as that one's does here.
        let switch = |value: *mut i32| {
            // SAFETY: the value is in use by `switch` only.
            unsafe { *value += 1 };
            assert_eq!(cell.try_with(|_| ()), None);
            let switch_back = |value: &mut i32| *value += 1;
            // SAFETY: this stands for a new thread.
            unsafe { cell.take_over(switch_back) };
            assert_eq!(cell.try_with(|value| *value), Some(3));
            assert!(super::take(&cell.user), "another thread switches back");
        };
        // SAFETY: no reference is kept.
        unsafe { cell.hand_over(switch) };
        assert_eq!(cell.try_with(|value| *value), Some(3));
    }
}

//! A cell whose value has one user at a time: a spin lock between processors, a check on each.
//!
//! The documentation of each static says which contexts may use it; [`ExclusiveCell`] checks that.
//! On one processor, interrupts don't touch what the interrupted code may be using
//! ([`crate::wait::start_ticks`]), and no other thread runs while a cell is in use, so a value that
//! the processor finds in its own use is a bug: the kernel stops with a report rather than corrupt
//! the value. A value in use by another processor is waited for. The lock is unfair: with turns,
//! all would wait for a virtual processor that its host doesn't run.
//!
//! Where several processors run, cells are used with interrupts disabled only
//! ([`crate::peers::suspend_interrupts`]), and a processor that waits does what others ask of it.
//!
//! Two processors would wait for each other if each used a cell that the other waits for. So cells
//! have ranks, and a processor waits for a cell only while it uses none of the same or of a higher
//! [`Rank`]. A kernel with debug assertions checks that at each use, on one processor, too.

use crate::arch::local;
use crate::peers::relax;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use sync::atomic::{AtomicBool, AtomicU8, Ordering};
use sync::cell::UnsafeCell;

/// The place of a cell in the order in which a processor may wait for several. Interrupts begin
/// again: what they wait for isn't used with interrupts enabled, where several processors run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rank {
    /// What disks say of the machine.
    Metadata,
    /// The generator of random numbers, which waits for its device.
    Entropy,
    /// The devices that were found.
    Devices,
    /// Received bytes, which are echoed.
    Input,
    /// The console's driver.
    Terminal,
    /// The console on a display.
    Screen,
    /// Lines of the log.
    Log,
    /// The controller of messages.
    Controller,
    /// Lines to acknowledge.
    Interrupts,
    /// Threads and what they wait for.
    Threads,
    /// Signals, which change with the thread.
    Signals,
    /// Corrections of the clock.
    Clock,
    /// Rust's heap.
    Heap,
    /// The address space.
    Memory,
    /// The serial line's transmitter.
    Line,
}

impl Rank {
    /// A cell of this rank that holds `value`.
    pub const fn cell<T>(self, value: T) -> ExclusiveCell<T> {
        ExclusiveCell {
            user: AtomicU8::new(FREE),
            #[cfg(debug_assertions)]
            rank: self,
            value: UnsafeCell::new(value),
        }
    }
}

/// The cell is not in use.
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

/// Processors were stopped while they used cells, which stay in use. Set once.
static ABANDONED: AtomicBool = AtomicBool::new(false);

/// Doesn't wait for cells from now on: one in use counts as this processor's.
pub fn abandon() {
    ABANDONED.store(true, Ordering::Relaxed);
}

/// Whether [`abandon`] was called: what another processor holds stays so.
pub fn are_abandoned() -> bool {
    ABANDONED.load(Ordering::Relaxed)
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
            number if number == own || ABANDONED.load(Ordering::Relaxed) => {
                local::leave();
                return false;
            }
            _ => relax(),
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
    #[cfg(debug_assertions)]
    rank: Rank,
    value: UnsafeCell<T>,
}

// SAFETY: `user` admits one user of `value` at a time, on any processor.
unsafe impl<T: Send> Sync for ExclusiveCell<T> {}

impl<T> ExclusiveCell<T> {
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
        #[cfg(debug_assertions)]
        order::check(self.rank, &self.user);
        // SAFETY: just taken.
        take(&self.user).then(|| unsafe { self.run(f) })
    }

    /// The value, once no other processor uses it, until the guard is dropped. Where
    /// [`ExclusiveCell::with`] would be compiled for many functions, and its inlined code be large.
    ///
    /// # Panics
    /// As [`ExclusiveCell::with`].
    #[inline(always)]
    pub fn lock(&self) -> Guard<'_, T> {
        #[cfg(debug_assertions)]
        order::check(self.rank, &self.user);
        if !take(&self.user) {
            in_use();
        }
        Guard {
            cell: self,
            #[cfg(debug_assertions)]
            before: order::hold(self.rank),
            of_this_processor: PhantomData,
        }
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
        // SAFETY: no processor used the value when this one stored its number in `user`, so no
        // other reference to it exists until the release below.
        let value = unsafe { &mut *self.value.get() };
        #[cfg(debug_assertions)]
        let before = order::hold(self.rank);
        let result = f(value);
        #[cfg(debug_assertions)]
        order::restore(before);
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
        #[cfg(debug_assertions)]
        order::check(self.rank, &self.user);
        if !take(&self.user) {
            in_use();
        }
        #[cfg(debug_assertions)]
        let before = order::hold(self.rank);
        f(self.value.get());
        #[cfg(debug_assertions)]
        order::restore(before);
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
        #[cfg(debug_assertions)]
        order::begin();
        release(&self.user);
    }
}

/// The use of a cell, see [`ExclusiveCell::lock`].
pub struct Guard<'a, T> {
    cell: &'a ExclusiveCell<T>,
    #[cfg(debug_assertions)]
    before: u32,
    /// The processor that has taken the cell releases it.
    of_this_processor: PhantomData<*mut T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only use of the value.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only use of the value.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        order::restore(self.before);
        release(&self.cell.user);
    }
}

/// Runs `f` in an interrupt: the order of the cells that the interrupted code uses has no part in
/// it.
#[inline(always)]
pub fn in_interrupt<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(debug_assertions)]
    let before = order::begin();
    let result = f();
    #[cfg(debug_assertions)]
    order::restore(before);
    result
}

/// Ends the checks of this processor's order, for the report of a crash: it may begin in any use.
#[inline(always)]
pub fn ignore_order() {
    #[cfg(debug_assertions)]
    order::restore(order::IGNORED);
}

/// The checks of the order.
#[cfg(debug_assertions)]
mod order {
    use super::Rank;
    use crate::arch::{interrupts, local};
    use sync::atomic::{AtomicU8, Ordering};

    /// No order is checked any more.
    pub const IGNORED: u32 = u32::MAX;

    /// Checks that a processor may wait for a cell of `rank`. Its own use of that cell is another
    /// bug.
    pub fn check(rank: Rank, user: &AtomicU8) {
        let held = local::get().held.load(Ordering::Relaxed);
        if held != IGNORED && held >> rank as u8 != 0 {
            assert!(
                user.load(Ordering::Relaxed) == local::owner(),
                "a cell of rank {rank:?} is used within one of rank {}: processors would wait for \
                 each other",
                held.ilog2(),
            );
        }
    }

    /// Records the use of a cell of `rank`; returns what [`restore`] sets at its end.
    pub fn hold(rank: Rank) -> u32 {
        // What interrupts may wait for isn't used where they come, if there are several processors.
        assert!(
            rank < Rank::Interrupts || !local::several() || !interrupts::are_enabled(),
            "a cell of rank {rank:?} is used with interrupts enabled"
        );
        let held = &local::get().held;
        let before = held.load(Ordering::Relaxed);
        held.store(before | 1 << rank as u8, Ordering::Relaxed);
        before
    }

    /// Begins with no cell in use.
    pub fn begin() -> u32 {
        let held = &local::get().held;
        let before = held.load(Ordering::Relaxed);
        if before != IGNORED {
            held.store(0, Ordering::Relaxed);
        }
        before
    }

    /// Ends the last use, or the interrupt.
    pub fn restore(before: u32) {
        local::get().held.store(before, Ordering::Relaxed);
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
    use super::{ExclusiveCell, Rank, any_in_use, in_interrupt};

    #[test]
    fn another_processor_waits() {
        static CELL: ExclusiveCell<(u32, u32)> = Rank::Heap.cell((0, 0));
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
        let cell = Rank::Heap.cell(1);
        cell.with(|value| {
            *value = 2;
            assert_eq!(cell.try_with(|_| ()), None);
        });
        assert_eq!(cell.try_with(|value| *value), Some(2));
    }

    #[test]
    fn a_use_passes_from_thread_to_thread() {
        let cell = Rank::Threads.cell(1);
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

    #[test]
    fn a_processor_waits_by_ranks() {
        let outer = Rank::Threads.cell(());
        let inner = Rank::Memory.cell(());
        outer.with(|()| inner.with(|()| ()));
        // Without waiting any order is right, and an interrupt has an order of its own.
        inner.with(|()| {
            assert_eq!(outer.try_with(|()| ()), Some(()));
            in_interrupt(|| outer.with(|()| ()));
        });
        outer.with(|()| inner.with(|()| ()));
    }

    #[test]
    #[should_panic(expected = "of rank Threads is used within one of rank 13")]
    fn a_lower_rank_within_a_higher_one_panics() {
        let outer = Rank::Threads.cell(());
        let inner = Rank::Memory.cell(());
        inner.with(|()| outer.with(|()| ()));
    }

    #[test]
    #[should_panic(expected = "of rank Heap is used within one")]
    fn two_of_the_same_rank_panic() {
        let cells = [(); 2].map(|()| Rank::Heap.cell(()));
        cells[0].with(|()| cells[1].with(|()| ()));
    }
}

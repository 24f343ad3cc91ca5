//! A cell whose value has one user at a time: a spin lock between processors, a check on each.
//!
//! The documentation of each static says which contexts may use it; [`ExclusiveCell`] checks that.
//! On one processor, interrupts don't touch what the interrupted code may be using
//! ([`crate::wait::start_ticks`]), and no other thread runs while a cell is in use, so a value that
//! the processor finds in its own use is a bug: the kernel stops with a report rather than corrupt
//! the value. A value in use by another processor is waited for. The lock is unfair: with turns,
//! all would wait for a virtual processor that its host doesn't run.
//!
//! Where several processors run, cells that interrupts use are used with interrupts disabled only
//! ([`Context`]), and a processor that waits does what others ask of it.
//!
//! Two processors would wait for each other if each used a cell that the other waits for. So cells
//! have ranks, and a processor waits for a cell only while it uses none of the same or of a later
//! [`Rank`]. Where one use is visibly within another, the types say so
//! ([`ExclusiveCell::lock_within`]); a kernel with debug assertions checks each use, on one
//! processor, too.

use crate::arch::{interrupts, local};
use crate::smp::{is_smp, relax, resume_interrupts, suspend_interrupts};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use sync::atomic::{AtomicBool, AtomicU8, Ordering};
use sync::cell::UnsafeCell;

/// The place of a cell in the order in which a processor may wait for several, and the interrupts
/// that may come while it is in use.
pub trait Rank: 'static {
    /// The place, from 0 on.
    const PLACE: u8;
    /// The name of the type.
    const NAME: &str;
    /// The interrupts.
    type Context: Context;
}

/// The cell of a processor that uses one of this rank may be waited for if it is of rank `R`: it
/// comes later in the order.
pub trait Before<R: Rank>: Rank {}

/// Where several processors run, an interrupt may wait for a cell that another processor uses: what
/// it waits for must not be in use by the code that it interrupted.
pub trait Context {
    /// What [`Context::leave`] needs.
    type Saved;
    /// A use begins.
    fn enter() -> Self::Saved;
    /// A use ends.
    fn leave(saved: Self::Saved);
}

/// No interrupt uses the cell: they may be enabled.
pub struct Enabled;

impl Context for Enabled {
    type Saved = ();
    #[inline(always)]
    fn enter() {}
    #[inline(always)]
    fn leave((): ()) {}
}

/// The user has interrupts disabled where several processors run. A kernel with debug assertions
/// checks that.
pub struct Disabled;

impl Context for Disabled {
    type Saved = ();
    #[inline(always)]
    fn enter() {
        debug_assert!(
            !is_smp() || !interrupts::are_enabled(),
            "a cell is used with interrupts enabled"
        );
    }
    #[inline(always)]
    fn leave((): ()) {}
}

/// The cell disables interrupts during its use, where several processors run.
pub struct Suspended;

impl Context for Suspended {
    type Saved = bool;
    #[inline(always)]
    fn enter() -> bool {
        is_smp() && suspend_interrupts()
    }
    #[inline(always)]
    fn leave(suspended: bool) {
        resume_interrupts(suspended);
    }
}

/// The ranks.
pub mod rank {
    use super::{Before, Disabled, Enabled, Rank, Suspended};

    /// Implements [`Rank`] for types in the order of their places.
    macro_rules! ranks {
        ($($(#[$doc:meta])* $name:ident: $context:ty,)*) => {
            $(
                $(#[$doc])*
                pub struct $name;

                impl Rank for $name {
                    const PLACE: u8 = Place::$name as u8;
                    const NAME: &str = stringify!($name);
                    type Context = $context;
                }
            )*

            enum Place {
                $($name,)*
            }

            /// The names of all ranks, in their order.
            pub const ALL: &[&str] = &[$(stringify!($name),)*];

            before!($($name)*);
        };
    }

    macro_rules! before {
        () => {};
        ($first:ident $($rest:ident)*) => {
            $(impl Before<$rest> for $first {})*
            before!($($rest)*);
        };
    }

    ranks! {
        /// What disks say of the machine.
        Metadata: Enabled,
        /// The generator of random numbers.
        Entropy: Enabled,
        /// The devices that were found.
        Devices: Enabled,
        /// Received bytes, which are echoed.
        Input: Enabled,
        /// The console's driver.
        Terminal: Enabled,
        /// The console on a display.
        Screen: Enabled,
        /// Lines of the log.
        Log: Enabled,
        /// The controller of messages.
        Controller: Enabled,
        /// Threads and what they wait for.
        Threads: Disabled,
        /// Signals, which change with the thread.
        Signals: Suspended,
        /// Corrections of the clock.
        Clock: Disabled,
        /// Rust's heap.
        Heap: Suspended,
        /// The address space.
        Memory: Disabled,
        /// The serial line's transmitter.
        Line: Disabled,
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
pub struct ExclusiveCell<T, R: Rank> {
    user: AtomicU8,
    rank: PhantomData<fn() -> R>,
    value: UnsafeCell<T>,
}

// SAFETY: `user` admits one user of `value` at a time, on any processor.
unsafe impl<T: Send, R: Rank> Sync for ExclusiveCell<T, R> {}

impl<T, R: Rank> ExclusiveCell<T, R> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self {
            user: AtomicU8::new(FREE),
            rank: PhantomData,
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` on the value, once no other processor uses it.
    ///
    /// # Panics
    /// When this processor already uses the value: `f` of an outer call led here, or was
    /// interrupted.
    pub fn with<A>(&self, f: impl FnOnce(&mut T) -> A) -> A {
        match self.with_unless_own(f) {
            Some(result) => result,
            None => in_use(),
        }
    }

    /// Runs `f` on the value, once no other processor uses it; `None` when this one does.
    pub fn with_unless_own<A>(&self, f: impl FnOnce(&mut T) -> A) -> Option<A> {
        #[cfg(debug_assertions)]
        order::check::<R>(&self.user);
        let saved = R::Context::enter();
        // SAFETY: just taken.
        let result = take(&self.user).then(|| unsafe { self.run(f) });
        R::Context::leave(saved);
        result
    }

    /// The value, once no other processor uses it, until the guard is dropped. Where
    /// [`ExclusiveCell::with`] would be compiled for many functions, and its inlined code be large.
    ///
    /// # Panics
    /// As [`ExclusiveCell::with`].
    #[inline(always)]
    pub fn lock(&self) -> Guard<'_, T, R> {
        #[cfg(debug_assertions)]
        order::check::<R>(&self.user);
        let saved = R::Context::enter();
        if !take(&self.user) {
            in_use();
        }
        Guard {
            cell: self,
            saved: ManuallyDrop::new(saved),
            #[cfg(debug_assertions)]
            before: order::hold::<R>(),
            of_this_processor: PhantomData,
        }
    }

    /// As [`ExclusiveCell::lock`], within the use of a cell that comes before this one:
    ///
    /// ```no_run
    /// # use kernel::cell::{ExclusiveCell, rank};
    /// let heap = ExclusiveCell::<_, rank::Heap>::new(());
    /// let memory = ExclusiveCell::<_, rank::Memory>::new(());
    /// let heap = heap.lock();
    /// memory.lock_within(&heap);
    /// ```
    ///
    /// The reverse doesn't compile:
    ///
    /// ```compile_fail,E0277
    /// # use kernel::cell::{ExclusiveCell, rank};
    /// let heap = ExclusiveCell::<_, rank::Heap>::new(());
    /// let memory = ExclusiveCell::<_, rank::Memory>::new(());
    /// let memory = memory.lock();
    /// heap.lock_within(&memory);
    /// ```
    #[inline(always)]
    pub fn lock_within<U, H: Before<R>>(&self, _: &Guard<'_, U, H>) -> Guard<'_, T, R> {
        self.lock()
    }

    /// Runs `f` on the value, or returns `None` when it is in use. Never waits: a processor that
    /// was stopped doesn't release its cells.
    pub fn try_with<A>(&self, f: impl FnOnce(&mut T) -> A) -> Option<A> {
        let saved = R::Context::enter();
        // SAFETY: just taken.
        let result = try_take(&self.user).then(|| unsafe { self.run(f) });
        R::Context::leave(saved);
        result
    }

    /// Runs `f` on the value, then releases the cell.
    ///
    /// # Safety
    /// This processor has taken the cell.
    unsafe fn run<A>(&self, f: impl FnOnce(&mut T) -> A) -> A {
        // SAFETY: no processor used the value when this one stored its number in `user`, so no
        // other reference to it exists until the release below.
        let value = unsafe { &mut *self.value.get() };
        #[cfg(debug_assertions)]
        let before = order::hold::<R>();
        let result = f(value);
        #[cfg(debug_assertions)]
        order::restore(before);
        release(&self.user);
        result
    }

    /// The guard of the use that another thread of this processor began and left by a switch to
    /// the caller, after it forgot its own guard.
    ///
    /// # Safety
    /// This processor has taken the cell, and there is no other guard. No other cell is in use.
    pub unsafe fn make_guard_unchecked(&self) -> Guard<'_, T, R>
    where
        R: Rank<Context = Disabled>,
    {
        #[cfg(debug_assertions)]
        order::begin();
        Guard {
            cell: self,
            saved: ManuallyDrop::new(()),
            #[cfg(debug_assertions)]
            before: order::hold::<R>(),
            of_this_processor: PhantomData,
        }
    }
}

/// The use of a cell, see [`ExclusiveCell::lock`].
pub struct Guard<'a, T, R: Rank> {
    cell: &'a ExclusiveCell<T, R>,
    saved: ManuallyDrop<<R::Context as Context>::Saved>,
    #[cfg(debug_assertions)]
    before: u32,
    /// The processor that has taken the cell releases it.
    of_this_processor: PhantomData<*mut T>,
}

impl<T, R: Rank> Deref for Guard<'_, T, R> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only use of the value.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T, R: Rank> DerefMut for Guard<'_, T, R> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only use of the value.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T, R: Rank> Drop for Guard<'_, T, R> {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        order::restore(self.before);
        release(&self.cell.user);
        // SAFETY: once, at the end of the guard.
        R::Context::leave(unsafe { ManuallyDrop::take(&mut self.saved) });
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
    use super::{Rank, rank};
    use crate::arch::local;
    use sync::atomic::{AtomicU8, Ordering};

    /// No order is checked any more.
    pub const IGNORED: u32 = u32::MAX;

    /// Checks that a processor may wait for a cell of `rank`. Its own use of that cell is another
    /// bug.
    pub fn check<R: Rank>(user: &AtomicU8) {
        let held = local::get().held.load(Ordering::Relaxed);
        if held != IGNORED && held >> R::PLACE != 0 {
            assert!(
                user.load(Ordering::Relaxed) == local::owner(),
                "a cell of rank {} is used within one of rank {}: processors would wait for each \
                 other",
                R::NAME,
                rank::ALL[held.ilog2() as usize],
            );
        }
    }

    /// Records the use of a cell of `rank`; returns what [`restore`] sets at its end.
    pub fn hold<R: Rank>() -> u32 {
        let held = &local::get().held;
        let before = held.load(Ordering::Relaxed);
        held.store(before | 1 << R::PLACE, Ordering::Relaxed);
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
    use super::rank::{ALL, Heap, Memory, Threads};
    use super::{ExclusiveCell, any_in_use, in_interrupt};

    #[test]
    fn another_processor_waits() {
        static CELL: ExclusiveCell<(u32, u32), Heap> = ExclusiveCell::new((0, 0));
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
        let cell = ExclusiveCell::<_, Heap>::new(1);
        cell.with(|value| {
            *value = 2;
            assert_eq!(cell.try_with(|_| ()), None);
        });
        assert_eq!(cell.try_with(|value| *value), Some(2));
    }

    #[test]
    fn a_use_passes_from_thread_to_thread() {
        let cell = ExclusiveCell::<_, Threads>::new(1);
        let mut guard = cell.lock();
        *guard += 1;
        core::mem::forget(guard);
        assert!(cell.try_with(|_| ()).is_none() && any_in_use());
        // SAFETY: this stands for the thread that is switched to.
        let mut guard = unsafe { cell.make_guard_unchecked() };
        *guard += 1;
        drop(guard);
        assert!(cell.try_with(|value| *value) == Some(3) && !any_in_use());
    }

    #[test]
    fn a_processor_waits_by_ranks() {
        let outer = ExclusiveCell::<_, Threads>::new(());
        let inner = ExclusiveCell::<_, Memory>::new(());
        outer.with(|()| inner.with(|()| ()));
        // Without waiting any order is right, and an interrupt has an order of its own.
        inner.with(|()| {
            assert_eq!(outer.try_with(|()| ()), Some(()));
            in_interrupt(|| outer.with(|()| ()));
        });
        outer.with(|()| inner.with(|()| ()));
    }

    #[test]
    #[should_panic(expected = "of rank Threads is used within one of rank Memory")]
    fn a_lower_rank_within_a_higher_one_panics() {
        let outer = ExclusiveCell::<_, Threads>::new(());
        let inner = ExclusiveCell::<_, Memory>::new(());
        inner.with(|()| outer.with(|()| ()));
    }

    #[test]
    #[should_panic(expected = "of rank Heap is used within one")]
    fn two_of_the_same_rank_panic() {
        let cells = [(); 2].map(|()| ExclusiveCell::<_, Heap>::new(()));
        cells[0].with(|()| cells[1].with(|()| ()));
    }

    /// The table of locks in ARCHITECTURE.md has the ranks in their order.
    #[test]
    fn the_architecture_has_the_order() {
        let text = include_str!("../../ARCHITECTURE.md");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let order = ALL.join(", ");
        assert!(words.contains(&format!("among cells the order is {order} ")));
    }
}

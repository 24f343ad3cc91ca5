//! A lock that threads spin for, with its place in an order as a type parameter.
//!
//! Two threads would wait for each other if each held a lock that the other one waits for. So a
//! thread waits for a lock only while it holds none of the same or of a later [`Level`]. Where one
//! use is visibly within another, the types say so ([`Mutex::lock_within`]); with the feature
//! `checks`, as in tests, each use is checked.

use crate::atomic::{AtomicBool, Ordering};
use crate::cell::UnsafeCell;
use crate::hint::spin_loop;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A lock or a cell of this level is held while one of level `L` may be waited for: that one comes
/// later in the order.
pub trait Before<L> {}

/// The place of locks in the order.
pub trait Level: 'static {
    /// The place, from 0 on.
    const PLACE: u8;
    /// The name of the type.
    const NAME: &str;
}

/// Implements [`Before`] for types in their order.
#[macro_export]
macro_rules! before {
    () => {};
    ($first:ident $($rest:ident)*) => {
        $(impl $crate::mutex::Before<$rest> for $first {})*
        $crate::before!($($rest)*);
    };
}

/// The levels, in their order.
pub mod level {
    use super::Level;

    macro_rules! levels {
        ($($(#[$doc:meta])* $name:ident,)*) => {
            $(
                $(#[$doc])*
                pub struct $name;

                impl Level for $name {
                    const PLACE: u8 = Place::$name as u8;
                    const NAME: &str = stringify!($name);
                }
            )*

            enum Place {
                $($name,)*
            }

            before!($($name)*);
        };
    }

    levels! {
        /// The process: its descriptors, mappings and limits.
        Process,
        /// The entries of a directory that is read.
        Listing,
        /// The descriptions in an epoll set.
        Entries,
        /// The epoll sets that contain a set.
        Containers,
        /// The state of a timer.
        Timer,
        /// The state of a socket.
        Socket,
        /// The names of Unix sockets.
        Bindings,
        /// Descriptors of discarded messages, which are to be closed.
        Discarded,
        /// Sockets whose descriptors are in flight between Unix sockets.
        InFlight,
        /// The number of a file.
        FileNumber,
        /// Who waits for a description.
        Waiters,
        /// The configuration of the resolver.
        Resolver,
        /// Memory that is lent to devices.
        Lent,
        /// A session of TLS.
        Connection,
        /// The objects of TLS.
        Objects,
        /// Handshakes of servers.
        Handshakes,
        /// Chains of certificates.
        Chains,
        /// The keys of tickets.
        Tickets,
        /// Sessions that may be resumed.
        Sessions,
        /// The log of keys.
        Keys,
        /// Why a certificate was refused.
        Refusal,
        /// A recording of frames.
        Recording,
    }
}

/// A value that one thread uses at a time.
pub struct Mutex<T, L: Level> {
    taken: AtomicBool,
    level: PhantomData<fn() -> L>,
    value: UnsafeCell<T>,
}

// SAFETY: `taken` admits one user of the value at a time.
unsafe impl<T: Send, L: Level> Sync for Mutex<T, L> {}
// SAFETY: the value moves along.
unsafe impl<T: Send, L: Level> Send for Mutex<T, L> {}

impl<T, L: Level> Mutex<T, L> {
    /// A lock of `value`.
    pub const fn new(value: T) -> Mutex<T, L> {
        Mutex {
            taken: AtomicBool::new(false),
            level: PhantomData,
            value: UnsafeCell::new(value),
        }
    }

    /// The value, once no other thread uses it, until the guard is dropped.
    ///
    /// # Panics
    /// With the feature `checks`: if the thread holds a lock of the same or of a later level.
    pub fn lock(&self) -> MutexGuard<'_, T, L> {
        #[cfg(feature = "checks")]
        order::check::<L>(0);
        self.await_release()
    }

    /// As [`Mutex::lock`], also while the thread holds locks of the same level: the caller has an
    /// order among these.
    pub fn lock_nested(&self) -> MutexGuard<'_, T, L> {
        #[cfg(feature = "checks")]
        order::check::<L>(1);
        self.await_release()
    }

    fn await_release(&self) -> MutexGuard<'_, T, L> {
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            // Reads until it may succeed: an exchange takes the memory from the one that releases.
            while self.taken.load(Ordering::Relaxed) {
                spin_loop();
            }
        }
    }

    /// The value, unless a thread uses it. Never waits: in any order.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, L>> {
        // Acquire: what the last user wrote is seen.
        { &self.taken }
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some(MutexGuard {
            mutex: self,
            #[cfg(feature = "checks")]
            is_noted: order::note::<L>(),
            of_this_thread: PhantomData,
        })
    }

    /// The value, which nothing else uses.
    pub fn get_mut(&mut self) -> &mut T {
        // SAFETY: the exclusive reference.
        unsafe { &mut *self.value.get() }
    }

    /// As [`Mutex::lock`], while a lock that comes before this one is held:
    ///
    /// ```
    /// # use sync::mutex::{Mutex, level};
    /// let process = Mutex::<_, level::Process>::new(());
    /// let socket = Mutex::<_, level::Socket>::new(());
    /// let process = process.lock();
    /// socket.lock_within(&process);
    /// ```
    ///
    /// The reverse doesn't compile:
    ///
    /// ```compile_fail,E0277
    /// # use sync::mutex::{Mutex, level};
    /// let process = Mutex::<_, level::Process>::new(());
    /// let socket = Mutex::<_, level::Socket>::new(());
    /// let socket = socket.lock();
    /// process.lock_within(&socket);
    /// ```
    pub fn lock_within<U, H: Level + Before<L>>(
        &self,
        _: &MutexGuard<'_, U, H>,
    ) -> MutexGuard<'_, T, L> {
        self.lock()
    }
}

impl<T, L: Level> fmt::Debug for Mutex<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(L::NAME)
    }
}

impl<T: Default, L: Level> Default for Mutex<T, L> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

/// The use of a value, see [`Mutex::lock`].
pub struct MutexGuard<'a, T, L: Level> {
    mutex: &'a Mutex<T, L>,
    #[cfg(feature = "checks")]
    is_noted: bool,
    of_this_thread: PhantomData<*mut T>,
}

impl<T, L: Level> Deref for MutexGuard<'_, T, L> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the only use of the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T, L: Level> DerefMut for MutexGuard<'_, T, L> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T, L: Level> Drop for MutexGuard<'_, T, L> {
    fn drop(&mut self) {
        // Release: pairs with the next user's acquisition.
        self.mutex.taken.store(false, Ordering::Release);
        #[cfg(feature = "checks")]
        if self.is_noted {
            order::forget::<L>();
        }
    }
}

/// The check of the order, by the levels that a thread holds.
#[cfg(feature = "checks")]
mod order {
    use super::Level;
    use std::cell::Cell;

    std::thread_local! {
        static HELD: Cell<u32> = const { Cell::new(0) };
    }

    /// Checks that the thread may wait for a lock of this level, holding none from that level, plus
    /// `own`, on.
    pub fn check<L: Level>(own: u8) {
        let held = HELD.get();
        assert!(
            held >> (L::PLACE + own) == 0,
            "a lock of level {} is taken within one of level {}: threads would wait for each other",
            L::NAME,
            held.ilog2(),
        );
    }

    /// Notes that the thread holds one; false if it is noted already, for another.
    pub fn note<L: Level>() -> bool {
        let held = HELD.get();
        HELD.set(held | 1 << L::PLACE);
        held & 1 << L::PLACE == 0
    }

    /// Ends that. Locks may be released in any order.
    pub fn forget<L: Level>() {
        HELD.set(HELD.get() & !(1 << L::PLACE));
    }
}

#[cfg(test)]
mod tests {
    use super::{Mutex, level};

    #[test]
    fn one_thread_at_a_time() {
        let mutex = Mutex::<_, level::Process>::new((0, 0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let mut value = mutex.lock();
                        value.0 += 1;
                        std::thread::yield_now();
                        value.1 = value.0;
                    }
                });
            }
        });
        assert_eq!(*mutex.lock(), (3000, 3000));
    }

    #[test]
    fn later_locks_are_taken_within_earlier_ones() {
        let (outer, inner) = (
            Mutex::<_, level::Objects>::new(()),
            Mutex::<_, level::Handshakes>::new(()),
        );
        for _ in 0..2 {
            let first = outer.lock();
            let second = inner.lock_within(&first);
            drop(first);
            drop(second);
        }
    }

    #[test]
    #[should_panic(expected = "of level Objects is taken within one of level")]
    fn an_earlier_lock_within_a_later_one_panics() {
        let (outer, inner) = (
            Mutex::<_, level::Objects>::new(()),
            Mutex::<_, level::Handshakes>::new(()),
        );
        let _inner = inner.lock();
        outer.lock();
    }
}

//! Global flag for memory pressure.

#[cfg(test)]
pub use fake::set_memory_short;
#[cfg(test)]
pub(crate) use fake::{is_memory_gone, is_memory_short, set_memory_gone};
#[cfg(not(test))]
pub(crate) use real::is_memory_short;
#[cfg(not(test))]
pub use real::set_memory_short;

#[cfg(not(test))]
mod real {
    use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

    static SHORT: AtomicBool = AtomicBool::new(false);

    /// Sets whether memory is short. While it is, caches and files in memory allocate nothing more,
    /// and operations that need memory fail with [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    /// Affects all volumes.
    pub fn set_memory_short(short: bool) {
        SHORT.store(short, Relaxed);
    }

    /// Whether memory is short; see [`set_memory_short`].
    pub(crate) fn is_memory_short() -> bool {
        SHORT.load(Relaxed)
    }
}

/// Per-thread version for tests, with an allocator that can be exhausted.
#[cfg(test)]
mod fake {
    use core::cell::Cell;

    std::thread_local! {
        static SHORT: Cell<bool> = const { Cell::new(false) };
        static GONE: Cell<bool> = const { Cell::new(false) };
    }

    /// As the version outside of tests.
    pub fn set_memory_short(short: bool) {
        SHORT.set(short);
    }

    pub(crate) fn is_memory_short() -> bool {
        SHORT.get()
    }

    /// Sets whether allocations of cache lines fail.
    pub(crate) fn set_memory_gone(gone: bool) {
        GONE.set(gone);
    }

    pub(crate) fn is_memory_gone() -> bool {
        GONE.get()
    }
}

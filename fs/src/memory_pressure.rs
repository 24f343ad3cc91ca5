//! Whether memory is short.

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

    /// Says whether memory is short: while it is, caches and files in memory take no more, and what
    /// can't do without it fails with [`Error::OutOfMemory`](crate::Error::OutOfMemory). For all
    /// volumes.
    pub fn set_memory_short(short: bool) {
        SHORT.store(short, Relaxed);
    }

    /// See [`set_memory_short`].
    pub(crate) fn is_memory_short() -> bool {
        SHORT.load(Relaxed)
    }
}

/// The same for each test by itself, and an allocator that has nothing left.
#[cfg(test)]
mod fake {
    use core::cell::Cell;

    std::thread_local! {
        static SHORT: Cell<bool> = const { Cell::new(false) };
        static GONE: Cell<bool> = const { Cell::new(false) };
    }

    /// As the real one.
    pub fn set_memory_short(short: bool) {
        SHORT.set(short);
    }

    pub(crate) fn is_memory_short() -> bool {
        SHORT.get()
    }

    /// Says whether cache lines can't be allocated.
    pub(crate) fn set_memory_gone(gone: bool) {
        GONE.set(gone);
    }

    pub(crate) fn is_memory_gone() -> bool {
        GONE.get()
    }
}

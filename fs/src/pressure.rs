//! Whether memory is short.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

static SHORT: AtomicBool = AtomicBool::new(false);

/// Says whether memory is short: while it is, caches and files in memory take no more, and what can't do without it fails with
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory). For all volumes.
pub fn set_memory_short(short: bool) {
    SHORT.store(short, Relaxed);
}

/// See [`set_memory_short`].
pub(crate) fn is_memory_short() -> bool {
    SHORT.load(Relaxed)
}

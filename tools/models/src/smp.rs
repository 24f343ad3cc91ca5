//! As in `kernel`.

/// A set of processors.
pub type Set = u64;

/// As in `kernel`.
pub use crate::image::threads::kick as interrupt;

/// No memory is taken away.
pub fn set_idle(_: bool) {}

/// One turn of a loop that waits for another processor.
pub fn relax() {
    sync::hint::spin_loop();
}

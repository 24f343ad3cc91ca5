//! The clocks of the program: the machine's, or for the scheduler's thread virtual ones
//! (`Soil.Virtual_clock`), which stand still between two calls of [`set`].

use crate::current::Current;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use platform::{Clock, System};

/// Nanoseconds of the virtual clocks; 0 without these.
static MONOTONIC: AtomicU64 = AtomicU64::new(0);
static WALL: AtomicU64 = AtomicU64::new(0);
/// The thread that has them.
static THREAD: AtomicUsize = AtomicUsize::new(0);

// Relaxed throughout: only the thread that stores the times takes them.

fn virtual_ns(clock: &AtomicU64) -> Option<u64> {
    let ns = clock.load(Ordering::Relaxed);
    (ns != 0 && is_owner()).then_some(ns)
}

#[cold]
fn is_owner() -> bool {
    THREAD.load(Ordering::Relaxed) == Current::thread()
}

/// See `soil_clock_monotonic_ns`.
pub fn monotonic_ns() -> u64 {
    virtual_ns(&MONOTONIC).unwrap_or_else(Current::monotonic_ns)
}

/// See `soil_clock_wall_ns`.
pub fn wall_ns() -> u64 {
    virtual_ns(&WALL).unwrap_or_else(Current::wall_ns)
}

/// See `soil_clock_set_virtual`.
pub fn set_virtual(monotonic_ns: u64, wall_ns: u64) {
    THREAD.store(Current::thread(), Ordering::Relaxed);
    MONOTONIC.store(monotonic_ns, Ordering::Relaxed);
    WALL.store(wall_ns, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::{monotonic_ns, set_virtual, wall_ns};

    #[test]
    fn virtual_clocks_stand_still_for_one_thread() {
        let before = monotonic_ns();
        set_virtual(7, 8);
        assert_eq!((monotonic_ns(), wall_ns()), (7, 8));
        let other = std::thread::spawn(|| (monotonic_ns(), wall_ns())).join();
        let (monotonic, wall) = other.expect("no panic");
        assert!(monotonic >= before && wall > 8);
        set_virtual(0, 0);
        assert!(monotonic_ns() >= monotonic && wall_ns() >= wall);
    }
}

//! Waiting only for the console, without the reactor: most images have no other file.

use super::signals::is_interrupted;
use crate::errors::{RESTART, Result};
use platform::Direction;

/// Number of events so far, for [`wait`]: to be read before the check after which the caller waits.
/// One that comes between them, perhaps on another processor, ends the wait.
pub fn events() -> u64 {
    #[cfg(feature = "image")]
    return kernel::interrupts::events();
    #[cfg(not(feature = "image"))]
    return 0;
}

/// Waits until the console may have input, or room for output, as it may after an event beyond the
/// first `seen` ones. It may return early.
///
/// # Errors
/// [`RESTART`] when a signal is to be handled.
pub fn wait(direction: Direction, seen: u64) -> Result<()> {
    if is_interrupted() {
        return Err(RESTART);
    }
    pause(direction, seen);
    Ok(())
}

#[cfg(feature = "image")]
fn pause(direction: Direction, seen: u64) {
    use kernel::wait::{For, pause_until};
    let deadline = match direction {
        Direction::Read => None,
        // No interrupt reports that there is room.
        Direction::Write => Some(kernel::time::monotonic_ns() + kernel::console::POLL_NS),
    };
    pause_until(For::Interrupt(seen), deadline);
}

#[cfg(not(feature = "image"))]
fn pause(_: Direction, _: u64) {
    use core::sync::atomic::AtomicU32;
    use platform::{Clock, Wait};
    use resources::current::Current;
    let until = Current::monotonic_ns() + 1_000_000;
    Current::await_change(&AtomicU32::new(0), 0, Some(until));
}

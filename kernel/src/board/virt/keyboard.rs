//! The keyboard of a machine without a keyboard controller.

use super::irq::Trigger;

/// Its line and trigger: there is none.
pub fn enable() -> Option<(u32, Trigger)> {
    None
}

/// Number of requests for a stop since the last call: none.
pub fn requests() -> usize {
    0
}

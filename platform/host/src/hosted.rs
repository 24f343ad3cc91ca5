//! The choice between Linux's own sockets and a stack of the program's own, by `SOIL_NET`.

use crate::Host;
use core::sync::atomic::{AtomicU8, Ordering};
use platform::System;

/// 0: undecided, else 1 more than whether they are Linux's own. The program may change its
/// variables.
static CHOICE: AtomicU8 = AtomicU8::new(0);

/// Whether the sockets are Linux's own, as far as known; doesn't decide.
pub fn may_be() -> bool {
    match CHOICE.load(Ordering::Relaxed) {
        0 if sim::is_simulated() => false,
        0 => Host::variable("SOIL_NET").is_none_or(|choice| choice == "host"),
        choice => choice == 2,
    }
}

/// Decides whether they are, for good.
pub fn decide() -> bool {
    if CHOICE.load(Ordering::Relaxed) == 0 {
        CHOICE.store(1 + u8::from(may_be()), Ordering::Relaxed);
    }
    CHOICE.load(Ordering::Relaxed) == 2
}

//! Ports and windows whose accesses take two instructions: one processor at a time.

use crate::cell;
use crate::smp::{is_smp, relax, resume_interrupts, suspend_interrupts};
use core::sync::atomic::{AtomicBool, Ordering};

/// Another processor is between two accesses.
static USED: AtomicBool = AtomicBool::new(false);

/// The use of all of them, until it is dropped. One caller at a time on a processor.
pub struct Pair {
    suspended: bool,
}

impl Pair {
    /// Waits for other processors, which take a few accesses.
    #[inline(never)]
    pub fn begin() -> Self {
        let suspended = suspend_interrupts();
        // Acquire: pairs with the release below.
        while is_smp() && USED.swap(true, Ordering::Acquire) && !cell::are_abandoned() {
            relax();
        }
        Self { suspended }
    }
}

impl Drop for Pair {
    #[inline(never)]
    fn drop(&mut self) {
        if is_smp() {
            USED.store(false, Ordering::Release);
        }
        resume_interrupts(self.suspended);
    }
}

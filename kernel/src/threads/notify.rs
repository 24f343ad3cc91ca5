//! The use of the state, after which processors that were given threads are notified.

use super::scheduler::bit;
use super::{STATE, State, local_of, own};
use crate::arch::local;
use crate::signals;
use crate::smp::{self, Set};
use sync::atomic::Ordering;

/// Runs `f` on the state, and then has the processors that were given threads take them.
pub(super) fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    let (result, calls) = STATE.with(|state| (f(state), state.take_calls()));
    calls.make();
    result
}

/// The processors that a use of the state has given threads.
pub(super) struct Calls {
    all: Set,
    /// Those that need an interrupt: they halt, or have to share.
    interrupted: Set,
}

impl Calls {
    #[inline(always)]
    pub(super) fn make(self) {
        if self.all | self.interrupted != 0 {
            self.make_some();
        }
    }

    #[cold]
    #[inline(never)]
    fn make_some(self) {
        let mut all = self.all;
        while all != 0 {
            if let Some(local) = local_of(all.trailing_zeros() as usize) {
                // Relaxed: the processor then uses the state.
                local.called.store(true, Ordering::Relaxed);
            }
            all &= all - 1;
        }
        interrupt(self.interrupted);
    }
}

/// Interrupts other processors, which see what there is to do.
pub(super) fn interrupt(processors: Set) {
    let others = processors & !bit(own());
    if others != 0 && local::is_smp() {
        smp::interrupt(others);
    }
}

impl State {
    pub(super) fn take_calls(&mut self) -> Calls {
        Calls {
            all: self.scheduler.take_calls(),
            interrupted: self.scheduler.take_kicks(),
        }
    }
}

/// Whether a signal has arrived that another processor has sent since the running thread checked.
pub(super) fn is_signalled() -> bool {
    local::is_smp() && signals::is_ready()
}

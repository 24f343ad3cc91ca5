//! The running thread's waits, and the use of the state by which others end them: it calls the
//! processors to which it gives threads.
//!
//! `tools/models` checks these, and what idle processors do, under loom.

use super::dispatch::run_next;
use super::scheduler::{Wait, bit};
use super::{STATE, State, has_threads, local_of, own, resume, take_note};
use crate::arch::interrupts::without_interrupts;
use crate::arch::local;
use crate::cell;
use crate::halt::{self, For};
use crate::peers::{self, Set};
use crate::{signals, time};
use sync::atomic::{AtomicU32, Ordering};

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
    pub(super) const NONE: Calls = Calls {
        all: 0,
        interrupted: 0,
    };

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
    if others != 0 && local::several() {
        peers::interrupt(others);
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
    local::several() && signals::is_ready()
}

/// Suspends the running thread until its event, the deadline or a signal, unless [`take_note`] has
/// an event for it; the only thread halts the processor. May return early. With interrupts
/// disabled.
pub fn pause(wait: For, deadline: Option<u64>) {
    let polls = wait == For::Devices;
    if !has_threads() {
        if !take_note(wait) {
            halt::sleep(deadline, matches!(wait, For::Devices | For::Call));
        }
        return;
    }
    if cell::any_in_use() {
        if take_note(wait) {
            return;
        }
        // No other thread may run: such waits are short.
        if local::several() {
            // Interrupts may be another processor's.
            return peers::relax();
        }
        with(|state| state.busy = 0);
        halt::sleep(deadline, polls);
        with(|state| state.busy = bit(own()));
        return resume(time::monotonic_ns());
    }
    let is_noted = || take_note(wait) || is_signalled();
    let event = match wait {
        For::Time => Wait::Time,
        For::Interrupt | For::Devices | For::Call => Wait::Event,
    };
    let waits = with(|state| {
        let waits = state
            .scheduler
            .wait_unless(own(), is_noted, event, deadline);
        state.polling += usize::from(waits && polls);
        waits
    });
    if waits {
        run_next();
        with(|state| state.polling -= usize::from(polls));
    }
}

/// Suspends the running thread while the word has this value, until [`super::wake`], the deadline
/// or a signal.
pub fn await_change(word: &AtomicU32, value: u32, deadline: Option<u64>) {
    without_interrupts(|| {
        if !signals::is_ready() {
            pause_while(word, value, deadline, is_signalled);
        }
    });
}

/// The same without a deadline, regardless of signals.
pub fn await_release(word: &AtomicU32, value: u32) {
    without_interrupts(|| pause_while(word, value, None, || false));
}

/// Suspends the running thread, if a word has this value and `is_over` is false. With interrupts
/// disabled.
pub(super) fn pause_while(
    word: &AtomicU32,
    value: u32,
    deadline: Option<u64>,
    is_over: fn() -> bool,
) {
    if with(|state| {
        let scheduler = &mut state.scheduler;
        !is_over() && scheduler.wait_while(own(), word, value, u32::MAX, deadline)
    }) {
        run_next();
    }
}

pub(super) fn yield_now() {
    with(|state| state.scheduler.yield_now(own()));
    run_next();
}
